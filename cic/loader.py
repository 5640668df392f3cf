"""Batches ahead of time: worker processes prepare them, in order, while the network computes."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from cic import interrupts
from cic.dataset import make_batch

AHEAD = 3  # batches in preparation for each worker

_work = None  # (dataset, order) of this worker process


def _start_worker(dataset, order):
    global _work
    _work = dataset, order
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # also where it is not inherited
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    """A killed main process leaves no worker behind: its end of their queue never closes."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _batch(step):
    return make_batch(*_work, step)


class Loader:
    """Batches of steps start ... stop - 1, the same whatever the number of workers.

    With `workers` 0 they are made in this process. Use it as a context manager: it ends its
    processes.
    """

    def __init__(self, dataset, order, workers=0):
        self.dataset, self.order, self.workers = dataset, order, workers
        self.pool = None
        if workers:
            context = multiprocessing.get_context("spawn")  # a fork would copy a framework's locks
            self.pool = ProcessPoolExecutor(workers, context, _start_worker, (dataset, order))
            with interrupts.ignored():
                for _ in range(workers):
                    self.pool.submit(os.getpid)  # starts a process

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pool:
            self.pool.shutdown(cancel_futures=True)

    def batches(self, start, stop):
        """Iterate over the Batch of each step from `start` up to `stop`."""
        if not self.pool:
            yield from (make_batch(self.dataset, self.order, step) for step in range(start, stop))
            return
        pending = deque()
        for step in range(start, stop):
            pending.append(self.pool.submit(_batch, step))
            if len(pending) > AHEAD * self.workers:
                yield self._result(pending.popleft())
        while pending:
            yield self._result(pending.popleft())

    @staticmethod
    def _result(future):
        try:
            return future.result()
        except BrokenProcessPool:
            raise OSError(
                "a process that reads photos was killed, perhaps for want of memory: "
                "try fewer --num_workers"
            ) from None
