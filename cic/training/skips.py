"""Count the steps that are skipped because a gradient is not finite, and say when that is too
many.
"""

from collections.abc import Mapping

import numpy as np

from cic.system.arrays import Array, State

LIMIT = 10  # in a row


class Skips:
    """How many steps were skipped in all and in a row, and whether the latest was."""

    def __init__(self) -> None:
        self.total = self.in_a_row = 0
        self.latest = False

    def note(self, finite: bool, counts: bool = True) -> None:
        """Note whether a step's gradients were finite, so that it was made.

        A skip that does not count is one by which float16 finds its loss scale.
        """
        self.latest = not finite
        if finite:
            self.in_a_row = 0
        elif counts:
            self.total += 1
            self.in_a_row += 1

    def state(self) -> State:
        """Return {name: array} to go on from; nothing before the first skip."""
        return {"skips": np.array([self.total, self.in_a_row])} if self.total else {}

    def load(self, state: Mapping[str, Array]) -> None:
        """Go on from what `state` gave."""
        self.total, self.in_a_row = map(int, state.get("skips", (0, 0)))
        self.latest = False
