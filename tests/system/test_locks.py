"""Two runs in one folder: who is let in, what a kill leaves, and what is said."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from cic.photos import images
from cic.system import errors, files, locks
from cic.system.shares import WHOLE, Share
from helpers import ROOT, started

pytestmark = pytest.mark.slow

HOLD = """
import select, sys
from cic.system import console, locks
def main():
    with locks.held(sys.argv[1]) as was_killed:
        print(was_killed, flush=True)
        while not select.select([sys.stdin], [], [], 0.1)[0]:
            pass  # a signal that comes just before a call that waits for ever would not end it
console.run(main)
"""


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def owner(tmp_path):
    """A process that holds the lock of the folder "out", and says so."""
    process = start(HOLD, tmp_path / "out")
    assert process.stdout.readline() == "False\n"
    yield process
    process.kill()
    process.communicate()


def claim(folder, **changes):
    """Leave the file of an owner, changed; its path."""
    path = Path(folder) / locks.NAME
    path.parent.mkdir(exist_ok=True)
    owner = {"pid": 12, "host": "far", "machine": "another", "since": "2026-01-02 03:04:05"}
    path.write_text(json.dumps(owner | changes))
    return path


def test_another_run_is_named_and_let_in_afterwards(owner, tmp_path):
    second = start(HOLD, tmp_path / "out")
    _, said = second.communicate(timeout=60)
    assert second.returncode == 1
    assert len(said.splitlines()) == 1
    for words in (f"process {owner.pid} on {os.uname().nodename}", "out: ", "wait until it ends"):
        assert words in said
    assert (tmp_path / "out" / locks.NAME).exists()
    owner.communicate("", timeout=60)
    assert not (tmp_path / "out").exists()
    with locks.held(tmp_path / "out") as was_killed:
        assert not was_killed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_after_a_kill_the_folder_is_free_and_after_the_next_run_clean(
    owner, tmp_path, number, capsys
):
    owner.send_signal(number)
    owner.wait(timeout=60)
    hard = number == signal.SIGKILL
    assert (tmp_path / "out").exists() == hard
    with locks.held(tmp_path / "out") as was_killed:
        assert was_killed == hard
    said = capsys.readouterr().err
    assert said.count("\n") == hard
    assert (f"process {owner.pid} on" in said) == hard
    assert not list((tmp_path).glob("out/*"))


def test_the_owner_of_another_machine_counts_as_alive_while_it_gives_signs(tmp_path):
    path = claim(tmp_path / "out")
    named = r"process 12 on far, begun 2026-01-02 03:04:05,"
    with pytest.raises(locks.LockedError, match=named):  # noqa: SIM117
        with locks.held(tmp_path / "out"):
            pass
    assert json.loads(path.read_text())["pid"] == 12
    past = time.time() - locks.SILENT - 1
    os.utime(path, (past, past))
    with locks.held(tmp_path / "out") as was_killed:
        assert was_killed
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not path.exists()


def test_a_patient_run_waits_for_signs_of_another_machine(tmp_path, monkeypatch, capsys):
    path = claim(tmp_path / "out")
    monkeypatch.setattr(locks, "BEAT", 0.5)
    monkeypatch.setattr(locks, "SILENT", 1)
    begin = time.monotonic()
    with locks.held(tmp_path / "out", patient=True) as was_killed:
        assert was_killed
        assert time.monotonic() - begin > 0.5
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("if it was killed, this works again in 1 seconds: waiting for that")
    assert second.endswith("was killed here: going on")
    path = claim(tmp_path / "out")
    monkeypatch.setattr(locks, "_now", lambda _: path.stat().st_mtime)  # it gives signs
    with pytest.raises(locks.UnsureError):  # noqa: SIM117
        with locks.held(tmp_path / "out", patient=True):
            pass


@pytest.mark.parametrize("content", ["", "{", "[1]", "[" * 100_000, '{"pid": 3}', "\udcff"])
def test_a_file_that_says_nothing_locks_nobody_out_for_long(tmp_path, content):
    path = tmp_path / locks.NAME
    path.write_bytes(content.encode(errors="surrogateescape"))
    os.utime(path, (1, 1))
    with locks.held(tmp_path):
        pass
    assert not path.exists()


def test_without_flock_the_signs_of_life_decide(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(locks.fcntl, "flock", none)
    monkeypatch.setattr(locks, "BEAT", 0.05)
    with locks.held(tmp_path):
        path = tmp_path / locks.NAME
        os.utime(path, (1, 1))
        time.sleep(0.5)
        with pytest.raises(locks.LockedError, match="is writing"):  # noqa: SIM117
            with locks.held(tmp_path):
                pass
    with locks.held(tmp_path) as was_killed:
        assert not was_killed


def test_many_at_once_come_one_after_the_other(tmp_path):
    code = """
