"""Read gray photos of 16 bits at full precision, and write coloured ones of 16 bits a channel.

Pillow has no image of 16-bit colours, so this module puts their files together, a band at a time.
"""

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL import TiffImagePlugin as tiff
from PIL.PngImagePlugin import PngInfo, putchunk

from cic.photos import stretch
from cic.photos.damage import Unsupported
from cic.photos.strips import Picture, strips, with_alpha
from cic.system.arrays import Array, Bytes

_BAND = 1 << 18  # values at a time, so that scratch memory stays small whatever the photo
_LEVEL = 3  # of zlib: higher takes several times longer for a few per cent
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1  # TIFF 6.0, PhotometricInterpretation
_PLANAR = 2  # TIFF 6.0, PlanarConfiguration
_SLACK = 1e-3
ALPHA = "cic alpha"  # key of a Pillow image's info


def is_deep(image: Image.Image) -> bool:
    """Return whether a Pillow image is gray of more than 8 bits: of mode I;16 and its kin, I or
    F.
    """
    return image.mode[0] in "IF"


def gray(
    image: Image.Image, stretched: bool = True, curve: NDArray[np.uint16] | None = None
) -> tuple[NDArray[np.uint16], str | None]:
    """Return ((H, W) uint16, 0 black, 65535 white; a note or None) of a Pillow image that
    `is_deep`.

    Floats in [0, 1] and whole numbers in [0, 65535] are taken as they are; floats up to 0.001
    outside, as a resampling leaves them, are clipped. Others are stretched so that the lowest
    becomes black and the highest white, and so are numbers of 16 bits that have fewer, up to what
    `stretch.white_of` finds. The note says so. If not `stretched` they are clipped.
    `curve`, (65536,) uint16, is the photo's tone curve. Raises Unsupported for what is no number.
    """
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F":
        values, note = _scaled(image, 1.0, tags, stretched, slack=_SLACK)
    elif image.mode == "I":
        values, note = _scaled(image, 65535, tags, stretched)
    else:
        values, note = _of_16_bits(image, tags, stretched, curve)
    if tags.get(tiff.PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO:
        np.subtract(65535, values, out=values)  # Pillow leaves these upside down
    return values, note


def _read(image: Image.Image) -> Iterator[tuple[slice, Array]]:
    """Yield (slice of rows, array) of a Pillow image, so that only a band is copied at a time."""
    tags = getattr(image, "tag_v2", {})
    unsigned = image.mode == "I" and tags.get(tiff.SAMPLEFORMAT, (1,)) == (1,)
    unsigned = unsigned and tags.get(tiff.BITSPERSAMPLE) == (32,)  # Pillow takes these to be signed
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        part = slice(top, min(top + rows, image.height))
        band = np.asarray(image.crop((0, part.start, image.width, part.stop)))
        yield part, band.view(np.uint32) if unsigned else band


def _of_16_bits(
    image: Image.Image, tags: Mapping[int, Any], stretched: bool, curve: NDArray[np.uint16] | None
) -> tuple[NDArray[np.uint16], str | None]:
    """Return what `gray` gives for an image of mode I;16 or its kin."""
    values = np.empty((image.height, image.width), np.uint16)
    for part, band in _read(image):
        values[part] = band
    if tags.get(tiff.BITSPERSAMPLE) == (12,):  # which Pillow leaves in [0, 4095]
        for part in _bands(values):
            values[part] = values[part] << 4 | values[part] >> 8
        return values, None
    if not stretched:
        return values, None
    white, note = stretch.white_of(int(values.max()), values.size, tags, curve)
    if note:
        table = np.rint(np.arange(65536) * (65535 / white)).clip(0, 65535).astype(np.uint16)
        look_up(table, values, out=values)
    return values, note


def is_planar(image: Image.Image) -> bool:
    """Return whether a Pillow image is a TIFF of a plane for each colour; of 16 bits the low are
    lost.
    """
    return getattr(image, "tag_v2", {}).get(tiff.PLANAR_CONFIGURATION) == _PLANAR


def take_apart(image: Image.Image) -> bool:
    """Have a PNG of 16-bit gray and transparency, not loaded yet, read as the four bytes it stores.

    Pillow drops the low one of either. Whether it is one; if so, see `put_together`.
    """
    if not isinstance(image, ImageFile.ImageFile) or image.format != "PNG":
        return False
    if not image.tile or image.tile[0].args != "LA;16B":
        return False
    image.tile[:] = [tile._replace(args="RGBA") for tile in image.tile]
    image._mode = "RGBA"
    return True


def put_together(image: Image.Image) -> None:
    """Make an image that was taken apart, and loaded, one of mode I;16 with ALPHA, of mode L."""
    image.info[ALPHA] = image.getchannel(2)
    values = np.empty((image.height, image.width), np.uint16)
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        band = np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))
        values[top : top + rows] = band[..., 0]
        values[top : top + rows] <<= 8
        values[top : top + rows] |= band[..., 1]
    made = Image.fromarray(values)
    image.im, image._mode = made.im, made.mode


