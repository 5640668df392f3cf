"""Enlarging: against a plain oracle, in strips, in bounded memory; colour ends where things end."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from cic.colorize import edges, enlarge
from cic.colorize.colorizer import add_colour, network_size
from cic.colorize.enlarge import in_strips, resample
from cic.colour.grid import Grid
from cic.colour.lab import lightness, rgb_to_lab
from cic.photos import images
from metric.figures.bleeding import Bleeding

GRIDS = [Grid(4), Grid(4, mean=True)]


def some_cells(shape=(9, 14), seed=0):
    """ab (h, w, 2) and L (h, w) of cells with an edge between two colours."""
    random = np.random.default_rng(seed)
    left = np.arange(shape[1]) < shape[1] // 2
    light = np.where(left, 30, 75) + random.normal(0, 3, shape)
    ab = np.where(left[:, None], (40, -10), (-20, 30)) + random.normal(0, 3, (*shape, 2))
    return ab.astype(np.float32), light.astype(np.float32)


def enlarged(cells, height, width, grid):
    """What `in_strips` gives, (C, height, width)."""
    whole = np.full((cells.shape[2], height, width), np.nan, np.float32)

    def use(rows, values):
        assert values.flags.c_contiguous
        whole[:, rows] = values

    in_strips(cells, height, width, grid, use)
    return whole


def bilinear(cells, height, width, grid):
    """The same in float64, pixel by pixel, from where a cell's value belongs."""
    h, w = cells.shape[:2]
    place = 0.5 if grid.mean else 0.5 / grid.stride
    out = np.empty((cells.shape[2], height, width))
    for y in range(height):
        for x in range(width):
            v = min(max((y + 0.5) * h / height - place, 0), h - 1)
            u = min(max((x + 0.5) * w / width - place, 0), w - 1)
            i, j = int(v), int(u)
            k, m = min(i + 1, h - 1), min(j + 1, w - 1)
            s, t = v - i, u - j
            upper = (1 - t) * cells[i, j] + t * cells[i, m]
            lower = (1 - t) * cells[k, j] + t * cells[k, m]
            out[:, y, x] = (1 - s) * upper + s * lower
    return out


def window(cells, i, j):
    """The cells (9, ...) around one, the outermost repeated."""
    rows, columns = (
        np.clip(np.arange(n - 1, n + 2), 0, len_ - 1)
        for n, len_ in ((i, cells.shape[0]), (j, cells.shape[1]))
    )
    return cells[np.ix_(rows, columns)].reshape(9, *cells.shape[2:])


def guided(ab, light):
    """`edges.fit_lines` in float64, cell by cell."""
    ab, light = ab.astype(float), light.astype(float)
    raw, out = np.empty_like(ab), np.empty((*light.shape, 6))
    for i, j in np.ndindex(light.shape):
        around, colours = window(light, i, j), window(ab, i, j)
        together = ((around - around.mean())[:, None] * (colours - colours.mean(0))).mean(0)
        raw[i, j] = together / (around.var() + edges.EPSILON)
    for i, j in np.ndindex(light.shape):
        slope = window(raw, i, j).mean(0)
        around = window(light, i, j)
        offset = ab[i, j] - slope * light[i, j]
        out[i, j] = *slope, *offset, around.min(), around.max()
    return out


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("size", [(36, 56), (50, 41), (7, 100), (1, 3), (9, 14)])
def test_enlarging_equals_the_oracle(grid, size):
    cells = some_cells()[0]
    np.testing.assert_allclose(
        enlarged(cells, *size, grid), bilinear(cells, *size, grid), atol=1e-4
    )


def test_a_single_cell_is_everywhere():
    assert (enlarged(np.full((1, 1, 2), 7, np.float32), 5, 6, Grid(4)) == 7).all()


