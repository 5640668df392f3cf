"""The page in a real browser: photos in, colours seen and changed, photos out."""

import base64
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from axe_selenium_python import Axe
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from cic.colour.lab import lightness, rgb_to_lab
from cic.photos import images
from helpers.browser import downloaded, find, move, pixels, put, said, wait
from helpers.served import TOKEN, Server

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


ANSWER = """
const [status, body] = arguments;
window.fetch = async () => new Response(JSON.stringify(body), { status });
"""
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


def header_of_tiff(order, big=False):
    """A TIFF of 15000 x 14000 pixels: its directory lies behind 300 kB of data."""
    data = bytes(300_000)
    if big:
        start = struct.pack(order + "2sHHHQ", b"II", 43, 8, 0, 16 + len(data))
        entries = ((254, 4, 1, 0), (256, 16, 1, 15000), (257, 16, 1, 14000))
        rows = [struct.pack(order + "HHQQ", *entry) for entry in entries]
        return start + data + struct.pack(order + "Q", len(rows)) + b"".join(rows)
    start = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(data))
    width = struct.pack(order + "HHIHH", 256, 3, 1, 15000, 0)
    height = struct.pack(order + "HHII", 257, 4, 1, 14000)
    return start + data + struct.pack(order + "H", 2) + width + height + bytes(4)


def header_of_webp(kind, data):
    return b"RIFF" + struct.pack("<I", 1000) + b"WEBP" + kind + struct.pack("<I", 990) + data


HEADERS = {  # of photos of 15000 x 14000 pixels
    "long.jpg": b"\xff\xd8" + (b"\xff\xe2\xff\xff" + bytes(65533)) * 5
    + struct.pack(">BBHBHHB", 0xFF, 0xC2, 11, 8, 14000, 15000, 1),
    "intel.tif": header_of_tiff("<"),
    "motorola.tif": header_of_tiff(">"),
    "big.tif": header_of_tiff("<", big=True),
    "lossy.webp": header_of_webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 15000, 14000)),
    "lossless.webp": header_of_webp(b"VP8L", b"/" + struct.pack("<I", 14999 | 13999 << 14)),
    "extended.webp": header_of_webp(b"VP8X", bytes(4) + bytes.fromhex("973a00 af3600")),
    "windows.bmp": b"BM" + bytes(12) + struct.pack("<Iii", 40, 15000, -14000),
    "old.bmp": b"BM" + bytes(12) + struct.pack("<IHH", 12, 15000, 14000),
}  # fmt: skip


def test_a_photo_of_any_format_with_too_many_pixels_is_not_sent(page, tmp_path, server):
    asked = len(server.logged)
    for name, header in HEADERS.items():
        (tmp_path / name).write_bytes(header + bytes(100))
        put(page, str(tmp_path / name))
        said(page, f"{name}: 210 megapixels; this server takes up to 20")
    assert len(server.logged) == asked


def test_headers_that_end_early_are_left_to_the_server(page, tmp_path):
    for name, header in HEADERS.items():
        (tmp_path / name).write_bytes(header[:-9])
        put(page, str(tmp_path / name))
        wait(page).until(lambda _, name=name: f"{name}: " in find(page, "status").text)
        wait(page).until(lambda _: "on their way" not in find(page, "status").text)
        assert "megapixels" not in find(page, "status").text


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


def test_what_the_server_says_is_translated_too(page, paths, tmp_path, downloads):
    """A refusal, its button and a note, and each again when the language is changed."""
    whole = Path(paths[1]).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:-12])
    put(page, paths[2])
    said(page, "notes.jpg: not a photo of a known format")
    button = page.find_element(By.CSS_SELECTOR, "#photos button")
    find(page, "language").click()
    said(page, "notes.jpg：不是已知格式的照片")
    assert button.get_attribute("title") == "notes.jpg：不是已知格式的照片"
    put(page, str(tmp_path / "cut.png"))
    said(page, "cut.png：上色完成")
    assert find(page, "note").text == "200 x 134 像素；文件已损坏，部分画面缺失"
    button.click()
    said(page, "notes.jpg：不是已知格式的照片")
    find(page, "language").click()
    said(page, "notes.jpg: not a photo of a known format")
    assert button.get_attribute("title") == "notes.jpg: not a photo of a known format"
    page.find_elements(By.CSS_SELECTOR, "#photos button")[1].click()
    assert find(page, "note").text.endswith("the end is missing")


