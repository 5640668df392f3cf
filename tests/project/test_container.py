"""The Dockerfile, as far as it goes without Docker: its files, its steps, what it starts."""

import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import backends
from helpers import ROOT
from helpers.served import data_of

PLACE = "/opt/cic"
BLOCKED = "import sys; sys.modules.update(torch=None, paddle=None, onnx=None)\n"


def instructions():
    """(name, the rest) of each instruction."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line and not line.startswith("#")]


def all_of(name):
    return [rest for found, rest in instructions() if found == name]


def one(name):
    [rest] = all_of(name)
    return rest


def command(text):
    """The words of what an instruction starts, which uses no shell."""
    return json.loads(text.removeprefix(text.partition("[")[0]))


def test_it_runs_as_nobody_and_says_whether_it_works():
    user, _, group = one("USER").partition(":")
    assert int(user) > 0 < int(group)
    assert "curl" not in one("HEALTHCHECK")  # which slim images have not
    assert command(one("ENTRYPOINT"))[:2] == [f"{PLACE}/bin/cic", "serve"]
    assert all(image.startswith("python:3.12-slim") for image in all_of("FROM"))


def test_what_is_copied_is_what_is_not_ignored():
    """So nothing that lies about in a clone comes into the image, or makes it anew."""
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert kept[0] == "*"
    allowed = {line[1:] for line in kept if line.startswith("!")}
    copied = {word for rest in all_of("COPY") if "--from" not in rest for word in rest.split()[:-1]}
    assert copied == allowed
    packages = re.search(r"packages =\n((?:    .*\n)+)", (ROOT / "setup.cfg").read_text())[1]
    assert {name.split(".")[0] for name in packages.split()} <= copied


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A folder in which the steps of the build were run, /opt/cic in it.

    Packages of others are those of this environment; pip neither asks for them nor for the network.
    """
    root = tmp_path_factory.mktemp("image")
    source, place = root / "src", root / "opt" / "cic"
    shell = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    pip = {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    for name, rest in instructions():
        if name == "COPY" and "--from" not in rest:
            *files, target = rest.split()
            for file in files:
                copy(ROOT / file, source / (target if len(files) == 1 else file))
        if name == "RUN":
            step = rest.replace(PLACE, str(place))
            run = subprocess.run(step, shell=True, cwd=source, env=shell | pip, capture_output=True)
            assert run.returncode == 0, run.stderr.decode()
            [libraries] = place.glob("lib/python*/site-packages")
            for old in libraries.glob("setuptools*"):  # Python 3.11's, which stand before ours
                shutil.rmtree(old)
            (libraries / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
            (libraries / "sitecustomize.py").write_text(BLOCKED)
    shutil.rmtree(source)
    return place


def copy(source, target):
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


@pytest.mark.slow
def test_what_it_starts_colours_photos_with_onnx_alone(image, photo, tmp_path):
    """As in the container: nothing can be written, and there is no home."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    start, check = (
        [word.replace(PLACE, str(image)).replace("8000", port) for word in command(one(name))]
        for name in ("ENTRYPOINT", "HEALTHCHECK")
    )
    nowhere = {"HOME": "/nonexistent", "TMPDIR": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    server = subprocess.Popen(
        [*start, "--port", port], cwd=tmp_path, env=nowhere, stdout=subprocess.PIPE, text=True
    )
    try:
        assert f":{port}/ (" in server.stdout.readline()
        until = time.monotonic() + 60
        while subprocess.run(check, env=nowhere, capture_output=True).returncode:
            assert time.monotonic() < until
        line = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
        line.request("POST", "/api/colorize", data_of(Image.fromarray(photo), "png"))
        made = Image.open(io.BytesIO(line.getresponse().read()))
        np.testing.assert_array_equal(made, backends.colorizer(backend="onnx")(photo))
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    finally:
        server.kill()
    assert not os.listdir(tmp_path)
