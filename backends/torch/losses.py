"""The losses of cic.training.losses on tensors: each is (total, count)."""

from math import prod

import torch

from backends.torch import distributed
from cic.training.losses import FOCUS


def _exact(tensor):
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def cross_entropy(logits, index, weight):
    """`cic.training.losses.cross_entropy`: sparse soft labels, (N, K, H, W)."""
    picked = _exact(logits).log_softmax(1).gather(1, index.long())
    return -(weight * picked).sum() / prod(logits.shape[2:]), len(logits)


def l2(prediction, target):
    """`cic.training.losses.l2`: both (N, 2, H, W), scaled ab."""
    error = (_exact(prediction) - target).square()
    return error.sum() / prod(target.shape[1:]), len(target)


def focal_l2(prediction, target):
    """`losses.focal_l2`: both (N, 2, H, W); the largest error is that of all processes."""
    error = (_exact(prediction) - target).square()
    largest = distributed.largest(error.detach())
    relative = error.detach() / largest.clamp(min=torch.finfo(error.dtype).tiny)
    mask = torch.sigmoid(FOCUS * (relative - 0.5))
    return (error * mask).sum(), mask.sum()


def class_entropy(logits, label):
    """`cic.training.losses.class_entropy`: logits (N, classes), label (N,)."""
    picked = _exact(logits).log_softmax(1).gather(1, label[:, None])
    return -picked.sum(), len(label)


_LOSSES = {
    "cross_entropy": cross_entropy,
    "l2": l2,
    "focal_l2": focal_l2,
    "class_entropy": class_entropy,
}


def loss(name):
    """The loss of that name: a function of a network's output and the target's tensors."""
    return _LOSSES[name]
