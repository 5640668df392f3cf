"""Checkpoints: safetensors with neutral names; written whole or not at all, loaded strictly.

A file holds the weights under their neutral names and, for a training run, the optimizer's arrays
under `optimizer/...`, the average of the weights under `optimizer/average/...`. Its metadata is one
JSON object, the network's name and options and whatever the writer adds, and the CRC-32 of that and
of every array. Nothing in a file can run code.
`cic.weights.reading` reads other projects' files too.
"""

import json
import os
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from cic import networks
from cic.networks import Network
from cic.system import bounded_json
from cic.system.arrays import Array, State
from cic.system.errors import Error
from cic.system.files import replacing
from cic.system.text import printable
from cic.system.typing import Json, StrPath
from cic.weights.files.safetensors_file import SafetensorsFile

OPTIMIZER = "optimizer/"  # prefix of the arrays that only training needs
Result = TypeVar("Result")
META, CHECKS = "cic", "crc32"  # the keys of the file's own metadata
# No weight is larger, and no variance than its square: bytes in the wrong order are such numbers,
# and a float32 holds what a few layers of smaller ones make of a photo.
LARGEST = 1e8
VARIANCE = ".running_var"  # how the arrays are called that are none below 0
# Of what metadata say of colorizing: types, least and most.
COLORIZE: dict[str, tuple[Any, float, float]] = {
    "size": (int, 8, 2048),
    "temperature": (int | float, 0, 100),
}
# What of a run's metadata stays with weights that are handed out: nothing of a machine or a person.
RELEASED = ("recipe", "seed", "step", "prior_fingerprint", "bin_weights")
LONGEST = 1000  # letters of a message: names in a file may be of any length
_KINDS = {"f": "F", "i": "I", "u": "U"}  # safetensors' names of NumPy's kinds of numbers


class CheckpointError(Error, ValueError):
    """A file that is no checkpoint, or is one of another network; the message names it.

    The message is one line that can be shown, whatever is in the file.
    """

    def __init__(self, message: object) -> None:
        line = " ".join(str(message).split())
        super().__init__(printable(line[:LONGEST]) + " ..." * (len(line) > LONGEST))


def save(path: StrPath, state: Mapping[str, Array], meta: Mapping[str, Json]) -> None:
    """Write state {name: array} and meta (a JSON object) to `path`, atomically."""
    # array by array, so that no copy of them all is in memory
    sizes = sorted(state.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    arrays = {name: np.require(array, requirements="C") for name, array in sizes}
    text = json.dumps(meta)
    checks = {META: zlib.crc32(text.encode())}
    checks |= {name: zlib.crc32(_bytes(array)) for name, array in arrays.items()}
    header: dict[str, Json] = {"__metadata__": {META: text, CHECKS: json.dumps(checks)}}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        kind = "BOOL" if array.dtype.kind == "b" else None
        kind = kind or f"{_KINDS[array.dtype.kind]}{8 * array.itemsize}"
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": (start, end)}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with replacing(path) as fresh, open(fresh, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for array in arrays.values():
            file.write(_bytes(array))


def _bytes(array: Array) -> memoryview:
    """Return the bytes of an array that is contiguous, little-endian, without a copy if it can
    be.
    """
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return array.reshape(-1).view(np.uint8).data


def load_own(path: StrPath) -> tuple[State, dict[str, Json]]:
    """Return (state {name: array}, meta) of a checkpoint of this project; raise CheckpointError."""

    def read(file: SafetensorsFile) -> State:
        if unknown := file.metadata.keys() - {META, CHECKS}:
            raise ValueError(f"metadata called {', '.join(sorted(unknown))}")
        checks = bounded_json.loads(file.metadata.get(CHECKS, "{}"))  # version 0.1 had none
        state: State = {}
        for name in file.shapes:
            state[name] = file.array(name)
            _check(name, _bytes(state[name]), checks)
        _check(META, file.metadata[META].encode(), checks)
        return state

    return _read(path, read)


def _check(name: str, data: bytes | memoryview, checks: Mapping[str, int]) -> None:
    if checks and zlib.crc32(data) != checks.get(name):
        raise ValueError(f"damaged: {name} is not what was written")


def _read(
    path: StrPath, arrays: Callable[[SafetensorsFile], Result]
) -> tuple[Result, dict[str, Json]]:
    path = os.fspath(path)
    try:
        with SafetensorsFile(path) as file:
            meta = bounded_json.loads(file.metadata[META])
            check_meta(meta)
            return arrays(file), meta
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file") from None
    except KeyError:
        raise CheckpointError(f"{path}: not written by this project: no metadata") from None
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None
    except (ValueError, TypeError, AttributeError, MemoryError) as error:
        raise CheckpointError(f"{path}: not a checkpoint: {error or 'too large'}") from None


def check_meta(meta: Json) -> None:
    """Raise ValueError unless what metadata say of a run and of colorizing is of the right kind."""
    if not isinstance(meta, dict):
        return  # it names no network, which `network_of` says
    for key, kind in (("recipe", dict), ("colorize", dict), ("step", int)):
        if not isinstance(meta.get(key, kind()), kind):
            raise ValueError(f"metadata whose {key} is {str(meta[key])[:50]}")
    colorize = meta.get("colorize", {})
    for key, (kinds, low, high) in COLORIZE.items():
        value = colorize.get(key, high)
        if not isinstance(value, kinds) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"metadata whose {key} is {str(value)[:50]}, not {low} to {high}")


