"""Photo -> photo: sizes, lightness, files, and the same picture from both backends."""

import os
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

import backends
from cic import networks
from cic.colorize import colorizer, enlarge
from cic.colorize.batch import Pictures
from cic.colorize.colorizer import (
    MAP,
    SHEET,
    Colorizer,
    add_colour,
    network_size,
)
from cic.colorize.enlarge import in_strips, resample
from cic.colorize.jobs import find, list_jobs
from cic.colorize.settings import DEFAULTS
from cic.colorize.work import colorize_files
from cic.colour.distributions import decode
from cic.colour.grid import Grid
from cic.colour.lab import lightness, rgb_to_lab
from cic.colour.prior import photo_ab
from cic.photos import images
from cic.weights import reading
from helpers import ROOT, started

SMALL = networks.get("cic", width=0.125)


@pytest.fixture
def paint():
    """A colorizer whose network predicts one bin for a dark input, another for a light one."""

    def predict(array):
        logits = np.zeros((1, 313, array.shape[2] // 4, array.shape[3] // 4), np.float32)
        dark = array[0, 0, ::4, ::4] < 0
        logits[0, 20][dark] = 50
        logits[0, 280][~dark] = 50
        return logits

    return Colorizer(SMALL, predict, DEFAULTS.but(size=64))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((3000, 4000), (256, 340)),
        ((4000, 3000), (340, 256)),
        ((256, 256), (256, 256)),
        ((1, 1), (256, 256)),
        ((100, 400), (256, 1024)),
    ],
)
def test_the_network_sees_the_short_side_at_its_size(shape, expected):
    assert network_size(*shape) == expected


@pytest.mark.parametrize("shape", [(1, 100_000), (100_000, 3), (2, 90)])
def test_a_very_long_photo_costs_no_more_than_a_long_one(shape):
    height, width = network_size(*shape)
    assert height * width <= 2 * 4 * 256**2
    assert height % 4 == width % 4 == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 5), (65, 31), (200, 133)])
def test_every_size_comes_back_as_it_went_in(paint, photos, shape):
    photo = photos["coffee"][: shape[0], : shape[1]]
    out = paint(photo)
    assert out.shape == photo.shape
    assert out.dtype == np.uint8


def test_gray_arrays_rgb_arrays_and_pillow_images_give_the_same_photo(paint, photos):
    gray = photos["astronaut"][..., 0]
    rgb = np.repeat(gray[..., None], 3, axis=2)
    expected = paint(rgb)
    np.testing.assert_array_equal(paint(gray), expected)
    np.testing.assert_array_equal(paint(Image.fromarray(gray)), expected)


def test_the_photo_is_not_written_to(paint, photos):
    photo = photos["chelsea"].copy()
    paint(photo)
    np.testing.assert_array_equal(photo, photos["chelsea"])


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4)),
        np.zeros(5, np.uint8),
        np.zeros((0, 4, 3), "u1"),
    ],
)
def test_what_is_no_photo_is_refused(paint, photo):
    with pytest.raises(ValueError, match="uint8"):
        paint(photo)


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_the_photos_own_lightness_is_kept_to_within_rounding(paint, photos, name):
    out = paint(photos[name])
    # Half an 8-bit step in each channel moves the luminance by half a step of gray; in the darkest
    # tenth of the scale, where a step is largest in L, the toe bounds it.
    error = np.abs(lightness(out) - lightness(photos[name]))
    assert np.abs(rgb_to_lab(out)[..., 1:]).mean() > 20  # it did get coloured
    assert error.max() < 0.35
    assert error.mean() < 0.1


def test_strips_meet_without_a_seam(photos, monkeypatch):
    rgb = photos["astronaut"]
    ab = np.random.default_rng(0).uniform(-40, 40, (16, 16, 2)).astype(np.float32)
    whole = add_colour(rgb, ab)
    monkeypatch.setattr(enlarge, "STRIP", 512 * 37)
    np.testing.assert_array_equal(add_colour(rgb, ab), whole)


