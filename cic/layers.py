"""The few layers that networks are made of, as data: names, shapes and costs, no arithmetic.

Every record knows `parameters` and `statistics` ({neutral name: shape}, trained and running),
`output(shape)` for a (C, H, W) input, (F,) after Flatten, and `multiply_adds(shape)`. Arrays have
PyTorch's orientation: convolution OIHW, transposed convolution IOHW, linear layer (out, in).
"""

from dataclasses import dataclass
from math import prod
from typing import ClassVar


class Layer:
    """What a layer has unless it says otherwise: no arrays, the input's shape, no cost.

    `constants` are the initial values of its arrays, {last part of the name: value}; an array that
    is not among them is a kernel, drawn at random by its layer's `fan_in`.
    """

    parameters: ClassVar[dict] = {}
    statistics: ClassVar[dict] = {}
    constants: ClassVar[dict] = {}

    def output(self, shape):
        return shape

    def multiply_adds(self, shape):
        return 0


@dataclass(frozen=True)
class Conv(Layer):
    """Convolution with a square kernel, (inputs, H, W) -> (outputs, H', W')."""

    name: str
    inputs: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    dilation: int = 1

    constants: ClassVar[dict] = {"bias": 0.0}

    @property
    def parameters(self):
        weight = (self.outputs, self.inputs, self.kernel, self.kernel)
        return {f"{self.name}.weight": weight, f"{self.name}.bias": (self.outputs,)}

    @property
    def fan_in(self):
        """Inputs that one output sums over."""
        return self.inputs * self.kernel**2

    def output(self, shape):
        reach = self.dilation * (self.kernel - 1) + 1
        return self.outputs, *((n + 2 * self.padding - reach) // self.stride + 1 for n in shape[1:])

    def multiply_adds(self, shape):
        return prod(self.output(shape)) * self.fan_in


@dataclass(frozen=True)
class ConvTranspose(Layer):
    """Transposed convolution with a square kernel, (inputs, H, W) -> (outputs, H', W')."""

    name: str
    inputs: int
    outputs: int
    kernel: int = 4
    stride: int = 2
    padding: int = 1

    constants: ClassVar[dict] = {"bias": 0.0}

    @property
    def parameters(self):
        weight = (self.inputs, self.outputs, self.kernel, self.kernel)
        return {f"{self.name}.weight": weight, f"{self.name}.bias": (self.outputs,)}

    @property
    def fan_in(self):
        """Inputs that one output sums over: each reaches every stride-th output only."""
        return self.inputs * self.kernel**2 // self.stride**2

    def output(self, shape):
        grow = self.kernel - 2 * self.padding
        return self.outputs, *((n - 1) * self.stride + grow for n in shape[1:])

    def multiply_adds(self, shape):
        return prod(shape) * self.outputs * self.kernel**2


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalisation with affine parameters, (channels, H, W) -> the same shape.

    `momentum` is the share of the new batch in the running statistics (PyTorch's convention;
    Paddle's is 1 minus it). The running variance is the unbiased one, as in Caffe and PyTorch.
    """

    name: str
    channels: int
    momentum: float = 0.1
    epsilon: float = 1e-5

    constants: ClassVar[dict] = {
        "weight": 1.0,
        "bias": 0.0,
        "running_mean": 0.0,
        "running_var": 1.0,
    }

    @property
    def parameters(self):
        return {f"{self.name}.{part}": (self.channels,) for part in ("weight", "bias")}

    @property
    def statistics(self):
        return {f"{self.name}.{part}": (self.channels,) for part in ("running_mean", "running_var")}

    def multiply_adds(self, shape):
        return prod(shape)


@dataclass(frozen=True)
class ReLU(Layer):
    """max(x, 0), any shape."""


@dataclass(frozen=True)
class MaxPool(Layer):
    """Largest of each square window, (C, H, W) -> (C, H', W'); what fills no window is left out."""

    kernel: int = 2
    stride: int = 2

    def output(self, shape):
        return shape[0], *((n - self.kernel) // self.stride + 1 for n in shape[1:])


@dataclass(frozen=True)
class Flatten(Layer):
    """(C, H, W) -> (C H W,), the channels outermost."""

    def output(self, shape):
        return (prod(shape),)


@dataclass(frozen=True)
class Linear(Layer):
    """Matrix and bias, (inputs,) -> (outputs,)."""

    name: str
    inputs: int
    outputs: int

    constants: ClassVar[dict] = {"bias": 0.0}

    @property
    def parameters(self):
        weight = (self.outputs, self.inputs)
        return {f"{self.name}.weight": weight, f"{self.name}.bias": (self.outputs,)}

    @property
    def fan_in(self):
        """Inputs that one output sums over."""
        return self.inputs

    def output(self, shape):
        if shape != (self.inputs,):
            raise ValueError(f"{self.name} takes {self.inputs} features, not an input of {shape}")
        return (self.outputs,)

    def multiply_adds(self, shape):
        return self.inputs * self.outputs
