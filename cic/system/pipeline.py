"""Work on several things at once in threads: results come in order, within bounds of memory.

Threads suffice: decoders, networks, NumPy and encoders release the interpreter's lock, and the
network is in memory only once.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

AHEAD = 2  # results that wait for one before them, for each worker
Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(BaseException):
    """The batch is stopped: do not go on with what has begun. It is no Exception, as nothing
    failed.
    """


class Gate:
    """Let work in while everything inside needs at most `room`, or if it is alone."""

    def __init__(self, room: float) -> None:
        self.room, self.taken, self.stopped = room, 0.0, False
        self._changed = threading.Condition()

    @contextmanager
    def entered(self) -> Iterator[Callable[[float], None]]:
        """A context with a function that waits until a number of bytes may be taken, which lasts
        until its end.

        Called again, it gives back what it took before.
        """
        own: list[float] = []

        def take(need: float) -> None:
            with self._changed:
                self.taken -= sum(own)
                own.clear()
                self._changed.wait_for(lambda: self.stopped or self._has(need))
                self.check()
                own.append(need)
                self.taken += need

        try:
            yield take
        finally:
            with self._changed:
                self.taken -= sum(own)
                self._changed.notify_all()

    def _has(self, need: float) -> bool:
        return not self.taken or self.taken + need <= self.room

    def check(self) -> None:
        """Raise Stopped once `stop` was called."""
        if self.stopped:
            raise Stopped

    def stop(self) -> None:
        """Let nothing in any more."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()


def ahead(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result]:
    """Iterate over `function(item)` of all items, in order, in `workers` threads; one is this."""
    if workers == 1:
        yield from map(function, items)
        return
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def ordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    gate: Gate,
    is_alone: Callable[[Item], bool] = lambda item: False,
) -> Iterator[Result]:
    """Iterate over `function(item)` of all items, in order, in `workers` threads.

    An item that `is_alone` is worked on here, when all before it are done. If the iteration is left
    early, as by Ctrl-C, the gate is stopped, and what has begun is waited for.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                if is_alone(item):
                    while pending:
                        yield pending.popleft().result()
                    yield function(item)
                    continue
                pending.append(pool.submit(function, item))
                while len(pending) > AHEAD * workers or (pending and pending[0].done()):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BaseException:
            gate.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
