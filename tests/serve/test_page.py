"""The page in a real browser: photos in, colours seen and changed, photos out."""

import base64
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from cic.colour.lab import lightness, rgb_to_lab
from cic.photos import images
from helpers.browser import downloaded, find, move, pixels, put, said, wait

pytestmark = pytest.mark.slow


def test_a_photo_is_seen_in_colour_changed_and_saved(page, paths, downloads):
    put(page, paths[0])
    said(page, "old cat.jpg: in colour")
    page.execute_script("document.getElementById('work').scrollIntoView()")
    photo = images.open_photo(paths[0])
    after, before = pixels(page, "after"), pixels(page, "before")
    assert after.shape == before.shape == np.asarray(photo.rgb).shape
    assert np.ptp(before.astype(int), axis=2).max() == 0
    assert np.abs(lightness(after) - lightness(before)).mean() < 0.6
    chroma = {1.1: np.hypot(*np.moveaxis(rgb_to_lab(after)[..., 1:], -1, 0)).mean()}
    for saturation in (0, 2.2):
        move(page, "saturation", saturation)
        lab = rgb_to_lab(pixels(page, "after"))
        chroma[saturation] = np.hypot(*np.moveaxis(lab[..., 1:], -1, 0)).mean()
    assert chroma[0] < 0.5 < chroma[1.1] < chroma[2.2]
    move(page, "temperature", 0.4)
    find(page, "download").click()
    saved = downloaded(downloads, "old cat-colorized.jpg")
    result = images.open_photo(saved)
    assert Image.open(saved).getexif()[0x010E] == "a cat"
    assert result.rgb.size == photo.rgb.size
    full, shown = np.asarray(result.rgb), pixels(page, "after")
    assert np.abs(lightness(full) - lightness(np.asarray(photo.rgb))).mean() < 1
    assert np.abs(rgb_to_lab(full) - rgb_to_lab(shown))[..., 1:].mean() < 1.5


GIVE = """
const [text, name, kind] = arguments, given = new DataTransfer();
const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
given.items.add(new File([bytes], name, { type: "image/jpeg" }));
const event = kind === "drop"
  ? new DragEvent(kind, { dataTransfer: given, bubbles: true, cancelable: true })
  : new ClipboardEvent(kind, { clipboardData: given, bubbles: true });
document.body.dispatchEvent(event);
return event.defaultPrevented;
"""


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_photos_are_dropped_and_pasted(page, paths, kind):
    text = base64.b64encode(Path(paths[0]).read_bytes()).decode()
    prevented = page.execute_script(GIVE, text, f"{kind}.jpg", kind)
    assert prevented or kind == "paste"  # or the browser would open the file
    said(page, f"{kind}.jpg: in colour")


def test_a_slider_compares_by_keyboard(page, paths):
    put(page, paths[0])
    said(page, "in colour")
    split = find(page, "split")
    split.send_keys(*["\ue014"] * 10)  # right
    assert split.get_attribute("value") == "60"
    assert "40%" in find(page, "before").value_of_css_property("clip-path")
    assert split.accessible_name == "Share of the photo before"


def test_an_alternative_is_what_is_saved(page, paths, downloads):
    put(page, paths[1])
    said(page, "coffee.png: in colour")
    first = pixels(page, "after")
    second = page.find_elements(By.CSS_SELECTOR, "#alternatives input")[1]
    page.execute_script("arguments[0].click()", second)
    move(page, "saturation", 1.5)
    shown = pixels(page, "after")
    assert np.abs(rgb_to_lab(shown) - rgb_to_lab(first))[..., 1:].mean() > 3
    assert not find(page, "temperature").is_enabled()
    find(page, "download").click()
    full = images.read(downloaded(downloads, "coffee-colorized.png"))
    assert np.abs(rgb_to_lab(full) - rgb_to_lab(shown))[..., 1:].mean() < 1.5


def test_many_come_at_once_and_one_that_is_none_is_named(page, paths, downloads):
    put(page, paths[2], *paths[:2])
    said(page, "coffee.png: in colour")
    entries = page.find_elements(By.CSS_SELECTOR, "#photos li")
    assert ["failed" in one.get_attribute("class") for one in entries] == [True, False, False]
    entries[0].find_element(By.TAG_NAME, "button").click()
    said(page, "notes.jpg: not a photo")
    find(page, "download-all").click()
    with zipfile.ZipFile(downloaded(downloads, "colorized.zip")) as made:
        assert made.testzip() is None
        assert made.namelist() == ["old cat-colorized.jpg", "coffee-colorized.png"]
        for name, path in zip(made.namelist(), paths):
            photo = Image.open(io.BytesIO(made.read(name)))
            assert photo.size == Image.open(path).size


def test_what_the_server_will_not_take_is_said_before_it_is_sent(page, tmp_path, server):
    header = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + (9000).to_bytes(4, "big") * 2
    (tmp_path / "scan.png").write_bytes(header + bytes(100))
    (tmp_path / "huge.jpg").write_bytes(bytes(4_000_001))
    asked = len(server.logged)
    put(page, str(tmp_path / "scan.png"))
    said(page, "scan.png: 81 megapixels; this server takes up to 20")
    put(page, str(tmp_path / "huge.jpg"))
    said(page, "huge.jpg: 5 MB; this server takes up to 4 MB")
    assert len(server.logged) == asked


def test_the_map_and_the_other_language(page, paths):
    put(page, paths[0])
    said(page, "in colour")
    assert not find(page, "doubt").is_displayed()
    page.execute_script("document.getElementById('show-doubt').click()")
    assert find(page, "doubt").is_displayed()
    assert np.ptp(pixels(page, "doubt")) > 50
    find(page, "language").click()
    said(page, "上色完成")
    assert page.execute_script("return document.documentElement.lang") == "zh-CN"
    assert find(page, "download").text == "下载"
    assert find(page, "saturation").accessible_name == "饱和度"
    names = "return [...document.querySelectorAll('[data-text]')].map(e => e.textContent)"
    assert all(any(letter > "\u4e00" for letter in name) for name in page.execute_script(names))
    find(page, "language").click()


def test_it_fits_and_loads_nothing_from_elsewhere(page, paths, server):
    put(page, paths[0])
    said(page, "in colour")
    find(page, "mode-hint").click()
    find(page, "places").send_keys(Keys.ENTER)
    wait(page).until(lambda _: page.find_elements(By.CSS_SELECTOR, "#swatches button"))
    for width in (360, 768, 1280):
        page.set_window_size(max(width, 500), 900)
        page.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        over = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.execute_script(over) <= 0, f"{width} pixels are too few"
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    loaded = "return performance.getEntriesByType('resource').map(e => e.name)"
    assert all(name.startswith((server.url, "blob:")) for name in page.execute_script(loaded))
    fetched = page.execute_async_script(
        "const done = arguments[0];"
        "fetch('https://example.org/').then(() => done('loaded'), (e) => done(e.name))"
    )
    assert fetched == "TypeError"
    lines = [one["message"] for one in page.get_log("browser") if one["level"] == "SEVERE"]
    assert all("example.org" in line or "api/preview" in line for line in lines), lines
    assert any("Content Security Policy" in line for line in lines)
