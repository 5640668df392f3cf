"""Find the width of a network of ours from the numbers of channels of a file's arrays."""

from collections.abc import Iterable

from cic.system.arrays import Array


def len_of(array: Array | None) -> int:
    """Return how many entries an array has along its first axis, 0 if it has none or is None."""
    return len(array) if array is not None and array.ndim else 0


def width_that_fits(sizes: Iterable[tuple[int, int]]) -> float:
    """Return the width that makes the usual numbers of channels those there are, pairs (there,
    usual).

    Of which 0 says nothing; without any that does, the width is 1. If none makes all of them, some
    will be found to be misshapen.
    """
    sizes = [(size, full) for size, full in sizes if size]
    if not sizes:
        return 1.0
    low = max((0 if size <= 8 else size - 4) / full for size, full in sizes)
    high = min((size + 4) / full for size, full in sizes)
    guesses = [size / full for size, full in sizes if low <= size / full <= high]
    return guesses[-1] if guesses else (low + high) / 2
