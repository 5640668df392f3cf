"""ResNets on unusual input of zhaoyuzhi/PyTorch-Special-Pre-trained-Models.

Of its folders ResNet-18 Gray IN, ResNet-50 Gray IN, Gray BN and RGB IN, and, as its author means
it, ResNet-18 RGB freeform IN: the code there cannot run, as its second gate has the stride of the
block, whose convolution has none, and `last` takes 2048 channels, of which a ResNet-18 has 512.
"""

from collections.abc import Mapping
from typing import Any

from cic import networks
from cic.networks import CLASSES, Network
from cic.networks.layers import (
    BatchNorm,
    Conv,
    GlobalAverage,
    InstanceNorm,
    Layer,
    LeakyReLU,
    Linear,
    ReLU,
)
from cic.system.arrays import Array, State
from cic.weights.files import write_torch
from cic.weights.formats import residual
from cic.weights.formats.layout import Layout, batch_counters, no_counts, without_prefix
from cic.weights.formats.residual import Norm, conv
from cic.weights.formats.sizes import len_of
from cic.weights.formats.special_vgg import input_of
from cic.weights.formats.trunk import numbered

STEM, LAST = "begin.0.weight", "last.0.weight"
SIZE = 224  # of their photos; no array tells it
SPACES = {1: "Gray", 3: "RGB"}


class SpecialResNet(Layout):
    """begin, layer1 to layer4, last and classifier; instance norms have no arrays."""

    name = "zhaoyuzhi-resnet"
    about = "ResNet of zhaoyuzhi/PyTorch-Special-Pre-trained-Models"
    suffixes = (".pth", ".pt")
    networks = ("special_resnet", "gated_resnet18")
    write = staticmethod(write_torch.write)

    def recognises(self, arrays: Mapping[str, Array]) -> bool:
        return any(name.startswith("begin.") for name in arrays)

    def strip_prefix(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        return without_prefix(arrays, "module.")

    def network(self, arrays: Mapping[str, Array], hints: Mapping[str, Any]) -> Network:
        _check_last(arrays)
        options = {
            "classes": len_of(arrays.get("classifier.bias")) or 1000,
            "width": residual.width_of(arrays, STEM),
            "size": hints.get("size", SIZE),
        }
        if any("_gate." in name for name in arrays):
            return networks.get("gated_resnet18", **options)
        depth = residual.depth_of(arrays)
        batch = any(name.endswith(".running_mean") for name in arrays)
        smaller = batch and not any(name.startswith(("begin.5.", "begin.6.")) for name in arrays)
        last = depth >= 50 or any(name.startswith("last.") for name in arrays)
        return networks.get(
            "special_resnet",
            depth=depth,
            space=_space(arrays.get(STEM)),
            norm="batch" if batch else "instance",
            stem_stride=hints.get("stem_stride", 2 if smaller else 1),
            last=hints.get("last", last),
            **options,
        )

    def theirs(self, network: Network) -> Network:
        gated = network.name == "gated_resnet18"
        options: dict[str, Any] = {
            "depth": 18,
            "space": "RGB",
            "norm": "instance",
            "stem_stride": 1,
            "last": True,
        }
        options |= network.options
        norm = BatchNorm if options["norm"] == "batch" else _instance
        shapes, fields = network.state_shapes, input_of(options["space"])
        planes = [shapes[f"layer{number}_0_conv1.weight"][0] for number in range(1, 5)]
        layers = _stem(fields["channels"], planes[0], norm, options["stem_stride"])
        activation = ReLU if gated else _leaky
        blocks, outputs = residual.blocks(options["depth"], planes, norm, activation, gated)
        layers += blocks
        if options["last"]:
            channels = shapes["last.weight"][0]
            layers += numbered([conv("", outputs, channels, 3), _leaky()], "last")
            outputs = channels
        layers += [GlobalAverage(), Linear("classifier", outputs, shapes["classifier.bias"][0])]
        return Network("ResNet", tuple(layers), size=network.size, predicts=CLASSES, **fields)

    def ignored(self, arrays: Mapping[str, Array]) -> dict[str, str]:
        return batch_counters(arrays)

    def extras(self, theirs: Network, arrays: Mapping[str, Array]) -> State:
        return no_counts(theirs)


def _check_last(arrays: Mapping[str, Array]) -> None:
    """Raise ValueError if `last` takes other channels than layer4 puts out."""
    ends = [name for name in arrays if name.startswith("layer4.0.conv") and "_gate" not in name]
    if LAST in arrays and ends and min(arrays[LAST].ndim, arrays[max(ends)].ndim) > 1:
        takes, gives = arrays[LAST].shape[1], len(arrays[max(ends)])
        if takes != gives:
            raise ValueError(
                f"{LAST} takes {takes} channels, but layer4 puts out {gives}: this network cannot "
                "run, as that project's ResNet-18 RGB freeform IN cannot as it is published"
            )


def _space(kernel: Array | None) -> str:
    channels = kernel.shape[1] if kernel is not None and kernel.ndim == 4 else 1
    if channels not in SPACES:
        raise ValueError(f"its input has {channels} channels; those of theirs have 1 or 3")
    return SPACES[channels]


def _instance(name: str, channels: int) -> InstanceNorm:
    return InstanceNorm(name)


def _leaky() -> LeakyReLU:
    return LeakyReLU("", 0.2)


def _stem(inputs: int, channels: int, norm: Norm, stride: int) -> list[Layer]:
    layers: list[Layer] = [conv("", inputs, channels, 7, stride), _leaky()]
    for _ in range(2 if stride == 1 else 1):
        shrink = Conv("", channels, channels, 4, 2, 1, bias=False)
        layers += [shrink, norm("", channels), _leaky()]
    return numbered(layers, "begin")


FORMAT = SpecialResNet()
