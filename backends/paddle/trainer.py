"""One training step: forward, rebalanced cross-entropy, backward, Adam."""

import numpy as np
import paddle

from backends.paddle.device import resolve_device
from backends.paddle.losses import cross_entropy
from backends.paddle.network import build, export_state, import_state

PRECISIONS = ("float32", "bf16", "float64")


class Trainer:
    """`network` in training from the neutral `state`, as `recipe` has it."""

    def __init__(self, network, recipe, state, device="auto", precision="float32"):
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}; there are {', '.join(PRECISIONS)}")
        self.device = resolve_device(device)
        if precision == "bf16" and self.device == "cpu":
            raise ValueError("precision bf16 needs a GPU under Paddle; on the CPU take float32")
        self.precision = precision
        self.dtype = "float64" if precision == "float64" else "float32"
        self.net = build(network, state, device, self.dtype)
        named = dict(self.net.named_parameters())
        self.parameters = {name: named[name] for name in network.parameters}
        self.betas = recipe.beta1, recipe.beta2
        self.steps = 0
        self.optimizer = paddle.optimizer.Adam(
            parameters=list(self.parameters.values()),
            beta1=recipe.beta1,
            beta2=recipe.beta2,
            weight_decay=recipe.weight_decay,
        )

    def _loss(self, batch):
        paddle.set_device(self.device)  # Paddle's is the process's, whoever set it last
        inputs = paddle.to_tensor(batch.inputs, dtype=self.dtype, place=self.device)
        index = paddle.to_tensor(batch.index, place=self.device)
        weight = paddle.to_tensor(batch.weight, dtype=self.dtype, place=self.device)
        with paddle.amp.auto_cast(self.precision == "bf16", dtype="bfloat16"):
            logits = self.net(inputs)
        return cross_entropy(logits, index, weight)

    def step(self, batch, lr):
        """One step on `batch` at learning rate `lr`; the loss, a 0-d tensor."""
        self.net.train()
        self.optimizer.set_lr(lr)
        self.optimizer.clear_grad()
        loss = self._loss(batch)
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        return loss.detach()

    @paddle.no_grad()
    def evaluate(self, batch):
        """Loss of `batch` in evaluation mode, a float."""
        self.net.eval()
        return self._loss(batch).item()

    def state(self):
        """(weights, optimizer): Adam's moments by parameter and its number of steps."""
        optimizer = {}
        adam = self.optimizer.state_dict()
        for name, parameter in self.parameters.items():
            if f"{parameter.name}_moment1_0" in adam:
                for moment in ("moment1", "moment2"):
                    array = adam[f"{parameter.name}_{moment}_0"].numpy()
                    optimizer[f"{moment}/{name}"] = array.copy()
                optimizer["steps"] = np.array(self.steps)
        return export_state(self.net), optimizer

    def load(self, weights, optimizer):
        """Go on from what `state` gave, whichever backend gave it."""
        import_state(self.net, weights)
        if "steps" not in optimizer:
            return
        self.steps = int(optimizer["steps"])
        adam = {}
        for name, parameter in self.parameters.items():
            for moment in ("moment1", "moment2"):
                adam[f"{parameter.name}_{moment}_0"] = optimizer[f"{moment}/{name}"]
            for i, beta in enumerate(self.betas, 1):
                power = np.array([beta ** (self.steps + 1)], self.dtype)
                adam[f"{parameter.name}_beta{i}_pow_acc_0"] = power
        self.optimizer.set_state_dict(adam)
