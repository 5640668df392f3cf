"""The moving average of the weights: see `cic.weights.averaging`."""

from contextlib import contextmanager

import numpy as np
import paddle

from backends.paddle.device import copied
from cic.weights.averaging import PREFIX, decay_at


class Average:
    """The average of {neutral name: tensor}, which begins as they are."""

    def __init__(self, tensors, decay):
        self.tensors, self.decay = tensors, decay
        self.values = {name: tensor.detach().clone() for name, tensor in tensors.items()}

    @paddle.no_grad()
    def update(self, step):
        """Take in the weights after `step`, from 0."""
        share = 1 - decay_at(self.decay, step)
        for name, value in self.values.items():  # a number would be copied to the GPU, each time
            value.lerp_(self.tensors[name], paddle.full([1], share, value.dtype))

    @contextmanager
    def shown(self):
        """A context in which the tensors have the average's values."""
        before = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}
        self._show(self.values)
        try:
            yield
        finally:
            self._show(before)

    @paddle.no_grad()
    def _show(self, values):
        for name, tensor in self.tensors.items():
            tensor.copy_(values[name], True)

    def state(self):
        """{name: array} to go on from."""
        return {PREFIX + name: copied(value) for name, value in self.values.items()}

    @paddle.no_grad()
    def load(self, arrays):
        """Go on from what `state` gave; begin with the tensors if there is no average in it."""
        begins = not any(name.startswith(PREFIX) for name in arrays)
        for name, value in self.values.items():
            if begins:
                value.copy_(self.tensors[name], True)
            else:
                dtype = str(value.dtype).removeprefix("paddle.")
                value.set_value(np.ascontiguousarray(arrays[PREFIX + name], dtype))
