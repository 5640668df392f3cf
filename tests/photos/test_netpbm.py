"""Raw photos: the quick way gives what Pillow gives, and leaves what is odd to it."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from cic.photos import images, netpbm, sources
from cic.system.limits import limit_pixels, pixel_limit


@pytest.fixture
def netpbm_file(photos, tmp_path):
    """Write a photograph as a .pnm of a mode; its path."""

    def write(mode="RGB", name="x.pnm"):
        image = Image.fromarray(photos["chelsea"]).convert(mode)
        image.save(tmp_path / name, "PPM")
        return tmp_path / name

    return write


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_quick_way_gives_what_pillow_gives(netpbm_file, tmp_path, mode):
    path = netpbm_file(mode)
    shard = tmp_path / "shard.tar"
    with tarfile.open(shard, "w") as tar:
        tar.add(path, "n01/x.pnm")
    expected = np.asarray(Image.open(path).convert("RGB"))
    for photo in (path, str(path), *sources.photos([shard])):
        image = netpbm.quickly(photo)
        assert image.mode == "RGB"
        assert np.array_equal(image, expected)
        assert np.array_equal(images.read(photo), expected)


def test_other_photos_are_not_looked_into(netpbm_file):
    assert netpbm.quickly(netpbm_file(name="x.ppm")) is None


ODD = {
    "cut off": lambda data: data[:-1],
    "more than a picture": lambda data: data + b"P6",
    "of 16 bits": lambda data: data.replace(b"255", b"65535", 1),
    "with a comment": lambda data: data.replace(b"P6\n", b"P6\n# by hand\n", 1),
    "in letters": lambda data: b"P3\n2 1\n255\n1 2 3 4 5 6\n",
    "empty": lambda data: b"",
    "without pixels": lambda data: b"P6\n0 9\n255\n",
    "of a size that is made up": lambda data: b"P6\n999999 999999\n255\n" + data,
    "another kind": lambda data: b"P4\n2 1\n\x00",
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_odd_is_left_to_pillow(netpbm_file, kind):
    path = netpbm_file()
    path.write_bytes(ODD[kind](path.read_bytes()))
    assert netpbm.quickly(path) is None


@pytest.mark.parametrize("kind", ["cut off", "empty", "of a size that is made up"])
def test_what_is_damaged_is_named(netpbm_file, kind):
    path = netpbm_file()
    path.write_bytes(ODD[kind](path.read_bytes()))
    with pytest.raises(images.PhotoError, match=r"x\.pnm"):
        images.read(path)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(images.PhotoError, match=r"x\.pnm': No such file"):
        images.read(tmp_path / "x.pnm")


def test_the_limit_of_pixels_holds(netpbm_file):
    path, before = netpbm_file(), pixel_limit()
    limit_pixels(1000)
    try:
        assert netpbm.quickly(path) is None
        with pytest.raises(images.PhotoError, match="pixels"):
            images.read(path)
    finally:
        limit_pixels(before)


def test_a_large_one_is_left_to_pillow(netpbm_file, monkeypatch):
    path = netpbm_file()
    monkeypatch.setattr(netpbm, "MOST", path.stat().st_size - 1)
    assert netpbm.quickly(path) is None
    assert images.read(path).shape == np.asarray(Image.open(io.BytesIO(path.read_bytes()))).shape
