"""Open photos with Pillow: file, plugin, page. Whatever goes wrong becomes a PhotoError."""

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, TypeGuard

from PIL import Image, ImageFile, UnidentifiedImageError

from cic.photos import budget, jpeg_scans, kinds, png_chunks, tiff_pages
from cic.photos.damage import DAMAGE, PhotoError, Unsupported, diagnosis
from cic.system import storage
from cic.system.addresses import check_slashes, is_address
from cic.system.regular import has_changed, open_regular
from cic.system.typing import Source, StrPath

_ONE_PHOTO = {"MPO", "PSD"}  # formats whose further pictures are previews or layers
_READ_WHOLE = (b"RIFF", b"ftyp")  # starts of files that their decoders have in memory
_SILENT = logging.NullHandler()


def name_of(source: Source) -> str:
    """Return the name of a path, or of what opens."""
    return os.fsdecode(source) if is_path(source) else str(source)


def is_path(source: Source) -> TypeGuard[StrPath]:
    return isinstance(source, (str, bytes, os.PathLike))


class Opened:
    """A photo's file and Pillow image, its header read; `pages` are those of its document."""

    def __init__(self, file: BinaryIO, image: ImageFile.ImageFile) -> None:
        self.file, self.image = file, image
        self.inside: BinaryIO | None = None
        self._tiff: list[tiff_pages.Page] | None = None
        if image.format == "TIFF":
            self._tiff = tiff_pages.read(file)
            self.pages: int | None = max(1, len(tiff_pages.whole(self._tiff)))
        else:
            self.pages = None  # to count them may take long

    def turn_to(self, page: int | None = None) -> int:
        """Turn to a page of the document, from 0 on; by default to the page that is the photo.

        Return its number. Raises EOFError if there is no such page.
        """
        if self._tiff is None:
            if page:
                self.image.seek(page)
            return page or 0
        document = tiff_pages.whole(self._tiff)
        number = tiff_pages.photo_page(self._tiff) if page is None and document else page or 0
        if not document:
            self.image.seek(number)
            return number
        if number >= len(document):
            raise EOFError
        target = document[number]
        if target.number is None:
            self.inside = tiff_pages.beginning_at(self.file, target.offset)
            self.image = Image.open(self.inside)
        else:
            self.image.seek(target.number)
        return number

    @property
    def others(self) -> int:
        """Notes on the pages that are not in the document: thumbnails, masks."""
        left = 0 if self._tiff is None else len(self._tiff) - self.pages  # type: ignore[operator]
        return max(0, left) if self._tiff and self._tiff[0].number == 0 else 0

    def count(self) -> int:
        """Return how many pages there are; to be asked before the data are decoded."""
        if self.pages is None:
            self.pages = 1 if self.image.format in _ONE_PHOTO else self._counted()
        return self.pages

    def _counted(self) -> int:
        try:
            return getattr(self.image, "n_frames", 1)
        except DAMAGE:
            self.image.seek(0)
            return 1  # the pages behind are damaged

    def again(self) -> ImageFile.ImageFile:
        """Return the image once more, at the page at which it is, not decoded."""
        self.file.seek(0)
        image = Image.open(self.file if self.inside is None else self.inside)
        image.seek(self.image.tell())
        return image

    def loss(self, thorough: bool = True) -> tuple[str, str] | None:
        """Return (kind of PhotoError, what is lost) of a picture that was decoded; None if it is
        whole.

        See `jpeg_scans.loss` for `thorough`.
        """
        if self.image.tile:  # not decoded
            return None
        if self.image.format == "PNG":
            return png_chunks.lost_part(self.file)
        if self.image.format in ("JPEG", "MPO") and self.image.tell() == 0:
            return jpeg_scans.lost_part(self.file, self.image, thorough)
        return None


