"""Checkpoints: safetensors with neutral names; written whole or not at all, loaded strictly.

A file holds the weights under their neutral names and, for a training run, the optimizer's arrays
under `optimizer/...`. Its metadata is one JSON object: the network's name and options, and whatever
the writer adds. Nothing in a file can run code.
"""

import json
import os
from importlib import resources

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from cic import networks
from cic.files import replacing
from cic.recipes import OPTIMIZERS

OPTIMIZER = "optimizer/"  # prefix of the arrays that only training needs
META = "cic"  # the one key of the file's own metadata
DEFAULT = "compact"  # bundled weights


class CheckpointError(ValueError):
    """A file that is no checkpoint, or not one of this network; the message names it."""


def save(path, state, meta):
    """Write state {name: array} and meta (a JSON object) to `path`, atomically."""
    # safetensors writes whatever memory an array that is not contiguous points into.
    state = {name: np.asarray(array, order="C") for name, array in state.items()}
    # Its own writer of files leaves temporary ones of its own when it is killed.
    data = serialize(state, {META: json.dumps(meta)})
    with replacing(path) as fresh, open(fresh, "wb") as file:
        file.write(data)


def load(path):
    """(state {name: array}, meta) from a file; raises CheckpointError if it is not a checkpoint."""
    return _read(path, lambda file: {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - no dict


def _read(path, arrays):
    path = os.fspath(path)
    if os.path.isdir(path):
        raise CheckpointError(f"{path}: a folder: name a file in it, *_model.safetensors")
    try:
        with safe_open(path, framework="np") as file:
            meta = json.loads((file.metadata() or {})[META])
            return arrays(file), meta
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file") from None
    except KeyError:
        raise CheckpointError(f"{path}: not written by this project: no metadata") from None
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: not a checkpoint: {error}") from None


def load_meta(path):
    """The meta of a file alone; raises CheckpointError if it is not a checkpoint."""
    return _read(path, lambda file: None)[1]


def check(network, state, source="state"):
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


def check_training(network, optimizer, meta, source, kind="adam"):
    """Raise CheckpointError unless a run of `network` can go on from a checkpoint.

    Equal shapes are not enough: options such as `extra_relu` have no arrays of their own. `kind` is
    the optimizer, one of recipes.OPTIMIZERS.
    """
    wanted = network_meta(network)
    has = {key: meta.get(key) for key in wanted}
    if has != wanted:
        raise CheckpointError(f"{source}: not of this network: {has} instead of {wanted}")
    if "step" not in meta or "steps" not in optimizer:
        raise CheckpointError(f"{source}: weights alone: not resumable; start from --weights")
    for name, shape in network.parameters.items():
        for slot in OPTIMIZERS[kind]:
            array = optimizer.get(f"{slot}/{name}")
            if array is None or array.shape != shape:
                raise CheckpointError(
                    f"{source}: not resumable with optimizer {kind}: {slot}/{name} is not {shape}"
                )


def split(state):
    """(weights, optimizer) of a training checkpoint's state; the prefix is taken off."""
    weights = {name: array for name, array in state.items() if not name.startswith(OPTIMIZER)}
    optimizer = {
        name.removeprefix(OPTIMIZER): array
        for name, array in state.items()
        if name.startswith(OPTIMIZER)
    }
    return weights, optimizer


def default_path():
    """Path of the bundled weights."""
    return os.fspath(resources.files("cic") / "data" / f"{DEFAULT}.safetensors")


def load_weights(path=None):
    """(network, weights, meta) from a file or, by default, the bundled one; checked strictly."""
    path = default_path() if path is None else path
    state, meta = load(path)
    try:
        network = networks.get(meta["network"], **meta["options"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its metadata names no known network: {error}") from None
    weights, _ = split(state)
    check(network, weights, path)
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise CheckpointError(f"{path}: {name} holds numbers that are not finite")
    return network, weights, meta


def network_meta(network):
    """The metadata from which `load_weights` rebuilds the network."""
    return {"network": network.name, "options": dict(network.options)}
