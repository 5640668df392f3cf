"""Pedromacedo41/DLimage_colorization: the paper's trunk with ab as output.

Its class (models/colorization_deploy_v1.py) has every layer under a name and a second time in a
Sequential called lin. Its input is L / 100, its output (ab + 128) / 256 (utils/data.py).
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from cic import networks
from cic.networks import AB, Network
from cic.networks.layers import BatchNorm, Conv, Upsample
from cic.system.arrays import Array, State
from cic.weights.files import write_torch
from cic.weights.formats import trunk
from cic.weights.formats.layout import Layout, batch_counters, no_counts, without_prefix

TWICE = "lin"
WHY = f"the same arrays a second time, under {TWICE}"


class DLImage(Layout):
    """colorization_deploy_v1: conv1_1 to conv8_3, conv_ab, bn1 to bn7, and lin."""

    name = "dlimage"
    about = "colorization_deploy_v1 of Pedromacedo41/DLimage_colorization (PyTorch)"
    suffixes = (".pt", ".pth")
    networks = ("regression",)
    write = staticmethod(write_torch.write)

    def recognises(self, arrays: Mapping[str, Array]) -> bool:
        return any(name.startswith(("conv_ab.", f"{TWICE}.")) for name in arrays)

    def strip_prefix(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        return without_prefix(arrays, "module.")

    def network(self, arrays: Mapping[str, Array], hints: Mapping[str, Any]) -> Network:
        biases = [arrays.get(f"conv{block}_2.bias") for block in range(1, 9)]
        return networks.get("regression", width=trunk.width_of(biases))

    def theirs(self, network: Network) -> Network:
        blocks = trunk.blocks(trunk.channels_of(network))
        for number, block in enumerate(blocks[:-1], 1):
            block[-1] = replace(block[-1], name=f"bn{number}")
        last = blocks[-1].pop().inputs
        end = Conv("conv_ab", last, 2, 1, 1, 0), Upsample(4)  # bicubic
        return Network(
            "colorization_deploy_v1",
            (*chain(*blocks), *end),
            mean=0.0,
            scale=100.0,
            predicts=AB,
            out_mean=-128.0,
            out_scale=256.0,
        )

    def ignored(self, arrays: Mapping[str, Array]) -> dict[str, str]:
        """Raises ValueError if what is there twice is not the same."""
        dropped, places = batch_counters(arrays), self.places(self.theirs(self.network(arrays, {})))
        if not any(name.startswith(f"{TWICE}.") for name in arrays):
            return dropped  # such as those of named_parameters
        for name, again in places.items():
            if (name in arrays) != (again in arrays):
                raise ValueError(f"missing: {again if name in arrays else name}")
            if name in arrays and not np.array_equal(arrays[name], arrays[again], equal_nan=True):
                raise ValueError(f"{again} is not the same as {name}")
        return dropped | {again: WHY for again in places.values() if again in arrays}

    def places(self, theirs: Network) -> dict[str, str]:
        """Return {name of an array: its name in lin}."""
        return {
            name: f"{TWICE}.{place}.{name.rpartition('.')[2]}"
            for place, layer in enumerate(theirs.layers)
            for name in layer.parameters | layer.statistics
        }

    def extras(self, theirs: Network, arrays: Mapping[str, Array]) -> State:
        places, count = self.places(theirs), no_counts(theirs)
        for place, layer in enumerate(theirs.layers):
            if isinstance(layer, BatchNorm):
                count[f"{TWICE}.{place}.num_batches_tracked"] = np.array(0, np.int64)
        return count | {again: arrays[name] for name, again in places.items()}


FORMAT = DLImage()
