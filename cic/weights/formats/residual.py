"""ResNets as other projects write them down, independent of `cic.networks`: layer1.0.conv1 ...

What stands here was read off torchvision/models/resnet.py, from which they all are.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from cic.networks.layers import Conv, Layer, Product, Sigmoid, Sum
from cic.system.arrays import Array
from cic.weights.formats.sizes import len_of, width_that_fits

PLANES = (64, 128, 256, 512)  # of layer1 to layer4
WIDER = 4  # a bottleneck's expansion
BOTTLENECKS = {(3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}
BASIC = {(2, 2, 2, 2): 18, (3, 4, 6, 3): 34}
Norm: TypeAlias = Callable[[str, int], Layer]  # (name, channels)
Activation: TypeAlias = Callable[[], Layer]
_BLOCK = re.compile(r"layer([1-4])\.(\d+)\.")


def depth_of(arrays: Mapping[str, Array]) -> int:
    """Return 18 to 152 by the blocks that {name: array} has; raise ValueError for another
    ResNet.
    """
    blocks = {match.groups() for name in arrays if (match := _BLOCK.match(name))}
    counts = tuple(sum(layer == str(number) for layer, _ in blocks) for number in range(1, 5))
    known = BOTTLENECKS if any(".conv3." in name for name in arrays) else BASIC
    if counts not in known:
        raise ValueError(f"no ResNet has {', '.join(map(str, counts))} blocks of its kind")
    return known[counts]


def width_of(arrays: Mapping[str, Array], stem: str) -> float:
    """Return the width of a network of ours, of `stem` the name of the first kernel."""
    firsts = [(stem, PLANES[0])]
    firsts += [(f"layer{n}.0.conv1.weight", planes) for n, planes in enumerate(PLANES, 1)]
    return width_that_fits((len_of(arrays.get(name)), usual) for name, usual in firsts)


def conv(name: str, inputs: int, outputs: int, kernel: int, stride: int = 1) -> Conv:
    """Return a convolution that keeps the size, without bias."""
    return Conv(name, inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False)


def blocks(
    depth: int, planes: Sequence[int], norm: Norm, activation: Activation, gated: bool = False
) -> tuple[list[Layer], int]:
    """Return (the layers of layer1 to layer4 of those `planes`, channels that they put out).

    `norm(name, channels)` and `activation()` make theirs.
    """
    wide = depth in BOTTLENECKS.values()
    counts = {number: counts for counts, number in (BOTTLENECKS if wide else BASIC).items()}
    make = _bottleneck if wide else _gated if gated else _basic
    layers: list[Layer] = []
    inputs = planes[0]
    for number, (count, channels) in enumerate(zip(counts[depth], planes), 1):
        outputs = channels * (WIDER if wide else 1)
        for place in range(count):
            name, stride = f"layer{number}.{place}", 2 if number > 1 and place == 0 else 1
            beside: tuple[Layer, ...] = ()
            if stride > 1 or inputs != outputs:
                down = conv(f"{name}.downsample.0", inputs, outputs, 1, stride)
                beside = (down, norm(f"{name}.downsample.1", outputs))
            main = make(name, inputs, channels, stride, norm, activation)
            layers += [Sum("", (tuple(main), beside)), activation()]
            inputs = outputs
    return layers, inputs


def _basic(
    name: str, inputs: int, planes: int, stride: int, norm: Norm, activation: Activation
) -> list[Layer]:
    return [
        conv(f"{name}.conv1", inputs, planes, 3, stride), norm(f"{name}.bn1", planes),
        activation(), conv(f"{name}.conv2", planes, planes, 3), norm(f"{name}.bn2", planes),
    ]  # fmt: skip


def _gated(
    name: str, inputs: int, planes: int, stride: int, norm: Norm, activation: Activation
) -> list[Layer]:
    first = conv(f"{name}.conv1", inputs, planes, 3, stride)
    gate = conv(f"{name}.conv1_gate", inputs, planes, 3, stride), Sigmoid()
    after = conv(f"{name}.conv2_gate", planes, planes, 3), Sigmoid()
    return [
        Product("", ((first,), gate)), norm(f"{name}.bn1", planes), activation(),
        conv(f"{name}.conv2", planes, planes, 3), Product("", ((), after)),
        norm(f"{name}.bn2", planes),
    ]  # fmt: skip


def _bottleneck(
    name: str, inputs: int, planes: int, stride: int, norm: Norm, activation: Activation
) -> list[Layer]:
    outputs = WIDER * planes
    return [
        conv(f"{name}.conv1", inputs, planes, 1), norm(f"{name}.bn1", planes), activation(),
        conv(f"{name}.conv2", planes, planes, 3, stride), norm(f"{name}.bn2", planes),
        activation(), conv(f"{name}.conv3", planes, outputs, 1), norm(f"{name}.bn3", outputs),
    ]  # fmt: skip
