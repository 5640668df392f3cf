"""Write pages of a TIFF, of 8 or 16 bits a channel, a strip at a time in any compression.

Pillow has no image of 16-bit colours, and no writer that keeps only a strip in memory. Pillow
compresses each strip as a gray image with the channels side by side; the directory is ours.
"""

import io
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike
from PIL import Image
from PIL import TiffImagePlugin as tiff
from PIL.ExifTags import Base

from cic.photos import metadata
from cic.photos.strips import with_alpha
from cic.system.arrays import Array, Shape

DEFLATE, LZW, PACKBITS, RAW, JPEG = "tiff_adobe_deflate", "tiff_lzw", "packbits", "raw", "jpeg"
_CODES = {name: code for code, name in tiff.COMPRESSION_INFO.items()}
_PREDICTED = (DEFLATE, "tiff_deflate", LZW, "zstd", "lzma")  # rows of differences pack better
_PREDICTOR, _DIFFERENCE = 317, 2  # TIFF 6.0, section 14
_PLAIN = (RAW, PACKBITS)
_LEVEL = 6  # of zlib
_JPEG_QUALITY, _JPEG_SIDE = 95, 8  # rows of a strip of JPEG at 4:4:4 are a multiple of that
_JPEG_WIDTH = 65500  # libjpeg's JPEG_MAX_DIMENSION
_STRIP = 1 << 18  # bytes of a strip before it is compressed, about; TIFF 6.0 advises 8 KB, for 1992
_LARGEST = 2**32 - 1  # where an offset of a TIFF can lead


class TiffWriter:
    """Writer of pages to a binary file, as a TIFF of little-endian numbers."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.pointer = file, 4
        file.write(b"II*\0" + bytes(4))

    def add(
        self,
        shape: Shape,
        dtype: DTypeLike,
        strips: Iterable[Array],
        alpha: Image.Image | None = None,
        compression: str | None = None,
        **about: Any,
    ) -> None:
        """Add a page (H, W, 3) of uint8 or uint16 sRGB from its `strips`, (n, W, 3) in order.

        `alpha` is a Pillow image of mode L; `compression` Pillow's name of one, of which another
        takes the place if it cannot hold these pixels; `about` are `exif`, `dpi`, `icc_profile`
        and `fields`, {tag: (type, bytes)}. Raises ValueError beyond 4 GB.
        """
        height, width, _ = shape
        channels = 3 if alpha is None else 4
        deep = np.dtype(dtype) == np.uint16
        compression = _possible(compression, deep, alpha is not None, width)
        row = width * channels * (2 if deep else 1)
        rows = min(height, max(1, _STRIP // row // _JPEG_SIDE) * _JPEG_SIDE)
        offsets, counts = [], []
        for strip in _regular(with_alpha(strips, alpha), rows):
            offsets.append(self.file.tell())
            self.file.write(_packed(strip, compression))
            counts.append(self.file.tell() - offsets[-1])
        directory = _directory(**about)
        directory[tiff.IMAGEWIDTH], directory[tiff.IMAGELENGTH] = width, height
        directory[tiff.BITSPERSAMPLE] = (16 if deep else 8,) * channels
        directory[tiff.COMPRESSION] = _CODES[compression]
        directory[tiff.PHOTOMETRIC_INTERPRETATION] = 6 if compression == JPEG else 2
        directory[tiff.SAMPLESPERPIXEL] = channels
        directory[tiff.ROWSPERSTRIP] = rows
        directory[tiff.PLANAR_CONFIGURATION] = 1
        directory.tagtype[tiff.STRIPBYTECOUNTS] = 4
        directory[tiff.STRIPBYTECOUNTS] = tuple(counts)
        if compression == JPEG:
            directory[tiff.YCBCRSUBSAMPLING] = (1, 1)
        if compression in _PREDICTED:
            directory[_PREDICTOR] = _DIFFERENCE
        if alpha is not None:
            directory[tiff.EXTRASAMPLES] = 2  # alpha that the colours are not multiplied with
        self._append(directory, offsets)

    def _append(self, directory: tiff.ImageFileDirectory_v2, offsets: Sequence[int]) -> None:
        """Write a page's directory, and lead to it from the one before."""
        file = self.file
        file.write(bytes(file.tell() % 2))
        at = file.tell()
        directory.tagtype[tiff.STRIPOFFSETS] = 4
        # Pillow takes these to lie behind the directory, and adds where it ends: how long it is
        # depends on their number alone.
        directory[tiff.STRIPOFFSETS] = tuple(0 for _ in offsets)
        end = at + len(directory.tobytes(at))
        if end > _LARGEST:
            raise ValueError("a TIFF has room for 4 GB")
        data = bytearray(directory.tobytes(at))
        count = int.from_bytes(data[:2], "little")
        packed = np.asarray(offsets, "<u4").tobytes()
        for n in range(count):
            place = 2 + 12 * n
            if int.from_bytes(data[place : place + 2], "little") == tiff.STRIPOFFSETS:
                if len(offsets) == 1:
                    data[place + 8 : place + 12] = packed
                else:
                    start = int.from_bytes(data[place + 8 : place + 12], "little") - at
                    data[start : start + len(packed)] = packed
        file.write(data)
        file.seek(self.pointer)
        file.write(at.to_bytes(4, "little"))
        file.seek(end)
        self.pointer = at + 2 + 12 * count


