"""Decide how many threads compute at once: one rule for every runner and every stage of a pipeline.

OMP_NUM_THREADS or the flag --threads wins. Else the number is that of the cores that this process
may use, by affinity and its control groups' quota; a single computation takes no more of them than
other processes leave free. The reason: threads that wait for each other at every layer are as slow
as the slowest. On two cores, one of them busy, two threads take three times as long as one.

The output of a network differs in its last bits with the number of its threads. So each photo of a
batch gets one thread, and several photos run at once (`batch_of`): results do not depend on the
machine or its load.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cic.system.groups import folders, lines

LOOK = 0.1  # seconds at least over which the load is looked at
AGAIN = 5.0  # seconds after which it is looked at anew
KEPT = 2  # numbers of threads for which an engine is kept: of photos one, of films more
_USER, _NICE, _SYSTEM, _IDLE, _IOWAIT = range(5)  # columns of /proc/stat, in ticks; then irq ...
_VARIABLE = "OMP_NUM_THREADS"
# Processes of one launch on this machine share its cores.
_BESIDE = (
    "LOCAL_WORLD_SIZE", "PADDLE_LOCAL_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS",
    "SLURM_NTASKS_PER_NODE",
)  # fmt: skip

_asked: int | None = None  # by --threads
_given = os.environ.get(_VARIABLE, "")  # before a framework sets it
_parts: int | None = None  # of a batch of `batch_of`


def limit(count: int | None) -> None:
    """Let `count` threads compute from now on, in this process; None: by the rule."""
    global _asked
    _asked = count


@contextmanager
def batch_of(parts: int | None) -> Iterator[None]:
    """A context in which `parts` parts of a batch are worked on at once; None: there is no
    batch.
    """
    global _parts
    before, _parts = _parts, parts
    try:
        yield
    finally:
        _parts = before


def total() -> int:
    """Return the threads that may compute at once, however busy the machine is."""
    return asked() or cores()


def for_computation() -> int:
    """Return the threads that a computation should take whose result does not depend on their
    number.
    """
    return max(1, (asked() or _free()) // (_parts or 1))


def for_network() -> int:
    """Return the threads that a network should take: of a batch, one."""
    return 1 if _parts else for_computation()


def asked() -> int | None:
    """Return what the user asks for, by --threads or the variable; None if nothing."""
    if _asked:
        return _asked
    text = _given.partition(",")[0].strip()
    return int(text) if text.isdecimal() and int(text) else None


def cores() -> int:
    """Return the cores that this process may use: of its affinity, its quota and its launch."""
    beside = next((text for key in _BESIDE if (text := os.environ.get(key))), "1")
    processes = int(beside) if beside.isdecimal() else 1
    return max(1, int(min(len(_allowed()), _quota()) / max(1, processes)))


def _allowed() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _quota() -> float:
    """Return the cores that the control groups allow, version 2 and 1."""
    found = [float("inf")]
    for folder in folders("/sys/fs/cgroup", "cpu"):
        found += _ratio("".join(lines(os.path.join(folder, "cpu.max"))).split())
    for folder in folders("/sys/fs/cgroup/cpu", "cpu"):
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        found += _ratio(["".join(lines(os.path.join(folder, name))).strip() for name in names])
    return min(found)


def _ratio(texts: list[str]) -> list[float]:
    try:
        quota, period = map(int, texts)
    except ValueError:  # "max", or there is none
        return []
    return [quota / period] if quota > 0 and period > 0 else []


class _Load:
    """The number of cores that other processes keep busy."""

    def __init__(self) -> None:
        self.before = self._look()
        self.busy: float | None = None

    def now(self) -> float:
        """Return the cores that others kept busy since it was looked at last, some seconds ago at
        most.
        """
        if self.busy is None:
            time.sleep(max(0.0, LOOK - (time.monotonic() - self.before[0])))
        elif time.monotonic() - self.before[0] < AGAIN:
            return self.busy
        after = self._look()
        seconds, others = (new - old for new, old in zip(after, self.before))
        self.before, self.busy = after, max(0.0, others / seconds)
        return self.busy

    def _look(self) -> tuple[float, float]:
        """Return (seconds, seconds that other processes computed on our cores)."""
        own = os.times()
        all_of_them = self._ticks() / os.sysconf("SC_CLK_TCK") if lines("/proc/stat") else 0.0
        return time.monotonic(), max(0.0, all_of_them - sum(own[:4])) if all_of_them else 0.0

    def _ticks(self) -> int:
        # What runs at a lower priority gives way; if this process does, it is busy to it, too.
        gives_way, allowed = os.nice(0) > 0, _allowed()
        ticks = 0
        for line in lines("/proc/stat"):
            name, *columns = line.split()
            if name[:3] == "cpu" and name[3:].isdecimal() and int(name[3:]) in allowed:
                numbers = list(map(int, columns[:8]))
                ticks += sum(numbers) - numbers[_IDLE] - numbers[_IOWAIT]
                ticks -= 0 if gives_way else numbers[_NICE]
        return ticks


_load = _Load()


def _free() -> int:
    """Return the cores that others leave free, rounded; at least 1."""
    return max(1, min(cores(), int(len(_allowed()) - _load.now() + 0.5)))
