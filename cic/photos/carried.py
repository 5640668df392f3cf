"""Collect what a photo's file carries beside its pixels, and write what each format has room for.

`ROOM` is the table of formats. `metadata` handles EXIF and resolution.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from PIL import Image

from cic.photos import metadata, png_chunks, tiff_pages

# Formats, by the endings of their files, and what a result in them keeps of its photo.
ROOM = {
    **dict.fromkeys(
        (".jpg", ".jpeg", ".jpe", ".jfif"), ("exif", "dpi", "icc", "xmp", "iptc", "comments")
    ),
    ".png": ("exif", "dpi", "icc", "xmp", "comments", "words", "alpha"),
    **dict.fromkeys((".tif", ".tiff"), ("exif", "dpi", "icc", "xmp", "iptc", "alpha")),
    ".webp": ("exif", "dpi", "icc", "xmp", "alpha"),
    ".avif": ("exif", "dpi", "icc", "xmp", "alpha"),
    ".bmp": ("dpi",),
}
SEGMENT = 65533  # bytes that a segment of a JPEG has room for (ITU T.81, B.1.1.4)
_XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"  # XMP specification, part 3, 1.1.3
_PHOTOSHOP = b"Photoshop 3.0\0"
_IPTC = 0x0404  # Photoshop file formats specification, image resource: IPTC-NAA record
_IPTC_TAG, _XMP_TAG = 33723, 700  # TIFF: IPTC, XMP
_MOST = 1 << 24  # bytes of any of these that are kept
# What XMP says of the pixels, as an attribute or as an element: (name, what is true of the result).
_XMP_FIELDS = re.compile(
    rb"((?:tiff:Orientation|exif:ColorSpace|photoshop:ICCProfile|"
    rb"exif:PixelXDimension|exif:PixelYDimension|tiff:ImageWidth|tiff:ImageLength)"
    rb"\s*(?:=\s*[\"']|>))([^\"'<]*)"
)
_XMP_THUMBNAILS = re.compile(rb"<xmp:Thumbnails>.*?</xmp:Thumbnails>", re.DOTALL)


@dataclass(frozen=True)
class Carried:
    """The description of a photo; `ROOM` says which formats keep what.

    `exif` bytes; `dpi` (x, y) dots per inch of the upright photo; `xmp` and `iptc` bytes;
    `comments` of a JPEG or GIF, bytes each; `words`, (name, data) of a PNG's text chunks;
    `compression` of a TIFF, as Pillow calls it.
    """

    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    comments: tuple[bytes, ...] = ()
    words: tuple[tuple[bytes, bytes], ...] = field(default=())
    compression: str | None = None


def collect(image: Image.Image, file: BinaryIO, size: tuple[int, int], sideways: bool) -> Carried:
    """Return the Carried of a Pillow image, decoded, and of the file that it comes from; damage is
    left out.

    The upright photo is of `size` (width, height); it was stored `sideways` or not.
    """
    dpi = metadata.dpi(image)
    dpi = dpi[::-1] if dpi and sideways else dpi
    png = image.format == "PNG"
    xmp = png_chunks.xmp(file) if png else _xmp(image)
    return Carried(
        exif=metadata.kept(image, size, dpi),
        dpi=dpi,
        xmp=true_xmp(xmp, size) if xmp and len(xmp) <= _MOST else None,
        iptc=_iptc(image, file),
        comments=() if png else _comments(image),
        words=tuple(png_chunks.words(file)) if png else (),
        compression=image.info.get("compression") if image.format == "TIFF" else None,
    )


def _xmp(image: Image.Image) -> bytes | None:
    """Return the XMP of a Pillow image, bytes; None if there is none."""
    for name, data in getattr(image, "applist", ()):  # a JPEG's
        if name == "APP1" and data.startswith(_XMP_HEAD):
            return data[len(_XMP_HEAD) :]
    data = getattr(image, "tag_v2", {}).get(_XMP_TAG, image.info.get("xmp"))
    data = data[0] if isinstance(data, tuple) and len(data) == 1 else data
    return data if isinstance(data, bytes) else None


def true_xmp(xmp: bytes, size: tuple[int, int]) -> bytes | None:
    """Return the XMP with what it says of the pixels put right: upright, of `size` (width, height),
    sRGB.

    Its thumbnails, of the photo as it was, go. None if it is not of UTF-8.
    """
    if b"\0" in xmp:
        return None
    width, height = (str(side).encode() for side in size)
    values = {
        b"tiff:Orientation": b"1",
        b"exif:ColorSpace": b"1",
        b"exif:PixelXDimension": width,
        b"tiff:ImageWidth": width,
        b"exif:PixelYDimension": height,
        b"tiff:ImageLength": height,
        b"photoshop:ICCProfile": b"sRGB IEC61966-2.1",
    }

    def right(found: re.Match[bytes]) -> bytes:
        name = re.match(rb"[\w:]+", found[1])[0]  # type: ignore[index]
        return found[1] + values[name]

    return _XMP_FIELDS.sub(right, _XMP_THUMBNAILS.sub(b"", xmp))


def _iptc(image: Image.Image, file: BinaryIO) -> bytes | None:
    """Return the IPTC-NAA record of a Pillow image, bytes; None if there is none that is whole."""
    if image.format == "TIFF":  # it may be stored as 32-bit numbers, which Pillow takes apart
        data = tiff_pages.field(file, image.tag_v2.offset, _IPTC_TAG, _MOST)  # type: ignore[attr-defined]
    else:
        found = image.info.get("photoshop", {})
        data = found.get(_IPTC) if isinstance(found, dict) else None
    sound = isinstance(data, bytes) and data.startswith(b"\x1c") and len(data) <= _MOST
    return data if sound else None


def _comments(image: Image.Image) -> tuple[bytes, ...]:
    """Return the comments of a JPEG or GIF, bytes."""
    found = [data for name, data in getattr(image, "applist", ()) if name == "COM"]
    if not found and isinstance(image.info.get("comment"), bytes):
        found = [image.info["comment"]]
    return tuple(comment for comment in found if comment.strip(b"\0 "))


def segments(carried: Carried) -> tuple[bytes, list[str]]:
    """Return (bytes of a JPEG's segments of XMP, IPTC and comments, notes of what has no room in
    one).
    """
    found, notes = [], []
    for what, marker, data in _parts(carried):
        if len(data) > SEGMENT:
            notes.append(f"{what} of {len(data):,} bytes is left out: a JPEG has room for 65,533")
        else:
            found.append(struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data)
    return b"".join(found), notes


def _parts(carried: Carried) -> Iterator[tuple[str, int, bytes]]:
    """Yield (name, marker, data) of each segment."""
    if carried.xmp:
        yield "XMP", 0xE1, _XMP_HEAD + carried.xmp
    if carried.iptc:
        block = b"8BIM" + struct.pack(">HHI", _IPTC, 0, len(carried.iptc)) + carried.iptc
        yield "IPTC", 0xED, _PHOTOSHOP + block + bytes(len(block) % 2)
    for comment in carried.comments:
        yield "a comment", 0xFE, comment
    for key, text in png_chunks.sentences(carried.words):
        yield "a comment", 0xFE, f"{key}: {text}".encode()


def chunks(carried: Carried) -> list[tuple[bytes, bytes]]:
    """Return [(name, data), ...] of a PNG's chunks of XMP, comments and words."""
    found = list(carried.words)
    if carried.xmp:
        found.append((b"iTXt", png_chunks.xmp_chunk(carried.xmp)))
    for comment in carried.comments:
        text = comment.rstrip(b"\0")
        try:
            found.append((b"iTXt", b"Comment\0\0\0\0\0" + text.decode("utf-8").encode()))
        except UnicodeDecodeError:
            found.append((b"tEXt", b"Comment\0" + text.replace(b"\0", b" ")))
    return found


def tags(carried: Carried) -> dict[int, tuple[int, bytes | None]]:
    """Return {tag: (type, data)} of a TIFF's fields of XMP and IPTC."""
    found = {_XMP_TAG: (1, carried.xmp), _IPTC_TAG: (7, carried.iptc)}  # BYTE, UNDEFINED
    return {tag: field for tag, field in found.items() if field[1]}
