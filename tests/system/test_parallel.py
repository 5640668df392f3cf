"""parallel: results in order from any number of processes, and what goes wrong in them."""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from multiprocessing.connection import Connection

import pytest

from cic.photos import images
from cic.system import interrupts
from cic.system.parallel import AHEAD, Pool
from helpers import ROOT

pytestmark = pytest.mark.slow


def weighted(factor, item):
    time.sleep(0.002 * (item % 3))  # so that later ones are ready earlier
    return factor * item


def refuse(item):
    if item == 5:
        raise images.PhotoError(f"{item}: refused", "damaged")
    return item


def kill_yourself(item):
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def kill_yourself_while_answering(item):
    def send_half(connection, data):
        os.write(connection.fileno(), data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    Connection._send = send_half
    return bytes(1000)


def kill_yourself_or_sleep(item):
    if item == 0:
        time.sleep(1)  # the other one is at work by then
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def end_yourself(item):
    if item == 3:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
    return item


def limit(_):
    return images.pixel_limit()


def test_a_script_without_a_guard_is_run_once(tmp_path):
    (tmp_path / "script.py").write_text(
        "from cic.system.parallel import Pool\n"
        "print('begun')\n"
        "with Pool(2, max) as pool:\n"
        "    print(*pool.map([(2, 3)] * 3))\n"
    )
    run = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "begun\n3 3 3\n"


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_results_come_in_order(workers, chunk):
    with Pool(workers, weighted, 7) as pool:
        for _ in range(2):
            assert list(pool.map(range(30), chunk)) == [7 * n for n in range(30)]
        assert list(pool.map([])) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_few_are_taken_ahead_of_an_endless_list(workers):
    taken = []
    items = (taken.append(n) or n for n in count())
    with Pool(workers, weighted, 1) as pool:
        results = pool.map(items, chunk=2)
        assert [next(results) for _ in range(6)] == list(range(6))
        assert len(taken) <= 6 + 2 * (AHEAD * workers + 1)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_call_raises_is_raised_with_all_that_it_says(workers):
    with Pool(workers, refuse) as pool:
        results = pool.map(range(9))
        assert [next(results) for _ in range(5)] == list(range(5))
        with pytest.raises(images.PhotoError, match=r"^5: refused$") as caught:
            next(results)
        assert caught.value.kind == "damaged"
        assert list(pool.map(range(5))) == list(range(5))  # the pool lives on


def test_a_killed_worker_is_an_error_that_says_what_to_try():
    """Wherever it shows: while results are awaited, or when more work is handed out."""
    for pause in (0, 0.5):
        with Pool(1, kill_yourself) as pool:
            with pytest.raises(OSError, match="fewer num_workers"):
                for item in pool.map(range(50)):
                    time.sleep(pause * (item == 0))
            with pytest.raises(OSError, match="fewer num_workers"):
                list(pool.map(range(2)))


def test_a_killed_worker_takes_a_busy_one_along():
    before = time.monotonic()
    with Pool(2, kill_yourself_or_sleep) as pool, pytest.raises(OSError, match="kill"):
        list(pool.map(range(2)))
    assert time.monotonic() - before < 30


def test_workers_outlive_what_a_scheduler_sends_to_all_processes():
    with Pool(2, end_yourself) as pool:
        assert list(pool.map(range(9))) == list(range(9))


def test_what_a_scheduler_sends_to_all_processes_ends_none_that_is_starting():
    """Withheld from their first moment on: of the workers, and of what looks after their memory."""
    code = (
        "import os, signal, time\n"
        "from cic.system.parallel import Pool\n"
        "if __name__ == '__main__':\n"
        "    with Pool(1, abs) as pool:\n"
        "        with open(f'/proc/{os.getpid()}/task/{os.getpid()}/children') as file:\n"
        "            for pid in file.read().split():\n"
        "                print(open(f'/proc/{pid}/status').read())\n"
        "        assert list(pool.map([-1])) == [1]\n"
        "    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())\n"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    masks = re.findall(r"^Sig(?:Blk|Ign):\t(\w+)", run.stdout, re.MULTILINE)
    assert len(masks) == 4
    for blocked, ignored in zip(masks[::2], masks[1::2]):
        unmoved = int(blocked, 16) | int(ignored, 16)
        assert all(unmoved >> (number - 1) & 1 for number in interrupts.STOPS)


def test_all_workers_start_however_busy_the_machine(monkeypatch):
    def slowly(*arguments):
        future = submit(*arguments)
        time.sleep(0.7)  # the worker that this started could be idle by now
        return future

    submit = ProcessPoolExecutor.submit
    monkeypatch.setattr(ProcessPoolExecutor, "submit", slowly)
    with Pool(3, weighted, 7) as pool:
        monkeypatch.undo()
        assert len(pool.processes) == 3
        assert list(pool.map(range(30))) == [7 * n for n in range(30)]


def test_the_limit_of_pixels_holds_in_workers(monkeypatch):
    monkeypatch.setattr(images.Image, "MAX_IMAGE_PIXELS", images.Image.MAX_IMAGE_PIXELS)
    images.limit_pixels(1234)
    with Pool(1, limit) as pool:
        assert list(pool.map([0])) == [1234]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_is_killed_in_the_middle_of_its_answer_is_an_error(workers):
    with Pool(workers, kill_yourself_while_answering) as pool, pytest.raises(OSError, match="kill"):
        list(pool.map(range(8)))
