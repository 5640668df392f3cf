"""The moving average of the weights: see `cic.weights.averaging`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from backends.torch.device import copied
from cic.system.arrays import State
from cic.weights.averaging import PREFIX


def _decay_at(decay: float, step: Tensor) -> Tensor:
    """`cic.weights.averaging.decay_at` of a tensor."""
    return ((1 + step) / (10 + step)).clamp(max=decay)


class Average:
    """The average of {neutral name: tensor}, which begins as they are."""

    def __init__(self, tensors: dict[str, Tensor], decay: float) -> None:
        self.tensors, self.decay = tensors, decay
        self.values = {name: tensor.detach().clone() for name, tensor in tensors.items()}

    @torch.no_grad()
    def update(self, steps: Tensor, skipped: Tensor) -> None:
        """Take in the weights after so many steps; nothing if `skipped`. Both are 0-d tensors."""
        share = 1 - _decay_at(self.decay, steps.double() - 1)
        share = (share * (1 - skipped)).to(next(iter(self.values.values())).dtype)
        pairs = list(self.values.values()), list(self.tensors.values())
        torch._foreach_lerp_(*pairs, [share] * len(self.values))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """A context in which the tensors have the average's values."""
        before = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}
        self._show(self.values)
        try:
            yield
        finally:
            self._show(before)

    @torch.no_grad()
    def _show(self, values: Mapping[str, Tensor]) -> None:
        for name, tensor in self.tensors.items():
            tensor.copy_(values[name])

    def state(self) -> State:
        """{name: array} to go on from."""
        return {PREFIX + n: copied(value) for n, value in self.values.items()}

    @torch.no_grad()
    def load(self, arrays: State) -> None:
        """Go on from what `state` gave; begin with the tensors if there is no average in it."""
        begins = not any(name.startswith(PREFIX) for name in arrays)
        for name, value in self.values.items():
            if begins:
                value.copy_(self.tensors[name])
            else:
                value.copy_(torch.from_numpy(arrays[PREFIX + name]))
