"""Make training samples of photos, in a seeded order that any worker or rank can compute.

Randomness is a function of (seed, epoch, photo), never a state: which photos a step sees and how
they are cropped follow from the seed and the step alone.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cic.colour import spaces
from cic.dataset.ageing import age
from cic.dataset.masks import free_form
from cic.dataset.targets import Bins, Crops, Target, class_names, target_of
from cic.networks import Network
from cic.photos import images
from cic.photos.sources import PhotoList
from cic.system.addresses import refuse
from cic.system.arrays import Array, Bytes, Doubles
from cic.system.errors import InputError, SettingError
from cic.system.randomness import noise_of, random_for
from cic.system.typing import StrPath

# The last words of the random streams of order, masks, balance and ageing; the crops' is 0.
ORDER, MASK, BALANCE, AGEING = 1, 4, 5, 6
SOME = 2  # crops of a batch that tell of them all: over many steps the mean is the same


class Batch(NamedTuple):
    """Samples of one step; N is smaller if photos could not be read.

    inputs (N, C, S, S) float32, the network's input; targets, a tuple of arrays of N (see
    `cic.dataset.targets`); noise (N,) int64, which decides what is random inside the network;
    failures: one message for each unreadable photo. If the trainer makes the targets, `crops` stand
    in their place and, unless inputs were made to look old, in that of the inputs.
    """

    inputs: Array
    targets: tuple[Array, ...]
    noise: Array
    failures: tuple[str, ...] = ()

    @property
    def crops(self) -> Bytes | None:
        """(N, S, S, 3) uint8 sRGB, from which the trainer makes targets; None if they are made."""
        last = self.targets[-1] if self.targets else self.inputs
        return last if last.dtype == np.uint8 else None

    def some_targets(self, target: Target, least: int = SOME) -> tuple[Array, Array]:
        """Return (index, weight) of a `target` of bins: all, or where the trainer makes them those
        of the first `least` crops.
        """
        if self.crops is None:
            return self.targets  # type: ignore[return-value]
        return target.bins.of_crops(self.crops[:least])  # type: ignore[attr-defined]

    def parts(self, count: int) -> list["Batch"]:
        """Return `count` Batches of nearly equal numbers of the photos, in order; some may have
        none.
        """
        return [self.map(lambda array, n=n: np.array_split(array, count)[n]) for n in range(count)]  # type: ignore[misc]

    def map(self, function: Callable[[Array], Any]) -> "Batch":
        """Return the Batch of what `function` makes of each array; failures are left out."""
        targets = tuple(function(array) for array in self.targets)
        return Batch(function(self.inputs), targets, function(self.noise))


class PhotoDataset:
    """Photos of folders and tar shards, `places` or a PhotoList of them, as samples for `network`.

    A photo is taken at a short side of `load_size` (never enlarged, unless smaller than the crop),
    then a square of `crop_size` is cut out and mirrored: at random when `augment`, else the middle,
    unmirrored. With a `crop_scale` below 1 a random square is cut out first, of an area between
    that share and all of the largest there is, each as likely, and brought to `crop_size`;
    `load_size` is then only the size to which a JPEG may be decoded.

    `bin_weights` (313,) are the rebalancing weights, None for none; for `target_mean` and
    `keep_gray` see `targets`. `ageing` is the share of inputs that are made to look old; the
    targets stay as they are. A classifier's `classes` are the names of the class folders in the
    order of its outputs, by default all that there are, sorted. Raises PhotoError if the places
    hold no photo, ValueError for sizes that do not fit, or ageing of an input other than L.
    """

    def __init__(
        self,
        places: PhotoList | Iterable[StrPath],
        network: Network,
        load_size: int = 256,
        crop_size: int = 176,
        *,
        neighbors: int = 5,
        sigma: float = 5.0,
        bin_weights: Array | None = None,
        seed: int = 0,
        augment: bool = True,
        classes: Sequence[str] | None = None,
        crop_scale: float = 1.0,
        ageing: float = 0.0,
        target_mean: bool = False,
        keep_gray: bool = False,
    ) -> None:
        if ageing and network.space != "L":
            raise SettingError(f"ageing is {ageing}: {network} sees {network.space}, not L alone")
        if network.size not in (None, crop_size):
            raise SettingError(f"crop_size is {crop_size}: {network} takes {network.size}")
        if crop_size % network.multiple or not 0 < crop_size <= load_size:
            raise SettingError(
                f"crop_size is {crop_size}: it must be a multiple of {network.multiple} "
                f"and at most load_size, {load_size}"
            )
        if not isinstance(places, PhotoList):
            for place in places:
                refuse(place)
        self.photos = places if isinstance(places, PhotoList) else PhotoList(places)
        if not self.photos:
            reasons = ["no photo in there", *self.photos.left_out]
            raise images.PhotoError(f"{', '.join(self.photos.searched)}: {'; '.join(reasons)}")
        if network.is_classifier:
            classes = self._classes(network, classes)
        self.network, self.classes = network, classes
        self.load_size, self.crop_size = load_size, crop_size
        self.neighbors, self.sigma = neighbors, sigma
        self.bin_weights = bin_weights
        self.seed, self.augment = seed, augment
        self.crop_scale, self.ageing = crop_scale, ageing
        self.keep_gray = keep_gray
        self.target = target_of(
            network, self.photos, neighbors, sigma, bin_weights, classes, target_mean, keep_gray
        )

    def _classes(self, network: Network, names: Sequence[str] | None) -> Sequence[str]:
        found = class_names(self.photos)
        names = found if names is None else names
        if unknown := set(found) - set(names):
            raise InputError(
                f"{', '.join(self.photos.searched)}: no class is called {min(unknown)}, of "
                f"{len(unknown)} folders: name as classes those whose photos are wanted"
            )
        (outputs,) = network.output((network.channels, network.side, network.side))
        if len(names) != outputs:
            raise InputError(
                f"{', '.join(self.photos.searched)}: {len(names)} classes, but the network has "
                f"{outputs} outputs: name as classes which they are"
            )
        return names

    def __len__(self) -> int:
        return len(self.photos)

    def leave_to_trainer(self) -> None:
        """Give crops from now on; the trainer makes inputs and targets of them on its device.

        Raises ValueError unless the network's input is L and its target bins.
        """
        if not self.can_be_left:
            raise ValueError(f"{self.network}: its inputs and targets are made here")
        self.target = Crops(self.target, with_inputs=not self.ageing)  # type: ignore[arg-type]

    @property
    def can_be_left(self) -> bool:
        """Whether a trainer can make inputs and targets of crops."""
        plain = self.network.space == "L" and not self.network.masked
        return isinstance(self.target, Bins) and plain

    @property
    def _leaves_inputs(self) -> bool:
        return isinstance(self.target, Crops) and self.target.with_inputs

    def crop(self, i: int, epoch: int = 0) -> Bytes:
        """Return the square of photo `i` that `epoch` sees, (crop_size, crop_size, 3) uint8
        sRGB.
        """
        if self.augment and self.crop_scale < 1:
            return self._scaled_crop(i, epoch)
        photo = images.open_rgb(self.photos[i], short=self.load_size)
        short = min(photo.size)
        scale = short / max(min(short, self.load_size), self.crop_size)
        spare = np.array([round(side / scale) - self.crop_size for side in photo.size])
        corner, mirror = spare // 2, False
        if self.augment:
            random = random_for(self.seed, epoch, i)
            corner, mirror = random.integers(0, spare + 1), random.random() < 0.5
        square = self._cut(photo, corner * scale, self.crop_size * scale)
        return np.asarray(square.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else square)

    def _scaled_crop(self, i: int, epoch: int) -> Bytes:
        """Return a square of an area drawn evenly, anywhere in the photo, as `crop` gives it.

        A JPEG is decoded at twice the short side that is asked for, or more (`images.open_rgb`).
        """
        least = self.crop_size / np.sqrt(self.crop_scale)  # short side that nothing is enlarged at
        photo = images.open_rgb(self.photos[i], short=min(self.load_size, int(np.ceil(least))))
        random = random_for(self.seed, epoch, i)
        side = min(photo.size) * np.sqrt(random.uniform(self.crop_scale, 1))
        corner = random.random(2) * (np.array(photo.size) - side)
        square, mirror = self._cut(photo, corner, side), random.random() < 0.5
        return np.asarray(square.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else square)

    def _cut(self, photo: Image.Image, corner: Array, side: float) -> Image.Image:
        """Return the square of `side` pixels from `corner` (x, y) on, at the size of the crop."""
        if side == self.crop_size:
            left, top = map(int, corner)
            return photo.crop((left, top, left + self.crop_size, top + self.crop_size))
        far = np.minimum(corner + side, photo.size)
        size = (self.crop_size, self.crop_size)
        return photo.resize(size, Image.Resampling.BICUBIC, (*corner, *far), reducing_gap=2.0)

    def empty(self, count: int) -> tuple[Array, tuple[Array, ...]]:
        """Return (inputs, targets) for `count` samples, not filled."""
        side, targets = self.crop_size, self.target.empty(count, self.crop_size)
        if self._leaves_inputs:
            return np.empty((count, side, side, 3), np.uint8), targets
        return np.empty((count, self.network.channels, side, side), np.float32), targets

    def sample(self, i: int, epoch: int = 0) -> tuple[Array, tuple[Any, ...], int]:
        """Return (input, target, noise) of photo `i`: `Batch`'s arrays without their first axis."""
        square = self.crop(i, epoch)
        inputs = self._inputs(square, i, epoch)
        if self.network.masked:
            inputs[:, free_form(random_for(self.seed, epoch, i, MASK), self.crop_size)] = 0
        return inputs, self.target.of(square, i), noise_of(self.seed, epoch, i)

    def _inputs(self, square: Bytes, i: int, epoch: int) -> Array:
        if self._leaves_inputs:
            return square
        if self.ageing:
            random = random_for(self.seed, epoch, i, AGEING)
            if random.random() < self.ageing:
                light = spaces.READ["L"](square)[..., 0]
                return self.network.prepare(age(light, random))[None]
        return self.network.inputs(square)


