"""Downloads, from a real server: whole and checked, or one line and no file."""

import hashlib
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cic.weights import download
from cic.weights.download import DownloadError, cache_folder, fetch, sha256

DATA = bytes(range(256)) * 9000  # more than two pieces
DIGITS = hashlib.sha256(DATA).hexdigest()[:8]


class Handler(BaseHTTPRequestHandler):
    """Serves DATA under names that say how."""

    def do_GET(self):
        self.server.asked.append(self.path)
        kind = self.path.strip("/").partition("/")[0]
        if kind == "missing":
            self.send_error(404)
            return
        if kind == "garbage":
            self.wfile.write(b"this is not HTTP\r\n\r\n")
            return
        self.send_response(200)
        if kind != "unsized":
            self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        self.wfile.write(DATA[: len(DATA) // 2] if kind == "truncated" else DATA)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server of this machine: its address, and what it was asked for."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.asked = []
    running.address = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.mark.parametrize("kind", ["whole", "unsized"])
def test_a_file_is_downloaded_once(server, tmp_path, capsys, kind):
    url = f"{server.address}/{kind}/vgg16-{DIGITS}.pth"
    path = fetch(url, tmp_path / "new" / "cache")
    assert Path(path).read_bytes() == DATA
    assert os.path.basename(path) == f"vgg16-{DIGITS}.pth"
    assert f"vgg16-{DIGITS}.pth" in capsys.readouterr().err  # the progress bar
    assert fetch(url, tmp_path / "new" / "cache") == path
    assert len(server.asked) == 1
    assert os.listdir(tmp_path / "new" / "cache") == [f"vgg16-{DIGITS}.pth"]


def test_a_file_that_was_damaged_since_is_downloaded_again(server, tmp_path):
    url = f"{server.address}/whole/vgg16-{DIGITS}.pth"
    path = fetch(url, tmp_path)
    with open(path, "r+b") as file:
        file.write(b"other")
    assert fetch(url, tmp_path) == path
    assert Path(path).read_bytes() == DATA
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("kind", "digits", "reason"),
    [
        ("truncated", DIGITS, r"only 1,152,000 of 2,304,000 bytes came"),
        ("whole", "00c0ffee", rf"its SHA-256 is {DIGITS}\.\.\., not 00c0ffee"),
        ("missing", DIGITS, "404: Not Found"),
        ("garbage", DIGITS, "this is not HTTP: get"),
    ],
)
def test_what_goes_wrong_is_one_line_and_no_file(server, tmp_path, kind, digits, reason):
    url = f"{server.address}/{kind}/vgg16-{digits}.pth"
    with pytest.raises(DownloadError, match=reason) as caught:
        fetch(url, tmp_path)
    message = str(caught.value)
    assert message.startswith(url)
    assert "pass it as weights" in message
    assert "\n" not in message
    assert os.listdir(tmp_path) == []


def test_no_network_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # a port that nobody listens at
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x-{DIGITS}.pth"
    with pytest.raises(DownloadError, match=r"refused.*pass it as weights"):
        fetch(url, tmp_path)
    with pytest.raises(DownloadError, match=r"nowhere\.invalid.*pass it as weights"):
        fetch(f"http://nowhere.invalid/x-{DIGITS}.pth", tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_is_one_line(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match=r"file.*pass it as weights"):
        fetch(f"{server.address}/whole/x-{DIGITS}.pth", tmp_path / "file" / "cache")


def test_the_cache_is_where_caches_are(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == str(tmp_path / "x" / "cic")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == str(tmp_path / ".cache" / "cic")


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(DATA)
    assert sha256(tmp_path / "x") == hashlib.sha256(DATA).hexdigest()
    assert os.path.splitext(download.VGG16)[0].rpartition("-")[2] == "397923af"
