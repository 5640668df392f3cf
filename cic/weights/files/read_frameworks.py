"""Read the files that torch.save and paddle.save write, as {name: array}, without either framework.

PyTorch has two formats: a zip archive of a pickle and the bytes of each storage, since 1.6, and
before that pickles one after the other with the bytes behind them. Paddle's is a pickle of NumPy
arrays. See `cic.weights.files.unpickle`: no code in them runs.
"""

import errno
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import IO, Any, BinaryIO, NamedTuple

import numpy as np

from cic.system import arrays as kinds
from cic.system import bounded_json
from cic.system.regular import open_regular
from cic.system.typing import Json, StrPath
from cic.weights.checkpoint import CheckpointError
from cic.weights.files import bfloat16, groups, others, torch_modules, unpickle
from cic.weights.formats import notes

MAGIC = 0x1950A86A20F9469CFC6C  # of PyTorch's older format (torch/serialization.py)
PIECE = 1 << 24  # bytes read at once
MOST_AXES = 64  # NumPy's own limit since version 2
DIRECTORY = 16 << 20  # bytes at most of an archive's: of 100,000 parts
_ORDERS = {b"little": "<", b"big": ">"}
_END, _END_64 = b"PK\5\6", b"PK\6\6"  # APPNOTE.TXT, 4.3.16 and 4.3.14
_END_BYTES = 22  # of the record that begins with _END
_DAMAGE = (
    ValueError, LookupError, TypeError, AttributeError, OverflowError, EOFError, MemoryError,
    RuntimeError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class Storage:
    """The numbers of one or several tensors, which are views; `values` are read once all tensors
    are known.
    """

    def __init__(self, dtype: np.dtype[Any], size: int) -> None:
        self.dtype, self.size = dtype, size
        self.values: kinds.Array | None = None


class Tensor:
    """A view of a storage, as PyTorch pickles it; the arguments after `strides` concern
    training.
    """

    def __init__(
        self,
        storage: Storage,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        *_: object,
    ) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self) -> kinds.Array:
        """Return the view; raise ValueError if it has more numbers than its storage, or other
        ones.
        """
        numbers = [self.offset, *self.shape, *self.strides]
        if not all(type(one) is int for one in numbers) or len(numbers) > 2 * MOST_AXES:
            raise ValueError("a tensor whose shape is no few numbers")
        steps = [(n - 1) * step for n, step in zip(self.shape, self.strides, strict=True)]
        last, size = self.offset + sum(steps), self.storage.size
        if min(numbers) < 0 or prod(self.shape) > size or (prod(self.shape) and last >= size):  # type: ignore[arg-type]
            raise ValueError(f"{self.shape} by {self.strides} from {size} numbers")
        values = self.storage.values[self.offset :]  # type: ignore[index]
        strides = [step * values.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(values, self.shape, strides)


class Dtype:
    """A NumPy dtype, as NumPy pickles it; only arrays of numbers are read."""

    def __init__(self, code: Any, *_: object) -> None:
        self.code, self.order = code, "="

    def build(self, state: Any) -> None:
        orders = ("<", ">")
        self.order = state[1] if isinstance(state[1], str) and state[1] in orders else "="

    @property
    def dtype(self) -> np.dtype[Any]:
        if not isinstance(self.code, str) or not re.fullmatch("[fiu][1248]|b1", self.code):
            what = repr(self.code[:20]) if isinstance(self.code, str) else "no numbers"
            raise ValueError(f"an array of {what}")
        return np.dtype(self.order + self.code)


class Array:
    """A NumPy array, as NumPy pickles it: empty at first, then given its state."""

    def __init__(self, *_: object) -> None:
        self.state: Any = ((0,), Dtype("f4"), False, b"")  # as the pickle has it
        self.axes: Any = None

    def build(self, state: Any) -> None:
        self.state = state[1:]

    def array(self) -> kinds.Array:
        """Return the array, bfloat16 as float32; raise ValueError if its shape does not fit its
        length.

        NumPy has no bfloat16: Paddle gives it as uint16, a type that no tensor of Paddle's has.
        """
        shape, dtype, by_column, data = self.state
        if isinstance(data, str):
            data = data.encode("latin1")  # before protocol 3 a pickle has no bytes
        if not isinstance(shape, tuple) or not all(type(one) is int for one in shape):
            raise ValueError("an array without a shape")
        values = np.frombuffer(data, dtype.dtype)
        values = values.reshape(shape, order="F" if by_column else "C")
        values = values if self.axes is None else values.transpose(self.axes)
        return bfloat16.widened(values) if dtype.code == "u2" else values


def from_buffer(data: Any, dtype: Dtype, shape: Any, order: Any, axes: Any = None) -> Array:
    """Return the Array that numpy._core.numeric._frombuffer makes, in pickles of protocol 5."""
    array = Array()
    array.state = (shape, dtype, order == "F", data)
    array.axes = axes if order == "K" else None
    return array


def _nothing(*_: object) -> None:
    """What stands for a thing beside the weights that no network needs."""


def _rebuild(function: unpickle.Global, _: object, arguments: Sequence[Any], *__: object) -> Any:
    """Return a tensor of a class of its own, or with attributes (torch/_tensor.py)."""
    if function.name not in _TENSORS:
        raise unpickle.Refused(f"it calls {function.name}, which no file of weights does")
    return function.value(*arguments)


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
BFLOAT16 = np.dtype("V2")  # stands for it: NumPy has none
# Any: functions of whatever a pickle has for them.
_TENSORS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": Tensor,
    "torch._utils._rebuild_tensor_v2": Tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch._utils._rebuild_parameter_with_state": lambda tensor, *_: tensor,
    "torch.nn.parameter.Parameter": lambda tensor, *_: tensor,
}
_NUMPYS = ("numpy.core", "numpy._core")  # the older name until version 2
_BUILTINS = ("builtins", "__builtin__")  # the older name in Python 2 and protocol 2
_TORCH_TYPES = (
    "float32", "float", "float64", "double", "float16", "half", "bfloat16", "uint8", "int8",
    "int16", "short", "int32", "int", "int64", "long", "bool", "Tensor",
)  # fmt: skip
# What is made of them is nothing: a run's options, figures and dates, beside the weights.
_BESIDE: dict[str, Any] = {
    **{f"{module}.multiarray.scalar": _nothing for module in _NUMPYS},
    **{f"pathlib.{name}": _nothing for name in ("Path", "PosixPath", "WindowsPath")},
    **{f"pathlib._local.{name}": _nothing for name in ("Path", "PosixPath", "WindowsPath")},
    **{f"datetime.{name}": _nothing for name in ("date", "datetime", "timedelta", "timezone")},
    **{f"{module}.complex": _nothing for module in _BUILTINS},
    **{f"{module}.frozenset": _nothing for module in _BUILTINS},
    **{
        f"{module}.{name}": None
        for module in _BUILTINS
        for name in ("list", "dict", "int", "float", "str", "bool")
    },
    "collections.defaultdict": lambda *_: {},
    "collections.Counter": lambda *_: {},
    "collections.deque": lambda *_: [],
    "torch.Size": unpickle.sequence,
    **{f"torch.{name}": None for name in _TORCH_TYPES},
}
# What PyTorch's files and Paddle's may name.
KNOWN: dict[str, Any] = {
    "collections.OrderedDict": unpickle.dictionary,
    **_TENSORS,
    "torch._tensor._rebuild_from_type_v2": _rebuild,
    **{f"torch.{name}Storage": np.dtype(code) for name, code in _STORAGES.items()},
    "torch.BFloat16Storage": BFLOAT16,
    **{f"{module}.multiarray._reconstruct": Array for module in _NUMPYS},
    **{f"{module}.numeric._frombuffer": from_buffer for module in _NUMPYS},
    "numpy.ndarray": None,
    "numpy.dtype": Dtype,
    "_codecs.encode": lambda text, _: text,
    **{f"{module}.tuple": unpickle.sequence for module in _BUILTINS},
    **_BESIDE,
}
_MODULES = KNOWN | torch_modules.KNOWN  # what PyTorch's files may name, of whole modules too


