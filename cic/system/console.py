"""The frame of every command: flags and help, one line for an error, an exit status."""

import argparse
import atexit
import difflib
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from math import nan
from types import FrameType
from typing import Any, NoReturn

from cic.system import defects, errors, interrupts, invocation, limits, streams, threads
from cic.system.errors import SettingError
from cic.system.text import message_of
from cic.system.typing import Json

_UNKNOWN = re.compile(r"unrecognized arguments: ([^\s=]+)|invalid choice: '([^']*)'")


class _Parser(argparse.ArgumentParser):
    """Parser whose help begins with the description, examples first, and lists the flags after
    it.
    """

    def format_help(self) -> str:
        for action in self._actions:
            action.help = action.help and invocation.translated(action.help)
        description, self.description = self.description, None
        try:
            return f"{description.strip()}\n\n{super().format_help()}"  # type: ignore[union-attr]
        finally:
            self.description = description

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one line, which names what may have been meant."""
        hint = f" (see {self.prog} --help)"
        if asked := _UNKNOWN.search(message):
            choices = re.findall(r"[\w.-]+", message[asked.end() :].partition("choose from")[2])
            known = list(self._option_string_actions) if asked[1] else choices
            if close := difflib.get_close_matches(asked[1] or asked[2], known, 1):
                message, hint = message[: asked.end()], f": did you mean {close[0]}?"
        self.exit(2, f"{self.prog}: error: {message}{hint}\n")


def parser(
    description: str, command: str | None = None, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Return an ArgumentParser that shows texts as they are, of a `command` as the user calls
    it.
    """
    form = argparse.RawDescriptionHelpFormatter
    if command is None:
        return _Parser(description=description, epilog=epilog, formatter_class=form)
    description, name = invocation.translated(description), invocation.program(command)
    return _Parser(name, description=description, epilog=epilog, formatter_class=form)


def positive(text: str) -> int:
    """argparse type: an integer from 1 on."""
    return _from(1, text)


def natural(text: str) -> int:
    """argparse type: an integer from 0 on."""
    return _from(0, text)


def seed(text: str) -> int:
    """argparse type: an integer from 0 to 2^64 - 1, as randomness.random_for takes it."""
    number = natural(text)
    if number >= 2**64:
        raise argparse.ArgumentTypeError(f"{text} is above 2^64 - 1")
    return number


def temperature(text: str) -> float:
    """argparse type: a number from 0.01 to 100."""
    return _between(0.01, 100, text)


def saturation(text: str) -> float:
    """argparse type: a number from 0 to 10."""
    return _between(0, 10, text)


def evenness(text: str) -> float:
    """argparse type: a number from 0 to 10000."""
    return _between(0, 10000, text)


def cielab(text: str) -> float:
    """argparse type: a lightness or a chroma in CIELAB units, a number from 0 to 100."""
    return _between(0, 100, text)


def seconds(text: str) -> float:
    """argparse type: a number from 0 to 86400."""
    return _between(0, 86400, text)


def fraction(text: str) -> float:
    """argparse type: a number from 0 to 1."""
    return _between(0, 1, text)


def sizes(text: str) -> tuple[int, ...]:
    """argparse type: whole numbers from 1 on with commas between them, a tuple."""
    return tuple(map(positive, text.split(",")))


def add_num_workers(parser: argparse.ArgumentParser) -> None:
    """The flag with which tools that read many photos choose their number of processes."""
    parser.add_argument(
        "--num_workers",
        type=natural,
        default=threads.total(),
        help="processes that read photos; 0: only this one (%(default)s)",
    )


class _Applied(argparse.Action):
    """Keep a flag's value, and call `apply` with it, which sets it for the whole process."""

    def __init__(self, *names: Any, apply: Callable[[Any], object], **more: Any) -> None:
        super().__init__(*names, **more)
        self.apply = apply

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        value: Any,
        option_string: str | None = None,
    ) -> None:
        self.apply(value)
        setattr(namespace, self.dest, value)


def add_threads(parser: argparse.ArgumentParser) -> None:
    """The flag with which tools that run a network choose how many threads compute."""
    parser.add_argument(
        "--threads",
        type=positive,
        action=_Applied,
        apply=threads.limit,
        help="threads that compute at once (OMP_NUM_THREADS, or the cores that are free)",
    )


def add_share(parser: argparse.ArgumentParser) -> None:
    """The flag with which tools that read many photos take one share of them: see `shares`."""
    parser.add_argument(
        "--share",
        type=part,
        metavar="R/N",
        help="take share R of N of the photos, R from 0 to N - 1 (the launcher's; else all)",
    )


