"""The server as its clients see it: answers, refusals, hostile requests, its end."""

import base64
import concurrent.futures
import contextlib
import io
import itertools
import json
import os
import random
import re
import signal
import socket
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cic.colorize import piped
from cic.colorize.alternatives import most_likely
from cic.colour.lab import lightness
from cic.photos import images
from cic.photos.memory import InMemory
from cic.serve.guard import MOST
from helpers.served import TOKEN, Server, data_of, form

pytestmark = pytest.mark.slow


def png(width, height, data=b""):
    """A PNG whose header says so, and whose data is something else."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_photo_comes_back_as_the_command_writes_it(server, colorizer, gray):
    exif = Image.Exif()
    exif[0x010E] = "a cat"
    data = data_of(gray, "jpeg", exif=exif)
    status, headers, body = server.post(data)
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert body == piped.colorize(colorizer, InMemory(data)).data
    assert Image.open(io.BytesIO(body)).getexif()[0x010E] == "a cat"
    assert headers["Cic-Size"] == f"{gray.width}x{gray.height}"
    assert headers["Cic-Network"] == str(colorizer.network)
    assert float(headers["Cic-Seconds"]) > 0
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_settings_and_formats_are_those_of_the_query(server, colorizer, jpeg):
    [_, second] = most_likely(
        colorizer.output(images.open_photo(InMemory(jpeg)).base), 2, colorizer.settings.decoding
    )
    tilt = ",".join(map(str, second.tilt))
    for query, accept, media, changes, ending, tilted in (
        ("?saturation=0&format=png", "", "image/png", {"saturation": 0}, ".png", None),
        (
            "?temperature=0.1&size=64",
            "",
            "image/jpeg",
            {"temperature": 0.1, "size": 64},
            None,
            None,
        ),
        ("?size=96,64", "", "image/jpeg", {"sizes": (64, 96)}, None, None),
        (f"?tilt={tilt}", "image/webp", "image/webp", {}, ".webp", second.tilt),
    ):
        status, headers, body = server.post(jpeg, query, Accept=accept)
        assert (status, headers["Content-Type"]) == (200, media)
        source = InMemory(jpeg)
        assert body == piped.colorize(colorizer.but(**changes), source, ending, tilted).data


def test_a_format_that_is_not_accepted_is_not_the_answer(server, jpeg):
    for accept, kind in (
        ("image/webp;q=0.5,image/png", "PNG"),
        ("image/jpeg;q=0,image/*", "PNG"),
        ("image/png;q=0,image/*", "JPEG"),
    ):
        assert Image.open(io.BytesIO(server.post(jpeg, Accept=accept)[2])).format == kind
    assert server.problem("POST", "/api/colorize", jpeg, Accept="image/png;q=0")[0] == 406


def test_what_the_command_notes_stands_in_a_header(server, gray, jpeg):
    pages = data_of(gray, "tiff", save_all=True, append_images=[gray, gray])
    status, headers, _ = server.post(pages)
    assert (status, headers["Cic-Notes"]) == (200, "page 1 of 3: the others are left out")
    assert "Cic-Notes" not in server.post(jpeg)[1]


def test_an_alternative_is_that_of_the_command(server, colorizer, gray):
    """Also with settings, of which it is one."""
    data = data_of(gray, "png")
    pictures = dict(colorizer.but(saturation=0.5).pictures(gray, 2))
    for number in (1, 2):
        status, _, body = server.post(data, f"?alternative={number}&saturation=0.5")
        assert status == 200
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(body))), pictures[number])
    many = len(most_likely(colorizer.output(gray.convert("RGB")), 20, colorizer.settings.decoding))
    status, detail = server.problem("POST", "/api/colorize?alternative=20", data)
    assert (status, detail) == (422, f"alternative 20: the most of this photo is {many}")


def test_a_form_gives_its_first_file(server, jpeg):
    body, kind = form(("note", None, b"hello"), ("photo", "../../etc/x\r\nA: b.jpg", jpeg))
    assert server.post(body, Content_Type=kind)[2] == server.post(jpeg)[2]


@pytest.mark.parametrize(
    ("status", "said", "data", "query", "headers"),
    [
        (400, "not a photo of a known format", b"hello, I am a text file", "", {}),
        (400, "truncated", data_of(Image.new("L", (99, 99)), "png")[:60], "", {}),
        (400, "no photo in the request", b"", "", {}),
        (413, "too large: .* pixels", png(60_000, 60_000), "", {}),
        (413, "more than 4,000,000 bytes", bytes(4_000_001), "", {}),
        (415, "send a photo", b"{}", "", {"Content_Type": "application/json"}),
        (415, "without Content-Encoding", b"x", "", {"Content_Encoding": "gzip"}),
        (415, "PDF", b"%PDF-1.7 and so on, and so on, and so on", "", {}),
        (422, "temperature must be a number", b"x", "?temperature=warm", {}),
        (422, "saturation must be a number", b"x", "?saturation=nan", {}),
        (422, "no parameter 'colour'", b"x", "?colour=1", {}),
        (422, "comes twice", b"x", "?size=64&size=65", {}),
        (422, "tilt must be two numbers", b"x", "?tilt=1", {}),
        (422, "alternative must be", b"x", "?alternative=0", {}),
        (422, "alternative must be", b"x", "?alternative=21", {}),
        (422, "send one of them", b"x", "?alternative=2&tilt=0,0", {}),
        (406, "answers are image/jpeg", b"x", "", {"Accept": "text/html"}),
        (400, "damaged", b"no form", "", {"Content_Type": "multipart/form-data; boundary=x"}),
        (403, "pages of other sites", b"x", "", {"Origin": "https://evil.example"}),
        (421, "localhost", b"x", "", {"Host": "evil.example"}),
    ],
)
def test_what_is_refused_says_why(server, status, said, data, query, headers):
    found, detail = server.problem("POST", f"/api/colorize{query}", data, **headers)
    assert found == status
    assert re.search(said, detail), detail


@pytest.mark.parametrize(
    ("code", "data", "headers"),
    [
        ("not-a-photo", b"hello, I am a text file", {}),
        ("truncated", data_of(Image.new("L", (99, 99)), "png")[:60], {}),
        ("damaged", png(20, 20, b"no deflate"), {}),
        ("no-photo", b"", {}),
        ("bad-request", b"no form", {"Content_Type": "multipart/form-data; boundary=x"}),
        ("too-large", png(60_000, 60_000), {}),
        ("too-large", bytes(4_000_001), {}),
        ("unsupported", b"%PDF-1.7 and so on, and so on, and so on", {}),
        ("forbidden", b"x", {"Origin": "https://evil.example"}),
    ],
)
def test_what_is_wrong_has_a_code(server, code, data, headers):
    _, _, body = server.ask("POST", "/api/preview", data, **headers)
    assert json.loads(body)["code"] == code


def test_other_paths_methods_and_ids(server):
    assert server.problem("GET", "/api/colorize")[0] == 405
    for path in ("/nothing", "/../setup.cfg", "/%2e%2e/setup.cfg", "/page/main.js", "//etc/passwd"):
        assert server.problem("GET", path)[0] == 404
    assert server.ask("GET", "/health", X_Request_ID="mine-1")[1]["X-Request-ID"] == "mine-1"
    for bad in ("a b", "x" * 65, "<script>"):
        assert server.ask("GET", "/health", X_Request_ID=bad)[1]["X-Request-ID"] != bad
    assert json.loads(server.logged[-1])["route"] == "/health"


def test_it_describes_itself(server):
    info = json.loads(server.ask("GET", "/api/info")[2])
    assert info["limits"] == {"bytes": 4_000_000, "pixels": 20_000_000, "seconds": 60, "queue": 4}
    described = json.loads(server.ask("GET", "/openapi.json")[2])
    for path, methods in described["paths"].items():
        for method in methods:
            assert server.ask(method.upper(), path, b"")[0] in (200, 400, 422), path
    figures = server.ask("GET", "/metrics")[2].decode()
    assert 'cic_requests_total{route="/metrics"' in server.ask("GET", "/metrics")[2].decode()
    for line in figures.splitlines():
        assert line.startswith("# TYPE cic_") or float(line.rpartition(" ")[2]) >= 0


def test_the_page_gets_what_it_makes_the_colours_of(server, colorizer, jpeg):
    """What the browser does of them is in test_page."""
    status, _, body = server.ask("POST", "/api/preview", jpeg)
    assert status == 200
    found = json.loads(body)
    own = [one for one in found["colours"] if one["temperature"] == found["temperature"]]
    assert len(own) == 1
    assert len(found["alternatives"]) >= 2
    assert found["alternatives"][0]["tilt"] == [0, 0]
    assert found["alternatives"][0]["ab"] == own[0]["ab"]
    gray = Image.open(io.BytesIO(base64.b64decode(found["gray"])))
    assert gray.size == (found["width"], found["height"])
    expected = lightness(images.read(InMemory(jpeg)))
    assert np.abs(lightness(np.asarray(gray.convert("RGB"))) - expected).mean() < 1


def raw(server, data, read=True):
    """What the server sends back to these bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as line:
        line.sendall(data)
        if not read:
            return b""
        line.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: line.recv(65536), b""))


