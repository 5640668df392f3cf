"""The optimizers of cic.training.recipes, their state under the neutral names.

The weight decay is coupled, added to the gradient, but for AdamW's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
from paddle import Tensor

from backends.paddle.device import copied
from cic.system.arrays import Array, State
from cic.training.recipes import Recipe


class _Optimizer:
    """What a native optimizer keeps of {neutral name: parameter}; `SLOTS` {ours: Paddle's}.

    `rates` are the parameters' factors of the learning rate.
    """

    SLOTS: dict[str, str] = {}  # noqa: RUF012 - each class has its own

    def __init__(
        self,
        parameters: dict[str, Tensor],
        rates: dict[str, float],
        native: Callable[..., paddle.optimizer.Optimizer],
        **options: Any,
    ) -> None:
        self.parameters, self.steps = parameters, 0
        for name, parameter in parameters.items():
            parameter.optimize_attr["learning_rate"] = rates[name]
        self.native = native(parameters=list(parameters.values()), **options)

    def step(self, lr: float) -> None:
        """Change the parameters by their gradients at learning rate `lr`."""
        self.native.set_lr(lr)
        self.native.step()
        self.steps += 1

    def state(self) -> State:
        """{name: array} of what it keeps, and the number of steps."""
        arrays, kept = {"steps": np.array(self.steps)}, self.native.state_dict()
        for name, parameter in self.parameters.items():
            for slot, theirs in self.SLOTS.items():
                value = kept.get(f"{parameter.name}_{theirs}_0")
                if value is None:  # before the first step
                    value = np.zeros(parameter.shape, str(parameter.dtype).removeprefix("paddle."))
                # It is an array between `load` and the next step.
                arrays[f"{slot}/{name}"] = (copied if paddle.is_tensor(value) else np.array)(value)
        return arrays

    def load(self, arrays: State) -> None:
        """Go on from what `state` gave."""
        self.steps, kept = int(arrays["steps"]), {}
        for name, parameter in self.parameters.items():
            for slot, theirs in self.SLOTS.items():
                kept[f"{parameter.name}_{theirs}_0"] = arrays[f"{slot}/{name}"]
            kept |= self._more(parameter)
        self.native.set_state_dict(kept)

    def _more(self, parameter: Tensor) -> State:
        """What else Paddle's keeps of a parameter, by its name for it, after so many steps."""
        return {}


class Adam(_Optimizer):
    """Adam of {neutral name: parameter}; keeps moment1 and moment2."""

    SLOTS = {"moment1": "moment1", "moment2": "moment2"}  # noqa: RUF012
    NATIVE: Callable[..., paddle.optimizer.Optimizer] = paddle.optimizer.Adam

    def __init__(
        self, parameters: dict[str, Tensor], rates: dict[str, float], recipe: Recipe
    ) -> None:
        self.betas = recipe.beta1, recipe.beta2
        super().__init__(
            parameters,
            rates,
            self.NATIVE,
            beta1=recipe.beta1,
            beta2=recipe.beta2,
            weight_decay=recipe.weight_decay,
        )

    def _more(self, parameter: Tensor) -> State:
        dtype = str(parameter.dtype).removeprefix("paddle.")
        return {
            f"{parameter.name}_beta{i}_pow_acc_0": self._power(beta, dtype)
            for i, beta in enumerate(self.betas, 1)
        }

    def _power(self, beta: float, dtype: str) -> Array:
        """Adam's factor `beta` to the power that the next step takes, (1,), rounded as Adam does.

        It multiplies once a step: beta ** steps differs by some units in the last place.
        """
        return np.multiply.accumulate(np.full(self.steps + 1, beta, dtype))[-1:]


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).

    Each step multiplies the parameters by 1 - lr * weight_decay, too.
    """

    NATIVE = paddle.optimizer.AdamW


class SGD(_Optimizer):
    """Gradient descent with momentum of {neutral name: parameter}; keeps the velocity."""

    SLOTS = {"velocity": "velocity"}  # noqa: RUF012

    def __init__(
        self, parameters: dict[str, Tensor], rates: dict[str, float], recipe: Recipe
    ) -> None:
        options = {"momentum": recipe.momentum, "weight_decay": recipe.weight_decay}
        super().__init__(parameters, rates, paddle.optimizer.Momentum, **options)


_OPTIMIZERS = {"adam": Adam, "adamw": AdamW, "sgd": SGD}


def optimizer(recipe: Recipe, parameters: dict[str, Tensor], rates: dict[str, float]) -> _Optimizer:
    """The recipe's optimizer of {neutral name: parameter}, whose learning rates have factors."""
    return _OPTIMIZERS[recipe.optimizer](parameters, rates, recipe)
