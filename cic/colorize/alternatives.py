"""The most likely distinct colourings of a photo, all from one set of logits.

Every cell's distribution p is tilted the same way, to p exp(t . AB) with t two numbers: of all
distributions with its mean ab that is the one nearest to p (Csiszar 1975, theorem 3.1). So a colour
moves as far as the network is unsure of it and towards what it holds possible, and neighbours move
together. Two other ways let neighbours flip to different modes, in patches and noise: each cell's
k-th likeliest bin, and diverse M-best solutions (Batra et al., ECCV 2012), which push each cell
away from its former colour. Both came less near to the truth (docs/measurements.md,
"Alternatives").
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np

from cic.colour.bins import AB
from cic.colour.decoding import ANNEALED_MEAN
from cic.colour.distributions import softmax
from cic.colour.lab import ab_distance
from cic.system.arrays import Array, Floats

# Mean over the cells, CIELAB units, that makes two colourings distinct: by eye, between alike and
# garish.
DISTANCE = 12.0
LEAST_LIKELY = 1.0  # bits a cell: from here on colourings are garish
DIRECTIONS = 12  # of tilts in the ab plane, evenly spaced
SHORTEST, LONGEST = 0.002, 1.0  # tilts, nats per CIELAB unit; |t . AB| stays far below exp's limits
Decode: TypeAlias = Callable[[Array], Floats]  # logits (313, h, w) -> ab (h, w, 2)
STEP = 1.5  # times the length before
HALVINGS = 6  # of a step: the length is found to 1 %
CELLS = 500  # at most that the search looks at: every 2nd or n-th of each row and column


class Colouring(NamedTuple):
    """ab (h, w, 2) float32, CIELAB units, and how unlikely it is to the network.

    `bits` is the mean over the cells of the Kullback-Leibler divergence of the distributions,
    tilted by `tilt` (a, b), from the network's own: 0 for the first colouring.
    """

    ab: Floats
    bits: float
    tilt: tuple[float, ...]


def most_likely(
    logits: Floats, count: int, decoding: Decode = ANNEALED_MEAN, distance: float = DISTANCE
) -> list[Colouring]:
    """Up to `count` Colourings of logits (313, h, w), the most likely first, `bits` ascending.

    The first is what `decoding` gives. Each further one is the likeliest tilt that differs by about
    `distance` from every one before; there are fewer if it would take more than LEAST_LIKELY bits.
    """
    step = int(np.ceil((logits[0].size / CELLS) ** 0.5))
    few = _Tilted(logits[:, ::step, ::step], decoding)
    found = [few(np.zeros(2))]
    rays = [_ray(few, direction) for direction in _directions()] if count > 1 else []
    while len(found) < count:
        likeliest = _likeliest(few, rays, found, distance)
        if likeliest.bits > LEAST_LIKELY:
            break
        found.append(likeliest)
    return [one._replace(ab=tilted(logits, one.tilt, decoding)) for one in found]


def tilted(logits: Array, tilt: Sequence[float] | Array, decoding: Decode) -> Floats:
    """Return ab (h, w, 2) of logits (313, h, w), each cell's distribution tilted."""
    slope = (AB @ np.asarray(tilt, np.float32))[:, None, None]
    return decoding(logits + slope)


class _Tilted:
    """Callable: tilt (2,) -> Colouring of logits (313, h, w)."""

    def __init__(self, logits: Array, decoding: Decode) -> None:
        self.logits, self.decoding = logits, decoding
        self.share = softmax(logits.reshape(len(AB), -1).T, dtype=float)

    def __call__(self, tilt: Array) -> Colouring:
        ab = tilted(self.logits, tilt, self.decoding)
        factor = np.exp(AB @ tilt)
        total = self.share @ factor
        mean = self.share @ (factor[:, None] * AB) / total[:, None]
        bits = (mean @ tilt - np.log(total)).mean() / np.log(2)  # the divergence, in closed form
        return Colouring(ab, max(0.0, float(bits)), tuple(map(float, tilt)))


def _directions() -> Array:
    angle = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _ray(tilted: _Tilted, direction: Array) -> list[Colouring]:
    """Return the colourings of longer and longer tilts in one direction, as far as they are likely
    enough.
    """
    ray, length = [tilted(0 * direction)], SHORTEST
    while length < LONGEST and ray[-1].bits <= LEAST_LIKELY:
        ray.append(tilted(length * direction))
        length *= STEP
    return ray


def mean_distance(one: Array, other: Array) -> float:
    """Return the mean over the cells of the distance between two ab (h, w, 2), CIELAB units."""
    return float(ab_distance(one, other).mean())


def _likeliest(
    tilted: _Tilted,
    rays: Sequence[Sequence[Colouring]],
    found: Sequence[Colouring],
    distance: float,
) -> Colouring:
    """Return the Colouring on any ray that is `distance` from all found; of infinite bits if none
    is.
    """

    def is_distinct(one: Colouring) -> bool:
        return all(mean_distance(one.ab, other.ab) >= distance for other in found)

    likeliest = Colouring(None, np.inf, None)  # type: ignore[arg-type]
    steps = [next((s for s in pairwise(ray) if is_distinct(s[1])), None) for ray in rays]
    for near, far in sorted(filter(None, steps), key=lambda step: step[0].bits):
        if near.bits >= likeliest.bits:
            break  # on a ray bits only grow
        for _ in range(HALVINGS):
            middle = tilted(np.add(near.tilt, far.tilt) / 2)
            near, far = (near, middle) if is_distinct(middle) else (middle, far)
        likeliest = min(likeliest, far, key=lambda one: one.bits)
    return likeliest
