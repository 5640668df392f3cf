"""Choose the colour to show from all that the network holds possible: logits -> ab."""

from dataclasses import dataclass, field
from functools import cache
from math import isfinite

import numpy as np

from cic.colour.bins import AB, COUNT
from cic.colour.distributions import MODE_BELOW, TEMPERATURE, decode, softmax
from cic.system.arrays import Array, Floats
from cic.system.errors import SettingError

STATISTICS = MEAN, MEDIAN = "mean", "median"
# Distances are sqrt(d^2 + SOFT^2), CIELAB units: they have a slope everywhere. Bins are 10 apart.
SOFT = 1.0
TOLERANCE = 0.005  # CIELAB units: the search for a median ends when no step is longer
STEPS = 30  # of it at most; photos take 4 to 9
LONGEST = 4.0  # step, times Weiszfeld's: he never goes too far
DAMPING = 0.03  # of Newton's curvature, share of the largest it can have: it is never nearly 0
FAR = 0.1  # slope at a step's end, of that at its start, from which on it went too far
BLOCK = 256  # cells at once: their float32 scratch stays in a processor's cache


@dataclass(frozen=True)
class Decoding:
    """Callable: logits (313, h, w) -> ab (h, w, 2) float32, CIELAB units.

    Softmax of (logits - unweight log w) / temperature, then its `statistic`, times `saturation`.

    `temperature` 1 keeps the distribution, 0 takes its mode (paper, section 2.3). `unweight`, 0 to
    1, undoes rebalancing: a loss that weighs each pixel by the w of its bin teaches p w,
    normalised, in place of p. `bin_weights` are these w, 313 numbers, None if they are not known.
    The MEAN has the least expected squared error, the geometric MEDIAN the least expected error, on
    which the raw AuC depends; it is more saturated where one colour prevails. Raises ValueError for
    settings that are out of bounds.

    >>> logits = np.full((313, 1, 1), -20, np.float32)
    >>> logits[200], logits[220] = 1, 0  # two colours, the first the likelier
    >>> for temperature in (1, 0.38, 0):
    ...     print(temperature, Decoding(temperature)(logits).round(1).ravel())
    1 [42.7 40. ]
    0.38 [40.7 40. ]
    0 [40. 40.]
    """

    temperature: float = TEMPERATURE
    saturation: float = 1.0
    unweight: float = 0.0
    statistic: str = MEAN
    bin_weights: tuple[float, ...] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check("temperature", self.temperature, 100)
        check("saturation", self.saturation, 10)
        check("unweight", self.unweight, 1)
        if self.statistic not in STATISTICS:
            raise SettingError(f"statistic is {self.statistic!r}; there are {MEAN}, {MEDIAN}")
        if self.bin_weights is not None:
            weights = np.asarray(self.bin_weights, np.float64)
            if weights.shape != (COUNT,) or not (np.isfinite(weights) & (weights > 0)).all():
                raise SettingError(f"bin_weights must be {COUNT} numbers above 0")
            object.__setattr__(self, "bin_weights", tuple(weights.tolist()))
        elif self.unweight:
            raise SettingError(
                f"unweight is {self.unweight}, but the weights do not say how their training "
                "weighed colours: only 0 is possible"
            )

    def __call__(self, logits: Array) -> Floats:
        if self.unweight:
            taken = self.unweight * np.log(self.bin_weights)  # type: ignore[arg-type]
            logits = logits - taken.astype(np.float32)[:, None, None]
        if self.statistic == MEAN or self.temperature < MODE_BELOW:
            ab = decode(logits, self.temperature, axis=0)
        else:
            ab = median(logits, self.temperature)
        return ab.transpose(1, 2, 0) * np.float32(self.saturation)


def check(name: str, value: float, most: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not isfinite(value) or not 0 <= value <= most:
        raise SettingError(f"{name} is {value!r}: it must be a number from 0 to {most}")


ANNEALED_MEAN = Decoding()  # the paper's, equation 5


def median(logits: Array, temperature: float = 1.0) -> Floats:
    """Return the geometric median of softmax(logits (313, h, w) / temperature): ab (2, h, w)
    float32.

    The point of the least mean distance to the bins, sqrt(d^2 + SOFT^2) each. Photos' are found to
    within 0.05 units; of two bins far apart and as likely as each other any point between will do.
    """
    flat = logits.reshape(COUNT, -1)
    out = np.empty((2, flat.shape[1]), np.float32)
    for start in range(0, flat.shape[1], BLOCK):
        # of one layout, whatever the network's: sums depend on it
        part = np.array(flat[:, start : start + BLOCK], np.float32, order="C")
        out[:, start : start + BLOCK] = _median(softmax(part, temperature, axis=0))
    return out.reshape(2, *logits.shape[1:])


def _median(share: Floats) -> Floats:
    """Return the geometric medians of distributions (313, n) float32, (2, n).

    Newton's method from the means. A step that went too far, so that the distance grew again at its
    end, is shortened to where its slope, taken for a straight line, is zero.
    """
    start = point = AB.T @ share
    move = np.zeros_like(point)
    slope = move[0]
    for _ in range(STEPS):
        pull, step = _newton(share, point)
        ends = (pull * move).sum(0)
        far = ends > -FAR * slope
        part = np.divide(slope, slope - ends, out=np.ones_like(ends), where=far)
        move = np.where(far, np.clip(part, 0.1, 0.9) * move, step)
        start = np.where(far, start, point)
        slope = np.where(far, slope, (pull * step).sum(0))
        point = start + move
        if np.abs(move).max() < TOLERANCE:
            break
    return point


def _newton(share: Floats, point: Floats) -> tuple[Floats, Floats]:
    """Return (gradient of the mean distance at points (2, n), step from there), (2, n) each."""
    from_bins, sums, moments = tables()
    x, y = point
    squares = from_bins @ np.stack([x, y, x * x + y * y, np.ones_like(x)])
    near = share / np.sqrt(squares)
    a, b, weight = sums @ near
    near /= squares
    one, a1, b1, aa, ab, bb = moments @ near
    pull = np.stack([x * weight - a, y * weight - b])
    most = weight * np.float32(1 + DAMPING)
    xx = most - (one * x * x - 2 * x * a1 + aa)
    yy = most - (one * y * y - 2 * y * b1 + bb)
    xy = x * b1 + y * a1 - one * x * y - ab
    step = np.stack([xy * pull[1] - yy * pull[0], xy * pull[0] - xx * pull[1]])
    step /= xx * yy - xy * xy
    longest = LONGEST * np.hypot(*pull) / weight  # Weiszfeld's step is the gradient / weight
    return pull, step * np.minimum(1, longest / np.maximum(np.hypot(*step), TOLERANCE))


@cache
def tables() -> tuple[Floats, ...]:
    """Return what a step of the search for a median multiplies by: products of these, float32.

    With a column a cell they are sums over the bins. (313, 4) by x, y, x^2 + y^2 and 1: squares of
    distances; (3, 313): a, b and 1; (6, 313): 1, a, b, a^2, a b and b^2.
    """
    a, b = AB.T.astype(np.float64)
    one = np.ones(COUNT)
    tables = (
        np.stack([-2 * a, -2 * b, one, a * a + b * b + SOFT**2], axis=1),
        np.stack([a, b, one]),
        np.stack([one, a, b, a * a, a * b, b * b]),
    )
    return tuple(table.astype(np.float32) for table in tables)
