"""What a backend is: the names that each package beside this file has.

Arrays cross this boundary for pictures, states and tests; inside a step tensors stay native.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from cic.networks import Network
from cic.system.arrays import Array, State
from cic.system.typing import Json, StrPath
from cic.training.recipes import Recipe
from cic.training.trainer import Trainer as Training


class Runner(Protocol):
    """Whatever can run a network: an inference engine has these names alone."""

    NAME: str

    def resolve_device(self, device: str = "auto") -> Any:
        """Return the native device for "auto" (a GPU if there is one), "cpu", "gpu" or "gpu:1"."""

    def build(self, network: Network, state: State | None = None, device: str = "cpu") -> Any:
        """Return a native network with `state`, by default that of `cic.networks.initialize`."""

    def forward(self, net: Any, array: Array) -> Array:
        """Return the output of `net` in evaluation mode for (N, C, H, W)."""

    def predictor(
        self, network: Network, state: State, device: str = "auto"
    ) -> Callable[[Array], Array]:
        """The fastest way to run `network` on `device`: (N, C, H, W) float32 -> the output."""


class Engine(Runner, Protocol):
    """A runner that takes files of networks as they are, too."""

    def run_file(self, path: StrPath, array: Array, device: str = "cpu") -> Array:
        """Run a file of one input and one output on an array: its output."""


class Backend(Runner, Protocol):
    """A framework: builds a network from its spec, moves its state, trains it."""

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

    def build(
        self,
        network: Network,
        state: State | None = None,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> Any:
        """As a Runner's, in a precision."""

    def import_state(self, net: Any, state: State) -> None:
        """Put `state` into `net`; raises CheckpointError unless every name and shape fits."""

    def export_state(self, net: Any) -> State:
        """Return the neutral state of `net`, in its own precision."""

    def features(self, net: Any, array: Array, names: Sequence[str]) -> State:
        """Return {name: output of that layer} of `net` in evaluation mode for (N, C, H, W).

        `net.features(tensor, names)` is the same on native tensors, and lets gradients through.
        """

    def loss(self, name: str) -> Callable[..., tuple[Any, Any]]:
        """Return the loss of `cic.training.losses` of that name on native tensors: (total,
        count).
        """

    def Trainer(
        self,
        network: Network,
        recipe: Recipe,
        state: State,
        device: str = "auto",
        precision: str = "float32",
    ) -> Training:
        """Return a trainer that starts from `state`; `precision` is one of `trainer.PRECISIONS`."""


if TYPE_CHECKING:  # mypy holds each package to what it is
    from backends import onnx, paddle, torch

    _ONNX: Engine = onnx
    _TORCH: Backend = torch
    _PADDLE: Backend = paddle
