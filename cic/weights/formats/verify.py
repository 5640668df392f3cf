"""Prove a conversion: send a real photo through the source's own network and through the result.

NumPy computes the source from the file's own arrays, by its project's own layers and names, input
and decoding. The result is read back from the file that was written.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from cic.colour import bins
from cic.colour.distributions import decode, softmax
from cic.networks import AB, Network
from cic.networks.forward import forward
from cic.system import packages
from cic.system.arrays import Array, Bytes, Floats, State
from cic.weights.formats.layout import MappedWeights

TOLERANCE = 1e-4  # of the output's largest number
AB_TOLERANCE = 0.05  # CIELAB units: what that is after a softmax at the temperatures in use
FILE_TOLERANCE = 1e-3  # of the output's largest number: ab, decoded, are no nearer
SIDE = 64  # pixels of the photo, unless a network takes one size only


class Comparison(NamedTuple):
    """A comparison: the largest difference, and the limit that it must not exceed."""

    what: str
    difference: float
    limit: float
    unit: str

    @property
    def passes(self) -> bool:
        return self.difference <= self.limit  # NaN does not


def golden(network: Network, side: int = SIDE) -> Floats:
    """Return the input of `network` for a photo, (1, C, H, W) float32."""
    return network.inputs(golden_photo(network, side))[None].astype(np.float32)


def golden_photo(network: Network, side: int = SIDE) -> Bytes:
    """Return scikit-image's photo of an astronaut, as large as `network` takes it, (H, W, 3)
    uint8.
    """
    packages.need("skimage")
    from skimage import data  # slow to import, and nothing else needs it

    side = network.size or side
    image = Image.fromarray(data.astronaut()).resize((side, side), Image.Resampling.BICUBIC)  # type: ignore[no-untyped-call]
    return np.asarray(image)


def compare(
    source: MappedWeights,
    result: MappedWeights,
    runners: Mapping[str, Callable[[Network, State, Floats], Array]],
) -> list[Comparison]:
    """Compare a file with its conversion, as it was read back.

    `runners` {name: function of (network, state, input) that gives the output}.
    """
    theirs, tensors = source.form.source(source)
    wanted = forward(theirs, tensors, golden(theirs))
    scale = float(np.abs(wanted).max())
    rows: list[Comparison] = []

    def row(what: str, output: Array) -> None:
        apart = float(np.abs(output - wanted).max()) / scale if scale else np.inf
        rows.append(Comparison(what, apart, TOLERANCE, "of scale"))

    own, arrays = result.form.source(result)
    output = forward(own, arrays, golden(own))
    row(f"{result.form.name}'s own layers, NumPy", output)
    for name, run in runners.items():
        row(name, run(result.network, result.state, golden(result.network)))
    if source.temperature and result.form.name == "neutral":
        apart = decode(output, result.temperature) - _annealed(wanted, source)  # type: ignore[arg-type]
        rounded = float(np.abs(source.form.bins(source.arrays) - bins.AB).max())  # to bfloat16
        limit = AB_TOLERANCE + rounded
        rows.append(Comparison("decoded to ab", float(np.abs(apart).max()), limit, "ab"))
    if theirs.predicts == AB:
        apart = own.unscale_ab(output) - theirs.unscale_ab(wanted)
        rows.append(Comparison("scaled to ab", float(np.abs(apart).max()), AB_TOLERANCE, "ab"))
    return rows


def run(runs: Iterable[tuple[str, Array, Array]]) -> list[Comparison]:
    """Return the comparisons of what files put out with what is wanted: see `Layout.runs`."""
    rows: list[Comparison] = []
    for what, output, wanted in runs:
        apart = float(np.abs(output - wanted).max()) / float(np.abs(wanted).max() or np.nan)
        rows.append(Comparison(what, apart, FILE_TOLERANCE, "of scale"))
    return rows


def _annealed(logits: Array, source: MappedWeights) -> Array:
    """Return ab as the source's own code has it of logits (N, 313, H, W)."""
    share = softmax(logits, source.temperature)  # type: ignore[arg-type]
    return np.einsum("nqhw,qc->nchw", share, source.form.bins(source.arrays))


def table(rows: Sequence[Comparison]) -> str:
    """Return the rows as text."""
    width = max(len(row.what) for row in rows)
    return "\n".join(
        f"{row.what:{width}}  {row.difference:.1e} {row.unit:8}  "
        f"at most {row.limit:.3g}  {'passes' if row.passes else 'FAILS'}"
        for row in rows
    )
