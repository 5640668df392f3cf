"""The moving average of a network's weights over its steps, often better than the last weights.

Polyak and Juditsky 1992, as the exponential average that Tan and Le 2019 (EfficientNet) evaluate.
"""

from collections.abc import Mapping

from cic.system.arrays import Array, State

PREFIX = "average/"  # of its arrays among those that training keeps


def decay_at(decay: float, step: int) -> float:
    """Return the share of the average that `step` (from 0) leaves: less at first, so that the start
    fades.
    """
    return min(decay, (1 + step) / (10 + step))


def update(
    average: Mapping[str, Array], state: Mapping[str, Array], decay: float, step: int
) -> State:
    """Return the average {name: array} after `step` (from 0), whose weights are `state`."""
    share = 1 - decay_at(decay, step)
    return {name: array + share * (state[name] - array) for name, array in average.items()}


def averaged(weights: Mapping[str, Array], kept: Mapping[str, Array]) -> State:
    """Return `weights` with the average of those that have one in `kept`, what training keeps."""
    return {name: kept.get(PREFIX + name, array) for name, array in weights.items()}
