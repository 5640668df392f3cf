"""Work in several processes: results come in order, and only few items are under way at once."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.synchronize import Event
from typing import Any, Generic, NamedTuple, TypeVar

from cic.system import defects, interrupts, limits
from cic.system.errors import ProcessError
from cic.system.processes import Context, end_with_parent
from cic.system.slots import Packed, Slots, packed

AHEAD = 3  # chunks in preparation for each worker
PATIENCE = 1  # seconds after which the workers are looked at

Result = TypeVar("Result")
Own = TypeVar("Own", bound="Pool[Any]")
_call: Callable[[Any], Any] | None = None  # of this worker process: item -> result


def _start_worker(
    ready: Event, pixels: int | None, function: Callable[..., Any], state: tuple[Any, ...]
) -> None:
    global _call
    _call = lambda item: function(*state, item)  # noqa: E731 - it closes over both
    limits.limit_pixels(pixels)
    for number in interrupts.STOPS:  # sent to all processes; the main one decides
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()  # the worker's end of their queue would never close
    ready.wait()


def _call_each(chunk: list[Any], slot: str | None) -> tuple[Packed, dict[str, str]]:
    """Return (result of each item, the defects that were noted meanwhile)."""
    return packed([_call(item) for item in chunk], slot), defects.take()  # type: ignore[misc]


class _Job(NamedTuple):
    """A chunk under way, and the slot where its result may be left."""

    future: Future[tuple[Packed, dict[str, str]]]
    slot: str | None


class Pool(Generic[Result]):
    """Calls of `function(*state, item)` in `workers` processes; with 0 in this one.

    `function` and `state` travel to each worker once, and so does the limit of a photo's pixels.
    Use it as a context manager: it ends its processes.
    """

    def __init__(self, workers: int, function: Callable[..., Result], *state: Any) -> None:
        self.workers, self.function, self.state = workers, function, state
        self.executor = None
        self.slots = Slots(AHEAD * workers + 1)
        if workers:
            context = Context()
            others = set(multiprocessing.active_children())
            with interrupts.withheld():
                ready = context.Event()  # until it is set no worker is idle: each job starts one
                start = ready, limits.pixel_limit(), function, state
                self.executor = ProcessPoolExecutor(workers, context, _start_worker, start)
                for _ in range(workers):
                    self.executor.submit(os.getpid)  # starts a process
            self.processes = set(multiprocessing.active_children()) - others
            for process in self.processes:
                process.terminate = process.kill  # type: ignore[method-assign]  # for the executor: they ignore SIGTERM
            # While anyone can write, the end of a worker that is killed in the middle of a result
            # is not seen by the thread that reads it: it would wait for ever, and so would we.
            self.executor._result_queue._writer.close()  # type: ignore[attr-defined]
            ready.set()

    def __enter__(self: Own) -> Own:
        return self

    def __exit__(self, *_: object) -> None:
        if self.executor:
            self.executor.shutdown(cancel_futures=True)
        self.slots.close()

    def map(self, items: Iterable[Any], chunk: int = 1) -> Iterator[Result]:
        """Iterate over the result of each item, in order; `chunk` items travel together.

        What a call raises is raised here; raises OSError if a worker was killed.
        """
        if not self.executor:
            yield from (self.function(*self.state, item) for item in items)
            return
        try:
            yield from self._in_order(iter(items), chunk)
        except BrokenProcessPool:
            raise ProcessError(
                "a process that reads photos was killed, perhaps for want of memory: "
                "try fewer num_workers"
            ) from None

    def _in_order(self, items: Iterator[Any], chunk: int) -> Iterator[Result]:
        pending: deque[_Job] = deque()
        try:
            while batch := list(islice(items, chunk)):
                slot = self.slots.lend()
                pending.append(_Job(self.executor.submit(_call_each, batch, slot), slot))  # type: ignore[union-attr]
                if len(pending) > AHEAD * self.workers:
                    yield from self._result(pending.popleft())
            while pending:
                yield from self._result(pending.popleft())
        finally:  # nobody wants the rest, and a slot is free once nobody writes into it
            for future, slot in pending:
                future.add_done_callback(lambda _, slot=slot: self.slots.take_back(slot))  # type: ignore[misc]

    def _result(self, job: _Job) -> list[Result]:
        while True:
            try:
                results, noted = job.future.result(timeout=PATIENCE)
                defects.add(noted)
                found = self.slots.result(results, job.slot)
                self.slots.take_back(job.slot)
                return found
            except TimeoutError:
                if job.future.done():
                    raise  # by the call itself
            if not all(process.is_alive() for process in self.processes):
                for process in self.processes:
                    process.kill()  # they may wait for the dead one
