"""ResNet-18 to 152 of torchvision's and Paddle's model zoos: conv1, bn1, layer1 to layer4, fc."""

from collections.abc import Mapping
from typing import Any

from cic import networks
from cic.networks import CLASSES, Network
from cic.networks.layers import BatchNorm, GlobalAverage, Layer, Linear, MaxPool, ReLU
from cic.networks.vgg import IMAGENET
from cic.system.arrays import Array, State
from cic.weights.files import write_paddle, write_torch
from cic.weights.formats import residual
from cic.weights.formats.layout import Layout, batch_counters, no_counts, transposed, without_prefix
from cic.weights.formats.sizes import len_of


class PublishedResNet(Layout):
    """resnet18 to resnet152; strides are those of the convolutions of 3 x 3."""

    networks = ("resnet",)
    prefix = ""

    def recognises(self, arrays: Mapping[str, Array]) -> bool:
        paddles = any(name.endswith("._mean") for name in arrays)
        known = any(name.startswith("layer1.0.") for name in arrays)
        return known and ("running_mean" in self.parts) == paddles

    def strip_prefix(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        return without_prefix(arrays, self.prefix)

    def network(self, arrays: Mapping[str, Array], hints: Mapping[str, Any]) -> Network:
        classes = len_of(arrays.get("fc.bias")) or 1000
        width = residual.width_of(arrays, "conv1.weight")
        return networks.get("resnet", depth=residual.depth_of(arrays), classes=classes, width=width)

    def theirs(self, network: Network) -> Network:
        shapes, depth = network.state_shapes, network.options["depth"]
        planes = [shapes[f"layer{number}_0_conv1.weight"][0] for number in range(1, 5)]
        first = planes[0]
        layers: list[Layer] = [
            residual.conv("conv1", 3, first, 7, 2),
            BatchNorm("bn1", first),
            ReLU(),
        ]
        blocks, last = residual.blocks(depth, planes, BatchNorm, ReLU)
        layers += [MaxPool(3, 2, 1), *blocks, GlobalAverage()]
        layers.append(Linear("fc", last, shapes["fc.bias"][0]))
        return Network(
            f"resnet{depth}",
            tuple(layers),
            size=224,
            predicts=CLASSES,
            **IMAGENET,
        )


class Torchvision(PublishedResNet):
    name = "torchvision-resnet"
    about = "ResNet of torchvision (PyTorch)"
    suffixes = (".pth", ".pt")
    prefix = "module."
    write = staticmethod(write_torch.write)

    def ignored(self, arrays: Mapping[str, Array]) -> dict[str, str]:
        return batch_counters(arrays)

    def extras(self, theirs: Network, arrays: Mapping[str, Array]) -> State:
        return no_counts(theirs)


class PaddleVision(PublishedResNet):
    name = "paddle-vision-resnet"
    about = "ResNet of paddle.vision"
    suffixes = (".pdparams",)
    parts = {"running_mean": "_mean", "running_var": "_variance"}  # noqa: RUF012 - a constant
    prefix = "_layers."
    write = staticmethod(write_paddle.write)

    def tensors(self, theirs: Network, arrays: Mapping[str, Array]) -> State:
        return transposed(theirs, super().tensors(theirs, arrays))

    def export(self, network: Network, state: Mapping[str, Array]) -> State:
        return transposed(self.theirs(network), super().export(network, state))


FORMATS = (PaddleVision(), Torchvision())