def recognises(start: bytes) -> bool:
    """Return whether a file that starts with these bytes, 9 or more, may be one of theirs."""
    return start[:4] == b"PK\x03\x04" or (start[:1] == b"\x80" and start[8:9] != b"{")


class Contents(NamedTuple):
    """The contents of a file: Groups of arrays, a note of ours or None, and why a group is left
    out.
    """

    groups: list[groups.Group]
    note: Json
    problem: str | None


def read(path: StrPath) -> kinds.State:
    """Return {name: array} of the one group of arrays in a file; raise CheckpointError, naming the
    file.

    Arrays may be views of each other; those of a pickle alone cannot be written to.
    """
    found = read_groups(path)
    if len(found.groups) != 1 or found.problem:
        raise CheckpointError(f"{path}: {found.problem or groups.listed(found.groups)}")
    return found.groups[0].arrays


def read_groups(path: StrPath) -> Contents:
    """Return the Contents of a file, of arrays as `read` gives them; CheckpointError for anything
    else.
    """
    try:
        with open_regular(path) as file:
            zipped = file.read(2) == b"PK"
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            tree, note = _read_zip(file, size) if zipped else _read_pickles(file, size)
            found, problem = _converted(groups.find(tree, _is_array, _taken_apart), size)
            return Contents(found, bounded_json.loads(note) if note else None, problem)
    except OSError as error:
        outside = error.errno == errno.EINVAL and error.filename is None
        reason = "an archive whose parts lie outside of it" if outside else error.strerror or error
        raise CheckpointError(f"{path}: {reason}") from None
    except unpickle.Refused as error:
        raise CheckpointError(f"{path}: refused: {error}") from None
    except _DAMAGE as error:
        raise CheckpointError(
            f"{path}: not weights of PyTorch or Paddle: {str(error) or type(error).__name__}"
        ) from None