import os, sys, time
from cic.system import locks
done = 0
while done < 15:
    try:
        with locks.held(sys.argv[1]):
            inside = os.open(sys.argv[2], os.O_CREAT | os.O_EXCL)
            time.sleep(0.001)
            os.close(inside)
            os.unlink(sys.argv[2])
            done += 1
    except locks.LockedError:
        time.sleep(0.001)
"""
    runs = [start(code, tmp_path / "out", tmp_path / "inside") for _ in range(3)]
    for run in runs:
        _, said = run.communicate(timeout=120)
        assert (run.returncode, said) == (0, "")
    assert list(tmp_path.rglob("*")) in ([], [tmp_path / "out"])


def test_what_a_killed_run_left_half_written_is_removed_and_no_more(tmp_path):
    with files.replacing(tmp_path / "sub" / "a.png") as fresh:
        half = Path(fresh)
    for name in ("a.png", half.name):
        (tmp_path / "sub" / name).write_text("x")
    with locks.cleaned(tmp_path):
        assert (tmp_path / "sub" / half.name).exists()  # perhaps of a run that asks for no lock
    claim(tmp_path, machine=locks._machine())
    with locks.cleaned(tmp_path):
        assert sorted(os.listdir(tmp_path / "sub")) == ["a.png"]


def test_what_a_kill_left_beside_a_single_file_goes_before_it_is_written_again(tmp_path):
    for name in (".r.abcdefg1.partial.sh", ".r2.abcdefg1.partial.sh", ".r.abcdefg1.sh"):
        (tmp_path / name).touch()
    with files.replacing(tmp_path / "r.sh") as fresh:  # somebody is writing it
        files.check(tmp_path / "r.sh")
        assert os.path.exists(fresh)
    assert sorted(os.listdir(tmp_path)) == [".r.abcdefg1.sh", ".r2.abcdefg1.partial.sh", "r.sh"]


@pytest.mark.parametrize("named", [False, True])
def test_a_full_disk_names_the_file_that_somebody_wanted(tmp_path, named):
    """Not the fresh one beside it, which nobody knows."""
    with pytest.raises(OSError, match=rf"No space left.*'{tmp_path}/w\.pth'"):  # noqa: SIM117
        with files.replacing(tmp_path / "w.pth") as outer, files.replacing(outer) as inner:
            raise OSError(28, "No space left on device", *([inner] if named else []))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_is_in_the_way_of_the_lock_is_one_error(tmp_path, kind):
    path = tmp_path / locks.NAME
    {"pipe": os.mkfifo, "link": lambda p: p.symlink_to("/etc/passwd"), "folder": os.mkdir}[kind](
        path
    )
    helps = "" if kind == "link" else ".*: remove it"
    with pytest.raises(OSError, match=f"{tmp_path}{helps}"):  # noqa: SIM117
        with locks.held(tmp_path):
            pass


def test_folders_that_were_made_for_nothing_go_again(tmp_path):
    with locks.held(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert os.listdir(tmp_path) == []
    with locks.held(tmp_path / "a" / "b"):
        (tmp_path / "a" / "kept").touch()
    assert os.listdir(tmp_path / "a") == ["kept"]


@pytest.mark.parametrize("tool", ["colorize", "test", "prepare_photos", "train"])
def test_every_tool_that_fills_a_folder_asks(owner, tmp_path, photos, tool):
    images.write(tmp_path / "in" / "a.png", np.ascontiguousarray(photos["coffee"][:64, :64]))
    flags = {
        "colorize": ("in", "-o", "out", "--backend", "torch"),
        "test": ("--image_dir", "in", "--result_path", "out", "--backend", "torch"),
        "prepare_photos": ("--image_dir", "in", "--output", "out", "--num_workers", "0"),
        "train": (
            *(
                "--image_dir",
                "in",
                "--model_path",
                "new",
                "--log_path",
                "out",
                "--backend",
                "torch",
            ),
            *("--option", "width=0.125", "--load_size", "64", "--crop_size", "56"),
        ),
    }[tool]
    done = started.run(ROOT / "tools" / f"{tool}.py", *flags, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: out: process {owner.pid} on")
    assert os.listdir(tmp_path / "out") == [locks.NAME]
    assert not (tmp_path / "new").exists()


def test_locks_of_many_folders_are_held_at_once(tmp_path):
    with ExitStack() as stack:
        for name in "abc":
            stack.enter_context(locks.held(tmp_path / name))
        assert len(list(tmp_path.glob(f"*/{locks.NAME}"))) == 3
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_in_the_way_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    named = r"cannot be written: .*/file is not a folder"
    for folder in ("file", "file/a", "file/a/b"):
        with pytest.raises(errors.FileError, match=named), locks.held(tmp_path / folder):
            pass


@contextmanager
def refused():
    with pytest.raises(locks.LockedError, match="is writing into this folder"):
        yield


def test_shares_of_one_division_work_beside_each_other_and_nobody_else(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "GLANCE", 0.1)
    out = tmp_path / "out"
    with locks.held(out, Share(0, 2)), locks.held(out, Share(1, 2)):
        for other in (WHOLE, Share(0, 2), Share(0, 3)):
            with refused(), locks.held(out, other):
                pass
        assert sorted(os.listdir(out / locks.SHARES)) == ["0-of-2", "1-of-2"]
    assert not out.exists()
    with locks.held(out), refused(), locks.held(out, Share(0, 2)):
        pass
    assert not out.exists()


def test_what_a_killed_share_left_goes_but_not_what_another_share_is_writing(tmp_path):
    (tmp_path / locks.SHARES).mkdir()
    claim(tmp_path / locks.SHARES, machine=locks._machine()).rename(
        tmp_path / locks.SHARES / "1-of-2"
    )
    half = tmp_path / ".a.abcdefg1.partial.png"
    half.touch()
    with (
        locks.held(tmp_path, Share(0, 2)),
        files.replacing(tmp_path / "b.png") as fresh,
        locks.cleaned(tmp_path, Share(1, 2)),
    ):
        assert not half.exists()
        assert os.path.exists(fresh)
    assert sorted(os.listdir(tmp_path)) == ["b.png"]


@pytest.mark.parametrize("next_run", [WHOLE, Share(0, 3)])
def test_a_killed_share_locks_no_run_of_another_division_out(tmp_path, next_run):
    (tmp_path / locks.SHARES).mkdir()
    claim(tmp_path / locks.SHARES, machine=locks._machine()).rename(
        tmp_path / locks.SHARES / "1-of-2"
    )
    with locks.held(tmp_path, next_run) as was_killed:
        assert was_killed
    assert not list(tmp_path.iterdir())


def test_several_shares_find_a_killed_run_at_once(tmp_path):
    claim(tmp_path, machine=locks._machine())
    code = """
import sys
from cic.system import locks
from cic.system.shares import Share
with locks.held(sys.argv[1], Share(int(sys.argv[2]), 3)):
    print("in", flush=True)
    sys.stdin.read()
"""
    runs = [start(code, tmp_path, number) for number in range(3)]
    assert [run.stdout.readline() for run in runs] == ["in\n"] * 3
    for run in runs:
        assert run.communicate("", timeout=60)[1] == ""
    assert not list(tmp_path.iterdir())
