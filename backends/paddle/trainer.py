"""One training step: forward, loss, backward, optimizer; over all processes."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeGuard

import numpy as np
import paddle
from paddle import Tensor, nn

from backends.paddle import distributed
from backends.paddle.average import Average
from backends.paddle.batch_norm import BatchNorm2D, Spread, Statistics, spreads
from backends.paddle.device import (
    Device,
    allow_tf32,
    free_memory,
    has_tf32,
    moved,
    resolve_device,
    search_kernels,
)
from backends.paddle.gradients import Gradients
from backends.paddle.losses import Loss, loss
from backends.paddle.network import build, built, export_state, import_state, tensors
from backends.paddle.optimizers import optimizer
from backends.paddle.targets import Targets
from cic.dataset.batches import Batch
from cic.dataset.targets import Bins
from cic.networks import Network, encoder
from cic.system.arrays import Array, State
from cic.system.errors import SettingError
from cic.training.loss_scale import LossScale
from cic.training.recipes import Recipe
from cic.training.skips import Skips
from cic.training.trainer import PRECISIONS, Figures

_LOW = {"bf16": paddle.bfloat16, "fp16": paddle.float16}


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
        if precision == "tf32" and not has_tf32(self.device):
            raise SettingError("precision tf32 needs an NVIDIA GPU from Ampere on: take float32")
        if precision in _LOW and self.device == "cpu":
            raise SettingError(
                f"precision {precision} needs a GPU under Paddle; on the CPU take float32"
            )
        self.recipe, self.precision = recipe, precision
        self.dtype = paddle.float64 if precision == "float64" else paddle.float32
        self.net = build(network, state, device, str(self.dtype).removeprefix("paddle."))
        own = tensors(self.net)
        rates = encoder.rates(network, recipe)
        self.parameters = {name: own[name] for name in rates}
        self.gradients = Gradients(list(self.parameters.values()))
        self._freeze(network, recipe.freeze)
        others = [tensor for name, tensor in own.items() if name not in network.parameters]
        self.norms = [module for module in self.net.sublayers() if self._is_trained(module)]
        self.statistics = Statistics(self.norms, others)
        self.scale, self.skips = LossScale(precision == "fp16"), Skips()
        self.loss = loss(recipe.loss, recipe.distance)
        self.optimizer = optimizer(recipe, self.parameters, rates)
        self.network = network
        self.targets: Targets | None = None
        self.average: Average | None = None
        if recipe.average:
            trained = {name: own[name] for name in encoder.trained(network, recipe.freeze)}
            self.average = Average(trained, recipe.average)

    ahead = 0  # steps that may be begun before the figures of one are asked for

    def make_targets(self, bins: Bins) -> None:
        """Make inputs and targets of batches that bring crops: of a Bins of cic.dataset.targets."""
        self.targets = Targets(bins, self.network, self.device)

    def _freeze(self, network: Network, count: int) -> None:
        """Make the first `count` parts of the encoder a fixed function, statistics and all."""
        for name, parameter in tensors(self.net).items():
            if name in network.parameters:
                parameter.stop_gradient = name not in self.parameters
        self.frozen = [
            module
            for layer, module in built(self.net)
            if encoder.is_frozen(network, layer.name, count)
        ]

    def _is_trained(self, module: nn.Layer) -> TypeGuard[BatchNorm2D]:
        """Whether it is a batch norm whose statistics follow from the photos."""
        return isinstance(module, BatchNorm2D) and module not in self.frozen

    def _train(self) -> None:
        self.net.train()
        for module in self.frozen:
            module.eval()

    def _output(self, inputs: Tensor) -> Tensor:
        allow_tf32(self.precision == "tf32")  # it is the process's, whoever set it last
        search_kernels(self.net.training)  # which sees few sizes
        paddle.set_device(self.device)  # Paddle's is the process's, whoever set it last
        if inputs.dtype == paddle.uint8:
            inputs = self.targets.inputs(inputs)  # type: ignore[union-attr]
        return self.net(inputs.astype(_LOW.get(self.precision, self.dtype)))

    def _loss(self, batch: Batch) -> Loss:
        """(total, count) of the loss of this process's batch: see `cic.training.losses`."""
        inputs, *targets = (moved(array, self.device) for array in (batch.inputs, *batch.targets))
        if batch.crops is not None:
            crops = targets[0] if targets else inputs
            targets = [*self.targets.of(crops)]  # type: ignore[union-attr]
        targets = [t.astype(self.dtype) if t.is_floating_point() else t for t in targets]
        return self.loss(self._output(inputs), *targets)

    def step(self, batch: Batch, lr: float, stop: Sequence[Any] = ()) -> tuple[float, int, bool]:
        """One step at learning rate `lr` on this process's part of a batch: (loss, photos, stop).

        All three are of all processes. `loss` is a float. `photos` is the global count; if it is
        0, no step is taken. `stop` says whether any process asks to stop: its `stop` is not empty.
        A step whose loss or gradients are not finite changes nothing but `skips`.
        """
        several = distributed.world_size() > 1
        parts = [p for p in batch.parts(self.recipe.accumulate) if len(p.inputs) or several]
        if not parts:
            return 0.0, 0, bool(stop)
        self._train()
        before = self.statistics.copy()
        sums, count = self._backward(parts, len(batch.inputs), bool(stop))
        norm = self._scale(sums[1] if several else count)
        figures = paddle.concat([sums, norm.reshape([1])]).numpy()  # the one time that it waits
        total, count, photos, stop, norm = figures.tolist()
        if photos:
            self._update(lr, math.isfinite(total) and math.isfinite(norm))
        if not photos or self.skips.latest:
            self.statistics.restore(before)
        return total / (count or 1), int(photos), bool(stop)

    def begin(self, batch: Batch, lr: float, stop: Sequence[Any] = ()) -> Figures:
        """A `step`, and a function that gives its figures: Paddle's cannot decide on the device.

        Its optimizers read back whether to skip, once a parameter (phi/kernels/gpu/adam_kernel.cu).
        """
        figures = self.step(batch, lr, stop)
        return lambda: figures

    def _backward(self, parts: list[Batch], photos: int, stop: bool) -> tuple[Tensor, Tensor | int]:
        """Gradients of all processes' batches in parts; (sums of loss, count, ..., own count).

        Messages begin with the last part, and go on while it is computed.
        """
        self.gradients.clear()
        total = paddle.zeros([], self.dtype)
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
                zero = paddle.zeros([], self.dtype)
                sums = paddle.stack([zero + number for number in (total, count, photos, stop)])
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

    @paddle.no_grad()
    def _scale(self, count: Tensor | int) -> Tensor:
        """Make the gradients those of the mean loss; their norm, 0-d; inf if a square is.

        `count` is what the loss is divided by, a number or a tensor. The norm is before clipping.
        """
        factor = self.recipe.batch_size / (count * self.scale.value)
        tensors = self.gradients.tensors
        if not isinstance(factor, float) or factor != 1:
            factor = paddle.ones([], self.dtype) * factor
            for tensor in tensors:
                tensor.multiply_(factor)
        if self.recipe.clip_norm:
            parameters = list(self.parameters.values())
            return paddle.nn.utils.clip_grad_norm_(parameters, self.recipe.clip_norm)
        flat = [tensor.flatten() for tensor in tensors]
        return paddle.stack([paddle.dot(tensor, tensor) for tensor in flat]).sum().sqrt()

    @paddle.no_grad()
    def _update(self, lr: float, finite: bool) -> None:
        """The optimizer's step, unless a gradient is not `finite`.

        That is known by the sums of all processes, which are the same in each: so is what it does.
        """
        self.skips.note(finite, counts=self.scale.value == 1)
        if self.scale.enabled:
            self.scale.update(finite)
        if not finite:
            return
        self.optimizer.step(lr)
        if self.average:
            self.average.update(self.optimizer.steps - 1)

    @paddle.no_grad()
    def evaluate(self, batch: Batch) -> tuple[float, float]:
        """(total, count) of the loss of this process's `batch` in evaluation mode, floats."""
        self.net.eval()
        total, count = self._loss(batch)
        return float(total), float(count)

    @paddle.no_grad()
    def predict(self, inputs: Array) -> Array:
        """Output float32 for inputs (N, C, H, W) in evaluation mode, arrays."""
        self.net.eval()
        return self._output(moved(inputs, self.device)).astype("float32").numpy()

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
        numbers = paddle.to_tensor(values, dtype="float64", place=self.device)
        return distributed.sum_(numbers).numpy().tolist()

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
