"""ResNets, classifiers: as published, and on unusual input as colorization GANs use them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from cic.networks.layers import (
    BatchNorm,
    Conv,
    GlobalAverage,
    InstanceNorm,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool,
    Product,
    ReLU,
    Sigmoid,
    Sum,
)
from cic.networks.network import (
    CLASSES,
    Network,
    check_choice,
    check_classes,
    of_photos,
    scaled,
)
from cic.networks.vgg import IMAGENET

# Blocks of each of the four stages (He et al. 2016, table 1); from 50 on they are bottlenecks.
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
DEPTHS[152] = (3, 8, 36, 3)
CHANNELS = (64, 128, 256, 512)  # of the stages
EXPANSION = 4  # channels that a bottleneck puts out, for each that it computes with
SHRINKS = 32  # pixels of the input a side for one of what is averaged at the end
LEAST = 64  # pixels: of 32 the last stage has one, which has no deviation to be normalised by
LAST = 512  # channels of the last convolution
NORMS = ("instance", "batch")


class _Style(NamedTuple):
    """The parts of a residual block: norm(name, channels) and activation(name)."""

    norm: Callable[[str, int], Layer]
    activation: Callable[[str], Layer]


def _batch(name: str, channels: int) -> Layer:
    return BatchNorm(name, channels)


def _instance(name: str, channels: int) -> Layer:
    return InstanceNorm(name)


def _conv(name: str, inputs: int, outputs: int, kernel: int, stride: int = 1) -> Conv:
    return Conv(name, inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False)


def _basic(style: _Style, name: str, inputs: int, channels: int, stride: int) -> list[Layer]:
    """Return two convolutions of 3 x 3: the layers of a block beside its shortcut."""
    return [
        _conv(f"{name}_conv1", inputs, channels, 3, stride),
        style.norm(f"{name}_norm1", channels),
        style.activation(""),
        _conv(f"{name}_conv2", channels, channels, 3),
        style.norm(f"{name}_norm2", channels),
    ]


def _bottleneck(style: _Style, name: str, inputs: int, channels: int, stride: int) -> list[Layer]:
    """Return the convolutions of 1 x 1, 3 x 3 and 1 x 1: the layers of a block beside its
    shortcut.
    """
    outputs = EXPANSION * channels
    shapes = ((inputs, channels, 1, 1), (channels, channels, 3, stride), (channels, outputs, 1, 1))
    layers: list[Layer] = []
    for i, (before, after, kernel, step) in enumerate(shapes, 1):
        layers += [
            _conv(f"{name}_conv{i}", before, after, kernel, step),
            style.norm(f"{name}_norm{i}", after),
            style.activation(""),
        ]
    return layers[:-1]


def _gated(style: _Style, name: str, inputs: int, channels: int, stride: int) -> list[Layer]:
    """As `_basic`, each convolution times a gate (Yu et al. 2019, equation 4).

    The first gate sees what its convolution sees, the second what its convolution puts out.
    """
    first = _conv(f"{name}_conv1", inputs, channels, 3, stride)
    gates = (
        (_conv(f"{name}_conv1_gate", inputs, channels, 3, stride), Sigmoid()),
        (_conv(f"{name}_conv2_gate", channels, channels, 3), Sigmoid()),
    )
    return [
        Product(f"{name}_gated1", ((first,), gates[0])),
        style.norm(f"{name}_norm1", channels),
        style.activation(""),
        _conv(f"{name}_conv2", channels, channels, 3),
        Product(f"{name}_gated2", ((), gates[1])),
        style.norm(f"{name}_norm2", channels),
    ]


def _stages(
    style: _Style,
    depth: int,
    inputs: int,
    width: float,
    basic: Callable[[_Style, str, int, int, int], list[Layer]] = _basic,
) -> tuple[list[Layer], int]:
    """Return (the residual blocks of all stages, channels that they put out)."""
    check_choice("depth", depth, DEPTHS)
    block, expansion = (_bottleneck, EXPANSION) if depth >= 50 else (basic, 1)
    layers: list[Layer] = []
    for stage, (blocks, planes) in enumerate(zip(DEPTHS[depth], CHANNELS), 1):
        channels = scaled(width)(planes)
        outputs = expansion * channels
        for i in range(blocks):
            name, stride = f"layer{stage}_{i}", 2 if stage > 1 and i == 0 else 1
            shortcut: tuple[Layer, ...] = ()
            if stride > 1 or inputs != outputs:
                down = _conv(f"{name}_down", inputs, outputs, 1, stride)
                shortcut = (down, style.norm(f"{name}_downnorm", outputs))
            main = tuple(block(style, name, inputs, channels, stride))
            layers += [Sum(f"{name}_sum", (main, shortcut)), style.activation(name)]
            inputs = outputs
    return layers, inputs


def _stem(style: _Style, channels: int, width: float, stride: int) -> tuple[list[Layer], int]:
    """Return the convolutions that shrink the photo to a quarter: of 7 x 7, then of 4 x 4 with
    stride 2.
    """
    outputs = scaled(width)(CHANNELS[0])
    layers: list[Layer] = [_conv("stem1", channels, outputs, 7, stride), LeakyReLU("stem1relu")]
    for i in range(2, 4 if stride == 1 else 3):
        layers += [
            Conv(f"stem{i}", outputs, outputs, 4, 2, 1, bias=False),
            style.norm(f"stem{i}norm", outputs),
            LeakyReLU(f"stem{i}relu"),
        ]
    return layers, outputs


def _special(
    style: _Style,
    depth: int,
    fields: dict[str, Any],
    classes: int,
    width: float,
    stem_stride: int,
    last: bool,
) -> tuple[Layer, ...]:
    layers, inputs = _stem(style, fields["channels"], width, stem_stride)
    blocks, inputs = _stages(style, depth, inputs, width)
    layers += blocks
    if last:
        outputs = scaled(width)(LAST)
        layers += [_conv("last", inputs, outputs, 3), LeakyReLU("lastrelu")]
        inputs = outputs
    return (*layers, GlobalAverage("average"), Linear("classifier", inputs, classes))


def special_resnet(
    depth: int = 18,
    space: str = "Gray",
    norm: str = "instance",
    classes: int = 1000,
    width: float = 1.0,
    size: int = 224,
    stem_stride: int = 1,
    last: bool = True,
) -> Network:
    """A ResNet on an unusual `space`: Gray or RGB (C, size, size) -> logits (classes,).

    The networks of zhaoyuzhi/PyTorch-Special-Pre-trained-Models: LeakyReLU, "instance" or "batch"
    norm, a stem of 7 x 7 and two strided convolutions, and a `last` one of 3 x 3 to 512 channels.
    `stem_stride` 2 has only one more strided convolution, as its ResNet-50 with batch norm; its
    ResNet-18 has no `last` one.
    """
    check_choice("norm", norm, NORMS)
    check_choice("space", space, ("Gray", "RGB"))
    check_choice("stem_stride", stem_stride, (1, 2))
    check_choice("last", last, (True, False))
    check_classes(classes, size, SHRINKS, LEAST)
    style = _Style(_instance if norm == "instance" else _batch, LeakyReLU)
    fields = of_photos(space)
    options = {"depth": depth, "space": space, "norm": norm, "classes": classes, "width": width}
    options |= {"size": size, "stem_stride": stem_stride, "last": last}
    layers = _special(style, depth, fields, classes, width, stem_stride, last)
    return Network(
        "special_resnet",
        layers,
        options,
        multiple=SHRINKS,
        size=size,
        predicts=CLASSES,
        **fields,
    )


def gated_resnet18(classes: int = 1000, width: float = 1.0, size: int = 224) -> Network:
    """ResNet-18 of gated convolutions on photos with parts hidden: sRGB (3, size, size) -> logits.

    As zhaoyuzhi/PyTorch-Special-Pre-trained-Models means its "ResNet-18 RGB freeform IN", which
    cannot run: there a gate strides where its convolution does not, and the last convolution is for
    2048 channels, of which a ResNet-18 has 512.
    """
    check_classes(classes, size, SHRINKS, LEAST)
    fields = of_photos("RGB")
    stem, channels = _stem(_Style(_instance, LeakyReLU), fields["channels"], width, 1)
    blocks, inputs = _stages(_Style(_instance, ReLU), 18, channels, width, _gated)
    last = _conv("last", inputs, scaled(width)(LAST), 3), LeakyReLU("lastrelu")
    end = GlobalAverage("average"), Linear("classifier", scaled(width)(LAST), classes)
    return Network(
        "gated_resnet18",
        (*stem, *blocks, *last, *end),
        {"classes": classes, "width": width, "size": size},
        multiple=SHRINKS,
        size=size,
        masked=True,
        predicts=CLASSES,
        **fields,
    )


def resnet(depth: int = 50, classes: int = 1000, width: float = 1.0) -> Network:
    """A ResNet as published, a classifier: sRGB (3, 224, 224) -> logits (classes,).

    The stride of a bottleneck is in its convolution of 3 x 3, as torchvision and Paddle have it.
    """
    check_classes(classes, size := 224)
    style, outputs = _Style(_batch, ReLU), scaled(width)(CHANNELS[0])
    stem: list[Layer] = [
        _conv("conv1", 3, outputs, 7, 2),
        BatchNorm("conv1norm", outputs),
        ReLU("relu1"),
    ]
    stem.append(MaxPool(3, 2, 1, "pool1"))
    blocks, inputs = _stages(style, depth, outputs, width)
    end = GlobalAverage("average"), Linear("fc", inputs, classes)
    return Network(
        "resnet",
        (*stem, *blocks, *end),
        {"depth": depth, "classes": classes, "width": width},
        multiple=SHRINKS,
        size=size,
        predicts=CLASSES,
        **IMAGENET,
    )
