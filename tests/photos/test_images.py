"""cic.photos.images on photos as they are found in the wild, and on files that are none."""

import io
import os
import pickle
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cic.colour.lab import rgb_to_lab
from cic.photos import images
from cic.photos.endings import EXTENSIONS
from cic.photos.images import PhotoError, open_photo, open_rgb, read, shrink, write
from helpers.refusals import error_of, kind_of

UPRIGHT = {  # EXIF orientation: how the stored array is turned upright
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored),
}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(tmp_path, photo, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo).save(tmp_path / f"plain{suffix}")
    Image.fromarray(photo).save(tmp_path / f"turned{suffix}", exif=exif)
    stored = read(tmp_path / f"plain{suffix}")
    assert np.array_equal(read(tmp_path / f"turned{suffix}"), UPRIGHT[orientation](stored))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_changes_nothing(tmp_path, photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(read(tmp_path / "x.png"), photo)


SIXTEEN_BIT = (np.arange(4096, dtype=np.uint16) * 16 + 5).reshape(64, 64)
EIGHT_BIT = np.rint(SIXTEEN_BIT / 257).astype(np.uint8)


def write_pgm(path):
    path.write_bytes(b"P5 64 64 65535\n" + SIXTEEN_BIT.astype(">u2").tobytes())


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("x.png", lambda path: Image.fromarray(SIXTEEN_BIT).save(path)),
        ("x.tif", lambda path: Image.fromarray(SIXTEEN_BIT).save(path)),
        ("x.tiff", lambda path: tifffile.imwrite(path, SIXTEEN_BIT, byteorder=">")),
        ("x.pgm", write_pgm),
    ],
)
def test_16_bit_gray_is_scaled_not_clipped(tmp_path, name, save):
    save(tmp_path / name)
    rgb = read(tmp_path / name)
    assert np.array_equal(rgb, np.repeat(EIGHT_BIT[..., None], 3, axis=2))
    assert (rgb.min(), rgb.max()) == (0, 255)


