"""A file on its way: what was made of it, what failed, how long it took."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cic.colorize.manifest import Line


@dataclass
class Task:
    """A job of a list, by its `number`: a file to colorize, and what became of it so far.

    `say` passes a line on. `take` waits until so many bytes of memory are free.
    """

    number: int
    source: str
    target: str
    say: Callable[[str], object]
    take: Callable[[float], object]
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

    @property
    def is_untouched(self) -> bool:
        """Whether all of its results were there."""
        return self.is_there and not self.made and not self.errors

    def line(self) -> Line:
        """Its line of a manifest."""
        result = self.target if self.made or self.is_there else None
        return Line(self.source, result, self.seconds, "; ".join(self.errors) or None)
