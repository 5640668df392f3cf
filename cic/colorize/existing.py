"""Find the results that are there already: on a disk one by one, in a store once for all."""

import os
from array import array
from bisect import bisect_left
from collections.abc import Iterable

import numpy as np

from cic.system import storage
from cic.system.addresses import is_address


class Hashes:
    """Strings, kept as eight bytes each: their sorted hashes."""

    def __init__(self, hashes: Iterable[int]) -> None:
        self.sorted = array("q", np.sort(np.fromiter(hashes, np.int64)).tobytes())

    def __contains__(self, text: object) -> bool:
        place = bisect_left(self.sorted, hash(text))
        return place < len(self.sorted) and self.sorted[place] == hash(text)


class OneByOne:
    """The files that are there, each looked up when it is asked for."""

    def __contains__(self, path: object) -> bool:
        text = str(path)
        return storage.exists(text) if is_address(text) else os.path.exists(text)


def below(output: str) -> Hashes:
    """Return the files below an address, asked for in pages of a thousand, not one by one."""
    return Hashes(hash(os.path.join(output, name)) for name, *_ in storage.files(output))
