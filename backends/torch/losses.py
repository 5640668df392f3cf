"""The losses of cic.training.losses on tensors: each is (total, count)."""

from collections.abc import Callable
from functools import cache, partial
from math import prod
from typing import TypeAlias

import torch
from torch import Tensor

from backends.torch import distributed
from cic.colour.bins import AB
from cic.training.losses import FOCUS

Loss: TypeAlias = tuple[Tensor, Tensor | int]  # (total, count)


def _exact(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


@cache
def _bins(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return ab of the bins, (2, 313)."""
    return torch.tensor(AB.T, dtype=dtype, device=device)


def cross_entropy(logits: Tensor, index: Tensor, weight: Tensor, distance: float = 0.0) -> Loss:
    """Compute `cic.training.losses.cross_entropy`: sparse soft labels, (N, K, H, W)."""
    likelihood, index = _exact(logits).log_softmax(1), index.long()
    total = -(weight * likelihood.gather(1, index)).sum()
    if distance:
        total = total + distance * colour_distance(likelihood.exp(), index, weight)
    return total / prod(logits.shape[2:]), len(logits)


def colour_distance(share: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Compute `cic.training.losses.colour_distance` of the softmax of the logits."""
    bins = _bins(share.dtype, share.device)
    mean = torch.einsum("nqhw,cq->nchw", share, bins)
    pixel = weight.sum(1, keepdim=True)
    true = torch.stack([(weight * channel[index]).sum(1) for channel in bins], 1)
    true = true / pixel.clamp(min=torch.finfo(torch.float32).tiny)
    squares = (mean - true).square().sum(1, keepdim=True)
    return (pixel.sqrt() * ((1 + squares).sqrt() - 1)).sum()


def l2(prediction: Tensor, target: Tensor) -> Loss:
    """Compute `cic.training.losses.l2`: both (N, 2, H, W), scaled ab."""
    error = (_exact(prediction) - target).square()
    return error.sum() / prod(target.shape[1:]), len(target)


def focal_l2(prediction: Tensor, target: Tensor) -> Loss:
    """Compute `losses.focal_l2`: both (N, 2, H, W); the largest error is that of all processes."""
    error = (_exact(prediction) - target).square()
    largest = distributed.largest(error.detach())
    relative = error.detach() / largest.clamp(min=torch.finfo(error.dtype).tiny)
    mask = torch.sigmoid(FOCUS * (relative - 0.5))
    return (error * mask).sum(), mask.sum()


def class_entropy(logits: Tensor, label: Tensor) -> Loss:
    """Compute `cic.training.losses.class_entropy`: logits (N, classes), label (N,)."""
    picked = _exact(logits).log_softmax(1).gather(1, label[:, None])
    return -picked.sum(), len(label)


_LOSSES: dict[str, Callable[..., Loss]] = {
    "cross_entropy": cross_entropy,
    "l2": l2,
    "focal_l2": focal_l2,
    "class_entropy": class_entropy,
}


def loss(name: str, distance: float = 0.0) -> Callable[..., Loss]:
    """Return the loss of that name: a function of a network's output and the target's tensors."""
    return partial(_LOSSES[name], distance=distance) if distance else _LOSSES[name]
