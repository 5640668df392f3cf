"""Make standard output and standard error safe: no odd character and no closed stream stops the
work.
"""

import io
import os
import sys
from typing import Any, TextIO

ESCAPED = "backslashreplace"
NAMES = ("stdout", "stderr")


class _Lasting(io.FileIO):
    """A file that never fails: what a full disk or a closed pipe does not take is lost."""

    error: OSError | None = None  # the first

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = self.error or error
            return memoryview(data).nbytes


def secure() -> None:
    """Let no output stream end anything; its encoding neither in processes started from here.

    What it cannot encode is escaped, and a stream that is closed takes all: else the next file that
    is opened would get its number, and what libraries print.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name in NAMES:
        stream = getattr(sys, name)
        if stream is None:
            void = open(os.devnull, "w", encoding="utf-8", errors=ESCAPED)  # noqa: SIM115 - for good
            setattr(sys, name, void)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ESCAPED)
            setattr(sys, name, _lasting(stream))
    encoding = os.environ.get("PYTHONIOENCODING", "").partition(":")[0]
    os.environ["PYTHONIOENCODING"] = f"{encoding}:{ESCAPED}"


def _lasting(stream: io.TextIOWrapper) -> TextIO:
    """Return a stream like one of Python's own, over _Lasting; any other one itself."""
    raw = getattr(stream.buffer, "raw", stream.buffer)  # itself with PYTHONUNBUFFERED
    if type(raw) is not io.FileIO:
        return stream
    stream.flush()
    file = _Lasting(raw.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        file if raw is stream.buffer else io.BufferedWriter(file),
        encoding=stream.encoding,
        errors=ESCAPED,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def lost(name: str) -> OSError | None:
    """Return why something written to "stdout" or "stderr" is lost, once all is flushed; else
    None.
    """
    stream = getattr(sys, name)
    stream.flush()
    buffer = getattr(stream, "buffer", None)
    return getattr(getattr(buffer, "raw", buffer), "error", None)
