"""What the tests of this room share: a server, and a browser that shows its page."""

import numpy as np
import pytest
from PIL import Image

import backends
from helpers import browser as browsing
from helpers.served import Server, data_of


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One without a token, for photos of up to 20 megapixels and 4 MB."""
    flags = ("--max_megabytes", 4, "--max_pixels", 20_000_000, "--queue", 4)
    made = Server(*flags)
    yield made
    made.end()


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture
def downloads(saved):
    """The folder that the browser saves to, empty."""
    for path in saved.iterdir():
        path.unlink()
    return saved


@pytest.fixture(scope="session")
def browser(saved):
    with browsing.opened(saved) as window:
        yield window


@pytest.fixture
def page(browser, server):
    browser.get(server.url)
    browsing.wait(browser).until(lambda _: browser.execute_script("return choose.dataset.ready"))
    return browser


@pytest.fixture
def paths(tmp_path, photos):
    """A gray photo with EXIF, another, and one that is none."""
    exif = Image.Exif()
    exif[0x010E] = "a cat"
    for name, photo in (("old cat.jpg", photos["chelsea"]), ("coffee.png", photos["coffee"])):
        small = np.ascontiguousarray(photo[::3, ::3])
        Image.fromarray(small).convert("L").save(tmp_path / name, exif=exif)
    (tmp_path / "notes.jpg").write_text("no photo")
    return [str(tmp_path / name) for name in ("old cat.jpg", "coffee.png", "notes.jpg")]


@pytest.fixture(scope="session")
def colorizer():
    return backends.colorizer()


@pytest.fixture(scope="session")
def gray(photos):
    return Image.fromarray(np.ascontiguousarray(photos["chelsea"][::3, ::3])).convert("L")


@pytest.fixture(scope="session")
def jpeg(gray):
    return data_of(gray, "jpeg")
