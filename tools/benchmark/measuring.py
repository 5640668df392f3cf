"""How two ways of doing the same are measured and compared, and the rows that say so."""

import multiprocessing
import os
import platform
import time
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from typing import NamedTuple

import numpy as np

PACKAGES = (
    "numpy", "scikit-image", "scikit-learn", "pillow", "torch", "paddlepaddle", "onnxruntime",
)  # fmt: skip


class Row(NamedTuple):
    """One row of the table: what is measured, the two ways of doing it, and how they compare.

    `figure` is the ratio or difference; `met` says whether it is as it should be, None if no aim
    is set.
    """

    what: str
    theirs: str
    ours: str
    figure: float
    unit: str
    aim: str
    met: bool | None

    def cells(self):
        """The texts of its cells."""
        missed = " **missed**" if self.met is False else ""
        digits = ".1f" if self.unit else ".3g"
        ratio = f"{self.figure:{digits}}{self.unit}{missed}"
        return self.what, self.theirs, self.ours, ratio, self.aim


def seconds(value):
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.2f} ms"


def megabytes(value):
    return f"{value / 1e6:.1f} MB"


def compared(what, theirs, ours, shown, aim=None, star=None):
    """Row of two figures, the smaller the better, of which ours should be `aim` times smaller."""
    ratio = theirs / ours
    wanted = f">= {aim}x" if aim else "-"
    wanted += f" (star {star}x)" if star else ""
    met = bool(ratio >= aim) if aim else None
    return Row(what, shown(theirs), shown(ours), float(ratio), "x", wanted, met)


def within(what, theirs, ours, difference, most):
    """Row of a difference, or a share, that should be `most` or less."""
    met = bool(difference <= most)
    return Row(what, theirs, ours, float(difference), "", f"<= {most:g}", met)


def share(what, theirs, ours, most):
    """Row of two times, of which ours should be that share of theirs or less."""
    return within(what, seconds(theirs), seconds(ours), ours / theirs, most)


def timed(function, calls):
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def alternate(theirs, ours, repeats, calls=1):
    """Median seconds of each, in turn `calls` times in a row; once beforehand, to fill caches."""
    theirs(), ours()
    return np.median([(timed(theirs, calls), timed(ours, calls)) for _ in range(repeats)], axis=0)


def peak(function):
    """Most bytes that Python and NumPy held at once during a call, its result included."""
    tracemalloc.start()
    try:
        result = function()
        held = tracemalloc.get_traced_memory()[1]
        del result
        return held
    finally:
        tracemalloc.stop()


def fresh(function, *arguments):
    """The result of a call in an interpreter of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def reset_peak():
    """Let `resident("VmHWM")` start anew."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as control:
        control.write("5")


def resident(field, process="self"):
    """Bytes of a process in memory: "VmRSS" now, "VmHWM" at most since `reset_peak`.

    Unlike getrusage's maximum, which starts at the parent's and cannot be reset.
    """
    with open(f"/proc/{process}/status", encoding="ascii") as status:
        return next(1024 * int(text.split()[1]) for text in status if text.startswith(field))


def machine():
    """The CPU, its cores and what is installed, one fact an item."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [text.partition(":")[2].strip() for text in file if text.startswith("model name")]
    installed = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
    versions = [f"{name} {installed[name]}" for name in PACKAGES if name in installed]
    cores = f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} cores"
    cpu = names[0] if names else platform.machine()
    load = f"load at the end {os.getloadavg()[0]:.1f}"
    python = f"Python {platform.python_version()}, {', '.join(versions)}"
    return [f"CPU: {cpu}, {cores}; {load}", python]
