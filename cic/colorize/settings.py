"""Settings of a colorizer, how it looks at photos and paints them; weights bring their own
along.
"""

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from cic.colour import prior, rebalance
from cic.colour.decoding import ANNEALED_MEAN, STATISTICS, Decoding, check
from cic.networks import AB, Network
from cic.system import console
from cic.system.errors import InputError, SettingError
from cic.system.provenance import array_fingerprint
from cic.system.typing import Json

GUIDED, BILINEAR = "guided", "bilinear"  # how colours are enlarged
EDGES = (GUIDED, BILINEAR)
EVENEST = 10000  # up to here float32 solves it


@dataclass(frozen=True)
class Settings:
    """How large a network sees a photo, and how its colours are put on the photo.

    `sizes` are the short sides, pixels, at which the network sees it; of several the logits are
    averaged, on the grid of the largest. `decoding` makes ab of logits. `edges` says how they are
    enlarged: GUIDED, along the edges of the photo's lightness (see `edges`), or BILINEAR; before
    that `evenness` makes them one for one thing, below the L `fade` they fade, and those weaker
    than the chroma `tint`, at saturation 1, turn gray (see `refine`). `target_mean` says that
    training took the mean ab of each cell, as the recipe's setting does. Raises ValueError for
    settings that are out of bounds.
    """

    sizes: tuple[int, ...] = (256,)
    decoding: Decoding = ANNEALED_MEAN
    edges: str = GUIDED
    evenness: float = 0.0
    fade: float = 0.0
    tint: float = 0.0
    target_mean: bool = False

    def __post_init__(self) -> None:
        sizes = self.sizes if isinstance(self.sizes, (tuple, list)) else [self.sizes]
        if not sizes or not all(type(size) is int and size > 0 for size in sizes):
            raise SettingError(f"sizes are {self.sizes!r}: they must be whole numbers from 1 on")
        if len(set(sizes)) < len(sizes):
            raise SettingError(f"sizes are {self.sizes!r}: one comes twice")
        object.__setattr__(self, "sizes", tuple(sorted(sizes)))
        if self.edges not in EDGES:
            raise SettingError(f"edges is {self.edges!r}; there are {', '.join(EDGES)}")
        check("evenness", self.evenness, EVENEST)
        check("fade", self.fade, 100)
        check("tint", self.tint, 100)
        if not isinstance(self.target_mean, bool):
            raise SettingError(f"target_mean is {self.target_mean!r}: it must be true or false")

    @property
    def size(self) -> int:
        """The largest of `sizes`, on whose grid the cells lie."""
        return self.sizes[-1]

    def but(self, **changes: Any) -> "Settings":
        """Return these Settings with changes by name, those of `decoding` too; `size` is that of
        one.

        What is None stays as it is. Raises ValueError.
        """
        changes = {name: value for name, value in changes.items() if value is not None}
        if "size" in changes:
            if "sizes" in changes:
                raise SettingError("size and sizes are the same setting: name one")
            changes["sizes"] = (changes.pop("size"),)
        own = {entry.name for entry in fields(self)} - {"decoding"}
        known = own | {entry.name for entry in fields(Decoding)}
        if unknown := changes.keys() - known:
            raise SettingError(f"no setting is called {min(unknown)!r}")
        decoded = {name: value for name, value in changes.items() if name not in own}
        rest = {name: value for name, value in changes.items() if name in own}
        return replace(self, decoding=replace(self.decoding, **decoded), **rest)

    def facts(self) -> dict[str, Json]:
        """Return {name: value} that `but` takes, without the bins' weights: for metadata and
        protocols.
        """
        facts = asdict(self)
        facts |= facts.pop("decoding")
        del facts["bin_weights"]
        return facts


DEFAULTS = Settings()
OF_LOGITS = ("temperature", "unweight", "statistic")  # of no effect on a network that gives ab
FLAGS = ("sizes", "temperature", "saturation", "evenness", "fade", "tint", "edges")
MORE_FLAGS = ("unweight", "statistic")


def refuse_idle(network: Network, changes: Mapping[str, Any]) -> None:
    """Raise InputError for a change of OF_LOGITS if the network gives ab."""
    idle = [name for name in OF_LOGITS if changes.get(name) is not None]
    if idle and network.predicts == AB:
        raise InputError(f"{', '.join(idle)}: of no effect on {network}, which gives ab")


def add_flags(parser: argparse.ArgumentParser, more: bool = False) -> None:
    """The flags with which tools let the user change the settings of weights; see `changes`."""
    add, own = parser.add_argument, "(the weights' own)"
    add(
        "--size",
        dest="sizes",
        type=console.sizes,
        metavar="N[,N]",
        help=f"short side the network sees, pixels; of several the mean of what it says {own}",
    )
    add(
        "--temperature",
        type=console.temperature,
        help=f"near 0 the likeliest colour, 1 the mean of all that are possible {own}",
    )
    add("--saturation", type=console.saturation, help=f"factor of all colours, 0: gray {own}")
    add(
        "--evenness",
        type=console.evenness,
        help=f"how far one thing gets one colour, 0: each place its own {own}",
    )
    add("--fade", type=console.cielab, help=f"L below which colours fade to gray {own}")
    add("--tint", type=console.cielab, help=f"chroma below which colours turn gray {own}")
    add("--edges", choices=EDGES, help=f"how colours are enlarged: along edges, or not {own}")
    if more:
        add("--unweight", type=console.fraction, help=f"share of rebalancing that is undone {own}")
        add("--statistic", choices=STATISTICS, help=f"of the possible colours {own}")


def changes(args: argparse.Namespace, more: bool = False) -> dict[str, Any]:
    """Return {name: value} of the flags of `add_flags`, as `Settings.but` takes them."""
    return {name: getattr(args, name) for name in FLAGS + (MORE_FLAGS if more else ())}


def of_weights(meta: Mapping[str, Json]) -> Settings:
    """Return the Settings that a checkpoint's `meta` brings along; raise ValueError."""
    recipe = meta.get("recipe", {})
    own = {"target_mean": recipe.get("target_mean"), "bin_weights": bin_weights(meta)}
    return DEFAULTS.but(**(own | meta.get("colorize", {})))


def bin_weights(meta: Mapping[str, Json]) -> list[float] | None:
    """Return the weights of the 313 bins in the loss of a run, if its `meta` says them; else None.

    They are in it, or follow from the recipe if the run had the bundled prior.
    """
    if "bin_weights" in meta:
        return meta["bin_weights"]
    recipe, shares = meta.get("recipe", {}), prior.default()
    known = meta.get("prior_fingerprint") == array_fingerprint(shares)
    if not (known and recipe.get("rebalance")):
        return None
    found = rebalance.weights(shares, recipe["gamma"])
    found = rebalance.limited(found, shares, recipe.get("weight_limit", 0.0))
    return np.asarray(found, np.float64).tolist()
