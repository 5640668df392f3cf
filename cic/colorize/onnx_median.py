"""The geometric median of distributions, as a loop in an ONNX graph.

Newton's method as `cic.colour.decoding` has it, with its names, on all cells at once.
"""

from cic.colour import decoding
from cic.colour.bins import AB, COUNT
from cic.colour.decoding import DAMPING, FAR, LONGEST, STEPS, TOLERANCE
from cic.weights.files.onnx_file import BOOL, FLOAT, INTEGER, Graph
from cic.weights.files.onnx_terms import Term, stacked, where

CARRIED = {"start": 2, "point": 2, "move": 2, "slope": 1}  # from step to step: {name: rows}


def median(share: Term) -> Term:
    """Return the medians (N, 2, h, w), CIELAB units, of distributions (N, 313, h, w)."""
    graph = share.graph
    shape = graph("Shape", graph("Slice", share.name, *_first(graph, 2)))
    bins_first = graph("Transpose", share.name, perm=[1, 0, 2, 3])
    flat = Term(graph, graph("Reshape", bins_first, graph.whole(COUNT, -1)))
    point = graph("Reshape", _search(flat).name, graph("Gather", shape, graph.whole(1, 0, 2, 3)))
    return Term(graph, graph("Transpose", point, perm=[1, 0, 2, 3]))


def _first(graph: Graph, count: int) -> tuple[str, str, str]:
    """Return what a Slice takes to leave the first few channels: starts, ends, axes."""
    return graph.whole(0), graph.whole(count), graph.whole(1)


def _search(share: Term) -> Term:
    """Return the medians (2, n) of distributions (313, n)."""
    graph = share.graph
    mean = Term(graph, graph.constant(AB.T)) @ share
    still = mean * 0
    level = still.rows(2)[0]
    begin = [mean, mean, still, level]
    names = [one.name for one in begin]
    most, always = graph.constant(STEPS, "i8"), graph.constant(True, "?")
    last = graph.many("Loop", most, always, *names, outputs=len(CARRIED), body=_body(share))
    return Term(graph, last[list(CARRIED).index("point")])


def _body(share: Term) -> Graph:
    """One step: (count, whether to go on, what is carried) -> (whether to go on, what is)."""
    graph = Graph(share.graph)
    graph.take("count", [], INTEGER)
    graph.take("goes_on", [], BOOL)
    start, point, move, slope = (
        Term(graph, graph.take(name, [rows, "cells"])) for name, rows in CARRIED.items()
    )
    pull, step = _newton(Term(graph, share.name), point)
    ends = (pull * move).sum(0)
    far = ends.exceeds(slope * -FAR)
    part = (slope / (slope - ends)).at_least(0.1).at_most(0.9)
    move = where(far, part * move, step)
    start = where(far, start, point)
    slope = where(far, slope, (pull * step).sum(0))
    longest = graph("ReduceMax", graph("Abs", move.name), keepdims=0)
    is_short = graph("Less", longest, graph.constant(TOLERANCE))
    graph.give(graph("Not", is_short), [], BOOL)
    for term, rows in zip((start, start + move, move, slope), CARRIED.values()):
        graph.give(term.name, [rows, "cells"], FLOAT)
    return graph


def _newton(share: Term, point: Term) -> tuple[Term, Term]:
    """Return (gradient of the mean distance at points (2, n), step from there), (2, n) each."""
    from_bins, sums, moments = (
        Term(share.graph, share.graph.constant(table)) for table in decoding.tables()
    )
    x, y = point.rows(2)
    squares = from_bins @ stacked(x, y, x * x + y * y, x * 0 + 1)
    near = share / squares.root()
    a, b, weight = (sums @ near).rows(3)
    one, a1, b1, aa, ab, bb = (moments @ (near / squares)).rows(6)
    pull = stacked(x * weight - a, y * weight - b)
    most = weight * (1 + DAMPING)
    xx = most - (one * x * x - a1 * x * 2 + aa)
    yy = most - (one * y * y - b1 * y * 2 + bb)
    xy = x * b1 + y * a1 - one * x * y - ab
    across, down = pull.rows(2)
    step = stacked(xy * down - yy * across, xy * across - xx * down) / (xx * yy - xy * xy)
    length = (step * step).sum(0).root().at_least(TOLERANCE)
    longest = (pull * pull).sum(0).root() / weight * LONGEST
    return pull, step * (longest / length).at_most(1)
