"""Several photos of a batch at once: the same files and lines as one after the other."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import backends
from cic.colorize import jobs
from cic.colorize.work import colorize_files
from cic.photos import images
from cic.system import threads
from cic.system.pipeline import Gate
from helpers import ROOT


@pytest.fixture
def at_once():
    """Let so many photos be worked on at once."""
    yield threads.limit
    threads.limit(None)


@pytest.fixture
def album(photo_folder, photo):
    for number in range(8):
        images.write(photo_folder / "more" / f"{number}.png", np.roll(photo, number, 1))
    (photo_folder / "more" / "3.png").write_bytes(b"no photo")
    (photo_folder / "a.gif").write_bytes((photo_folder / "more" / "1.png").read_bytes())
    (photo_folder / "a.png").write_bytes((photo_folder / "more" / "2.png").read_bytes())
    return photo_folder


def tree(folder):
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.slow
def test_files_lines_and_steps_are_those_of_one_after_the_other(backend, album, tmp_path, at_once):
    colorizer = backends.colorizer(backend=backend.NAME, size=64)
    found = []
    for count in (1, 3):
        at_once(count)
        told = []
        output = tmp_path / str(count)
        outcome = jobs.find([str(album)], str(output)).colorize(colorizer, progress=told.append)
        targets = [os.path.relpath(target, output) for _, target in outcome.done]
        lines = [(e.done, e.message.replace(str(output), "")) for e in told]
        found.append((targets, outcome.failed, lines, tree(output)))
    assert found[0] == found[1]
    targets, failed, lines, files = found[0]
    assert failed == 2
    assert targets == sorted(targets, key=lambda name: (name != "a.png", name))
    assert len(files) == 14
    assert [done for done, _ in lines] == sorted(done for done, _ in lines)


def test_photos_are_worked_on_at_once(album, tmp_path, at_once):
    both = threading.Barrier(2, timeout=100)
    colorizer = backends.colorizer(size=32)
    predict = colorizer.predict
    colorizer.predict = lambda array: (both.wait(), predict(array))[1]
    at_once(2)
    sources = [str(album / "more" / f"{n}.png") for n in (0, 1, 2, 4)]
    work = [(source, str(tmp_path / os.path.basename(source))) for source in sources]
    assert len(colorize_files(colorizer, work).done) == 4


def test_photos_that_need_much_memory_are_alone(tmp_path, at_once, monkeypatch, photo):
    colorizer = backends.colorizer(size=32)
    monkeypatch.setattr("cic.colorize.work.Gate", lambda room: Gate(1.0))
    inside, most, predict = [], [], colorizer.predict

    def watched(array):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return predict(array)

    colorizer.predict = watched
    at_once(3)
    for number in range(6):
        images.write(tmp_path / "in" / f"{number}.png", photo)
    done = jobs.find([str(tmp_path / "in")], str(tmp_path / "out")).colorize(colorizer).done
    assert len(done) == 6
    assert max(most) == 1


CODE = """
import sys, backends
from cic.colorize import jobs
from cic.system import console, threads
threads.limit(2)
def main():
    found = jobs.find([sys.argv[1]], sys.argv[2])
    colorizer = backends.colorizer(backend="onnx")
    found.colorize(colorizer, progress=lambda event: print(event.done, flush=True))
console.run(main)
"""


@pytest.mark.slow
def test_ctrl_c_stops_at_once_and_leaves_nothing_half_written(tmp_path, photos):
    images.write(tmp_path / "in" / "000.png", photos["coffee"])
    for number in range(1, 100):
        shutil.copyfile(tmp_path / "in" / "000.png", tmp_path / "in" / f"{number:03}.png")
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(tmp_path / "in"), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.stdout.readline() != "4\n":
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "stopped by the keyboard"
    made = tree(tmp_path / "out")
    assert 4 <= len(made) < 40
    for name in made:
        assert images.read(tmp_path / "out" / name).shape == photos["coffee"].shape
