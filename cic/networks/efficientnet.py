"""EfficientNet-Lite, a classifier that is light on a CPU, and colorizers on top of it.

Tan and Le 2019 (EfficientNet); its Lite versions (tensorflow/tpu, efficientnet/lite, 2020) have
ReLU6 instead of swish and no squeeze and excitation. Batch norms are folded into the convolutions.
"""

from math import ceil
from typing import TypeAlias

from cic.colour.bins import COUNT
from cic.networks.layers import (
    Conv,
    Dropout,
    GlobalAverage,
    GlobalContext,
    Layer,
    Linear,
    ReLU,
    ReLU6,
    Sum,
    Upsample,
)
from cic.networks.network import CLASSES, Network, check_choice, check_classes

# Kernel, first stride, expansion, outputs and blocks of each stage of B0 (Tan and Le, table 1).
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}  # version: width and depth
STEM, TOP = 32, 1280  # channels of the first and last convolution, in every version
LEVELS = (2, 3, 5, 7)  # stages after which the picture is 4, 8, 16 and 32 times smaller
DECODER = (128, 192, 256, 256)  # channels of the top-down way at each of these sizes
Part: TypeAlias = tuple[tuple[Layer, ...], int]  # layers, channels that they put out
SMOOTHING = 2  # separable convolutions at the finest of them


def _same(kernel: int, stride: int) -> tuple[int, int]:
    """Return the padding of TensorFlow's "same", for sides that are multiples of the stride."""
    spare = kernel - stride
    return (spare // 2, spare - spare // 2)


def _blocks(version: int) -> list[tuple[int, int, int, int, int, int]]:
    """Return [(stage, kernel, stride, expansion, inputs, outputs)] of every MBConv block."""
    width, depth = SCALES[version]
    inputs, found = STEM, []
    for stage, (kernel, stride, expansion, channels, repeats) in enumerate(STAGES, 1):
        outputs = _rounded(channels * width)
        fixed = stage in (1, len(STAGES))  # Lite scales the depth of those between alone
        for i in range(repeats if fixed else ceil(repeats * depth)):
            found.append((stage, kernel, stride if i == 0 else 1, expansion, inputs, outputs))
            inputs = outputs
    return found


def _rounded(channels: float) -> int:
    """Return the nearest multiple of 8, not below nine tenths of the channels."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


def _mbconv(name: str, kernel: int, stride: int, expansion: int, inputs: int, outputs: int) -> Sum:
    """Return a mobile inverted bottleneck: wide by 1 x 1, depthwise, narrow by 1 x 1; plus its
    input.
    """
    wide = expansion * inputs
    layers: tuple[Layer, ...] = (
        Conv(f"{name}.depthwise", wide, wide, kernel, stride, _same(kernel, stride), groups=wide),
        ReLU6(),
        Conv(f"{name}.project", wide, outputs, kernel=1, padding=0),
    )
    if expansion > 1:
        layers = (Conv(f"{name}.expand", inputs, wide, kernel=1, padding=0), ReLU6(), *layers)
    return Sum(name, (layers, ()) if stride == 1 and inputs == outputs else (layers,))


def _encoder(version: int, channels: int) -> tuple[list[Part], tuple[str, ...]]:
    """Return [(layers, outputs)] of the encoder in parts that end where LEVELS say, and its parts'
    names.

    `channels` are those of the input.
    """
    check_choice("version", version, SCALES)
    parts: list[Part] = []
    names = ["stem"]
    layers: list[Layer] = [Conv("stem", channels, STEM, stride=2, padding=_same(3, 2)), ReLU6()]
    blocks = _blocks(version)
    for i, (stage, *block) in enumerate(blocks):
        names.append(f"blocks.{i}")
        layers.append(_mbconv(names[-1], *block))
        last_of_stage = i + 1 == len(blocks) or blocks[i + 1][0] > stage
        if last_of_stage and stage in LEVELS:
            parts.append((tuple(layers), block[-1]))
            layers = []
    return parts, tuple(names)


def efficientnet_lite(version: int = 0, classes: int = 1000, size: int = 224) -> Network:
    """EfficientNet-Lite of a `version`, 0 to 2: RGB (3, size, size) -> logits (classes,).

    The input is (RGB - 127) / 128 of 8 bits (efficientnet/lite).
    """
    check_classes(classes, size)
    parts, names = _encoder(version, 3)
    layers = [layer for part, _ in parts for layer in part]
    outputs = parts[-1][1]
    layers += [Conv("top", outputs, TOP, kernel=1, padding=0), ReLU6(), GlobalAverage()]
    layers += [Dropout("dropout", 0.2), Linear("classifier", TOP, classes)]
    return Network(
        "efficientnet_lite",
        tuple(layers),
        {"version": version, "classes": classes, "size": size},
        channels=3,
        multiple=32,
        size=size,
        space="RGB",
        mean=127 / 255,
        scale=128 / 255,
        predicts=CLASSES,
        encoder=names,
    )


def _separable(name: str, inputs: int, outputs: int) -> tuple[Layer, ...]:
    """Return the depthwise 5 x 5, then 1 x 1."""
    return (
        Conv(f"{name}.depthwise", inputs, inputs, kernel=5, padding=2, groups=inputs),
        Conv(f"{name}.pointwise", inputs, outputs, kernel=1, padding=0),
        ReLU(),
    )


def _top_down(parts: list[Part], level: int = 0) -> tuple[Layer, ...]:
    """Return the layers that go on from one part's input down to the coarsest and back up to its
    size.
    """
    (layers, outputs), channels = parts[level], DECODER[level]
    stride = 4 << level
    lateral = Conv(f"laterals.{stride}", outputs, channels, kernel=1, padding=0)
    if level + 1 == len(parts):
        context = Conv("context", outputs, channels, kernel=1, padding=0)
        return (*layers, Sum(f"merge.{stride}", ((lateral,), (GlobalContext(), context))), ReLU())
    coarser = (
        *_top_down(parts, level + 1),
        *_separable(f"top_down.{2 * stride}", DECODER[level + 1], channels),
        Upsample(2, mode="bilinear"),
    )
    return (*layers, Sum(f"merge.{stride}", ((lateral,), coarser)), ReLU())


def fpn(version: int = 0) -> Network:
    """Colorizer with EfficientNet-Lite's `version` as encoder: L (1, H, W) -> (313, H / 4, W / 4).

    A feature pyramid network (Lin et al. 2017): 1 x 1 laterals from the encoder at strides 4, 8, 16
    and 32, added from the coarsest, with the picture's mean, to the finest; the logits over the 313
    bins at stride 4. The input is (L - 50) / 50, which for gray is nearly the encoder's own: its
    first kernel is that of RGB, summed.
    """
    parts, names = _encoder(version, 1)
    layers = list(_top_down(parts))
    for i in range(SMOOTHING):
        layers += _separable(f"smooth.{i}", DECODER[0], DECODER[0])
    layers.append(Conv("head", DECODER[0], COUNT, kernel=1, padding=0))
    return Network(
        "fpn", tuple(layers), {"version": version}, multiple=32, scale=50.0, encoder=names
    )
