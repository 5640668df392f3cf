"""Decide how the parts of a network's encoder are trained: not at all, slower, or like the rest.

A frozen part is not trained and is a fixed function: its batch norms use and keep their running
statistics, even in training.
"""

from typing import Protocol

from cic.networks.network import Network
from cic.system.errors import SettingError


def is_frozen(network: Network, name: str, freeze: int) -> bool:
    """Return whether a layer or an array is in the first `freeze` parts of the encoder."""
    part = network.part(name)
    return part is not None and part < freeze


def trained(network: Network, freeze: int) -> list[str]:
    """Return the names of the arrays that training changes, the encoder's first `freeze` parts
    being frozen.

    Raises ValueError if the encoder has fewer.
    """
    if freeze > len(network.encoder):
        parts = f"{len(network.encoder)} parts" if network.encoder else "no parts: it has none"
        raise SettingError(f"freeze is {freeze}: the encoder of {network} has {parts}")
    return [name for name in network.state_shapes if not is_frozen(network, name, freeze)]


class Rates(Protocol):
    """A recipe, as far as it concerns the encoder."""

    @property
    def encoder_lr(self) -> float:
        """Factor of the encoder's learning rate."""

    @property
    def freeze(self) -> int:
        """How many of its first parts are not trained."""


def rates(network: Network, recipe: Rates) -> dict[str, float]:
    """Return {name: factor of the learning rate} of the parameters that `recipe` trains.

    Raises ValueError if the recipe names what the network's encoder does not have.
    """
    if recipe.encoder_lr != 1 and not network.encoder:
        raise SettingError(f"encoder_lr is {recipe.encoder_lr}: {network} has no encoder")
    names = [name for name in trained(network, recipe.freeze) if name in network.parameters]
    return {name: 1.0 if network.part(name) is None else recipe.encoder_lr for name in names}
