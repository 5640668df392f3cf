"""The interface between measuring and a backend; `metric` imports none. See `backends.base`."""

from collections.abc import Callable
from typing import Protocol

from cic.networks import Network
from cic.system.arrays import Array, State


class Runner(Protocol):
    """A backend, as far as it runs a network."""

    NAME: str

    def predictor(
        self, network: Network, state: State, device: str = "auto"
    ) -> Callable[[Array], Array]:
        """The fastest way to run `network` on `device`: (N, C, H, W) float32 -> the output."""
