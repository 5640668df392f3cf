"""Tell defects of this program from errors that a user can mend, and show how to report them.

A defect that ends a command keeps its traceback (`report`). A defect that one photo of many brings
out does not end the others: `note` gives a line to print beside the photo's name, and `show` prints
the tracebacks when the command ends, once for each place in the code, those of worker processes
too.
"""

import os
import platform
import sys
import traceback
from collections.abc import Mapping

import cic
from cic.system.text import message_of, printable

HOW = (
    "This is a defect of the program, not a mistake of yours. Please report it to the project's "
    "issue tracker,\nwith all lines from the traceback on and the command that shows it:"
)
_VERSIONED = ("numpy", "PIL", "av", "torch", "paddle", "onnxruntime")  # named if they are imported
_noted: dict[str, str] = {}  # {place in the code: the first traceback from there}


def note(error: BaseException) -> str:
    """Return a sentence on a defect that is not to end a batch; `show` shows its traceback
    later.
    """
    place = _place(error)
    _noted.setdefault(place, _formatted(error))
    return f"a defect of this program: {type(error).__name__}: {message_of(error)} ({place})"


def take() -> dict[str, str]:
    """Return {place: traceback} of what was noted in this process, which forgets it: for `add`."""
    found = dict(_noted)
    _noted.clear()
    return found


def add(found: Mapping[str, str]) -> None:
    """Note what another process gave by `take`."""
    for place, text in found.items():
        _noted.setdefault(place, text)


def show() -> bool:
    """Show on standard error what was noted until now, with how to report it; whether there was.

    What was shown is forgotten.
    """
    found = take()
    if found:
        print("", *found.values(), "", facts(), sep="\n", file=sys.stderr)
    return bool(found)


def report(error: BaseException) -> None:
    """Show the traceback of a defect that ends this command, and how to report it."""
    print(_formatted(error), "", facts(), sep="\n", file=sys.stderr)


def facts() -> str:
    """Return what a report needs beside the traceback: how to make it, versions and platform."""
    versions = [f"cic {cic.__version__}", f"Python {platform.python_version()}"]
    versions += [platform.platform()]
    for name in _VERSIONED:
        if module := sys.modules.get(name):
            versions.append(f"{name} {getattr(module, '__version__', '?')}")
    return f"{HOW}\n{', '.join(versions)}"


def _place(error: BaseException) -> str:
    """Return where it was raised, "lab.py, line 12"; "?" of an exception that never was."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{os.path.basename(frames[-1].filename)}, line {frames[-1].lineno}" if frames else "?"


def _formatted(error: BaseException) -> str:
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(map(printable, lines))
