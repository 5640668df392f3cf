"""The processes that colour: few, behind a bounded queue, and replaced when they are lost."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from cic.colorize.colorizer import Colorizer
from cic.serve.problems import RETRY, Failure, Problem, stopping
from cic.serve.tasks import Answer, Question
from cic.serve.worker import Lost, Ready, TimedOut, WorkerProcess
from cic.system.errors import Error

PAUSE = 5.0  # seconds after which a process that did not start is tried again


class Crew:
    """`workers` processes, each with a Colorizer of `make`; up to `queue` photos wait for them.

    A photo gets `seconds`. `pixels` is the limit of a photo's pixels in them.
    """

    def __init__(
        self,
        make: Callable[[], Colorizer],
        workers: int = 1,
        queue: int = 8,
        seconds: float = 60.0,
        pixels: int | None = None,
    ) -> None:
        self.make, self.queue, self.seconds, self.pixels = make, queue, seconds, pixels
        self.count = workers
        self.all: set[WorkerProcess] = set()
        self.idle: deque[WorkerProcess] = deque()
        self.waiting: deque[asyncio.Future[WorkerProcess]] = deque()
        self.threads = ThreadPoolExecutor(workers)
        self.renewing: set[asyncio.Task[None]] = set()
        self.replaced = 0
        self.is_stopping = False

    def start(self) -> Ready:
        """Start all, and wait until they are Ready; raises Error if one cannot be."""
        for _ in range(self.count):
            self.all.add(WorkerProcess(self.make, self.pixels))
        try:
            facts = [worker.ready() for worker in self.all]
        except BaseException:
            self.end()
            raise
        self.idle.extend(self.all)
        return facts[0]

    @property
    def is_full(self) -> bool:
        """Whether one more photo would be refused."""
        return not self.idle and len(self.waiting) >= self.queue

    @property
    def is_able(self) -> bool:
        """Whether photos are coloured: there is a process, and it is not the end."""
        return bool(self.all) and not self.is_stopping

    @property
    def busy(self) -> int:
        """How many processes colour a photo now."""
        return len(self.all) - len(self.idle)

    async def do(self, question: Question) -> Answer:
        """Answer a Question when it is its turn; raises Problem."""
        worker = await self._turn()
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self.threads, worker.ask, question, self.seconds)
        except TimedOut:
            self._renew(worker)
            late = f"not done in {self.seconds:g} seconds: send it smaller"
            raise Problem(503, late, RETRY, "too-long") from None
        except Lost:
            self._renew(worker)
            if self.is_stopping:
                raise stopping() from None
            detail = "the photo took more memory than there is for one"
            raise Problem(500, detail, code="memory") from None
        self._free(worker)
        if isinstance(found, Failure):
            raise Problem(found.status, found.detail, code=found.code)
        return found

    async def _turn(self) -> WorkerProcess:
        """Return a process, when one is free."""
        self.check()
        if self.idle:
            return self.idle.popleft()
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and not turn.exception():
                self._free(turn.result())
            raise
        finally:
            with suppress(ValueError):
                self.waiting.remove(turn)

    def watch(self) -> None:
        """Replace the processes that ended while they had nothing to do."""
        for worker in [one for one in self.idle if not one.process.is_alive()]:
            self.idle.remove(worker)
            worker.end()
            self._renew(worker)

    def check(self) -> None:
        """Raise the Problem with which a photo is refused now, if it is."""
        self.watch()
        if self.is_stopping:
            raise stopping()
        if self.is_full:
            raise Problem(429, "more photos than can wait here: send it again later", RETRY)

    def _free(self, worker: WorkerProcess) -> None:
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(worker)
                return
        self.idle.append(worker)

    def _renew(self, worker: WorkerProcess) -> None:
        """Start another process in the place of one that ended, without waiting for it."""
        self.all.discard(worker)
        self.replaced += 1
        if not self.is_stopping:
            task = asyncio.get_running_loop().create_task(self._started())
            self.renewing.add(task)
            task.add_done_callback(self.renewing.discard)

    async def _started(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.is_stopping:
            worker = WorkerProcess(self.make, self.pixels)
            try:
                await loop.run_in_executor(self.threads, worker.ready)
            except Error:
                await asyncio.sleep(PAUSE)
                continue
            self.all.add(worker)
            self._free(worker)
            return

    def stop(self) -> None:
        """Take no more photos, and refuse those that wait; those at work go on."""
        self.is_stopping = True
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_exception(stopping())

    def end(self) -> None:
        """End all processes, whatever they do."""
        self.stop()
        for worker in self.all:
            worker.end()
        self.threads.shutdown(wait=False, cancel_futures=True)
