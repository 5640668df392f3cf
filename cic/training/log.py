"""Report a run in training: its progress, a log of JSON lines, a board."""

import errno
import io
import json
import math
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from cic.system.errors import Error
from cic.system.progress import Callback, Event, Told, told
from cic.system.typing import Json
from cic.training.board import Board
from cic.training.skips import Skips

Item = TypeVar("Item")
RECENT = 50  # steps that the shown and the final loss are the mean of


class TrainingError(Error, ValueError):
    """Training cannot go on; the message says why and what to do."""


def _open_log(path: str) -> io.FileIO:
    """Return the binary file, unbuffered, to append lines to; a line that a kill cut off is ended
    first.
    """
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    file = open(path, "ab+", buffering=0)  # noqa: SIM115 - closed by the caller
    if file.tell():
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
    return file


def _nobody(event: Event) -> None:
    """Take an event, and leave it."""


@dataclass(frozen=True)
class LogSettings:
    """Where a run's figures go: one JSON object a line in `path` every `every` steps.

    Steps, lines and figures go to `progress`, see `cic.system.progress`, by default a bar. Figures
    go to `board`, a board.Board, as well. Without a path, as in all processes but the first,
    nothing is told or written.
    """

    path: str | None = None
    every: int = 10
    board: Board | None = None
    progress: Callback | None = None

    @contextmanager
    def opened(self, start: int, steps: int) -> Iterator["Log"]:
        """Open the Log of the steps from `start` to `steps`."""
        progress = _nobody if self.path is None else self.progress
        bar = told(
            progress, total=steps, start=start, unit="step", stream=sys.stderr, dynamic_ncols=True
        )
        with _open_log(self.path or os.devnull) as file, bar as shown:
            yield Log(self, file, shown, steps)


class Log:
    """The figures of the steps of a run, written to the open `file` and told to `shown`."""

    def __init__(self, settings: LogSettings, file: io.FileIO, shown: Told, steps: int) -> None:
        self.path, self.every, self.board = settings.path, settings.every, settings.board
        self.file, self.told, self.total = file, shown, steps
        self.started = self.stepped = time.perf_counter()  # `stepped`: when the first step ended
        self.waited = 0.0
        self.losses: deque[float] = deque(maxlen=RECENT)
        self.images = self.steps = self.skipped = 0
        self.reported: set[str] = set()

    @property
    def loss(self) -> float | None:
        """Mean loss of the recent steps; None before the first."""
        return sum(self.losses) / len(self.losses) if self.losses else None

    @property
    def images_per_second(self) -> float:
        """Photos a second since the start of this run."""
        return self.images / (time.perf_counter() - self.started)

    @property
    def waiting(self) -> float:
        """Share of the time since the first step of this run that it waited for photos."""
        return self.waited / (time.perf_counter() - self.stepped) if self.waited else 0.0

    def timed(self, batches: Iterable[Item]) -> Iterator[Item]:
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

    def say(self, line: str) -> None:
        """Tell a line."""
        self.told.say(line)

    def failures(self, messages: Sequence[str]) -> None:
        """Name each unreadable photo once, and count those that a step went without."""
        self.skipped += len(messages)
        self.name(messages)

    def name(self, messages: Iterable[str]) -> None:
        """Name each unreadable photo once."""
        for message in messages:
            if message not in self.reported:
                self.reported.add(message)
                self.say(f"skipped: {message}")

    def warn(self, step: int, messages: Iterable[str]) -> None:
        """Show and write what is wrong with the training, if anything."""
        for message in messages:
            self.say(f"watch: {message}")
            self._write_line({"step": step, "watch": message})

    def skip(self, step: int, skips: Skips) -> None:
        """Write that a step was skipped, and tell it if the one before was not."""
        if skips.in_a_row == 1:
            so_far = f"{skips.total:,} so far"
            self.say(f"step {step + 1} is skipped: a gradient is not finite ({so_far})")
        self._write_line({"step": step + 1, "skipped_steps": skips.total})

    def step(self, step: int, loss: float | None, images: int, lr: float) -> None:
        """Note one step; raises TrainingError once the loss is no longer a number.

        The loss of a step that was skipped is None.
        """
        if loss is not None:
            self.losses.append(loss)
        self.images += images
        self.steps += 1
        if self.steps == 1:
            self.stepped = time.perf_counter()
        self.told.step(step + 1 - self.told.done)  # those without a photo, too
        if (step + 1) % self.every and step + 1 < self.total:
            return
        mean, rate = self.check(step), self.images_per_second
        if mean is None:
            return
        self.told.show(loss=mean, lr=lr, images_per_second=rate)
        self.write(step=step + 1, loss=mean, lr=lr, images_per_second=rate, waiting=self.waiting)

    def check(self, step: int) -> float | None:
        """Return the recent loss, None before the first; raise TrainingError if it is not
        finite.
        """
        loss = self.loss
        if loss is not None and not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} at step {step + 1}: try a lower lr")
        return loss

    def write(self, **figures: Any) -> None:
        """Append one line of figures."""
        self._write_line(figures)
        if self.board:
            self.board.scalars(**figures)

    def _write_line(self, entry: dict[str, Json]) -> None:
        line = json.dumps(entry).encode() + b"\n"
        try:
            written = self.file.write(line)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from None
        if written < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