def _is_array(value: object) -> bool:
    return isinstance(value, Tensor | Array)


def _taken_apart(thing: object) -> groups.TakenApart:
    """Return what groups.find asks of an object: its tensors if it is a module, else what it
    holds.
    """
    if not isinstance(thing, torch_modules.Module):
        return None
    if thing.state.keys() & {"_parameters", "_modules"}:
        return torch_modules.tensors(thing), torch_modules.class_name(thing), {}
    return {}, None, thing.state | thing.items


def _converted(found: Sequence[groups.Group], size: int) -> tuple[list[groups.Group], str | None]:
    """Return (Groups of NumPy arrays, why the first that cannot be is left out).

    Raises ValueError if there is none.
    """
    good: list[groups.Group] = []
    problem: str | None = None
    for group in found:
        try:
            good.append(replace(group, arrays=_arrays(group.arrays, size)))
        except _DAMAGE as error:
            problem = problem or f"not weights of PyTorch or Paddle: {error}"
    if not good:
        raise ValueError(problem.partition(": ")[2] if problem else "no arrays in it, under names")
    return good, problem


def _arrays(values: Mapping[str, Any], size: int) -> kinds.State:
    """Return {name: NumPy array} of {name: Tensor or Array}, in a file of `size` bytes."""
    arrays: kinds.State = {}
    total = 0
    for name, value in values.items():
        if not _is_array(value):
            raise ValueError(f"{name!r} is no array")
        arrays[name] = value.array()
        total += arrays[name].nbytes if isinstance(value, Array) else 0  # a tensor is a view
        if total > 2 * size:  # bfloat16 becomes float32
            raise ValueError("its arrays are larger than it is")
    return arrays


class _Storages(dict[str, Storage]):
    """{key: Storage} of those that a pickle has named; `order` is the byte order of the file."""

    order: str | None = "<"

    def __call__(self, description: Any) -> Any:
        if (
            isinstance(description[0], str) and description[0] == "module"
        ):  # until 1.5: a class, the name of its file, and its code
            return description[1]
        kind, dtype, key, place, size, *view = description
        if not isinstance(kind, str) or kind != "storage" or any(part is not None for part in view):
            raise unpickle.Refused("it has a part of another kind than storages")
        if not isinstance(key, str):
            raise ValueError("a storage without a name")
        if not re.fullmatch(r"[a-z]+(:\d+)?", place):
            raise ValueError(f"storage {key} on {place!r}")
        if not isinstance(dtype.value, np.dtype) or type(size) is not int:
            raise ValueError(f"a storage of no numbers, or of {dtype.name}")
        found = self.setdefault(key, Storage(dtype.value, size))
        if (found.size, found.dtype) != (size, dtype.value):
            raise ValueError(f"storage {key} has two descriptions")
        return found

    def fill(self, key: str, file: IO[bytes], there: int) -> None:
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
        dtype = np.dtype("u2") if storage.dtype == BFLOAT16 else storage.dtype
        values = raw.view(dtype.newbyteorder(self.order))  # type: ignore[arg-type]
        storage.values = bfloat16.widened(values) if storage.dtype == BFLOAT16 else values


