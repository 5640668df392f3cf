"""Find what is missing in a JPEG that decodes without an error: libjpeg silently fills it with
gray.

Such a JPEG lost its end, for example, and was closed again. ITU T.81 is the standard.
"""

import hashlib
import io
import re
import struct
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from cic.photos.damage import DAMAGE, Unsupported

SIGNATURE = b"\xff\xd8\xff"
_SOF = (0xC0, 0xC1, 0xC2)  # frames that libjpeg decodes, the last one progressive
_SOS, _EOI, _DRI = 0xDA, 0xD9, 0xDD
_END = re.compile(rb"\xff(?=[^\x00\xd0-\xd7\xff])")  # of entropy-coded data: any other marker
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_FILL = {127, 128}  # what a block of no data becomes: 128, and in the inverted CMYK of Adobe's 127
_HEADERS = 1 << 18  # bytes before the data, but for those of unusually much metadata
# Passes and segments of a JPEG. Of a progressive one programs make some ten passes; each takes as
# long as decoding the picture once ("Two issues with the JPEG standard", libjpeg-turbo project).
_MOST_SCANS, _MOST_SEGMENTS = 100, 10_000
_MOST_BYTES = 1 << 28  # that are looked at: what is behind is a film or the like
# Bytes that mean something to any decoder, as long as it is not done with the picture.
_MORE = np.random.default_rng(0).integers(0, 255, 4096).astype(np.uint8).tobytes()


class Scan(NamedTuple):
    """One pass of entropy-coded data: which colours, band and bit, and where its data are."""

    colours: tuple[int, ...]
    band: tuple[int, int]  # first and last coefficient of those in it, 0 to 63
    bit: int  # the lowest bit that it has (Al); 0: all
    start: int
    end: int
    interval: int  # blocks between restart markers; 0: none


class ScanLayout(NamedTuple):
    """The structure of a JPEG: whether it is progressive, its size, its colours' samplings, its
    scans.
    """

    progressive: bool
    size: tuple[int, int]
    samplings: dict[int, tuple[int, int]]  # colour: (across, down)
    scans: list[Scan]


def refuse_absurd(file: BinaryIO) -> None:
    """Raise Unsupported for a JPEG whose many passes or segments would take for ever."""
    file.seek(0)
    found = layout(file.read(_HEADERS))
    if found and not found.progressive and len(found.scans[0].colours) == len(found.samplings):
        return  # libjpeg reads no further than the first pass
    file.seek(0)
    found = layout(file.read(_MOST_BYTES))
    if found and len(found.scans) > _MOST_SCANS:
        raise Unsupported(f"a JPEG of {len(found.scans):,} passes: more than {_MOST_SCANS}")


def layout(data: bytes) -> ScanLayout | None:
    """Return a JPEG's ScanLayout; None if it has no frame and scan that libjpeg decodes.

    Raises Unsupported if it has absurdly many segments.
    """
    at, interval, frame, scans, segments = 2, 0, None, [], 0
    while at + 4 <= len(data):
        segments += 1
        if segments > _MOST_SEGMENTS:
            raise Unsupported(f"a JPEG of more than {_MOST_SEGMENTS:,} segments")
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _EOI:
            break
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        at += 2 + length
        if marker in _SOF and len(body) >= 6:
            frame = marker == 0xC2, struct.unpack_from(">HH", body, 1)[::-1], _samplings(body)
        elif marker == _DRI and len(body) >= 2:
            (interval,) = struct.unpack_from(">H", body)
        elif marker == _SOS and len(body) >= 6:
            found = _END.search(data, at)
            end = found.start() if found else len(data)
            colours = tuple(body[1 : 1 + 2 * body[0] : 2])
            band, bits = (body[-3], body[-2]), body[-1] & 15
            scans.append(Scan(colours, band, bits, at, end, interval))
            at = end
    return ScanLayout(*frame, scans) if frame and scans else None


def _samplings(body: bytes) -> dict[int, tuple[int, int]]:
    whole = body[6 : 6 + 3 * body[5]]
    return {whole[n]: (whole[n + 1] >> 4, whole[n + 1] & 15) for n in range(0, len(whole) - 2, 3)}


def lost_part(file: BinaryIO, image: Image.Image, thorough: bool = True) -> tuple[str, str] | None:
    """Return (kind of PhotoError, what is lost) of a JPEG, decoded as a Pillow image, or None if
    whole.

    Only if `thorough` it is noticed that the last pass of a progressive one, which adds little,
    is not whole: two more times the data are read for that.
    """
    progressive = image.info.get("progressive")
    filled = _is_fill(image.getpixel((image.width - 1, image.height - 1)))
    file.seek(0)
    # Tables and frame come first: whether there is more to look at is known from a few bytes.
    if not (progressive or filled or b"\xff\xdd\0\4" in file.read(_HEADERS)):
        return None
    file.seek(0)
    data = file.read(_MOST_BYTES)
    found = layout(data)
    if found is None:
        return None
    if missing := _missing_scans(found):
        return "truncated", f"part of the picture is lost: {missing}"
    if _lost_intervals(found, data):
        return "damaged", "part of the picture is lost: restart markers are missing"
    if (filled or (progressive and thorough)) and _is_hungry(data, found.scans[-1].end):
        return "truncated", "part of the picture is lost: its data end too early"
    return None


def _is_fill(pixel: object) -> bool:
    return (set(pixel) if isinstance(pixel, tuple) else {pixel}) <= _FILL


def _missing_scans(found: ScanLayout) -> str | None:
    """Return what of a JPEG never came, in words; None if all did."""
    bits: dict[int, list[int | None]] = {colour: [None] * 64 for colour in found.samplings}
    for scan in found.scans:
        first, last = scan.band
        for colour in scan.colours:
            if colour in bits:
                bits[colour][first : last + 1] = [scan.bit] * (min(last, 63) - first + 1)
    if any(bit is None for colour in bits.values() for bit in colour[:1]):
        return "some of its colours are missing"
    if any(bit != 0 for colour in bits.values() for bit in colour):
        return "the last of its passes are missing"
    return None


def _lost_intervals(found: ScanLayout, data: bytes) -> bool:
    """Return whether restart markers of a scan are missing or out of order."""
    if len(found.scans) != 1 or not found.scans[0].interval or found.progressive:
        return False
    scan = found.scans[0]
    across, down = (max(sides) for sides in zip(*found.samplings.values()))
    if len(scan.colours) == 1:
        across = down = 1
    width, height = found.size
    blocks = -(-width // (8 * across)) * -(-height // (8 * down))
    expected = -(-blocks // scan.interval) - 1
    marks = [mark[0] & 7 for mark in _RESTART.findall(data, scan.start, scan.end)]
    return marks[:expected] != [n % 8 for n in range(expected)]


def _is_hungry(data: bytes, end: int) -> bool:
    """Return whether a decoder still wants data at the `end` of the last scan: more there changes
    pixels.

    Behind a picture that is complete they are skipped.
    """
    return _digest(data[:end] + _MORE + data[end:]) != _digest(data)


def _digest(data: bytes) -> bytes | None:
    """Return a digest of a JPEG's pixels, an eighth of the size; None if they cannot be decoded.

    A progressive one is half the size, for a pass may not change what an eighth shows.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            scale = 2 if image.info.get("progressive") else 8
            width, height = (max(1, side // scale) for side in image.size)
            image.draft(None, (width, height))
            return hashlib.sha256(image.tobytes()).digest()
    except DAMAGE:
        return None