def test_16_bit_gray_that_lies_on_its_side(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(SIXTEEN_BIT).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(read(tmp_path / "x.png")[..., 0], np.rot90(EIGHT_BIT, -1))


def test_cmyk_jpeg_has_its_colours(tmp_path, photo):
    Image.fromarray(photo).convert("CMYK").save(tmp_path / "x.jpg", quality=98)
    assert np.abs(read(tmp_path / "x.jpg") - photo.astype(float)).mean() < 5


def test_palette_png(tmp_path, photo):
    palette = Image.fromarray(photo).quantize(64)
    palette.save(tmp_path / "x.png")
    assert np.array_equal(read(tmp_path / "x.png"), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_transparency_is_dropped(tmp_path, photo, suffix):
    rgba = np.dstack([photo, np.full(photo.shape[:2], 7, np.uint8)])
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    Image.fromarray(rgba).save(tmp_path / f"x{suffix}", **options)
    assert np.array_equal(read(tmp_path / f"x{suffix}"), photo)


def test_gray_with_transparency(tmp_path, photo):
    Image.fromarray(photo[..., :2].copy(), "LA").save(tmp_path / "x.png")
    assert np.array_equal(read(tmp_path / "x.png"), photo[..., :1].repeat(3, axis=2))


def test_8_bit_gray(tmp_path, photo):
    Image.fromarray(photo[..., 0]).save(tmp_path / "x.png")
    assert np.array_equal(read(tmp_path / "x.png"), photo[..., :1].repeat(3, axis=2))


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (9, 7), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    rgb = read(tmp_path / "x.gif")
    assert rgb.shape == (7, 9, 3)
    assert (rgb == [255, 0, 0]).all()


def test_1_bit(tmp_path):
    bits = np.random.default_rng(0).random((7, 9)) < 0.5
    Image.fromarray(bits).save(tmp_path / "x.png")
    assert np.array_equal(read(tmp_path / "x.png"), np.where(bits, 255, 0)[..., None].repeat(3, 2))


@pytest.mark.parametrize("suffix", [e for e in EXTENSIONS if e not in (".heic", ".heif", ".hif")])
def test_one_pixel_in_every_format(tmp_path, suffix):
    write(tmp_path / f"x{suffix}", np.full((1, 1, 3), 100, np.uint8))
    rgb = read(tmp_path / f"x{suffix}")
    assert (rgb.shape, rgb.dtype) == ((1, 1, 3), np.uint8)
    assert np.abs(rgb.astype(int) - 100).max() <= 5


def cut(path):
    """A photograph of which the last half is missing."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("cut.jpg", cut, "truncated"),
        ("cut.png", cut, "truncated"),
        ("cut.webp", cut, ""),
        ("cut.tif", cut, ""),
        ("cut.gif", cut, ""),
        ("cut.bmp", cut, "truncated"),
        ("empty.jpg", lambda path: path.touch(), "the file is empty"),
        ("text.jpg", lambda path: path.write_text("a cat"), "not a photo of a known format"),
        ("two\nlines.jpg", lambda path: path.write_text("a cat"), "not a photo"),
        ("folder.jpg", lambda path: path.mkdir(), "Is a directory"),
        ("missing.jpg", lambda path: None, "No such file"),
        ("link.jpg", lambda path: path.symlink_to("nowhere"), "No such file"),
    ],
)
def test_what_is_no_photo_is_named_with_the_reason(tmp_path, name, make, reason):
    make(tmp_path / name)
    assert reason in error_of(tmp_path / name)
    assert len(error_of(tmp_path / name)) > len(repr(str(tmp_path / name))) + 2


def test_a_path_may_be_a_string(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "x.png")
    assert np.array_equal(read(str(tmp_path / "x.png")), photo)
    assert "No such file" in error_of(str(tmp_path / "y.png"))


def test_large_photos_are_read_in_silence_and_enormous_ones_refused(tmp_path, photo, monkeypatch):
    Image.fromarray(photo).save(tmp_path / "x.png")
    pixels = photo.shape[0] * photo.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels - 1)
        assert np.array_equal(read(tmp_path / "x.png"), photo)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels // 3)
        assert "too large" in error_of(tmp_path / "x.png")


def exif_block(*entries):
    """EXIF of (tag, type, count, 4 bytes of value) entries, little endian."""
    packed = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)


def test_a_photo_is_read_though_its_exif_is_damaged(tmp_path, photo):
    """Tag 256 is a number, here it is text; the photo itself is whole."""
    exif = exif_block((0x0100, 2, 4, b"cat\0"), (0x0112, 3, 1, b"\6\0\0\0"))
    Image.fromarray(photo).save(tmp_path / "plain.jpg")
    Image.fromarray(photo).save(tmp_path / "damaged.jpg", exif=exif)
    expected = UPRIGHT[6](read(tmp_path / "plain.jpg"))
    assert np.array_equal(read(tmp_path / "damaged.jpg"), expected)


def test_an_animation_of_no_time_is_named(tmp_path):
    image, path = Image.new("RGB", (32, 32)), tmp_path / "a.avif"
    image.save(path, save_all=True, append_images=[image.rotate(90)])
    data = bytearray(path.read_bytes())
    place = data.index(b"mdhd") + 4
    assert data[place] == 1  # 64 bits for its times, so the ticks of a second come 20 bytes later
    data[place + 20 : place + 24] = bytes(4)
    path.write_bytes(data)
    assert error_of(path) == f"{str(path)!r}: damaged: division by zero"


def test_a_tiff_whose_offsets_are_no_numbers_is_named(tmp_path):
    Image.fromarray(SIXTEEN_BIT).save(tmp_path / "x.tif")
    data = (tmp_path / "x.tif").read_bytes()
    offset_entry = struct.pack("<HH", 273, 4)  # StripOffsets, a 32-bit number
    assert offset_entry in data
    (tmp_path / "x.tif").write_bytes(data.replace(offset_entry, struct.pack("<HH", 273, 7)))
    error_of(tmp_path / "x.tif")


@pytest.mark.parametrize(
    "name",
    ["a b.png", "it's.png", 'say "x".png', "two\nlines.png", "-dash.png", "图像.png", "%s.png"],
)
def test_any_name_is_written_and_read(tmp_path, photo, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(name, photo)
    assert np.array_equal(read(name), photo)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm", ".PNG"])
def test_lossless_formats_give_back_every_pixel(tmp_path, photo, suffix):
    write(tmp_path / f"x{suffix}", photo)
    assert np.array_equal(read(tmp_path / f"x{suffix}"), photo)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".JPEG"])
def test_lossy_formats_are_written_well(tmp_path, photo, suffix):
    write(tmp_path / f"x{suffix}", photo)
    assert np.abs(read(tmp_path / f"x{suffix}") - photo.astype(float)).mean() < 4


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="of Linux")
def test_a_jpeg_is_encoded_by_pillow_alone_and_is_what_it_is_otherwise(
    tmp_path, photo, monkeypatch
):
    """Pillow lets other threads go on only where it has a descriptor to write to."""
    saved, plain = Image.Image.save, io.BytesIO()
    Image.fromarray(photo).save(plain, "JPEG", quality=95)
    numbers = []

    def watched(image, file, **options):
        numbers.append(file.fileno())
        saved(image, file, **options)

    monkeypatch.setattr(Image.Image, "save", watched)
    write(tmp_path / "x.jpg", photo)
    assert len(numbers) == 1
    assert (tmp_path / "x.jpg").read_bytes() == plain.getvalue()


@pytest.mark.parametrize("name", ["x.xyz", "x", ".png", "x.", "x.psd", "x.h5", "x.pdf"])
def test_an_unknown_format_is_an_error_and_leaves_no_litter(tmp_path, photo, name):
    with pytest.raises(PhotoError) as caught:
        write(tmp_path / name, photo)
    named = f"{str(tmp_path / name)!r}: cannot be written: no ending of a picture"
    assert str(caught.value).startswith(named)
    assert os.listdir(tmp_path) == []


def test_an_error_while_writing_leaves_the_old_photo(tmp_path, photo, monkeypatch):
    def full(image, file, **options):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    write(tmp_path / "x.png", photo)
    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(PhotoError, match=r"x\.png': cannot be written: No space left on device$"):
        write(tmp_path / "x.png", photo[::-1])
    assert os.listdir(tmp_path) == ["x.png"]
    assert np.array_equal(read(tmp_path / "x.png"), photo)


def test_writing_to_a_folder_or_below_a_file_is_an_error(tmp_path, photo):
    (tmp_path / "x.png").mkdir()
    touch(tmp_path, "file")
    for name in ("x.png", "file/y.png"):
        with pytest.raises(PhotoError, match="cannot be written"):
            write(tmp_path / name, photo)
    assert sorted(os.listdir(tmp_path)) == ["file", "x.png"]


def test_missing_folders_are_made(tmp_path, photo):
    write(tmp_path / "a" / "b" / "x.png", photo)
    assert np.array_equal(read(tmp_path / "a" / "b" / "x.png"), photo)


@pytest.mark.parametrize(
    ("size", "short", "expected"),
    [
        ((100, 50), 20, (40, 20)),
        ((50, 100), 20, (20, 40)),
        ((100, 50), 50, (100, 50)),
        ((100, 50), 80, (100, 50)),
        ((101, 51), 20, (40, 20)),
        ((33, 33), 32, (32, 32)),
    ],
)
def test_shrink_gives_the_short_side_asked_for(size, short, expected):
    assert shrink(Image.new("RGB", size), short).size == expected


def test_shrink_keeps_a_small_photo_as_it_is(photo):
    image = Image.fromarray(photo)
    assert shrink(image, 60) is image
    assert shrink(image, 256) is image


def test_shrink_averages_and_does_not_skip_pixels(photos):
    """Every pixel counts: a photo of 1-pixel stripes becomes even."""
    stripes = np.tile(np.uint8([[[0] * 3, [255] * 3]]), (128, 64, 1))
    small = np.asarray(shrink(Image.fromarray(stripes), 16)).astype(int)
    assert np.abs(small[1:-1, 1:-1] - 127).max() < 12
    photo = photos["coffee"]
    small = np.asarray(shrink(Image.fromarray(photo), 64))
    assert np.abs(small.mean((0, 1)) - photo.mean((0, 1))).max() < 1


def test_open_rgb_is_an_image_of_mode_rgb(tmp_path, photo):
    Image.fromarray(photo[..., 0]).save(tmp_path / "x.png")
    assert open_rgb(tmp_path / "x.png").mode == "RGB"


def test_a_name_that_is_no_text_is_shown(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\n.jpg"
    with pytest.raises(PhotoError) as caught:
        open_rgb(path)
    assert str(caught.value).isprintable()
    assert str(caught.value).isascii()


def test_too_many_pixels_are_refused_with_the_limit_and_the_flag(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "x.png")
    default = images.pixel_limit()
    assert default == 178_956_970
    pixels = photo.shape[0] * photo.shape[1]
    try:
        images.limit_pixels(pixels)
        assert images.pixel_limit() == pixels
        assert np.array_equal(read(tmp_path / "x.png"), photo)
        images.limit_pixels(pixels - 1)
        assert images.pixel_limit() == pixels - 1
        message = error_of(tmp_path / "x.png")
        assert f"too large: {pixels:,} pixels, more than the limit of {pixels - 1:,}" in message
        assert "max_pixels" in message
        assert kind_of(tmp_path / "x.png") == "refused"
        images.limit_pixels(None)
        assert images.pixel_limit() is None
        with pytest.raises(ValueError, match="at least one pixel"):
            images.limit_pixels(0)
    finally:
        images.limit_pixels(default)


def test_a_bomb_on_a_later_page_is_refused_too(tmp_path):
    pages = [Image.new("1", (10, 10)), Image.new("1", (1000, 1000))]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    default = images.pixel_limit()
    try:
        images.limit_pixels(1000)
        assert open_photo(tmp_path / "x.tif", page=0).rgb.size == (10, 10)
        with pytest.raises(PhotoError, match="too large"):
            open_photo(tmp_path / "x.tif", page=1)
    finally:
        images.limit_pixels(default)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_every_page_can_be_had(tmp_path, suffix):
    colours = ("red", "lime", "blue")
    pages = [Image.new("RGB", (9, 7), colour) for colour in colours]
    options = {"lossless": True} if suffix == ".webp" else {}
    path = tmp_path / f"x{suffix}"
    pages[0].save(path, save_all=True, append_images=pages[1:], **options)
    for number, page in enumerate(pages):
        photo = open_photo(path, page=number)
        assert photo.pages == 3
        assert np.array_equal(photo.rgb, page)
    with pytest.raises(PhotoError, match="there is no page 4 in it") as caught:
        open_photo(path, page=3)
    assert caught.value.kind == "refused"


def test_the_preview_in_an_mpo_is_no_page(tmp_path, photo):
    image = Image.fromarray(photo)
    image.save(tmp_path / "x.mpo", save_all=True, append_images=[image.reduce(2)])
    assert open_photo(tmp_path / "x.mpo").pages == 1


@pytest.mark.parametrize("suffix", [".heic", ".avif"])
def test_the_photos_of_telephones(tmp_path, photo, suffix):
    image = Image.fromarray(photo)
    if suffix == ".heic":
        pillow_heif.from_pillow(image).save(tmp_path / "x.heic", quality=95)
    else:
        image.save(tmp_path / "x.avif", quality=95)
    loaded = read(tmp_path / f"x{suffix}")
    assert loaded.shape == photo.shape
    assert np.abs(loaded - photo.astype(float)).mean() < 4


def test_a_heic_photo_without_the_plugin_names_it(tmp_path, photo, monkeypatch):
    pillow_heif.from_pillow(Image.fromarray(photo)).save(tmp_path / "x.heic")
    for name in ("HEIF",):
        monkeypatch.delitem(Image.OPEN, name, raising=False)
        monkeypatch.setattr(Image, "ID", [each for each in Image.ID if each != name])
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert "pip install pillow-heif reads it" in error_of(tmp_path / "x.heic")
    assert kind_of(tmp_path / "x.heic") == "refused"


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_alpha_is_kept_and_turned(tmp_path, photo, suffix, orientation):
    opacity = np.arange(photo.shape[0] * photo.shape[1]).reshape(photo.shape[:2]).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.dstack([photo, opacity])).save(tmp_path / "x.png", exif=exif)
    opened = open_photo(tmp_path / "x.png")
    assert np.array_equal(opened.alpha, UPRIGHT[orientation](opacity))
    write(tmp_path / f"y{suffix}", np.asarray(opened.rgb), opened)
    again = open_photo(tmp_path / f"y{suffix}")
    off = np.abs(np.asarray(again.alpha).astype(int) - np.asarray(opened.alpha))
    assert off.max() <= (16 if suffix == ".avif" else 0)
    assert np.abs(np.asarray(again.rgb).astype(int) - np.asarray(opened.rgb)).mean() < 4


def test_colours_that_nobody_sees_are_kept_in_webp(tmp_path, photo):
    Image.fromarray(np.dstack([photo, np.zeros_like(photo[..., 0])])).save(tmp_path / "x.png")
    write(tmp_path / "y.webp", photo, open_photo(tmp_path / "x.png"))
    assert np.abs(read(tmp_path / "y.webp") - photo.astype(float)).mean() < 4


def test_alpha_is_dropped_where_there_is_no_place_for_it(tmp_path, photo):
    Image.fromarray(np.dstack([photo, photo[..., 0]])).save(tmp_path / "x.png")
    opened = open_photo(tmp_path / "x.png")
    for suffix in (".jpg", ".bmp", ".ppm"):
        write(tmp_path / f"y{suffix}", photo, opened)
        assert open_photo(tmp_path / f"y{suffix}").alpha is None


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "I;16"])
def test_a_colour_that_is_transparent(tmp_path, mode):
    """A PNG may name one colour to be seen through: here the first pixel's."""
    if mode == "I;16":
        image, key = Image.fromarray(np.uint16([[300, 301], [40_000, 300]])), 300
    else:
        image = Image.new(mode, (2, 2), 0)
        key = (0, 0, 0) if mode == "RGB" else 0
        image.putpixel((1, 0), 1)
        image.putpixel((0, 1), 1)
    image.save(tmp_path / "x.png", transparency=key)
    assert np.asarray(open_photo(tmp_path / "x.png").alpha).tolist() == [[0, 255], [255, 0]]


def test_a_cielab_tiff(tmp_path, photo):
    lab = np.rint(rgb_to_lab(photo) * [2.55, 1, 1]).astype(np.int16)
    stored = np.stack([lab[..., 0], lab[..., 1] % 256, lab[..., 2] % 256], axis=-1)
    tifffile.imwrite(tmp_path / "x.tif", stored.astype(np.uint8), photometric="cielab")
    off = np.abs(read(tmp_path / "x.tif") - photo.astype(float))
    assert off.mean() < 2  # its white is D50, that of cic.colour.lab is D65


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "RGBX", "RGBa", "La", "PA", "CMYK", "LAB"])
def test_modes_that_only_programs_make(photo, mode):
    image = Image.fromarray(photo)
    if mode == "La":
        image = image.convert("LA").convert("La")
    elif mode == "RGBa":
        image = image.convert("RGBA").convert("RGBa")
    elif mode == "PA":
        image = image.convert("P").convert("PA")
    else:
        image = image.convert(mode)
    before = image.tobytes()
    rgb = images.to_rgb(image)
    assert (rgb.mode, rgb.size) == ("RGB", image.size)
    assert image.tobytes() == before
    gray = np.asarray(Image.fromarray(photo).convert("L"))
    close = 40 if mode == "PA" else 4
    assert np.abs(np.asarray(rgb.convert("L")).astype(int) - gray).mean() < close


