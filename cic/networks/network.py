"""A network: its layers, and what its users must know."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from math import inf, prod
from typing import Any

import numpy as np

from cic.colour import spaces
from cic.networks import layers
from cic.networks.layers import Layer
from cic.system.arrays import Array, Bytes, Floats, Shape
from cic.system.errors import InputError, SettingError

BINS, AB, CLASSES = "bins", "ab", "classes"  # what a network can predict
DROPOUT = 0.5  # of the classifiers between their linear layers, as all their sources have it


@dataclass(frozen=True)
class Network:
    """A network's layers in order, and what its users must know.

    `options` are the arguments that `get(name, **options)` rebuilds it from. `channels` is the
    number of input channels. The input's sides must be multiples of `multiple`, so that every
    stride divides them evenly; `size` is the side of a square input, None for any. The input is
    `space` (see `cic.colour.spaces`) less `mean`, divided by `scale`; with several channels, these
    have an entry for each. If the network is `masked`, parts of its input are hidden (see
    `cic.dataset.masks`).

    It `predicts` BINS, logits over the 313 bins (313, h, w); AB, the ab themselves (2, h, w), less
    `out_mean`, divided by `out_scale`; or CLASSES, a logit a class (classes,).

    `encoder` names the parts of its encoder, in order from the input. Other networks can start from
    a trained encoder. The arrays of a part begin with its name and a dot.
    """

    name: str
    layers: tuple[Layer, ...]
    options: dict[str, Any] = field(default_factory=dict)
    channels: int = 1
    multiple: int = 8
    size: int | None = None
    space: str = "L"
    mean: float | tuple[float, ...] = 50.0
    scale: float | tuple[float, ...] = 1.0
    masked: bool = False
    predicts: str = BINS
    out_mean: float = 0.0
    out_scale: float = 1.0
    encoder: tuple[str, ...] = ()

    def __str__(self) -> str:
        options = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.name}({options})"

    @cached_property
    def flat(self) -> tuple[Layer, ...]:
        """All layers, those inside others too."""
        return tuple(inner for layer in self.layers for inner in layer.flat())

    @property
    def parameters(self) -> dict[str, Shape]:
        """Trained arrays, {neutral name: shape}."""
        return {name: shape for layer in self.layers for name, shape in layer.parameters.items()}

    @property
    def statistics(self) -> dict[str, Shape]:
        """Arrays that training follows but no gradient changes, {neutral name: shape}."""
        return {name: shape for layer in self.layers for name, shape in layer.statistics.items()}

    @property
    def state_shapes(self) -> dict[str, Shape]:
        """Everything a checkpoint of the weights holds, {neutral name: shape}."""
        return self.parameters | self.statistics

    @property
    def parameter_count(self) -> int:
        """Number of trained numbers."""
        return sum(prod(shape) for shape in self.parameters.values())

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the layers whose output `features` gives."""
        return tuple(layer.name for layer in self.layers if layer.name)

    def part(self, name: str) -> int | None:
        """Return the number of the encoder's part, from 0, that has a layer or array; None if it
        has not.
        """
        has = (name == part or name.startswith(f"{part}.") for part in self.encoder)
        return next((i for i, mine in enumerate(has) if mine), None)

    def output(self, shape: Shape) -> Shape:
        """Return (C, H, W) of the output for an input (C, H, W); (classes,) of a classifier's."""
        return layers.output_shape(self.layers, shape)

    def multiply_adds(self, shape: Shape) -> int:
        """Return the multiply-adds of one forward pass of an input (C, H, W)."""
        return layers.cost(self.layers, shape)

    @property
    def is_classifier(self) -> bool:
        """Whether the output is one logit a class, (classes,), and no picture."""
        return self.predicts == CLASSES

    @property
    def side(self) -> int:
        """Side of a square input; raises ValueError if it may have any."""
        if self.size is None:
            raise InputError(f"{self} takes pictures of any size")
        return self.size

    @cached_property
    def stride(self) -> int:
        """Input pixels a side for one output pixel; raises ValueError if the output is none."""
        if self.is_classifier:
            raise InputError(f"{self} is a classifier: it does not colorize")
        side = self.size or 8 * self.multiple
        return side // self.output((self.channels, side, side))[1]

    def prepare(self, values: Array) -> Array:
        """Return the network input for values of its `space`, (...) or (..., C) of several,
        float32.
        """
        return (values - _exact(self.mean)) / _exact(self.scale)

    def input_words(self) -> str:
        """Return what the network takes, for people: "L, less 50.0, divided by 1.0"."""
        return f"{self.space}, less {self.mean}, divided by {self.scale}"

    def inputs(self, rgb: Bytes) -> Floats:
        """Return the network input (..., C, H, W) float32 for photos (..., H, W, 3) uint8 sRGB."""
        return np.moveaxis(self.prepare(spaces.READ[self.space](rgb)), -1, -3)

    def scale_ab(self, ab: Array) -> Array:
        """Return what the network is to put out for ab, any shape, CIELAB units, float32."""
        return (ab - self.out_mean) / self.out_scale

    def unscale_ab(self, output: Array) -> Array:
        """ab, CIELAB units, float32, of the network's output, any shape."""
        return output * self.out_scale + self.out_mean

    def check_taps(self, names: Iterable[str]) -> None:
        """Raise ValueError unless all of the names are those of layers."""
        for name in names:
            if name not in self.taps:
                raise SettingError(f"{self} has no layer {name!r}; it has {', '.join(self.taps)}")


def _exact(value: float | tuple[float, ...]) -> Any:
    return np.asarray(value, np.float32) if isinstance(value, tuple) else value


def scaled(width: float) -> Callable[[int], int]:
    """Return the function that scales a number of channels by `width`, to a multiple of 8."""
    if isinstance(width, bool) or not 0 < width < inf:
        raise SettingError(f"width is {width}; it must be a number above 0 and finite")
    return lambda channels: max(8, round(channels * width / 8) * 8)


def check_classes(classes: int, size: int, multiple: int = 32, least: int = 32) -> None:
    """Raise ValueError unless these are a number of classes and a side of a classifier's input."""
    if not isinstance(classes, int) or classes < 1:
        raise SettingError(f"classes is {classes!r}; it must be a whole number from 1 on")
    if not isinstance(size, int) or size < least or size % multiple:
        raise SettingError(
            f"size is {size!r}; it must be a multiple of {multiple}, {least} or more"
        )


def check_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Raise ValueError unless an option has one of the choices."""
    if value not in choices:
        raise SettingError(f"{name} is {value!r}; there are {', '.join(map(str, choices))}")


def of_photos(space: str) -> dict[str, Any]:
    """Return the Network's fields for an input of a colour space, as zhaoyuzhi's classifiers take
    it.

    Gray and RGB to [-1, 1]; L / 50 - 1 and ab / 110 (the dataset files of
    PyTorch-Special-Pre-trained-Models).
    """
    check_choice("space", space, INPUTS)
    mean, scale = INPUTS[space]
    return {"channels": spaces.CHANNELS[space], "space": space, "mean": mean, "scale": scale}


INPUTS: dict[
    str, tuple[float | tuple[float, ...], float | tuple[float, ...]]
] = {  # mean and scale of each space
    "Gray": (0.5, 0.5),
    "Lab": ((50.0, 0.0, 0.0), (50.0, 110.0, 110.0)),
    "ab": (0.0, 110.0),
    "RGB": (0.5, 0.5),
}
