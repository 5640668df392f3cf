"""A process that colours photos, one at a time, in bounded memory, and that may be killed at any
time.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from cic.colorize.colorizer import Colorizer
from cic.photos import budget
from cic.serve import log
from cic.serve.problems import Failure, failure
from cic.serve.tasks import Answer, Question, answer
from cic.system import interrupts, limits
from cic.system.errors import Error, InputError, ProcessError
from cic.system.limits import PIXELS
from cic.system.processes import Context, end_with_parent
from cic.system.text import message_of

START = 120.0  # seconds in which a process must have its network ready
RESULT = 4  # bytes a pixel for the result, beside what a photo may take


class Ready(NamedTuple):
    """News of a process that is ready: its network and settings."""

    network: str
    settings: dict[str, Any]
    has_distribution: bool


class TimedOut(Exception):
    """A photo took too long."""


class Lost(Exception):
    """The process ended in the middle of a photo."""


def work(connection: Connection, make: Callable[[], Colorizer], pixels: int | None) -> None:
    """Answer Tasks until the other end closes; a process's whole life.

    First it says that it is Ready, or why not: a sentence.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all processes; the main one decides
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()
    log.install()
    limits.limit_pixels(pixels)
    try:
        colorizer = make()
        colorizer(np.zeros((64, 64), np.uint8))  # what is made once is made now
    except Error as error:
        connection.send(message_of(error))
        return
    _limit_memory(budget.room() + RESULT * (pixels or PIXELS))
    facts = colorizer.settings.facts()
    connection.send(Ready(str(colorizer.network), facts, colorizer.has_distribution))
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(_answered(colorizer, connection.recv()))


def _answered(colorizer: Colorizer, question: Question) -> Answer | Failure:
    try:
        return answer(colorizer, question)
    except Exception as error:
        return failure(error)


def _limit_memory(spare: float) -> None:
    """Let this process take no more than `spare` bytes beside what it has now, on Linux.

    Of the data alone (RLIMIT_DATA): a framework reserves addresses by the gigabyte that it never
    uses, so that the size of the address space says nothing.
    """
    if sys.platform != "linux" or spare == float("inf"):
        return
    import resource  # of Unix

    with open("/proc/self/statm", encoding="ascii") as file:
        data = int(file.read().split()[5]) * resource.getpagesize()
    most = int(data + spare)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


class WorkerProcess:
    """Handle of such a process, for the process that started it."""

    def __init__(self, make: Callable[[], Colorizer], pixels: int | None) -> None:
        context = Context()
        self.connection, theirs = context.Pipe()
        arguments = theirs, make, pixels
        self.process = context.Process(target=work, args=arguments, daemon=True)
        with interrupts.withheld():
            self.process.start()
        theirs.close()
        self.ending = threading.Lock()

    def ready(self) -> Ready:
        """Wait until it is; raises ProcessError if it cannot be."""
        try:
            told = self._received(START)
        except (TimedOut, Lost):
            self.end()
            raise ProcessError("a process that colours did not start; its lines say why") from None
        if not isinstance(told, Ready):
            self.end()
            raise InputError(told)
        return told

    def ask(self, question: Question, seconds: float) -> Answer | Failure:
        """Return its answer within `seconds`; raise TimedOut or Lost, and end it then."""
        try:
            self.connection.send(question)
            return self._received(seconds)
        except OSError:
            raise Lost from None
        finally:
            if sys.exc_info()[0]:
                self.end()

    def _received(self, seconds: float) -> Any:
        try:
            if not self.connection.poll(seconds):
                raise TimedOut
            return self.connection.recv()
        except (EOFError, OSError):
            raise Lost from None

    def end(self) -> None:
        """Kill it, whatever it does."""
        with self.ending:  # the thread that asks it and the server's own may do so at once
            self.process.kill()
            self.process.join()
            self.connection.close()
