"""cic.photos.deep: 16-bit gray as it is read, 16-bit colours as other readers find them."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from cic.photos import deep, images, tiff_writer
from helpers.icc import ADOBE, rgb_profile

pytestmark = pytest.mark.slow

RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)


def chunks(path):
    """[(name, data), ...] of a PNG whose checksums are right."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(
            name + body
        )
        found.append((name, body))
        at += 12 + length
    return found


def decoded(path):
    """(H, W, channels) uint16 of a PNG whose rows all have the filter Sub."""
    parts = chunks(path)
    header = parts[0][1]
    width, height, bits, colour, *others = struct.unpack(">IIBBBBB", header)
    assert (bits, others) == (16, [0, 0, 0])
    channels = {2: 3, 6: 4}[colour]
    rows = zlib.decompress(b"".join(body for name, body in parts if name == b"IDAT"))
    rows = np.frombuffer(rows, np.uint8).reshape(height, -1)
    assert (rows[:, 0] == 1).all()
    differences = rows[:, 1:].reshape(height, width, 2 * channels)
    return np.cumsum(differences, axis=1, dtype=np.uint8).view(">u2")


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 65536, (37, 53, 3)).astype(np.uint16)


@pytest.fixture
def source(tmp_path):
    """A photo with all that a result may keep."""
    exif = Image.Exif()
    exif[0x010E] = "a cat"
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05"}
    exif[0x8825] = {1: "N", 2: (48.0, 12.0, 1.5)}
    pixels = np.random.default_rng(1).integers(0, 256, (37, 53, 4), np.uint8)
    Image.fromarray(pixels).save(
        tmp_path / "source.png",
        exif=exif.tobytes(),
        dpi=(300, 150),
        icc_profile=rgb_profile(ADOBE, 2.2),
    )
    return images.open_photo(tmp_path / "source.png")


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("shape", [(37, 53), (1, 1), (1, 3000), (3000, 1), (700, 800)])
def test_16_bit_colours_are_found_by_other_readers(tmp_path, alpha, shape):
    random = np.random.default_rng(0)
    rgb = random.integers(0, 65536, (*shape, 3)).astype(np.uint16)
    opacity = random.integers(0, 256, shape, np.uint8) if alpha else None
    expected = rgb if opacity is None else np.dstack([rgb, opacity.astype(np.uint16) * 257])
    mask = None if opacity is None else Image.fromarray(opacity)
    with open(tmp_path / "x.png", "wb") as file:
        deep.write_png(file, rgb, mask)
    with open(tmp_path / "x.tif", "wb") as file:
        tiff_writer.TiffWriter(file).add(rgb.shape, rgb.dtype, [rgb], mask)
    assert np.array_equal(decoded(tmp_path / "x.png"), expected)
    assert np.array_equal(tifffile.imread(tmp_path / "x.tif").reshape(expected.shape), expected)
    if alpha:
        with tifffile.TiffFile(tmp_path / "x.tif") as file:
            assert file.pages[0].extrasamples == (2,)  # alpha, colours not multiplied with it
    for name in ("x.png", "x.tif"):  # Pillow takes the high byte
        assert np.array_equal(np.asarray(Image.open(tmp_path / name)), expected >> 8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
def test_a_result_of_16_bits_keeps_all_that_one_of_8_bits_does(tmp_path, rgb, source, suffix):
    path = tmp_path / f"x{suffix}"
    images.write(path, rgb, source)
    result = Image.open(path)
    assert [float(n) for n in result.info["dpi"]] == pytest.approx((300, 150), abs=0.1)
    assert result.info["icc_profile"]
    result.load()  # the EXIF of a PNG may come last
    kept = result.getexif()
    assert kept[0x010E] == "a cat"
    assert kept.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    assert [float(value) for value in kept.get_ifd(0x8825)[2]] == [48.0, 12.0, 1.5]
    again = images.open_photo(path)
    assert np.array_equal(again.alpha, source.alpha)
    assert np.array_equal(again.rgb, rgb >> 8)
    if suffix != ".png":
        found = tifffile.imread(path)
        assert np.array_equal(found[..., :3], rgb)


def test_a_png_has_its_chunks_in_order(tmp_path, rgb, source):
    images.write(tmp_path / "x.png", rgb, source)
    names = [name for name, _ in chunks(tmp_path / "x.png")]
    assert names[:4] == [b"IHDR", b"iCCP", b"pHYs", b"eXIf"]
    assert names[-1] == b"IEND"
    assert set(names[4:-1]) == {b"IDAT"}


@pytest.mark.parametrize("suffix", [".bmp", ".ppm", ".jpg", ".webp"])
def test_other_formats_have_16_bits_rounded(tmp_path, rgb, suffix):
    images.write(tmp_path / f"x{suffix}", rgb)
    images.write(tmp_path / f"y{suffix}", np.rint(rgb / 257).astype(np.uint8))
    assert (tmp_path / f"x{suffix}").read_bytes() == (tmp_path / f"y{suffix}").read_bytes()


def test_16_bits_are_rounded_to_8_exactly():
    assert np.array_equal(deep.to_8_bits(RAMP), np.rint(RAMP / 257.0))


def test_8_bits_widened_and_narrowed_are_the_same():
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(deep.to_8_bits(levels.astype(np.uint16) * 257), levels)


@pytest.mark.parametrize(
    ("name", "order"),
    [("x.png", "<"), ("x.png", ">"), ("x.tif", "<"), ("x.tif", ">"), ("x.pgm", "<")],
)
def test_16_bit_gray_is_read_whole(tmp_path, name, order):
    if name == "x.tif":
        tifffile.imwrite(tmp_path / name, RAMP, byteorder=order)
    else:
        Image.fromarray(RAMP.astype(f"{order}u2")).save(tmp_path / name)
    photo = images.open_photo(tmp_path / name)
    assert photo.deep.dtype == np.uint16
    assert np.array_equal(photo.deep, RAMP)
    assert np.array_equal(np.asarray(photo.rgb)[..., 1], np.rint(RAMP / 257.0))


def test_16_bit_gray_that_lies_on_its_side_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("x.png", "x.tif"):
        Image.fromarray(RAMP[:100]).save(tmp_path / name, exif=exif.tobytes())
        assert np.array_equal(images.open_photo(tmp_path / name).deep, np.rot90(RAMP[:100], -1))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("order", ["<", ">"])
def test_white_may_be_zero(tmp_path, dtype, order):
    stored = RAMP if dtype == np.uint16 else (RAMP / 65535).astype(dtype)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, stored, photometric="miniswhite", byteorder=order)
    try:
        found = images.open_photo(path).deep
    except images.PhotoError as error:
        assert "a TIFF of a kind that Pillow cannot read" in str(error)
        assert error.kind == "refused"
        assert (dtype, order) == (np.uint16, ">")  # of the four, Pillow has no reader for this one
    else:
        assert np.array_equal(found, 65535 - RAMP)


