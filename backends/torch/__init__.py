"""PyTorch."""

from backends.torch.device import facts, resolve_device
from backends.torch.distributed import broadcast_text, join, leave, rank, world_size
from backends.torch.losses import loss
from backends.torch.network import build, export_state, features, forward, import_state
from backends.torch.predictor import predictor
from backends.torch.trainer import Trainer

NAME = "torch"

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
