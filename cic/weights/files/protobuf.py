"""Protocol buffers, as far as files of arrays need them: write messages, and read them in bounds.

The wire format is that of protobuf.dev/programming-guides/encoding. Neither side knows a schema: a
writer gives the number of each field, a reader gets it.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import TypeAlias

MOST = 200_000  # fields of a file that are looked at; those of the largest network are 10,000
DEEPEST = 9  # bytes of a number before its last
VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5  # wire types
# What a field can hold: a bool is a number, a text UTF-8, a sequence a field that is repeated.
Value: TypeAlias = "int | float | str | bytes | memoryview | Message | list[Value]"


class Message:
    """A message, field by field; its data are not copied until its `pieces` are written."""

    def __init__(self, fields: Iterable[tuple[int, Value]] = ()) -> None:
        self.pieces: list[bytes | memoryview] = []
        self.size = 0
        for number, value in fields:
            self.add(number, value)

    def add(self, number: int, value: Value) -> None:
        """Append the field of that number; of a list one for each entry."""
        if isinstance(value, list):
            for one in value:
                self.add(number, one)
        elif isinstance(value, int):
            self._append(_varint(number << 3 | VARINT) + _varint(value))
        elif isinstance(value, float):
            self._append(_varint(number << 3 | FOUR) + struct.pack("<f", value))
        else:
            data = value.encode() if isinstance(value, str) else value
            pieces = data.pieces if isinstance(data, Message) else [data]
            length = data.size if isinstance(data, Message) else len(data)
            self._append(_varint(number << 3 | BYTES) + _varint(length))
            self.pieces += pieces
            self.size += length

    def _append(self, data: bytes) -> None:
        self.pieces.append(data)
        self.size += len(data)

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces)


def _varint(number: int) -> bytes:
    """Return a number of 64 bits, 7 of them a byte, the lowest first; two's complement below 0."""
    number &= 2**64 - 1
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


class Reader:
    """Callable: message (a memoryview of bytes) -> iterator of its fields, (number, value).

    A value is an int or, if the field has a length, a memoryview; numbers of four and eight bytes
    are memoryviews, too. Raises ValueError for data that are no message, and once more than `most`
    fields of all messages together have been read.
    """

    def __init__(self, most: int = MOST) -> None:
        self.left = most

    def __call__(self, data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        place = 0
        while place < len(data):
            self.left -= 1
            if self.left < 0:
                raise ValueError("it has too many fields")
            tag, place = _number(data, place)
            number, kind = tag >> 3, tag & 7
            if kind == VARINT and number:
                value, place = _number(data, place)
                yield number, value
                continue
            if kind not in (BYTES, EIGHT, FOUR) or not number:
                raise ValueError(f"its byte {place} is no field")
            length, place = (
                _number(data, place) if kind == BYTES else ({EIGHT: 8, FOUR: 4}[kind], place)
            )
            if length > len(data) - place:
                raise ValueError(f"cut off in a field of {length:,} bytes")
            yield number, data[place : place + length]
            place += length


def inner(value: int | memoryview) -> memoryview:
    """Return the bytes of a field that has a length; raise ValueError for a number."""
    if isinstance(value, int):
        raise ValueError("a number where a message should be")
    return value


def text(value: int | memoryview) -> str:
    """Return the text of a field."""
    return bytes(inner(value)).decode(errors="replace")


def _number(data: memoryview, place: int) -> tuple[int, int]:
    """Return (number that begins at `place`, place behind it)."""
    value = 0
    for count, byte in enumerate(data[place : place + DEEPEST + 1]):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value, place + count + 1
    raise ValueError("cut off" if len(data) - place <= DEEPEST else f"byte {place} ends no number")
