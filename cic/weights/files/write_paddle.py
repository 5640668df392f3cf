"""A state dict written as paddle.save does, for paddle.load, without Paddle: a pickle of arrays."""

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from cic.system.arrays import Array
from cic.system.files import replacing
from cic.system.typing import Json, StrPath
from cic.weights.files.pickle_pieces import (
    BUILD,
    CALL,
    EMPTY,
    MARK,
    SET_ITEMS,
    STOP,
    TUPLE,
    protocol,
    push,
    push_global,
)
from cic.weights.formats import notes

_BYTES = b"\x8e"  # BINBYTES8: 8 bytes of length, and they
# Modules that NumPy 1 and 2 know alike.
_RECONSTRUCT = push_global("numpy.core.multiarray", "_reconstruct")
_EMPTY_ARRAY = _RECONSTRUCT + push_global("numpy", "ndarray") + push((0,)) + b"C\x01b\x87" + CALL


def write(path: StrPath, arrays: Mapping[str, Array], note: Json = None) -> None:
    """Write {name: array} and a note (a JSON object) to `path`, atomically.

    The note is behind the pickle's end, where no unpickler looks.
    """
    with replacing(path) as fresh, open(fresh, "wb") as file:
        file.write(protocol(4) + EMPTY + MARK)
        for name, array in arrays.items():
            array = np.require(array, requirements="C")
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            file.write(push(name) + _EMPTY_ARRAY + MARK + push(1) + push(array.shape))
            file.write(_dtype(array.dtype) + push(False))
            file.write(_BYTES + struct.pack("<Q", array.nbytes))
            file.write(array.reshape(-1).view(np.uint8).data)
            file.write(TUPLE + BUILD)
        file.write(SET_ITEMS + STOP)
        if note is not None:
            file.write(notes.NAME.encode() + json.dumps(note).encode())


def _dtype(dtype: np.dtype[Any]) -> bytes:
    make = push_global("numpy", "dtype") + push((dtype.str[1:], False, True)) + CALL
    return make + push((3, "<", None, None, None, -1, -1, 0)) + BUILD
