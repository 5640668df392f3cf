"""Say what is wrong with a file that Pillow cannot read as a photo."""

import os
import re
import struct
from typing import BinaryIO, Literal

from PIL import Image, UnidentifiedImageError

from cic.system import defects, errors
from cic.system.errors import Error
from cic.system.text import message_of

# What Pillow raises for files that are cut off, damaged or made up: seen in its code, and in
# tests/photos/test_fuzz_photos.py.
DAMAGE = (
    OSError, ValueError, TypeError, SyntaxError, EOFError, MemoryError, struct.error,
    LookupError, RuntimeError, ArithmeticError,
)  # fmt: skip
NO_PHOTO = "not a photo of a known format"
# Starts of files, formats, and what is found within how many last bytes if nothing is missing.
_SIGNS = (
    (b"\xff\xd8\xff", "JPEG", b"\xff\xd9", 64),
    (b"\x89PNG\r\n\x1a\n", "PNG", b"IEND", 64),
    (b"GIF8", "GIF", b";", 2),
)
_TAIL = 64
# Starts of formats of which Pillow reads some kinds only, if any at all.
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*")  # BigTIFF; wrong, but read
_OTHER = (
    (b"8BPS", "PSD"), (b"DDS ", "DDS"), (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"), (b"\0\0\0\x0cJXL ", "JPEG XL"), (b"\xff\n", "JPEG XL"),
)  # fmt: skip
# What Pillow says of what it has no code for, and of text in a PNG that is longer than it allows.
_LIMITS = re.compile("upported|too large|[Tt]oo much memory")
# What every libtiff decodes, by Pillow's names: an error in it is damage, in any other may not be.
_DECODED = {"raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "jpeg"}
_DECODED |= {"tiff_jpeg", "tiff_ccitt", "group3", "group4"}


class PhotoError(Error, ValueError):
    """A photo that cannot be read or written; the message names the file and the reason.

    `kind` is "truncated" (the file is cut off), "damaged" (its content is broken, or no photo) or
    "refused" (it could not be judged: not there, no permission, too large, of a kind that Pillow
    does not support, ...).
    """

    def __init__(self, message: str, kind: str = "refused") -> None:
        super().__init__(message)
        self.kind = kind


class Unsupported(Error, ValueError):
    """A photo that may be sound but cannot be used here; the message says why."""


def failed_on(photo: object, error: BaseException) -> str:
    """Return one line on why the work on a photo failed, whatever was raised; it names the photo.

    What is neither the photo's fault nor the machine's is a defect of this program, and says so
    (see `defects.note`).
    """
    if isinstance(error, PhotoError):
        return message_of(error)
    if not isinstance(error, OSError) and not errors.is_expected(error):
        return f"{str(photo)!r}: {defects.note(error)}"
    return f"{str(photo)!r}: {type(error).__name__}: {message_of(error)}"


def diagnosis(
    error: BaseException, file: BinaryIO, image: Image.Image | None = None
) -> tuple[str, str]:
    """Return (kind, reason) of what was raised while a photo was read from `file`.

    `image` is Pillow's, None if the error is of its making. "damaged" is what there is proof of;
    what may be a sound photo of a kind that Pillow does not know is "refused".
    """
    if isinstance(error, (Unsupported, NotImplementedError)):
        return "refused", str(error) or "of a kind that Pillow cannot read"
    if isinstance(error, Image.DecompressionBombError):
        pixels = int(re.search(r"\d+", str(error))[0])  # type: ignore[index]
        limit = int(2 * Image.MAX_IMAGE_PIXELS)  # type: ignore[operator]  # as Pillow means it
        more = f"more than the limit of {limit:,}: max_pixels raises it"
        return "refused", f"too large: {pixels:,} pixels, {more}"
    if isinstance(error, MemoryError):
        return "refused", "too large for the memory there is"
    if isinstance(error, ImportError):
        return "refused", str(error)
    if getattr(error, "errno", None) is not None:
        return "refused", error.strerror or str(error)  # type: ignore[attr-defined]
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(16)
    file.seek(max(0, size - _TAIL))
    name, cut = _format(start, file.read(), size)
    if not size:
        return "damaged", "the file is empty"
    if cut or (cut is None and "truncated" in str(error)):
        return "truncated", "truncated: the end of the file is missing"
    known = not isinstance(error, UnidentifiedImageError)
    if _LIMITS.search(str(error)) or _may_be_sound(name, known, file, image):
        detail = f": {error}" if known and str(error) else ""
        return "refused", f"a {name or 'file'} of a kind that Pillow cannot read{detail}"
    if isinstance(error, ArithmeticError):
        return "damaged", f"damaged: {error}"
    if known:
        return "damaged", str(error) or type(error).__name__
    if name:
        return "damaged", f"a {name} file, but damaged"
    return "damaged", NO_PHOTO


def _may_be_sound(name: str | None, known: bool, file: BinaryIO, image: Image.Image | None) -> bool:
    """Return whether a file of a format, or None, may be of a kind of it that Pillow does not
    support.

    `known` says that Pillow took the file to be of a format that it reads.
    """
    if name == "JPEG":
        return _is_odd_jpeg(file)
    if name in ("PNG", "GIF", "WebP", "BMP"):  # these it reads whole
        return False
    if image is None:
        return known or name is not None
    return name == "TIFF" and image.info.get("compression") not in _DECODED


def _is_odd_jpeg(file: BinaryIO) -> bool:
    """Return whether a JPEG is not of 8 bits, lossless, ... (ITU T.81, B.2.2), as medical ones
    are.
    """
    file.seek(2)
    while len(head := file.read(4)) == 4 and head[0] == 0xFF:
        length = int.from_bytes(head[2:], "big")
        if 0xC0 <= head[1] <= 0xCF and head[1] not in (0xC4, 0xC8, 0xCC):
            frame = file.read(6)  # bits, height, width, how many colours
            sizes = frame[:1] == b"\x08" and frame[5:] in (b"\1", b"\3", b"\4")
            return len(frame) == 6 and not (sizes and head[1] <= 0xC2)
        if length < 2:
            return False
        file.seek(length - 2, os.SEEK_CUR)
    return False


def _format(start: bytes, tail: bytes, size: int) -> tuple[str | None, bool | None]:
    """Return (name of a file's format or None, whether its end is missing or None if that is
    unknown).
    """
    for sign, name, end, within in _SIGNS:
        if start.startswith(sign):
            return name, end not in tail[-within:]
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WebP", 8 + int.from_bytes(start[4:8], "little") > size
    if start[:4] in _TIFF:  # what follows is where the directory is
        order: Literal["little", "big"] = "little" if start[:1] == b"I" else "big"
        directory = start[8:16] if b"+" in start[:4] else start[4:8]
        return "TIFF", int.from_bytes(directory, order) >= size or None
    if start.startswith(b"BM") and len(start) == 16 and start[6:10] == bytes(4):
        return "BMP", None
    if start[4:8] == b"ftyp":
        return f"file of the brand {start[8:12].decode('latin-1').strip()!r}", None
    return next((name for sign, name in _OTHER if start.startswith(sign)), None), None