def test_colours_lie_where_training_took_them(photos):
    # The ab of every 4th pixel of a ramp, enlarged: each of those pixels has its own ab again.
    photo = np.full((64, 96, 3), 128, np.uint8)
    ramp = np.linspace(-10, 50, 24, dtype=np.float32)
    ab = np.stack(np.broadcast_arrays(ramp[None, :], 0.5 * ramp[:16, None]), axis=-1)
    found = rgb_to_lab(add_colour(photo, ab, Grid(4)))[::4, ::4, 1:]
    np.testing.assert_allclose(found, ab, atol=0.9)  # an 8-bit step; half a cell would be 1.3


def test_true_colours_enlarged_are_nearest_at_that_place(photos):
    photo = images.shrink(Image.fromarray(photos["coffee"]), 256)
    photo = np.asarray(photo.crop((0, 0, 320, 256)))
    true = rgb_to_lab(photo)[..., 1:]
    error = {
        stride: np.square(
            rgb_to_lab(add_colour(photo, true[::4, ::4], Grid(stride)))[..., 1:] - true
        ).mean()
        for stride in (1, 4)  # 1 is no shift
    }
    assert error[4] < 0.85 * error[1]


def test_ab_is_decoded_at_the_weights_own_temperature(photos):
    logits = np.random.default_rng(0).standard_normal((1, 313, 16, 16)).astype(np.float32)
    for temperature in (0.2, 1.0):
        settings = DEFAULTS.but(size=64, temperature=temperature)
        colorizer = Colorizer(SMALL, lambda x: logits, settings)
        expected = decode(logits, temperature)[0].transpose(1, 2, 0)
        image = Image.fromarray(photos["coffee"])
        np.testing.assert_allclose(colorizer.ab(image), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"size": 128},
        {"size": 128, "edges": "bilinear", "saturation": 0.7},
        {"sizes": (96, 128), "temperature": 0.8, "statistic": "median", "saturation": 1.2},
    ],
)
@pytest.mark.both
def test_both_backends_give_the_same_photo(photos, changes):
    photo = photos["chelsea"][:217, :333]  # 33 and 50 cells: mirrored for the network
    one, two = (
        backends.colorizer(backend=name, **changes)(photo).astype(int)
        for name in ("torch", "paddle")
    )
    assert np.abs(one - two).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (3, 300), (20, 31), (200, 133), (256, 250)])