def test_hostile_requests_do_no_harm(server, jpeg):
    head = b"POST /api/colorize HTTP/1.1\r\nHost: localhost\r\n"
    raw(server, head + b"Content-Length: 100000\r\n\r\n" + jpeg[:50], read=False)  # hangs up
    for length in (b"-1", b"1e3", b"5, 6", b"99999999999999999999"):  # lies
        assert b" 4" in raw(server, head + b"Content-Length: " + length + b"\r\n\r\nabc")[:13]
    assert b" 4" in raw(server, b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n")[:13]
    body, kind = form(*[("photo", f"{n}.png", b"x") for n in range(10_000)])
    status, detail = server.problem("POST", "/api/colorize", body, Content_Type=kind)
    assert (status, detail) == (400, "a form of more than 16 parts")
    bomb = png(4000, 4000, zlib.compress(bytes(400_000_000), 9))  # 20 times what it is to be
    assert server.post(bomb)[0] in (200, 400, 413)
    assert server.post(jpeg)[0] == 200


def test_all_that_is_logged_is_json(server):
    """Also what the packages below say of a damaged form, and of what is no HTTP."""
    before = len(server.logged)
    body, kind = form(("photo", "a.png", b"x"), boundary="x1y2")
    server.problem("POST", "/api/colorize", body, Content_Type=kind.replace("x1y2", "x1y3"))
    answer = raw(server, b"hello, who are you?\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"x-request-id" not in answer.lower()
    until = time.monotonic() + 10
    while not any("Invalid HTTP" in line for line in server.logged[before:]):
        assert time.monotonic() < until
    lines = [json.loads(line) for line in server.logged[before:]]
    assert {line.get("logger", "cic") for line in lines} >= {"uvicorn.error", "cic"}
    assert any("boundary" in line.get("message", "") for line in lines)
    assert all(line["time"] for line in lines)


def test_mutated_photos_end_nothing(server, jpeg):
    dice = random.Random(1)
    for _ in range(40):
        data = bytearray(jpeg)
        for _ in range(dice.choice([1, 5, 50])):
            data[dice.randrange(len(data))] = dice.randrange(256)
        assert server.post(bytes(data[: dice.randrange(1, len(data))]))[0] in (200, 400, 413, 415)
    assert server.post(jpeg)[0] == 200
    assert b"workers_replaced_total 0" in server.ask("GET", "/metrics")[2]


def test_slow_clients_hold_up_nobody_and_are_ended(server, jpeg):
    """They take the ten seconds that every client has: for a body, and for its headers."""
    head = b"POST /api/colorize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    place = ("127.0.0.1", server.port)
    with (
        socket.create_connection(place, timeout=60) as line,
        socket.create_connection(place, timeout=60) as other,
    ):
        line.sendall(head)
        begin = time.monotonic()
        assert server.post(jpeg)[0] == 200
        for letter in itertools.cycle(head[:40]):
            if time.monotonic() - begin > 9:
                break
            line.sendall(b"x")
            other.sendall(bytes([letter]))
            time.sleep(0.5)
        assert line.recv(1000).startswith(b"HTTP/1.1 408 ")
        with contextlib.suppress(ConnectionResetError):
            assert other.recv(1000) == b""
        assert time.monotonic() - begin < 30


def test_more_photos_than_can_wait_are_sent_away(server, jpeg):
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: server.post(jpeg), range(12)))
    statuses = sorted(status for status, _, _ in answers)
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 5
    assert all(headers["Retry-After"] for status, headers, _ in answers if status == 429)


