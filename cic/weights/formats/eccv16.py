"""The authors' PyTorch release: colorizers/eccv16.py of richzhang/colorization."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np

from cic import networks
from cic.colour.bins import AB
from cic.networks import Network
from cic.system.arrays import Array, State
from cic.weights.files import write_torch
from cic.weights.formats import trunk
from cic.weights.formats.layout import batch_counters, no_counts, without_prefix
from cic.weights.formats.trunk import Trunk

L_NORM, AB_NORM = 100.0, 110.0  # base_color.py: L less 50 is divided, the output multiplied
OUT = "model_out.weight"  # (2, 313, 1, 1): the bins, as a convolution
CLOSE = 0.5  # CIELAB units: bins that differ by no more are those of the paper


class Eccv16(Trunk):
    """ECCVGenerator: model1 to model8, each a Sequential."""

    name = "eccv16"
    about = "ECCVGenerator of richzhang/colorization (PyTorch)"
    suffixes = (".pth", ".pt")
    temperature = 1.0  # its softmax has none
    write = staticmethod(write_torch.write)

    def recognises(self, arrays: Mapping[str, Array]) -> bool:
        return any(name.startswith("model1.") for name in arrays)

    def strip_prefix(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        return without_prefix(arrays, "module.")

    def network(self, arrays: Mapping[str, Array], hints: Mapping[str, Any]) -> Network:
        biases = [arrays.get(f"model{block}.2.bias") for block in range(1, 9)]
        return networks.get("cic", width=trunk.width_of(biases), input_scale=L_NORM)

    def theirs(self, network: Network) -> Network:
        blocks = trunk.blocks(trunk.channels_of(network))
        named = (trunk.numbered(block, f"model{n}") for n, block in enumerate(blocks, 1))
        return Network("ECCVGenerator", tuple(chain(*named)), mean=50.0, scale=L_NORM)

    def bins(self, arrays: Mapping[str, Array]) -> Array:
        return arrays[OUT][:, :, 0, 0].T * np.float32(AB_NORM)

    def ignored(self, arrays: Mapping[str, Array]) -> dict[str, str]:
        dropped = batch_counters(arrays)
        if OUT not in arrays:
            raise ValueError(f"missing: {OUT}")
        if arrays[OUT].shape != (2, len(AB), 1, 1):
            raise ValueError(f"{OUT} is {arrays[OUT].shape}, not {(2, len(AB), 1, 1)}")
        apart = np.abs(self.bins(arrays) - AB).max()
        if not apart <= CLOSE:
            raise ValueError(f"{OUT} is not the 313 bins / {AB_NORM:g}: up to {apart:.3g} apart")
        return dropped | {OUT: f"the 313 bins / {AB_NORM:g}, to {apart:.1g}: they are built in"}

    def extras(self, theirs: Network, arrays: Mapping[str, Array]) -> State:
        out = (AB.T / np.float32(AB_NORM)).reshape(2, len(AB), 1, 1)
        return no_counts(theirs) | {OUT: out}


FORMAT = Eccv16()
