"""Colour hints on the page: touched or by keyboard, undone, kept, and the same as the command's."""

import json

import numpy as np
import pytest
from axe_selenium_python import Axe
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import backends
from cic.colorize.hints import Hint
from cic.colour.lab import rgb_to_lab
from cic.photos import images
from helpers import ROOT, started
from helpers.browser import downloaded, find, move, pixels, put, said, wait

pytestmark = pytest.mark.slow

TOUCH = """
const [across, down] = arguments, places = document.getElementById("places");
const box = places.getBoundingClientRect();
const [clientX, clientY] = [box.left + across * box.width, box.top + down * box.height];
places.dispatchEvent(new MouseEvent("click", { clientX, clientY, bubbles: true }));
"""
FRAMES = "requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]()))"


@pytest.fixture
def hinting(page, paths):
    """The page with coffee.png, 200 x 134, on which colours can be chosen."""
    put(page, paths[1])
    said(page, "in colour")
    click(page, "mode-hint")
    return page


def click(page, name):
    page.execute_script("document.getElementById(arguments[0]).click()", name)
    page.execute_async_script(FRAMES)


def swatches(page):
    return wait(page).until(lambda _: page.find_elements(By.CSS_SELECTOR, "#swatches button"))


def touch(page, across, down, number=None):
    """Touch a place, and choose one of its likely colours."""
    page.execute_script(TOUCH, across, down)
    found = swatches(page)
    if number is not None:
        page.execute_script("arguments[0].click()", found[number])
        page.execute_async_script(FRAMES)
    return found


def listed(page):
    return [
        one.text for one in page.find_elements(By.CSS_SELECTOR, "#hint-list button:first-child")
    ]


def seen(page):
    return pixels(page, "after").astype(int)


def apart(one, other):
    """Mean distance of the ab of two pictures: the page's lightness went through a JPEG."""
    one, other = (rgb_to_lab(np.uint8(picture))[..., 1:] for picture in (one, other))
    return np.linalg.norm(one - other, axis=-1).mean()


