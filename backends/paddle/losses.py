"""The losses of cic.training.losses on tensors: each is (total, count)."""

from collections.abc import Callable
from functools import cache, partial
from math import prod
from typing import TypeAlias

import numpy as np
import paddle
from paddle import Tensor
from paddle.nn import functional as F

from backends.paddle import distributed
from cic.colour.bins import AB
from cic.training.losses import FOCUS

Loss: TypeAlias = tuple[Tensor, Tensor | int]  # (total, count)


def _exact(tensor: Tensor) -> Tensor:
    low = tensor.dtype in (paddle.float16, paddle.bfloat16)
    return tensor.astype("float32") if low else tensor


def _log_likelihood(logits: Tensor, index: Tensor) -> Tensor:
    """Return the logarithm of the softmax over axis 1 at `index`.

    Paddle's log_softmax over axis 1 is a hundred times slower on the CPU, and clamped at -64.
    """
    logits = _exact(logits)
    picked = paddle.take_along_axis(logits, index.astype("int64"), axis=1, broadcast=False)
    return picked - paddle.logsumexp(logits, axis=1, keepdim=True)


@cache
def _bins(dtype: paddle.dtype, place: paddle.base.core.Place) -> Tensor:
    """Return ab of the bins, (2, 313)."""
    return paddle.to_tensor(AB.T, dtype, place)


def _likelihood(logits: Tensor) -> Tensor:
    """Return the softmax over axis 1."""
    logits = _exact(logits)
    share = (logits - logits.max(1, keepdim=True).detach()).exp()
    return share / share.sum(1, keepdim=True)


def cross_entropy(logits: Tensor, index: Tensor, weight: Tensor, distance: float = 0.0) -> Loss:
    """Compute `cic.training.losses.cross_entropy`: sparse soft labels, (N, K, H, W)."""
    picked = _log_likelihood(logits, index)
    total = -(weight * picked).sum()
    if distance:
        share = _likelihood(logits)
        total = total + distance * colour_distance(share, index.astype("int64"), weight)
    return total / prod(logits.shape[2:]), len(logits)


def colour_distance(share: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Compute `cic.training.losses.colour_distance` of the softmax of the logits."""
    bins = _bins(share.dtype, share.place)
    mean = paddle.einsum("nqhw,cq->nchw", share, bins)
    pixel = weight.sum(1, keepdim=True)
    true = paddle.stack([(weight * channel[index]).sum(1) for channel in bins], 1)
    true = true / pixel.clip(min=float(np.finfo(np.float32).tiny))
    squares = (mean - true).square().sum(1, keepdim=True)  # type: ignore[operator]
    return (pixel.sqrt() * ((1 + squares).sqrt() - 1)).sum()


def l2(prediction: Tensor, target: Tensor) -> Loss:
    """Compute `cic.training.losses.l2`: both (N, 2, H, W), scaled ab."""
    error = (_exact(prediction) - target).square()
    return error.sum() / prod(target.shape[1:]), len(target)


def focal_l2(prediction: Tensor, target: Tensor) -> Loss:
    """Compute `losses.focal_l2`: both (N, 2, H, W); the largest error is that of all processes."""
    error = (_exact(prediction) - target).square()
    largest = distributed.largest(error.detach())
    tiny = float(np.finfo(str(error.dtype).removeprefix("paddle.")).tiny)
    relative = error.detach() / largest.clip(min=tiny)
    mask = F.sigmoid(FOCUS * (relative - 0.5))
    return (error * mask).sum(), mask.sum()


def class_entropy(logits: Tensor, label: Tensor) -> Loss:
    """Compute `cic.training.losses.class_entropy`: logits (N, classes), label (N,)."""
    return -_log_likelihood(logits, label[:, None]).sum(), len(label)


_LOSSES: dict[str, Callable[..., Loss]] = {
    "cross_entropy": cross_entropy,
    "l2": l2,
    "focal_l2": focal_l2,
    "class_entropy": class_entropy,
}


def loss(name: str, distance: float = 0.0) -> Callable[..., Loss]:
    """Return the loss of that name: a function of a network's output and the target's tensors."""
    return partial(_LOSSES[name], distance=distance) if distance else _LOSSES[name]
