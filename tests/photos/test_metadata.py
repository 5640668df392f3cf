"""cic.photos.metadata: what of a photo's EXIF and resolution its result has."""

import math
import struct
import time
import tracemalloc

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

from cic.photos import images, metadata, profiles
from helpers.icc import ADOBE, rgb_profile

EXIF, GPS = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo
SIZE = (40, 30)


def exif(orientation=None):
    block = Image.Exif()
    block[0x010E], block[0x010F], block[0x8298] = "a cat", "Camera", "me"
    block[0x0100], block[0x0111] = 9999, 8  # the layout of some other file
    block[EXIF] = {
        0x9003: "2020:01:02 03:04:05",
        0x829A: 0.01,
        0xA001: 65535,
        0xA002: 9999,
        0x927C: b"the maker's own",
    }
    block[GPS] = {1: "N", 2: (48.0, 12.0, 1.5)}
    if orientation:
        block[0x0112] = orientation
    return block


@pytest.fixture
def image():
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    return Image.fromarray(pixels)


def through(tmp_path, image, suffix, name="source.jpg", **options):
    """(photo, Pillow image of its result) of an image saved as `name`, written as `suffix`."""
    image.save(tmp_path / name, **options)
    photo = images.open_photo(tmp_path / name)
    images.write(tmp_path / f"result{suffix}", np.asarray(photo.rgb), photo)
    return photo, Image.open(tmp_path / f"result{suffix}")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
@pytest.mark.parametrize("name", ["source.jpg", "source.png", "source.tif", "source.webp"])
def test_what_describes_the_photo_stays_and_what_describes_the_file_goes(
    tmp_path, image, name, suffix
):
    block = exif(6)
    if name.endswith(".tif"):
        del block[0x0100], block[0x0111]  # Pillow would take these to be of this file
    block = block.tobytes()
    _, result = through(tmp_path, image, suffix, name, exif=block, dpi=(300, 150))
    kept = result.getexif()
    assert [kept[tag] for tag in (0x010E, 0x010F, 0x8298)] == ["a cat", "Camera", "me"]
    assert kept.get(0x0112, 1) == 1
    assert kept.get(0x0100) in (None, SIZE[1])
    camera, place = kept.get_ifd(EXIF), kept.get_ifd(GPS)
    assert camera[0x9003] == "2020:01:02 03:04:05"
    assert float(camera[0x829A]) == pytest.approx(0.01)
    assert (camera[0xA001], camera[0xA002], camera[0xA003]) == (1, *SIZE[::-1])
    assert 0x927C not in camera
    assert [float(value) for value in place[2]] == [48.0, 12.0, 1.5]
    assert result.size == SIZE[::-1]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
@pytest.mark.parametrize(("orientation", "expected"), [(1, (300, 150)), (6, (150, 300))])
def test_the_resolution_turns_with_the_photo(tmp_path, image, suffix, orientation, expected):
    block = Image.Exif()
    block[0x0112] = orientation
    for name in ("source.jpg", "source.png", "source.tif"):
        photo, result = through(tmp_path, image, suffix, name, dpi=(300, 150), exif=block.tobytes())
        assert photo.dpi == pytest.approx(expected, abs=0.1)
        assert [float(n) for n in result.info["dpi"]] == pytest.approx(expected, abs=0.1)


def test_the_resolution_is_found_in_exif_alone(tmp_path, image):
    block = Image.Exif()
    block[0x011A], block[0x011B], block[0x0128] = 100.0, 50.0, 3  # a centimetre
    image.save(tmp_path / "x.webp", exif=block.tobytes())
    assert images.open_photo(tmp_path / "x.webp").dpi == pytest.approx((254, 127))


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
@pytest.mark.parametrize("words", [{}, {0x010E: "a cat"}])
def test_the_resolution_is_kept_in_formats_that_have_it_in_exif_alone(
    tmp_path, image, suffix, words
):
    block = Image.Exif()
    block.update(words)
    photo, _ = through(tmp_path, image, suffix, "source.tif", dpi=(300, 150), exif=block.tobytes())
    assert photo.dpi == (300, 150)
    assert images.open_photo(tmp_path / f"result{suffix}").dpi == (300, 150)


