"""The files that torch.save and paddle.save write, as {name: array}, read without either.

PyTorch has two formats: a zip archive of a pickle and the bytes of each storage, since 1.6, and
before that pickles one after the other with the bytes behind them. Paddle's is a pickle of NumPy
arrays. See `cic.pickles`: no code in them runs.
"""

import io
import json
import re
import struct
import zipfile
import zlib
from math import prod

import numpy as np

from cic import pickles
from cic.checkpoint import CheckpointError
from cic.formats import modules, notes

MAGIC = 0x1950A86A20F9469CFC6C  # of PyTorch's older format (torch/serialization.py)
PADDLES_OWN = "StructuredToParameterName@@"  # a key of Paddle's that holds no array
PIECE = 1 << 24  # bytes read at once
_DAMAGE = (
    *(ValueError, LookupError, TypeError, AttributeError, OverflowError, EOFError, MemoryError),
    *(RuntimeError, struct.error, zipfile.BadZipFile, zlib.error),
)


class Storage:
    """The numbers that tensors are views of; `values` are read once all tensors are known."""

    def __init__(self, dtype, size):
        self.dtype, self.size, self.values = dtype, size, None


class Tensor:
    """A view of a storage, as PyTorch pickles it; what follows `strides` concerns training."""

    def __init__(self, storage, offset, shape, strides, *_):
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self):
        """The view; raises ValueError if it has more numbers than its storage, or other ones."""
        steps = [(n - 1) * step for n, step in zip(self.shape, self.strides, strict=True)]
        smallest = min((self.offset, *self.shape, *self.strides))
        last, size = self.offset + sum(steps), self.storage.size
        if smallest < 0 or prod(self.shape) > size or (prod(self.shape) and last >= size):
            raise ValueError(f"{self.shape} by {self.strides} from {size} numbers")
        values = self.storage.values[self.offset :]
        strides = [step * values.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(values, self.shape, strides)


class Dtype:
    """A NumPy dtype, as NumPy pickles it: of numbers, and no other."""

    def __init__(self, code, *_):
        if not re.fullmatch("[fiu][1248]|b1", code):
            raise ValueError(f"an array of {code!r}")
        self.code, self.order = code, "="

    def build(self, state):
        self.order = {"<": "<", ">": ">"}.get(state[1], "=")

    @property
    def dtype(self):
        return np.dtype(self.order + self.code)


class Array:
    """A NumPy array, as NumPy pickles it: empty at first, then given its state."""

    def __init__(self, *_):
        self.state = ((0,), Dtype("f4"), False, b"")

    def build(self, state):
        self.state = state[1:]

    def array(self):
        """The array; raises ValueError if it is not as long as its shape says."""
        shape, dtype, by_column, data = self.state
        if isinstance(data, str):
            data = data.encode("latin1")  # before protocol 3 a pickle has no bytes
        values = np.frombuffer(data, dtype.dtype)
        return values.reshape(shape, order="F" if by_column else "C")


_STORAGES = {
    "Float": "f4",
    "Double": "f8",
    "Half": "f2",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "?",
}
KNOWN = {
    "collections.OrderedDict": pickles.dictionary,
    "torch._utils._rebuild_tensor": Tensor,
    "torch._utils._rebuild_tensor_v2": Tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch.nn.parameter.Parameter": lambda tensor, *_: tensor,
    **{f"torch.{name}Storage": np.dtype(code) for name, code in _STORAGES.items()},
    "numpy.core.multiarray._reconstruct": Array,
    "numpy._core.multiarray._reconstruct": Array,
    "numpy.ndarray": None,
    "numpy.dtype": Dtype,
    "_codecs.encode": lambda text, _: text,
    "builtins.tuple": tuple,
    "__builtin__.tuple": tuple,
}
_MODULES = KNOWN | modules.KNOWN  # what PyTorch's files may name, of whole modules too


def is_one(start):
    """Whether a file that starts with these bytes, 9 or more, may be one of theirs."""
    return start[:4] == b"PK\x03\x04" or (start[:1] == b"\x80" and start[8:9] != b"{")


def read(path):
    """{name: array} of a state dict; raises CheckpointError, naming the file, for anything else.

    Arrays may be views of each other; those of a pickle alone cannot be written to.
    """
    return read_noted(path)[0]


def read_noted(path):
    """({name: array} as `read` gives it, a note of ours, a whole module's class); or None."""
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"PK"
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            state, note = _read_zip(file, size) if zipped else _read_pickles(file, size)
            kind = modules.class_of(state) if isinstance(state, modules.Module) else None
            return _named(state, size), json.loads(note) if note else None, kind
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None
    except pickles.Refused as error:
        raise CheckpointError(f"{path}: refused: {error}") from None
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(f"{path}: not weights of PyTorch or Paddle: {reason}") from None


def _named(state, size):
    if isinstance(state, modules.Module):
        state = modules.tensors(state)
    if not isinstance(state, dict):
        raise ValueError("no names in it")
    arrays, total = {}, 0
    for name, value in state.items():
        if name == PADDLES_OWN:
            continue
        if isinstance(value, tuple) and len(value) == 2:
            value = value[1]  # behind Paddle's own name
        if not isinstance(name, str) or not isinstance(value, Tensor | Array):
            raise ValueError(f"{name!r} is no array")
        arrays[name] = value.array()
        total += arrays[name].nbytes if isinstance(value, Array) else 0  # a tensor is a view
        if total > size:
            raise ValueError("its arrays are larger than it is")
    return arrays


class _Storages(dict):
    """{key: Storage} of those that a pickle has named; `order` is the byte order of the file."""

    order = "<"

    def __call__(self, description):
        if description[0] == "module":  # until 1.5: a class, the name of its file, and its code
            return description[1]
        kind, dtype, key, place, size, *view = description
        if kind != "storage" or any(part is not None for part in view):
            raise pickles.Refused(f"it has a part of another kind: {kind!r}")
        if not re.fullmatch(r"[a-z]+(:\d+)?", place):
            raise ValueError(f"storage {key} on {place!r}")
        if not isinstance(dtype.value, np.dtype) or not isinstance(size, int):
            raise ValueError(f"storage {key} of {size} {dtype.name}")
        found = self.setdefault(key, Storage(dtype.value, size))
        if (found.size, found.dtype) != (size, dtype.value):
            raise ValueError(f"storage {key} has two descriptions")
        return found

    def fill(self, key, file, there):
        """Read the values of a storage, `there` bytes long, from where the file stands."""
        storage = self[key]
        count = storage.size * storage.dtype.itemsize
        if count != there:
            raise ValueError(f"storage {key} of {storage.size} numbers has {there} bytes")
        raw, end = np.empty(count, np.uint8), 0
        while end < count:
            piece = file.read(min(PIECE, count - end))
            if not piece:
                raise EOFError(f"cut off in storage {key}")
            raw[end : end + len(piece)] = np.frombuffer(piece, np.uint8)
            end += len(piece)
        storage.values = raw.view(storage.dtype.newbyteorder(self.order))


def _read_zip(file, size):
    storages = _Storages()
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise ValueError("compressed, as PyTorch's files are not")
        if sum(entry.file_size for entry in archive.infolist()) > size:
            raise ValueError("its parts are larger than it is")
        tops = [name for name in entries if re.fullmatch("[^/]*/data.pkl", name)]
        if len(tops) != 1:
            raise ValueError("an archive without data.pkl")
        folder = tops[0].removesuffix("data.pkl")
        order = entries.get(f"{folder}byteorder")
        if order:
            storages.order = {b"little": "<", b"big": ">"}[archive.read(order)]
        code = io.BytesIO(archive.read(tops[0]))
        state = pickles.load(code, _MODULES, storages, modules.stand_in)
        for key in storages:
            entry = entries[f"{folder}data/{key}"]
            with archive.open(entry) as part:
                storages.fill(key, part, entry.file_size)
        note = entries.get(folder + notes.NAME)
        return state, note and archive.read(note)


def _read_pickles(file, size):
    first = pickles.load(file, KNOWN)
    if first != MAGIC:
        behind = file.read(len(notes.NAME))
        return first, file.read() if behind == notes.NAME.encode() else None
    storages = _Storages()
    pickles.load(file, KNOWN)  # the format's version
    storages.order = "<" if pickles.load(file, KNOWN)["little_endian"] else ">"
    state = pickles.load(file, _MODULES, storages, modules.stand_in)
    keys = pickles.load(file, KNOWN)
    if set(keys) != set(storages):
        raise ValueError("its storages are not those of its tensors")
    for key in keys:
        (count,) = struct.unpack(storages.order + "q", file.read(8))
        there = count * storages[key].dtype.itemsize
        if there > size - file.tell():
            raise EOFError(f"cut off in storage {key}")
        storages.fill(key, file, there)
    return state, None
