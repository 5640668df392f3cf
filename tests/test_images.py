"""cic.images on photos as they are found in the wild, and on files that are none."""

import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cic import images
from cic.images import PhotoError, find, open_rgb, read, shrink, write

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


@pytest.fixture
def photo(photos):
    """A real photograph, (60, 91, 3) uint8."""
    return np.ascontiguousarray(photos["chelsea"][::5, ::5])


def error_of(path):
    """The message of reading `path`: one line that names it."""
    with pytest.raises(PhotoError) as caught:
        read(path)
    message = str(caught.value)
    assert repr(os.fspath(path)) in message
    assert "\n" not in message
    return message


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
    assert np.array_equal(rgb, np.repeat((SIXTEEN_BIT // 256)[..., None], 3, axis=2))
    assert (rgb.min(), rgb.max()) == (0, 255)


def test_16_bit_gray_that_lies_on_its_side(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(SIXTEEN_BIT).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(read(tmp_path / "x.png")[..., 0], np.rot90(SIXTEEN_BIT // 256, -1))


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


@pytest.mark.parametrize("suffix", images.EXTENSIONS)
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
def test_any_name_is_found_written_and_read(tmp_path, photo, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(name, photo)
    assert find(".") == find(tmp_path) == [name]
    assert np.array_equal(read(name), photo)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_find_is_nested_sorted_and_ignores_case(tmp_path):
    touch(
        tmp_path, "b.jpg", "a/z.PNG", "a/b/c.WebP", "a.jpeg", "B.TIF", "a/readme.txt", "c.jpg.bak"
    )
    assert find(tmp_path) == ["B.TIF", "a.jpeg", "a/b/c.WebP", "a/z.PNG", "b.jpg"]


def test_find_the_photo_folder(photo_folder):
    found = find(photo_folder)
    assert len(found) == 6
    assert "n02/coffee.JPG" in found
    assert all(read(photo_folder / name).ndim == 3 for name in found)


def test_find_skips_what_is_hidden(tmp_path):
    touch(tmp_path, ".hidden.jpg", ".git/x.jpg", "a/.cache/deep/x.jpg", "a/._x.jpg", "a/x.jpg")
    assert find(tmp_path) == ["a/x.jpg"]


def test_find_does_not_take_folders_for_photos(tmp_path):
    touch(tmp_path, "album.jpg/x.png")
    assert find(tmp_path) == ["album.jpg/x.png"]


def test_find_of_an_empty_folder_is_empty(tmp_path):
    assert find(tmp_path) == []


def test_find_follows_links_and_ends(tmp_path):
    folder, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    touch(folder, "a/x.jpg")
    touch(elsewhere, "y.jpg")
    (folder / "a" / "up").symlink_to(folder)
    (folder / "a" / "self").symlink_to(folder / "a")
    (folder / "other").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)
    assert find(folder) == ["a/x.jpg", "other/y.jpg"]


@pytest.mark.parametrize("name", ["none", "file.jpg"])
def test_find_names_a_folder_that_is_not_there(tmp_path, name):
    touch(tmp_path, "file.jpg")
    with pytest.raises(PhotoError, match=f"{name}: there is no such folder"):
        find(tmp_path / name)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm", ".PNG"])
def test_lossless_formats_give_back_every_pixel(tmp_path, photo, suffix):
    write(tmp_path / f"x{suffix}", photo)
    assert np.array_equal(read(tmp_path / f"x{suffix}"), photo)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".JPEG"])
def test_lossy_formats_are_written_well(tmp_path, photo, suffix):
    write(tmp_path / f"x{suffix}", photo)
    assert np.abs(read(tmp_path / f"x{suffix}") - photo.astype(float)).mean() < 4


@pytest.mark.parametrize("name", ["x.xyz", "x", ".png", "x.", "x.psd", "x.h5"])
def test_an_unknown_format_is_an_error_and_leaves_no_litter(tmp_path, photo, name):
    with pytest.raises(PhotoError) as caught:
        write(tmp_path / name, photo)
    assert f"{str(tmp_path / name)!r}: cannot be written: " in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_an_error_while_writing_leaves_the_old_photo(tmp_path, photo, monkeypatch):
    def full(image, path, **options):
        Path(path).write_bytes(b"half")
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
