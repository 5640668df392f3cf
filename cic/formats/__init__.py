"""Files of weights in every known format, told by what is in them, not by their names."""

import numpy as np

from cic import checkpoint
from cic.checkpoint import CheckpointError
from cic.formats import frameworks, vgg

_STATE_DICTS = (vgg,)  # formats of the state dicts of other projects, by their names


def load(path):
    """(network, neutral state) from a file of weights; raises CheckpointError, naming the file.

    Known are this project's own checkpoints and the state dicts of PyTorch and Paddle of VGG-16.
    """
    if not _is_foreign(path):
        return checkpoint.load_weights(path)[:2]
    arrays = frameworks.read(path)
    for names in _STATE_DICTS:
        if names.recognises(arrays):
            network, state = names.convert(arrays, path)
            _check_numbers(state, path)
            return network, state
    raise CheckpointError(f"{path}: weights of no known network: {', '.join(list(arrays)[:3])}")


def _is_foreign(path):
    try:
        with open(path, "rb") as file:
            return frameworks.is_one(file.read(9))
    except OSError:
        return False  # the checkpoint's reader says why


def _check_numbers(state, path):
    for name, array in state.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise CheckpointError(f"{path}: {name} holds what is not a finite number")
