"""Batch norm whose statistics are those of all processes' photos together."""

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.autograd import PyLayer
from paddle.nn import functional as F

from backends.paddle import distributed
from backends.paddle.device import Device, moved

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
        return mean, ((variances + apart.square()) * self.shares).sum(0)

    def means(self, sums: Tensor, cells: int) -> Tensor:
        """Sums over the cells of all photos, of which each has so many, divided by their number."""
        if cells not in self.inverse:
            self.inverse[cells] = 1 / (self.total * cells)
        return sums * self.inverse[cells]


def spreads(photos: Sequence[int], device: Device, dtype: paddle.dtype) -> list[Spread]:
    """A Spread for each pass of a step, of which this process has so many photos, a list."""
    own = moved(np.array(photos, str(dtype).removeprefix("paddle.")), device)
    counts = paddle.empty([distributed.world_size() * len(photos)], dtype)
    distributed.gather(counts, own)
    counts = counts.reshape([-1, len(photos)])
    totals = counts.sum(0).clip(min=1)
    shares = (counts / totals).unsqueeze(2).unbind(1)
    return [Spread(*each) for each in zip(totals.unbind(), shares)]


def _of(x: Tensor, dtype: paddle.dtype) -> Tensor:
    """Mean and variance of this process's inputs, (2, C); zeros of none."""
    if not len(x):
        return paddle.zeros([2, x.shape[1]], dtype)
    x = x.astype(dtype)
    mean = x.mean((0, 2, 3), keepdim=True)
    variance = (x - mean).square().mean((0, 2, 3), keepdim=True)
    return paddle.concat([mean, variance]).reshape([2, -1])


def _normed(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, epsilon: float
) -> Tensor:
    """Batch norm by given statistics."""
    return F.batch_norm(x, mean, variance, weight, bias, False, epsilon=epsilon)


class _Together(PyLayer):
    """Input, weight and bias of a batch norm by given statistics, as they are.

    The gradients that come back are those of fixed statistics. These follow from the inputs of all
    processes: what flows through them is taken away, by the sums of the weight's and the bias's.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        spread: Spread,
        epsilon: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.spread, ctx.epsilon = spread, epsilon
        same = x.view(x.shape) if x.size else x.clone()  # no view of nothing
        return same, weight.clone(), bias.clone()

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor, of_weight: Tensor, of_bias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        x, weight, mean, variance = ctx.saved_tensor()
        sums = distributed.sum_(paddle.stack([of_weight, of_bias]))
        if len(x):
            scale = weight * paddle.rsqrt(variance + ctx.epsilon)
            means = ctx.spread.means(sums, prod(x.shape[2:])) * scale
            along, level = means.unbind()
            through = _normed(x, mean, variance, along, level, ctx.epsilon)
            gradient = gradient - through
        return gradient, of_weight, of_bias


class BatchNorm2D(nn.BatchNorm2D):
    """Batch norm; in training with a `spread`, that of all processes' photos together.

    Its running statistics are then left to `Statistics`. The running variance takes the unbiased
    variance, as PyTorch's and Caffe's. The kernel's own momentum is float32 and its running
    variance biased on the CPU, so it only gives the batch's statistics here (momentum 0) and the
    running ones are updated in the net's precision. It takes pictures of 16 bits with float32
    statistics.

    Paddle's SyncBatchNorm has no kernel for the CPU, weighs all processes alike, however many
    photos each has, and divides by 0 in one that has none.
    """

    spread: Spread | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        return self._together(x, self.spread) if self.spread else self._alone(x)

    def _alone(self, x: Tensor) -> Tensor:
        mean, variance = paddle.zeros_like(self._mean), paddle.zeros_like(self._variance)
        out = F.batch_norm(
            x, mean, variance, self.weight, self.bias, True, momentum=0.0, epsilon=self._epsilon
        )
        count, share = x.size // x.shape[1], 1 - self._momentum
        # cuDNN's is unbiased as it comes: resultRunningVariance, in its documentation.
        unbiased = 1.0 if x.place.is_gpu_place() else count / max(count - 1, 1)
        self._update(self._mean, mean, share)
        self._update(self._variance, variance * unbiased, share)
        return out

    def _together(self, x: Tensor, spread: Spread) -> Tensor:
        with paddle.no_grad():
            mean, variance = spread.join(*self._gathered(x))
            spread.found[self] = mean, variance, prod(x.shape[2:])
        joined = x, self.weight, self.bias, mean, variance, spread, self._epsilon
        x, weight, bias = _Together.apply(*joined)
        return _normed(x, mean, variance, weight, bias, self._epsilon)

    def _gathered(self, x: Tensor) -> list[Tensor]:
        """Means and variances (P, C) of each process's inputs."""
        count, channels = distributed.world_size(), x.shape[1]
        rows = paddle.empty([2 * count, channels], self._mean.dtype)
        distributed.gather(rows, _of(x, rows.dtype))
        return rows.reshape([count, 2, channels]).unbind(1)

    @paddle.no_grad()
    def _update(self, running: Tensor, batch: Tensor, share: float) -> None:
        running.set_value(running * (1 - share) + batch * share)


class Statistics:
    """What forward passes change in a net, as one tensor: running statistics, power iterations.

    `norms` are its batch norms in training: their means come first, then their variances.
    """

    def __init__(self, norms: Sequence[BatchNorm2D], tensors: Iterable[Tensor]) -> None:
        self.norms = norms
        self.cells: dict[tuple[int, ...], Tensor] = {}  # {cells of each norm's photo: by channel}
        first = [norm._mean for norm in norms] + [norm._variance for norm in norms]
        own = set(map(id, first))
        parts = first + [tensor for tensor in tensors if id(tensor) not in own]
        self.flat = paddle.concat(parts) if parts else paddle.zeros([0])
        start = 0
        for part in parts:  # not as views: each is to count its own changes, for autograd
            part.get_tensor()._share_data_with(self.flat[start : start + part.size].get_tensor())
            start += part.size
        self.running = self.flat[: sum(part.size for part in first)] if first else None
        self.share = self._by_channel([1 - norm._momentum for norm in norms] * 2)

    def _by_channel(self, numbers: Sequence[float]) -> Tensor:
        """A number of each mean and each variance of the norms, as many as it has channels."""
        channels = [norm._mean.size for norm in self.norms] * 2
        array = np.repeat(np.array(numbers, np.float64), channels)
        place = self.flat.place
        device = "cpu" if place.is_cpu_place() else f"gpu:{place.gpu_device_id()}"
        return moved(array, device).astype(self.flat.dtype)

    @paddle.no_grad()
    def take(self, spread: Spread) -> None:
        """Let the running statistics take in those of a pass, the variance unbiased."""
        means, variances, cells = zip(*(spread.found[norm] for norm in self.norms))
        if cells not in self.cells:
            self.cells[cells] = self._by_channel([float("inf")] * len(cells) + list(cells))
        less = (self.cells[cells] * spread.total - 1).clip(min=1)
        found = paddle.concat(means + variances)
        self.running.lerp_(found + found / less, self.share)  # type: ignore[union-attr]

    def copy(self) -> Tensor:
        """Their values, for `restore`."""
        return self.flat.clone()

    @paddle.no_grad()
    def restore(self, values: Tensor) -> None:
        """Give them the values of a `copy` again."""
        self.flat.copy_(values, False)  # type: ignore[call-arg]
