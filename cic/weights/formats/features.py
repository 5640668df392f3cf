"""The two projects that write the paper's network as one Sequential with an additional ReLU.

Callifrey/Paddle-CIC (model.py) and Epiphqny/Colorization (code/model.py) have equal layers. The
ReLU stands between conv5_3norm and conv6_1, so it moves the names of what follows by one.
"""

from collections.abc import Mapping
from itertools import chain
from typing import Any

from cic import networks
from cic.networks import Network
from cic.system.arrays import Array, State
from cic.weights.files import write_paddle, write_torch
from cic.weights.formats import trunk
from cic.weights.formats.layout import batch_counters, no_counts, without_prefix
from cic.weights.formats.trunk import Trunk

LAST_CONVOLUTIONS = (2, 7, 14, 21, 28, 36, 43, 48)  # one of each block, by its place


class Features(Trunk):
    """Color_model: features.0 to features.52."""

    def recognises(self, arrays: Mapping[str, Array]) -> bool:
        mean = self.key(".running_mean")
        norms = [name for name in arrays if name.startswith("features.") and name.endswith(mean)]
        return bool(norms) and not any("classifier." in name for name in arrays)

    def network(self, arrays: Mapping[str, Array], hints: Mapping[str, Any]) -> Network:
        biases = [arrays.get(f"features.{n}.bias") for n in LAST_CONVOLUTIONS]
        return networks.get("cic", width=trunk.width_of(biases), extra_relu=True)

    def theirs(self, network: Network) -> Network:
        blocks = trunk.blocks(trunk.channels_of(network), extra_relu=True)
        layers = trunk.numbered(chain(*blocks), "features")
        return Network("Color_model", tuple(layers), mean=50.0, scale=1.0)


class PaddleCIC(Features):
    name = "paddle-cic"
    about = "Color_model of Callifrey/Paddle-CIC"
    suffixes = (".pdparams",)
    temperature = 1 / 2.63  # resources/training_layers.py, decode
    parts = {"running_mean": "_mean", "running_var": "_variance"}  # noqa: RUF012 - a constant
    write = staticmethod(write_paddle.write)

    def strip_prefix(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        return without_prefix(arrays, "_layers.")


class Epiphqny(Features):
    name = "epiphqny"
    about = "Color_model of Epiphqny/Colorization (PyTorch)"
    suffixes = (".ckpt", ".pth", ".pt")
    temperature = 0.0  # code/training_layers.py, decode takes the likeliest bin
    write = staticmethod(write_torch.write)
    prefix = "module."  # train_imagenet.py saves, sample_imagenet.py loads a DataParallel

    def strip_prefix(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        return without_prefix(arrays, self.prefix)

    def ignored(self, arrays: Mapping[str, Array]) -> dict[str, str]:
        return batch_counters(arrays)

    def extras(self, theirs: Network, arrays: Mapping[str, Array]) -> State:
        return no_counts(theirs)

    def export(self, network: Network, state: Mapping[str, Array]) -> State:
        arrays = super().export(network, state)
        return {self.prefix + name: array for name, array in arrays.items()}


FORMATS = (PaddleCIC(), Epiphqny())
