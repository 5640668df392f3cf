"""Choose the photo that lends another its colours: the same in a whole run and in any share of
it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from metric import baselines


class Readable(NamedTuple):
    """The photos to measure: numbers, paths of those that lend them colours, messages of others."""

    numbers: list[int]
    lenders: list[str | None]
    problems: list[str]


def readable(
    paths: Sequence[str],
    own: Sequence[int],
    seed: int,
    problems: Callable[[Sequence[str]], Sequence[str | None]],
) -> Readable:
    """Return the Readable photos among the numbers `own` of all paths.

    All photos stand on one random circle, and each lends its colours to the next; one that cannot
    be read is passed over. `problems` gives the message of each path that cannot, None of others.
    """
    known: dict[int, str | None] = {}

    def look_at(numbers: Sequence[int]) -> None:
        known.update(zip(numbers, problems([paths[i] for i in numbers])))

    look_at(own)
    circle = baselines.donors(len(paths), seed)
    mine = [i for i in own if not known[i]]
    lender = {i: circle[i] for i in mine}
    _pass_over(circle, lender, known)
    while new := sorted({one for one in lender.values() if one is not None} - known.keys()):
        look_at(new)
        _pass_over(circle, lender, known)
    lenders = [None if one is None else paths[one] for one in lender.values()]
    return Readable(mine, lenders, [text for i in own if (text := known[i])])


def _pass_over(
    circle: Sequence[int | None], lender: dict[int, int | None], known: Mapping[int, str | None]
) -> None:
    """Let each borrow from the next on the circle, as long as its lender is `known` to be bad."""
    for i, one in lender.items():
        while one is not None and known.get(one):
            one = circle[one]
        lender[i] = None if one == i else one