@pytest.mark.parametrize(
    ("network", "multiple"),
    [(SMALL, 8), (networks.get("cic", input_scale=100.0), 8), (networks.get("fpn"), 32)],
    ids=str,
)
def test_the_network_sees_the_photo_continued_in_the_mirror(
    paint, photos, shape, network, multiple
):
    paint.network = network
    image = Image.fromarray(np.ascontiguousarray(photos["coffee"][: shape[0], : shape[1]]))
    small = network.prepare(lightness(paint.shrunk(image)))
    (seen,) = paint.network_input(image)[0]
    height, width = small.shape
    assert (height, width) == network_size(*shape, 64)
    assert seen.shape == tuple(-(-n // multiple) * multiple for n in small.shape)
    np.testing.assert_allclose(seen[:height, :width], small, atol=1e-4 / network.scale)
    for n, y in enumerate(range(height, min(seen.shape[0], 2 * height - 1)), start=2):
        np.testing.assert_array_equal(seen[y, :width], seen[height - n, :width])
    for n, x in enumerate(range(width, min(seen.shape[1], 2 * width - 1)), start=2):
        np.testing.assert_array_equal(seen[:height, x], seen[:height, width - n])
    assert paint.output(image).shape == (313, height // 4, width // 4)
    assert paint.true_ab(image).shape == paint.ab(image).shape
    assert paint.guide(paint.light(image)).shape == paint.ab(image).shape[:2]


def spread(colorizer, photo):
    """ab of every pixel of a photo, (H, W, 2)."""
    values = np.empty((*photo.shape[:2], 2), np.float32)

    def use(rows, strip):
        values[rows] = np.moveaxis(strip, 0, -1)

    ab = colorizer.ab(Image.fromarray(np.ascontiguousarray(photo)))
    in_strips(ab, *photo.shape[:2], colorizer.grid, use)
    return values


def change(one, other):
    """Mean change from ab (H, W, 2) to another, in all and near the border."""
    error = np.hypot(*np.moveaxis(one - other, -1, 0))
    return error.mean(), np.concatenate([error[-16:].ravel(), error[:, -16:].ravel()]).mean()


@pytest.fixture(scope="module")
def bundled():
    return backends.colorizer(backend="onnx")


# Of the last two the network sees a cell less, and the photo stretched by half of one. Seen at 128
# alone, the bundled weights give the rocket other colours then, by twice the network's own change.
CROPPED = [("coffee", 400), ("chelsea", 263), ("chelsea", 189), ("rocket", 390)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "height", "size"),
    [*((*one, None) for one in CROPPED), *((*one, 128) for one in CROPPED[:-1])],
)
def test_a_photo_cropped_by_a_pixel_keeps_its_colours(bundled, photos, name, height, size):
    """They change about as by the network itself when what it sees moves by two pixels."""
    bundled, photo = bundled.but(size=size), photos[name][:height]
    small = bundled.shrunk(Image.fromarray(np.ascontiguousarray(photo)))
    ab, moved = (
        bundled.ab(Image.fromarray(np.ascontiguousarray(seen)))
        for seen in (small, np.pad(small, ((2, 0), (2, 0), (0, 0)), "edge")[:-2, :-2])
    )
    own = np.hypot(*np.moveaxis(ab - moved, -1, 0)).mean()
    before = spread(bundled, photo)
    for part in (np.s_[:, :-1], np.s_[:-1], np.s_[:, 1:], np.s_[1:]):
        whole, border = change(before[part], spread(bundled, photo[part]))
        assert whole < own, part
        assert border < 1.25 * own, part


@pytest.mark.both
def test_of_several_sizes_what_the_network_says_is_averaged(photos):
    colorizer = backends.colorizer(backend="torch")
    image = Image.fromarray(photos["coffee"])
    found = {}
    for sizes in ((96,), (128,), (128, 96)):
        colorizer.settings = colorizer.settings.but(sizes=sizes)
        found[sizes] = colorizer.output(image)
    large = resample(found[96,], *found[128,].shape[1:], colorizer.grid)
    np.testing.assert_allclose(found[128, 96], (large + found[128,]) / 2, atol=1e-4)
    colorizer.settings = colorizer.settings.but(sizes=(64, 64 * 3))
    assert colorizer.true_ab(image).shape == colorizer.ab(image).shape == (48, 72, 2)


def test_targets_that_are_means_lie_in_the_middle_of_cells(photos):
    """True colours sampled as means and enlarged are nearest if that is known."""
    photo = np.ascontiguousarray(photos["coffee"][:256, :320])
    true = rgb_to_lab(photo)[..., 1:]
    error = {}
    for mean in (False, True):
        settings = DEFAULTS.but(size=256, edges="bilinear", target_mean=True)
        colorizer = Colorizer(SMALL, None, settings)
        ab = colorizer.true_ab(Image.fromarray(photo))
        error[mean] = np.square(
            rgb_to_lab(add_colour(photo, ab, Grid(4, mean)))[..., 1:] - true
        ).mean()
        np.testing.assert_allclose(ab[3, 7], true[12:16, 28:32].reshape(16, 2).mean(0), atol=1e-3)
        assert colorizer.grid == Grid(4, True)
    assert error[True] < 0.85 * error[False]


def test_colours_are_enlarged_along_edges_unless_asked_otherwise(paint, photos):
    image = Image.fromarray(photos["coffee"])
    guided = paint(image)
    np.testing.assert_array_equal(
        guided, add_colour(photos["coffee"], paint.ab(image), paint.grid, paint.light(image))
    )
    paint.settings = paint.settings.but(edges="bilinear")
    plain = paint(image)
    np.testing.assert_array_equal(plain, add_colour(photos["coffee"], paint.ab(image), paint.grid))
    assert np.abs(guided.astype(int) - plain).max() > 10


@pytest.mark.parametrize("edges", ["guided", "bilinear"])
@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("kind", ["colours", "gray", "16 bits"])
def test_a_painting_is_what_the_colorizer_gives(
    paint, photos, tmp_path, monkeypatch, edges, mean, kind
):
    """A file's photo, painted strip by strip: along its edges, and its cells where they belong."""
    monkeypatch.setattr(enlarge, "STRIP", 1000)
    paint.settings = paint.settings.but(edges=edges, target_mean=mean)
    light = lightness(photos["coffee"][:120, :170]) / 100
    array = {
        "colours": photos["coffee"][:120, :170],
        "gray": (light * 255).astype(np.uint8),
        "16 bits": (light * 65535).astype(np.uint16),
    }[kind]
    Image.fromarray(array).save(tmp_path / "a.png")
    whole = paint(images.open_photo(tmp_path / "a.png"))
    painting = paint.painting(images.open_photo(tmp_path / "a.png"))
    assert (painting.shape, painting.dtype) == (whole.shape, whole.dtype)
    np.testing.assert_array_equal(np.concatenate(list(painting.strips())), whole)


def test_bundled_weights_colour_real_photos(runner, photos):
    colorizer = backends.colorizer(backend=runner.NAME)
    for name in ("chelsea", "coffee"):
        gray = lightness(photos[name])
        rgb = np.repeat((gray * 2.55).astype(np.uint8)[..., None], 3, axis=2)
        ab = rgb_to_lab(colorizer(rgb))[..., 1:]
        assert np.hypot(*np.moveaxis(ab, -1, 0)).mean() > 4  # not gray
        assert ab.reshape(-1, 2).std(0).max() > 2  # not one colour


def test_a_batch_goes_on_past_a_bad_photo(paint, photos, tmp_path, capsys):
    good = tmp_path / "good one's.png"
    images.write(good, photos["coffee"][:40, :60])
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8 not a photo")
    jobs = [(str(tmp_path / n), str(tmp_path / "out" / n)) for n in ("bad.jpg", good.name)]
    assert colorize_files(paint, jobs) == (jobs[1:], 1)
    captured = capsys.readouterr()
    assert "bad.jpg" in captured.out + captured.err
    assert os.listdir(tmp_path / "out") == [good.name]


def test_no_photo_is_overwritten_by_accident(paint, photos, tmp_path):
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    for path in (first, second):
        images.write(path, photos["coffee"][:40, :60])
    before = first.read_bytes()
    assert colorize_files(paint, [(str(first), str(first))]) == ([], 1)
    target = str(tmp_path / "out.png")
    jobs = [(str(first), target), (str(second), target)]
    assert colorize_files(paint, jobs) == (jobs[:1], 1)
    with pytest.raises(ValueError, match="output folder is the input"):
        list_jobs([str(tmp_path)], str(tmp_path))
    assert first.read_bytes() == before


def test_an_output_that_cannot_be_written_is_named(paint, photos, tmp_path, capsys):
    source = tmp_path / "a.png"
    images.write(source, photos["coffee"][:40, :60])
    (tmp_path / "file").write_text("in the way")
    assert colorize_files(paint, [(str(source), str(tmp_path / "file" / "a.png"))]) == ([], 1)
    captured = capsys.readouterr()
    assert "file/a.png" in captured.out + captured.err


def test_the_output_folder_inside_the_input_is_no_source(photos, tmp_path):
    for name in ("a.png", "out/a.png", "output/b.gif"):
        images.write(tmp_path / name, photos["coffee"][:8, :8])
    jobs, problems = list_jobs([str(tmp_path)], str(tmp_path / "out"))
    assert not problems
    targets = {os.path.relpath(target, tmp_path) for _, target in jobs}
    assert targets == {"out/a.png", "out/output/b.png"}


def listed(tmp_path, *paths, output):
    """Jobs of paths in `tmp_path`, relative to it."""
    jobs, problems = list_jobs([str(tmp_path / p) for p in paths], str(tmp_path / output))
    assert not problems
    return [tuple(os.path.relpath(path, tmp_path) for path in job) for job in jobs]


def test_results_are_never_taken_for_photos_and_it_is_said(photos, tmp_path, capsys):
    """The output in the input, the input in the output, and both by way of links."""
    names = ("a.png", "in/b.png", "out/a.png", "out/in/b.png", "out/own/c.png", "out/own/d/e.png")
    for name in names:
        images.write(tmp_path / name, photos["coffee"][:8, :8])
    (tmp_path / "way").symlink_to("out")
    said = "4 photos in this output folder are results, and left out\n"
    for output in ("out", "way", "in/../out"):
        jobs = listed(tmp_path, "", output=output)
        assert [source for source, _ in jobs] == ["a.png", "in/b.png"]
        assert capsys.readouterr().out.endswith(said)
        assert listed(tmp_path, "out/own", output=output) == [
            ("out/own/c.png", os.path.relpath(tmp_path / output / "c.png", tmp_path)),
            ("out/own/d/e.png", os.path.relpath(tmp_path / output / "d/e.png", tmp_path)),
        ]
        assert capsys.readouterr().out == ""
    assert listed(tmp_path, "out/own/c.png", output="out") == [("out/own/c.png", "out/c.png")]
    images.write(tmp_path / "out/own/own/f.png", photos["coffee"][:8, :8])
    with pytest.raises(ValueError, match=r"out/own/f.png' would lie among its photos: .* another"):
        listed(tmp_path, "out/own", output="out")
    (tmp_path / "album").mkdir()
    (tmp_path / "album/results").symlink_to("../out")
    with pytest.raises(
        ValueError, match=r"all 5 photos in there lie in the output folder .* another"
    ):
        listed(tmp_path, "album", output="out")


@pytest.mark.slow
def test_one_colorizer_serves_several_threads(runner, photos):
    network, state, _ = reading.load_weights()
    predict = runner.predictor(network, state, "cpu")
    side = network.multiple
    lights = [np.full((1, 1, side * n, side), 10 * n, np.float32) for n in range(1, 9)]
    arrays = [network.prepare(light) for light in lights]
    expected = [predict(array) for array in arrays]
    with ThreadPoolExecutor(4) as pool:
        for array, found in zip(expected * 4, pool.map(predict, arrays * 4)):
            np.testing.assert_allclose(found, array, atol=1e-3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright_once(paint, photos, tmp_path, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    source, target = str(tmp_path / "a.jpg"), str(tmp_path / "b.png")
    Image.fromarray(photos["coffee"][:96, :160]).save(source, exif=exif, quality=95)
    assert colorize_files(paint, [(source, target)]) == ([(source, target)], 0)
    upright = lightness(images.read(source))
    assert upright.shape == ((96, 160) if orientation < 5 else (160, 96))
    assert np.abs(lightness(images.read(target)) - upright).max() < 0.35


def scan(photos, pages, path):
    """A file of 16-bit gray pages, each a brightness of its own."""
    light = lightness(photos["coffee"][:60, :80]) / 100
    arrays = [(light * 65535 / (1 + page / 20)).astype(np.uint16) for page in range(pages)]
    first, *others = map(Image.fromarray, arrays)
    first.save(path, save_all=True, append_images=others, dpi=(600, 300))
    return arrays


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_16_bit_gray_keeps_its_precision(paint, photos, tmp_path, suffix):
    [gray] = scan(photos, 1, tmp_path / "scan.tif")
    photo = images.open_photo(tmp_path / "scan.tif")
    out = paint(photo)
    assert out.dtype == np.uint16
    light = rgb_to_lab(out / 65535)[..., 0]
    expected = rgb_to_lab(gray[..., None].repeat(3, axis=2) / 65535)[..., 0]
    assert np.abs(light - expected).max() < 0.005  # 8 bits would give 0.2
    assert np.abs(rgb_to_lab(out / 65535)[..., 1:]).mean() > 5  # it did get coloured
    target = tmp_path / f"out{suffix}"
    assert colorize_files(paint, [(str(tmp_path / "scan.tif"), str(target))])[1] == 0
    assert images.open_photo(target).dpi == pytest.approx((600, 300), abs=0.1)
    rounded = images.read(target).astype(int)
    assert np.abs(rounded - out / 257.0).max() <= 1  # Pillow reads the upper 8 bits


def test_the_first_page_with_a_warning_or_every_page(paint, photos, tmp_path, capsys):
    scan(photos, 11, tmp_path / "scan.tif")
    source, target = str(tmp_path / "scan.tif"), str(tmp_path / "out" / "scan.tif")
    assert colorize_files(paint, [(source, target)]) == ([(source, target)], 0)
    captured = capsys.readouterr()
    assert (captured.out + captured.err).count("first of 11 pages") == 1
    done, failed = colorize_files(paint, [(source, target)], Pictures(all_pages=True))
    assert failed == 0
    assert done == [(source, target)]
    with Image.open(target) as result:
        assert result.n_frames == 11
    pages = tifffile.imread(target)
    assert (pages.shape, pages.dtype) == ((11, 60, 80, 3), np.uint16)
    means = [lightness((page >> 8).astype(np.uint8)).mean() for page in pages]
    assert (np.diff(means) < 0).all()
    captured = capsys.readouterr()
    assert "page" not in captured.out + captured.err


@pytest.mark.parametrize("all_pages", [False, True])
@pytest.mark.parametrize(
    ("suffix", "pages"), [(".gif", 6), (".png", 6), (".tif", 6), (".jpg", 1), (".bmp", 1)]
)
def test_nothing_is_decoded_twice(paint, photos, tmp_path, monkeypatch, suffix, pages, all_pages):
    frames = [Image.fromarray(photos["coffee"][n : n + 40, :60]) for n in range(pages)]
    options = {"save_all": True, "append_images": frames[1:]} if pages > 1 else {}
    source, target = str(tmp_path / f"x{suffix}"), str(tmp_path / "out" / "x.png")
    frames[0].save(source, **options)
    decoders, getdecoder = [], Image._getdecoder
    monkeypatch.setattr(
        Image, "_getdecoder", lambda *args: decoders.append(args) or getdecoder(*args)
    )
    done, failed = colorize_files(paint, [(source, target)], Pictures(all_pages))
    assert (len(done), failed) == (pages if all_pages else 1, 0)
    of_files = [args for args in decoders if len(args) == 4]  # not of arrays
    assert len(of_files) == len(done)


@pytest.mark.parametrize("lost", ["end.png", "closed.jpg"])
def test_a_half_lost_photo_is_coloured_and_it_is_said(paint, photos, tmp_path, capsys, lost):
    source = tmp_path / lost
    Image.fromarray(photos["coffee"][:200, :300]).save(source)
    data = source.read_bytes()
    source.write_bytes(data[:-12] if lost == "end.png" else data[: len(data) // 2] + b"\xff\xd9")
    job = str(source), str(tmp_path / "out" / lost)
    assert colorize_files(paint, [job]) == ([job], 0)
    said = capsys.readouterr().out
    assert said.startswith(f"{job[0]!r}: part of the picture")
    assert said.count("\n") == 1
    assert images.open_photo(job[1]).notes == []


def test_alpha_and_metadata_come_along(paint, photos, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = "A. Photographer"
    alpha = np.tile(np.arange(120, dtype=np.uint8), (80, 1))
    rgba = Image.fromarray(np.dstack([photos["coffee"][:80, :120], alpha]))
    source, target = str(tmp_path / "a.png"), str(tmp_path / "b.png")
    rgba.save(source, exif=exif, dpi=(300, 150))
    assert colorize_files(paint, [(source, target)])[1] == 0
    with Image.open(target) as result:
        assert result.mode == "RGBA"
        assert result.size == (80, 120)
        assert np.array_equal(np.asarray(result)[..., 3], np.rot90(alpha, -1))
        assert result.getexif()[ExifTags.Base.Artist] == "A. Photographer"
        assert result.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert result.info["dpi"] == pytest.approx((150, 300), abs=0.1)


def test_a_folder_that_cannot_be_read_does_not_stop_the_rest(photos, tmp_path, monkeypatch):
    for name in ("a/x.png", "b/y.png"):
        images.write(tmp_path / name, photos["coffee"][:8, :8])
    scandir = os.scandir

    def locked(path):
        if str(path).rstrip(os.sep).endswith("a"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    jobs, problems = list_jobs([str(tmp_path)], str(tmp_path / "out"))
    assert [os.path.basename(source) for source, _ in jobs] == ["y.png"]
    assert "Permission denied" in str(problems[0])


class Unsure(Colorizer):
    """A colorizer whose network is unsure of every colour; `runs` counts its runs."""

    def __init__(self):
        super().__init__(SMALL, self.guess, DEFAULTS.but(size=64))
        self.runs = 0
        self.bins = np.random.default_rng(0).standard_normal((313, 1, 1)).astype(np.float32)

    def guess(self, array):
        self.runs += 1
        return (self.bins * (1.5 + array[0, :, ::4, ::4] / 100))[None]


def test_all_pictures_come_from_one_run_of_the_network(photos):
    colorizer = Unsure()
    expected = colorizer(photos["coffee"])
    pictures = dict(colorizer.pictures(photos["coffee"], 3, with_map=True))
    assert colorizer.runs == 2
    assert list(pictures) == [1, 2, 3, SHEET, MAP]
    np.testing.assert_array_equal(pictures[1], expected)
    light, ab = lightness(expected), rgb_to_lab(expected)[..., 1:]
    for other in (2, 3):
        assert np.abs(lightness(pictures[other]) - light).max() < 0.7
        assert np.hypot(*(rgb_to_lab(pictures[other])[..., 1:] - ab).T).mean() > 5
    height, width = expected.shape[:2]
    assert pictures[MAP].shape == (height + 24, width, 3)
    assert pictures[SHEET].shape[1] > 3 * 480


def test_one_colouring_is_all_that_comes_unasked(photos):
    assert [kind for kind, _ in Unsure().pictures(photos["coffee"])] == [1]


def test_the_pictures_of_a_photo_are_files_beside_it(photos, tmp_path):
    scan(photos, 2, tmp_path / "scan.tif")
    alpha = np.tile(np.arange(80, dtype=np.uint8), (60, 1))
    rgba = Image.fromarray(np.dstack([photos["coffee"][:60, :80], alpha]))
    rgba.save(tmp_path / "a.png", dpi=(300, 150))
    jobs, _ = list_jobs([str(tmp_path)], str(tmp_path / "out"))
    done, failed = colorize_files(Unsure(), jobs, Pictures(True, 2, True))
    assert failed == 0
    stems = ("a", "scan-1", "scan-2")
    assert [os.path.basename(target) for _, target in done] == ["a.png", "scan-1.tif", "scan-2.tif"]
    kinds = ("{}{}", "{}-alternative-2{}", "{}-alternatives.jpg", "{}-uncertainty.png")
    expected = {k.format(s, ".png" if s == "a" else ".tif") for s in stems for k in kinds}
    assert set(os.listdir(tmp_path / "out")) == expected
    for name in ("scan-1.tif", "scan-2-alternative-2.tif"):
        assert tifffile.imread(tmp_path / "out" / name).dtype == np.uint16
    with Image.open(tmp_path / "out" / "a-alternative-2.png") as second:
        assert np.array_equal(np.asarray(second)[..., 3], alpha)
        assert second.info["dpi"] == pytest.approx((300, 150), abs=0.1)
    with Image.open(tmp_path / "out" / "a-uncertainty.png") as uncertain:
        assert uncertain.mode == "RGB"
        assert uncertain.size == (80, 60)


@pytest.mark.parametrize(
    "other", ["a-alternative-2.png", "a-alternatives.jpg", "a-uncertainty.png"]
)
def test_no_photo_is_overwritten_by_another_ones_pictures(photos, tmp_path, capsys, other):
    for name in ("a.png", other):
        images.write(tmp_path / name, photos["coffee"][:40, :60])
    before = (tmp_path / other).read_bytes()
    sources = [str(tmp_path / name) for name in ("a.png", other)]
    jobs = [(source, str(tmp_path / "out" / os.path.basename(source))) for source in sources]
    done, failed = colorize_files(Unsure(), jobs, Pictures(False, 2, True))
    assert (done, failed) == (jobs[:1], 1)
    assert "is the result of" in "".join(capsys.readouterr())
    done, failed = colorize_files(Unsure(), jobs[::-1], Pictures(False, 2, True))
    assert (done, failed) == (jobs[1:], 1)
    assert (tmp_path / other).read_bytes() == before


def test_no_source_is_overwritten_by_another_ones_pictures(photos, tmp_path, capsys):
    folder = tmp_path / "album"
    for name in ("a.png", "b-uncertainty.png"):
        images.write(folder / name, photos["coffee"][:40, :60])
    before = (folder / "b-uncertainty.png").read_bytes()
    jobs = [(str(folder / "a.png"), str(folder / "b.png"))]
    jobs.append((str(folder / "b-uncertainty.png"), str(tmp_path / "c.png")))
    assert colorize_files(Unsure(), jobs, Pictures(uncertainty=True)) == (jobs[1:], 1)
    assert "would overwrite a photo" in "".join(capsys.readouterr())
    assert (folder / "b-uncertainty.png").read_bytes() == before
    assert not (folder / "b.png").exists()


def test_fewer_colourings_than_asked_for_are_said_in_one_line(paint, photos, tmp_path, capsys):
    source, target = str(tmp_path / "a.png"), str(tmp_path / "b.png")
    images.write(source, photos["coffee"][:40, :60])
    assert colorize_files(paint, [(source, target)], Pictures(alternatives=3)) == (
        [(source, target)],
        0,
    )
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b-alternatives.jpg", "b.png"]
    said = "".join(capsys.readouterr())
    assert said.count("no more than 1 distinct") == 1
    assert "b.png" in said
    colorize_files(Unsure(), [(source, target)], Pictures(alternatives=3))
    assert "no more" not in "".join(capsys.readouterr())


def test_one_picture_is_in_memory_at_a_time(photos, tmp_path, monkeypatch):
    source = str(tmp_path / "a.png")
    images.write(source, photos["coffee"][:40, :60])
    written, write = [], images.write

    def watched(path, rgb, photo=None):
        assert not any(earlier() is not None for earlier in written)
        written.append(weakref.ref(rgb))
        write(path, rgb, photo)

    made = colorizer.add_colour

    def watched_too(*arguments):
        assert not any(earlier() is not None for earlier in written)
        return made(*arguments)

    monkeypatch.setattr(images, "write", watched)
    monkeypatch.setattr(colorizer, "add_colour", watched_too)
    done, _ = colorize_files(
        Unsure(), [(source, str(tmp_path / "b.png"))], Pictures(False, 3, True)
    )
    assert len(done) == 1
    assert len(written) == 5


def test_true_ab_is_that_of_training_targets(paint, photos, tmp_path):
    Image.fromarray(photos["coffee"]).save(tmp_path / "a.png")
    expected = photo_ab(tmp_path / "a.png", load_size=64)
    image = Image.fromarray(photos["coffee"])
    np.testing.assert_array_equal(paint.true_ab(image), expected)
    assert paint.true_ab(image).shape == paint.ab(image).shape


@pytest.mark.slow
def test_the_tool_writes_alternatives_and_the_map(photos, tmp_path):
    images.write(tmp_path / "old.png", photos["rocket"][:64, :220])
    tool = ROOT / "tools" / "colorize.py"
    command = [tool, "old.png", "-o", "new.png", "--alternatives", "3", "--uncertainty"]
    run = started.run(*command, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert sorted(os.listdir(tmp_path)) == [
        *("new-alternative-2.png", "new-alternative-3.png", "new-alternatives.jpg"),
        *("new-uncertainty.png", "new.png", "old.png"),
    ]
    assert images.read(tmp_path / "new-alternative-3.png").shape == (64, 220, 3)


def test_in_a_files_own_folder_nothing_is_replaced(tmp_path, photo):
    for name in ("old.ppm", "old.png"):
        images.write(tmp_path / name, photo)
    found, problems = list_jobs([str(tmp_path / "old.ppm")], str(tmp_path))
    assert not found
    assert "old.png' is there, and may not be of it: choose another" in str(problems[0])
    named = str(tmp_path / "old.png")
    jobs = [(str(tmp_path / "old.ppm"), named)]
    assert list_jobs([jobs[0][0]], named) == (jobs, [])


def test_a_photo_that_is_refused_is_not_called_none(tmp_path, photo, capsys):
    for name in ("old.ppm", "old.png"):
        images.write(tmp_path / name, photo)
    assert len(find([str(tmp_path / "old.ppm")], str(tmp_path)).problems) == 1
    assert capsys.readouterr().out.count("\n") == 1
