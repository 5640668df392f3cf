"""JSON that others wrote, within bounds that are checked before it is parsed.

A parser follows nested brackets down its own stack, and its objects take 20 times the memory of the
text. So it only sees texts with few brackets and few objects.
"""

import json
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from cic.system.arrays import Bytes
from cic.system.regular import open_regular
from cic.system.typing import Json, StrPath

LONGEST = 64 << 20  # bytes
LINE = 1 << 20  # bytes of a line of a log or a report
DEEPEST = 64  # brackets inside each other; what this project writes has up to 6
DIGITS = 400  # of a whole number: those of the largest float64
MOST = 2_000_000  # values: what Python makes of them takes up to 200 MB
_STEPS = np.zeros(256, np.int8)  # what a byte outside of texts adds to the depth
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1


def loads(text: str | bytes) -> Json:
    """Return the value of JSON, `text` or bytes in UTF-8; raise ValueError for anything else.

    Also if it is longer than LONGEST, deeper than DEEPEST, has more than MOST values or one key
    twice in an object.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > LONGEST:
        raise ValueError(f"JSON of more than {LONGEST >> 20} MB")
    opened = data.count(b"[") + data.count(b"{")
    if opened > DEEPEST or opened + data.count(b",") > MOST:  # in texts, too
        _check_bounds(_without_texts(data))
    return json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_int=_whole)


def _check_bounds(bare: Bytes) -> None:
    """Raise ValueError if JSON, (n,) uint8 without texts, is too deep or has too many values."""
    steps = _STEPS[bare]
    values = np.count_nonzero(bare == ord(",")) + np.count_nonzero(steps > 0)
    if values > MOST:
        raise ValueError(f"JSON of {values:,} values")
    depth = np.cumsum(steps[steps != 0], dtype=np.int32).max(initial=0)
    if depth > DEEPEST:
        raise ValueError(f"JSON of {depth:,} brackets inside each other")


def _without_texts(data: bytes) -> Bytes:
    """Return the bytes, (n,) uint8, that are outside of quotation marks, which may be escaped."""
    data = data.replace(rb"\\", b"").replace(rb"\"", b"")
    found = np.frombuffer(data, np.uint8)
    inside = np.bitwise_xor.accumulate((found == ord('"')).view(np.uint8))
    return found[inside == 0]


def load(path: StrPath) -> Json:
    """Return the value of a file of JSON; raise ValueError as `loads` does, OSError for no such
    file.
    """
    with open_regular(path) as file:
        data = file.read(LONGEST + 1)
    return loads(data)


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a binary file; one longer than LINE in pieces, which are no JSON."""
    while line := file.readline(LINE):
        yield line


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"JSON with a number of {len(digits):,} digits")
    return int(digits)


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("JSON with one key twice in an object")
    return found