@contextmanager
def opened_file(source: Source) -> Iterator[Opened]:
    """The Opened of `source`: a path, or what has `open`, which gives a binary file, and a name.

    Raises PhotoError if it cannot be opened; what the block raises is not looked at.
    """
    name = name_of(source)
    try:
        if (size := getattr(source, "size", 0)) > budget.SMALL:
            budget.check(size)  # a member of a shard comes whole
        file = _open(source) if is_path(source) else source.open()  # type: ignore[union-attr]
    except (OSError, ValueError) as error:
        if is_path(source):
            check_slashes(source)
        reason = getattr(error, "strerror", None) or error
        raise PhotoError(f"{name!r}: {reason}") from None
    logging.getLogger("PIL").addHandler(_SILENT)
    with file:
        with photo_errors(name, file):
            found = Opened(file, _identified(file))
        yield found


def _open(path: StrPath) -> BinaryIO:
    """Return the file of a path, or what is at an address, in memory: no more than a photo may
    take.
    """
    if not is_address(path):
        return open_regular(path)
    most = min(budget.room(), budget.available_memory(), sys.maxsize)
    return storage.read(os.fspath(path), int(most))


@contextmanager
def photo_errors(name: str, file: BinaryIO, found: Opened | None = None) -> Iterator[None]:
    """Whatever Pillow raises in the block, of an Opened or of none, becomes a PhotoError."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            yield
        except PhotoError:
            raise
        except (*DAMAGE, ImportError, Image.DecompressionBombError) as error:
            kind, reason = diagnosis(error, file, found.image if found else None)
            if kind != "refused" and has_changed(file):
                kind, reason = "refused", "somebody is writing to it"
            raise PhotoError(f"{name!r}: {' '.join(reason.split())}", kind) from error


@contextmanager
def opened(source: Source, thorough: bool = True) -> Iterator[Image.Image]:
    """The Pillow image of `source`, its header read and no more, to be used inside the block.

    Of a TIFF it is the page that is the photo. If the block decodes it and part of the picture is
    lost, a PhotoError says so at the end; see `jpeg_scans.loss` for `thorough`, and `opened_file`.
    """
    with opened_file(source) as found, photo_errors(name_of(source), found.file, found):
        found.turn_to()
        yield found.image
        if loss := found.loss(thorough):
            kind, reason = loss
            raise PhotoError(f"{name_of(source)!r}: {reason}", kind)


def _identified(file: BinaryIO) -> ImageFile.ImageFile:
    """Return the lazily opened Pillow image, by way of a plugin if it needs one that is
    installed.
    """
    start = file.read(kinds.START)
    if start[:4] in _READ_WHOLE or start[4:8] in _READ_WHOLE:
        budget.check(file.seek(0, os.SEEK_END))
    kind = kinds.left_kind(start)
    if kind not in (None, kinds.JXL):  # of PostScript, Pillow would start Ghostscript
        raise Unsupported(f"{kind}: {kinds.HINTS[kind]}")
    if start.startswith(png_chunks.SIGNATURE):
        png_chunks.refuse_absurd(file)
    elif start.startswith(jpeg_scans.SIGNATURE):
        jpeg_scans.refuse_absurd(file)
    file.seek(0)
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        if not (plugin := _plugin(start, kind)):
            raise
    importlib.import_module(plugin)
    if plugin == "pillow_heif":
        importlib.import_module(plugin).register_heif_opener()
    file.seek(0)
    return Image.open(file)


def _plugin(start: bytes, kind: str | None) -> str | None:
    """Return the module that reads a photo that Pillow alone does not; None if there is none.

    Raises ImportError, saying what to install, if it is not there.
    """
    brand = start[8:12] if start[4:8] == b"ftyp" else None
    if kind == kinds.JXL:
        if not kinds.is_readable(kind):
            raise ImportError(f"a JPEG XL photo: {kinds.HINTS[kind]} reads it")
        return "pillow_jxl"
    if brand in kinds.AVIF and "AVIF" not in Image.OPEN:
        raise ImportError("an AVIF photo: Pillow 11.3 or later reads it")
    if brand not in kinds.HEIC or "HEIF" in Image.OPEN:
        return None
    try:
        import pillow_heif  # noqa: F401 - to see whether it is there
    except ImportError:
        raise ImportError("a HEIC photo: pip install pillow-heif reads it") from None
    return "pillow_heif"
