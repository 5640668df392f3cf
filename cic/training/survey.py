"""Survey a random sample of a dataset's photos before training on them.

The thresholds come from 1,750 ImageNet and 300 Berkeley photographs at three sizes, and from copies
of them that were tinted, paled and darkened.
"""

import time
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from cic.colour import prior
from cic.colour.bins import COUNT
from cic.colour.distributions import soft_encode
from cic.colour.grid import STRIDE
from cic.colour.lab import ab_distance, rgb_to_lab
from cic.colour.rebalance import is_gray, smooth
from cic.dataset.batches import PhotoDataset
from cic.networks import BINS
from cic.photos import images
from cic.system.arrays import Array, Floats
from cic.system.invocation import named
from cic.system.randomness import random_for

OK, WARN, BAD = "ok", "warn", "bad"
STREAM = 2  # the last word of the sample's random stream; dataset.ORDER has 1, the crops 0
NAMED = 3  # unreadable photos that are named
UNREADABLE = 0.05  # share that is bad
GRAY = (0.1, 0.5)  # shares that are worth a look and bad; of ImageNet's photos 3 % are
DARK, LIGHT = 30.0, 70.0  # mean L; means of 64 of ImageNet's are 43 to 55, of Berkeley's 43 to 51
PALE = 10.0  # mean chroma of those in colour; means of 64 of ImageNet's or Berkeley's: 14 to 23
ENLARGED = 0.1  # share worth a look
FEW_BINS = 70  # nearest to some pixel; 64 photos of either cover 101 or more, even at 56 pixels
# Kullback-Leibler divergence from the prior in use, nats, beyond what chance makes of so few photos
# (CHANCE / photos: 16 to 512 of ImageNet's have medians of 2 to 5 / photos; 64 have 8 / photos at
# most). Of the bundled prior: ImageNet 0.01, Berkeley 0.16, saturation halved 0.18, two tints 0.48
# and 0.66.
CHANCE = 4.0
FAR, TOO_FAR = 0.1, 0.4
UNEVEN = 10  # times as many photos of one class as of another
ENOUGH = 32  # photos in colour, below which nothing is said of their colours
PLAIN = ("readable", "gray", "sizes")  # findings that need no more
LEAST = 8  # photos that are looked at, however long it takes


class Remark(NamedTuple):
    """A finding: its name, what was measured, a verdict, and what to do."""

    name: str
    measured: str
    verdict: str = OK
    advice: str = ""


@dataclass
class Sample:
    """Crops of `photos` photos, as training sees them; `seconds` is the time that this took."""

    photos: int = 0  # that could be read
    failures: list[str] = field(default_factory=list)
    gray: int = 0
    enlarged: int = 0  # smaller than the crop
    large: int = 0  # more than twice load_size
    seconds: float = 0.0
    lab: list[Floats] = field(default_factory=list)  # (h, w, 3) of each photo in colour, CIELAB
    nearest: Array = field(default_factory=lambda: np.zeros(COUNT, np.int64))
    soft: Array = field(default_factory=lambda: np.zeros(COUNT))

    def add(self, dataset: PhotoDataset, i: int) -> None:
        """Look at photo `i`; raises PhotoError."""
        with images.opened(dataset.photos[i]) as image:
            short = min(image.size)
        lab = rgb_to_lab(dataset.crop(i)[::STRIDE, ::STRIDE])
        index, weight = soft_encode(lab[..., 1:], dataset.neighbors, dataset.sigma)
        self.photos += 1
        self.enlarged += short < dataset.crop_size
        self.large += short > 2 * dataset.load_size
        if is_gray(lab[..., 1:]):
            self.gray += 1
            return
        self.lab.append(lab)
        self.nearest += np.bincount(index[..., 0].ravel(), minlength=COUNT)
        self.soft += np.bincount(index.ravel(), weight.ravel(), COUNT)


def take(
    dataset: PhotoDataset, photos: int, seconds: float = np.inf, odds: Array | None = None
) -> Sample:
    """Sample of that many `photos` of `dataset`, or as many as there is time for; seeded.

    `odds` (N,) are the photos' shares of the draws (`Order.odds`), None if they are equal.
    """
    soft_encode(np.zeros(2), dataset.neighbors)  # makes its table
    sample, start = Sample(), time.perf_counter()
    random = random_for(dataset.seed, 0, 0, STREAM)
    for i in random.choice(len(dataset), min(photos, len(dataset)), replace=False, p=odds):
        try:
            sample.add(dataset, int(i))
        except images.PhotoError as error:
            sample.failures.append(str(error))
        sample.seconds = time.perf_counter() - start
        if sample.seconds > seconds and sample.photos + len(sample.failures) >= LEAST:
            break
    return sample


