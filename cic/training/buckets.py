"""Decide which gradients travel together: few messages, each sent while others are still
computed.
"""

from collections.abc import Sequence
from typing import NamedTuple

SIZE = 25 * 2**20  # bytes of a message, as torch.nn.parallel.DistributedDataParallel has it
ALIGN = 64  # numbers: a GPU reads 16 bytes at once where they begin at a multiple of 16


class Bucket(NamedTuple):
    """A flat message of `length` numbers; tensor `indices[k]` begins at number `offsets[k]`."""

    indices: list[int]
    offsets: list[int]
    length: int


def buckets(sizes: Sequence[int], most: int) -> list[Bucket]:
    """Return the buckets of tensors of so many numbers, from the last to the first, as backward
    comes to them.

    None is longer than `most` numbers, unless it holds a single tensor.
    """
    found: list[Bucket] = []
    for index in reversed(range(len(sizes))):
        length = -(-sizes[index] // ALIGN) * ALIGN
        if not found or found[-1].length + length > most:
            found.append(Bucket([], [], 0))
        indices, offsets, start = found[-1]
        found[-1] = Bucket([*indices, index], [*offsets, start], start + length)
    return found