def load_meta(path: StrPath) -> dict[str, Json]:
    """Return the meta of a file alone; raise CheckpointError if it is not a checkpoint."""
    return _read(path, lambda file: None)[1]


def check(network: Network, state: Mapping[str, Array], source: object = "state") -> None:
    """Raise CheckpointError unless `state` has exactly the arrays of `network`.

    The message names the first array that differs, in the network's order, and both shapes.
    """
    wanted = network.state_shapes
    for name in [*wanted, *(name for name in state if name not in wanted)]:
        has = tuple(state[name].shape) if name in state else "nothing"
        needs = wanted.get(name, "nothing")
        if has != needs:
            raise CheckpointError(
                f"{source}: not weights of {network}: {name}: the file has {has}, "
                f"the network needs {needs}"
            )


def split(state: Mapping[str, Array]) -> tuple[State, State]:
    """Return (weights, optimizer) of a training checkpoint's state; the prefix is taken off."""
    weights = {name: array for name, array in state.items() if not name.startswith(OPTIMIZER)}
    optimizer = {
        name.removeprefix(OPTIMIZER): array
        for name, array in state.items()
        if name.startswith(OPTIMIZER)
    }
    return weights, optimizer


def check_numbers(state: Mapping[str, Array], source: object) -> None:
    """Raise CheckpointError, naming the array, unless all numbers are real ones, and believable."""
    for name, array in state.items():
        if array.dtype.kind != "f":
            raise CheckpointError(f"{source}: {name} holds {array.dtype} numbers")
        low, high = float(array.min(initial=0)), float(array.max(initial=0))  # NaN stays NaN
        if not np.isfinite([low, high]).all():
            raise CheckpointError(f"{source}: {name} holds numbers that are not finite")
        is_variance = name.endswith(VARIANCE)
        if is_variance and low < 0:
            raise CheckpointError(f"{source}: {name} holds numbers below 0: {low:.3g}")
        if (largest := max(high, -low)) > (LARGEST**2 if is_variance else LARGEST):
            raise CheckpointError(
                f"{source}: {name} holds numbers of {largest:.0e}, as bytes in the wrong order are"
            )


def network_of(meta: Mapping[str, Json], source: object) -> Network:
    """Return the network that a file's meta names; raise CheckpointError if there is none such."""
    try:
        network = networks.get(meta["network"], **meta["options"])
        if not all(1 / LARGEST < one < LARGEST for one in np.ravel(network.scale)):
            raise ValueError(f"its input is divided by {network.scale}")
        return network
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise CheckpointError(f"{source}: its metadata names no known network: {error}") from None


def network_meta(network: Network) -> dict[str, Json]:
    """Return the metadata from which `network_of` rebuilds the network."""
    return {"network": network.name, "options": dict(network.options)}
