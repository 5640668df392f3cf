"""Keep EXIF and resolution for a photo's result, and find out which way is up."""

import re
import struct
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, TypeAlias

from PIL import Image
from PIL.ExifTags import GPSTAGS, IFD, TAGS, Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from cic.photos.damage import DAMAGE

# EXIF 2.32, tag Orientation: what makes the photo upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The tags of the first directory that describe the photo; the others say how its file is laid out.
_DESCRIPTIVE = (
    Base.DocumentName, Base.ImageDescription, Base.Make, Base.Model, Base.PageName,
    Base.Software, Base.DateTime, Base.Artist, Base.HostComputer, Base.Copyright,
    Base.Rating, Base.RatingPercent, Base.XPTitle, Base.XPComment, Base.XPAuthor,
    Base.XPKeywords, Base.XPSubject,
)  # fmt: skip
# Offsets in these are of the old file, and the second names another colour space than sRGB.
_STALE = (Base.MakerNote, IFD.Interop)
_PER_UNIT = {2: 1.0, 3: 2.54}  # EXIF 2.32, ResolutionUnit: inch, centimetre -> units an inch
_SRGB = 1  # EXIF 2.32, ColorSpace
Fields: TypeAlias = dict[int, Any]  # {tag: value}, of whatever type a tag's values are
_FIELDS = 2000  # of a directory of EXIF: cameras write up to some 100
_TIMES = 4  # so many times its own length EXIF may claim to hold; each field counts in full
_WIDTHS = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # EXIF 2.32, table 4: bytes of a type
_DPI = (1, 65535)  # what a JPEG can say; 1 is what Pillow and others say for "unknown"


def exif_of(image: Image.Image) -> Image.Exif:
    """Return the EXIF of a Pillow image; an empty one if it is damaged, or has absurdly many
    fields.
    """
    try:
        data = image.info.get("exif")
        return Image.Exif() if data and _is_absurd(data) else image.getexif()
    except DAMAGE:
        return Image.Exif()


