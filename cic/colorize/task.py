"""A file in a batch: what was made of it, what failed, how long it took."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cic.colorize.manifest import Line


class Report(NamedTuple):
    """The report on a job: the `made` targets, what failed, and the seconds that it took.

    `number` is that of the job in its list; `is_there` says that a result was there before.
    """

    number: int
    source: str
    target: str
    made: Sequence[str] = ()
    errors: Sequence[str] = ()
    is_there: bool = False
    seconds: float | None = None

    @property
    def is_untouched(self) -> bool:
        """Whether all of its results were there."""
        return self.is_there and not self.made and not self.errors

    def line(self) -> Line:
        """Return its line of a manifest."""
        result = self.target if self.made or self.is_there else None
        return Line(self.source, result, self.seconds, "; ".join(self.errors) or None)


@dataclass
class Task:
    """A job of a list, by its `number`: a file to colorize, and what became of it so far.

    `say` passes a line on. `reserve` waits until that many bytes of memory are free.
    """

    number: int
    source: str
    target: str
    say: Callable[[str], object]
    reserve: Callable[[float], object]
    made: list[str] = field(default_factory=list)  # targets: of each page that has its own file
    errors: list[str] = field(default_factory=list)
    is_there: bool = False  # a result of it, from before
    seconds: float | None = None

    def fail(self, line: str) -> None:
        """Count a failure, and name it."""
        self.errors.append(line)
        self.say(f"failed: {line}")

    def note(self, name: str, notes: Iterable[str]) -> None:
        """Say what is to be known of a file or page."""
        for note in notes:
            self.say(f"{name}: {note}")

    def report(self) -> Report:
        """Return what became of it."""
        made, errors = self.made, self.errors
        return Report(
            self.number, self.source, self.target, made, errors, self.is_there, self.seconds
        )