@pytest.mark.parametrize("short", [16, 40, 100, 400])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_may_come_smaller_but_never_below_twice_what_is_asked(tmp_path, short, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for size in ((801, 403), (403, 801), (3000, 7), (900, 900)):
        Image.new("RGB", size, "red").save(tmp_path / "x.jpg", exif=exif)
        full, small = open_rgb(tmp_path / "x.jpg").size, open_rgb(tmp_path / "x.jpg", short).size
        scale = max(s for s in (1, 2, 4, 8) if s == 1 or min(size) // s >= 2 * short)
        assert small == tuple(n // scale for n in full)


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_a_jpeg_that_comes_smaller_is_nearly_the_same_when_shrunk(tmp_path, photos, name):
    image = Image.fromarray(photos[name])
    image = image.resize([n * 2 for n in image.size], Image.Resampling.BICUBIC)
    image.save(tmp_path / "x.jpg", quality=90)
    full, small = (
        np.asarray(shrink(open_rgb(tmp_path / "x.jpg", short), 96)) for short in (None, 96)
    )
    assert np.abs(full.astype(int) - small).mean() < 1.5
    assert np.abs(rgb_to_lab(full)[..., 1:] - rgb_to_lab(small)[..., 1:]).mean() < 0.6


def test_a_source_may_be_what_opens(photo):
    class Member:
        def open(self):
            file = io.BytesIO()
            Image.fromarray(photo).save(file, "PNG")
            return file

        def __str__(self):
            return "shard.tar/x.png"

    assert np.array_equal(open_rgb(Member()), photo)
    Member.open = lambda self: io.BytesIO(b"")
    with pytest.raises(PhotoError, match=r"^'shard.tar/x.png': the file is empty$"):
        open_rgb(Member())


def test_a_disk_that_fails_is_no_damage_of_the_photo():
    class Failing(io.BytesIO):
        def read(self, *_):
            raise OSError(5, "Input/output error")

    class Member:
        open = Failing

    with pytest.raises(PhotoError, match="Input/output error") as caught:
        open_rgb(Member())
    assert caught.value.kind == "refused"


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_photo_is_turned_once(tmp_path, photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(images.to_rgb(open_rgb(tmp_path / "x.png")), UPRIGHT[orientation](photo))


def test_a_photo_error_keeps_its_kind_on_the_way_between_processes():
    error = pickle.loads(pickle.dumps(PhotoError("a message", "truncated")))
    assert (str(error), error.kind) == ("a message", "truncated")


def test_nothing_is_printed_of_a_damaged_file(tmp_path, photo):
    """Pillow logs that a TIFF has too many samples, which Python prints if nobody listens."""
    path = tmp_path / "x.tif"
    Image.fromarray(photo).save(path)
    data = path.read_bytes()
    samples = struct.pack("<HHIHH", 277, 3, 1, 3, 0)
    assert samples in data
    path.write_bytes(data.replace(samples, struct.pack("<HHIHH", 277, 3, 1, 9999, 0)))
    code = (
        "import sys; from cic.photos import images\n"
        "try: images.read(sys.argv[1])\n"
        "except images.PhotoError as error: print(error.kind)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, path],
        cwd=Path(images.__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert (run.stdout, run.stderr) == ("refused\n", "")


@pytest.mark.parametrize("harm", ["strip", "tables"])
def test_nothing_is_printed_by_libtiff(tmp_path, photo, harm):
    """It writes to the screen by itself, and names no file."""
    path = tmp_path / "x.tif"
    Image.fromarray(photo).save(path, compression="jpeg" if harm == "tables" else "tiff_lzw")
    data = bytearray(path.read_bytes())
    with Image.open(path) as image:
        start = image.tag_v2[273][0]
    data[start : start + 60] = b"\xff\xd8\xff\x49" * 15
    path.write_bytes(data)
    code = (
        "import sys; from cic.photos import images\n"
        "try: images.read(sys.argv[1])\n"
        "except images.PhotoError as error: print(error)\n"
        "print('still here', file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, path],
        cwd=Path(images.__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert run.stderr == "still here\n"
    assert run.stdout.count("\n") == 1
    assert repr(str(path)) in run.stdout


FORMATS = {  # extension: the modes that it stores without loss
    ".png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    ".tif": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B", "I", "F", "CMYK"),
    ".webp": ("RGB", "RGBA"),
    ".bmp": ("1", "L", "P", "RGB"),
    ".gif": ("L", "P"),
    ".ppm": ("RGB",),
    ".pgm": ("L", "I;16"),
    ".tga": ("L", "LA", "P", "RGB", "RGBA"),
    ".jp2": ("L", "RGB", "RGBA", "I;16"),
}
ORIENTED = (".png", ".tif", ".webp")
sides = st.integers(1, 40)
sizes = st.one_of(st.tuples(sides, sides), st.sampled_from([(1, 3000), (3000, 1)]))


def made(mode, height, width, random):
    """(Pillow image of a mode, the (H, W, 3) float RGB that it should be read as)."""
    noise = random.integers(0, 256, (height, width, 4), np.uint8)
    gray = noise[..., :1].repeat(3, axis=2).astype(float)
    if mode in ("RGB", "RGBA"):
        return Image.fromarray(noise[..., : len(mode)].copy()), noise[..., :3].astype(float)
    if mode == "CMYK":
        light = 255.0 - noise[..., :3]
        return Image.frombytes("CMYK", (width, height), noise.tobytes()), light * (
            255.0 - noise[..., 3:]
        ) / 255
    if mode in ("L", "LA"):
        channels = noise[..., 0] if mode == "L" else noise[..., :2]
        return Image.fromarray(np.ascontiguousarray(channels)), gray
    if mode == "1":
        return Image.fromarray(noise[..., 0] > 127), np.where(gray > 127, 255.0, 0.0)
    if mode == "P":
        palette = random.integers(0, 256, (256, 3), np.uint8)
        image = Image.fromarray(np.ascontiguousarray(noise[..., 0]))
        image.putpalette(palette.tobytes())
        return image, palette[noise[..., 0]].astype(float)
    deep = random.integers(0, 65536, (height, width)).astype(np.uint16)
    expected = np.rint(deep / 257.0)[..., None].repeat(3, axis=2)
    if mode == "F":
        return Image.fromarray((deep / 65535).astype(np.float32)), expected
    return Image.fromarray(deep.astype({"I": np.int32, "I;16B": ">u2"}.get(mode, "<u2"))), expected


@pytest.mark.slow
@settings(max_examples=400)
@given(
    case=st.sampled_from([(s, mode) for s, modes in FORMATS.items() for mode in modes]),
    size=sizes,
    orientation=st.sampled_from(list(UPRIGHT)),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_mode_format_orientation_and_size(tmp_path_factory, case, size, orientation, seed):
    suffix, mode = case
    image, expected = made(mode, *size, np.random.default_rng(seed))
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    if suffix == ".jp2":
        options = {"irreversible": False, "num_resolutions": 1}
    if suffix in ORIENTED:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif.tobytes()
        expected = UPRIGHT[orientation](expected)
    path = tmp_path_factory.getbasetemp() / f"generated{suffix}"
    image.save(path, **options)
    photo = open_photo(path)
    off = np.abs(np.asarray(photo.rgb) - expected)
    assert off.max() <= (1 if mode == "CMYK" else 0)
    assert np.array_equal(read(path), photo.rgb)
    assert (photo.alpha is not None) == (mode in ("LA", "RGBA"))
    assert (photo.deep is not None) == (mode[0] in "IF")


@pytest.mark.parametrize("suffix", [".bmp", ".jpg", ".png", ".webp", ".tif", ".ppm"])
def test_a_disk_that_fills_up_in_the_middle_of_a_picture_is_noticed(tmp_path, suffix):
    """A limit to the size of files does as a full disk: it takes part of what is written."""
    resource = pytest.importorskip("resource")
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(PhotoError, match=rf"x\{suffix}': cannot be written: File too large"):
            write(tmp_path / f"x{suffix}", noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []
