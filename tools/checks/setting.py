"""What is checked and how large, and the lines that say how it went."""

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from cic import networks
from cic.colour import prior, rebalance
from cic.dataset.batches import Order, PhotoDataset, make_batch
from cic.networks.initialize import initialize
from cic.training import recipes

PHOTOS = os.path.join(os.path.dirname(os.path.dirname(__file__)), "photographs")


class Line(NamedTuple):
    """One line of the table: what, the figure, its limit, and whether it held; None: it may be any.

    `number` is the figure for programs.
    """

    what: str
    found: str
    limit: str = ""
    held: bool | None = None
    number: float | None = None


def at_most(what, number, limit):
    """Line of a number that must not be above a limit; NaN is."""
    return Line(what, f"{number:.2g}", f"<= {limit:g}", bool(number <= limit), float(number))


@dataclass(frozen=True, eq=False)
class Setting:
    """A backend on one of its devices, "cpu" or native. Small is what a CPU does in seconds.

    `native` is the module of this folder that asks the framework itself.
    """

    backend: Any
    native: Any
    device: str
    is_small: bool
    folder: str

    @property
    def options(self):
        return {"width": 0.125 if self.is_small else 1.0}

    @property
    def network(self):
        return networks.get("cic", **self.options)

    @property
    def crop(self):
        return 56 if self.is_small else 176

    def recipe(self, batch_size, **changes):
        """The authors' recipe for this network and so large a batch."""
        return recipes.get(
            "full", options=self.options, batch_size=batch_size, crop_size=self.crop, **changes
        )

    @property
    def leaves_targets(self):
        """Whether trainers make inputs and targets of crops, as in a run on a GPU."""
        return self.device != "cpu"

    def dataset(self, place):
        """The photos of a place, as a run on this device reads them."""
        photos = self._opened(place)
        if self.leaves_targets:
            photos.leave_to_trainer()
        return photos

    def _opened(self, place):
        weights = rebalance.weights(prior.default())
        return PhotoDataset([place], self.network, 256, self.crop, bin_weights=weights)

    @cached_property
    def photos(self):
        """The demo's photographs, with NumPy's inputs and targets."""
        return self._opened(PHOTOS)

    @cached_property
    def _batches(self):
        photos = self.dataset(PHOTOS)
        order = Order(len(photos), len(photos))
        return [make_batch(photos, order, step) for step in range(4)]

    def batch(self, size, step=0):
        """Batch of so many crops of the demo's photographs, others at each step."""
        source = self._batches[step % len(self._batches)]
        return source.map(
            lambda array: np.resize(np.roll(array, -step, 0), (size, *array.shape[1:]))
        )

    def trainer(self, recipe, precision="float64", device=None, state=None, backend=None):
        """A trainer of the network's first weights, or of `state`."""
        state = initialize(self.network) if state is None else state
        make = (backend or self.backend).Trainer
        trainer = make(self.network, recipe, state, device or self.device, precision)
        if self.leaves_targets:
            trainer.make_targets(self.photos.target)
        return trainer

    def empty_batch(self):
        """A Batch without photos."""
        return self.batch(1).map(lambda array: array[:0])


def losses(trainer, setting, size, steps, lr=3.16e-5):
    """The loss of each step on the setting's batches, (steps,) float64."""
    return np.array([trainer.step(setting.batch(size, n), lr)[0] for n in range(steps)], np.float64)


def apart(found, expected):
    """Largest difference of arrays, relative to the largest value of what is expected."""
    return float(np.abs(np.subtract(found, expected)).max() / np.abs(expected).max())


def distance(found, expected):
    """Length of the difference of two states as vectors, relative to the length of the second."""
    square = sum(float(np.square(found[name] - array).sum()) for name, array in expected.items())
    return (square / sum(float(np.square(array).sum()) for array in expected.values())) ** 0.5
