"""PyTorch."""

from backends.torch.device import resolve_device
from backends.torch.distributed import join, leave, rank, size
from backends.torch.losses import cross_entropy
from backends.torch.network import build, export_state, forward, import_state
from backends.torch.predictor import predictor
from backends.torch.trainer import PRECISIONS, Trainer

NAME = "torch"

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
