"""The end of a server and of its processes: what is at work is finished, all else told at once."""

import asyncio
import concurrent.futures
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from cic.serve.figures import Figures
from cic.serve.guard import Guard
from helpers.served import Server

pytestmark = pytest.mark.slow
SLOW = "?size=1024,1023,1022,1021"


class Hasty(Server):
    """One that gives photos at work half a second."""

    PROGRAM = (
        "-c",
        "import runpy; from cic.serve import running; running.GOODBYE = 0.5; "
        "runpy.run_module('cic', run_name='__main__')",
    )


@pytest.fixture
def mortal(request):
    made = getattr(request, "param", Server)()
    yield made
    made.process.kill()
    made.process.wait()


def until_metrics_say(server, line):
    until = time.monotonic() + 30
    while line not in server.ask("GET", "/metrics")[2]:
        assert time.monotonic() < until


def test_bodies_on_their_way_are_refused_at_once(mortal):
    head = b"POST /api/colorize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", mortal.port), timeout=30) as line:
        line.sendall(head + bytes(1000))
        until_metrics_say(mortal, b"upload_bytes_held 1000")
        begin = time.monotonic()
        mortal.process.send_signal(signal.SIGTERM)
        said = b"".join(iter(lambda: line.recv(65536), b""))
    assert said.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 2" in said.lower()
    assert b"the server is stopping" in said
    assert mortal.process.wait(60) == 0
    assert time.monotonic() - begin < 15  # not the 20 that photos at work have
    assert not any("Traceback" in line for line in mortal.logged)


def test_while_a_photo_is_finished_all_else_is_answered(mortal, jpeg):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(mortal.post, jpeg, "?size=1024")
        until_metrics_say(mortal, b"workers_busy 1")
        mortal.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        for method, path in (("GET", "/health"), ("POST", "/api/colorize")):
            status, headers, _ = mortal.ask(method, path, jpeg)
            assert (status, headers["Retry-After"]) == (503, "2")
        assert mortal.ask("GET", "/api/info")[0] == 200
        assert not first.done()
        assert first.result()[0] == 200
    assert mortal.process.wait(60) == 0


@pytest.mark.parametrize("mortal", [Hasty], indirect=True)
def test_a_photo_that_is_not_done_in_time_is_refused(mortal, jpeg):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(mortal.problem, "POST", f"/api/colorize{SLOW}", jpeg)
        until_metrics_say(mortal, b"workers_busy 1")
        mortal.process.send_signal(signal.SIGTERM)
        assert first.result() == (503, "the server is stopping")
    assert mortal.process.wait(60) == 0
    assert not any("Traceback" in line for line in mortal.logged)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_that_is_killed_while_idle_is_replaced_before_the_next_photo(mortal, jpeg):
    me = Path("/proc") / str(mortal.process.pid)
    for one in (me / "task" / me.name / "children").read_text().split():
        if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes():
            os.kill(int(one), signal.SIGKILL)
    until_metrics_say(mortal, b"workers_replaced_total 1")
    until_metrics_say(mortal, b"\ncic_workers 1")
    assert mortal.post(jpeg)[0] == 200


def test_a_request_that_the_end_cuts_off_is_answered():
    async def hangs(scope, receive, send):
        await asyncio.sleep(1000)

    async def steps():
        sent, scope = [], {"type": "http", "method": "GET", "path": "/", "headers": []}

        async def send(message):
            sent.append(message)

        guard = Guard(hangs, Figures(), [], local=False)
        task = asyncio.create_task(guard(scope, None, send))
        await asyncio.sleep(0.1)
        task.cancel()
        await task
        return sent

    start, body = asyncio.run(steps())
    assert start["status"] == 503
    assert (b"retry-after", b"2") in start["headers"]
    assert b"the server is stopping" in body["body"]
