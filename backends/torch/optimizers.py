"""The optimizers of cic.training.recipes, their state under the neutral names.

The weight decay is coupled, added to the gradient, but for AdamW's.
"""

import numpy as np
import torch


class _Optimizer:
    """What a native optimizer keeps of {neutral name: parameter}; `SLOTS` {ours: PyTorch's}.

    `rates` are the parameters' factors of the learning rate.
    """

    SLOTS = {}  # noqa: RUF012 - each class has its own

    def __init__(self, parameters, rates, native, **options):
        self.parameters, self.steps = parameters, 0
        groups = {factor: [] for factor in rates.values()}
        for name, parameter in parameters.items():
            groups[rates[name]].append(parameter)
        self.native = native([{"params": group} for group in groups.values()], **options)
        self.factors = list(groups)

    def step(self, lr):
        """Change the parameters by their gradients at learning rate `lr`."""
        for group, factor in zip(self.native.param_groups, self.factors):
            group["lr"] = lr * factor
        self.native.step()
        self.steps += 1

    def state(self):
        """{name: array} of what it keeps, and the number of steps."""
        arrays = {"steps": np.array(self.steps)}
        for name, parameter in self.parameters.items():
            for slot, theirs in self.SLOTS.items():
                kept = self.native.state[parameter].get(theirs)
                kept = torch.zeros_like(parameter) if kept is None else kept  # before a first step
                arrays[f"{slot}/{name}"] = kept.numpy(force=True).copy()
        return arrays

    def load(self, arrays):
        """Go on from what `state` gave."""
        self.steps = int(arrays["steps"])
        for name, parameter in self.parameters.items():
            kept = self.native.state[parameter]
            for slot, theirs in self.SLOTS.items():
                array = torch.from_numpy(arrays[f"{slot}/{name}"])
                kept[theirs] = torch.zeros_like(parameter).copy_(array)
            kept |= self._more(parameter)

    def _more(self, parameter):
        """What else PyTorch's keeps of a parameter after so many steps."""
        return {}


class Adam(_Optimizer):
    """Adam of {neutral name: parameter}; keeps moment1 and moment2."""

    SLOTS = {"moment1": "exp_avg", "moment2": "exp_avg_sq"}  # noqa: RUF012
    NATIVE = torch.optim.Adam

    def __init__(self, parameters, rates, recipe):
        super().__init__(
            parameters,
            rates,
            self.NATIVE,
            betas=(recipe.beta1, recipe.beta2),
            weight_decay=recipe.weight_decay,
            fused=True,
        )

    def _more(self, parameter):
        return {"step": torch.tensor(float(self.steps), device=parameter.device)}


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).

    Each step multiplies the parameters by 1 - lr * weight_decay, too.
    """

    NATIVE = torch.optim.AdamW


class SGD(_Optimizer):
    """Gradient descent with momentum of {neutral name: parameter}; keeps the velocity."""

    SLOTS = {"velocity": "momentum_buffer"}  # noqa: RUF012

    def __init__(self, parameters, rates, recipe):
        options = {"momentum": recipe.momentum, "weight_decay": recipe.weight_decay}
        super().__init__(parameters, rates, torch.optim.SGD, **options)


_OPTIMIZERS = {"adam": Adam, "adamw": AdamW, "sgd": SGD}


def optimizer(recipe, parameters, rates):
    """The recipe's optimizer of {neutral name: parameter}, whose learning rates have factors."""
    return _OPTIMIZERS[recipe.optimizer](parameters, rates, recipe)
