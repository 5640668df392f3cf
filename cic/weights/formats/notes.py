"""Note beside the arrays of another project's file what it cannot say of a checkpoint of ours.

The note has the network's exact options, how it decodes, which arrays were float16, and the values
of arrays that are scaled to the other project's input or derived there. So a file that is converted
back is equal to the original.
"""

import base64
import re
from collections.abc import Collection, Mapping

import numpy as np

from cic.networks import Network
from cic.system.arrays import Array, Shape, State
from cic.system.typing import Json
from cic.weights.checkpoint import CheckpointError, check_meta, network_of
from cic.weights.formats.compare import what_differs

NAME = "cic.json"
NEAR = (
    0.01  # an entry of a vector of length 1, to one that follows from the kernel it was found for
)


def make(
    meta: Mapping[str, Json],
    state: Mapping[str, Array],
    factors: Mapping[str, float],
    derived: Collection[str] = (),
) -> dict[str, Json]:
    """Return the note, a JSON object, of a neutral state; `factors` are {array: factor} of its
    scaled arrays.

    The arrays called `derived` come out of the others there, but for rounding.
    """
    halves = [
        name for name, array in state.items() if array.dtype == np.float16 and name not in derived
    ]
    scaled = {name: [factor, *_packed(state[name])] for name, factor in factors.items()}
    exact = {name: _packed(state[name]) for name in derived}
    kept = {key: meta[key] for key in ("network", "options", "colorize") if key in meta}
    return {"meta": kept, "halves": halves, "scaled": scaled, "exact": exact}


def options(note: Json) -> dict[str, Json]:
    """Return the options of the network that a note, or None, tells of."""
    meta = note.get("meta") if isinstance(note, dict) else None
    found = meta.get("options") if isinstance(meta, dict) else None
    return found if isinstance(found, dict) else {}


def _packed(array: Array) -> list[str]:
    return [array.dtype.str, base64.b64encode(array.tobytes()).decode()]


def _unpacked(dtype: str, data: str, shape: Shape) -> Array:
    if not re.fullmatch("[<>][fiu][1248]", dtype):
        raise ValueError(f"an array of {dtype[:20]!r}")
    return np.frombuffer(base64.b64decode(data), dtype).reshape(shape)


def applied(
    note: Json, network: Network, state: Mapping[str, Array], source: object
) -> tuple[Network, State, dict[str, Json]]:
    """Return (network, state, meta) as they were before `save`; raise CheckpointError if not
    these.
    """
    try:
        own, state = network_of(note["meta"], source), dict(state)
        check_meta(note["meta"])
        before = {name: state[name].astype(np.float16) for name in set(note["halves"])}
        scale = network.scale
        for name, (factor, dtype, data) in note["scaled"].items():
            before[name] = _unpacked(dtype, data, state[name].shape)
            scale = scale / factor
        for name, array in before.items():
            factor = note["scaled"].get(name, [1])[0]
            if not np.array_equal(array.astype(np.float32) * np.float32(factor), state[name]):
                raise ValueError(name)
        for name, (dtype, data) in note.get("exact", {}).items():  # version 0.2's first had none
            before[name] = _unpacked(dtype, data, state[name].shape)
            if not np.abs(before[name] - state[name]).max() <= NEAR:
                raise ValueError(name)
        if what_differs(own, network, inputs=False) or not np.allclose(own.scale, scale):
            raise ValueError(own.name)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise CheckpointError(f"{source}: its note is not of these weights: {error}") from None
    return own, state | before, note["meta"]
