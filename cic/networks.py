"""Named networks as data, built from layers: what both backends build from."""

from dataclasses import dataclass, field
from functools import cached_property
from math import inf, prod

import numpy as np

from cic.bins import COUNT
from cic.layers import BatchNorm, Conv, ConvTranspose, Flatten, Linear, MaxPool, ReLU


@dataclass(frozen=True)
class Network:
    """A network's layers in order, with what a user of it must know.

    `options` are the arguments that `get(name, **options)` rebuilds it from. `channels` is the
    number of input channels, `multiple` what the input's sides must be multiples of, so that every
    stride divides evenly, `size` the one side that a square input must have, None for any. The
    input is `space` less `mean`, divided by `scale`: "L" is CIELAB lightness in 0 to 100, "RGB"
    sRGB in 0 to 1, for which both have an entry a channel.
    """

    name: str
    layers: tuple
    options: dict = field(default_factory=dict)
    channels: int = 1
    multiple: int = 8
    size: int | None = None
    space: str = "L"
    mean: float | tuple = 50.0
    scale: float | tuple = 1.0

    def __str__(self):
        options = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.name}({options})"

    @property
    def parameters(self):
        """Trained arrays, {neutral name: shape}."""
        return {name: shape for layer in self.layers for name, shape in layer.parameters.items()}

    @property
    def statistics(self):
        """Running statistics, {neutral name: shape}."""
        return {name: shape for layer in self.layers for name, shape in layer.statistics.items()}

    @property
    def state_shapes(self):
        """Everything a checkpoint of the weights holds, {neutral name: shape}."""
        return self.parameters | self.statistics

    @property
    def parameter_count(self):
        """Number of trained numbers."""
        return sum(prod(shape) for shape in self.parameters.values())

    def output(self, shape):
        """(C, H, W) of the output for an input (C, H, W)."""
        for layer in self.layers:
            shape = layer.output(shape)
        return shape

    def multiply_adds(self, shape):
        """Multiply-adds of one forward pass of an input (C, H, W)."""
        total = 0
        for layer in self.layers:
            total += layer.multiply_adds(shape)
            shape = layer.output(shape)
        return total

    @cached_property
    def is_classifier(self):
        """Whether the output is one logit a class, (classes,), and no picture."""
        side = self.size or 8 * self.multiple
        return len(self.output((self.channels, side, side))) == 1

    @cached_property
    def stride(self):
        """Input pixels a side for one output pixel; raises ValueError if the output is none."""
        if self.is_classifier:
            raise ValueError(f"{self} is a classifier: it does not colorize")
        side = self.size or 8 * self.multiple
        return side // self.output((self.channels, side, side))[1]

    def prepare(self, values):
        """Network input for values of its `space`, any shape, or (..., 3) of "RGB", float32."""
        return (values - _exact(self.mean)) / _exact(self.scale)


def _exact(value):
    return np.float32(value) if isinstance(value, tuple) else value


# Convolutions, channels, last stride and dilation of conv1 ... conv7 (paper, table 4).
BLOCKS = (
    (2, 64, 2, 1),
    (2, 128, 2, 1),
    (3, 256, 2, 1),
    (3, 512, 1, 1),
    (3, 512, 1, 2),
    (3, 512, 1, 2),
    (3, 512, 1, 1),
)


def _scaled(width):
    """The function that scales a number of channels by `width`, to a multiple of 8."""
    if isinstance(width, bool) or not 0 < width < inf:
        raise ValueError(f"width is {width}; it must be a number above 0 and finite")
    return lambda channels: max(8, round(channels * width / 8) * 8)


def cic(width=1.0, extra_relu=False, input_scale=1.0):
    """The paper's network: L (1, H, W) -> logits over the 313 bins (313, H / 4, W / 4).

    `width` scales the channels of every layer but the last, to multiples of 8: 1 is the paper's.
    `extra_relu` adds the ReLU between conv5_3norm and conv6_1 that Callifrey/Paddle-CIC and
    Epiphqny/Colorization have and the authors have not: the shapes are equal, the outputs are not.
    The input is (L - 50) / `input_scale`: 1 in the authors' Caffe code, 100 in their PyTorch code.
    """
    if not isinstance(extra_relu, bool):
        raise ValueError(f"extra_relu is {extra_relu!r}; it must be true or false")
    if isinstance(input_scale, bool) or not 0 < input_scale < inf:
        raise ValueError(f"input_scale is {input_scale}; it must be a number above 0 and finite")
    scaled = _scaled(width)
    layers, inputs = [], 1
    for block, (convolutions, channels, stride, dilation) in enumerate(BLOCKS, 1):
        for i in range(1, convolutions + 1):
            layers += [
                Conv(
                    f"conv{block}_{i}",
                    inputs,
                    scaled(channels),
                    stride=stride if i == convolutions else 1,
                    padding=dilation,
                    dilation=dilation,
                ),
                ReLU(),
            ]
            inputs = scaled(channels)
        layers.append(BatchNorm(f"conv{block}_{convolutions}norm", inputs))
        if extra_relu and block == 5:
            layers.append(ReLU())
    last = scaled(256)
    layers += [ConvTranspose("conv8_1", inputs, last), ReLU()]
    layers += [Conv("conv8_2", last, last), ReLU(), Conv("conv8_3", last, last), ReLU()]
    layers.append(Conv("conv8_313", last, COUNT, kernel=1, padding=0))
    options = {"width": width, "extra_relu": extra_relu, "input_scale": input_scale}
    return Network("cic", tuple(layers), options, scale=input_scale)


# Convolutions and channels of conv1 ... conv5 (Simonyan and Zisserman 2015, table 1, column D).
VGG16_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of the pixels' red, green and blue in 0 to 1, and their
IMAGENET_STD = (0.229, 0.224, 0.225)  # deviations: what torchvision and Paddle trained with


def vgg16(classes=1000, width=1.0):
    """VGG-16, a classifier: sRGB (3, 224, 224) -> a logit for each of the `classes`, (classes,).

    Names are those of the authors' Caffe model. `width` is that of `cic`: 1 is the paper's.
    """
    if not isinstance(classes, int) or classes < 1:
        raise ValueError(f"classes is {classes!r}; it must be a whole number from 1 on")
    scaled = _scaled(width)
    layers, inputs = [], 3
    for block, (convolutions, channels) in enumerate(VGG16_BLOCKS, 1):
        for i in range(1, convolutions + 1):
            layers += [Conv(f"conv{block}_{i}", inputs, scaled(channels)), ReLU()]
            inputs = scaled(channels)
        layers.append(MaxPool())
    hidden = scaled(4096)
    layers += [Flatten(), Linear("fc6", inputs * 7 * 7, hidden), ReLU()]
    layers += [Linear("fc7", hidden, hidden), ReLU(), Linear("fc8", hidden, classes)]
    return Network(
        "vgg16",
        tuple(layers),
        {"classes": classes, "width": width},
        channels=3,
        multiple=32,
        size=224,
        space="RGB",
        mean=IMAGENET_MEAN,
        scale=IMAGENET_STD,
    )


_NETWORKS = {"cic": cic, "vgg16": vgg16}


def names():
    """Names that `get` knows."""
    return tuple(_NETWORKS)


def get(name, **options):
    """Network by name, with its options; raises ValueError for an unknown name or option."""
    if name not in _NETWORKS:
        raise ValueError(f"no network is called {name!r}; there are {', '.join(names())}")
    try:
        return _NETWORKS[name](**options)
    except TypeError as error:
        raise ValueError(f"network {name!r}: {error}") from None
