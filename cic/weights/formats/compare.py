"""Compare two networks: which array is which, and whether they compute the same."""

from collections.abc import Iterable
from dataclasses import replace

from cic.networks import Network
from cic.networks.layers import Branches, Conv, Layer


def paired(ours: Network, theirs: Network) -> dict[str, str]:
    """Return {our array: theirs} of two networks whose arrays are alike and in the same order."""
    one, other = ours.state_shapes, theirs.state_shapes
    parts = [[name.rpartition(".")[2] for name in shapes] for shapes in (one, other)]
    if parts[0] != parts[1]:
        raise ValueError(f"{ours} and {theirs.name} have other layers")
    return dict(zip(one, other))


def what_differs(ours: Network, theirs: Network, inputs: bool = True) -> str:
    """Return what two networks of the same sizes compute differently, in words; "" if nothing.

    Without `inputs` their inputs may differ.
    """
    pairs = [_nameless(network.layers) for network in (ours, theirs)]
    for place, (mine, other) in enumerate(zip(*pairs)):
        if mine != other:
            before = ours.layers[place - 1].name or "the layer before"
            kinds = [type(layer).__name__ for layer in (mine, other)]
            return f"after {before} it has {kinds[0]}, theirs has {kinds[1]}"
    if len(pairs[0]) != len(pairs[1]):
        return f"it has {len(pairs[0])} layers, theirs has {len(pairs[1])}"
    if not inputs:
        return ""
    mine, other = ours.input_words(), theirs.input_words()
    if mine != other:
        return f"its input is {mine}; theirs is {other}"
    mine, other = (
        f"{network.predicts} less {network.out_mean}, divided by {network.out_scale}"
        for network in (ours, theirs)
    )
    return "" if mine == other else f"its output is {mine}; theirs is {other}"


def _nameless(layers: Iterable[Layer]) -> list[Layer]:
    return [_blank(layer) for layer in layers]


def _blank(layer: Layer) -> Layer:
    if isinstance(layer, Branches):
        inner = tuple(tuple(_nameless(branch)) for branch in layer.branches)
        return replace(layer, name="", branches=inner)
    if isinstance(layer, Conv):
        # Where training began is no part of the output, and 1 pads as (1, 1) does.
        return replace(layer, name="", start=0.0, padding=layer.sides)
    return replace(layer, name="")
