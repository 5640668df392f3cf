"""A batch that is killed, or whose disk, output or inputs go: what is left, and what is said."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cic.photos import images
from cic.system import locks
from helpers import ROOT

pytestmark = pytest.mark.slow

# tools/colorize.py without a network: what is written and when is the same.
BATCH = f"""
import os, runpy, sys, time
import numpy as np
import backends
from cic.colorize.painting import Painting

class Painter:
    temperature, size = 1.0, 8

    def memory(self, width, height):
        return 0

    def painting(self, photo, hints=()):
        print("photo", file=sys.stderr, flush=True)
        time.sleep(0.005)
        return Painting(photo, np.full((8, 8, 2), 20, np.float32))

backends.colorizer = lambda *_, **__: Painter()
sys.argv = ["colorize.py", *sys.argv[1:]]
runpy.run_path({str(ROOT / "tools" / "colorize.py")!r}, run_name="__main__")
"""


def start(cwd, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", BATCH, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """(status, lines of both streams but for the bar's and the painter's)."""
    out, err = process.communicate(timeout=120)
    lines = (line.rpartition("\r")[2].strip() for line in (out + err).splitlines())
    return process.returncode, [line for line in lines if line and "photo" not in line[-40:]]


@pytest.fixture
def album(tmp_path, photos):
    for number in range(40):
        picture = np.ascontiguousarray(photos["coffee"][number : number + 60, :90])
        images.write(tmp_path / "album" / f"{number // 10}" / f"{number:02}.png", picture)
    return tmp_path / "album"


def tree(folder):
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_batch_that_is_killed_every_50_ms_is_whole_and_the_same_command_goes_on(album, tmp_path):
    assert finish(start(tmp_path, album, "-o", "expected"))[0] == 0
    expected, killed = tree(tmp_path / "expected"), 0
    assert len(expected) == 40
    for number, delay in enumerate(np.arange(0.0, 0.45, 0.05)):
        process = start(tmp_path, album, "-o", "out")
        while "photo" not in process.stderr.readline():
            pass
        time.sleep(delay)
        process.send_signal(signal.SIGKILL if number % 3 else signal.SIGTERM)
        killed += finish(process)[0] < 0 or process.returncode == 128 + signal.SIGTERM
        left = tree(tmp_path / "out")
        whole = {name: data for name, data in left.items() if Path(name).name[0] != "."}
        assert whole.items() <= expected.items()
        if not number % 3:
            assert whole == left  # SIGTERM leaves nothing else
        if number == 4:  # in between, one that goes on to the end
            status, lines = finish(start(tmp_path, album, "-o", "out"))
            assert status == 0
            assert lines[-1] == "out: 40 colorized, 0 failed" or "was killed here" in lines[-1]
            assert tree(tmp_path / "out") == expected
            shutil.rmtree(tmp_path / "out")
    assert killed >= 6
    assert finish(start(tmp_path, album, "-o", "out"))[0] == 0
    assert tree(tmp_path / "out") == expected


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 KB, if this user may have one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_full_is_one_line_a_photo_and_nothing_half_written(
    album, tmp_path, small_disk
):
    status, lines = finish(start(tmp_path, album, "-o", small_disk))
    assert status == 1
    failed = [line for line in lines if line.startswith("failed: ")]
    assert 0 < len(failed) < 40
    assert all("No space left" in line and str(small_disk) in line for line in failed)
    made = tree(small_disk)
    assert len(made) == 40 - len(failed)
    for name in made:
        assert images.read(small_disk / name).shape == (60, 90, 3)


def test_a_disk_that_is_full_ends_preparing_in_one_line(album, tmp_path, small_disk):
    command = [sys.executable, ROOT / "tools" / "prepare_photos.py", "--num_workers", "0"]
    flags = ["--image_dir", album, "--output", small_disk / "out"]
    for more in ((), ("--shards", "40")):
        done = subprocess.run(
            [*map(str, command + flags), *more], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert ": No space left on device: make room, and run" in done.stderr.splitlines()[-1]
        assert not [name for name in tree(small_disk) if ".partial" in name or locks.NAME in name]
        shutil.rmtree(small_disk / "out", ignore_errors=True)


def test_an_output_that_cannot_be_written_is_one_line(album, tmp_path):
    for output in ("/proc/nothing", "/dev/null/out", album / "0" / "00.png" / "out"):
        status, lines = finish(start(tmp_path, album, "-o", output))
        assert status == 1
        assert len(lines) == 1
        assert lines[0].startswith("error: ")
        assert str(output) in lines[0]


def test_inputs_that_vanish_are_named_and_the_rest_goes_on(album, tmp_path):
    process = start(tmp_path, album, "-o", "out")
    while "photo" not in process.stderr.readline():
        pass
    shutil.rmtree(album / "3")
    status, lines = finish(process)
    failed = [line for line in lines if line.startswith("failed: ")]
    assert status == 1
    assert len(failed) == 10
    assert all("/3/" in line and "No such file" in line for line in failed)
    assert len(tree(tmp_path / "out")) == 30