def test_a_code_that_the_page_does_not_know_leaves_the_sentence(page, paths):
    find(page, "language").click()
    page.execute_script(ANSWER, 418, {"detail": "I am a teapot", "code": "teapot"})
    put(page, paths[0])
    said(page, "old cat.jpg：I am a teapot")
    find(page, "language").click()
    said(page, "old cat.jpg: I am a teapot")


@pytest.fixture
def guarded(browser, tmp_path):
    """The page of a server that asks for a token, and that server."""
    (tmp_path / "token").write_text(TOKEN)
    one = Server("--token_file", tmp_path / "token")
    browser.get(one.url)
    wait(browser).until(lambda _: browser.execute_script("return choose.dataset.ready"))
    yield browser, one
    one.end()


def opened(page):
    """Wait for the question for the token."""
    wait(page).until(lambda _: find(page, "ask-token").is_displayed())
    return find(page, "token")


def failed(page):
    """Texts of the buttons of photos that failed."""
    wait(page).until(lambda _: "on their way" not in find(page, "status").text)
    return [one.text for one in page.find_elements(By.CSS_SELECTOR, "#photos .failed")]


def several(paths, tmp_path, count=3):
    """Paths of copies of a photo."""
    copies = [tmp_path / f"{number}.jpg" for number in range(1, count + 1)]
    for copy in copies:
        copy.write_bytes(Path(paths[0]).read_bytes())
    return list(map(str, copies))


def test_the_token_is_asked_for_once_and_again_at_a_click(guarded, paths, tmp_path):
    page, server = guarded
    put(page, *several(paths, tmp_path))
    assert opened(page).get_attribute("type") == "password"
    axe = Axe(page)
    axe.inject()
    found = axe.run()["violations"]
    find(page, "no-token").click()
    said(page, "1.jpg: a token is needed (click the photo to try again)")
    assert failed(page) == [f"{n}.jpg\nTry again" for n in (1, 2, 3)]
    assert not find(page, "ask-token").is_displayed()
    found += axe.run()["violations"]
    assert not [(one["id"], one["nodes"][0]["html"]) for one in found]
    assert find(page, "panel").value_of_css_property("opacity") == "0.5"
    assert not find(page, "choices").is_displayed()
    assert sum("/api/preview" in line for line in server.logged) == 1
    page.find_elements(By.CSS_SELECTOR, "#photos button")[1].click()
    opened(page).send_keys("wrong", Keys.ENTER)
    wait(page).until(lambda _: find(page, "wrong-token").is_displayed())
    opened(page).send_keys(TOKEN, Keys.ENTER)
    said(page, "3.jpg: in colour")
    assert not failed(page)
    assert find(page, "panel").value_of_css_property("opacity") == "1"
    assert find(page, "choices").is_displayed()


BREAK = """
const [status] = arguments, ask = window.fetch;
window.asked = 0;
window.mend = () => (window.fetch = ask);
window.fetch = async () => {
  window.asked++;
  if (!status) throw new TypeError("away");
  return new Response(JSON.stringify({ detail: "not now", code: "new" }), { status });
};
"""


def test_a_server_that_does_not_answer_is_asked_again_at_a_click(page, paths, tmp_path):
    page.execute_script(BREAK, 0)
    put(page, *several(paths, tmp_path))
    said(page, "1.jpg: The server does not answer. Is it still running? (click the photo")
    assert len(failed(page)) == 3
    assert page.execute_script("return asked") == 1
    page.execute_script("mend()")
    page.find_elements(By.CSS_SELECTOR, "#photos button")[2].click()
    said(page, "3.jpg: in colour")
    assert not failed(page)


@pytest.mark.parametrize(("status", "passes"), [(503, True), (502, True), (400, False)])
def test_what_passes_is_tried_again_at_a_click_alone(page, paths, tmp_path, status, passes):
    page.execute_script(BREAK, status)
    put(page, *several(paths, tmp_path))
    said(page, "3.jpg: not now")
    assert len(failed(page)) == page.execute_script("return asked") == 3
    page.execute_script("mend()")
    page.find_elements(By.CSS_SELECTOR, "#photos button")[1].click()
    if passes:
        said(page, "2.jpg: in colour")
        assert failed(page) == ["1.jpg\nTry again", "3.jpg\nTry again"]
    else:
        said(page, "2.jpg: not now")
        assert failed(page) == ["1.jpg", "2.jpg", "3.jpg"]


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