def test_lines_equal_the_oracle():
    ab, light = some_cells()
    np.testing.assert_allclose(edges.fit_lines(ab, light), guided(ab, light), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("grid", GRIDS)
def test_a_photo_is_painted_along_the_lines(photos, grid):
    """The ab of the result, where sRGB has them, are those of the oracle; of 16 bits, exactly."""
    gray = np.ascontiguousarray(photos["chelsea"][100:180, 100:212, 1]).astype(np.uint16) * 257
    seen = rgb_to_lab(gray[..., None].repeat(3, axis=2) / 65535)[..., 0]
    light = grid.sample(seen)
    ab = 0.1 * some_cells((20, 28))[0] + np.stack([0.3 * (light - 50), 12 - 0.2 * light], axis=-1)
    slope_a, slope_b, a, b, low, high = bilinear(guided(ab, light), 80, 112, grid)
    held = np.clip(seen, low, high)
    expected = np.stack([slope_a * held + a, slope_b * held + b], axis=-1)
    found = rgb_to_lab(add_colour(gray, ab, grid, light) / 65535)[..., 1:]
    assert np.quantile(np.abs(found - expected).max(-1), 0.9) < 0.02
    plain = rgb_to_lab(add_colour(gray, ab, grid) / 65535)[..., 1:]
    assert np.quantile(np.abs(plain - expected).max(-1), 0.5) > 0.2


@pytest.mark.parametrize("strip", [1, 100 * 7, 100 * 23, 1 << 30])
@pytest.mark.parametrize("deep", [False, True])
def test_strips_of_any_height_give_the_same_photo(photos, monkeypatch, strip, deep):
    photo = np.ascontiguousarray(photos["astronaut"][:90, :100])
    photo = photo[..., 0].astype(np.uint16) * 257 if deep else photo
    ab, light = some_cells()
    whole = add_colour(photo, ab, Grid(4), light)
    monkeypatch.setattr(enlarge, "STRIP", strip)
    np.testing.assert_array_equal(add_colour(photo, ab, Grid(4), light), whole)


def test_memory_does_not_grow_with_the_photo():
    ab, light = some_cells((64, 96))
    peaks = []
    for height in (1000, 16000):
        tracemalloc.start()
        in_strips(edges.fit_lines(ab, light), height, 1500, Grid(4), lambda rows, values: None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 3 * peaks[0]  # more strips may be under way at once


def test_flat_lightness_and_flat_colour_are_enlarged_as_they_are(photos):
    ab, light = some_cells()
    flat = edges.fit_lines(ab, np.full_like(light, 50))
    np.testing.assert_allclose(flat[..., :2], 0, atol=1e-6)
    np.testing.assert_allclose(flat[..., 2:4], ab, atol=1e-5)
    same = edges.fit_lines(np.full_like(ab, 12), light)
    np.testing.assert_allclose(same[..., :2], 0, atol=1e-6)


def test_grain_that_the_cells_do_not_have_stays_uncoloured():
    ab, light = some_cells()
    light = np.full_like(light, 50) + np.arange(14) * 0.5  # a soft slope, which colour follows
    ab = np.stack([4 * light - 200, 0 * light], axis=-1)
    photo = np.full((72, 112, 3), 119, np.uint8)
    grain = np.random.default_rng(0).integers(-60, 60, (72, 112, 1))
    grainy = (photo + grain).astype(np.uint8)
    around = np.abs(lightness(grainy) - 50) > 10
    asked = rgb_to_lab(add_colour(grainy, ab, Grid(4, True), light))[..., 1]
    plain = rgb_to_lab(add_colour(grainy, ab, Grid(4, True)))[..., 1]
    assert np.abs(asked - plain)[around].mean() < 3  # without the limit: 0.2 a unit of L, or 8


@pytest.mark.parametrize(
    ("name", "share"), [("astronaut", 0.96), ("coffee", 0.96), ("rocket", 0.96), ("chelsea", 1.03)]
)
@pytest.mark.parametrize("grid", GRIDS)
def test_true_colours_end_at_edges(photos, grid, name, share):
    """Sampled at 128 pixels as training does and enlarged, they bleed less than bilinear ones.

    A cat's edges are the hairs of its fur, at which no colour ends.
    """
    photo = photos[name]
    small = np.asarray(
        Image.fromarray(photo).resize(
            network_size(*photo.shape[:2], 128)[::-1], Image.Resampling.BICUBIC
        )
    )
    lab = grid.sample(rgb_to_lab(small))
    error = {}
    for guide in (None, lab[..., 0]):
        bleeding = Bleeding()
        bleeding.update(photo, add_colour(photo, lab[..., 1:], grid, guide))
        error[guide is not None] = bleeding.compute()
    assert error[True]["beside_edges"] < share * error[False]["beside_edges"]
    assert error[True]["elsewhere"] < 1.01 * error[False]["elsewhere"]


@pytest.mark.parametrize("grid", GRIDS)
def test_the_same_picture_of_another_size_lies_at_the_same_place(photos, grid):
    """Two samplings of a soft picture, of 128 and 192 pixels, agree once on one grid."""
    picture = images.shrink(Image.fromarray(photos["coffee"]), 8).resize((288, 192))
    found = []
    for side in (192, 128):
        small = np.asarray(picture.resize((side * 3 // 2, side), Image.Resampling.BICUBIC))
        found.append(grid.sample(rgb_to_lab(small)).transpose(2, 0, 1))
    large = found[0]
    np.testing.assert_allclose(resample(large, *large.shape[1:], grid), large, rtol=1e-5)
    error = np.abs(resample(found[1], *large.shape[1:], grid) - large)[:, 2:-2, 2:-2].mean()
    other = Grid(4, not grid.mean)
    assert (
        error
        < 0.6 * np.abs(resample(found[1], *large.shape[1:], other) - large)[:, 2:-2, 2:-2].mean()
    )


def test_means_are_of_the_cells():
    values = np.arange(8 * 12 * 2, dtype=np.float32).reshape(8, 12, 2)
    means = Grid(4, mean=True).sample(values)
    assert means.shape == (2, 3, 2)
    np.testing.assert_allclose(means[1, 2], values[4:, 8:].reshape(-1, 2).mean(0))
    assert np.array_equal(Grid(4).sample(values), values[::4, ::4])
