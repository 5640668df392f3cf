"""PaddlePaddle."""

from backends.paddle import environment  # noqa: F401 - before anything imports paddle
from backends.paddle.device import resolve_device
from backends.paddle.distributed import join, leave, rank, size
from backends.paddle.losses import cross_entropy
from backends.paddle.network import build, export_state, forward, import_state
from backends.paddle.predictor import predictor
from backends.paddle.trainer import PRECISIONS, Trainer

NAME = "paddle"

__all__ = [
    "NAME",
    "PRECISIONS",
    "Trainer",
    "build",
    "cross_entropy",
    "export_state",
    "forward",
    "import_state",
    "join",
    "leave",
    "predictor",
    "rank",
    "resolve_device",
    "size",
]
