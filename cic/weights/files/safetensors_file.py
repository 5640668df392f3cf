"""safetensors: a header of JSON, and the numbers of every array behind it.

The package of that name is not used: it needs another one for bfloat16, parses any header, and maps
the file into memory, so that a file that is cut off meanwhile ends the process.
huggingface/safetensors, README.md, describes the format.
"""

import struct
from math import prod
from typing import TypeAlias, TypeGuard

import numpy as np

from cic.system import bounded_json
from cic.system.arrays import Array, Shape
from cic.system.regular import open_regular
from cic.system.typing import Json, StrPath
from cic.weights.files import bfloat16

HEADER = 16 << 20  # bytes at most: those of 100,000 arrays
METADATA = "__metadata__"
Entry: TypeAlias = tuple[str, Shape, int, int]  # kind, shape, begin, end
MOST_AXES = 32  # NumPy's own limit until version 2
DTYPES = {
    **{f"F{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
    **{f"{kind}{8 * n}": np.dtype(f"<{kind.lower()}{n}") for kind in "IU" for n in (1, 2, 4, 8)},
    "BOOL": np.dtype("?"),
    "BF16": np.dtype("<u2"),
}


class SafetensorsFile:
    """An open file: `metadata` {text: text}, `shapes` {array's name: shape}; close it.

    Raises OSError if it cannot be opened, ValueError if it is no whole file of this format.
    """

    def __init__(self, path: StrPath) -> None:
        self.file = open_regular(path)
        try:
            self._read_header()
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> "SafetensorsFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def _read_header(self) -> None:
        size = self.file.seek(0, 2)
        self.file.seek(0)
        start = self.file.read(8)
        if len(start) < 8:
            raise ValueError(f"it has {size} bytes")
        (length,) = struct.unpack("<Q", start)
        if length > min(size - 8, HEADER):
            raise ValueError(f"a header of {length:,} bytes, in a file of {size:,}")
        header = bounded_json.loads(self.file.read(length))
        if not isinstance(header, dict):
            raise ValueError("a header that is no object")
        self.metadata = _texts(header.pop(METADATA, None) or {})
        self.start = 8 + length
        self.entries = {name: _entry(name, value) for name, value in header.items()}
        self._check_places(size - self.start)

    def _check_places(self, size: int) -> None:
        """Raise ValueError unless the arrays fill the `size` bytes behind the header, in a row."""
        end = 0
        for _, _, begin, finish in sorted(self.entries.values(), key=lambda entry: entry[2:]):
            if begin != end:
                raise ValueError(
                    f"byte {min(begin, end):,} of its numbers is in two arrays or none"
                )
            end = finish
        if end != size:
            raise ValueError(f"{size:,} bytes of numbers, where its header has {end:,}")

    @property
    def shapes(self) -> dict[str, Shape]:
        return {name: shape for name, (_, shape, _, _) in self.entries.items()}

    def array(self, name: str) -> Array:
        """Return the array of that name, its own, in this machine's order of bytes; bfloat16 as
        float32.

        Raises ValueError if the file ends before it.
        """
        kind, shape, begin, end = self.entries[name]
        raw, place = np.empty(end - begin, np.uint8), 0
        self.file.seek(self.start + begin)
        while place < len(raw):
            count = self.file.readinto(raw[place:].data)
            if not count:
                raise ValueError(f"cut off in {name}, while it was read")
            place += count
        values = raw.view(DTYPES[kind]).reshape(shape)
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        return bfloat16.widened(values) if kind == "BF16" else values


def _texts(found: Json) -> dict[str, str]:
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise ValueError("metadata that are no texts")
    return found


def _entry(name: str, value: Json) -> Entry:
    """Return (kind, shape, begin, end) of an array's entry in the header."""
    if not isinstance(value, dict) or not value.keys() >= {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name} is described as no array is")
    kind, shape, places = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(kind, str) or kind not in DTYPES:
        raise ValueError(f"{name} holds numbers of type {str(kind)[:20]}, which are not read here")
    if not _are_counts(shape) or len(shape) > MOST_AXES:
        raise ValueError(f"{name} has no shape")
    if not _are_counts(places) or len(places) != 2:
        raise ValueError(f"{name} is at no place")
    begin, end = places
    if begin > end or prod(shape) * DTYPES[kind].itemsize != end - begin:
        raise ValueError(f"{name} has {end - begin:,} bytes, not those of {tuple(shape)}")
    return kind, tuple(shape), begin, end


def _are_counts(values: Json) -> TypeGuard[list[int]]:
    """Return whether it is a list of whole numbers from 0 on."""
    return isinstance(values, list) and all(type(one) is int and one >= 0 for one in values)
