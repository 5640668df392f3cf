"""Write photos whole or not at all, and keep as much of what they carried as the format can."""

import io
import os
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Protocol

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cic.photos import carried, deep, metadata, tiff_writer
from cic.photos.damage import DAMAGE, PhotoError
from cic.photos.photo import Photo
from cic.photos.strips import Picture, strips
from cic.system.files import replacing
from cic.system.typing import StrPath

QUALITY = 95  # of written JPEG and WebP files; higher grows them faster than it shows
TIFF = (".tif", ".tiff")
DEEP = frozenset((".png", *TIFF))  # extensions of the formats that are written at 16 bits a channel
_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
_END_OF_JPEG = b"\xff\xd9"
_NO_DPI = (".webp", ".avif")  # those that have a place for it in EXIF alone
_FAULTS = (OSError, ValueError, struct.error)
_NO_PICTURES = {"PDF", "EPS", "HDF5", "GRIB", "BUFR", "WMF"}  # that Pillow lists as well


class AddPage(Protocol):
    """Function that adds a picture as the next page, with what its photo carried."""

    def __call__(self, picture: Picture, photo: Photo | None = None) -> None:
        """Add it."""


def is_writable(suffix: str) -> bool:
    """Return whether pictures can be written to files of an ending, such as ".png"."""
    kind = _format(suffix)
    return kind in Image.SAVE and kind not in _NO_PICTURES


def _format(suffix: str) -> str | None:
    """Return Pillow's name of an ending's format; import all of its formats only if need be."""
    Image.preinit()
    return Image.EXTENSION.get(suffix) or Image.registered_extensions().get(suffix)


def check_ending(path: StrPath) -> None:
    """Raise PhotoError unless a picture can be written to a file of that name."""
    if not is_writable(os.path.splitext(os.fsdecode(path))[1].lower()):
        name = repr(os.fspath(path))
        raise PhotoError(f"{name}: cannot be written: no ending of a picture: call it .png or .jpg")


def write(path: StrPath, picture: Picture, photo: Photo | None = None) -> list[str]:
    """Write a picture to `path`, atomically, in the format of its extension; return notes.

    It is (H, W, 3) sRGB, uint8, or uint16 with white at 65535: rounded to 8 bits if the format is
    not in DEEP; or what has `strips`, such as a `Painting`. What `photo` carried goes along as far
    as the format has room (see `carried.ROOM`); the notes say what had to be left out that there is
    a place for.
    Raises PhotoError if the format is unknown or the file cannot be written.
    """
    check_ending(path)
    suffix = os.path.splitext(os.fsdecode(path))[1].lower()
    with _written(path) as fresh, _File(io.FileIO(fresh, "w")) as file:
        return encode(file, picture, photo, suffix)


def encode(file: BinaryIO, picture: Picture, photo: Photo | None, suffix: str) -> list[str]:
    """Write a picture to a binary file in the format of a suffix such as ".jpg"; return notes.

    As `write` does, whose faults come as they are: see `encoded`.
    """
    if suffix in TIFF:
        _add_page(tiff_writer.TiffWriter(file), picture, photo)
        return []
    room = carried.ROOM.get(suffix, ())
    alpha = photo.alpha if photo and "alpha" in room else None
    if suffix == ".png" and picture.dtype == np.uint16:
        about, _ = _about(photo, suffix)
        deep.write_png(file, picture, alpha, **about)
        return []
    image = _image(picture)
    if alpha is not None:
        image.putalpha(alpha)
    return _saved(image, file, photo, suffix)


def encoded(picture: Picture, photo: Photo | None, suffix: str) -> tuple[bytes, list[str]]:
    """Return (bytes, notes) of a picture in the format of a suffix such as ".jpg"; see `write`.

    Raises PhotoError if it cannot be written in that format.
    """
    check_ending(f"photo{suffix}")
    file = io.BytesIO()
    with _faults(f"a photo as {suffix}"):
        notes = encode(file, picture, photo, suffix)
    return file.getvalue(), notes


@contextmanager
def tiff_pages(path: StrPath) -> Iterator[AddPage]:
    """A function to add pages to a TIFF, whole at the end or not there: `add(picture, photo)`."""
    with _written(path) as fresh, open(fresh, "wb") as file:
        pages = tiff_writer.TiffWriter(file)
        yield lambda picture, photo=None: _add_page(pages, picture, photo)


def _add_page(pages: tiff_writer.TiffWriter, picture: Picture, photo: Photo | None) -> None:
    about, _ = _about(photo, ".tif")
    pages.add(
        picture.shape,
        picture.dtype,
        strips(picture),
        photo.alpha if photo else None,
        photo.carried.compression if photo else None,
        **about,
    )


