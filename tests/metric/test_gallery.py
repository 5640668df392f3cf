"""The page and the sheet of the best and the worst, the page in a real browser."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cic.colorize.colorizer import MAP, SHEET
from cic.system import contents
from helpers.browser import opened
from metric.evaluating import still_there
from metric.gallery import WIDEST, Exhibit, extremes, page, sheet, show

pytestmark = pytest.mark.slow

EVIL = 'it\'s <b>a</b> "cat" & café.jpg'


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium without a screen."""
    with opened(tmp_path_factory.mktemp("downloads")) as window:
        yield window


@pytest.fixture
def groups(photos):
    """Two groups of one photo each, one of them large, one with an awkward name."""
    gray = photos["chelsea"][..., :1].repeat(3, axis=-1)
    pictures = [("gray", gray), ("predicted", photos["chelsea"]), ("truth", photos["chelsea"])]
    small = [(caption, picture[::7, ::7]) for caption, picture in pictures]
    return {
        "Best": [Exhibit(EVIL, "ab RMSE 3.2", pictures)],
        "Worst": [Exhibit("n01/b.jpg", "ab RMSE 20.1", small)],
    }


def drawing():
    buffer = io.BytesIO()
    Image.new("RGB", (640, 480), "red").save(buffer, "png")
    return buffer.getvalue()


TABLE = [["what", "AuC raw"], ["colorized", "88.7"], ["all gray", "88.9"]]


def test_the_page_in_a_browser(browser, groups, tmp_path, photos):
    path = tmp_path / "page #1?.html"
    card = {"photos": 2, "prior": "<bundled>"}
    path.write_text(page("Colours", TABLE, {"curve": drawing()}, groups, card), encoding="utf-8")
    for width in (1200, 400):
        browser.set_window_size(width, 900)
        browser.get(path.as_uri())
        seen = browser.execute_script(
            "return {names: [...document.querySelectorAll('h3')].map(e => e.textContent),"
            " images: [...document.images].map(e => [e.complete, e.naturalWidth,"
            "  e.naturalHeight, e.clientWidth, e.clientHeight, e.alt]),"
            " fetched: performance.getEntriesByType('resource')"
            "  .filter(e => !e.name.startsWith('data:')).length,"
            " cells: [...document.querySelectorAll('th, td')].map(e => e.textContent),"
            " card: document.querySelector('pre').textContent,"
            " bold: document.querySelectorAll('b, script').length,"
            " over: document.documentElement.scrollWidth - document.documentElement.clientWidth}"
        )
        assert seen["names"] == [f"{EVIL} · ab RMSE 3.2", "n01/b.jpg · ab RMSE 20.1"]
        assert len(seen["images"]) == 7
        for complete, natural, tall, shown, height, alt in seen["images"]:
            assert complete and natural > 0 and shown > 100, alt
            assert height / shown == pytest.approx(tall / natural, rel=0.02), alt
        assert seen["cells"] == [cell for row in TABLE for cell in row]
        assert "<bundled>" in seen["card"]
        assert seen["fetched"] == seen["bold"] == 0
        assert seen["over"] <= 0, f"{width} pixels are too few"
        screen = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
        red = (np.asarray(screen) == (255, 0, 0)).all(-1)
        assert red.mean() > 0.1, "the drawing is not to be seen"


def test_pictures_on_the_page_are_those_given(groups, photos):
    text = page("Colours", TABLE, {}, groups, {})
    parts = re.findall(r'src="data:image/jpeg;base64,([^"]+)" alt="truth"', text)
    large, small = (np.asarray(Image.open(io.BytesIO(base64.b64decode(p)))) for p in parts)
    assert large.shape[1] == photos["chelsea"].shape[1]
    assert np.abs(large.astype(float) - photos["chelsea"]).mean() < 4
    assert small.shape == photos["chelsea"][::7, ::7].shape


def test_large_pictures_are_made_small(photos):
    large = np.kron(photos["chelsea"], np.ones((6, 6, 1), np.uint8))
    text = page("x", TABLE, {}, {"Best": [Exhibit("a", "b", [("truth", large)])]}, {})
    [part] = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    assert Image.open(io.BytesIO(base64.b64decode(part))).width == WIDEST


def test_the_sheet_has_a_row_a_photo(groups, photos):
    drawn = sheet(groups, width=240)
    assert drawn.shape[1] == 3 * (240 + 12) + 12
    height = 240 * photos["chelsea"].shape[0] / photos["chelsea"].shape[1]
    assert drawn.shape[0] == pytest.approx(36 + 2 * (height + 30 + 12), abs=8)
    labels = drawn[36:66]
    assert (labels < 128).any()  # the photo's name stands above its row


class Painter:
    """A colorizer that finds two alternatives at the most."""

    def __init__(self, shade):
        self.shade = shade

    def __call__(self, image):
        return np.full((image.height, image.width, 3), self.shade, np.uint8)

    def pictures(self, image, count, with_map):
        for number in range(1, min(count, 2) + 1):
            yield number, self(image) + np.uint8(number)
        if count > 1:
            yield SHEET, self(image)[:9]
        if with_map:
            yield MAP, np.concatenate([self(image), self(image)])


def test_every_photo_is_shown_under_the_same_captions(photos):
    """An alternative that there is not is white; names may be those of captions."""
    photo = photos["coffee"][::9, ::9]
    shown = show(photo, {"gray": Painter(10), "truth": Painter(20)}, 3, with_map=True)
    captions = ("gray", "gray", "alternative 2", "alternative 3", "uncertainty", "truth", "truth")
    assert tuple(caption for caption, _ in shown) == captions
    assert [int(picture[0, 0, 0]) for _, picture in shown[1:6]] == [11, 12, 255, 10, 20]
    assert {picture.shape for _, picture in shown} == {photo.shape}
    assert np.array_equal(shown[-1][1], photo)


@given(st.lists(st.floats(0, 100)), st.integers(0, 6))
def test_the_extremes_are_the_lowest_and_the_highest(errors, count):
    best, worst = extremes(errors, count)
    assert len(best) == min(count, (len(errors) + 1) // 2)
    assert len(worst) == min(count, len(errors) // 2)
    assert not set(best) & set(worst)
    ordered = sorted(errors)
    assert [errors[i] for i in best] == ordered[: len(best)]
    assert [errors[i] for i in worst] == ordered[::-1][: len(worst)]


def test_a_photo_that_changed_while_it_was_measured_is_named_and_not_shown(tmp_path, capsys):
    paths = [str(tmp_path / f"{n}\n.png") for n in range(4)]
    for path in paths:
        Path(path).write_bytes(b"a photo")
    before = list(map(contents.state, paths))
    assert still_there(paths, before, before) == [0, 1, 2, 3]
    Path(paths[1]).write_bytes(b"another")
    Path(paths[2]).unlink()
    assert still_there(paths, before, list(map(contents.state, paths))) == [0, 3]
    lines = capsys.readouterr().out.splitlines()
    assert [line[: line.index(":")] for line in lines] == ["not shown"] * 2
    assert r"1\n.png" in lines[0]
    assert r"2\n.png" in lines[1]
