"""The log: lines of JSON on standard error, of the server itself and of the packages it uses."""

import json
import logging
import sys
import time
import traceback
from typing import Any


def write(**facts: Any) -> None:
    """Write a line with these facts and the time."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(json.dumps({"time": at, **facts}), file=sys.stderr, flush=True)


def defect(error: BaseException, **facts: Any) -> None:
    """Write a line on an exception that nobody expected, with its traceback."""
    write(level="ERROR", message=repr(error), traceback=_formatted(error), **facts)


def _formatted(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


class Handler(logging.Handler):
    """Handler that writes what packages log, from warnings on."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        facts = {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[1]:
            facts["traceback"] = _formatted(record.exc_info[1])
        write(**facts)


def install() -> None:
    """Let all that this process's packages log and warn of be such lines."""
    logging.basicConfig(level=logging.WARNING, handlers=[Handler()], force=True)
    logging.captureWarnings(True)
