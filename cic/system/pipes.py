"""Standard input and output for bytes."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from cic.system.errors import SettingError

STANDARD = "-"  # stands for either, where a file is named


def standard_input() -> BinaryIO:
    """Return the standard input; raise SettingError if a person would have to type a photo."""
    if sys.stdin is None or sys.stdin.isatty():
        raise SettingError("-: standard input is a terminal: pipe a photo in, < old.jpg")
    return sys.stdin.buffer


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Standard output, for what the block writes to this file alone.

    All else that is printed meanwhile goes to standard error, also what C libraries print. Raises
    SettingError if it is a terminal.
    """
    if sys.stdout.isatty():
        raise SettingError("-o -: standard output is a terminal: redirect it, > new.png")
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "wb") as file:
            yield file
    except OSError as error:
        if error.filename is None and error.errno:  # a full disk, or nobody who reads
            raise OSError(error.errno, error.strerror, "standard output") from None
        raise
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
