"""Networks that colorize: the paper's, and its trunk with the ab themselves as output."""

from math import inf

from cic.colour.bins import COUNT
from cic.networks.layers import BatchNorm, Conv, ConvTranspose, Layer, ReLU, Upsample
from cic.networks.network import AB, Network, scaled
from cic.system.errors import SettingError

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


def _trunk(width: float, extra_relu: bool = False) -> tuple[list[Layer], int]:
    """(layers up to the last ReLU, channels that they put out): L -> (channels, H / 4, W / 4)."""
    channels_of = scaled(width)
    layers: list[Layer] = []
    inputs = 1
    for block, (convolutions, channels, stride, dilation) in enumerate(BLOCKS, 1):
        for i in range(1, convolutions + 1):
            layers += [
                Conv(
                    f"conv{block}_{i}",
                    inputs,
                    channels_of(channels),
                    stride=stride if i == convolutions else 1,
                    padding=dilation,
                    dilation=dilation,
                ),
                ReLU(),
            ]
            inputs = channels_of(channels)
        layers.append(BatchNorm(f"conv{block}_{convolutions}norm", inputs))
        if extra_relu and block == 5:
            layers.append(ReLU())
    last = channels_of(256)
    layers += [ConvTranspose("conv8_1", inputs, last), ReLU()]
    layers += [Conv("conv8_2", last, last), ReLU(), Conv("conv8_3", last, last), ReLU()]
    return layers, last


def cic(width: float = 1.0, extra_relu: bool = False, input_scale: float = 1.0) -> Network:
    """The paper's network: L (1, H, W) -> logits over the 313 bins (313, H / 4, W / 4).

    `width` scales the channels of every layer but the last, to multiples of 8: 1 is the paper's.
    `extra_relu` adds the ReLU between conv5_3norm and conv6_1 that Callifrey/Paddle-CIC and
    Epiphqny/Colorization have and the authors have not: the shapes are equal, the outputs are not.
    The input is (L - 50) / `input_scale`: 1 in the authors' Caffe code, 100 in their PyTorch code.
    """
    if not isinstance(extra_relu, bool):
        raise SettingError(f"extra_relu is {extra_relu!r}; it must be true or false")
    if isinstance(input_scale, bool) or not 0 < input_scale < inf:
        raise SettingError(f"input_scale is {input_scale}; it must be a number above 0 and finite")
    layers, last = _trunk(width, extra_relu)
    layers.append(Conv("conv8_313", last, COUNT, kernel=1, padding=0))
    options = {"width": width, "extra_relu": extra_relu, "input_scale": input_scale}
    return Network("cic", tuple(layers), options, scale=input_scale)


def regression(width: float = 1.0) -> Network:
    """The paper's trunk with ab as output: L (1, H, W) -> (2, H, W), bicubically enlarged by 4.

    Layout and scaling are those of Pedromacedo41/DLimage_colorization: the input is L / 100, the
    output (ab + 128) / 256, which begins at gray.
    """
    layers, last = _trunk(width)
    layers += [Conv("conv_ab", last, 2, kernel=1, padding=0, start=0.5), Upsample(4)]
    return Network(
        "regression",
        tuple(layers),
        {"width": width},
        mean=0.0,
        scale=100.0,
        predicts=AB,
        out_mean=-128.0,
        out_scale=256.0,
    )