def test_12_bit_gray_reaches_white(tmp_path):
    """Two values in three bytes, the higher bits first (TIFF 6.0, FillOrder)."""
    entries = [(256, 4), (257, 1), (258, 12), (259, 1), (262, 1), (273, 122), (277, 1), (279, 6)]
    table = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    data = b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4)
    pixels = bytes([0x00, 0x00, 0x01, 0x80, 0x0F, 0xFF])  # 0, 1, 2048, 4095
    (tmp_path / "x.tif").write_bytes(data.ljust(122, b"\0") + pixels)
    found = images.open_photo(tmp_path / "x.tif").deep
    assert found.tolist() == [[0, 16, 32776, 65535]]
    assert np.abs(found - np.array([0, 1, 2048, 4095]) * 65535 / 4095).max() < 9


def gray_of(array, tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", array)
    return images.open_photo(tmp_path / "x.tif").deep


def test_floats_up_to_one_are_taken_as_they_are(tmp_path):
    values = np.linspace(0.1, 0.9, 50, dtype=np.float32).reshape(5, 10)
    assert np.array_equal(gray_of(values, tmp_path), np.rint(values.astype(float) * 65535))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize(("low", "high"), [(-50, 20), (1000, 90_000), (-3, 0)])
def test_other_numbers_are_stretched(tmp_path, dtype, low, high):
    values = np.linspace(low, high, 50).reshape(5, 10).astype(dtype)
    expected = (values - float(low)) / (high - low) * 65535
    assert np.abs(gray_of(values, tmp_path) - expected).max() <= 0.51


def test_whole_numbers_of_16_bits_are_taken_as_they_are(tmp_path):
    assert np.array_equal(gray_of(RAMP.astype(np.int32) // 2, tmp_path), RAMP // 2)


def test_one_value_that_cannot_be_stretched_is_black(tmp_path):
    assert gray_of(np.full((3, 3), 7, np.float32), tmp_path).max() == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(tmp_path, bad):
    values = np.zeros((3, 3), np.float32)
    values[1, 1] = bad
    with pytest.raises(images.PhotoError, match="some pixels are not numbers") as caught:
        gray_of(values, tmp_path)
    assert caught.value.kind == "refused"


def refusal_of(path):
    with pytest.raises(images.PhotoError) as caught:
        images.read(path)
    assert caught.value.kind == "refused"
    return str(caught.value)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize(
    ("dtype", "channels", "options"),
    [
        *((dtype, 3, {"photometric": "rgb"}) for dtype in ("f2", "f4", "f8", "i2", "u4")),
        *((dtype, 1, {}) for dtype in ("f2", "f8", "u8")),
        (np.uint16, 2, {"photometric": "minisblack", "extrasamples": [2]}),
    ],
)
def test_a_tiff_that_pillow_does_not_support_is_not_damaged(
    tmp_path, dtype, channels, options, bigtiff
):
    pixels = np.zeros((8, 8, channels)[: 2 + (channels > 1)], dtype)
    tifffile.imwrite(tmp_path / "x.tif", pixels, bigtiff=bigtiff, **options)
    assert refusal_of(tmp_path / "x.tif").endswith("a TIFF of a kind that Pillow cannot read")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_planes_of_colours_are_right_or_refused(tmp_path, order, channels, compression, dtype):
    top = np.iinfo(dtype).max
    planes = np.random.default_rng(0).integers(0, top, (channels, 30, 40), dtype, endpoint=True)
    options = {"photometric": "rgb", "planarconfig": "separate", "byteorder": order}
    if channels == 4:
        options["extrasamples"] = [2]
    tifffile.imwrite(tmp_path / "x.tif", planes, compression=compression, **options)
    if dtype == np.uint16 and not compression:
        assert "uncompressed planar TIFF of 16 bits a sample" in refusal_of(tmp_path / "x.tif")
        return
    expected = np.moveaxis(planes[:3] >> (8 if dtype == np.uint16 else 0), 0, 2)
    assert np.array_equal(images.read(tmp_path / "x.tif"), expected)


@pytest.mark.parametrize(
    ("dtype", "photometric", "sound"),
    [
        (bool, "minisblack", True),
        (bool, "miniswhite", False),
        (np.uint8, "minisblack", True),
        (np.uint8, "miniswhite", False),
        (np.uint16, "minisblack", False),
    ],
)
def test_one_plane_of_gray_is_right_or_refused(tmp_path, dtype, photometric, sound):
    gray = np.random.default_rng(0).integers(0, 2, (8, 16)).astype(dtype)
    tifffile.imwrite(tmp_path / "x.tif", gray, photometric=photometric)
    data = (tmp_path / "x.tif").read_bytes()
    lone = struct.pack("<HHI", 277, 3, 1)  # SamplesPerPixel, 1 if it is not there
    assert data.count(lone) == 1
    at = data.index(lone)
    planar = struct.pack("<HHIHH", 284, 3, 1, 2, 0)
    (tmp_path / "x.tif").write_bytes(data[:at] + planar + data[at + 12 :])
    if sound:
        scale = 255 if dtype is bool else 1
        assert np.array_equal(images.read(tmp_path / "x.tif")[..., 0], gray.astype(int) * scale)
    else:
        assert "planar" in refusal_of(tmp_path / "x.tif")


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.float32])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_numbers_of_any_size_and_sign_are_right_or_refused(tmp_path, dtype, order, compression):
    whole = np.dtype(dtype).kind != "f"
    low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if whole else (-7.0, 9e5)
    values = np.linspace(low, high, 99).reshape(9, 11).astype(dtype)
    values[-1, -1] = high
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, values, byteorder=order, compression=compression)
    if order == ">" and dtype == np.uint32:
        assert refusal_of(path).endswith("a TIFF of a kind that Pillow cannot read")
    else:
        expected = (values - float(low)) / (float(high) - low) * 65535
        assert np.abs(images.open_photo(path).deep - expected).max() <= 0.51


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_deep_gray_may_come_from_memory(dtype):
    values = np.linspace(0, 1, 12).reshape(3, 4)
    image = Image.fromarray((values * (65535 if dtype == np.int32 else 1)).astype(dtype))
    expected = np.repeat((values * 255)[..., None], 3, axis=2)
    assert np.abs(np.asarray(images.to_rgb(image)) - expected).max() <= 0.51


def test_floats_a_little_outside_are_clipped_and_do_not_stretch_the_rest(tmp_path):
    values = np.array([[-9e-4, -1e-7, 0, 0.25, 0.5, 1, 1 + 1e-7, 1.0009]], np.float32)
    assert gray_of(values, tmp_path).tolist() == [[0, 0, 0, 16384, 32768, 65535, 65535, 65535]]
    values[0, -1] = 1.01
    assert gray_of(values, tmp_path)[0, -2] < 65000
