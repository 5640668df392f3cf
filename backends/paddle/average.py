"""The moving average of the weights: see `cic.weights.averaging`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import paddle
from paddle import Tensor

from backends.paddle.device import copied
from cic.system.arrays import State
from cic.weights.averaging import PREFIX, decay_at


class Average:
    """The average of {neutral name: tensor}, which begins as they are."""

    def __init__(self, tensors: dict[str, Tensor], decay: float) -> None:
        self.tensors, self.decay = tensors, decay
        self.values = {name: tensor.detach().clone() for name, tensor in tensors.items()}

    @paddle.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step`, from 0."""
        share = 1 - decay_at(self.decay, step)
        for name, value in self.values.items():  # a number would be copied to the GPU, each time
            value.lerp_(self.tensors[name], paddle.full([1], share, value.dtype))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """A context in which the tensors have the average's values."""
        before = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}
        self._show(self.values)
        try:
            yield
        finally:
            self._show(before)

    @paddle.no_grad()
    def _show(self, values: Mapping[str, Tensor]) -> None:
        for name, tensor in self.tensors.items():
            tensor.copy_(values[name], True)  # type: ignore[call-arg]

    def state(self) -> State:
        """{name: array} to go on from."""
        return {PREFIX + name: copied(value) for name, value in self.values.items()}

    @paddle.no_grad()
    def load(self, arrays: State) -> None:
        """Go on from what `state` gave; begin with the tensors if there is no average in it."""
        begins = not any(name.startswith(PREFIX) for name in arrays)
        for name, value in self.values.items():
            if begins:
                value.copy_(self.tensors[name], True)  # type: ignore[call-arg]
            else:
                dtype = str(value.dtype).removeprefix("paddle.")
                value.set_value(np.ascontiguousarray(arrays[PREFIX + name], dtype))
