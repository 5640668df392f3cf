"""files: a second name for a file, and what replaces it; background: one job at a time."""

import os
import threading
from pathlib import Path

import pytest

from cic.system import files
from cic.system.background import Background
from cic.system.errors import FileError


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def refuse(*_):
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_gets_another_name_and_each_can_be_replaced(tmp_path, monkeypatch, has_links):
    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("new")
    two.write_text("old")
    for _ in range(2):  # again, it stays as it is
        files.give_name(one, two)
        assert (one.read_text(), two.read_text()) == ("new", "new")
        assert os.path.samefile(one, two) == has_links
        assert names_in(tmp_path) == ["one", "two"]
    with files.replacing(one) as fresh, open(fresh, "w") as file:
        file.write("newer")
    assert (one.read_text(), two.read_text()) == ("newer", "new")


def test_what_cannot_be_copied_leaves_the_old_file(tmp_path, monkeypatch):
    def full(path, fresh):
        with open(fresh, "w") as file:
            file.write("ne")
        raise OSError(28, "No space left on device", fresh)

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(files.shutil, "copyfile", full)
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("new")
    two.write_text("old")
    with pytest.raises(OSError, match=f"No space left .* '{two}'"):
        files.give_name(one, two)
    assert names_in(tmp_path) == ["one", "two"]
    assert two.read_text() == "old"


def test_jobs_run_one_after_the_other_and_an_error_comes_with_the_next_call():
    background, order, go = Background(), [], threading.Event()

    def first():
        assert go.wait(60)
        order.append("first")

    def fail():
        order.append("second")
        raise OSError(28, "No space left on device")

    background.start(first)
    assert order == []
    threading.Timer(0.05, go.set).start()
    background.start(fail)  # it waits for the first
    assert order[0] == "first"
    with pytest.raises(OSError, match="No space left"):
        background.start(order.append, "third")
    background.wait()  # the error came once
    assert order == ["first", "second"]


def test_ctrl_c_just_after_a_file_took_its_place_is_no_error_of_the_file(tmp_path, monkeypatch):
    replace = os.replace

    def interrupted(source, target):
        replace(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), files.replacing(tmp_path / "a") as fresh:
        Path(fresh).write_text("whole")
    assert (tmp_path / "a").read_text() == "whole"


def test_a_path_that_no_system_takes_is_refused_before_any_work(tmp_path):
    with pytest.raises(FileError, match=r"bytes; a path of 4095 can be written"):
        files.check(tmp_path / ("d/" * 2100) / "x.png")
