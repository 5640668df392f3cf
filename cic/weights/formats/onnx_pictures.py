"""Pictures of any size before and behind a network in an ONNX graph: prepared, padded, cropped."""

import numpy as np

from cic.networks import Network
from cic.weights.files.onnx_file import Graph
from cic.weights.files.onnx_terms import Term

BATCH, HEIGHT, WIDTH = "batch", "height", "width"  # names of sizes that are not fixed


def prepared_input(graph: Graph, network: Network) -> Term:
    """Declare the input of a network, named as its space, and prepare it: (N, C, H, W).

    Its values are those of `cic.colour.spaces`: L from 0 to 100, RGB from 0 to 1.
    """
    sides = [network.size or HEIGHT, network.size or WIDTH]
    x = Term(graph, graph.take(network.space, [BATCH, network.channels, *sides]))
    mean, scale = (_by_channel(graph, value) for value in (network.mean, network.scale))
    return (x - mean) / scale


def _by_channel(graph: Graph, value: float | tuple[float, ...]) -> Term:
    return Term(graph, graph.constant(np.reshape(value, (-1, 1, 1))))


def sides(x: Term) -> tuple[Term, Term]:
    """Return (height, width) of (N, C, H, W), whole numbers of shape (1,)."""
    graph = x.graph
    shape = graph("Shape", x.name)
    height, width = (graph("Gather", shape, graph.whole(axis)) for axis in (2, 3))
    return Term(graph, height, True), Term(graph, width, True)


def padded(x: Term, multiple: int) -> Term:
    """Return (N, C, H, W) continued in the mirror, on the right and below, to multiples of a
    number.

    As NumPy's pad "reflect" does, pictures of one row, too. ONNX's own takes no more than there is.
    """
    for axis, side in zip((2, 3), sides(x)):
        places = _mirrored(side, multiple)
        x = Term(x.graph, x.graph("Gather", x.name, places.name, axis=axis))
    return x


def _mirrored(side: Term, multiple: int) -> Term:
    """Return which row of `side` (1,) stands in each of a mirrored picture, (n,), n a multiple."""
    graph = side.graph
    count = (side + (multiple - 1)) / multiple * multiple
    zero, one = (graph.constant(value, "i8") for value in (0, 1))
    until = graph("Squeeze", count.name)
    places = Term(graph, graph("Range", zero, until, one), True)
    last = side - 1
    phase = places % (last + last).at_least(1)
    return phase.at_most(last + last - phase)


def cropped(x: Term, height: Term, width: Term) -> Term:
    """Return the first `height` rows and `width` columns, (1,) each, of (N, C, H, W)."""
    graph = x.graph
    ends = graph("Concat", height.name, width.name, axis=0)
    name = graph("Slice", x.name, graph.whole(0, 0), ends, graph.whole(2, 3))
    return Term(graph, name, x.is_whole)


def cell_count(side: Term, stride: int) -> Term:
    """Return how many cells of a `stride` there are on a side, the last of them perhaps cut off."""
    return (side + (stride - 1)) / stride
