"""One training step: forward, loss, backward, optimizer; over all processes."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from backends.torch import distributed
from backends.torch.average import Average
from backends.torch.batch_norm import BatchNorm2D, Spread, Statistics, spreads
from backends.torch.device import (
    Device,
    allow_tf32,
    free_memory,
    has_tf32,
    moved,
    resolve_device,
    search_kernels,
)
from backends.torch.gradients import Gradients
from backends.torch.losses import Loss, loss
from backends.torch.network import build, built, export_state, import_state, tensors
from backends.torch.optimizers import optimizer
from backends.torch.targets import Targets
from cic.dataset.batches import Batch
from cic.dataset.targets import Bins
from cic.networks import Network, encoder
from cic.system import threads
from cic.system.arrays import Array, State
from cic.system.errors import SettingError
from cic.training.loss_scale import FIRST, PATIENCE
from cic.training.recipes import Recipe
from cic.training.skips import Skips
from cic.training.trainer import PRECISIONS, Figures

# Steps that a GPU is given ahead: it has work while this process reads the figures of one, logs
# them and waits for photos, and a stop is heard of so many steps later.
_AHEAD = 2
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def _begin_read(tensor: Tensor) -> Callable[[], list[float]]:
    """Begin to read the numbers of a tensor (N,); a function that waits for them and gives a list.

    A GPU puts them into pinned memory when it comes to it, and the process goes on.
    """
    if tensor.device.type != "cuda":
        numbers = tensor.tolist()
        return lambda: numbers
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    pinned.copy_(tensor, non_blocking=True)
    arrival = torch.cuda.Event(blocking=True)
    arrival.record(torch.cuda.current_stream(tensor.device))

    def read() -> list[float]:
        arrival.synchronize()
        return pinned.tolist()

    return read


class _LossScale:
    """`cic.training.loss_scale.LossScale` in tensors: only the device knows which steps are finite.

    The factor that the loss is multiplied with is the number 1 unless `enabled`.
    """

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


class Trainer:
    """`network` in training from the neutral `state`, as `recipe` has it."""

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        state: State,
        device: str | Device = "auto",
        precision: str = "float32",
    ) -> None:
        if precision not in PRECISIONS:
            raise SettingError(f"precision is {precision!r}; there are {', '.join(PRECISIONS)}")
        self.device = resolve_device(device)
        torch.set_num_threads(threads.total())  # a quota or a launch may leave fewer than it sees
        if precision == "tf32" and not has_tf32(self.device):
            raise SettingError("precision tf32 needs an NVIDIA GPU from Ampere on: take float32")
        self.recipe, self.precision = recipe, precision
        self.dtype = torch.float64 if precision == "float64" else torch.float32
        self.net = build(network, state, device, str(self.dtype).removeprefix("torch."))
        own = tensors(self.net)
        rates = encoder.rates(network, recipe)
        self.parameters = {name: own[name] for name in rates}
        self.gradients = Gradients(list(self.parameters.values()))
        self._freeze(network, recipe.freeze)
        others = [tensor for name, tensor in own.items() if name not in network.parameters]
        self.norms = [module for module in self.net.modules() if self._is_trained(module)]
        self.statistics = Statistics(self.norms, others)
        self.scale, self.skips = _LossScale(precision == "fp16", self.device), Skips()
        self.loss = loss(recipe.loss, recipe.distance)
        self.optimizer = optimizer(recipe, self.parameters, rates)
        self.network = network
        self.targets: Targets | None = None
        self.average: Average | None = None
        if recipe.average:
            trained = {name: own[name] for name in encoder.trained(network, recipe.freeze)}
            self.average = Average(trained, recipe.average)

    def make_targets(self, bins: Bins) -> None:
        """Make inputs and targets of batches that bring crops: of a Bins of cic.dataset.targets."""
        self.targets = Targets(bins, self.network, self.device)

    def _freeze(self, network: Network, count: int) -> None:
        """Make the first `count` parts of the encoder a fixed function, statistics and all."""
        for name, parameter in tensors(self.net).items():
            if name in network.parameters:
                parameter.requires_grad_(name in self.parameters)
        self.frozen = [
            module
            for layer, module in built(self.net)
            if encoder.is_frozen(network, layer.name, count)
        ]

    def _is_trained(self, module: nn.Module) -> TypeGuard[BatchNorm2D]:
        """Whether it is a batch norm whose statistics follow from the photos."""
        return isinstance(module, BatchNorm2D) and module not in self.frozen

    def _train(self) -> None:
        self.net.train()
        for module in self.frozen:
            module.eval()

    def _output(self, inputs: Tensor) -> Tensor:
        allow_tf32(self.precision == "tf32")  # it is the process's, whoever set it last
        search_kernels(self.net.training)  # which sees few sizes
        if inputs.dtype == torch.uint8:
            inputs = self.targets.inputs(inputs)  # type: ignore[union-attr]
        inputs = inputs.to(self.dtype)
        low = _AUTOCAST.get(self.precision)
        with torch.autocast(self.device.type, low, enabled=low is not None):
            return self.net(inputs.to(memory_format=torch.channels_last))

    def _loss(self, batch: Batch) -> Loss:
        """(total, count) of the loss of this process's batch: see `cic.training.losses`."""
        inputs, *targets = (moved(array, self.device) for array in (batch.inputs, *batch.targets))
        if batch.crops is not None:
            crops = targets[0] if targets else inputs
            targets = [*self.targets.of(crops)]  # type: ignore[union-attr]
        targets = [t.to(self.dtype) if t.is_floating_point() else t for t in targets]
        return self.loss(self._output(inputs), *targets)

    @property
    def ahead(self) -> int:
        """How many steps may be begun before the figures of one are asked for."""
        return _AHEAD if self.device.type == "cuda" else 0

    def step(self, batch: Batch, lr: float, stop: Sequence[Any] = ()) -> tuple[float, int, bool]:
        """One step at learning rate `lr` on this process's part of a batch: (loss, photos, stop).

        All three are of all processes. `loss` is a float. `photos` is the global count; if it is
        0, no step is taken. `stop` says whether any process asks to stop: its `stop` is not empty.
        A step whose loss or gradients are not finite changes nothing but `skips`.
        """
        return self.begin(batch, lr, stop)()

    def begin(self, batch: Batch, lr: float, stop: Sequence[Any] = ()) -> Figures:
        """Begin a `step`; a function that waits for its figures, and notes in `skips` if it was.

        The device decides whether to skip it, by numbers that are the same in all processes.
        """
        several = distributed.world_size() > 1
        parts = [p for p in batch.parts(self.recipe.accumulate) if len(p.inputs) or several]
        if not parts:
            return lambda: (0.0, 0, bool(stop))
        self._train()
        before = self.statistics.copy()
        sums, count = self._backward(parts, len(batch.inputs), bool(stop))
        norm = self._scale(sums[1] if several else count)
        figures = torch.stack([*sums.unbind(), norm, norm.new_zeros(()) + self.scale.value])
        self._update(lr, figures, before)
        return self._noted(_begin_read(figures))

    def _noted(self, read: Callable[[], list[float]]) -> Figures:
        """A function that gives (loss, photos, stop) by the figures of a step that it reads."""

        def figures() -> tuple[float, int, bool]:
            total, count, photos, stop, norm, scale = read()
            if photos:
                finite = math.isfinite(total) and math.isfinite(norm)
                self.skips.note(finite, counts=scale == 1)
            return total / (count or 1), int(photos), bool(stop)

        return figures

    def _backward(self, parts: list[Batch], photos: int, stop: bool) -> tuple[Tensor, Tensor | int]:
        """Gradients of all processes' batches in parts; (sums of loss, count, ..., own count).

        Messages begin with the last part, and go on while it is computed.
        """
        self.gradients.clear()
        total = torch.zeros((), dtype=self.dtype, device=self.device)
        count: Tensor | int = 0
        for part, spread in zip(parts, self._spreads(parts)):
            self.net.set_noise(part.noise)
            self.net.set_spread(spread)
            part_total, part_count = self._loss(part)
            if spread:
                self.statistics.take(spread)
            total += part_total.detach()
            count += part_count
            if part is parts[-1]:  # numbers are filled in, not copied from the host
                zero = total.new_zeros(())
                sums = torch.stack([zero + number for number in (total, count, photos, stop)])
                finish = distributed.begin_sum_(sums)
                self.gradients.expect()
            (part_total * (self.scale.value / self.recipe.batch_size)).backward()
        finish()
        self.gradients.finish()
        return sums, count

    def _spreads(self, parts: list[Batch]) -> Sequence[Spread | None]:
        """For each part how the photos are spread; None if batch norms need not know it."""
        if distributed.world_size() == 1 or not self.norms:
            return [None] * len(parts)
        return spreads([len(part.inputs) for part in parts], self.device, self.dtype)

    @torch.no_grad()
    def _scale(self, count: Tensor | int) -> Tensor:
        """Make the gradients those of the mean loss; their norm, 0-d; inf if a square is.

        `count` is what the loss is divided by, a number or a tensor. The norm is before clipping.
        """
        factor = self.recipe.batch_size / (count * self.scale.value)
        tensors = self.gradients.tensors
        if not isinstance(factor, float) or factor != 1:
            torch._foreach_mul_(tensors, factor)
        if self.recipe.clip_norm:
            parameters = self.parameters.values()
            return torch.nn.utils.clip_grad_norm_(parameters, self.recipe.clip_norm)
        return torch.stack(torch._foreach_norm(tensors)).norm()

    @torch.no_grad()
    def _update(self, lr: float, figures: Tensor, before: Tensor) -> None:
        """The optimizer's step, unless a figure is not finite or there are no photos.

        Then the statistics, too, are those that were `before`.
        """
        photos = figures[2]
        made = figures.isfinite().all() & (photos > 0)
        skipped = 1 - made.float()
        self.statistics.restore(before, ~made)
        self.scale.update(skipped, photos)
        self.optimizer.step(lr, skipped)
        if self.average:
            self.average.update(self.optimizer.steps, skipped)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> tuple[float, float]:
        """(total, count) of the loss of this process's `batch` in evaluation mode, floats."""
        self.net.eval()
        total, count = self._loss(batch)
        return float(total), float(count)

    @torch.no_grad()
    def predict(self, inputs: Array) -> Array:
        """Output float32 for inputs (N, C, H, W) in evaluation mode, arrays."""
        self.net.eval()
        return self._output(moved(inputs, self.device)).float().numpy(force=True)

    def agree(self) -> None:
        """Take from the first process whatever `state` gives; it alone need have loaded it."""
        if distributed.world_size() > 1:
            weights, kept = self.state()
            kept["skips"] = np.array([self.skips.total, self.skips.in_a_row])
            found = distributed.agreed(weights | kept, self.device)
            self.load({n: found[n] for n in weights}, {n: found[n] for n in kept})

    @property
    def averages(self) -> bool:
        """Whether there is an average of the weights."""
        return self.average is not None

    def averaged(self) -> AbstractContextManager[None]:
        """A context in which the net has the average of the weights, if there is one."""
        return self.average.shown() if self.average else nullcontext()

    def total(self, *values: float) -> list[float]:
        """Each of the numbers summed over all processes, floats."""
        numbers = torch.tensor(values, dtype=torch.float64, device=self.device)
        return distributed.sum_(numbers).tolist()

    def memory(self) -> int | None:
        """Bytes of the device that are free; None for the CPU."""
        return free_memory(self.device)

    def state(self) -> tuple[State, State]:
        """(weights, optimizer): what the optimizer keeps, steps, skips, loss scale, average."""
        average = self.average.state() if self.average else {}
        kept = self.scale.state() | self.skips.state() | self.optimizer.state()
        return export_state(self.net), kept | average

    def load(self, weights: State, optimizer: State) -> None:
        """Go on from what `state` gave, whichever backend gave it."""
        import_state(self.net, weights)
        self.scale.load(optimizer)
        self.skips.load(optimizer)
        if "steps" in optimizer:
            self.optimizer.load(optimizer)
        if self.average:
            self.average.load(optimizer)
