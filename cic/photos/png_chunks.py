"""The chunks of a PNG: checksums, words, and what gAMA and cHRM say of its colours."""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from cic.photos import profiles
from cic.photos.damage import Unsupported

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIECE = 1 << 20  # bytes of a chunk that are in memory at a time
MOST_WORDS = 1 << 20  # bytes of text that are kept
_MOST_TEXTS = 1000  # chunks of text that are kept
_MOST_CHUNKS = 100_000  # of a file; those of data hold 8 KB or more as programs write them
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_XMP = b"XML:com.adobe.xmp"
# Names of text chunks in which other programs put what is kept elsewhere, or is true no longer.
_NOT_WORDS: tuple[bytes, ...] = (
    b"Raw profile type exif",
    b"Raw profile type APP1",
    b"Raw profile type xmp",
)
_NOT_WORDS += (b"Raw profile type icc", b"Raw profile type icm", b"Thumb::", b"date:modify")
# The gamma of sRGB, 1 / 2.2 (PNG specification, 11.3.2.4); how much another may differ before
# libpng calls it significant (PNG_GAMMA_THRESHOLD_FIXED), and chromaticities from sRGB's: rounding.
_GAMMA, _GAMMA_SLACK, _PLACE_SLACK = 0.45455, 0.05, 0.003
_GAMMAS = (0.05, 10.0)  # others are made up
SRGB_PLACES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # IEC 61966-2-1: white, R, G, B


def refuse_absurd(file: BinaryIO) -> None:
    """Raise Unsupported for a PNG whose many chunks would take for ever to read."""
    at, count = len(SIGNATURE), 0
    while count <= _MOST_CHUNKS:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return
        at += 12 + int.from_bytes(head[:4], "big")
        count += 1
    raise Unsupported(f"a PNG of more than {_MOST_CHUNKS:,} chunks")


def read(file: BinaryIO) -> Iterator[tuple[bytes, int, int, bool]]:
    """Yield (name, offset of the data, length, whether the checksum is right) of each chunk.

    It ends with IEND, or where the file does. The last chunk's checksum is wrong if it is cut off.
    """
    file.seek(len(SIGNATURE))
    at = len(SIGNATURE)
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        at += 8
        total, left = zlib.crc32(name), length
        while left and (piece := file.read(min(left, _PIECE))):
            total, left = zlib.crc32(piece, total), left - len(piece)
        yield name, at, length, file.read(4) == struct.pack(">I", total)
        if name == b"IEND" or left:
            return
        at += length + 4


def lost_part(file: BinaryIO) -> tuple[str, str] | None:
    """Return (kind of PhotoError, what is lost) of a PNG's picture, or None if it is whole."""
    wrong, ended = False, False
    for name, _, _, right in read(file):
        ended = name == b"IEND"
        wrong = wrong or (name in (b"IDAT", b"fdAT") and not right)
    if wrong:
        return "damaged", "part of the picture is lost: a checksum is wrong"
    return None if ended else ("truncated", "part of the picture may be lost: the end is missing")


def words(file: BinaryIO) -> list[tuple[bytes, bytes]]:
    """Return [(name, data), ...] of a PNG's text chunks and of sRGB, as they are stored, but for
    XMP.
    """
    found: list[tuple[bytes, bytes]] = []
    total = 0
    for name, at, length, right in read(file):
        if not right or length > MOST_WORDS or (name not in _TEXT and name != b"sRGB"):
            continue
        place = file.tell()
        file.seek(at)
        data = file.read(length)
        file.seek(place)
        total += length
        if total > MOST_WORDS or len(found) == _MOST_TEXTS:
            break
        if not data.startswith((_XMP, *_NOT_WORDS)):
            found.append((name, data))
    return found


def xmp(file: BinaryIO) -> bytes | None:
    """Return the XMP of a PNG, as bytes; None if there is none."""
    for name, at, length, right in read(file):
        if name == b"iTXt" and right and length <= MOST_WORDS:
            place = file.tell()
            file.seek(at)
            data = file.read(length)
            file.seek(place)
            if data.startswith(_XMP + b"\0"):
                return _text(name, data)[1]
    return None


def xmp_chunk(data: bytes) -> bytes:
    """Return the data of the iTXt chunk that XMP is stored in."""
    return _XMP + b"\0\0\0\0\0" + data


def sentences(chunks: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Return [(keyword, text), ...], strings, of what `words` gave; those that are damaged left
    out.
    """
    found = (_text(name, data) for name, data in chunks if name in _TEXT)
    pairs = [(key, text) for key, text in found if text is not None]
    return [(key.decode("latin-1"), text.decode("utf-8", "replace")) for key, text in pairs]


def _text(name: bytes, data: bytes) -> tuple[bytes, bytes | None]:
    """Return (keyword, text in UTF-8 or None) of a text chunk."""
    key, _, rest = data.partition(b"\0")
    if name == b"tEXt":
        return key, rest.decode("latin-1").encode()
    packed = rest[:1] == b"\1" if name == b"iTXt" else True
    if name == b"iTXt":
        rest = rest[2:].split(b"\0", 2)[-1] if rest[2:].count(b"\0") >= 2 else b""
    else:
        rest = rest[1:]
    if packed:
        try:
            rest = zlib.decompressobj().decompress(rest, MOST_WORDS)
        except zlib.error:
            return key, None
    return key, rest if name == b"iTXt" else rest.decode("latin-1").encode()


def profile(info: Mapping[Any, Any], gray: bool = False) -> bytes | None:
    """Return the ICC profile of what gAMA and cHRM say, from a Pillow image's `info`; None if that
    is sRGB.

    So it is, too, where a chunk of higher rank says what the colours are: iCCP, sRGB or cICP.
    """
    if any(info.get(key) is not None for key in ("icc_profile", "srgb", "cicp")):
        return None
    gamma, places = info.get("gamma"), info.get("chromaticity")
    if gamma is not None and not _GAMMAS[0] <= gamma <= _GAMMAS[1]:
        gamma = None
    if gamma is not None and abs(gamma / _GAMMA - 1) <= _GAMMA_SLACK:
        gamma = None  # the curve of sRGB is meant
    if gray or places is None or not profiles.are_places(places):
        places = SRGB_PLACES
    if max(abs(a - b) for a, b in zip(places, SRGB_PLACES)) <= _PLACE_SLACK:
        places = SRGB_PLACES
    if gamma is None and places == SRGB_PLACES:
        return None
    return profiles.made(None if gamma is None else 1 / gamma, tuple(places), gray)
