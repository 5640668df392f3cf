"""Colorize the photos that arrive in a folder: each once it is whole, and only once.

A photo is whole when its size and time have stayed as they are for a while. The output folder keeps
a list of the files that are done, so that a new start repeats nothing; a file that changes is
coloured again.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from cic.colorize.colorizer import Colorizer
from cic.colorize.jobs import result_name
from cic.colorize.work import colorize_files
from cic.photos.endings import EXTENSIONS
from cic.system import bounded_json, locks
from cic.system.errors import InputError
from cic.system.files import lies_in, replacing
from cic.system.progress import Callback, Event, tell
from cic.system.regular import open_regular
from cic.system.text import printable

LEDGER = ".cic-watched"  # in the output folder
INTERVAL = 1.0  # seconds from look to look
SHARE = 5  # times the duration of a look is the least pause: looks take no more than a fifth
SETTLE = 2.0  # seconds for which a file must have stayed as it is
EMPTY = 30.0  # the same of one that is empty: its photo may still come


class State(NamedTuple):
    """The size of a file in bytes and its time in nanoseconds, by which a change is noticed."""

    size: int
    time: int


def look(folder: str) -> Iterator[tuple[str, State]]:
    """Yield (name, State) of the photos below a folder, by their ending; none hidden.

    What programs call files on their way, such as .x.jpg.Ab12, x.jpg.part or x.jpg~, has another
    ending or is hidden. Links to folders are not followed. Raises OSError if there is no `folder`.
    """
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            with os.scandir(os.path.join(folder, inside)) as entries:
                found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError:
            if not inside:
                raise
            continue  # gone meanwhile, or not ours
        for entry in found:
            name = os.path.join(inside, entry.name)
            if entry.name.startswith((".", "~")):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(name)
            elif os.path.splitext(name)[1].lower() in EXTENSIONS:
                with suppress(OSError):
                    state = entry.stat()
                    if entry.is_file():
                        yield name, State(state.st_size, state.st_mtime_ns)


class Journal:
    """{name: State} of the files that are done with, coloured or failed: a file of JSON lines.

    A last line that a kill cut off is skipped. Raises InputError if another file is there.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.known: dict[str, State] = {}
        if os.path.lexists(path):
            self._read()
        with replacing(path) as fresh, open(fresh, "w", encoding="ascii") as file:
            file.writelines(map(self._line, self.known, self.known.values()))

    def _read(self) -> None:
        with open_regular(self.path) as file:
            for line in file:
                try:
                    name, size, when = bounded_json.loads(line)
                    self.known[name] = State(int(size), int(when))
                except (ValueError, TypeError, RecursionError):
                    if line.endswith(b"\n"):
                        raise InputError(
                            f"{self.path}: is no list of watched photos: remove it"
                        ) from None

    @staticmethod
    def _line(name: str, state: State) -> str:
        return json.dumps([name, *state]) + "\n"

    def add(self, name: str, state: State) -> None:
        """Note that a file of this State is done with."""
        self.known[name] = state
        with open(self.path, "a", encoding="ascii") as file:
            file.write(self._line(name, state))


