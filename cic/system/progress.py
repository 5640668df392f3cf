"""Report the progress of long work to a callback, or show it as a bar with lines above it."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple, TextIO, TypeVar

from tqdm import tqdm

# Figures that a bar shows behind it: the name there and the format.
BESIDE = {"loss": ("loss", ".4f"), "images_per_second": ("images_s", ".1f")}
NOTHING: Mapping[str, float] = MappingProxyType({})


class Event(NamedTuple):
    """News for a callback: `done` of `total` steps or photos are finished.

    `total` is None where it is not known. `message` is a line for people, empty of a mere step;
    `figures` are those of training at this step: its loss, learning rate and images a second.
    """

    done: int
    total: int | None = None
    message: str = ""
    figures: Mapping[str, float] = NOTHING


Callback = Callable[[Event], Any]


def tell(line: str, callback: Callback | None = None, stream: TextIO | None = None) -> None:
    """Pass a line on to `callback`, or print it to `stream`, by default standard output."""
    if callback is None:
        print(line, file=stream or sys.stdout)
    else:
        callback(Event(0, message=line))


Item = TypeVar("Item")


class Told:
    """Progress of work that calls a callback for every step and line."""

    def __init__(self, callback: Callback, total: int | None = None, start: int = 0) -> None:
        self.callback, self.total, self.done = callback, total, start
        callback(Event(start, total))

    def step(self, count: int = 1) -> None:
        """Note that `count` more are done."""
        self.done += count
        self.callback(Event(self.done, self.total))

    def say(self, line: str) -> None:
        """Pass a line on."""
        self.callback(Event(self.done, self.total, line))

    def show(self, **figures: float) -> None:
        """Pass the figures of the present step on."""
        self.callback(Event(self.done, self.total, figures=figures))

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """Iterate over `items`; each is a step, done when the next is asked for."""
        for item in items:
            yield item
            self.step()

    def close(self) -> None:
        """End; there is nothing to clear away."""


class Shown(Told):
    """Progress of work that is shown as a bar on standard error, its lines above it on `stream`."""

    def __init__(self, total: int | None, start: int, stream: TextIO, **options: Any) -> None:
        self.stream = stream
        self.bar = tqdm(total=total, initial=start, **options)
        super().__init__(lambda event: None, total, start)

    def step(self, count: int = 1) -> None:
        self.done += count
        self.bar.update(count)

    def say(self, line: str) -> None:
        self.bar.write(line, file=self.stream)

    def show(self, **figures: float) -> None:
        shown = {short: format(figures[n], form) for n, (short, form) in BESIDE.items()}
        self.bar.set_postfix(shown, refresh=False)

    def close(self) -> None:
        self.bar.close()


@contextmanager
def told(
    callback: Callback | None,
    unit: str = "photo",
    total: int | None = None,
    start: int = 0,
    stream: TextIO | None = None,
    **options: Any,
) -> Iterator[Told]:
    """A context whose Told tells `callback` or, if that is None, shows a bar.

    `unit` is what the bar counts, `stream` where its lines go, by default standard output;
    `options` are tqdm's. A single photo is shown without a bar.
    """
    if callback is not None:
        yield Told(callback, total, start)
        return
    if total is None:  # nothing is shown of a folder that is not there
        options = {"delay": 0.1} | options
    elif unit == "photo" and total < 2:
        options = {"disable": True} | options
    shown = Shown(total, start, stream or sys.stdout, unit=unit, **options)
    try:
        yield shown
    finally:
        shown.close()
