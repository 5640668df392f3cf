"""Read and write photos; whatever is wrong with a file is one PhotoError that names it."""

import errno
import logging
import os
import stat
import struct
import warnings
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from cic import deep, metadata, profiles
from cic.damage import DAMAGE, diagnosis
from cic.files import replacing

QUALITY = 95  # of written JPEG and WebP files; higher grows them faster than it shows
DEEP = frozenset(deep.WRITERS)  # extensions of the formats that are written at 16 bits a channel
_TRANSPARENT = {".png", ".tif", ".tiff", ".webp", ".avif"}  # those that keep alpha
_NO_DPI = {".webp", ".avif"}  # those that have a place for it in EXIF alone
_ONE_PHOTO = {"MPO", "PSD"}  # formats whose further pictures are previews or layers
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}  # ISO 23008-12
_AVIF = {b"avif", b"avis"}
_SILENT = logging.NullHandler()


class PhotoError(ValueError):
    """A photo that cannot be read or written; the message names the file and the reason.

    `kind` is "truncated" (the file is cut off), "damaged" (its content is broken, or no photo) or
    "refused" (it could not be judged: not there, no permission, too large, of a kind that Pillow
    does not support, ...).
    """

    def __init__(self, message, kind="refused"):
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Photo:
    """A photo, upright and in sRGB, with what a result of it should keep."""

    rgb: Image.Image  # of mode RGB
    deep: np.ndarray | None  # (H, W) uint16 sRGB, white at 65535, of gray of more than 8 bits
    alpha: Image.Image | None  # of mode L
    exif: bytes | None
    dpi: tuple | None  # (x, y) dots per inch
    profiled: bool  # the file had an ICC profile from which the colours were converted
    pages: int  # in the file: frames of an animation, pages of a document


def limit_pixels(count):
    """Refuse photos of more than `count` pixels from now on, in this process; None: none.

    The limit is Pillow's own, so it holds for every image that Pillow opens here.
    """
    if count is not None and count < 1:
        raise ValueError(f"a photo has at least one pixel: the limit cannot be {count}")
    Image.MAX_IMAGE_PIXELS = None if count is None else count / 2  # Pillow refuses above twice that


def pixel_limit():
    """How many pixels a photo may have; None if any number."""
    return None if Image.MAX_IMAGE_PIXELS is None else int(2 * Image.MAX_IMAGE_PIXELS)


@contextmanager
def opened(source):
    """The Pillow image of `source`, its header read and no more, to be used inside the block.

    `source` is a path, or has a method `open` that returns a binary file, and a name as its string.
    Whatever Pillow raises in the block becomes a PhotoError.
    """
    name = _name(source)
    try:
        file = _open_file(source) if _is_path(source) else source.open()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PhotoError(f"{name!r}: {reason}") from None
    logging.getLogger("PIL").addHandler(_SILENT)
    image = None
    with file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            image = _identified(file)
            yield image
        except PhotoError:
            raise
        except (*DAMAGE, ImportError, Image.DecompressionBombError) as error:
            kind, reason = diagnosis(error, file, image)
            raise PhotoError(f"{name!r}: {' '.join(reason.split())}", kind) from error


def _is_path(source):
    return isinstance(source, (str, bytes, os.PathLike))


def _name(source):
    return os.fsdecode(source) if _is_path(source) else str(source)


def _open_file(path):
    """Open a file; raises OSError for a pipe, too, at which opening would wait."""
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "not a regular file")
    return open(path, "rb")


def _identified(file):
    """The lazily opened Pillow image; that of a HEIC photo by way of the plugin pillow_heif."""
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        file.seek(0)
        start = file.read(12)
        brand = start[8:] if start[4:8] == b"ftyp" else None
        if brand in _AVIF and "AVIF" not in Image.OPEN:
            raise ImportError("an AVIF photo: Pillow 11.3 or later reads it") from None
        if brand not in _HEIC or "HEIF" in Image.OPEN:
            raise
    try:
        import pillow_heif
    except ImportError:
        raise ImportError("a HEIC photo: pip install pillow-heif reads it") from None
    pillow_heif.register_heif_opener()
    return Image.open(file)


def to_rgb(image):
    """Pillow image -> upright, of mode RGB, in sRGB: EXIF orientation and ICC profile applied.

    Every mode of Pillow's is taken. Gray of 16 bits is rounded to 8; of floats and 32-bit numbers
    see `deep.gray`. Pillow itself reads PNG and TIFF of 16-bit colours, and takes the high byte.
    Transparency is dropped, and of an animation the current frame taken.
    """
    return _in_srgb(image, _upright(image))[0]


def _upright(image):
    """Pillow image -> itself or a copy, upright, data loaded; if deep then of mode I;16."""
    deep.refuse_misread(image)
    deep.mend_order(image)
    image.load()  # some formats turn the photo themselves
    turn = metadata.turn(image)
    if deep.is_deep(image):
        info, image = image.info, Image.fromarray(deep.gray(image))
        image.info = info
    elif image.mode == "La":
        image = image.convert("LA")  # the one mode that Pillow converts to nothing else
    return image if turn is None else image.transpose(turn)


