"""PaddlePaddle."""

from backends.paddle import environment  # noqa: F401 - before anything imports paddle
from backends.paddle.device import facts, resolve_device
from backends.paddle.distributed import broadcast_text, join, leave, rank, world_size
from backends.paddle.losses import loss
from backends.paddle.network import build, export_state, features, forward, import_state
from backends.paddle.predictor import predictor
from backends.paddle.trainer import Trainer

NAME = "paddle"

__all__ = [
    "NAME",
    "Trainer",
    "broadcast_text",
    "build",
    "export_state",
    "facts",
    "features",
    "forward",
    "import_state",
    "join",
    "leave",
    "loss",
    "predictor",
    "rank",
    "resolve_device",
    "world_size",
]