def _is_absurd(data: bytes) -> bool:
    """Return whether EXIF, bytes, claims more fields, or longer ones, than any camera or its own
    length.

    Looked at are the first directory and those of camera and place, before anything reads them.
    """
    data = re.sub(rb"^(Exif\0\0)+", b"", data)
    order = ">" if data[:2] == b"MM" else "<"
    waiting = list(struct.unpack_from(f"{order}I", data, 4)) if len(data) >= 8 else []
    seen = set()
    while waiting:
        at = waiting.pop()
        if at in seen or at + 2 > len(data):
            continue
        seen.add(at)
        (count,) = struct.unpack_from(f"{order}H", data, at)
        count = min(count, (len(data) - at - 2) // 12)
        if count > _FIELDS:
            return True
        total = 0
        for n in range(count):
            tag, kind, length, value = struct.unpack_from(f"{order}HHII", data, at + 2 + 12 * n)
            total += min(length * _WIDTHS.get(kind, 1), len(data))
            if tag in (IFD.Exif, IFD.GPSInfo):
                waiting.append(value)
        if total > _TIMES * len(data):
            return True
    return False


def turn(image: Image.Image) -> Image.Transpose | None:
    """Return what makes a Pillow image upright, an Image.Transpose, or None."""
    return _UPRIGHT.get(_value(exif_of(image), Base.Orientation))


def is_sideways(image: Image.Image) -> bool:
    """Return whether the width of a Pillow image, as stored, is the height of the upright photo."""
    return _value(exif_of(image), Base.Orientation) in (5, 6, 7, 8)


def dpi(image: Image.Image) -> tuple[float, float] | None:
    """Return (x, y) dots per inch of a Pillow image as stored, floats; None if it has none that can
    be.
    """
    found = image.info.get("dpi")
    if not found:
        exif = exif_of(image)
        unit = _value(exif, Base.ResolutionUnit)
        scale = _PER_UNIT.get(2 if unit is None else unit)  # of none, 1, only the ratio is meant
        found = [_value(exif, tag) for tag in (Base.XResolution, Base.YResolution)]
        found = [value and scale and value * scale for value in found]
    try:
        x, y = (float(value) for value in found)
    except DAMAGE:
        return None
    return (x, y) if all(_DPI[0] < value <= _DPI[1] for value in (x, y)) else None


def kept(
    image: Image.Image, size: tuple[int, int], dpi: tuple[float, float] | None = None
) -> bytes | None:
    """Return the EXIF for a result of `size` (width, height) pixels, upright sRGB, as bytes; None
    if none.

    What describes the photo stays: the camera and its settings, place, time, author, words. What
    describes the file (its layout, orientation, thumbnail) goes, and so do the camera maker's own
    notes. Fields that are damaged go alone.
    """
    exif = exif_of(image)
    first = ((tag, _value(exif, tag)) for tag in _DESCRIPTIVE)
    result = Image.Exif()
    result.update(_sound(first, None))
    camera = _sound(_directory(exif, IFD.Exif), IFD.Exif)
    for tag in _STALE:
        camera.pop(tag, None)
    if camera:
        camera[Base.ColorSpace] = _SRGB
        camera[Base.ExifImageWidth], camera[Base.ExifImageHeight] = size
        result[IFD.Exif] = camera
    place = _sound(_directory(exif, IFD.GPSInfo), IFD.GPSInfo)
    if place:
        result[IFD.GPSInfo] = place
    if not len(result):
        return None
    if dpi:
        result.update(_resolution(dpi))
    return result.tobytes()


def fit_into(data: bytes | None, most: int) -> tuple[bytes | None, list[str]]:
    """Return (EXIF of at most `most` bytes or None, names of the fields left out) of EXIF, bytes.

    The largest fields go first.
    """
    left: list[str] = []
    while data and len(data) > most:
        exif = Image.Exif()
        exif.load(data)
        first, camera, place = dict(exif), *(dict(exif.get_ifd(n)) for n in (IFD.Exif, IFD.GPSInfo))
        parts = {IFD.Exif: camera, IFD.GPSInfo: place, None: first}
        sizes = [
            (_length(tag, value, group), group, tag)
            for group, part in parts.items()
            for tag, value in part.items()
            if tag not in (IFD.Exif, IFD.GPSInfo)
        ]
        if not sizes:
            return None, left
        size, group, tag = max(sizes, key=lambda one: one[0])
        names = GPSTAGS if group == IFD.GPSInfo else TAGS
        left.append(f"{names.get(tag, f'field {tag}')} ({size:,} bytes)")
        del parts[group][tag]
        data = _joined(first, camera, place)
    return data, left


def _length(tag: int, value: Any, group: int | None) -> int:
    """Return the bytes that a field takes."""
    directory = ImageFileDirectory_v2(group=group)
    directory[tag] = _as_stored(value) if isinstance(value, str) else value
    return len(directory.tobytes())


def _joined(first: Fields, camera: Fields, place: Fields) -> bytes | None:
    """Return the EXIF of three directories {tag: value}, as bytes; None if there is nothing in
    them.
    """
    result = Image.Exif()
    result.update(_sound(first.items(), None))
    for name, part in ((IFD.Exif, camera), (IFD.GPSInfo, place)):
        result.pop(name, None)
        if part := _sound(part.items(), name):
            result[name] = part
    return result.tobytes() if len(result) else None


def of_resolution(dpi: tuple[float, float]) -> bytes:
    """Return the EXIF that says no more than (x, y) dots per inch, as bytes."""
    exif = Image.Exif()
    exif.update(_resolution(dpi))
    return exif.tobytes()


def _resolution(dpi: tuple[float, float]) -> Fields:
    """Return {tag: value} of (x, y) dots per inch."""
    x, y = (float(Fraction(value).limit_denominator(1000)) for value in dpi)
    return {Base.XResolution: x, Base.YResolution: y, Base.ResolutionUnit: 2}


def with_words_as_bytes(data: bytes | None) -> Image.Exif:
    """EXIF, bytes or None -> Image.Exif in which words beyond ASCII are the bytes they were.

    As a string Pillow would write them into a TIFF with question marks.
    """
    exif = Image.Exif()
    exif.load(data or b"")
    nested = [exif.get_ifd(tag) for tag in (IFD.Exif, IFD.GPSInfo) if tag in exif]
    for directory in (exif, *nested):
        for tag, value in list(directory.items()):
            if isinstance(value, str):
                directory[tag] = _as_stored(value)
    return exif


def _as_stored(words: str) -> str | bytes:
    """A string as Pillow read it -> itself if it is ASCII, else the bytes of the file."""
    return words if words.isascii() else words.encode("latin-1", "replace")


def _value(exif: Image.Exif, tag: int) -> Any:
    """Return the value of a tag; None if it is not there or damaged."""
    try:
        return exif.get(tag)
    except DAMAGE:
        return None


def _directory(exif: Image.Exif, name: int) -> Iterable[tuple[int, Any]]:
    """Return the (tag, value) pairs of a directory inside `exif`; none if it is damaged."""
    try:
        return exif.get_ifd(name).items()
    except DAMAGE:
        return ()


def _sound(pairs: Iterable[tuple[int, Any]], group: int | None) -> Fields:
    """Return {tag: value} of the pairs that can be written in the directory `group`; None: the
    first.
    """
    sound = {}
    for tag, value in pairs:
        if isinstance(value, str):
            value = _as_stored(value)
        try:
            directory = ImageFileDirectory_v2(group=group)
            directory[tag] = value
            directory.tobytes()
        except (*DAMAGE, AssertionError, AttributeError):
            continue
        sound[tag] = value
    return sound