def _in_srgb(original, image):
    """(image of mode RGB, (H, W) uint16 or None, whether a profile was applied) of an upright one.

    Nothing is left in the image that would be applied once more, by `to_rgb` of the result.
    """
    values = None
    if deep.is_deep(image):
        values = np.asarray(image)
        profile = image.info.get("icc_profile")
        curve = profiles.tone_curve(profile) if profile else None
        profiled = curve is not None
        if profiled:
            values = deep.look_up(curve, values)
        rgb = Image.fromarray(deep.to_8_bits(values)).convert("RGB")
    else:
        rgb, profiled = profiles.to_srgb(image)
    if rgb is not original:
        rgb.info = {}
    return rgb, values, profiled


def open_rgb(source, short=None):
    """Photo as an upright Pillow image of mode RGB, sRGB; raises PhotoError (see `opened`).

    With `short`, a JPEG comes scaled down 2, 4 or 8 times by its decoder, much faster, as long as
    its short side stays at least twice `short`; what is over on the right and below, less than a
    pixel, is cut off. After `shrink` to `short`, 150 photographs of 341 x 256 differed from fully
    decoded ones by 1.1 levels of 255 and 0.3 units of ab on average at short 64, by 0.4 to 1.3 and
    0.2 to 0.4 six of 2048 pixels at 256; single pixels at sharp edges by up to 108 and 19.
    """
    with opened(source) as image:
        draft = image.draft(None, (2 * short, 2 * short)) if short else None
        if draft and draft[1][2:] != image.size:
            image = image.crop(tuple(map(int, draft[1])))
        return to_rgb(image)


def open_photo(source, page=0):
    """Page `page` of a photo as a Photo; raises PhotoError (see `opened`)."""
    with opened(source) as image:
        if page:
            _turn_to(image, page, source)
        sideways = metadata.is_sideways(image)  # before the data: with it TIFF turns itself
        upright = _upright(image)
        rgb, values, profiled = _in_srgb(image, upright)
        if rgb is image and hasattr(type(image), "n_frames"):
            rgb = image.copy()  # to count the pages is to turn them
        dpi = metadata.dpi(image)
        if dpi and sideways:
            dpi = dpi[::-1]
        exif = metadata.kept(image, rgb.size, dpi)
        return Photo(rgb, values, _alpha(upright), exif, dpi, profiled, _pages(image))


def _turn_to(image, page, source):
    try:
        image.seek(page)
    except EOFError:
        raise PhotoError(f"{_name(source)!r}: there is no page {page + 1} in it") from None


def _pages(image):
    if image.format in _ONE_PHOTO:
        return 1
    try:
        return getattr(image, "n_frames", 1)
    except DAMAGE:
        return 1  # the pages behind are damaged; this one was not


def _alpha(image):
    """The transparency of an upright Pillow image as one of mode L; None if it has none."""
    bands = image.getbands()
    if bands[-1] in ("A", "a"):
        return image.getchannel(bands[-1])
    if not image.has_transparency_data:
        return None
    if deep.is_deep(image):
        opaque = np.asarray(image) != image.info["transparency"]
        return Image.fromarray(np.where(opaque, np.uint8(255), np.uint8(0)))
    return image.convert("RGBA").getchannel("A")


def shrink(image, short):
    """Pillow image with its short side shrunk to `short` pixels, if it is longer."""
    if min(image.size) <= short:
        return image
    size = [round(n * short / min(image.size)) for n in image.size]
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def read(path):
    """Photo as (H, W, 3) uint8 sRGB, upright; raises PhotoError, naming file and reason."""
    return np.asarray(open_rgb(path))


def write(path, rgb, photo=None):
    """Write (H, W, 3) sRGB to `path`, atomically, in the format of its extension.

    `rgb` is uint8, or uint16 with white at 65535: rounded to 8 bits if the format is not in DEEP.
    Alpha, EXIF and resolution are those of `photo`, as far as the format has them; if they cannot
    be written the photo is, without. Raises PhotoError if the format is unknown or the file cannot
    be written.
    """
    suffix = os.path.splitext(os.fsdecode(path))[1].lower()
    alpha, kept = None, {}
    if photo:
        alpha = photo.alpha if suffix in _TRANSPARENT else None
        profile = profiles.srgb() if photo.profiled else None
        exif = photo.exif
        if suffix in _NO_DPI and photo.dpi and not exif:
            exif = metadata.of_resolution(photo.dpi)
        kept = {"exif": exif, "dpi": photo.dpi, "icc_profile": profile}
        kept = {name: value for name, value in kept.items() if value}
    try:
        with replacing(path) as fresh:
            try:
                _save(fresh, suffix, rgb, alpha, kept)
            except DAMAGE:
                _save(fresh, suffix, rgb, alpha, {})
    except (OSError, ValueError, KeyError, struct.error) as error:
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, KeyError):
            reason = f"Pillow has no writer for {error.args[0]}"
        raise PhotoError(f"{os.fspath(path)!r}: cannot be written: {reason}") from None


def _save(path, suffix, rgb, alpha, kept):
    if rgb.dtype == np.uint16 and suffix in DEEP:
        deep.WRITERS[suffix](path, rgb, None if alpha is None else np.asarray(alpha), **kept)
        return
    image = Image.fromarray(deep.to_8_bits(rgb) if rgb.dtype == np.uint16 else rgb)
    if alpha is not None:
        image.putalpha(alpha)
    if suffix in (".tif", ".tiff") and "exif" in kept:
        kept = {**kept, "exif": metadata.with_words_as_bytes(kept["exif"])}
    # "exact" keeps what is transparent in WebP files.
    image.save(path, quality=QUALITY, exact=True, **kept)
