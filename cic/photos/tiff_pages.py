"""The pages of a TIFF: how large each is, and which of them is the photo."""

import io
import struct
from collections.abc import Sequence
from typing import BinaryIO, Literal, NamedTuple

from cic.photos.damage import Unsupported

MOST_PAGES = 4096  # of a file; no more are looked at
MOST_TAGS = 200_000  # of all pages; more is no photo
# TIFF 6.0 and, of SubIFDs and DNGVersion, its supplements and the DNG specification.
_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _COLOURS = 254, 255, 256, 257, 262
_INSIDE, _DNG = 330, 50706
_WANTED = {_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _COLOURS, _INSIDE, _DNG}
_REDUCED, _PAGE, _MASK = 1, 2, 4  # bits of NewSubfileType
_OLD_REDUCED = 2  # of SubfileType
_SENSOR = (32803, 34892)  # photometric interpretations of RAW photos: colour filter, linear
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4}  # TIFF 6.0: bytes of a type
_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}


class Page(NamedTuple):
    """A page by its number in the chain, or by its `offset` if it lies inside another page."""

    number: int | None
    width: int
    height: int
    subfile: int  # NewSubfileType: a sum of _REDUCED, _PAGE and _MASK
    offset: int

    @property
    def is_whole(self) -> bool:
        """Whether it says to be neither a reduced copy nor a mask of another."""
        return not self.subfile & (_REDUCED | _MASK)


def read(file: BinaryIO) -> list[Page]:
    """Return [Page, ...] of a TIFF: the chain, and then what lies inside its pages.

    A chain that is damaged ends there. Raises Unsupported for a RAW photo and for absurd numbers.
    """
    layout, at = _layout(file)
    pages: list[Page] = []
    inside: list[int] = []
    tags_left = [MOST_TAGS]
    seen: set[int] = set()
    while at and at not in seen and len(pages) < MOST_PAGES:
        seen.add(at)
        page, within, at = _directory(file, at, layout, len(pages), tags_left)
        if page is None:
            break
        pages.append(page)
        inside += within
    for offset in inside[:MOST_PAGES]:
        if offset not in seen:
            seen.add(offset)
            page, _, _ = _directory(file, offset, layout, None, tags_left)
            if page:
                pages.append(page)
    return pages


class _Layout:
    """How numbers and directories are stored in a TIFF or BigTIFF."""

    def __init__(self, order: str, big: bool) -> None:
        self.order = order
        self.count = struct.Struct(order + ("Q" if big else "H"))
        self.entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
        self.offset = struct.Struct(order + ("Q" if big else "I"))

    def number(self, data: bytes) -> int:
        return self.offset.unpack(data)[0] if len(data) == self.offset.size else 0


def _layout(file: BinaryIO) -> tuple[_Layout, int]:
    """Return (_Layout, offset of the first directory) of a TIFF."""
    file.seek(0)
    head = file.read(16)
    big = 43 in head[2:4]
    layout = _Layout("<" if head[:1] == b"I" else ">", big)
    return layout, layout.number(head[8:16] if big else head[4:8])


def _directory(
    file: BinaryIO, at: int, layout: _Layout, number: int | None, tags_left: list[int]
) -> tuple[Page | None, list[int], int]:
    """Return (Page or None, offsets of directories inside it, offset of the next) of the one at
    `at`.
    """
    if at >= 2**63:
        return None, [], 0
    file.seek(at)
    data = file.read(layout.count.size)
    if len(data) < layout.count.size:
        return None, [], 0
    (count,) = layout.count.unpack(data)
    tags_left[0] -= count
    if tags_left[0] < 0:
        raise Unsupported(f"a TIFF of more than {MOST_TAGS:,} fields: no photo")
    data = file.read(count * layout.entry.size)
    following = layout.number(file.read(layout.offset.size))
    tags = {}
    whole = len(data) // layout.entry.size * layout.entry.size
    for tag, kind, length, value in layout.entry.iter_unpack(data[:whole]):
        if tag in _WANTED and kind in _TYPES:
            tags[tag] = _values(file, layout, kind, length, value)
    colours = tags.get(_COLOURS, [0])[:1]
    if tags.get(_DNG) or colours in ([code] for code in _SENSOR):
        raise Unsupported("a RAW photo: develop it to TIFF or JPEG first")
    size = [tags.get(tag, [0])[:1] for tag in (_WIDTH, _HEIGHT)]
    if not all(size):
        return None, [], following
    subfile = tags.get(_SUBFILE, [0])[:1] or [0]
    if tags.get(_OLD_SUBFILE, [])[:1] == [_OLD_REDUCED]:
        subfile = [_REDUCED]
    page = Page(number, *(side for [side] in size), subfile[0], at)  # type: ignore[call-arg]
    return page, list(tags.get(_INSIDE, [])), following


def _values(file: BinaryIO, layout: _Layout, kind: int, length: int, value: bytes) -> list[int]:
    """Up to MOST_PAGES numbers of a field."""
    length = min(length, MOST_PAGES)
    item = struct.Struct(layout.order + _TYPES[kind])
    if length * item.size > len(value):
        place = layout.number(value)
        if place >= 2**63:
            return []
        file.seek(place)
        value = file.read(length * item.size)
    value = value[: min(length, len(value) // item.size) * item.size]
    return [number for (number,) in item.iter_unpack(value)]


def field(file: BinaryIO, at: int, tag: int, most: int) -> bytes | None:
    """Return the bytes of a field of the directory at `at`, as they are stored; None if there is
    none.

    None, too, if it is longer than `most` bytes, or not numbers.
    """
    layout = _layout(file)[0]
    file.seek(at)
    data = file.read(layout.count.size)
    count = layout.count.unpack(data)[0] if len(data) == layout.count.size else 0
    data = file.read(min(count, MOST_TAGS) * layout.entry.size)
    data = data[: len(data) // layout.entry.size * layout.entry.size]
    for found, kind, length, value in layout.entry.iter_unpack(data):
        size = length * _WIDTHS.get(kind, 0)
        if found == tag and 0 < size <= most:
            if size > len(value):
                file.seek(layout.number(value))
                value = file.read(size)
            return value[:size] if len(value) >= size else None
    return None


def whole(pages: Sequence[Page]) -> list[Page]:
    """Return the pages of a document: those that are neither reduced copies nor masks, if there are
    any.

    A page inside another counts only if no page of the chain is whole.
    """
    chain = [page for page in pages if page.number is not None]
    found = [page for page in chain if page.is_whole]
    if not found:
        found = [page for page in pages if page.number is None and page.is_whole]
    return found or chain


def photo_page(pages: Sequence[Page]) -> int:
    """Return the number, in the list that `whole` gives, of the page that is the photo: see there.

    The first, if the file says which pages are reduced, or that they are pages of a document; else
    the largest, the first of those that are equally large.
    """
    document = whole(pages)
    if len(document) < len(pages) or any(page.subfile & _PAGE for page in document):
        return 0
    areas = [page.width * page.height for page in document]
    return areas.index(max(areas))


def beginning_at(file: BinaryIO, offset: int) -> BinaryIO:
    """Return a copy of a TIFF in memory whose first page is the one at `offset`."""
    file.seek(0)
    data = bytearray(file.read())
    order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"
    place, size = (8, 8) if 43 in data[2:4] else (4, 4)
    data[place : place + size] = offset.to_bytes(size, order)
    return io.BytesIO(data)
