"""One training step: forward, rebalanced cross-entropy, backward, Adam; over all processes."""

import math

import torch

from backends.torch import distributed
from backends.torch.device import resolve_device
from backends.torch.losses import cross_entropy
from backends.torch.network import arrays, build, export_state, import_state
from cic.loss_scale import LossScale

PRECISIONS = ("float32", "bf16", "fp16", "float64")
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Trainer:
    """`network` in training from the neutral `state`, as `recipe` has it."""

    def __init__(self, network, recipe, state, device="auto", precision="float32"):
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}; there are {', '.join(PRECISIONS)}")
        self.device = resolve_device(device)
        self.recipe, self.precision = recipe, precision
        self.dtype = torch.float64 if precision == "float64" else torch.float32
        self.net = build(network, state, device, str(self.dtype).removeprefix("torch."))
        named = dict(self.net.named_parameters())
        self.parameters = {name: named[name] for name in network.parameters}
        self.scale = LossScale(precision == "fp16")
        self.optimizer = torch.optim.Adam(
            self.parameters.values(),
            betas=(recipe.beta1, recipe.beta2),
            weight_decay=recipe.weight_decay,
            fused=True,
        )

    def _logits(self, inputs):
        inputs = torch.from_numpy(inputs).to(self.device, self.dtype)
        low = _AUTOCAST.get(self.precision)
        with torch.autocast(self.device.type, low, enabled=low is not None):
            return self.net(inputs.to(memory_format=torch.channels_last))

    def _loss(self, batch):
        index = torch.from_numpy(batch.index).to(self.device)
        weight = torch.from_numpy(batch.weight).to(self.device, self.dtype)
        return cross_entropy(self._logits(batch.inputs), index, weight)

    def step(self, batch, lr, stop=()):
        """One step at learning rate `lr` on this process's part of a batch: (loss, photos, stop).

        All three are of all processes: the mean loss, a 0-d tensor, the number of photos, without
        which no step is made, and whether any process asks to stop, its `stop` not being empty.
        """
        self.net.train()
        self.optimizer.zero_grad()
        total = torch.zeros((), dtype=self.dtype, device=self.device)
        for part in batch.parts(self.recipe.accumulate):
            if len(part.inputs) or distributed.size() > 1:
                loss = self._loss(part) * len(part.inputs)
                (loss * (self.scale.value / self.recipe.batch_size)).backward()
                total += loss.detach()
        photos, stop = len(batch.inputs), bool(stop)
        if distributed.size() > 1:
            counts = total.new_tensor([photos, stop])
            distributed.total_([*(p.grad for p in self.parameters.values()), total, counts])
            photos, stop = int(counts[0].item()), bool(counts[1].item())
        if photos:
            self._update(lr, self.recipe.batch_size / (photos * self.scale.value))
        return total / max(photos, 1), photos, stop

    @torch.no_grad()
    def _update(self, lr, factor):
        """Adam's step with the gradients, which are to be multiplied with `factor`."""
        parameters = self.parameters.values()
        if factor != 1:
            torch._foreach_mul_([parameter.grad for parameter in parameters], factor)
        if self.scale.enabled or self.recipe.clip_norm:
            limit = self.recipe.clip_norm or math.inf
            norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
            if self.scale.enabled:
                self.scale.update(finite := math.isfinite(norm.item()))
                if not finite:
                    return
        self.optimizer.param_groups[0]["lr"] = lr
        self.optimizer.step()

    @torch.no_grad()
    def evaluate(self, batch):
        """Loss of this process's `batch` in evaluation mode, a float."""
        self.net.eval()
        return self._loss(batch).item()

    @torch.no_grad()
    def predict(self, inputs):
        """Logits (N, 313, h, w) float32 for inputs (N, 1, H, W) in evaluation mode, arrays."""
        self.net.eval()
        return self._logits(inputs).float().numpy(force=True)

    @torch.no_grad()
    def agree(self):
        """Take the first process's weights: arithmetic differs a little between machines."""
        distributed.agree_(list(arrays(self.net).values()))

    def total(self, *values):
        """Each of the numbers summed over all processes, floats."""
        values = torch.tensor(values, dtype=torch.float64, device=self.device)
        return distributed.total(values).tolist()

    def memory(self):
        """Bytes of the device that are free; None for the CPU."""
        return torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else None

    def state(self):
        """(weights, optimizer): Adam's moments by parameter, its steps, the loss scale."""
        optimizer = self.scale.state()
        for name, parameter in self.parameters.items():
            adam = self.optimizer.state.get(parameter) or self._adam(parameter)
            optimizer[f"moment1/{name}"] = adam["exp_avg"].numpy(force=True).copy()
            optimizer[f"moment2/{name}"] = adam["exp_avg_sq"].numpy(force=True).copy()
            optimizer["steps"] = adam["step"].numpy(force=True).astype("int64")
        return export_state(self.net), optimizer

    def load(self, weights, optimizer):
        """Go on from what `state` gave, whichever backend gave it."""
        import_state(self.net, weights)
        self.scale.load(optimizer)
        if "steps" not in optimizer:
            return
        for name, parameter in self.parameters.items():
            adam = self._adam(parameter, optimizer["steps"])
            adam["exp_avg"].copy_(torch.from_numpy(optimizer[f"moment1/{name}"]))
            adam["exp_avg_sq"].copy_(torch.from_numpy(optimizer[f"moment2/{name}"]))
            self.optimizer.state[parameter] = adam

    @staticmethod
    def _adam(parameter, steps=0):
        """What Adam keeps of a parameter, before its first step, as PyTorch names it."""
        moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
        return moments | {"step": torch.tensor(float(steps), device=parameter.device)}
