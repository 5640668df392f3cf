"""Named networks as data, built from layers: what both backends build from."""

from dataclasses import dataclass, field
from functools import cached_property
from math import inf, prod

from cic.bins import COUNT
from cic.layers import BatchNorm, Conv, ConvTranspose, ReLU


@dataclass(frozen=True)
class Network:
    """A network's layers in order, with what a user of it must know.

    `options` are the arguments that `get(name, **options)` rebuilds it from. `channels` is the
    number of input channels, `multiple` what the input's sides must be multiples of, so that every
    stride divides evenly. The input is (L - l_mean) / l_scale.
    """

    name: str
    layers: tuple
    options: dict = field(default_factory=dict)
    channels: int = 1
    multiple: int = 8
    l_mean: float = 50.0
    l_scale: float = 1.0

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
    def stride(self):
        """Input pixels a side for one output pixel."""
        side = 8 * self.multiple
        return side // self.output((self.channels, side, side))[1]

    def prepare(self, lightness):
        """Network input for CIELAB lightness in 0 to 100, any shape, float32."""
        return (lightness - self.l_mean) / self.l_scale


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


def cic(width=1.0, extra_relu=False):
    """The paper's network: L (1, H, W) -> logits over the 313 bins (313, H / 4, W / 4).

    `width` scales the channels of every layer but the last, to multiples of 8: 1 is the paper's.
    `extra_relu` adds the ReLU between conv5_3norm and conv6_1 that Callifrey/Paddle-CIC and
    Epiphqny/Colorization have and the authors have not: the shapes are equal, the outputs are not.
    """
    if not isinstance(extra_relu, bool):
        raise ValueError(f"extra_relu is {extra_relu!r}; it must be true or false")
    if not 0 < width < inf:
        raise ValueError(f"width is {width}; it must be above 0 and finite")

    def scaled(channels):
        return max(8, round(channels * width / 8) * 8)

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
    return Network("cic", tuple(layers), {"width": width, "extra_relu": extra_relu})


_NETWORKS = {"cic": cic}


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
