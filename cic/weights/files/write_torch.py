"""A state dict written as torch.save does, for torch.load(weights_only=True), without PyTorch.

A zip archive, uncompressed, of a pickle and of the bytes of each tensor. It may hold a note of
ours besides, which PyTorch does not look at.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from math import prod
from typing import BinaryIO

import numpy as np

from cic.system.arrays import Array
from cic.system.files import replacing
from cic.system.typing import Json, StrPath
from cic.weights.files.pickle_pieces import (
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

FOLDER = "archive"
ALIGNED = 64  # bytes: torch/csrc/jit serialization, so that a tensor can be mapped
TYPES = {"f2": "Half", "f4": "Float", "f8": "Double", "i8": "Long", "i4": "Int", "u1": "Byte"}
_DATE = (1980, 1, 1, 0, 0, 0)  # the same weights make the same file


def write(path: StrPath, arrays: Mapping[str, Array], note: Json = None) -> None:
    """Write {name: array} and a note (a JSON object) to `path`, atomically.

    An array that has several names is written once.
    """
    arrays = {name: np.require(array, requirements="C") for name, array in arrays.items()}
    storages = {id(array): array for array in arrays.values()}
    with (
        replacing(path) as fresh,
        open(fresh, "wb") as file,
        zipfile.ZipFile(file, "w") as archive,
    ):
        _add(archive, file, "data.pkl", _pickle(arrays, list(storages)))
        _add(archive, file, "byteorder", b"little")
        for number, array in enumerate(storages.values()):
            data = array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1)
            _add(archive, file, f"data/{number}", data.view(np.uint8).data)
        _add(archive, file, "version", b"3\n")
        if note is not None:
            _add(archive, file, notes.NAME, json.dumps(note).encode())


def _add(archive: zipfile.ZipFile, file: BinaryIO, name: str, data: bytes | memoryview) -> None:
    """Add an entry whose bytes begin at a multiple of ALIGNED."""
    entry = zipfile.ZipInfo(f"{FOLDER}/{name}", _DATE)
    entry.file_size = len(data)
    extra = 4 + (-(file.tell() + 34 + len(entry.filename))) % ALIGNED
    entry.extra = b"FB" + (extra - 4).to_bytes(2, "little") + b"Z" * (extra - 4)
    with archive.open(entry, "w") as part:
        part.write(data)


def _pickle(arrays: Mapping[str, Array], storages: Sequence[int]) -> bytes:
    """Return the pickle of a dict of tensors, each the whole of its storage, by the ids of
    these.
    """
    out = io.BytesIO()
    out.write(protocol(2) + EMPTY + MARK)
    numbers = {key: str(number) for number, key in enumerate(storages)}
    for name, array in arrays.items():
        kind = push_global("torch", f"{TYPES[array.dtype.str[1:]]}Storage")
        storage = MARK + push("storage") + kind + push(numbers[id(array)]) + push("cpu")
        storage += push(array.size) + TUPLE + b"Q"
        strides = tuple(prod(array.shape[axis + 1 :]) for axis in range(array.ndim))
        view = push(0) + push(array.shape) + push(strides) + push(False)
        hooks = push_global("collections", "OrderedDict") + push(()) + CALL
        rebuild = push_global("torch._utils", "_rebuild_tensor_v2")
        out.write(push(name) + rebuild + MARK + storage + view + hooks + TUPLE + CALL)
    out.write(SET_ITEMS + STOP)
    return out.getvalue()
