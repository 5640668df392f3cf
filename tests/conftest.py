"""Fixtures that several test files share."""

import ast
import os
import shutil

# One thread: beside other processes, and with the threads of two frameworks in one, more mostly
# wait for each other (a training step of Torch's then takes 10 times as long). Read at import.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image
from skimage import data

import backends
from cic.system import defects, storage
from helpers import ROOT, started

settings.register_profile("untimed", deadline=None)  # a busy machine is no defect
settings.load_profile("untimed")

started.keep_stacks_short()


FRAMEWORKS = ("torch", "paddle")


def pytest_addoption(parser):
    text = "leave out what needs the other framework, which is not installed: see make matrix"
    parser.addoption("--alone", choices=FRAMEWORKS, help=text)


def absent(config):
    """The framework that is to be done without, or None."""
    alone = config.getoption("alone")
    return next((name for name in FRAMEWORKS if alone and name != alone), None)


def imported(path):
    """The packages that a test file imports at its top, itself or by a helper."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "helpers":
            helpers = (ROOT / "tests" / "helpers" / f"{alias.name}.py" for alias in node.names)
            yield from (name for helper in helpers if helper.exists() for name in imported(helper))
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("helpers."):
            yield from imported(ROOT / "tests" / f"{node.module.replace('.', '/')}.py")
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


def pytest_ignore_collect(collection_path, config):
    """Leave out the files that cannot be imported without the absent framework."""
    framework = absent(config)
    if framework and collection_path.suffix == ".py" and framework in imported(collection_path):
        return True
    return None


def pytest_collection_modifyitems(config, items):
    """Leave out the tests that need the absent framework: marked `both`, or one of its own."""

    def needs(item):
        values = item.callspec.params.values() if hasattr(item, "callspec") else ()
        return item.get_closest_marker("both") or absent(config) in map(str, values)

    if absent(config):
        config.hook.pytest_deselected(items=[item for item in items if needs(item)])
        items[:] = [item for item in items if not needs(item)]


@pytest.fixture(scope="session")
def photos():
    """Real photographs, {name: (H, W, 3) uint8 sRGB}."""
    return {
        "astronaut": data.astronaut(),
        "chelsea": data.chelsea(),
        "coffee": data.coffee(),
        "rocket": data.rocket(),
    }


@pytest.fixture
def photo(photos):
    """One of them small, (60, 91, 3) uint8."""
    return np.ascontiguousarray(photos["chelsea"][::5, ::5])


@pytest.fixture(scope="session")
def photo_originals(tmp_path_factory, photos):
    """The `photo_folder` of all tests, to read only."""
    folder = tmp_path_factory.mktemp("originals") / "photos"
    for name, photo in (
        ("n01/astronaut.jpg", "astronaut"),
        ("n01/chelsea.jpeg", "chelsea"),
        ("n02/coffee.JPG", "coffee"),
        ("n02/deeper/rocket.png", "rocket"),
        ("chelsea.webp", "chelsea"),
        ("n02/small coffee.png", "coffee"),
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(np.ascontiguousarray(photos[photo]))
        short = 40 if "small" in name else 96
        scale = short / min(image.size)
        image.resize([round(n * scale) for n in image.size]).save(path)
    return folder


@pytest.fixture
def photo_folder(tmp_path, photo_originals):
    """A folder of six real photographs, short side 96 pixels or fewer, as data sets come."""
    return shutil.copytree(photo_originals, tmp_path / "photos", copy_function=shutil.copyfile)


@pytest.fixture(scope="session")
def store_server():
    """An S3 server on this machine, for all tests that have a `store`."""
    from helpers.store import Store  # slow, and few tests need it

    store = Store()
    yield store
    store.stop()


@pytest.fixture
def store(store_server, monkeypatch):
    """The Store without faults and with two empty buckets; no pause is long."""
    import fsspec
    import s3fs

    from helpers.store import CREDENTIALS, KEYS

    server = store_server
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", str(KEYS))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(storage, "PAUSES", (0.01,) * len(storage.PAUSES))
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)  # it pauses by itself
    s3fs.S3FileSystem.clear_instance_cache()
    server.faults = {}
    system = fsspec.filesystem("s3")
    for bucket in ("scans", "made"):
        if system.exists(bucket):
            system.rm(bucket, recursive=True)
        system.mkdir(bucket)
    server.asked.clear()
    return server


@pytest.fixture(params=["torch", "paddle"])
def backend(request):
    """Each of the two backends; one that is missing fails, for nothing may go untested."""
    return backends.get(request.param)


@pytest.fixture(params=["torch", "paddle", "onnx"])
def runner(request):
    """Each of the three that run networks."""
    return backends.get(request.param)


def pytest_runtest_setup(item):
    """Forget the defects of the test before, which the commands of this one would tell."""
    defects.take()
