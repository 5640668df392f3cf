"""Write by hand the few pieces that the pickles of PyTorch and Paddle consist of.

So writing a file needs no framework, and the file names only what every version of it knows.
"""

import pickle
import pickletools

EMPTY, MARK, TUPLE, CALL, BUILD = b"}", b"(", b"t", b"R", b"b"
SET_ITEMS, STOP = b"u", b"."


def protocol(number: int) -> bytes:
    """Return the first operation of a pickle."""
    return bytes([0x80, number])


def push(value: object) -> bytes:
    """Return the operations that make a number, a text, a tuple, None or a bool."""
    return pickletools.optimize(pickle.dumps(value, 2))[2:-1]


def push_global(module: str, name: str) -> bytes:
    """Return the operation that makes a global."""
    return f"c{module}\n{name}\n".encode()
