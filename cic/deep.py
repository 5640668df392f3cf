"""Photos of 16 bits a channel: gray ones are read at full precision, coloured ones written.

Pillow has no image of 16-bit colours, so their files are put together here, a band at a time.
"""

import zlib

import numpy as np
from PIL import TiffImagePlugin as tiff
from PIL.ExifTags import Base
from PIL.PngImagePlugin import putchunk

from cic import metadata
from cic.damage import Unsupported

_BAND = 1 << 20  # values at a time, so that scratch memory stays small whatever the photo
_LEVEL = 3  # of zlib: higher takes several times longer for a few per cent
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1  # TIFF 6.0, PhotometricInterpretation
_PLANAR = 2  # TIFF 6.0, PlanarConfiguration
_SLACK = 1e-3


def is_deep(image):
    """Whether a Pillow image is gray of more than 8 bits: of mode I;16 and its kin, I or F."""
    return image.mode[0] in "IF"


def gray(image):
    """Pillow image of which `is_deep` holds -> (H, W) uint16, 0 black, 65535 white.

    Floats in [0, 1] and whole numbers in [0, 65535] are taken as they are; floats up to 0.001
    outside, as a resampling leaves them, are clipped. Any others are stretched so that the lowest
    becomes black and the highest white. Raises Unsupported for what is no number.
    """
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F":
        values = _scaled(values, 1.0, slack=_SLACK)
    elif image.mode == "I":
        unsigned = tags.get(tiff.SAMPLEFORMAT, (1,)) == (1,)
        if tags.get(tiff.BITSPERSAMPLE) == (32,) and unsigned:
            values = values.view(np.uint32)  # Pillow takes these to have a sign
        values = _scaled(values, 65535)
    else:
        values = values.astype(np.uint16)
    if image.mode.startswith("I;16") and tags.get(tiff.BITSPERSAMPLE) == (12,):
        values = values << 4 | values >> 8  # Pillow leaves these in [0, 4095], ...
    if tags.get(tiff.PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO:
        values = 65535 - values  # ... and these upside down
    return values


def refuse_misread(image):
    """Raise Unsupported for a Pillow image, not loaded yet, that Pillow would read as garbage."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(tiff.BITSPERSAMPLE, (1,))
    if image.info.get("compression") == "raw" and tags.get(tiff.PLANAR_CONFIGURATION) == _PLANAR:
        # Of the name of the samples' layout Pillow takes one letter for each plane, such as "R" of
        # "RGB;16L". What else the name says, of their width, order or sign, is lost.
        colours = tags.get(tiff.PHOTOMETRIC_INTERPRETATION, _WHITE_IS_ZERO)
        plain = set(bits) == {8} or (bits, colours) == ((1,), _BLACK_IS_ZERO)
        if colours == _WHITE_IS_ZERO or not plain or tags.get(tiff.FILLORDER, 1) != 1:
            kind = f"an uncompressed planar TIFF of {max(bits)} bits a sample"
            raise Unsupported(f"{kind}, a kind that Pillow cannot read")


def mend_order(image):
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
            image.tile[n] = getattr(tile, "_make", tuple)(mended)


def _scaled(values, white, slack=0.0):
    """(H, W) numbers, from black at 0 to `white` if they fit, else stretched -> (H, W) uint16.

    Those that fit but for `slack` at either end are clipped.
    """
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise Unsupported("some pixels are not numbers")
    if low >= -slack and high <= white + slack:
        low, high = 0.0, float(white)
    out = np.empty(values.shape, np.uint16)
    factor = 65535 / (high - low) if high > low else 0.0
    for part in _bands(values):
        out[part] = np.rint((np.clip(values[part].astype(np.float64), low, high) - low) * factor)
    return out


def look_up(table, array):
    """(65536,) table, uint16 array -> the table's entry for each value, same shape."""
    out = np.empty(array.shape, table.dtype)
    for part in _bands(array):
        out[part] = table[array[part]]
    return out


def to_8_bits(array):
    """uint16 array, white at 65535 -> uint8 array, white at 255, exactly rounded."""
    return look_up(((np.arange(65536) + 128) // 257).astype(np.uint8), array)


def write_png(path, rgb, alpha=None, exif=None, dpi=None, icc_profile=None):
    """Write (H, W, 3) uint16 sRGB, with alpha (H, W) uint8, as a PNG of 16 bits a channel."""
    height, width = rgb.shape[:2]
    channels = 3 if alpha is None else 4
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        size = b"".join(n.to_bytes(4, "big") for n in (width, height))
        putchunk(file, b"IHDR", size, bytes([16, 2 if alpha is None else 6, 0, 0, 0]))
        if icc_profile:
            putchunk(file, b"iCCP", b"ICC Profile\0\0", zlib.compress(icc_profile))
        if dpi:
            per_metre = (round(value / 0.0254).to_bytes(4, "big") for value in dpi)
            putchunk(file, b"pHYs", *per_metre, b"\1")
        if exif:
            putchunk(file, b"eXIf", exif.removeprefix(b"Exif\0\0"))
        stream = zlib.compressobj(_LEVEL)
        for band in _interleaved(rgb, alpha, ">u2"):
            rows = band.view(np.uint8).reshape(len(band), -1)
            filtered = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
            filtered[:, 0] = 1  # "Sub": what is stored is the difference to the pixel on the left
            filtered[:, 1:] = rows
            filtered[:, 1 + 2 * channels :] -= rows[:, : -2 * channels]
            if data := stream.compress(filtered):
                putchunk(file, b"IDAT", data)
        putchunk(file, b"IDAT", stream.flush())
        putchunk(file, b"IEND", b"")


def write_tiff(path, rgb, alpha=None, exif=None, dpi=None, icc_profile=None):
    """Write (H, W, 3) uint16 sRGB, with alpha (H, W) uint8, as an uncompressed TIFF."""
    height, width = rgb.shape[:2]
    channels = 3 if alpha is None else 4
    directory = tiff.ImageFileDirectory_v2(prefix=b"II")
    _add_exif(directory, exif)
    directory[tiff.IMAGEWIDTH], directory[tiff.IMAGELENGTH] = width, height
    directory[tiff.BITSPERSAMPLE] = (16,) * channels
    directory[tiff.COMPRESSION] = 1
    directory[tiff.PHOTOMETRIC_INTERPRETATION] = 2
    directory[tiff.SAMPLESPERPIXEL] = channels
    directory[tiff.ROWSPERSTRIP] = height
    directory[tiff.STRIPBYTECOUNTS] = height * width * channels * 2
    directory[tiff.STRIPOFFSETS] = 0  # from the end of the directory, says Pillow's writer of it
    directory[tiff.PLANAR_CONFIGURATION] = 1
    if alpha is not None:
        directory[tiff.EXTRASAMPLES] = 2  # alpha that the colours are not multiplied with
    if dpi:
        directory[tiff.X_RESOLUTION], directory[tiff.Y_RESOLUTION] = dpi
        directory[tiff.RESOLUTION_UNIT] = 2
    if icc_profile:
        directory[tiff.ICCPROFILE] = icc_profile
    with open(path, "wb") as file:
        directory.save(file)
        for band in _interleaved(rgb, alpha, "<u2"):
            file.write(band)


def _add_exif(directory, data):
    """Put the fields of EXIF `data`, bytes or None, into a TIFF's directory."""
    exif = metadata.with_words_as_bytes(data)
    for tag in exif:
        nested = tag in (Base.ExifOffset, Base.GPSInfo)
        directory[tag] = exif.get_ifd(tag) if nested else exif[tag]


WRITERS = {".png": write_png, ".tif": write_tiff, ".tiff": write_tiff}


def _bands(array):
    """Slices of the rows of an array that hold about _BAND values each."""
    rows = max(1, _BAND * len(array) // max(1, array.size))
    return (slice(top, top + rows) for top in range(0, len(array), rows))


def _interleaved(rgb, alpha, dtype):
    """Yield bands of (h, W, 3 or 4) of `dtype`: the colours, with alpha scaled to 16 bits."""
    for part in _bands(rgb):
        if alpha is None:
            yield np.ascontiguousarray(rgb[part], dtype)
        else:
            opaque = np.multiply(alpha[part, :, None], 257, dtype=np.uint16)
            yield np.concatenate([rgb[part], opaque], axis=2).astype(dtype)
