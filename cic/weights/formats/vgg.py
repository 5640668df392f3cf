"""VGG-16 of torchvision's and Paddle's model zoos: features.N, classifier.N."""

from collections.abc import Mapping
from typing import Any, ClassVar

from cic import networks
from cic.networks import CLASSES, Network
from cic.networks.layers import Conv, Dropout, Flatten, Layer, Linear, MaxPool, ReLU
from cic.networks.vgg import IMAGENET
from cic.system.arrays import Array, State
from cic.weights.files import write_paddle, write_torch
from cic.weights.formats.layout import Layout, transposed, without_prefix
from cic.weights.formats.trunk import numbered

CONVOLUTIONS = (2, 2, 3, 3, 3)  # of each block (torchvision/models/vgg.py, configuration D)
FULL = 4096  # numbers between the linear layers of the network as published
LINEAR = ("classifier.0", "classifier.3", "classifier.6")  # a ReLU and a dropout between them


class PublishedVGG(Layout):
    """vgg16: a Sequential called features, and one called classifier."""

    networks = ("vgg16",)
    turned: ClassVar[bool]  # whether its linear weights are (in, out)

    def recognises(self, arrays: Mapping[str, Array]) -> bool:
        known = any(name.startswith(("features.", "classifier.")) for name in arrays)
        return known and self.is_turned(arrays) == self.turned

    def strip_prefix(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        return without_prefix(arrays, "module.")

    def is_turned(self, arrays: Mapping[str, Array]) -> bool:
        """Return whether the first linear layer that is not square is (in, out)."""
        for name in LINEAR:
            weight, bias = arrays.get(f"{name}.weight"), arrays.get(f"{name}.bias")
            if weight is not None and bias is not None and weight.ndim == 2:
                rows, columns = weight.shape
                if rows != columns:
                    return columns == bias.size
        return False

    def network(self, arrays: Mapping[str, Array], hints: Mapping[str, Any]) -> Network:
        """Classes and width are those of the last two biases."""
        classes, hidden = (
            arrays[name].size if name in arrays and arrays[name].size else usual
            for name, usual in (("classifier.6.bias", 1000), ("classifier.3.bias", FULL))
        )
        return networks.get("vgg16", classes=classes, width=hidden / FULL)

    def theirs(self, network: Network) -> Network:
        shapes = network.state_shapes
        layers: list[Layer] = []
        inputs = 3
        for block, count in enumerate(CONVOLUTIONS, 1):
            outputs = shapes[f"conv{block}_1.bias"][0]
            for _ in range(count):
                layers += [Conv("", inputs, outputs, 3, 1, 1), ReLU()]
                inputs = outputs
            layers.append(MaxPool(2, 2))
        layers = [*numbered(layers, "features"), Flatten()]
        sizes = [inputs * 7 * 7, *(shapes[f"{name}.bias"][0] for name in ("fc6", "fc7", "fc8"))]
        for place, name in enumerate(LINEAR):
            layers += [Linear(name, sizes[place], sizes[place + 1]), ReLU(), Dropout("", 0.5)]
        return Network(
            "vgg16",
            tuple(layers[:-2]),
            size=224,
            predicts=CLASSES,
            **IMAGENET,
        )

    def tensors(self, theirs: Network, arrays: Mapping[str, Array]) -> State:
        found = super().tensors(theirs, arrays)
        return transposed(theirs, found) if self.turned else found


class Torchvision(PublishedVGG):
    name = "torchvision"
    about = "vgg16 of torchvision (PyTorch)"
    suffixes = (".pth", ".pt")
    turned = False
    write = staticmethod(write_torch.write)


class PaddleVision(PublishedVGG):
    name = "paddle-vision"
    about = "vgg16 of paddle.vision"
    suffixes = (".pdparams",)
    turned = True
    write = staticmethod(write_paddle.write)

    def export(self, network: Network, state: Mapping[str, Array]) -> State:
        return transposed(self.theirs(network), super().export(network, state))


FORMATS = (PaddleVision(), Torchvision())
