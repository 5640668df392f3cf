"""A page in a real browser: Chromium without a screen."""

import os
import shutil
import time

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-quic"),
    *("--lang=en", "--force-color-profile=srgb"),
)
PIXELS = """
const canvas = document.getElementById(arguments[0]);
const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
return [canvas.width, canvas.height, Array.from(data)];
"""


def opened(downloads):
    """A window that saves downloads in a folder; skips the test if there is no Chromium."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium and chromedriver are not installed: apt-get install chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    saved = {"download.default_directory": str(downloads), "download.prompt_for_download": False}
    options.add_experimental_option("prefs", saved)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    window = webdriver.Chrome(options, webdriver.ChromeService(driver))
    window.set_script_timeout(60)
    return window


def wait(browser):
    return WebDriverWait(browser, 100, 0.1)


def find(page, name):
    return page.find_element(By.ID, name)


def put(page, *paths):
    find(page, "choose").send_keys("\n".join(paths))


def said(page, text):
    wait(page).until(lambda _: text in find(page, "status").text, f"not said: {text}")


def pixels(page, name):
    width, height, data = page.execute_script(PIXELS, name)
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


def move(page, name, value):
    """Move a slider, and wait for what it paints."""
    page.execute_async_script(
        "const [name, value, done] = arguments, slider = document.getElementById(name);"
        "slider.value = value;"
        "for (const kind of ['input', 'change']) slider.dispatchEvent(new Event(kind));"
        "requestAnimationFrame(() => requestAnimationFrame(() => done()))",
        name,
        value,
    )


def downloaded(folder, name):
    until = time.monotonic() + 60
    while not (folder / name).exists():
        assert time.monotonic() < until, os.listdir(folder)
        time.sleep(0.1)
    return folder / name
