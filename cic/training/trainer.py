"""The interface between training and a backend: a trainer, and the processes that it runs in.

`backends.base` defines a whole backend.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from cic.dataset.batches import Batch
from cic.dataset.targets import Bins
from cic.networks import Network
from cic.system.arrays import Array, State
from cic.system.typing import Json
from cic.training.recipes import Recipe
from cic.training.skips import Skips

Figures = Callable[[], tuple[float, int, bool]]  # of a step, once it is asked for them
PRECISIONS = ("float32", "tf32", "bf16", "fp16", "float64")


class Trainer(Protocol):
    """A network in training, with its optimizer."""

    precision: str
    device: Any  # native
    skips: Skips

    def make_targets(self, bins: Bins) -> None:
        """Make inputs and targets of batches that bring crops, on the device, as `bins` would."""

    def step(self, batch: Batch, lr: float, stop: Sequence[Any] = ()) -> tuple[float, int, bool]:
        """Make one step at learning rate `lr` on this process's part of a batch: (loss, photos,
        stop).

        All of all processes: the loss, the number of photos, and whether any process asks to stop,
        its `stop` being no longer empty. A step whose loss or gradients are not finite changes
        nothing but `skips`, in all processes alike. It waits for a GPU, for these numbers.
        """

    @property
    def ahead(self) -> int:
        """How many steps may be begun before the figures of one are asked for."""

    def begin(self, batch: Batch, lr: float, stop: Sequence[Any] = ()) -> Figures:
        """Begin a `step`; a function that waits for its figures and notes in `skips` what it did.

        Ask in the order of the steps, once each, and for all of them before `state`.
        """

    def agree(self) -> None:
        """Take from the first process whatever `state` gives."""

    def evaluate(self, batch: Batch) -> tuple[float, float]:
        """Return (total, count) of the loss of this process's `batch` in evaluation mode."""

    @property
    def averages(self) -> bool:
        """Whether it keeps an average of the weights."""

    def averaged(self) -> AbstractContextManager[None]:
        """Return a context in which the net has the average of the weights, if there is one."""

    def predict(self, inputs: Array) -> Array:
        """Return the output, float32, for inputs (N, C, H, W), in evaluation mode."""

    def total(self, *values: float) -> list[float]:
        """Return each number summed over all processes."""

    def memory(self) -> int | None:
        """Return the bytes of the device that are free; None for the CPU."""

    def state(self) -> tuple[State, State]:
        """Return (weights, optimizer), from which `load` goes on."""

    def load(self, weights: State, optimizer: State) -> None:
        """Go on from what `state` gave, on either framework."""


class Framework(Protocol):
    """A backend, as far as a run of training needs it."""

    NAME: str

    def join(self, device: Any) -> Any:
        """Join the other processes of a launch, if there are any; this one's native device."""

    def leave(self, failed: bool = False) -> None:
        """Leave the other processes; at once if this one has `failed`."""

    def rank(self) -> int:
        """Return the number of this process, from 0."""

    def world_size(self) -> int:
        """Return how many processes train together."""

    def broadcast_text(self, text: str, device: Any) -> str:
        """Return the first process's text, in all."""

    def facts(self, device: Any) -> dict[str, Json]:
        """Return {what: value} of a native device, a GPU, and its libraries; None where there is
        none.
        """

    def resolve_device(self, device: str = "auto") -> Any:
        """Return the native device for "auto" (a GPU if there is one), "cpu", "gpu" or "gpu:1"."""

    def Trainer(
        self, network: Network, recipe: Recipe, state: State, device: Any, precision: str
    ) -> Trainer:
        """Return a trainer that starts from `state`."""
