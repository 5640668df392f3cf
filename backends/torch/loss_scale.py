"""`cic.training.loss_scale.LossScale` in tensors: the device alone knows which steps are finite."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from cic.system.arrays import Array, State
from cic.training.loss_scale import FIRST, PATIENCE


class LossScale:
    """The factor that the loss is multiplied with: the number 1 unless `enabled`, else a tensor."""

    def __init__(self, enabled: bool, device: torch.device) -> None:
        self.enabled = enabled
        self.value: Tensor | float = torch.full((), FIRST, device=device) if enabled else 1.0
        self.finite_steps = torch.zeros((), device=device)

    @torch.no_grad()
    def update(self, skipped: Tensor, photos: Tensor) -> None:
        """Note by 0-d tensors whether a step was skipped; nothing of a step without photos."""
        if isinstance(self.value, float):
            return
        steps = torch.where(skipped > 0, 0, self.finite_steps + 1)
        patient = steps == PATIENCE
        value = torch.where(patient, self.value * 2, self.value)
        value = torch.where(skipped > 0, (self.value / 2).clamp(min=1), value)
        self.finite_steps = torch.where(photos > 0, steps * ~patient, self.finite_steps)
        self.value = torch.where(photos > 0, value, self.value)

    def state(self) -> State:
        """{name: array} to go on from; nothing unless enabled."""
        if not self.enabled:
            return {}
        return {"loss_scale": np.array([float(self.value), float(self.finite_steps)])}

    def load(self, state: Mapping[str, Array]) -> None:
        """Go on from what `state` gave."""
        if not isinstance(self.value, float) and "loss_scale" in state:
            for tensor, number in zip((self.value, self.finite_steps), state["loss_scale"]):
                tensor.fill_(float(number))
