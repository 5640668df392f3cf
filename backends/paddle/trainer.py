"""One training step: forward, rebalanced cross-entropy, backward, Adam; over all processes."""

import math

import numpy as np
import paddle

from backends.paddle import distributed
from backends.paddle.device import resolve_device
from backends.paddle.losses import cross_entropy
from backends.paddle.network import arrays, build, export_state, import_state
from cic.loss_scale import LossScale

PRECISIONS = ("float32", "bf16", "fp16", "float64")
_AUTOCAST = {"bf16": "bfloat16", "fp16": "float16"}


class Trainer:
    """`network` in training from the neutral `state`, as `recipe` has it."""

    def __init__(self, network, recipe, state, device="auto", precision="float32"):
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}; there are {', '.join(PRECISIONS)}")
        self.device = resolve_device(device)
        if precision in _AUTOCAST and self.device == "cpu":
            raise ValueError(
                f"precision {precision} needs a GPU under Paddle; on the CPU take float32"
            )
        self.recipe, self.precision = recipe, precision
        self.dtype = "float64" if precision == "float64" else "float32"
        self.net = build(network, state, device, self.dtype)
        named = dict(self.net.named_parameters())
        self.parameters = {name: named[name] for name in network.parameters}
        self.scale = LossScale(precision == "fp16")
        self.steps = 0
        self.optimizer = paddle.optimizer.Adam(
            parameters=list(self.parameters.values()),
            beta1=recipe.beta1,
            beta2=recipe.beta2,
            weight_decay=recipe.weight_decay,
        )

    def _logits(self, inputs):
        paddle.set_device(self.device)  # Paddle's is the process's, whoever set it last
        inputs = paddle.to_tensor(inputs, dtype=self.dtype, place=self.device)
        low = _AUTOCAST.get(self.precision)
        with paddle.amp.auto_cast(low is not None, dtype=low or "bfloat16"):
            return self.net(inputs)

    def _loss(self, batch):
        logits = self._logits(batch.inputs)
        index = paddle.to_tensor(batch.index, place=self.device)
        weight = paddle.to_tensor(batch.weight, dtype=self.dtype, place=self.device)
        return cross_entropy(logits, index, weight)

    def step(self, batch, lr, stop=()):
        """One step at learning rate `lr` on this process's part of a batch: (loss, photos, stop).

        All three are of all processes: the mean loss, a 0-d tensor, the number of photos, without
        which no step is made, and whether any process asks to stop, its `stop` not being empty.
        """
        self.net.train()
        self.optimizer.clear_grad()
        total = paddle.zeros([], self.dtype)
        for part in batch.parts(self.recipe.accumulate):
            if len(part.inputs) or distributed.size() > 1:
                loss = self._loss(part) * len(part.inputs)
                (loss * (self.scale.value / self.recipe.batch_size)).backward()
                total += loss.detach()
        photos, stop = len(batch.inputs), bool(stop)
        if distributed.size() > 1:
            counts = paddle.to_tensor([photos, stop], dtype=self.dtype, place=self.device)
            distributed.total_([*(p.grad for p in self.parameters.values()), total, counts])
            photos, stop = int(counts[0].item()), bool(counts[1].item())
        if photos:
            self._update(lr, self.recipe.batch_size / (photos * self.scale.value))
        return total / max(photos, 1), photos, stop

    @paddle.no_grad()
    def _update(self, lr, factor):
        """Adam's step with the gradients, which are to be multiplied with `factor`."""
        parameters = self.parameters.values()
        if factor != 1:
            for parameter in parameters:
                parameter.grad.scale_(factor)
        if self.scale.enabled or self.recipe.clip_norm:
            limit = self.recipe.clip_norm or math.inf
            norm = paddle.nn.utils.clip_grad_norm_(list(parameters), limit)
            if self.scale.enabled:
                self.scale.update(finite := math.isfinite(norm.item()))
                if not finite:
                    return
        self.optimizer.set_lr(lr)
        self.optimizer.step()
        self.steps += 1

    @paddle.no_grad()
    def evaluate(self, batch):
        """Loss of this process's `batch` in evaluation mode, a float."""
        self.net.eval()
        return self._loss(batch).item()

    @paddle.no_grad()
    def predict(self, inputs):
        """Logits (N, 313, h, w) float32 for inputs (N, 1, H, W) in evaluation mode, arrays."""
        self.net.eval()
        return self._logits(inputs).astype("float32").numpy()

    @paddle.no_grad()
    def agree(self):
        """Take the first process's weights: arithmetic differs a little between machines."""
        distributed.agree_(list(arrays(self.net).values()))

    def total(self, *values):
        """Each of the numbers summed over all processes, floats."""
        values = paddle.to_tensor(values, dtype="float64", place=self.device)
        return distributed.total(values).tolist()

    def memory(self):
        """Bytes of the device that are free; None for the CPU."""
        if self.device == "cpu":
            return None
        total = paddle.device.cuda.get_device_properties(self.device).total_memory
        return total - paddle.device.cuda.memory_allocated(self.device)

    def state(self):
        """(weights, optimizer): Adam's moments by parameter, its steps, the loss scale."""
        optimizer = self.scale.state() | {"steps": np.array(self.steps)}
        adam = self.optimizer.state_dict()
        for name, parameter in self.parameters.items():
            for moment in ("moment1", "moment2"):
                array = adam.get(f"{parameter.name}_{moment}_0")
                if array is None:  # before the first step
                    array = np.zeros(parameter.shape, self.dtype)
                optimizer[f"{moment}/{name}"] = np.array(array)
        return export_state(self.net), optimizer

    def load(self, weights, optimizer):
        """Go on from what `state` gave, whichever backend gave it."""
        import_state(self.net, weights)
        self.scale.load(optimizer)
        if "steps" not in optimizer:
            return
        self.steps = int(optimizer["steps"])
        powers = [self._power(beta) for beta in (self.recipe.beta1, self.recipe.beta2)]
        adam = {}
        for name, parameter in self.parameters.items():
            for moment in ("moment1", "moment2"):
                adam[f"{parameter.name}_{moment}_0"] = optimizer[f"{moment}/{name}"]
            for i, power in enumerate(powers, 1):
                adam[f"{parameter.name}_beta{i}_pow_acc_0"] = power
        self.optimizer.set_state_dict(adam)

    def _power(self, beta):
        """Adam's factor `beta` to the power that the next step takes, (1,), rounded as Adam does.

        It multiplies once a step: beta ** steps differs by some units in the last place.
        """
        return np.multiply.accumulate(np.full(self.steps + 1, beta, self.dtype))[-1:]
