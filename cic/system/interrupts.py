"""Put off Ctrl-C, a kill's SIGTERM and a scheduler's SIGUSR1 to where they do no harm."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any, NoReturn

# What asks a program to end: Ctrl-C, a scheduler's warning (where there is one), a kill.
STOPS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGUSR1", "SIGTERM") if hasattr(signal, name)
)


@contextmanager
def _handled(handler: Any, *numbers: int) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def withheld() -> Iterator[None]:
    """No Ctrl-C meanwhile. Processes that are started meanwhile get none of STOPS, all their life.

    Those are sent to all processes at once, and one that is still starting would die of it.
    """
    with _handled(signal.SIG_IGN, signal.SIGINT):
        if not hasattr(signal, "pthread_sigmask"):  # Windows
            yield
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            resource_tracker.ensure_running()  # which lifts a part of that
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def noted() -> Iterator[list[int]]:
    """A list that STOPS add their numbers to; a second Ctrl-C is KeyboardInterrupt.

    Launchers pass Ctrl-C on, and repeat SIGTERM: what comes within a second, or is no Ctrl-C, is
    no second one.
    """
    came: list[int] = []
    first = time.monotonic()

    def note(number: int, _: FrameType | None) -> None:
        nonlocal first
        if not came:
            first = time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - first > 1:
            raise KeyboardInterrupt
        came.append(number)

    with _handled(note, *STOPS):
        yield came


def stop(number: int) -> NoReturn:
    """Raise what signal `number` asks for: KeyboardInterrupt, or SystemExit with its status."""
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
