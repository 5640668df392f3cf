"""Colorizers as ONNX files that need nothing else: L in, ab out, decoded and enlarged.

Operators behind the network do what `Decoder` and `enlarge` compute in NumPy. They enlarge colours
bilinearly, as the authors' and other programs do: enlarging along edges needs the photo itself.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from cic.colorize import settings
from cic.colorize.colorizer import Decoder
from cic.colorize.enlarge import in_strips
from cic.colorize.onnx_median import median
from cic.colorize.settings import Settings
from cic.colour.bins import AB
from cic.colour.decoding import MEAN, Decoding
from cic.colour.distributions import MODE_BELOW
from cic.colour.grid import Grid
from cic.networks import BINS, Network
from cic.system.arrays import Array, Floats, State
from cic.system.errors import SettingError
from cic.system.typing import Json
from cic.weights import formats
from cic.weights.files.onnx_file import Graph
from cic.weights.files.onnx_terms import Term
from cic.weights.formats import onnx, onnx_pictures
from cic.weights.formats.layout import Layout, MappedWeights
from cic.weights.formats.onnx_pictures import BATCH, HEIGHT, WIDTH


class DecodedNetwork(onnx.Decoded):
    """The network with its decoding: L (N, 1, H, W), 0 to 100 -> ab (N, 2, H, W), CIELAB units."""

    def check_holds(self, network: Network) -> None:
        super().check_holds(network)
        if network.is_classifier:
            raise SettingError(
                f"{self.name} holds networks that colorize, and {network.name} does not: "
                f"take the format {onnx.FORMAT.name}"
            )

    def wanted(self, found: MappedWeights) -> Array:
        decoder = Decoder(found.network, settings.of_weights(found.meta))
        return enlarged(decoder.decoded(super().wanted(found)[0]), decoder.grid)[None]

    def facts(self, meta: Mapping[str, Json]) -> dict[str, str]:
        chosen = settings.of_weights(meta)
        return {"decoding": repr(chosen.decoding), "sizes": str(list(chosen.sizes))}

    def graph(self, network: Network, state: State, meta: Mapping[str, Json]) -> Graph:
        graph, chosen = Graph(), settings.of_weights(meta)
        cells = self.output(graph, network, state)
        height, width = onnx_pictures.sides(Term(graph, network.space))
        ab = _ab(cells, network, chosen.decoding)
        ab = onnx_pictures.cropped(_enlarged(ab, network.stride, chosen), height, width)
        graph("Identity", ab.name, called=onnx.COLOURS)
        graph.give(onnx.COLOURS, [BATCH, 2, HEIGHT, WIDTH])
        return graph


def enlarged(cells: Floats, grid: Grid) -> Floats:
    """ab (h, w, 2) of cells -> (2, H, W) float32 of the pixels that they are of, bilinear."""
    height, width = (side * grid.stride for side in cells.shape[:2])
    large = np.empty((2, height, width), np.float32)

    def take(rows: slice, values: Floats) -> None:
        large[:, rows] = values

    in_strips(cells, height, width, grid, take)
    return large


def _ab(output: Term, network: Network, decoding: Decoding) -> Term:
    """Return ab (N, 2, h, w) of what a network puts out: see `Decoder.decoded`."""
    if network.predicts == BINS:
        return _decoded(output, decoding)
    return (output * network.out_scale + network.out_mean) * decoding.saturation


def _decoded(logits: Term, decoding: Decoding) -> Term:
    """Return ab (N, 2, h, w) of logits (N, 313, h, w), CIELAB units: see `Decoding`."""
    if decoding.unweight:
        taken = decoding.unweight * np.log(decoding.bin_weights)  # type: ignore[arg-type]
        logits -= Term(logits.graph, logits.graph.constant(taken[:, None, None]))
    if decoding.temperature < MODE_BELOW:
        ab = _mode(logits)
    else:
        share = _softmax(logits * (1 / decoding.temperature))
        ab = _mean(share) if decoding.statistic == MEAN else median(share)
    return ab * decoding.saturation


def _softmax(logits: Term) -> Term:
    return Term(logits.graph, logits.graph("Softmax", logits.name, axis=1))


def _mean(share: Term) -> Term:
    """Return the expectation over the bins: a convolution of 1 x 1 with their ab."""
    kernel = share.graph.constant(AB.T[:, :, None, None])
    return Term(share.graph, share.graph("Conv", share.name, kernel))


def _mode(logits: Term) -> Term:
    graph = logits.graph
    likeliest = graph("ArgMax", logits.name, axis=1, keepdims=0)
    ab = graph("Gather", graph.constant(AB), likeliest, axis=0)
    return Term(graph, graph("Transpose", ab, perm=[0, 3, 1, 2]))


def _enlarged(cells: Term, stride: int, chosen: Settings) -> Term:
    """(N, 2, h, w) -> (N, 2, stride h, stride w), bilinear: see `enlarge`.

    A cell's value belongs to its first pixel, or with `target_mean` to its middle: which is what
    ONNX calls asymmetric, and half_pixel.
    """
    if stride == 1:
        return cells
    graph = cells.graph
    name = graph(
        "Resize",
        *(cells.name, "", graph.constant([1, 1, stride, stride])),
        mode="linear",
        coordinate_transformation_mode="half_pixel" if chosen.target_mean else "asymmetric",
    )
    return Term(graph, name)


FORMAT = DecodedNetwork()
FORMATS: Sequence[Layout] = (FORMAT, *formats.FORMATS)  # what `cic port` writes