def held(server):
    """Bytes that the processes of a server have in memory together."""
    me = Path("/proc") / str(server.process.pid)
    ids = [server.process.pid, *(me / "task" / me.name / "children").read_text().split()]
    pages = [int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in ids]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_eight_clients_get_all_their_photos_and_memory_stays(server, jpeg):
    def client(_):
        statuses = []
        while statuses.count(200) < 8:
            statuses.append(server.post(jpeg, "?size=32")[0])
            time.sleep(0.05 * (statuses[-1] == 429))
        return set(statuses)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(client, range(8)))
        before = held(server)
        assert set().union(*pool.map(client, range(8))) <= {200, 429}
    assert held(server) < before + 20e6


def test_more_connections_than_there_may_be_are_told_so(server):
    with contextlib.ExitStack() as stack:
        for _ in range(MOST):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
        status, headers, body = server.ask("GET", "/health")
        assert (status, headers["Retry-After"]) == (503, "2")
        assert json.loads(body)["detail"] == "more than 256 connections: send it again later"
    until = time.monotonic() + 10
    while server.ask("GET", "/health")[0] != 200:
        assert time.monotonic() < until


def test_a_token_is_asked_for_and_the_end_is_clean(tmp_path, jpeg):
    """Also what --cors names, and that a photo at work is finished when SIGTERM comes."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    one = Server("--token_file", tmp_path / "token", "--cors", "https://a.example")
    try:
        for wrong in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": "Bearer é"}):
            assert one.problem("POST", "/api/colorize", jpeg, **wrong)[0] == 401
        for scheme in ("bearer", "BEARER"):
            assert one.ask("GET", "/metrics", Authorization=f"{scheme} {TOKEN}")[0] == 200
        for wrong in (f"Basic {TOKEN}", TOKEN, f"Bearer{TOKEN}", f"bearer {TOKEN.upper()}"):
            assert one.problem("GET", "/metrics", Authorization=wrong)[0] == 401
        assert one.problem("GET", "/metrics")[0] == 401
        assert one.ask("GET", "/")[0] == one.ask("GET", "/health")[0] == 200
        asked = {"Origin": "https://a.example", "Authorization": f"Bearer {TOKEN}"}
        _, given, _ = one.ask("OPTIONS", "/api/colorize", Origin="https://a.example")
        assert "X-Request-ID" in given["Access-Control-Allow-Headers"]
        assert {"X-Request-ID", "Retry-After"} <= {
            *given["Access-Control-Expose-Headers"].split(", ")
        }
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            first = pool.submit(one.post, jpeg, "?size=640", **asked)  # takes long enough
            while b"workers_busy 1" not in one.ask("GET", "/metrics", **asked)[2]:
                assert not first.done()
            second = pool.submit(one.post, jpeg, **asked)
            while b"photos_waiting 1" not in one.ask("GET", "/metrics", **asked)[2]:
                assert not second.done()
            one.process.send_signal(signal.SIGTERM)
            assert first.result()[0] == 200
            assert first.result()[1]["Access-Control-Allow-Origin"] == "https://a.example"
            assert second.result()[0] == 503
        assert one.process.wait(60) == 0
    finally:
        one.process.kill()
    assert all(TOKEN not in line for line in one.logged)
