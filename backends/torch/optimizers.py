"""The optimizers of cic.training.recipes, their state under the neutral names.

The weight decay is coupled, added to the gradient, but for AdamW's. They are PyTorch's own fused
kernels; torch.optim, which calls them, imports its compiler before the first step: 1.2 s.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from backends.torch.device import copied
from cic.system.arrays import State
from cic.training.recipes import Recipe

EPSILON = 1e-8  # Adam's, as torch.optim has it


class _Optimizer:
    """What a kernel keeps of {neutral name: parameter}, at first zero, under the names `SLOTS`.

    `rates` are the parameters' factors of the learning rate. `steps`, their number, is a tensor:
    the device alone knows which of them were skipped.
    """

    SLOTS: tuple[str, ...] = ()
    _update: Callable[..., None]  # of parameters, gradients and each slot, lists; learning rate

    def __init__(
        self, parameters: dict[str, Tensor], rates: dict[str, float], recipe: Recipe
    ) -> None:
        self.parameters, self.recipe = parameters, recipe
        device = next(iter(parameters.values())).device
        self.steps = torch.zeros((), dtype=torch.float32, device=device)
        self.groups: dict[float, list[str]] = {factor: [] for factor in rates.values()}
        for name in parameters:
            self.groups[rates[name]].append(name)
        self.kept = {
            slot: {name: torch.zeros_like(tensor) for name, tensor in parameters.items()}
            for slot in self.SLOTS
        }

    @torch.no_grad()
    def step(self, lr: float, skipped: Tensor) -> None:
        """Change the parameters by their gradients at learning rate `lr`; nothing if `skipped`.

        That is 1 or 0, a float32 tensor, which the kernels read on the device.
        """
        self.steps += 1 - skipped
        for factor, names in self.groups.items():
            parameters = [self.parameters[name] for name in names]
            gradients = [parameter.grad for parameter in parameters]
            kept = [[self.kept[slot][name] for name in names] for slot in self.SLOTS]
            self._update(parameters, gradients, *kept, lr * factor, skipped)

    def state(self) -> State:
        """{name: array} of what it keeps, and the number of steps."""
        arrays = {"steps": np.array(int(self.steps))}
        for slot, kept in self.kept.items():
            for name, tensor in kept.items():
                arrays[f"{slot}/{name}"] = copied(tensor)
        return arrays

    def load(self, arrays: State) -> None:
        """Go on from what `state` gave."""
        self.steps.fill_(int(arrays["steps"]))
        for slot, kept in self.kept.items():
            for name, tensor in kept.items():
                tensor.copy_(torch.from_numpy(arrays[f"{slot}/{name}"]))


class Adam(_Optimizer):
    """Adam of {neutral name: parameter}; keeps moment1 and moment2."""

    SLOTS = ("moment1", "moment2")
    KERNEL: Callable[..., None] = staticmethod(torch._fused_adam_)

    def _update(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        moment1: list[Tensor],
        moment2: list[Tensor],
        lr: float,
        skipped: Tensor,
    ) -> None:
        self.KERNEL(
            parameters,
            gradients,
            moment1,
            moment2,
            [],
            [self.steps] * len(parameters),
            lr=lr,
            beta1=self.recipe.beta1,
            beta2=self.recipe.beta2,
            weight_decay=self.recipe.weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
            found_inf=skipped,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).

    Each step multiplies the parameters by 1 - lr * weight_decay, too.
    """

    KERNEL = staticmethod(torch._fused_adamw_)


class SGD(_Optimizer):
    """Gradient descent with momentum of {neutral name: parameter}; keeps the velocity."""

    SLOTS = ("velocity",)

    def _update(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        velocity: list[Tensor],
        lr: float,
        skipped: Tensor,
    ) -> None:
        torch._fused_sgd_(
            parameters,
            gradients,
            velocity if self.recipe.momentum else [],
            weight_decay=self.recipe.weight_decay,
            momentum=self.recipe.momentum,
            lr=lr,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
            found_inf=skipped,
        )


_OPTIMIZERS = {"adam": Adam, "adamw": AdamW, "sgd": SGD}


def optimizer(recipe: Recipe, parameters: dict[str, Tensor], rates: dict[str, float]) -> _Optimizer:
    """The recipe's optimizer of {neutral name: parameter}, whose learning rates have factors."""
    return _OPTIMIZERS[recipe.optimizer](parameters, rates, recipe)
