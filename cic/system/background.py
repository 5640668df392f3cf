"""One job at a time beside the main work, in a thread: for what waits for a disk."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Background:
    """Run jobs one after the other; the next call raises what a job raised, an end of the process
    last.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1)
        self._job: Future[None] | None = None

    def start(self, job: Callable[..., None], *arguments: Any) -> None:
        """Begin `job(*arguments)`, once the one before is done."""
        self.wait()
        self._job = self._threads.submit(job, *arguments)

    def wait(self) -> None:
        """Return when all is done; raises what the last job has raised."""
        job, self._job = self._job, None
        if job:
            job.result()
