"""A watched folder: when a photo is whole, that nothing is done twice, how a watch ends."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from cic.colorize.arrivals import LEDGER, Arrivals, Journal, State, check_apart, look
from cic.system.errors import InputError
from helpers import ROOT
from helpers.painter import paint


@pytest.fixture
def places(tmp_path):
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    return tmp_path / "in", tmp_path / "out"


@pytest.fixture
def start(places):
    """Start to watch, as a new process would; (Arrivals, the lines that it says)."""

    def begin(settle=0.0):
        said = []
        return Arrivals(paint(), *map(str, places), said.append, settle), said

    return begin


def put(folder, name, photo):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(path)
    return path


def made(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.name != LEDGER)


def test_names_of_files_on_their_way_are_passed_over(places, photo):
    folder, _ = places
    put(folder, "deep/er/x.png", photo)
    put(folder, "y.JPG", photo)
    for name in (".y.jpg.Ab12", "y.jpg.part", "y.jpg~", ".hidden.jpg", "~y.jpg", "notes.txt"):
        shutil.copyfile(folder / "y.JPG", folder / name)
    shutil.copytree(folder / "deep", folder / ".stage")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "circle").symlink_to(folder)
    (folder / "lost.jpg").symlink_to(folder / "nowhere")
    assert sorted(name for name, _ in look(str(folder))) == ["deep/er/x.png", "y.JPG"]


def test_a_photo_is_taken_once_it_has_stayed_as_it_is(places, start, photo):
    folder, output = places
    arrivals, said = start(settle=0.3)
    data = put(folder, "x.png", photo).read_bytes()
    for end in (len(data) // 3, len(data) // 2, len(data)):
        (folder / "x.png").write_bytes(data[:end])
        arrivals.turn()
        time.sleep(0.2)
        arrivals.turn()
        assert made(output) == []
    time.sleep(0.2)
    arrivals.turn()
    assert made(output) == ["x.png"]
    assert said == [f"{output / 'x.png'}: colorized"]


def test_an_empty_file_is_named_once_no_photo_has_come(places, start, monkeypatch):
    folder, _ = places
    (folder / "empty\n.jpg").touch()
    arrivals, said = start()
    arrivals.turn()
    assert said == []
    monkeypatch.setattr("cic.colorize.arrivals.EMPTY", 0.0)
    arrivals.turn()
    arrivals.turn()
    (line,) = said
    assert line.startswith("failed: ")
    assert "empty\\n.jpg" in line


def test_the_line_on_a_photo_is_one_line(places, start, photo):
    put(places[0], "a\nb.png", photo)
    arrivals, said = start()
    arrivals.turn()
    assert said == [f"{places[1]}/a\\nb.png: colorized"]


def test_nothing_is_done_twice_and_what_changed_is_done_again(places, start, photo):
    folder, output = places
    put(folder, "a/x.png", photo)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no photo")
    arrivals, said = start()
    arrivals.turn()
    assert (arrivals.done, arrivals.failed) == (1, 1)
    assert "broken.jpg" in said[0]
    assert (folder / "broken.jpg").exists()
    first = (output / "a" / "x.png").read_bytes()
    arrivals.turn()
    again, said = start()
    again.turn()
    assert (again.done, again.failed, said) == (0, 0, [])
    old = (output / "a" / "x.png").stat().st_mtime
    put(folder, "a/x.png", photo[::-1].copy())
    os.utime(folder / "a" / "x.png", (old - 1000, old - 1000))  # moved here, with its own time
    again.turn()
    assert again.done == 1
    assert (output / "a" / "x.png").read_bytes() != first


def test_a_result_that_a_kill_left_unlisted_is_not_made_again(places, start, photo):
    folder, output = places
    put(folder, "x.png", photo)
    start()[0].turn()
    lines = (output / LEDGER).read_bytes()
    for left in (b"", lines[:-4]):  # before the line, and in it
        (output / LEDGER).write_bytes(left)
        again, said = start()
        again.turn()
        assert (again.done, said) == (0, [])
        assert (output / LEDGER).read_bytes() == lines


def test_two_photos_of_one_result_do_not_overwrite_each_other(places, start, photo):
    folder, output = places
    put(folder, "x.png", photo)
    arrivals, said = start()
    arrivals.turn()
    first = (output / "x.png").read_bytes()
    put(folder, "x.gif", photo[::-1].copy())
    os.utime(folder / "x.gif", (0, 0))
    arrivals.turn()
    again, heard = start()
    again.turn()
    assert (output / "x.png").read_bytes() == first
    assert "x.gif': " in said[-1]
    assert "is the result of 'x.png' already" in said[-1]
    assert heard == []


def test_a_folder_that_goes_is_waited_for(places, start, photo):
    folder, output = places
    arrivals, said = start()
    folder.rename(folder.parent / "away")
    arrivals.turn()
    arrivals.turn()
    assert len(said) == 1
    assert "waiting for it" in said[0]
    (folder.parent / "away").rename(folder)
    put(folder, "x.png", photo)
    arrivals.turn()
    assert made(output) == ["x.png"]


def test_what_goes_with_its_folder_is_coloured_once_that_is_back(places, start, photo, tmp_path):
    folder, output = places
    for name in ("a.png", "b.png", "c.png"):
        put(folder, name, photo)
    arrivals, said = start()

    def go_away(line):
        said.append(line)
        if folder.exists():
            folder.rename(tmp_path / "away")

    arrivals.say = go_away
    arrivals.turn()
    arrivals.turn()
    assert made(output) == ["a.png"]
    (tmp_path / "away").rename(folder)
    arrivals.say = said.append
    arrivals.turn()
    assert made(output) == ["a.png", "b.png", "c.png"]
    assert arrivals.done == 3
    assert not [line for line in said if "failed" in line]


def test_another_file_is_not_taken_for_the_list(tmp_path):
    (tmp_path / "x").write_text("shopping\nmilk\n")
    with pytest.raises(InputError, match="no list of watched photos"):
        Journal(str(tmp_path / "x"))
    assert (tmp_path / "x").read_text() == "shopping\nmilk\n"
    ledger = Journal(str(tmp_path / "y"))
    ledger.add("a\n\udcffb.jpg", State(3, 10**18 + 1))
    assert Journal(str(tmp_path / "y")).known == ledger.known


def test_folders_in_each_other_are_refused(places):
    folder, output = map(str, places)
    check_apart(folder, output)
    for pair in ((folder, folder), (folder, folder + "/x"), (output + "/..", folder)):
        with pytest.raises(InputError, match="one folder lies in the other"):
            check_apart(*pair)
    with pytest.raises(InputError, match="no such folder"):
        check_apart(folder + "/none", output)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_watch_ends_cleanly(places, photo, number):
    """A real process: it is about signals."""
    folder, output = places
    put(folder, "x.png", photo)
    command = ["-m", "cic", "watch", folder, output, "--settle", "0", "--backend", "onnx"]
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "watching" in process.stdout.readline()
    assert "colorized" in process.stdout.readline()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out == f"{output}: 1 colorized, 0 failed\n"
    assert made(output) == ["x.png"]  # no lock, nothing half-written