@pytest.mark.parametrize("options", [{}, {"resolution": (300, 300), "resolutionunit": 1}])
@pytest.mark.parametrize("shape", [(30, 40, 3), (30, 40)])
def test_a_tiff_that_names_no_resolution_has_none(tmp_path, options, shape):
    """Pillow says 1 dot per inch where there is none."""
    kind = "rgb" if shape[2:] else "minisblack"
    tifffile.imwrite(tmp_path / "x.tif", np.zeros(shape, np.uint8), photometric=kind, **options)
    if not options:
        data = (tmp_path / "x.tif").read_bytes()
        for tag in (282, 283, 296):  # tifffile writes them always: private ones in their place
            data = data.replace(struct.pack("<HH", tag, 3 if tag == 296 else 5), b"\0\xff\3\0")
        (tmp_path / "x.tif").write_bytes(data)
        assert Image.open(tmp_path / "x.tif").info["dpi"] == (1, 1)
    photo = images.open_photo(tmp_path / "x.tif")
    assert photo.dpi is None
    for suffix in (".jpg", ".png", ".tif"):
        images.write(tmp_path / f"y{suffix}", np.asarray(photo.rgb), photo)
        # Of a JPEG with EXIF, which tifffile's name of itself becomes, Pillow takes EXIF's default.
        assert images.open_photo(tmp_path / f"y{suffix}").dpi in (None, (72, 72))


@pytest.mark.parametrize(
    "dpi", [(0, 0), (1, 1), (math.nan, 1), (math.inf, 1), (-1, 2), "a cat", (1,), None, (1e9, 1)]
)
def test_a_resolution_that_cannot_be_is_none(image, dpi):
    image.info["dpi"] = dpi
    assert metadata.dpi(image) is None


def test_words_in_any_script_stay(tmp_path, image):
    words = "Łódź 图像".encode()
    block = Image.Exif()
    block[0x010E], block[0x9C9B] = words, "图像".encode("utf-16-le")
    _, result = through(tmp_path, image, ".jpg", exif=block.tobytes())
    assert result.getexif()[0x010E].encode("latin-1") == words
    assert result.getexif()[0x9C9B] == "图像".encode("utf-16-le")


