"""What a backend is: the names that each package beside this file has.

Arrays cross this boundary for pictures, states and tests; inside a step tensors stay native.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from cic.dataset.batches import Batch
from cic.networks import Network
from cic.training.recipes import Recipe

State = dict[str, np.ndarray]  # {neutral name: array}


class Runner(Protocol):
    """Whatever can run a network; an inference engine need not be more than this."""

    def predictor(
        self, network: Network, state: State, device: str = "auto"
    ) -> Callable[[np.ndarray], np.ndarray]:
        """The fastest way to run `network` on `device`: (N, C, H, W) float32 -> the output."""


class Trainer(Protocol):
    """A network in training, with its optimizer."""

    def step(self, batch: Batch, lr: float, stop: Sequence = ()) -> tuple[Any, int, bool]:
        """One step at learning rate `lr` on this process's part of a batch: (loss, photos, stop).

        All of all processes: the loss as a native scalar that has `item()`, the number of photos,
        and whether any process asks to stop, its `stop` being no longer empty.
        """

    def agree(self) -> None:
        """Take the weights of the first process."""

    def evaluate(self, batch: Batch) -> tuple[float, float]:
        """(total, count) of the loss of this process's `batch` in evaluation mode."""

    @property
    def averages(self) -> bool:
        """Whether it keeps an average of the weights."""

    def averaged(self) -> AbstractContextManager:
        """A context in which the net has the average of the weights, if there is one."""

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """The output, float32, for inputs (N, C, H, W), in evaluation mode."""

    def total(self, *values: float) -> list[float]:
        """Each number summed over all processes."""

    def memory(self) -> int | None:
        """Bytes of the device that are free; None for the CPU."""

    def state(self) -> tuple[State, State]:
        """(weights, optimizer), from which `load` goes on."""

    def load(self, weights: State, optimizer: State) -> None:
        """Go on from what `state` gave, on either framework."""


class Backend(Runner, Protocol):
    """A framework: builds a network from its spec, moves its state, trains it."""

    NAME: str
    PRECISIONS: tuple[str, ...]

    def join(self, device: Any) -> Any:
        """Join the other processes of a launch, if there are any; this one's native device."""

    def leave(self) -> None:
        """Leave the other processes."""

    def rank(self) -> int:
        """Number of this process, from 0."""

    def world_size(self) -> int:
        """How many processes train together."""

    def resolve_device(self, device: str = "auto") -> Any:
        """The native device for "auto" (a GPU if there is one), "cpu", "gpu" or "gpu:1"."""

    def build(
        self, network: Network, state: State | None = None, device: str = "cpu", dtype="float32"
    ) -> Any:
        """A native network with `state`, by default that of `cic.networks.initialize`."""

    def import_state(self, net: Any, state: State) -> None:
        """Put `state` into `net`; raises CheckpointError unless every name and shape fits."""

    def export_state(self, net: Any) -> State:
        """The neutral state of `net`, in its own precision."""

    def forward(self, net: Any, array: np.ndarray) -> np.ndarray:
        """The output of `net` in evaluation mode for (N, C, H, W)."""

    def features(self, net: Any, array: np.ndarray, names: Sequence[str]) -> State:
        """{name: output of that layer} of `net` in evaluation mode for (N, C, H, W).

        `net.features(tensor, names)` is the same on native tensors, and lets gradients through.
        """

    def loss(self, name: str) -> Callable[..., tuple[Any, Any]]:
        """The loss of `cic.training.losses` of that name on native tensors: (total, count)."""

    def Trainer(
        self,
        network: Network,
        recipe: Recipe,
        state: State,
        device: str = "auto",
        precision: str = "float32",
    ) -> Trainer:
        """A trainer that starts from `state`; `precision` is one of PRECISIONS."""
