"""Weights from a file of any known format: the one door to them."""

import os
from importlib import resources

from cic.networks import Network
from cic.system.arrays import State
from cic.system.typing import Json, StrPath
from cic.weights import checkpoint, formats
from cic.weights.averaging import averaged

DEFAULT = "fpn"  # bundled weights


def load(path: StrPath) -> tuple[State, dict[str, Json]]:
    """Return (state {name: array}, meta) of a file of weights in any format of
    `cic.weights.formats`.

    Arrays are under their neutral names; of a training checkpoint of this project all are there.
    Raises CheckpointError, naming the file, if it is none.
    """
    if not formats.is_checkpoint(path):
        found = formats.read(path)
        return found.state, found.meta
    return checkpoint.load_own(path)


def default_path() -> str:
    """Return the path of the bundled weights."""
    return os.fspath(resources.files("cic") / "data" / f"{DEFAULT}.safetensors")  # type: ignore[call-overload]


def load_weights(path: StrPath | None = None) -> tuple[Network, State, dict[str, Json]]:
    """Return (network, weights, meta) from a file or, by default, the bundled one; checked
    strictly.

    The weights are the average of a training run's, if it kept one.

    >>> network, state, meta = load_weights()
    >>> print(network, meta["colorize"]["statistic"])
    fpn(version=2) mean
    """
    path = default_path() if path is None else path
    state, meta = load(path)
    network = checkpoint.network_of(meta, path)
    weights = averaged(*checkpoint.split(state))
    checkpoint.check(network, weights, path)
    checkpoint.check_numbers(weights, path)
    return network, weights, meta
