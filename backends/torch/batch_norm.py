"""Batch norm whose statistics are those of all processes' photos together."""

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from backends.torch import distributed
from backends.torch.device import Device, moved

_backward = torch.ops.aten.native_batch_norm_backward


Found: TypeAlias = tuple[Tensor, Tensor, int]  # mean (C,), variance (C,), cells of a photo


class Spread:
    """How the photos of a pass are spread over the processes, and what its batch norms find.

    `total` () is their number, at least 1; `shares` (P, 1) are the processes' shares of it.
    """

    def __init__(self, total: Tensor, shares: Tensor) -> None:
        self.total, self.shares = total, shares
        self.found: dict[BatchNorm2D, Found] = {}
        self.inverse: dict[int, Tensor] = {}  # {cells of a photo: one over those of all ()}

    def join(self, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
        """(mean (C,), variance (C,)) of all, by Chan et al. 1979, of each process's (P, C)."""
        mean = (means * self.shares).sum(0)
        apart = means - mean
        return mean, (torch.addcmul(variances, apart, apart) * self.shares).sum(0)

    def means(self, sums: Tensor, cells: int) -> Tensor:
        """Sums over the cells of all photos, of which each has so many, divided by their number."""
        if cells not in self.inverse:
            self.inverse[cells] = 1 / (self.total * cells)
        return sums * self.inverse[cells]


def spreads(photos: Sequence[int], device: Device, dtype: torch.dtype) -> list[Spread]:
    """A Spread for each pass of a step, of which this process has so many photos, a list."""
    own = moved(np.array(photos, str(dtype).removeprefix("torch.")), device)
    counts = own.new_empty(distributed.world_size() * len(photos))
    distributed.gather(counts, own)
    counts = counts.view(-1, len(photos))
    totals = counts.sum(0).clamp_(min=1)
    shares = (counts / totals)[..., None].unbind(1)
    return [Spread(*each) for each in zip(totals.unbind(), shares)]


def _of(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Mean and variance of this process's inputs, (2, C); zeros of none."""
    if not len(x):
        return torch.zeros((2, x.shape[1]), dtype=dtype, device=x.device)
    variance, mean = torch.var_mean(x.to(dtype), (0, 2, 3), correction=0)
    return torch.stack([mean, variance])


def _normed(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, epsilon: float
) -> Tensor:
    """Batch norm by given statistics."""
    if not len(x):
        return x.clone()
    return torch.native_batch_norm(x, weight, bias, mean, variance, False, 0.0, epsilon)[0]


class _Together(torch.autograd.Function):
    """Batch norm by the statistics of all processes, and the gradients that flow through these.

    Its kernels are those of given statistics, in both directions. Before the one of the gradient,
    its means over all cells are taken from it: that itself, and along the normed input.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, spread: Spread, norm: "BatchNorm2D"
    ) -> Tensor:
        cells = prod(x.shape[2:])
        distributed.gather(norm.rows, _of(x, weight.dtype))  # type: ignore[arg-type]
        mean, variance = spread.join(*norm.parts)
        spread.found[norm] = mean, variance, cells
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.spread, ctx.cells, ctx.epsilon = spread, cells, norm.eps
        return _normed(x, mean, variance, weight, bias, norm.eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance = ctx.saved_tensors
        given = x, weight, mean, variance, None, None, False, ctx.epsilon
        if len(x):
            _, *own = _backward(gradient, *given, (False, True, True))
        else:
            own = torch.zeros_like(weight), torch.zeros_like(weight)
        along, level = ctx.spread.means(distributed.sum_(torch.stack(own)), ctx.cells).unbind()
        if len(x):
            gradient = gradient - _normed(x, mean, variance, along, level, ctx.epsilon)
            gradient, *_ = _backward(gradient, *given, (True, False, False))
        return gradient, *own, None, None


class BatchNorm2D(nn.BatchNorm2d):
    """Batch norm; in training with a `spread`, that of all processes' photos together.

    Its running statistics are then left to `Statistics`. PyTorch's SyncBatchNorm has no kernel for
    the CPU, and makes the process wait for the GPU in each layer, to leave out processes without
    photos.
    """

    momentum: float
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        self.spread: Spread | None = None
        self.rows: Tensor | None = None
        self.parts: Sequence[Tensor] = ()

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.spread is None:
            return super().forward(x)
        if self.rows is None:  # where the statistics of all processes arrive
            count, channels = distributed.world_size(), self.num_features
            self.rows = self.running_mean.new_empty(2 * count, channels)
            self.parts = self.rows.view(count, 2, channels).unbind(1)
        return _Together.apply(x, self.weight, self.bias, self.spread, self)


class Statistics:
    """What forward passes change in a net, as one tensor: running statistics, power iterations.

    `norms` are its batch norms in training: their means come first, then their variances.
    """

    def __init__(self, norms: Sequence[BatchNorm2D], tensors: Iterable[Tensor]) -> None:
        self.norms = norms
        self.cells: dict[tuple[int, ...], Tensor] = {}  # {cells of each norm's photo: by channel}
        first = [norm.running_mean for norm in norms] + [norm.running_var for norm in norms]
        own = set(map(id, first))
        parts = first + [tensor for tensor in tensors if id(tensor) not in own]
        self.flat = torch.cat([part.flatten() for part in parts]) if parts else torch.zeros(0)
        start = 0
        for part in parts:  # not as views: each is to count its own changes, for autograd
            part.set_(self.flat.untyped_storage(), start, part.shape, part.stride())
            start += part.numel()
        self.running = self.flat[: sum(part.numel() for part in first)]
        self.share = self._by_channel([norm.momentum for norm in norms] * 2)

    def _by_channel(self, numbers: Sequence[float]) -> Tensor:
        """A number of each mean and each variance of the norms, as many as it has channels."""
        channels = [norm.num_features for norm in self.norms] * 2
        array = np.repeat(np.array(numbers, np.float64), channels)
        return moved(array, self.flat.device).to(self.flat.dtype)

    @torch.no_grad()
    def take(self, spread: Spread) -> None:
        """Let the running statistics take in those of a pass, the variance unbiased."""
        means, variances, cells = zip(*(spread.found[norm] for norm in self.norms))
        if cells not in self.cells:
            self.cells[cells] = self._by_channel([float("inf")] * len(cells) + list(cells))
        less = (self.cells[cells] * spread.total).sub_(1).clamp_(min=1)
        found = torch.cat(means + variances)
        self.running.lerp_(found.addcdiv_(found, less), self.share)

    def copy(self) -> Tensor:
        """Their values, for `restore`."""
        return self.flat.clone()

    @torch.no_grad()
    def restore(self, values: Tensor, wanted: Tensor) -> None:
        """Give them the values of a `copy` again, if a 0-d tensor says that this is wanted."""
        self.flat.copy_(torch.where(wanted, values, self.flat))
