"""slots: arrays of workers come back through shared memory, whole, and leave nothing behind."""

import glob
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cic.system.parallel import AHEAD, Pool
from cic.system.slots import LARGE, Slots, packed
from helpers import ROOT

LEFT_BY = """
import time
import numpy as np
from cic.system.parallel import Pool
if __name__ == "__main__":
    with Pool(1, np.full, 30_000) as pool:
        for _ in zip(range(12), pool.map(range(1000))):
            pass
        print("ready", *pool.slots.memories, flush=True)
        time.sleep(60)
"""


def arrays(count, n):
    """Large arrays of several types, in a tuple with what is no array."""
    values = np.arange(n, n + count, dtype=np.float64)
    return values, {"index": values.astype(np.int16).reshape(2, -1).T}, f"item {n}"


def growing(n):
    return np.full(LARGE * (1 + n // 4), n % 100, np.uint8)


def same(found, count, n):
    values, rest, name = arrays(count, n)
    assert name == found[2]
    np.testing.assert_array_equal(found[0], values, strict=True)
    np.testing.assert_array_equal(found[1]["index"], rest["index"], strict=True)


def shared():
    return set(glob.glob("/dev/shm/psm_*"))


@pytest.mark.parametrize("count", [2, 30_000])
def test_a_result_goes_there_and_back_with_or_without_a_slot(count):
    slots = Slots(2)
    first = packed(arrays(count, 3), None)
    assert not any(isinstance(part, int) for part in first.arrays)
    same(slots.result(first, None), count, 3)
    slot = slots.lend()
    assert (slot is not None) == (count * 10 >= LARGE)
    second = packed(arrays(count, 4), slot)
    assert all(isinstance(part, int) for part in second.arrays) == bool(slot)
    found = slots.result(second, slot)
    slots.close()
    same(found, count, 4)
    found[0][0] = 1  # it is the caller's own
    assert slots.lend() is None or slot


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 3])
def test_a_pool_gives_equal_arrays_in_order_and_no_memory_stays(chunk):
    before = shared()
    with Pool(2, arrays, 30_000) as pool:
        kept = list(pool.map(range(40), chunk))
        assert 0 < len(pool.slots.memories) <= 2 * AHEAD + 1
        assert shared() > before
        assert sorted(pool.slots.free) == sorted(pool.slots.memories)
    for n, found in enumerate(kept):
        same(found, 30_000, n)
    assert shared() == before


@pytest.mark.slow
def test_results_that_grow_get_larger_slots():
    with Pool(1, growing) as pool:
        for n, found in enumerate(pool.map(range(40))):
            np.testing.assert_array_equal(found, growing(n), strict=True)
        assert len(pool.slots.memories) <= AHEAD + 1
        assert max(memory.size for memory in pool.slots.memories.values()) > 5 * LARGE


@pytest.mark.slow
def test_a_list_that_is_left_early_gives_its_slots_back():
    with Pool(1, arrays, 30_000) as pool:
        for _ in range(4):
            results = pool.map(range(100))
            for n in range(8):
                same(next(results), 30_000, n)
            results.close()
        assert len(pool.slots.memories) <= AHEAD + 1
        for n, found in enumerate(pool.map(range(10))):
            same(found, 30_000, n)
        assert sorted(pool.slots.free) == sorted(pool.slots.memories)


def test_without_room_in_shared_memory_results_take_the_pipe(monkeypatch):
    def full(descriptor, start, length):
        raise OSError(28, "No space left on device")

    before, slots = shared(), Slots(3)
    same(slots.result(packed(arrays(30_000, 1), None), None), 30_000, 1)
    monkeypatch.setattr(os, "posix_fallocate", full)
    assert slots.lend() is None
    monkeypatch.undo()
    assert slots.lend() is None  # it is not tried again for every result
    assert shared() == before


@pytest.mark.slow
def test_a_killed_process_leaves_no_shared_memory():
    process = subprocess.Popen(
        [sys.executable, "-c", LEFT_BY], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    names = process.stdout.readline().split()[1:]
    assert names and all(os.path.exists(f"/dev/shm/{name}") for name in names)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for _ in range(100):
        if not any(os.path.exists(f"/dev/shm/{name}") for name in names):
            return
        time.sleep(0.1)
    pytest.fail(f"still there: {names}")