def _read_zip(file: BinaryIO, size: int) -> tuple[Any, bytes | None]:
    storages = _Storages()
    _check_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        tops = [name for name in entries if re.fullmatch("[^/]*/data.pkl", name)]
        if len(tops) != 1:
            raise ValueError(f"an archive without data.pkl{others.in_archive(entries)}")
        folder = tops[0].removesuffix("data.pkl")
        if f"{folder}constants.pkl" in entries:
            raise ValueError(f"a program in TorchScript: {others.FROM_TORCHSCRIPT}")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise ValueError("compressed, as PyTorch's files are not")
        if sum(entry.file_size for entry in archive.infolist()) > size:
            raise ValueError("its parts are larger than it is")
        order = entries.get(f"{folder}byteorder")
        if order:
            storages.order = _ORDERS.get(archive.read(order))
        if not storages.order:
            raise ValueError("its bytes are in no known order")
        code = io.BytesIO(archive.read(tops[0]))
        state = unpickle.load(code, _MODULES, storages, torch_modules.stand_in)
        for key in storages:
            entry = entries.get(f"{folder}data/{key}")
            if not entry:
                raise ValueError(f"storage {key} is missing")
            with archive.open(entry) as part:
                storages.fill(key, part, entry.file_size)
        note = entries.get(folder + notes.NAME)
        return state, archive.read(note) if note else None


def _check_directory(file: BinaryIO, size: int) -> None:
    """Raise ValueError if an archive's directory is larger than it is of any weights.

    zipfile reads all of it, and makes an object of each part. Leaves the file at its start.
    """
    file.seek(max(0, size - (1 << 16) - 100))  # behind it is a comment of less than 2^16 bytes
    tail = file.read()
    file.seek(0)
    end, end_64 = tail.rfind(_END), tail.rfind(_END_64)
    is_whole = end >= 0 and len(tail) >= end + _END_BYTES
    lengths = [struct.unpack_from("<I", tail, end + 12)[0]] if is_whole else []
    if end_64 >= 0 and len(tail) >= end_64 + 48:
        lengths = [n for n in lengths if n < 0xFFFFFFFF]
        lengths += struct.unpack_from("<Q", tail, end_64 + 40)
    if not lengths:
        raise ValueError("its end is missing, as of a download that broke off")
    if max(lengths) > DIRECTORY:
        raise ValueError(f"an archive whose directory has {max(lengths):,} bytes")


def _read_pickles(file: BinaryIO, size: int) -> tuple[Any, bytes | None]:
    first = unpickle.load(file, KNOWN, stand_in=torch_modules.stand_in_for_options)
    if not isinstance(first, int) or first != MAGIC:
        behind = file.read(len(notes.NAME))
        return first, file.read() if behind == notes.NAME.encode() else None
    storages = _Storages()
    unpickle.load(file, KNOWN)  # the format's version
    facts = unpickle.load(file, KNOWN)
    if not isinstance(facts, dict) or not isinstance(facts.get("little_endian"), bool):
        raise ValueError("its bytes are in no known order")
    storages.order = "<" if facts["little_endian"] else ">"
    state = unpickle.load(file, _MODULES, storages, torch_modules.stand_in)
    keys = unpickle.load(file, KNOWN)
    if len(unpickle.texts_in(keys)) != len(keys) or set(keys) != set(storages):
        raise ValueError("its storages are not those of its tensors")
    for key in keys:
        (count,) = struct.unpack(storages.order + "q", file.read(8))
        there = count * storages[key].dtype.itemsize
        if there > size - file.tell():
            raise EOFError(f"cut off in storage {key}")
        storages.fill(key, file, there)
    return state, None
