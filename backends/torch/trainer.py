"""One training step: forward, rebalanced cross-entropy, backward, Adam."""

import torch

from backends.torch.device import resolve_device
from backends.torch.losses import cross_entropy
from backends.torch.network import build, export_state, import_state

PRECISIONS = ("float32", "bf16", "float64")


class Trainer:
    """`network` in training from the neutral `state`, as `recipe` has it."""

    def __init__(self, network, recipe, state, device="auto", precision="float32"):
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}; there are {', '.join(PRECISIONS)}")
        self.device = resolve_device(device)
        self.precision = precision
        self.dtype = torch.float64 if precision == "float64" else torch.float32
        self.net = build(network, state, device, str(self.dtype).removeprefix("torch."))
        named = dict(self.net.named_parameters())
        self.parameters = {name: named[name] for name in network.parameters}
        self.optimizer = torch.optim.Adam(
            self.parameters.values(),
            betas=(recipe.beta1, recipe.beta2),
            weight_decay=recipe.weight_decay,
            fused=True,
        )

    def _loss(self, batch):
        inputs = torch.from_numpy(batch.inputs).to(self.device, self.dtype)
        index = torch.from_numpy(batch.index).to(self.device)
        weight = torch.from_numpy(batch.weight).to(self.device, self.dtype)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            logits = self.net(inputs.to(memory_format=torch.channels_last))
        return cross_entropy(logits, index, weight)

    def step(self, batch, lr):
        """One step on `batch` at learning rate `lr`; the loss, a 0-d tensor."""
        self.net.train()
        self.optimizer.param_groups[0]["lr"] = lr
        self.optimizer.zero_grad()
        loss = self._loss(batch)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def evaluate(self, batch):
        """Loss of `batch` in evaluation mode, a float."""
        self.net.eval()
        return self._loss(batch).item()

    def state(self):
        """(weights, optimizer): Adam's moments by parameter and its number of steps."""
        optimizer = {}
        for name, parameter in self.parameters.items():
            adam = self.optimizer.state.get(parameter)
            if adam:
                optimizer[f"moment1/{name}"] = adam["exp_avg"].numpy(force=True).copy()
                optimizer[f"moment2/{name}"] = adam["exp_avg_sq"].numpy(force=True).copy()
                optimizer["steps"] = adam["step"].numpy(force=True).astype("int64")
        return export_state(self.net), optimizer

    def load(self, weights, optimizer):
        """Go on from what `state` gave, whichever backend gave it."""
        import_state(self.net, weights)
        if "steps" not in optimizer:
            return
        for name, parameter in self.parameters.items():
            self.optimizer.state[parameter] = {
                "step": torch.tensor(float(optimizer["steps"]), device=self.device),
                "exp_avg": self._like(parameter, optimizer[f"moment1/{name}"]),
                "exp_avg_sq": self._like(parameter, optimizer[f"moment2/{name}"]),
            }

    @staticmethod
    def _like(parameter, array):
        return torch.empty_like(parameter, requires_grad=False).copy_(torch.from_numpy(array))
