"""Silence for C libraries that write to the standard error stream of the whole process."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_turn = threading.Lock()  # there is one such stream


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing that is written to file descriptor 2 in the block is seen; if it is closed, as is."""
    with _turn:
        try:
            sys.stderr.flush()
            kept = os.dup(2)
        except (OSError, ValueError, AttributeError):  # closed, or there is none
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
