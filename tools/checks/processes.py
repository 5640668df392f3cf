"""Processes that train for a check, and what they said last."""

import glob
import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress

PATIENCE = 300  # seconds for a process to begin, or to end by itself
LAST = 40  # lines of a process that are told; torchrun adds 30 of its own
ERRORS = "stderr.txt"


@contextmanager
def started(command, folder):
    """The process of a command in a folder, made for it; at the end nothing of it is left running.

    Threads sum alike in one process and in several: each has one.
    """
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, ERRORS), "w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def begins(process, has_begun):
    """Whether `has_begun()` comes true while a process runs; if not, it is killed."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        if has_begun():
            return True
        time.sleep(0.05)
    process.kill()
    return False


def wait(process, seconds=None):
    """Exit status of a process, None if it does not end in PATIENCE seconds, or so many."""
    try:
        return process.wait(seconds or PATIENCE)
    except subprocess.TimeoutExpired:
        return None


def status(command, folder):
    """Exit status of a command in a folder, None if it does not end."""
    with started(command, folder) as process:
        return wait(process)


def finish(command, folder):
    """Run a command in a folder; raises ChildProcessError, with what it said, if it fails."""
    found = status(command, folder)
    if found != 0:
        raise ChildProcessError(f"{ended(found)}{said(folder)}")


def ended(status):
    """How a process ended, in words."""
    return f"did not end in {PATIENCE} s" if status is None else f"ended with {status}"


def said(folder):
    """The last lines on standard error of a process in a folder, and of Paddle's processes."""
    logs = sorted(glob.glob(os.path.join(folder, "logs", "workerlog.*")))
    return "".join(
        f"\n    {line}"
        for path in (os.path.join(folder, ERRORS), *logs)
        for line in last_lines(path)
    )


def last_lines(path, count=LAST):
    """The last lines of a text file that say something."""
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file.read().replace("\r", "\n").splitlines()]
    return [line for line in lines if line][-count:]