def _possible(compression: str | None, deep: bool, alpha: bool, width: int = 1) -> str:
    """Return the compression of a page whose photo had `compression`."""
    if compression is None or compression in _PLAIN:
        return compression or RAW
    if compression == JPEG:
        return DEFLATE if deep or alpha or width > _JPEG_WIDTH else JPEG
    if compression not in _PREDICTED or compression not in _CODES:
        return DEFLATE  # of fax and the like, whose pixels are of one bit
    if compression in ("zstd", "lzma"):
        try:
            _by_pillow(np.zeros((1, 1), np.uint8), compression)
        except (OSError, RuntimeError, ValueError):
            return DEFLATE  # this libtiff does not have it
    return compression


def _regular(strips: Iterable[Array], rows: int) -> Iterator[Array]:
    """Yield strips of `rows` rows each, but for the last one."""
    kept: Array | None = None
    for strip in strips:
        kept = strip if kept is None else np.concatenate([kept, strip])
        whole = len(kept) // rows * rows
        for top in range(0, whole, rows):
            yield kept[top : top + rows]
        kept = kept[whole:]
    if kept is not None and len(kept):
        yield kept


def _packed(strip: Array, compression: str) -> bytes:
    """Return the bytes of a strip (n, W, channels), uint8 or uint16."""
    if compression == JPEG:
        file = io.BytesIO()
        Image.fromarray(strip).save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        return file.getvalue()
    if compression in _PREDICTED:
        strip = strip.copy()
        strip[:, 1:] -= strip[:, :-1].copy()
    flat = np.ascontiguousarray(strip.reshape(len(strip), -1), f"<u{strip.itemsize}")
    if compression == RAW:
        return flat.tobytes()
    if compression in (DEFLATE, "tiff_deflate"):
        return zlib.compress(flat, _LEVEL)
    return _by_pillow(flat, compression)


def _by_pillow(flat: Array, compression: str) -> bytes:
    """Return the bytes of the one strip that libtiff makes of (n, m) uint8 or uint16."""
    file = io.BytesIO()
    image = Image.fromarray(flat)
    image.save(file, "TIFF", compression=compression, tiffinfo={tiff.ROWSPERSTRIP: len(flat)})
    file.seek(0)
    with tiff.TiffImageFile(file) as made:
        (start,), (count,) = made.tag_v2[tiff.STRIPOFFSETS], made.tag_v2[tiff.STRIPBYTECOUNTS]
    return file.getvalue()[start : start + count]


def _directory(
    exif: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    icc_profile: bytes | None = None,
    fields: Mapping[int, tuple[int, bytes]] | None = None,
) -> tiff.ImageFileDirectory_v2:
    """Return a directory with what describes a photo."""
    directory = tiff.ImageFileDirectory_v2(prefix=b"II")
    described = metadata.with_words_as_bytes(exif)
    for tag in described:
        nested = tag in (Base.ExifOffset, Base.GPSInfo)
        directory[tag] = described.get_ifd(tag) if nested else described[tag]
    if dpi:
        directory[tiff.X_RESOLUTION], directory[tiff.Y_RESOLUTION] = dpi
        directory[tiff.RESOLUTION_UNIT] = 2
    if icc_profile:
        directory[tiff.ICCPROFILE] = icc_profile
    for tag, (kind, data) in (fields or {}).items():
        directory.tagtype[tag] = kind
        directory[tag] = data
    return directory