def draws_of(groups: Sequence[int], balance: float) -> NDArray[np.int64]:
    """Return how many of the N = sum(groups) draws of an epoch each group of photos gets, (G,)
    int64.

    In proportion to its number of photos to the power 1 - balance, rounded so that they sum to N:
    the largest remainders are rounded up. A group without photos gets none.
    """
    sizes = np.asarray(groups)
    power = np.where(sizes > 0, np.maximum(sizes, 1) ** (1 - balance), 0)
    exact = sizes.sum() * power / power.sum()
    counts = np.floor(exact + 1e-6).astype(np.int64)  # a whole number stays one
    most = np.argsort(counts - exact, kind="stable")[: sizes.sum() - counts.sum()]
    counts[most] += 1
    return counts


@lru_cache(maxsize=2)
def _epoch(
    photos: int, seed: int, epoch: int, shuffle: bool, groups: tuple[int, ...], balance: float
) -> tuple[Array, Array]:
    """Return (photos (N,), how often each was drawn before (N,)) of an epoch, in their order."""
    if not shuffle:
        return np.arange(photos), np.broadcast_to(epoch, photos)
    random = random_for(seed, epoch, 0, ORDER)
    if not balance:
        return random.permutation(photos), np.broadcast_to(epoch, photos)
    drawn, before, first = [], [], 0
    for group, (size, count) in enumerate(zip(groups, draws_of(groups, balance).tolist())):
        place = np.arange(epoch * count, (epoch + 1) * count)
        cycle = random_for(seed, 0, group, BALANCE).permutation(size)
        drawn.append(first + cycle[place % max(1, size)])
        before.append(place // max(1, size))
        first += size
    order = random.permutation(photos)
    return np.concatenate(drawn)[order], np.concatenate(before)[order]


class Order:
    """Which photos each step sees: a permutation of all, drawn anew from (seed, epoch).

    Step s of the run belongs to epoch s // steps_per_epoch. A global batch is a slice of the
    permutation, the last one of an epoch the shorter; rank r of `world` takes every world-th of it
    from r on. So each photo comes once an epoch and a global batch holds the same photos whatever
    the number of ranks.

    `balance` changes how many draws of an epoch each of the `groups` of photos, which lie one after
    the other, gets: see `draws_of`. An epoch has as many draws as there are photos. Each group's
    photos come in a cycle, a permutation that goes on from epoch to epoch, so that over any number
    of epochs the draws of two photos of a group differ by one at most; then the whole epoch is
    shuffled. Raises ValueError if the groups do not add up to the photos, or a rank would get none.
    """

    def __init__(
        self,
        photos: int,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world: int = 1,
        groups: Iterable[int] = (),
        balance: float = 0.0,
    ) -> None:
        if batch_size < world:
            raise SettingError(f"batch_size is {batch_size}: {world} ranks need at least one each")
        if balance and sum(groups) != photos:
            raise ValueError(f"groups of {sum(groups):,} photos: there are {photos:,}")
        self.photos, self.batch_size, self.seed, self.shuffle = photos, batch_size, seed, shuffle
        self.rank, self.world = rank, world
        self.groups, self.balance = tuple(groups), balance
        self.steps_per_epoch = -(-photos // batch_size)

    def batch(self, step: int) -> tuple[int, Array]:
        """Return (epoch, indices of the photos) of this rank at `step`."""
        return step // self.steps_per_epoch, self.draws(step)[0]

    def draws(self, step: int) -> tuple[Array, ...]:
        """Return (indices of the photos, how often each was drawn before) of this rank at `step`.

        Without balance that is the epoch. It is what is random about a sample follows from: a photo
        that comes twice in an epoch is seen anew.
        """
        epoch, number = divmod(step, self.steps_per_epoch)
        mine = slice(number * self.batch_size, (number + 1) * self.batch_size)
        drawn = _epoch(self.photos, self.seed, epoch, self.shuffle, self.groups, self.balance)
        return tuple(array[mine][self.rank :: self.world] for array in drawn)

    def odds(self) -> Doubles | None:
        """Return the share of each photo in the draws, (N,) summing to 1; None if they are
        equal.
        """
        if not self.balance:
            return None
        counts = draws_of(self.groups, self.balance)
        each = counts / np.maximum(1, self.groups)
        return np.repeat(each, self.groups) / self.photos


def make_batch(dataset: PhotoDataset, order: Order, step: int) -> Batch:
    """Return the Batch of `step`: a pure function, whichever process calls it."""
    samples, failures = [], []
    for i, before in zip(*order.draws(step)):
        try:
            samples.append(dataset.sample(int(i), int(before)))
        except images.PhotoError as error:
            failures.append(str(error))
    inputs, targets = dataset.empty(len(samples))
    noise = np.empty(len(samples), np.int64)
    for n, (values, target, number) in enumerate(samples):
        inputs[n], noise[n] = values, number
        for array, part in zip(targets, target):
            array[n] = part
    return Batch(inputs, targets, noise, tuple(failures))