def findings(sample: Sample, dataset: PhotoDataset, shares: Array) -> list[Remark]:
    """Return the remarks of all that a Sample of `dataset` shows; `shares` (313,) is the prior in
    use.
    """
    found = [_readable(sample)]
    classifies = dataset.network.is_classifier
    if sample.photos:
        found += (
            [_sizes(sample, dataset)]
            if classifies
            else [_gray(sample, dataset.keep_gray), _sizes(sample, dataset)]
        )
    if classifies:
        return [*found, _classes(dataset)]
    if sample.lab:
        lab = np.concatenate([one.reshape(-1, 3) for one in sample.lab])
        found += [_lightness(lab[:, 0]), _colours(lab[:, 1:]), _coverage(sample)]
        if dataset.network.predicts == BINS:
            found.append(_prior(sample, shares, dataset.bin_weights is not None))
    if len(sample.lab) < ENOUGH:
        found = [one if one.name in PLAIN else one._replace(verdict=OK, advice="") for one in found]
    return found


def held_out(sample: Sample, dataset: PhotoDataset) -> list[Remark]:
    """Return the remarks of a Sample of the photos to evaluate on, their names beginning with
    "val".

    Nothing that is counted of a gray photo says how well colours are learnt.
    """
    found = [_readable(sample)]
    if sample.photos and not dataset.network.is_classifier:
        gray = _gray(sample, dataset.keep_gray)
        advice = f"they say nothing of colours: {named('invalid')} finds them"
        found.append(gray._replace(advice=advice if gray.verdict != OK else ""))
    names = {"readable": "val read", "gray": "val gray"}
    return [finding._replace(name=names[finding.name]) for finding in found]


def _classes(dataset: PhotoDataset) -> Remark:
    labels = [dataset.target.of(None, i)[0] for i in range(len(dataset))]  # type: ignore[arg-type]
    counts = np.bincount(labels, minlength=len(dataset.classes))  # type: ignore[arg-type]
    few, many = counts.min(), counts.max()
    measured = f"{len(counts)} classes of {few:,} to {many:,} photos"
    if not few:
        empty = dataset.classes[counts.argmin()]  # type: ignore[call-overload, index]
        return Remark("classes", measured, WARN, f"there is no photo of {empty}: it is not taught")
    if many <= UNEVEN * few:
        return Remark("classes", measured)
    return Remark("classes", measured, WARN, "the rare ones will be taken for the common ones")


def _graded(value: float, warn: float, bad: float = np.inf) -> str:
    return BAD if value > bad else WARN if value > warn else OK


def _readable(sample: Sample) -> Remark:
    failed = len(sample.failures)
    share = failed / (failed + sample.photos)
    measured = f"{failed} of {failed + sample.photos} photos cannot be read"
    some = "; ".join(sample.failures[:NAMED])
    advice = f"{named('invalid')} finds all: {some}" if failed else ""
    return Remark("readable", measured, _graded(share, 0, UNREADABLE), advice)


def _gray(sample: Sample, kept: bool) -> Remark:
    share = sample.gray / sample.photos
    verdict = _graded(share, GRAY[1]) if kept else _graded(share, *GRAY)
    taught = "to leave photos gray" if kept else "nothing"
    advice = f"they teach {taught}: {named('invalid')} finds them"
    return Remark("gray", f"{share:.1%} of the photos", verdict, advice if verdict != OK else "")


def _sizes(sample: Sample, dataset: PhotoDataset) -> Remark:
    share = sample.enlarged / sample.photos
    measured = f"{share:.1%} are smaller than the crop of {dataset.crop_size} and get enlarged"
    advice = f"a crop_size below {dataset.crop_size}, or larger photos"
    verdict = _graded(share, ENLARGED)
    return Remark("sizes", measured, verdict, advice if verdict != OK else "")


def _lightness(light: Array) -> Remark:
    mean = light.mean()
    measured = f"{light.min():.0f} to {light.max():.0f}, mean {mean:.0f}"
    if DARK <= mean <= LIGHT:
        return Remark("L", measured)
    kind = "dark" if mean < DARK else "light"
    return Remark("L", measured, WARN, f"these are {kind}: look whether they are photographs")


def _colours(ab: Array) -> Remark:
    chroma = ab_distance(ab).mean()
    (a, b), (c, d) = ab.min(0), ab.max(0)
    measured = f"a {a:.0f} to {c:.0f}, b {b:.0f} to {d:.0f}, mean chroma {chroma:.0f}"
    if chroma >= PALE:
        return Remark("ab", measured)
    return Remark("ab", measured, WARN, "these are pale, and so will results be: look at them")


def _coverage(sample: Sample) -> Remark:
    nearest, soft = np.count_nonzero(sample.nearest), np.count_nonzero(sample.soft)
    measured = f"{nearest} of {COUNT} bins occur, {soft} get some weight"
    if nearest >= FEW_BINS:
        return Remark("labels", measured)
    advice = "the other colours cannot be learnt from these: add other photos"
    return Remark("labels", measured, WARN, advice)


def _prior(sample: Sample, shares: Array, used: bool) -> Remark:
    if not used:
        return Remark("prior", "not used: no rebalancing")
    if len(sample.lab) < ENOUGH:
        return Remark("prior", f"{len(sample.lab)} photos in colour are too few to tell")
    far = prior.divergence(smooth(sample.nearest), shares)
    chance = CHANCE / len(sample.lab)
    measured = f"{far:.3f} nats from these photos', {chance:.3f} by chance"
    verdict = _graded(far - chance, FAR, TOO_FAR)
    advice = f"{named('prior')} counts one of these photos, to take as prior"
    return Remark("prior", measured, verdict, advice if verdict != OK else "")