def test_a_hint_is_chosen_undone_done_again_and_saved(hinting, paths, downloads, server, tmp_path):
    page, plain = hinting, seen(hinting)
    found = touch(page, 0.3, 0.4, 1)
    assert 2 <= len(found) <= 6
    assert found[1].get_attribute("aria-pressed") == "true"
    first = seen(page)
    touch(page, 0.8, 0.8, 2)
    second = seen(page)
    assert np.abs(first - plain).mean() > 1
    assert np.abs(second - first).mean() > 1
    assert len(listed(page)) == 2
    for button, shown in (("undo", first), ("undo", plain), ("redo", first), ("redo", second)):
        click(page, button)
        np.testing.assert_array_equal(seen(page), shown)
    assert not find(page, "redo").is_enabled()
    find(page, "save-hints").click()
    kept = downloaded(downloads, "coffee-hints.json")
    hints = json.loads(kept.read_text())
    places = [(hint["x"], hint["y"]) for hint in hints]
    assert np.abs(np.array(places) - [(60, 53), (160, 107)]).max() <= 1
    find(page, "download").click()
    saved = downloaded(downloads, "coffee-colorized.png")
    assert apart(images.read(saved), second) < 0.5 < 2 < apart(plain, second)
    with open(paths[1], "rb") as file:
        data = file.read()
    assert saved.read_bytes() == server.post(data, "?hints=" + quoted(hints))[2]
    flags = (paths[1], "-o", tmp_path / "new.png", "--hints", kept)
    run = started.run(ROOT / "tools" / "colorize.py", *flags, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert saved.read_bytes() == (tmp_path / "new.png").read_bytes()


def quoted(hints):
    return json.dumps(hints, separators=(",", ":")).replace("#", "%23").replace('"', "%22")


def load(page, path):
    find(page, "hints-file").send_keys(str(path))


def test_a_list_that_is_loaded_gives_the_colours_of_python(hinting, paths, tmp_path):
    """Also a hint with a radius, several in a cell, another saturation and temperature."""
    page, photo = hinting, images.open_rgb(paths[1])
    hints = [
        *(
            {"x": 50, "y": 60, "color": "#3a5f9e", "radius": 40},
            {"x": 51, "y": 60, "color": "#9e3a5f"},
        ),
        *({"x": 0, "y": 0, "color": "#5f9e3a"}, {"x": 199, "y": 133, "color": "#806a20"}),
    ]
    (tmp_path / "mine.json").write_text(json.dumps(hints))
    load(page, tmp_path / "mine.json")
    said(page, "mine.json: chosen colours: 4")
    move(page, "temperature", 0.4)
    move(page, "saturation", 1.6)
    settings = {"temperature": 0.4, "saturation": 1.6}
    colorizer = backends.colorizer(**settings)
    wanted = colorizer(photo, [Hint(**hint) for hint in hints])
    assert apart(seen(page), wanted) < 0.5 < 5 < apart(colorizer(photo), wanted)


BAD = (
    "{",
    '[{"x": 200, "y": 1, "color": "#123456"}]',
    '[{"x": 1, "y": 1, "color": "blue"}]',
    '[{"x": 1, "y": 1, "color": "#123456", "size": 1}]',
)


def test_a_list_that_is_none_changes_nothing(hinting, tmp_path):
    for number, text in enumerate(BAD):
        (tmp_path / f"{number}.json").write_text(text)
        load(hinting, tmp_path / f"{number}.json")
        said(hinting, f"{number}.json: no list of colours")
        assert not listed(hinting)


@pytest.fixture
def narrow(hinting):
    """The page on a telephone's screen."""
    size = {"width": 360, "height": 780, "deviceScaleFactor": 1, "mobile": False}
    hinting.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield hinting
    hinting.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_touch_brings_all_ways_to_choose_onto_a_small_screen(narrow):
    page = narrow
    touch(page, 0.3, 0.4)
    page.execute_async_script(FRAMES)
    for name in ("swatches", "gamut", "hue", "strength"):
        box = "return document.getElementById(arguments[0]).getBoundingClientRect()"
        place = page.execute_script(box, name)
        assert 0 <= place["top"] < place["bottom"] <= 780, name


def test_names_of_colours_are_translated_where_they_stand(hinting):
    page = hinting
    [swatch, *_] = touch(page, 0.3, 0.4, 0)
    english, status = swatch.accessible_name, find(page, "status").text
    click(page, "language")
    chinese = swatch.accessible_name
    assert chinese != english
    assert chinese.partition(",")[2] == english.partition(",")[2]
    assert find(page, "status").text == f"颜色 1：{chinese.partition(',')[0]}"
    click(page, "language")
    assert (swatch.accessible_name, find(page, "status").text) == (english, status)


def test_all_of_it_goes_by_keyboard(hinting):
    page = hinting
    places = find(page, "places")
    places.send_keys(*[Keys.ARROW_LEFT] * 5, *[Keys.ARROW_UP] * 5)
    assert "40 %, 40 %" in find(page, "place").text
    places.send_keys(Keys.ENTER)
    swatches(page)
    active = "return document.activeElement"
    wait(page).until(lambda _: "swatch" in page.execute_script(active).get_attribute("class"))
    page.execute_script(active).send_keys(Keys.TAB)
    page.execute_script(active).send_keys(Keys.SPACE)
    [name] = listed(page)
    assert name.startswith("1: ")
    hue = find(page, "hue")
    assert hue.accessible_name == "Hue"
    before = seen(page)
    hue.send_keys(*[Keys.ARROW_RIGHT] * 3)
    page.execute_async_script(FRAMES)
    assert np.abs(seen(page) - before).max() > 0
    hue.send_keys(Keys.ESCAPE)
    assert page.execute_script(active).get_attribute("id") == "places"
    assert not find(page, "chooser").is_displayed()
    places.send_keys(Keys.DELETE)
    assert not listed(page)
    places.send_keys(Keys.CONTROL + "z")
    assert len(listed(page)) == 1
    find(page, "reset").click()
    assert not listed(page)


def test_a_colour_is_picked_on_the_plane_and_a_hint_is_changed(hinting):
    page = hinting
    touch(page, 0.5, 0.5, 0)
    before = seen(page)
    drag = """
    const [done] = arguments, canvas = document.getElementById("gamut");
    const box = canvas.getBoundingClientRect();
    canvas.setPointerCapture = () => 0; // of a pointer that there is not
    canvas.hasPointerCapture = () => true;
    for (const [kind, share] of [["pointerdown", 0.5], ["pointermove", 0.6], ["pointerup", 0.7]]) {
      const at = { clientX: box.left + share * box.width, clientY: box.top + 0.3 * box.height };
      canvas.dispatchEvent(new PointerEvent(kind, { ...at, pointerId: 7, bubbles: true }));
    }
    requestAnimationFrame(() => requestAnimationFrame(() => done()));
    """
    page.execute_async_script(drag)
    assert len(listed(page)) == 1
    assert np.abs(seen(page) - before).mean() > 0.5
    click(page, "undo")  # the whole of it at once
    np.testing.assert_array_equal(seen(page), before)
    touch(page, 0.51, 0.5, 1)  # near enough to be the same
    assert len(listed(page)) == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_keeps_anybody_out(hinting, theme):
    page = hinting
    theme = {"name": "prefers-color-scheme", "value": theme}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})
    touch(page, 0.3, 0.4, 1)
    axe = Axe(page)
    axe.inject()
    found = axe.run()["violations"]
    click(page, "mode-compare")
    click(page, "show-doubt")
    found += axe.run()["violations"]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert not [(one["id"], one["nodes"][0]["html"]) for one in found]
