"""cic.photos.stretch: numbers of fewer bits than they are stored in reach white, and it is said."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import putchunk

from cic.colour.lab import lightness
from cic.photos import images, stretch
from helpers import ROOT, started
from helpers.icc import gray_profile

BITS = (8, 10, 12, 14)


@pytest.fixture
def gray(photo):
    """(60, 91) float, 0 to 1, both of which occur."""
    light = lightness(photo)
    return (light - light.min()) / np.ptp(light)


def numbers(gray, bits, dtype=np.uint16):
    return np.rint(gray * (2**bits - 1)).astype(dtype)


def save(path, array, form):
    if form == "png":
        Image.fromarray(array).save(path, "PNG")
    elif form == "lzw":
        Image.fromarray(array).save(path, "TIFF", compression="tiff_lzw")
    elif form == "big-endian":
        tifffile.imwrite(path, array, byteorder=">")
    else:
        tifffile.imwrite(path, array)


@pytest.mark.parametrize("form", ["tiff", "big-endian", "lzw", "png"])
@pytest.mark.parametrize("bits", BITS)
def test_gray_of_fewer_bits_reaches_white(tmp_path, gray, bits, form):
    save(tmp_path / "x", numbers(gray, bits), form)
    photo = images.open_photo(tmp_path / "x")
    assert np.abs(photo.deep - gray * 65535).max() <= 65535 / (2**bits - 1) / 2 + 1
    assert (photo.deep.min(), photo.deep.max()) == (0, 65535)
    [note] = photo.notes
    assert f"end at {2**bits - 1:,}, as of {bits} bits in 16: stretched (no stretching" in note
    plain = images.open_photo(tmp_path / "x", stretched=False)
    assert np.array_equal(plain.deep, numbers(gray, bits))
    assert plain.notes == []
    seen = images.read(tmp_path / "x")
    assert np.abs(seen[..., 0] - gray * 255).max() <= 255 / (2**bits - 1) / 2 + 0.51


@pytest.mark.parametrize("form", ["tiff", "big-endian", "png"])
@pytest.mark.parametrize("bits", BITS)
def test_colours_of_fewer_bits_reach_white_with_all_their_bits(tmp_path, photo, form, bits):
    scaled = (photo - photo.min()) / np.ptp(photo)
    array = numbers(scaled, bits)
    if form == "png":
        deep_png(tmp_path / "x", array)
    else:
        order = ">" if form == "big-endian" else "<"
        tifffile.imwrite(tmp_path / "x", array, byteorder=order, photometric="rgb")
    opened = images.open_photo(tmp_path / "x")
    assert np.abs(np.asarray(opened.rgb) - scaled * 255).max() <= 255 / (2**bits - 1) / 2 + 0.51
    assert f"as of {bits} bits in 16" in opened.notes[0]
    plain = images.open_photo(tmp_path / "x", stretched=False)
    assert np.array_equal(plain.rgb, array >> 8)


def deep_png(path, array):
    """(H, W, 3) uint16 as a PNG."""
    images.write(path.with_suffix(".png"), array)
    path.with_suffix(".png").rename(path)


@pytest.mark.parametrize("highest", [4096, 9000, 14_000, 16_384, 65_535])
def test_a_dark_photo_of_16_bits_stays_dark(tmp_path, gray, highest):
    array = np.rint(gray * highest).astype(np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", array)
    photo = images.open_photo(tmp_path / "x.tif")
    assert np.array_equal(photo.deep, array)
    assert photo.notes == []


def test_a_black_one_and_a_tiny_one_stay_as_they_are(tmp_path):
    for array in (np.zeros((60, 91), np.uint16), np.full((4, 4), 900, np.uint16)):
        tifffile.imwrite(tmp_path / "x.tif", array)
        photo = images.open_photo(tmp_path / "x.tif")
        assert np.array_equal(photo.deep, array)
        assert photo.notes == []


@pytest.mark.parametrize("stated", [4095, 20_000, 60_000])
@pytest.mark.parametrize("kind", [3, 4, 11])
def test_what_a_tiff_says_is_white_is_white(tmp_path, gray, stated, kind):
    array = np.rint(gray * 4000).astype(np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", array, extratags=[(341, kind, 1, stated, True)])
    photo = images.open_photo(tmp_path / "x.tif")
    assert np.abs(photo.deep - array * (65535 / stated)).max() <= 0.51
    assert f"white is {stated:,}, as its SMaxSampleValue says" in photo.notes[0]
    assert np.array_equal(images.open_photo(tmp_path / "x.tif", stretched=False).deep, array)


def test_what_is_said_and_cannot_be_is_not_believed(tmp_path, gray):
    array = np.rint(gray * 60_000).astype(np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", array, extratags=[(341, 3, 1, 4095, True)])
    photo = images.open_photo(tmp_path / "x.tif")
    assert np.array_equal(photo.deep, array)


@pytest.mark.parametrize("white", [255.0, 4095.0])
def test_floats_up_to_what_a_tiff_says(tmp_path, gray, white):
    array = (gray * 0.9 * white).astype(np.float32)
    tifffile.imwrite(tmp_path / "x.tif", array, extratags=[(341, 11, 1, white, True)])
    photo = images.open_photo(tmp_path / "x.tif")
    assert np.abs(photo.deep - gray * 0.9 * 65535).max() <= 1


def test_other_floats_are_stretched_and_it_is_said(tmp_path, gray):
    tifffile.imwrite(tmp_path / "x.tif", (gray * 70 - 50).astype(np.float32))
    photo = images.open_photo(tmp_path / "x.tif")
    assert photo.notes == [
        f"its values, -50 to 20, are stretched from black to white ({stretch.HOW})"
    ]
    plain = images.open_photo(tmp_path / "x.tif", stretched=False)
    assert set(np.unique(plain.deep)) >= {0, 65535}
    assert (plain.deep[gray * 70 - 50 <= 0] == 0).all()


def test_white_is_zero(tmp_path, gray):
    array = 4095 - numbers(gray, 12)
    tifffile.imwrite(tmp_path / "x.tif", array, photometric="miniswhite")
    photo = images.open_photo(tmp_path / "x.tif")
    assert np.abs(photo.deep - gray * 65535).max() <= 9


def test_light_that_is_dim_as_numbers_is_not_stretched(tmp_path, gray):
    """A linear photo: a quarter of the light looks half as bright."""
    array = np.rint(gray * 16_000).astype(np.uint16)
    path = tmp_path / "x.png"
    Image.fromarray(array).save(path, icc_profile=gray_profile(1.0))
    assert images.open_photo(path).notes == []
    Image.fromarray(array // 4).save(path, icc_profile=gray_profile(1.0))
    assert images.open_photo(path).notes == []
    Image.fromarray(array // 64).save(path, icc_profile=gray_profile(1.0))
    assert "as of 8 bits" in images.open_photo(path).notes[0]


@pytest.mark.slow
def test_the_tool_says_it_and_can_be_told_not_to(tmp_path, gray):
    tifffile.imwrite(tmp_path / "x.tif", numbers(gray, 12))
    command = [ROOT / "tools" / "colorize.py", "x.tif", "-o", "y.tif"]
    brightness = []
    for more in ([], ["--no-stretch"]):
        run = started.run(*command, *more, cwd=tmp_path)
        assert run.returncode == 0, run.stderr
        assert ("stretched (no stretching leaves" in run.stdout) == (not more)
        brightness.append(images.read(tmp_path / "y.tif").mean())
    assert brightness[0] > 100
    assert brightness[1] < 20


def gray_with_alpha(path, values, alpha):
    """Write a PNG of 16-bit gray (H, W) and alpha (H, W), which Pillow does not write."""
    height, width = values.shape
    rows = np.stack([values, alpha], axis=-1).astype(">u2").view(np.uint8).reshape(height, -1)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        putchunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 4, 0, 0, 0))
        putchunk(file, b"IDAT", zlib.compress(np.insert(rows, 0, 0, axis=1).tobytes()))
        putchunk(file, b"IEND", b"")


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_gray_with_transparency_keeps_its_16_bits_and_is_stretched(tmp_path, gray, bits):
    alpha = np.rint(gray[::-1] * 65535)
    gray_with_alpha(tmp_path / "x.png", numbers(gray, bits), alpha)
    photo = images.open_photo(tmp_path / "x.png")
    assert np.abs(photo.deep - gray * 65535).max() <= 65535 / (2**bits - 1) / 2 + 1
    assert np.array_equal(photo.alpha, alpha.astype(np.uint16) >> 8)
    assert len(photo.notes) == (bits < 16)
    assert images.open_rgb(tmp_path / "x.png").size == gray.shape[::-1]
    images.write(tmp_path / "y.png", np.repeat(photo.deep[..., None], 3, axis=2), photo)
    again = Image.open(tmp_path / "y.png")
    assert again.mode == "RGBA"
    assert np.array_equal(again.getchannel("A"), photo.alpha)


def test_of_planes_only_the_high_bytes_are_known_and_it_is_said(tmp_path, photo):
    planes = numbers(photo.transpose(2, 0, 1) / 255, 12)
    options = {"photometric": "rgb", "planarconfig": "separate", "compression": "deflate"}
    tifffile.imwrite(tmp_path / "x.tif", planes, **options)
    opened = images.open_photo(tmp_path / "x.tif")
    assert np.abs(np.asarray(opened.rgb).astype(int) - photo).max() <= 17
    [note] = opened.notes
    assert note.endswith("; of each number only the high byte is read")