@contextmanager
def _written(path: StrPath) -> Iterator[str]:
    """The path of a fresh file that takes the place of `path`; faults become a PhotoError."""
    with _faults(repr(os.fspath(path))), replacing(path) as fresh:
        yield fresh


@contextmanager
def _faults(name: str) -> Iterator[None]:
    """Whatever a writer raises in the block becomes a PhotoError that says the name."""
    try:
        yield
    except _FAULTS as error:
        if isinstance(error, PhotoError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise PhotoError(f"{name}: cannot be written: {reason}") from None


def _image(picture: Picture) -> Image.Image:
    """Return the Pillow image of mode RGB of a picture; 16 bits are rounded to 8."""
    if not isinstance(picture, np.ndarray) and picture.dtype == np.uint8:
        image = picture.image()
        image.info = {}  # nothing of the file that it comes from is to be written unasked
        return image
    height, width, _ = picture.shape
    if picture.dtype == np.uint8:
        return Image.fromarray(picture)  # type: ignore[arg-type]
    image, top = Image.new("RGB", (width, height)), 0
    for strip in strips(picture):
        image.paste(Image.fromarray(deep.to_8_bits(strip)), (0, top))
        top += len(strip)
    return image


def _saved(image: Image.Image, file: BinaryIO, photo: Photo | None, suffix: str) -> list[str]:
    """Save a Pillow image with what its photo carried, or if that fails without; return notes."""
    about, notes = _about(photo, suffix)
    try:
        _save(image, file, suffix, about)
    except DAMAGE as error:
        if not about or getattr(error, "errno", None):  # of the disk, not of what was carried
            raise
        file.seek(0)
        file.truncate()
        _save(image, file, suffix, {})
        notes = [f"what the photo carried is left out: it cannot be written ({error})"]
    return notes


def _save(image: Image.Image, file: BinaryIO, suffix: str, about: dict[str, Any]) -> None:
    options = {"exact": True} if suffix == ".webp" else {}  # keeps what is transparent
    kind = _format(suffix)

    def save(target: BinaryIO) -> None:
        image.save(target, format=kind, quality=QUALITY, **options, **about)

    if suffix not in _JPEG or not _saved_unlocked(save, file):
        save(file)


def _saved_unlocked(save: Callable[[BinaryIO], None], file: BinaryIO) -> bool:
    """Return whether a JPEG could be saved to `file` by way of a file in memory, of Linux.

    To what has no descriptor Pillow encodes it at one go with the interpreter locked; to a file in
    memory it writes by itself, and other threads go on. A limit to files may cut that one short.
    """
    if not hasattr(os, "memfd_create"):
        return False
    with open(os.memfd_create("photo"), "w+b") as memory:
        save(memory)
        memory.seek(-len(_END_OF_JPEG), os.SEEK_END)
        if memory.read() != _END_OF_JPEG:
            return False
        memory.seek(0)
        shutil.copyfileobj(memory, file)
        return True


class _File(io.BufferedWriter):
    """A file that hides its descriptor, so that Pillow has Python write to it.

    If Pillow writes by itself, it does not notice that the disk fills up.
    """

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


def _about(photo: Photo | None, suffix: str) -> tuple[dict[str, Any], list[str]]:
    """Return (what is given to the writer of a format, notes) of what a Photo carried."""
    room = carried.ROOM.get(suffix, ())
    if photo is None:
        return {}, []
    found: dict[str, Any] = {}
    notes: list[str] = []
    had = photo.carried
    if "exif" in room:
        exif = had.exif
        if suffix in _NO_DPI and had.dpi and not exif:
            exif = metadata.of_resolution(had.dpi)
        if suffix in _JPEG and exif:
            exif, left = metadata.fit_into(exif, carried.SEGMENT)
            notes += [f"EXIF is left out that a JPEG has no room for: {name}" for name in left]
        found["exif"] = exif
    if "dpi" in room and suffix not in _NO_DPI:
        found["dpi"] = had.dpi
    if "icc" in room:
        found["icc_profile"] = photo.icc
    if suffix in _JPEG:
        found["extra"], missing = carried.segments(had)
        notes += missing
    elif suffix == ".png":
        found["pnginfo"] = _png_info(carried.chunks(had), photo.icc)
    elif suffix in TIFF:
        found["fields"] = carried.tags(had)
    elif "xmp" in room:
        found["xmp"] = had.xmp
    return {name: value for name, value in found.items() if value}, notes


def _png_info(chunks: Iterable[tuple[bytes, bytes]], icc: bytes | None) -> PngInfo | None:
    """Return the PngInfo of (name, data) chunks; None if there are none. An ICC profile outranks
    sRGB's.
    """
    info = PngInfo()
    for name, data in chunks:
        if name != b"sRGB" or not icc:
            info.add(name, data)
    return info if info.chunks else None
