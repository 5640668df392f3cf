"""cic.colorize.painting: a picture made a strip at a time is the one made at once."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from cic.colorize import enlarge
from cic.colorize.colorizer import add_colour
from cic.colorize.painting import Painting
from cic.colour.grid import EVERY_FOURTH
from cic.photos import images
from cic.photos.strips import strips


def ab_of(random):
    return random.uniform(-40, 40, (16, 20, 2)).astype(np.float32)


def opened(array, form="PNG"):
    class Member:
        def open(self):
            file = io.BytesIO()
            Image.fromarray(array).save(file, form)
            return file

    return images.open_photo(Member())


@pytest.fixture(params=["rgb", "gray", "alpha", "16 bits"])
def array(request, photos):
    photo = np.ascontiguousarray(photos["coffee"][::2, ::2])
    if request.param == "gray":
        return np.ascontiguousarray(photo[..., 1])
    if request.param == "alpha":
        return np.dstack([photo, photo[..., 0]])
    if request.param == "16 bits":
        return photo[..., 1].astype(np.uint16) * 256 + photo[..., 0]
    return photo


@pytest.mark.parametrize("strip", [1, 999, 1 << 18])
def test_it_is_the_picture_made_at_once(array, monkeypatch, strip):
    monkeypatch.setattr(enlarge, "STRIP", strip)
    ab = ab_of(np.random.default_rng(0))
    photo = opened(array)
    expected = add_colour(np.asarray(photo.rgb) if photo.deep is None else photo.deep, ab)
    picture = Painting(photo, ab)
    assert picture.shape == expected.shape
    assert picture.dtype == expected.dtype
    assert np.array_equal(np.concatenate(list(picture.strips())), expected)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".ppm"])
def test_files_of_it_are_those_of_the_array(array, tmp_path, suffix):
    ab = ab_of(np.random.default_rng(0))
    photo = opened(array)
    made = add_colour(np.asarray(photo.rgb) if photo.deep is None else photo.deep, ab)
    images.write(tmp_path / f"x{suffix}", made, photo)
    images.write(tmp_path / f"y{suffix}", Painting(opened(array), ab), opened(array))
    if suffix == ".tif":
        one, two = (tifffile.imread(tmp_path / name) for name in ("x.tif", "y.tif"))
    else:
        one, two = (np.asarray(Image.open(tmp_path / f"{n}{suffix}")) for n in "xy")
    assert one.shape == two.shape
    assert np.array_equal(one, two)


def test_a_photo_of_colours_is_painted_over_and_not_copied(photo):
    source = opened(photo)
    core = source.base
    assert Painting(source, np.zeros((2, 2, 2), np.float32)).image() is core


def test_strips_of_an_array_are_all_of_it(photos, monkeypatch):
    monkeypatch.setattr("cic.photos.strips._BAND", 100_000)
    photo = photos["rocket"]
    parts = list(strips(photo))
    assert len(parts) > 1
    assert np.array_equal(np.concatenate(parts), photo)


def test_few_strips_are_ahead_of_who_takes_them(monkeypatch):
    monkeypatch.setattr(enlarge, "STRIP", 100)
    monkeypatch.setattr(enlarge.threads, "for_computation", lambda: 2)
    made = []
    strips = enlarge.each_strip(
        *(np.zeros((2, 2, 1), np.float32), 1000, 100, EVERY_FOURTH),
        lambda rows, values: made.append(rows),
    )
    next(strips)
    next(strips)
    assert len(made) <= 6  # two taken, and two for each of two processors
    assert sum(1 for _ in strips) == 998
    assert sorted(made, key=lambda rows: rows.start)[-1] == slice(999, 1000)