@pytest.mark.parametrize("name", ["source.jpg", "source.png", "source.tif"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".tiff", ".webp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_bytes_of_a_name_stay(tmp_path, image, name, suffix, dtype):
    artist, lens = "Müller".encode(), "Größe".encode()
    block = Image.Exif()
    block[0x013B], block[EXIF] = artist, {0xA434: lens}
    block[GPS] = {28: b"ASCII\0\0\0here", 1: "N"}
    if name.endswith(".tif"):  # Pillow itself would write question marks
        block = metadata.with_words_as_bytes(block.tobytes())
    image.save(tmp_path / name, exif=block)
    photo = images.open_photo(tmp_path / name)
    images.write(tmp_path / f"y{suffix}", np.asarray(photo.rgb).astype(dtype), photo)
    result = Image.open(tmp_path / f"y{suffix}")
    result.load()
    kept = result.getexif()
    assert kept[0x013B].encode("latin-1") == artist
    assert kept.get_ifd(EXIF)[0xA434] == lens
    assert kept.get_ifd(GPS)[1] == "N"


def test_the_thumbnail_goes(tmp_path, image):
    block = exif().tobytes() + b"\xff\xd8 a thumbnail \xff\xd9"
    _, result = through(tmp_path, image, ".jpg", exif=block)
    assert b"a thumbnail" not in (tmp_path / "result.jpg").read_bytes()
    assert result.getexif()[0x010E] == "a cat"


@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0garbage", b"x"])
@pytest.mark.parametrize("name", ["source.jpg", "source.webp"])
def test_damaged_exif_never_stops_a_photo(tmp_path, image, block, name):
    photo, result = through(tmp_path, image, ".png", name, exif=block)
    assert photo.exif is None
    assert result.size == image.size


def test_every_cut_of_exif_is_survived(tmp_path, image):
    whole = exif(6).tobytes()
    for length in range(6, len(whole), 3):
        through(tmp_path, image, ".jpg", exif=whole[:length])


def test_one_damaged_field_goes_alone(image):
    block = Image.Exif()
    block[0x010E] = "a cat"
    block[EXIF] = {0x829A: 0.01, 0x9003: "2020"}
    data = block.tobytes()
    # The denominator of the exposure time: 0.
    image.info["exif"] = data.replace((100).to_bytes(4, "big"), bytes(4))
    kept = Image.Exif()
    kept.load(metadata.kept(image, image.size))
    assert kept[0x010E] == "a cat"
    assert kept.get_ifd(EXIF)[0x9003] == "2020"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize(("group", "tag"), [(None, 0x9C9C), (EXIF, 0x9286), (GPS, 27)])
def test_of_exif_too_long_for_a_jpeg_the_largest_fields_go(tmp_path, image, suffix, group, tag):
    block = exif()
    long = b"ASCII\0\0\0" + b"cat " * 20_000
    if group is None:
        block[tag] = long
    else:
        block[group] = {**block[group], tag: long}
    image.save(tmp_path / "x.png", exif=block.tobytes())
    photo = images.open_photo(tmp_path / "x.png")
    notes = images.write(tmp_path / f"y{suffix}", np.asarray(photo.rgb), photo)
    kept = Image.open(tmp_path / f"y{suffix}").getexif()
    assert kept[0x010E] == "a cat"
    assert kept.get_ifd(EXIF)[0x9003] == "2020:01:02 03:04:05"
    assert [float(value) for value in kept.get_ifd(GPS)[2]] == [48.0, 12.0, 1.5]
    found = kept if group is None else kept.get_ifd(group)
    assert (found.get(tag) == long) == (suffix != ".jpg")
    if suffix == ".jpg":
        assert len(notes) == 1
        names = {0x9C9C: "XPComment", 0x9286: "UserComment", 27: "GPSProcessingMethod"}
        assert names[tag] in notes[0]
        assert "80,0" in notes[0]
    else:
        assert notes == []


def test_exif_of_a_hundred_kilobytes_of_fields_keeps_the_smaller_ones(tmp_path, image):
    block = Image.Exif()
    words = {0x010E: 30_000, 0x013B: 20_000, 0x8298: 25_000, 0x0131: 24_000, 0x0132: 19}
    block.update({tag: "x" * length for tag, length in words.items()})
    image.save(tmp_path / "x.png", exif=block.tobytes())
    photo = images.open_photo(tmp_path / "x.png")
    notes = images.write(tmp_path / "y.jpg", np.asarray(photo.rgb), photo)
    assert [note.split(": ")[1].split()[0] for note in notes] == ["ImageDescription", "Copyright"]
    assert set(Image.open(tmp_path / "y.jpg").getexif()) >= {0x013B, 0x0131, 0x0132}


def hostile(fields, length, kind=1):
    """EXIF of many fields that all lead to the same bytes."""
    end = 26 + 12 * fields
    tags = ((0x9000 + n) & 0xFFFF for n in range(fields))
    entries = b"".join(struct.pack("<HHII", tag, kind, length, end) for tag in tags)
    first = struct.pack("<H", 1) + struct.pack("<HHII", 0x8769, 4, 1, 26) + bytes(4)
    camera = struct.pack("<H", fields) + entries + bytes(4)
    return (
        b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + camera.ljust(12 * fields + length, b"x")
    )


@pytest.mark.parametrize(("fields", "length"), [(1500, 50_000), (60_000, 4), (20_000, 500_000)])
def test_exif_that_claims_absurdly_much_is_left_out(tmp_path, image, fields, length):
    block = hostile(fields, length)
    image.save(tmp_path / "x.webp", exif=block)
    tracemalloc.start()
    start = time.process_time()
    photo = images.open_photo(tmp_path / "x.webp")
    assert time.process_time() - start < 2
    assert tracemalloc.get_traced_memory()[1] < 12 * len(block) + 5e6
    tracemalloc.stop()
    assert photo.exif is None
    assert photo.rgb.size == image.size


def test_exif_that_leads_to_itself_ends(tmp_path, image):
    first = struct.pack("<H", 2) + struct.pack("<HHII", 0x010F, 2, 4, 0x746163)
    first += struct.pack("<HHII", 0x8769, 4, 1, 8) + bytes(4)
    block = b"Exif\0\0II*\0" + struct.pack("<I", 8) + first
    _, result = through(tmp_path, image, ".jpg", exif=block)
    assert result.getexif()[0x010F] == "cat"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_a_photo_that_had_a_profile_has_that_of_srgb(tmp_path, image, suffix):
    _, result = through(tmp_path, image, suffix, icc_profile=rgb_profile(ADOBE, 2.2))
    assert result.info["icc_profile"] == profiles.srgb()
    _, result = through(tmp_path, image, suffix)
    assert "icc_profile" not in result.info


def test_without_anything_to_keep_nothing_is_written(tmp_path, image):
    photo, _ = through(tmp_path, image, ".jpg", "source.png")
    assert (photo.exif, photo.dpi, photo.alpha, photo.profiled) == (None, None, None, False)
    assert b"Exif" not in (tmp_path / "result.jpg").read_bytes()