def part(text: str) -> Any:
    """argparse type: a shares.Share of a list, "0/4"."""
    from cic.system import shares  # it imports NumPy, which a list of commands does not need

    try:
        return shares.read(text)
    except SettingError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_max_pixels(parser: argparse.ArgumentParser) -> None:
    """The flag with which every tool that reads photos raises `limits.limit_pixels`."""
    parser.add_argument(
        "--max_pixels",
        type=positive,
        action=_Applied,
        apply=limits.limit_pixels,
        default=limits.pixel_limit(),
        help="most pixels that a photo may have, which also bounds its memory (%(default)s)",
    )


def add_option(parser: argparse.ArgumentParser) -> None:
    """The flag with which tools that make a network take its options: see `options`."""
    parser.add_argument(
        "--option", action="append", default=[], help="of the network, KEY=VALUE: width=0.5"
    )


def options(texts: Iterable[str]) -> dict[str, Json]:
    """Return {key: value} of texts KEY=VALUE, the values JSON or a word; raise ValueError for
    others.
    """
    found = {}
    for text in texts:
        key, _, value = text.partition("=")
        try:
            found[key] = json.loads(value)
        except ValueError:
            if value.isalpha():  # space=Lab
                found[key] = value
                continue
            raise SettingError(f"--option {text}: write width=0.5 or extra_relu=true") from None
    return found


def _from(least: int, text: str) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
    return int(text)


def _between(least: float, most: float, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = nan
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
    return number


def run(main: Callable[[], int | None]) -> NoReturn:
    """Exit with the status that `main()` returns: 0 if all went well, 1 if some or all failed.

    What a user can mend is one line (see `errors.is_expected`) and status 1, or 2 if the command
    was called wrongly; Ctrl-C is status 130. Any other exception is a defect: it keeps its
    traceback, says how to report it, and is status 1. SIGTERM ends as SystemExit does (status 143),
    so that nothing half-written stays.
    """
    streams.secure()
    came: list[int] = []
    if threading.current_thread() is threading.main_thread():
        _end_by_signals(came)
    try:
        try:
            status = main()
        except ImportError:
            if came:  # a library that is imported just then takes what a signal raises for its own
                interrupts.stop(came[0])
            raise
    except (KeyboardInterrupt, Exception) as error:
        status = _told(error)
    if defects.show():
        status = status or 1
    _leave(_flushed(status))


def _leave(status: int) -> NoReturn:
    """End the process with a status, once what was registered for its exit is done.

    Python itself would go on to take apart all that was imported, which takes as long as a photo.
    It does where threads are at work, or another program goes on when this one has ended.
    """
    alone = [one for one in threading.enumerate() if not one.daemon] == [threading.main_thread()]
    if not alone or not _is_the_script() or sys.flags.interactive:
        sys.exit(status)
    try:
        atexit._run_exitfuncs()
    finally:
        for name in streams.NAMES:
            streams.lost(name)  # flushes it
        os._exit(status)


def _is_the_script() -> bool:
    """Return whether Python itself started this program, not a profiler, a test or a script."""
    names, frame = [], sys._getframe(1).f_back
    while frame := frame and frame.f_back:
        names.append(frame.f_code.co_name)
    inside = [name for name in names if name != "start"]  # that of `cic.__main__`
    return inside in (["<module>"], ["<module>", "_run_code", "_run_module_as_main"])


def _end_by_signals(came: list[int]) -> None:
    """Let SIGTERM and, where Python takes it, Ctrl-C raise what they ask for, and be in `came`."""

    def stop(number: int, _: FrameType | None) -> None:
        came.append(number)
        interrupts.stop(number)

    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)


def _told(error: BaseException) -> int:
    """Say in a line, or a report, what ended a command: its status."""
    if isinstance(error, KeyboardInterrupt):
        print("stopped by the keyboard", file=sys.stderr)
        return 130
    if errors.is_expected(error):
        print(f"error: {message_of(error)}", file=sys.stderr)
    else:
        defects.report(error)
    return getattr(error, "status", 1) if isinstance(error, errors.Error) else 1


def _flushed(status: int | None) -> int:
    """Return the status once all is printed; 1 if a stream was full, or nobody reads it any
    more.
    """
    error = streams.lost("stdout")
    if error and not isinstance(error, BrokenPipeError):
        print(f"error: standard output: {error.strerror or error}", file=sys.stderr)
    return status or int(bool(error or streams.lost("stderr")))
