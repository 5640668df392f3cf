"""regular: what is no regular file never makes anybody wait, and a file that grows ends."""

import os
import socket
import threading

import numpy as np
import pytest
from PIL import Image

from cic.dataset import validity
from cic.photos import images, kinds
from cic.system.regular import has_changed, open_regular
from helpers.refusals import error_of, kind_of

pytestmark = pytest.mark.timeout(20)


def pipe(path):
    os.mkfifo(path)


def listening(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))


def device(name):
    return lambda path: path.symlink_to(f"/dev/{name}")


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.tif", "x", "x.webp"])
@pytest.mark.parametrize("make", [pipe, listening, device("zero"), device("null"), device("tty")])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, name, make):
    make(tmp_path / name)
    assert kind_of(tmp_path / name) == "refused"
    assert error_of(tmp_path / name).endswith(": not a regular file")
    assert validity.examine(tmp_path / name).kind == validity.REFUSED
    assert kinds.judged(tmp_path / name, ".unknown") == (False, None)


def test_a_pipe_that_takes_the_place_of_a_file_is_refused(tmp_path, monkeypatch):
    """Between the look at it and its opening."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    stat = os.stat(tmp_path / "file")
    monkeypatch.setattr(os, "stat", lambda path: stat)
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(tmp_path / "pipe")


@pytest.mark.parametrize("read", [lambda file: file.read(), lambda file: b"".join(file)])
def test_a_file_that_grows_ends_where_it_ended(tmp_path, read):
    (tmp_path / "x").write_bytes(b"cats" * 1000)
    with open_regular(tmp_path / "x") as file, open(tmp_path / "x", "ab") as other:
        assert file.read(7) == b"catscat"
        assert not has_changed(file)
        other.write(b"dogs" * 100_000)
        other.flush()
        assert has_changed(file)
        assert read(file) == (b"cats" * 1000)[7:]
        assert file.read(5) == b""
        assert file.seek(0, os.SEEK_END) == 4000
        assert file.seek(-4, os.SEEK_END) == 3996
        assert file.read(100) == b"cats"


@pytest.mark.parametrize("suffix", [".webp", ".jpg", ".png", ".tif", ".gif"])
def test_a_photo_to_which_somebody_writes_for_ever_is_read_or_refused(tmp_path, photo, suffix):
    path, stop = tmp_path / f"x{suffix}", threading.Event()
    Image.fromarray(photo).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])

    def write():
        with open(path, "ab", buffering=0) as file:
            while not stop.is_set() and file.tell() < 50_000_000:
                file.write(whole[len(whole) // 2 :] + bytes(1000))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            try:
                images.read(path)
            except images.PhotoError as error:
                assert repr(str(path)) in str(error)
    finally:
        stop.set()
        writer.join()


def test_a_photo_that_is_still_being_written_is_not_called_damaged(tmp_path, photo):
    """Damaged ones are removed."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = tmp_path / "x.png"
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:5000])

    with pytest.raises(images.PhotoError) as caught, images.opened(path) as image:
        with open(path, "ab") as file:
            file.write(whole[5000:5100])
        image.load()
    assert caught.value.kind == "refused"
    assert str(caught.value).endswith("somebody is writing to it")
