"""The optimizers of cic.recipes, their state under the neutral names.

The weight decay of all is coupled: added to the gradient.
"""

import torch


class Adam:
    """Adam of {neutral name: parameter}; keeps moment1 and moment2."""

    def __init__(self, parameters, recipe):
        self.parameters = parameters
        self.native = torch.optim.Adam(
            parameters.values(),
            betas=(recipe.beta1, recipe.beta2),
            weight_decay=recipe.weight_decay,
            fused=True,
        )

    def step(self, lr):
        """Change the parameters by their gradients at learning rate `lr`."""
        self.native.param_groups[0]["lr"] = lr
        self.native.step()

    def state(self):
        """{name: array} of what it keeps, and the number of steps."""
        arrays = {}
        for name, parameter in self.parameters.items():
            adam = self.native.state.get(parameter) or self._before(parameter)
            arrays[f"moment1/{name}"] = adam["exp_avg"].numpy(force=True).copy()
            arrays[f"moment2/{name}"] = adam["exp_avg_sq"].numpy(force=True).copy()
            arrays["steps"] = adam["step"].numpy(force=True).astype("int64")
        return arrays

    def load(self, arrays):
        """Go on from what `state` gave."""
        for name, parameter in self.parameters.items():
            adam = self._before(parameter, arrays["steps"])
            adam["exp_avg"].copy_(torch.from_numpy(arrays[f"moment1/{name}"]))
            adam["exp_avg_sq"].copy_(torch.from_numpy(arrays[f"moment2/{name}"]))
            self.native.state[parameter] = adam

    @staticmethod
    def _before(parameter, steps=0):
        """What Adam keeps of a parameter, before its first step, as PyTorch names it."""
        moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
        return moments | {"step": torch.tensor(float(steps), device=parameter.device)}


class SGD:
    """Gradient descent with momentum of {neutral name: parameter}; keeps the velocity."""

    def __init__(self, parameters, recipe):
        self.parameters, self.steps = parameters, 0
        self.native = torch.optim.SGD(
            parameters.values(), momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )

    def step(self, lr):
        """Change the parameters by their gradients at learning rate `lr`."""
        self.native.param_groups[0]["lr"] = lr
        self.native.step()
        self.steps += 1

    def state(self):
        """{name: array} of what it keeps, and the number of steps."""
        arrays = {"steps": torch.tensor(self.steps).numpy()}
        for name, parameter in self.parameters.items():
            velocity = self.native.state[parameter].get("momentum_buffer")
            velocity = torch.zeros_like(parameter) if velocity is None else velocity
            arrays[f"velocity/{name}"] = velocity.numpy(force=True).copy()
        return arrays

    def load(self, arrays):
        """Go on from what `state` gave."""
        self.steps = int(arrays["steps"])
        for name, parameter in self.parameters.items():
            velocity = torch.from_numpy(arrays[f"velocity/{name}"]).to(parameter)
            self.native.state[parameter]["momentum_buffer"] = velocity.clone()


_OPTIMIZERS = {"adam": Adam, "sgd": SGD}


def optimizer(recipe, parameters):
    """The recipe's optimizer of {neutral name: parameter}."""
    return _OPTIMIZERS[recipe.optimizer](parameters, recipe)