def refuse_misread(image: Image.Image) -> None:
    """Raise Unsupported for a Pillow image, not loaded yet, that Pillow would read as garbage."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(tiff.BITSPERSAMPLE, (1,))
    if image.info.get("compression") == "raw" and is_planar(image):
        # Of the name of the samples' layout Pillow takes one letter for each plane, such as "R" of
        # "RGB;16L". What else the name says, of their width, order or sign, is lost.
        colours = tags.get(tiff.PHOTOMETRIC_INTERPRETATION, _WHITE_IS_ZERO)
        plain = set(bits) == {8} or (bits, colours) == ((1,), _BLACK_IS_ZERO)
        if colours == _WHITE_IS_ZERO or not plain or tags.get(tiff.FILLORDER, 1) != 1:
            kind = f"an uncompressed planar TIFF of {max(bits)} bits a sample"
            raise Unsupported(f"{kind}, a kind that Pillow cannot read")


def mend_order(image: Image.Image) -> None:
    """Name the order of the bytes right that a Pillow image, not loaded yet, would swap wrongly.

    Of a compressed TIFF libtiff hands over numbers in the machine's order, whatever the file's;
    big-endian ones of mode I or F Pillow swaps once more.
    """
    tiles = getattr(image, "tile", ()) if image.mode in ("I", "F") else ()
    for n, tile in enumerate(tiles):
        codec, box, offset, args = tile
        if codec == "libtiff":
            layout, *rest = args  # such as "F;32BF"; B is big-endian, N native
            mended = codec, box, offset, (layout.replace("B", "N"), *rest)
            image.tile[n] = getattr(tile, "_make", tuple)(mended)  # type: ignore[attr-defined]


def _scaled(
    image: Image.Image, white: float, tags: Mapping[int, Any], stretched: bool, slack: float = 0.0
) -> tuple[NDArray[np.uint16], str | None]:
    """Return ((H, W) uint16, a note or None) of an image's numbers, black at 0 to `white` if they
    fit.

    Those that fit but for `slack` at either end are clipped; others are stretched, or clipped if
    not `stretched`. A TIFF may say in its `tags` what is white.
    """
    ends = [(float(band.min()), float(band.max())) for _, band in _read(image)]
    low, high = (function(end) for function, end in zip((np.min, np.max), zip(*ends)))
    if not np.isfinite([low, high]).all():
        raise Unsupported("some pixels are not numbers")
    stated, note = stretch.stated_maximum(tags), None
    if not stretched or (low >= -slack and high <= white + slack and stated is None):
        low, high = 0.0, float(white)
    elif stated is not None and max(high, 0) <= stated:
        low, high = min(low, 0.0), stated
        if (low, high) != (0.0, float(white)):
            note = f"white is {stated:,.6g}, as its SMaxSampleValue says: stretched"
    else:
        note = f"its values, {low:,.6g} to {high:,.6g}, are stretched from black to white"
    out = np.empty((image.height, image.width), np.uint16)
    factor = 65535 / (high - low) if high > low else 0.0
    for part, band in _read(image):
        out[part] = np.rint((np.clip(band.astype(np.float64), low, high) - low) * factor)
    return out, note and f"{note} ({stretch.HOW})"


def look_up(table: Array, array: Array, out: Array | None = None) -> Array:
    """(65536,) table, uint16 array -> the table's entry for each value, same shape; into `out`."""
    out = np.empty(array.shape, table.dtype) if out is None else out
    for part in _bands(array):
        out[part] = table[array[part]]
    return out


def to_8_bits(array: Array) -> Bytes:
    """uint16 array, white at 65535 -> uint8 array, white at 255, exactly rounded."""
    return look_up(((np.arange(65536) + 128) // 257).astype(np.uint8), array)


def write_png(
    file: BinaryIO,
    picture: Picture,
    alpha: Image.Image | None = None,
    exif: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    icc_profile: bytes | None = None,
    pnginfo: PngInfo | None = None,
) -> None:
    """Write a picture (H, W, 3) of uint16 sRGB to a binary file, as a PNG of 16 bits a channel.

    It is an array, or has `strips`; `alpha` a Pillow image of mode L; `pnginfo` Pillow's
    PngInfo, of chunks that belong before the data.
    """
    height, width, _ = picture.shape
    channels = 3 if alpha is None else 4
    file.write(b"\x89PNG\r\n\x1a\n")
    size = b"".join(n.to_bytes(4, "big") for n in (width, height))
    putchunk(file, b"IHDR", size, bytes([16, 2 if alpha is None else 6, 0, 0, 0]))
    if icc_profile:
        putchunk(file, b"iCCP", b"ICC Profile\0\0", zlib.compress(icc_profile))
    for name, data, *_ in pnginfo.chunks if pnginfo else ():
        putchunk(file, name, data)
    if dpi:
        per_metre = (round(n / 0.0254).to_bytes(4, "big") for n in dpi)
        putchunk(file, b"pHYs", *per_metre, b"\1")
    if exif:
        putchunk(file, b"eXIf", exif.removeprefix(b"Exif\0\0"))
    stream = zlib.compressobj(_LEVEL)
    for strip in with_alpha(strips(picture), alpha):
        rows = strip.astype(">u2").view(np.uint8).reshape(len(strip), -1)
        filtered = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
        filtered[:, 0] = 1  # "Sub": what is stored is the difference to the pixel on the left
        filtered[:, 1:] = rows
        filtered[:, 1 + 2 * channels :] -= rows[:, : -2 * channels]
        if data := stream.compress(filtered):
            putchunk(file, b"IDAT", data)
    putchunk(file, b"IDAT", stream.flush())
    putchunk(file, b"IEND", b"")


def _bands(array: Array) -> Iterator[slice]:
    """Return the slices of the rows of an array that hold about _BAND values each."""
    rows = max(1, _BAND * len(array) // max(1, array.size))
    return (slice(top, top + rows) for top in range(0, len(array), rows))
