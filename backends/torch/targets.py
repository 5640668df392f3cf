"""Inputs and targets of crops, made on a device: as `cic.dataset.targets.Bins` makes them."""

import torch
from torch import Tensor

from backends.torch.device import Device
from cic.colour import lab
from cic.colour.bins import AB
from cic.colour.distributions import BIN_MASK, LIMIT, candidates_of
from cic.colour.rebalance import GRAY_BELOW
from cic.dataset.targets import Bins
from cic.networks import Network
from cic.system.arrays import Array


class Targets:
    """What `network` sees of crops (N, S, S, 3) uint8, and what `bins`, a Bins, has them teach.

    All in float64: in float32 the nearest of the bins would be another here and there.
    """

    def __init__(self, bins: Bins, network: Network, device: Device) -> None:
        self.bins, self.network = bins, network
        step, self.side, candidates = candidates_of(bins.neighbors)
        self.per_unit = 1 / step
        self.candidates = self._fixed(candidates, torch.int64, device)
        self.bin_mask = self._fixed(BIN_MASK, torch.int64, device)
        self.ab = self._fixed(AB, torch.float64, device)
        self.linear = self._fixed(lab.linear_table(), torch.float64, device)
        self.whitened = self._fixed(lab.WHITENED.T, torch.float64, device)
        self.lab_from_f = self._fixed(lab.LAB_FROM_F, torch.float64, device)
        self.weights = None
        if bins.bin_weights is not None:
            self.weights = self._fixed(bins.bin_weights, torch.float64, device)

    def inputs(self, crops: Tensor) -> Tensor:
        """(N, 1, S, S) float64."""
        light = 116 * self._f(crops, self.whitened[:, 1:2]) - 16
        light = (light - self.network.mean) / self.network.scale  # type: ignore[operator]  # of L
        return light.permute(0, 3, 1, 2)

    def of(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(index (N, K, s, s) int64, weight float64)."""
        ab = self._ab(crops)
        index, squares = self._nearest(ab)
        weight = torch.softmax(squares * (-0.5 / self.bins.sigma**2), -1)
        if self.weights is not None:
            weight = weight * self.weights[index[..., :1]]
        if not self.bins.keep_gray:
            coloured = ab.abs().amax((1, 2, 3), keepdim=True) > GRAY_BELOW
            weight = weight * coloured
        return index.permute(0, 3, 1, 2), weight.permute(0, 3, 1, 2)

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
        return ab.reshape(cells).mean((2, 4))

    def _f(self, crops: Tensor, whitened: Tensor) -> Tensor:
        """CIE 15's f of X, Y, Z over white, or of those columns of them."""
        t = self.linear[crops.long()] @ whitened
        return torch.where(t > lab.F_KNEE**3, t ** (1 / 3), lab.F_SLOPE * t + 4 / 29)

    def _nearest(self, ab: Tensor) -> tuple[Tensor, Tensor]:
        """(nearest bins (..., K), nearest first, their squared distances): see `soft_encode`.

        Equal distances fall to the lower bin.
        """
        cell = ((ab + LIMIT) * self.per_unit).long()
        candidates = self.candidates[cell[..., 0] * self.side + cell[..., 1]]
        squares = (ab[..., None, :] - self.ab[candidates]).square().sum(-1)
        key = squares.view(torch.int64) & ~self.bin_mask | candidates
        key = key.topk(self.bins.neighbors, -1, largest=False).values
        return key & self.bin_mask, (key & ~self.bin_mask).view(torch.float64)

    @staticmethod
    def _fixed(array: Array | int, dtype: torch.dtype, device: Device) -> Tensor:
        return torch.tensor(array, dtype=dtype, device=device)
