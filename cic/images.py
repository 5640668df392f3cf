"""Read and write photos; whatever is wrong with a file is one PhotoError that names it."""

import os
import struct
import warnings

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from cic.files import replacing

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif"),
    *(".ppm", ".pgm", ".pnm", ".jp2", ".tga"),
)
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
# What Pillow raises for files that are cut off, damaged or made up.
_DAMAGE = (OSError, ValueError, TypeError, SyntaxError, EOFError, MemoryError, struct.error)
QUALITY = 95  # of written JPEG and WebP files; higher grows them faster than it shows


class PhotoError(ValueError):
    """A photo that cannot be read or written; the message names the file and the reason."""


def find(folder):
    """Photos below `folder`, sorted paths relative to it: by extension, any depth, none hidden.

    Links to folders are followed, each folder once. Raises PhotoError if there is no such folder.
    """
    folder = os.fspath(folder)
    if not os.path.isdir(folder):
        raise PhotoError(f"{folder}: there is no such folder")
    found, seen = [], set()
    for root, subfolders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS:
                found.append(os.path.relpath(os.path.join(root, name), folder))
    return sorted(found, key=os.fsencode)


def to_rgb(image):
    """Pillow image -> upright, of mode RGB: EXIF orientation applied, 16-bit gray scaled to 8.

    Transparency is dropped, and of an animation the current frame taken.
    """
    image.load()  # some formats turn the photo themselves
    turn = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation))
    if turn is not None:
        image = image.transpose(turn)
        image.info = {}  # or the orientation would be found there, and applied, again
    if image.mode == "F":
        raise ValueError("pixels are floating-point numbers, whose range is unknown")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def open_rgb(path):
    """Photo as an upright Pillow image of mode RGB; raises PhotoError, naming file and reason."""
    try:
        with warnings.catch_warnings():
            # Pillow warns from 89 megapixels on and refuses twice that, which is limit enough.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return to_rgb(Image.open(path))
    except UnidentifiedImageError:
        empty = os.path.isfile(path) and os.path.getsize(path) == 0
        reason = "the file is empty" if empty else "not a photo of a known format"
    except Image.DecompressionBombError as error:
        reason = f"too large: {error}"
    except _DAMAGE as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    raise PhotoError(f"{os.fspath(path)!r}: {reason}")


def shrink(image, short):
    """Pillow image with its short side shrunk to `short` pixels, if it is longer."""
    if min(image.size) <= short:
        return image
    size = [round(n * short / min(image.size)) for n in image.size]
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def read(path):
    """Photo as (H, W, 3) uint8 sRGB, upright; raises PhotoError, naming file and reason."""
    return np.asarray(open_rgb(path))


def write(path, rgb):
    """Write (H, W, 3) uint8 sRGB to `path`, atomically, in the format of its extension.

    Raises PhotoError if the format is unknown or the file cannot be written.
    """
    try:
        with replacing(path) as fresh:
            Image.fromarray(rgb).save(fresh, quality=QUALITY)
    except (OSError, ValueError, KeyError) as error:
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, KeyError):
            reason = f"Pillow has no writer for {error.args[0]}"
        raise PhotoError(f"{os.fspath(path)!r}: cannot be written: {reason}") from None
