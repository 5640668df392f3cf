"""The few layers that networks are made of, as data: names, shapes and costs, no arithmetic.

Every record knows `parameters` and `statistics` ({neutral name: shape}, trained and running),
`output(shape)` for a (C, H, W) input, (F,) after Flatten or GlobalAverage, and
`multiply_adds(shape)`. Arrays have PyTorch's orientation: convolution OIHW, transposed convolution
IOHW, linear layer (out, in). Every layer has a `name`; layers without arrays may leave it empty.
The output of a named layer outside of blocks can be asked for by its name.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Literal

from cic.system.arrays import Shape


class Layer:
    """The defaults of a layer: no arrays, the input's shape, no cost.

    `constants` are the initial values of its arrays, {last part of the name: value}; an array that
    is not among them is a kernel, drawn at random by its layer's `fan_in`.
    """

    name: str
    fan_in: int  # of layers with a kernel
    parameters: ClassVar[dict[str, Shape]] = {}
    statistics: ClassVar[dict[str, Shape]] = {}
    constants: ClassVar[dict[str, float]] = {}
    __dataclass_fields__: ClassVar[dict[str, Any]]  # every layer is one: `replace` takes them all

    def output(self, shape: Shape) -> Shape:
        return shape

    def multiply_adds(self, shape: Shape) -> int:
        return 0

    def flat(self) -> Iterator["Layer"]:
        """Yield this layer and those inside it."""
        yield self


@dataclass(frozen=True)
class Conv(Layer):
    """Convolution with a square kernel, (inputs, H, W) -> (outputs, H', W').

    `padding` is the zeros on every side, or a pair: those before (left and above) and after. Each
    of `groups` equal groups of channels sees only its own; with as many groups as inputs it is
    depthwise. If `spectral`, the kernel is divided by its spectral norm (see `spectral`). `start`
    is the initial bias.
    """

    name: str
    inputs: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    padding: int | tuple[int, int] = 1
    dilation: int = 1
    bias: bool = True
    spectral: bool = False
    start: float = 0.0
    groups: int = 1

    @property
    def constants(self) -> dict[str, float]:
        return {"bias": self.start}

    @property
    def parameters(self) -> dict[str, Shape]:
        weight = (self.outputs, self.inputs // self.groups, self.kernel, self.kernel)
        shapes = {f"{self.name}.weight": weight}
        return shapes | ({f"{self.name}.bias": (self.outputs,)} if self.bias else {})

    @property
    def statistics(self) -> dict[str, Shape]:
        if not self.spectral:
            return {}
        return {f"{self.name}.weight_u": (self.outputs,), f"{self.name}.weight_v": (self.fan_in,)}

    @property
    def fan_in(self) -> int:
        """Inputs that one output sums over."""
        return self.inputs // self.groups * self.kernel**2

    @property
    def sides(self) -> tuple[int, int]:
        """(zeros before, zeros after) the picture, along both axes."""
        return self.padding if isinstance(self.padding, tuple) else (self.padding, self.padding)

    def output(self, shape: Shape) -> Shape:
        spare = sum(self.sides) - self.dilation * (self.kernel - 1) - 1
        return self.outputs, *((n + spare) // self.stride + 1 for n in shape[1:])

    def multiply_adds(self, shape: Shape) -> int:
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

    constants: ClassVar[dict[str, float]] = {"bias": 0.0}

    @property
    def parameters(self) -> dict[str, Shape]:
        weight = (self.inputs, self.outputs, self.kernel, self.kernel)
        return {f"{self.name}.weight": weight, f"{self.name}.bias": (self.outputs,)}

    @property
    def fan_in(self) -> int:
        """Inputs that one output sums over: each reaches every stride-th output only."""
        return self.inputs * self.kernel**2 // self.stride**2

    def output(self, shape: Shape) -> Shape:
        grow = self.kernel - 2 * self.padding
        return self.outputs, *((n - 1) * self.stride + grow for n in shape[1:])

    def multiply_adds(self, shape: Shape) -> int:
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

    constants: ClassVar[dict[str, float]] = {
        "weight": 1.0,
        "bias": 0.0,
        "running_mean": 0.0,
        "running_var": 1.0,
    }

    @property
    def parameters(self) -> dict[str, Shape]:
        return {f"{self.name}.{part}": (self.channels,) for part in ("weight", "bias")}

    @property
    def statistics(self) -> dict[str, Shape]:
        return {f"{self.name}.{part}": (self.channels,) for part in ("running_mean", "running_var")}

    def multiply_adds(self, shape: Shape) -> int:
        return prod(shape)


@dataclass(frozen=True)
class InstanceNorm(Layer):
    """Each channel of each photo less its mean, divided by its deviation; without parameters."""

    name: str = ""
    epsilon: float = 1e-5

    def multiply_adds(self, shape: Shape) -> int:
        return prod(shape)


@dataclass(frozen=True)
class ReLU(Layer):
    """max(x, 0), any shape."""

    name: str = ""


@dataclass(frozen=True)
class ReLU6(Layer):
    """min(max(x, 0), 6), any shape."""

    name: str = ""


@dataclass(frozen=True)
class LeakyReLU(Layer):
    """x, or `slope` times x where it is negative, any shape."""

    name: str = ""
    slope: float = 0.2


@dataclass(frozen=True)
class Sigmoid(Layer):
    """1 / (1 + exp(-x)), any shape."""

    name: str = ""


@dataclass(frozen=True)
class Dropout(Layer):
    """In training each number becomes 0 with probability `rate`; the others grow by 1 / (1 - rate).

    The photo and the layer's name decide which: see `cic.system.randomness.dropout_factors`.
    """

    name: str
    rate: float = 0.5


@dataclass(frozen=True)
class MaxPool(Layer):
    """Largest of each square window, (C, H, W) -> (C, H', W'); a rest without a whole window is
    left out.
    """

    kernel: int = 2
    stride: int = 2
    padding: int = 0
    name: str = ""

    def output(self, shape: Shape) -> Shape:
        reach = 2 * self.padding - self.kernel
        return shape[0], *((n + reach) // self.stride + 1 for n in shape[1:])


@dataclass(frozen=True)
class AveragePool(MaxPool):
    """Mean of each square window, (C, H, W) -> (C, H', W'); a rest without a whole window is left
    out.
    """


@dataclass(frozen=True)
class GlobalAverage(Layer):
    """Mean over the whole picture, (C, H, W) -> (C,)."""

    name: str = ""

    def output(self, shape: Shape) -> Shape:
        return shape[:1]


@dataclass(frozen=True)
class GlobalContext(Layer):
    """Mean over the whole picture, at every place, (C, H, W) -> the same shape (ParseNet, 2015)."""

    name: str = ""


@dataclass(frozen=True)
class Upsample(Layer):
    """Enlargement, (C, H, W) -> (C, scale H, scale W), "bicubic" or "bilinear".

    Pixels are squares, their middles half a pixel from the edge; the bicubic kernel is Keys's with
    a = -0.75, as PyTorch and Paddle have it.
    """

    scale: int = 4
    name: str = ""
    mode: Literal["bicubic", "bilinear"] = "bicubic"

    TAPS: ClassVar[dict[str, int]] = {
        "bicubic": 4,
        "bilinear": 2,
    }  # pixels a line that one output sums over

    def output(self, shape: Shape) -> Shape:
        return shape[0], *(n * self.scale for n in shape[1:])

    def multiply_adds(self, shape: Shape) -> int:
        return self.TAPS[self.mode] ** 2 * prod(self.output(shape))


@dataclass(frozen=True)
class Flatten(Layer):
    """(C, H, W) -> (C H W,), the channels outermost."""

    name: str = ""

    def output(self, shape: Shape) -> Shape:
        return (prod(shape),)


@dataclass(frozen=True)
class Linear(Layer):
    """Matrix and bias, (inputs,) -> (outputs,)."""

    name: str
    inputs: int
    outputs: int

    constants: ClassVar[dict[str, float]] = {"bias": 0.0}

    @property
    def parameters(self) -> dict[str, Shape]:
        weight = (self.outputs, self.inputs)
        return {f"{self.name}.weight": weight, f"{self.name}.bias": (self.outputs,)}

    @property
    def fan_in(self) -> int:
        """Inputs that one output sums over."""
        return self.inputs

    def output(self, shape: Shape) -> Shape:
        if shape != (self.inputs,):
            raise ValueError(f"{self.name} takes {self.inputs} features, not an input of {shape}")
        return (self.outputs,)

    def multiply_adds(self, shape: Shape) -> int:
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Branches(Layer):
    """Several sequences of layers on one input, put together; an empty one is the input itself."""

    name: str
    branches: tuple[tuple[Layer, ...], ...]

    @property
    def parameters(self) -> dict[str, Shape]:
        return {n: s for layer in self._inside() for n, s in layer.parameters.items()}

    @property
    def statistics(self) -> dict[str, Shape]:
        return {n: s for layer in self._inside() for n, s in layer.statistics.items()}

    def _inside(self) -> Iterator[Layer]:
        return (layer for branch in self.branches for layer in branch)

    def flat(self) -> Iterator[Layer]:
        yield self
        for layer in self._inside():
            yield from layer.flat()

    def output(self, shape: Shape) -> Shape:
        outputs = {output_shape(branch, shape) for branch in self.branches}
        if len(outputs) > 1:
            raise ValueError(f"the branches of {self.name} put out {sorted(outputs)}")
        return outputs.pop()

    def multiply_adds(self, shape: Shape) -> int:
        return sum(cost(branch, shape) for branch in self.branches)


@dataclass(frozen=True)
class Sum(Branches):
    """Sum of the branches' outputs: a residual block."""


@dataclass(frozen=True)
class Product(Branches):
    """Product of the branches' outputs: a gate."""


def output_shape(layers: Iterable[Layer], shape: Shape) -> Shape:
    """Return the Shape of the output of a sequence of layers for an input of `shape`."""
    for layer in layers:
        shape = layer.output(shape)
    return shape


def total_outputs(layers: Iterable[Layer], shape: Shape) -> int:
    """Return how many numbers all of a sequence of layers put out together for an input of
    `shape`.
    """
    total = 0
    for layer in layers:
        if isinstance(layer, Branches):
            total += sum(total_outputs(branch, shape) for branch in layer.branches)
        shape = layer.output(shape)
        total += prod(shape)
    return total


def cost(layers: Iterable[Layer], shape: Shape) -> int:
    """Return the multiply-adds of a sequence of layers for an input of `shape`."""
    total = 0
    for layer in layers:
        total += layer.multiply_adds(shape)
        shape = layer.output(shape)
    return total
