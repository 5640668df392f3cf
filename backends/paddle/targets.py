"""Inputs and targets of crops, made on a device: as `cic.dataset.targets.Bins` makes them."""

import paddle
from paddle import Tensor
from paddle.nn import functional as F

from backends.paddle.device import Device
from cic.colour import lab
from cic.colour.bins import AB
from cic.colour.distributions import BIN_MASK, LIMIT, candidates_of
from cic.colour.rebalance import GRAY_BELOW
from cic.dataset.targets import Bins
from cic.networks import Network
from cic.system.arrays import Array

_NORMAL = 1 << 52  # one more in the exponent of a float64


class Targets:
    """What `network` sees of crops (N, S, S, 3) uint8, and what `bins`, a Bins, has them teach.

    All in float64: in float32 the nearest of the bins would be another here and there.
    """

    def __init__(self, bins: Bins, network: Network, device: Device) -> None:
        self.bins, self.network = bins, network
        step, self.side, candidates = candidates_of(bins.neighbors)
        self.per_unit = 1 / step
        self.candidates = self._fixed(candidates, paddle.int64, device)
        self.bin_mask = self._fixed(BIN_MASK, paddle.int64, device)
        self.ab = self._fixed(AB, paddle.float64, device)
        self.linear = self._fixed(lab.linear_table(), paddle.float64, device)
        self.whitened = self._fixed(lab.WHITENED.T, paddle.float64, device)
        self.third = self._fixed(1 / 3, paddle.float64, device)  # a number would be one of 32 bits
        self.lab_from_f = self._fixed(lab.LAB_FROM_F, paddle.float64, device)
        self.weights = None
        if bins.bin_weights is not None:
            self.weights = self._fixed(bins.bin_weights, paddle.float64, device)

    def inputs(self, crops: Tensor) -> Tensor:
        """(N, 1, S, S) float64."""
        light = 116 * self._f(crops, self.whitened[:, 1:2]) - 16
        light = (light - self.network.mean) / self.network.scale  # type: ignore[operator]  # of L
        return light.transpose([0, 3, 1, 2])

    def of(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(index (N, K, s, s) int64, weight float64)."""
        ab = self._ab(crops)
        index, squares = self._nearest(ab)
        weight = F.softmax(squares * (-0.5 / self.bins.sigma**2), -1)
        if self.weights is not None:
            weight = weight * self.weights[index[..., :1]]
        if not self.bins.keep_gray:
            coloured = ab.abs().amax([1, 2, 3], keepdim=True) > GRAY_BELOW
            weight = weight * coloured.astype(weight.dtype)
        return index.transpose([0, 3, 1, 2]), weight.transpose([0, 3, 1, 2])

    def _ab(self, crops: Tensor) -> Tensor:
        """ab (N, s, s, 2) of the cells."""
        stride = self.bins.grid.stride
        if not self.bins.grid.mean:
            crops = crops[:, ::stride, ::stride]
        ab = self._f(crops, self.whitened) @ self.lab_from_f[:, 1:]
        if not self.bins.grid.mean:
            return ab
        count, height, width = ab.shape[:3]
        cells = count, height // stride, stride, width // stride, stride, 2
        return ab.reshape(cells).mean([2, 4])

    def _f(self, crops: Tensor, whitened: Tensor) -> Tensor:
        """CIE 15's f of X, Y, Z over white, or of those columns of them."""
        t = self.linear[crops.astype(paddle.int64)] @ whitened
        return paddle.where(t > lab.F_KNEE**3, t**self.third, lab.F_SLOPE * t + 4 / 29)

    def _nearest(self, ab: Tensor) -> tuple[Tensor, Tensor]:
        """(nearest bins (..., K), nearest first, their squared distances): see `soft_encode`.

        Equal distances fall to the lower bin.
        """
        cell = ((ab + LIMIT) * self.per_unit).astype(paddle.int64)
        candidates = self.candidates[cell[..., 0] * self.side + cell[..., 1]]
        squares = (ab[..., None, :] - self.ab[candidates]).square().sum(-1)
        key = squares.view(paddle.int64) & ~self.bin_mask | candidates
        # Read as floats, which are in the same order: for integers Paddle's kernel of a GPU begins
        # with a cast of infinity. _NORMAL keeps them from being subnormal, which may count as 0.
        floats = (key + _NORMAL).view(paddle.float64)
        floats = floats.topk(self.bins.neighbors, -1, largest=False)[0]
        key = floats.view(paddle.int64) - _NORMAL
        return key & self.bin_mask, (key & ~self.bin_mask).view(paddle.float64)

    @staticmethod
    def _fixed(array: Array | float, dtype: paddle.dtype, device: Device) -> Tensor:
        return paddle.to_tensor(array, dtype, device)
