"""What a run in training shows and writes: a progress bar, a log of JSON lines, a board."""

import json
import math
import os
import sys
import time
from collections import deque
from contextlib import contextmanager

from tqdm import tqdm

from cic.system.errors import Error

RECENT = 50  # steps that the shown and the final loss are the mean of


class TrainingError(Error, ValueError):
    """Training cannot go on; the message says why and what to do."""


def _open_log(path):
    """Binary file to append lines to; a line that a kill cut off is ended first."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    file = open(path, "ab+")  # noqa: SIM115 - closed by the caller
    if file.tell():
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
    return file


class Log:
    """A progress bar, and one JSON object a line in `path` every `every` steps.

    Without a path, as in all processes but the first, nothing is shown or written. The figures go
    to `board`, a board.Board, as well.
    """

    def __init__(self, path=None, every=10, board=None):
        self.path, self.every, self.board = path, every, board

    @contextmanager
    def opened(self, start, steps):
        """A context in which the steps from `start` to `steps` are noted."""
        self.total = steps
        silent = self.path is None
        self.started = time.perf_counter()
        self.waited = 0.0
        self.losses = deque(maxlen=RECENT)
        self.images = self.steps = self.skipped = 0
        self.reported = set()
        with (
            _open_log(os.devnull if silent else self.path) as self.file,
            tqdm(
                total=steps, initial=start, unit="step", dynamic_ncols=True, disable=silent
            ) as self.bar,
        ):
            yield

    @property
    def loss(self):
        """Mean loss of the recent steps; None before the first."""
        losses = [loss.item() for loss in self.losses]
        return sum(losses) / len(losses) if losses else None

    @property
    def images_per_second(self):
        """Photos a second since the start of this run."""
        return self.images / (time.perf_counter() - self.started)

    @property
    def waiting(self):
        """Share of the time since the start of this run that it waited for photos."""
        return self.waited / (time.perf_counter() - self.started)

    def timed(self, batches):
        """Iterate over `batches`; the time that they take to come is noted."""
        batches = iter(batches)
        while True:
            before = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            if self.steps:  # the first batch waits for the processes to start
                self.waited += time.perf_counter() - before
            yield batch

    def say(self, line):
        """Show a line above the bar."""
        if self.path is not None:
            self.bar.write(line, file=sys.stderr)

    def failures(self, messages):
        """Name each unreadable photo once, and count those that a step went without."""
        self.skipped += len(messages)
        self.name(messages)

    def name(self, messages):
        """Name each unreadable photo once."""
        for message in messages:
            if message not in self.reported:
                self.reported.add(message)
                self.say(f"skipped: {message}")

    def warn(self, step, messages):
        """Show and write what is wrong with the training, if anything."""
        for message in messages:
            self.say(f"watch: {message}")
            self._write_line({"step": step, "watch": message})

    def step(self, step, loss, images, lr):
        """Note one step; raises TrainingError once the loss is no longer a number."""
        self.losses.append(loss)
        self.images += images
        self.steps += 1
        self.bar.update(step + 1 - self.bar.n)
        if (step + 1) % self.every and step + 1 < self.total:
            return
        mean, rate = self.check(step), self.images_per_second
        self.bar.set_postfix(loss=f"{mean:.4f}", images_s=f"{rate:.1f}", refresh=False)
        self.write(step=step + 1, loss=mean, lr=lr, images_per_second=rate, waiting=self.waiting)

    def check(self, step):
        """The recent loss, None before the first; raises TrainingError if it is not finite."""
        loss = self.loss
        if loss is not None and not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} at step {step + 1}: try a lower --lr")
        return loss

    def write(self, **figures):
        """Append one line of figures."""
        self._write_line(figures)
        if self.board:
            self.board.scalars(**figures)

    def _write_line(self, entry):
        self.file.write(json.dumps(entry).encode() + b"\n")
        self.file.flush()
