"""Shared memory where workers leave large arrays, which then need not go through a pipe."""

import os
import pickle
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple

LARGE = 1 << 16  # bytes of arrays from which on shared memory is quicker than a pipe
_attached: dict[str, SharedMemory] = {}  # of this worker process


class Packed(NamedTuple):
    """A result on its way: its pickle, and the bytes of its arrays or how many are in the slot."""

    head: bytes
    arrays: Sequence[bytes | int]


def packed(result: Any, slot: str | None) -> Packed:
    """Return `result` for the main process, its arrays in the shared memory of that name if they
    fit.
    """
    found: list[pickle.PickleBuffer] = []
    head = pickle.dumps(result, pickle.HIGHEST_PROTOCOL, buffer_callback=found.append)
    views = [buffer.raw() for buffer in found]
    sizes = [view.nbytes for view in views]
    memory = _attach(slot) if slot else None
    if memory is None or not LARGE <= sum(sizes) <= memory.size:
        return Packed(head, [bytes(view) for view in views])
    start = 0
    for view, size in zip(views, sizes):
        memory.buf[start : start + size] = view  # type: ignore[index]  # it is open
        start += size
    return Packed(head, sizes)


def _attach(name: str) -> SharedMemory:
    if name not in _attached:
        _attached[name] = SharedMemory(name)
    return _attached[name]


class Slots:
    """Pieces of shared memory, `most` at once, of the size of the largest result so far.

    A result that does not fit, or for which the machine has no shared memory left, travels in the
    pipe.
    """

    def __init__(self, most: int) -> None:
        self.most, self.size = most, 0
        self.memories: dict[str, SharedMemory] = {}
        self.free: list[str] = []

    def lend(self) -> str | None:
        """Return the name of a slot for one result; None if there is none. `take_back` it."""
        while self.free and self.memories[self.free[-1]].size < self.size:
            _remove(self.memories.pop(self.free.pop()))
        if not self.free and self.size and len(self.memories) < self.most:
            self._add()
        return self.free.pop() if self.free else None

    def _add(self) -> None:
        memory = SharedMemory(create=True, size=self.size)
        try:  # else a full /dev/shm, 64 MB in a container, would end the process that writes
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(memory._fd, 0, self.size)  # type: ignore[attr-defined]
        except OSError:
            self.most = len(self.memories)
            _remove(memory)
            return
        self.memories[memory.name] = memory
        self.free.append(memory.name)

    def take_back(self, slot: str | None) -> None:
        """Let others use a slot that `lend` gave."""
        if slot:
            self.free.append(slot)

    def result(self, packed: Packed, slot: str | None) -> Any:
        """Return the result that a worker `packed`, with arrays of its own."""
        arrays, start = [], 0
        for part in packed.arrays:
            if isinstance(part, int):
                memory = self.memories[slot]  # type: ignore[index]  # sizes come with a slot
                arrays.append(bytearray(memory.buf[start : start + part]))  # type: ignore[index]  # it is open
                start += part
            else:
                arrays.append(bytearray(part))
        if (total := sum(map(len, arrays))) >= LARGE:
            self.size = max(self.size, total)
        return pickle.loads(packed.head, buffers=arrays)

    def close(self) -> None:
        """Give the memory back."""
        for memory in self.memories.values():
            _remove(memory)
        self.memories.clear()
        self.free.clear()


def _remove(memory: SharedMemory) -> None:
    memory.close()
    with suppress(FileNotFoundError):  # by the tracker of resources, as the process is ended
        memory.unlink()