class Arrivals:
    """The photos of `folder`, coloured into `output` as they arrive: call `turn` again and again.

    Nobody else may write into `output` (see `locks.cleaned`). A line on each goes to `say`.
    """

    def __init__(
        self,
        colorizer: Colorizer,
        folder: str,
        output: str,
        say: Callable[[str], object],
        settle: float = SETTLE,
    ) -> None:
        self.colorizer, self.folder, self.output = colorizer, folder, output
        self.say, self.settle = say, settle
        self.ledger = Journal(os.path.join(output, LEDGER))
        self.owners = {self._target(name): name for name in self.ledger.known}
        self.waiting: dict[str, tuple[State, float]] = {}
        self.is_gone = False
        self.done = self.failed = 0

    def turn(self) -> None:
        """Look once, and colour all that is whole by now.

        What goes away meanwhile, as a folder on a network does, has not failed: it may come back.
        """
        for name, state in self._whole():
            if self._state(name) != state:
                continue
            if not self._is_made(name, state):
                self._colorize(name)
            if self._state(name) == state:
                self.ledger.add(name, state)

    def _state(self, name: str) -> State | None:
        """Return the State of a file by now; None if it is gone."""
        with suppress(OSError):
            found = os.stat(os.path.join(self.folder, name))
            return State(found.st_size, found.st_mtime_ns)
        return None

    def _whole(self) -> list[tuple[str, State]]:
        """Return (name, State) of the new files that have stayed as they are for long enough."""
        try:
            seen = dict(look(self.folder))
        except OSError as error:
            if not self.is_gone:
                self.say(f"{self.folder}: {error.strerror}: waiting for it")
            self.is_gone = True
            return []
        self.is_gone, now = False, time.monotonic()
        new = {name: state for name, state in seen.items() if self.ledger.known.get(name) != state}
        before, self.waiting = self.waiting, {}
        for name, state in new.items():
            first, since = before.get(name, (state, now))
            self.waiting[name] = state, since if first == state else now
        return [
            (name, state)
            for name, (state, since) in self.waiting.items()
            if now - since >= (self.settle if state.size else max(EMPTY, self.settle))
        ]

    def _target(self, name: str) -> str:
        return os.path.join(self.output, result_name(name, os.path.join(self.folder, name)))

    def _is_made(self, name: str, state: State) -> bool:
        """Return whether its result is there already, made before a kill, or by another command."""
        target = self._target(name)
        if name in self.ledger.known or self.owners.get(target, name) != name:
            return False  # it has changed since, or is the result of another
        with suppress(OSError):
            return os.stat(target).st_mtime_ns >= state.time
        return False

    def _colorize(self, name: str) -> None:
        source, target = os.path.join(self.folder, name), self._target(name)
        owner = self.owners.setdefault(target, name)
        if owner != name and os.path.exists(os.path.join(self.folder, owner)):
            self.failed += 1
            taken = f"{target!r} is the result of {owner!r} already: rename one"
            self.say(f"failed: {source!r}: {taken}")
            return
        self.owners[target] = name
        outcome = colorize_files(self.colorizer, [(source, target)], progress=self._tell)
        self.done += len(outcome.done)
        self.failed += outcome.failed
        if outcome.done:
            self.say(f"{printable(target)}: colorized")

    def _tell(self, event: Event) -> None:
        if event.message:
            self.say(event.message)


def watch(
    colorizer: Colorizer,
    folder: str,
    output: str,
    settle: float = SETTLE,
    progress: Callback | None = None,
) -> None:
    """Colorize the photos that arrive in `folder`, until Ctrl-C or SIGTERM: see `Arrivals`.

    Lines are told to `progress`, by default printed at once. Raises InputError as
    `check_apart` does.
    """

    def say(line: str) -> None:
        tell(line, progress)
        sys.stdout.flush()  # a log, too, is to be read at once

    check_apart(folder, output)
    with locks.cleaned(output):
        arrivals = Arrivals(colorizer, folder, output, say, settle)
        try:
            say(f"{folder}: watching; results go to {output}; Ctrl-C ends it")
            while True:
                begin = time.monotonic()
                arrivals.turn()
                time.sleep(max(INTERVAL, SHARE * (time.monotonic() - begin)))
        except (KeyboardInterrupt, SystemExit):  # SIGTERM: how a watch ends
            say(f"{output}: {arrivals.done} colorized, {arrivals.failed} failed")


def check_apart(folder: str, output: str) -> None:
    """Raise InputError if there is no `folder`, or results would lie among the photos."""
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: there is no such folder")
    inner, outer = os.path.join(output, "x"), os.path.join(folder, "x")
    if lies_in(inner, folder) or lies_in(outer, output):
        raise InputError(f"{output}: one folder lies in the other: name one beside {folder}")
