"""Real photo files with something broken in them: a PhotoError comes out, or a photo; no more."""

import io
import warnings

import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cic.photos import images
from helpers.icc import ADOBE, gray_profile, rgb_profile

pytestmark = pytest.mark.slow

MUTATIONS = 1000  # of each file
WRITTEN = 10  # every so many of the photos that come out is written


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def tiff(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def thumbnail_first(photo):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(photo[::4, ::4, 0].copy(), subfiletype=1)
        writer.write(photo[..., 0], subfiletype=0, compression="deflate")
        writer.write(photo, subifds=1, photometric="rgb")
        writer.write(photo[::2, ::2].copy(), subfiletype=1, photometric="rgb")
    return file.getvalue()


def heic(image):
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file)
    return file.getvalue()


def exif():
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "a cat", 6
    exif[0x8769] = {0x9003: "2020:01:01 00:00:00", 0x829A: 0.01, 0xA002: 45}
    exif[0x8825] = {1: "N", 2: (48.0, 12.0, 1.5)}
    return exif.tobytes()


def originals(photo):
    """{name: bytes} of a small photo in the formats, and kinds of each, that photos come in."""
    image = Image.fromarray(photo)
    gray = image.convert("L")
    deep = (photo[..., 0].astype(np.uint16) * 257)[::2]
    about = {"exif": exif(), "icc_profile": rgb_profile(ADOBE, 2.2)}
    pages = {"save_all": True, "append_images": [image.rotate(90), image.rotate(180)]}
    twelve = {"extratags": [(341, 3, 1, 4095, True), (33723, 4, 2, (0x6902021C, 5), True)]}
    words = PngInfo()
    words.add(b"gAMA", (100_000).to_bytes(4, "big"))
    words.add_text("Title", "a cat")
    words.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    return {
        "baseline.jpg": encoded(image, "JPEG", **about, dpi=(300, 300)),
        "progressive.jpg": encoded(image, "JPEG", progressive=True, subsampling=0),
        "restarts.jpg": encoded(image, "JPEG", restart_marker_rows=1, comment=b"a cat"),
        "gray.jpg": encoded(gray, "JPEG", icc_profile=gray_profile(1.0)),
        "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG"),
        "about.png": encoded(image, "PNG", **about, dpi=(72, 72)),
        "words.png": encoded(image, "PNG", pnginfo=words),
        "deep.png": encoded(Image.fromarray(deep), "PNG", icc_profile=gray_profile(1.0)),
        "palette.png": encoded(image.quantize(16), "PNG", transparency=3),
        "alpha.png": encoded(image.convert("RGBA"), "PNG"),
        "animated.png": encoded(image, "PNG", **pages),
        "raw.tif": encoded(image, "TIFF", **about),
        "lzw.tif": encoded(image, "TIFF", compression="tiff_lzw"),
        "deflate.tif": encoded(image, "TIFF", compression="tiff_deflate", **pages),
        "jpeg.tif": encoded(image, "TIFF", compression="jpeg"),
        "thumbnail.tif": thumbnail_first(photo),
        "twelve.tif": tiff(deep >> 4, **twelve),
        "twelve colours.tif": tiff(np.repeat(deep[..., None] >> 4, 3, 2), photometric="rgb"),
        "deep.tif": tiff(deep, byteorder=">"),
        "float.tif": tiff(deep / np.float32(65535)),
        "colours.tif": tiff(np.repeat(deep[..., None], 3, axis=2), photometric="rgb"),
        "lossy.webp": encoded(image, "WEBP", **about),
        "lossless.webp": encoded(image.convert("RGBA"), "WEBP", lossless=True, **pages),
        "animated.gif": encoded(image, "GIF", **pages),
        "x.bmp": encoded(image, "BMP"),
        "x.jp2": encoded(image, "JPEG2000"),
        "x.ppm": encoded(image, "PPM"),
        "x.tga": encoded(image, "TGA", compression="tga_rle"),
        "x.avif": encoded(image, "AVIF", **about),
        "x.heic": heic(image),
    }


def mutated(data, random):
    """`data` with one to three things broken in it."""
    data = bytearray(data)
    for _ in range(random.integers(1, 4)):
        # Headers are short and matter most: half of what is broken is within the first 400 bytes.
        end = len(data) if random.random() < 0.5 else min(len(data), 400)
        at = int(random.integers(max(1, end)))
        length = int(random.integers(1, 40))
        kind = random.integers(6)
        if kind == 0:
            data[at : at + 1] = random.bytes(1)
        elif kind == 1:
            data[at : at + 1] = bytes([data[at] ^ (1 << random.integers(8))]) if data else b""
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            data[at : at + length] = bytes(length)
        elif kind == 4:
            other = int(random.integers(max(1, len(data))))
            data[at : at + length] = data[other : other + length]
        else:  # what may be a length, or an offset
            extreme = random.choice(
                [b"\xff\xff\xff\xff", b"\0\0\0\1", b"\x7f\xff\xff\xff", b"\0\0"]
            )
            data[at : at + len(extreme)] = extreme
    return bytes(data)


class InMemory:
    """A source of a photo that is no path."""

    def __init__(self, name, data):
        self.name, self.data = name, data

    def __str__(self):
        return self.name

    def open(self):
        return io.BytesIO(self.data)


@pytest.fixture(scope="module")
def files(photos):
    return originals(np.ascontiguousarray(photos["chelsea"][::8, ::10]))


@pytest.fixture(autouse=True)
def few_pixels():
    limit = images.pixel_limit()
    images.limit_pixels(1_000_000)
    yield
    images.limit_pixels(limit)


NAMES = list(originals(np.zeros((8, 8, 3), np.uint8)))


def test_there_are_five_thousand():
    assert len(NAMES) * MUTATIONS >= 5000


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", NAMES)
def test_a_mutated_file_is_a_photo_or_a_photo_error(files, name, tmp_path):
    random = np.random.default_rng(NAMES.index(name))
    photos = errors = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is to be printed, either
        for number in range(MUTATIONS):
            data = mutated(files[name], random)
            try:
                photo = images.open_photo(InMemory(name, data))
            except images.PhotoError as error:
                assert str(error).startswith(f"{name!r}: ")
                assert str(error).isprintable()
                assert error.kind in ("truncated", "damaged", "refused")
                errors += 1
                continue
            photos += 1
            assert photo.rgb.mode == "RGB"
            if not photos % WRITTEN:
                target = tmp_path / f"{number}.{('png', 'jpg', 'tif', 'webp')[number % 4]}"
                try:
                    images.write(target, np.asarray(photo.rgb), photo)
                except images.PhotoError as error:
                    assert "WebP limit" in str(error)  # 16,383 pixels a side
                else:
                    assert images.open_rgb(target).size == photo.rgb.size
    assert photos
    assert errors
