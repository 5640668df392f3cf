"""Loss scaling, so that small gradients survive float16 (Micikevicius et al. 2018, section 3.2)."""

from collections.abc import Mapping

import numpy as np

from cic.system.arrays import Array, State

FIRST = 2.0**16
PATIENCE = 2000  # steps with finite gradients after which the scale doubles


class LossScale:
    """The factor of the loss: 1 unless `enabled`."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.value = FIRST if enabled else 1.0
        self.finite_steps = 0

    def update(self, finite: bool) -> None:
        """Note whether a step's gradients were finite: if not, the scale halves at once."""
        self.finite_steps = self.finite_steps + 1 if finite else 0
        if not finite:
            self.value = max(1.0, self.value / 2)
        elif self.finite_steps == PATIENCE:
            self.value, self.finite_steps = self.value * 2, 0

    def state(self) -> State:
        """Return {name: array} to go on from; nothing unless enabled."""
        return {"loss_scale": np.array([self.value, self.finite_steps])} if self.enabled else {}

    def load(self, state: Mapping[str, Array]) -> None:
        """Go on from what `state` gave."""
        if self.enabled and "loss_scale" in state:
            self.value, self.finite_steps = (
                float(state["loss_scale"][0]),
                int(state["loss_scale"][1]),
            )
