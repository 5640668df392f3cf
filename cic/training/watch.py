"""Notice the known ways in which training fails, while it runs, and say so once, in plain words.

The thresholds come from runs of a quarter of the network's width on 64 x 64 photographs, batch 40.
Beside each stands what healthy and failing runs measured.
"""

from collections import Counter, deque
from typing import SupportsIndex

import numpy as np

from cic.colour.bins import AB, COUNT
from cic.colour.distributions import decode
from cic.colour.rebalance import GRAY_BELOW
from cic.dataset.batches import Batch
from cic.dataset.targets import Target
from cic.system.arrays import Array, Doubles
from cic.system.invocation import named
from cic.training.losses import smooth_distance

EVERY = 100  # steps between looks
PHOTOS = 4  # of a batch are looked at: their logits leave a GPU, while all wait
RECENT = 50  # steps that the loss is the mean of

TAKEN = 0.9  # share of one bin; healthy runs have up to 0.88 for a while, collapsed ones 1
NOT_TAKEN = 0.6  # share that it has in the photos, below which that is too much
ABOVE = 1.5  # times the loss of a constant prediction; at the very first step it is about that
COLLAPSED = 0.04  # deviation of the ab as a share of the photos'; healthy 0.055 on, collapsed 0
NEUTRAL = 10.0  # |ab| of the bins around gray: the spacing of the bins

# Hue angles up to which a colour has a name: those of sRGB's primaries and of common pigments.
HUES = (
    (20, "pink"), (45, "red"), (95, "brown"), (115, "yellow"), (185, "green"), (310, "blue"),
    (340, "violet"), (360, "pink"),
)  # fmt: skip
# Looks in a row, after which a failure is no passing one. At a good --lr the loss took 550 steps to
# fall below that of a constant prediction; from 150 on it was less than 2 % above. Until then,
# without rebalancing, predictions are nearly gray: all of one bin, 0.05 of the deviation.
PATIENCE = {"blank": 3, "taken": 8, "collapsed": 8, "above": 3, "stuck": 20}


def mean_target(index: Array, weight: Array) -> Doubles:
    """Return the mean of the pixels of targets, (313,) float64: weights summed by bin.

    It sums to the pixels' mean rebalancing weight, gray photos counting 0.
    """
    total = np.bincount(index.ravel(), weight.ravel(), COUNT)
    return total / max(1, index[:, 0].size)


def constant_loss(target: Array) -> float:
    """Return the loss of the best prediction that is the same everywhere, nats, for a mean target
    (313,).

    The loss of shares q is -sum(target log q). With S = sum(target) the best q is target / S, by
    Gibbs' inequality, and its loss S times the entropy of q. That is what predicting the prior
    comes to. From the prior itself it would come out wrong, 5 to 15 % too high: smoothing moved
    some of it to rare bins, which weigh most.
    """
    seen = target[target > 0]
    return float(-(seen * np.log(seen / seen.sum())).sum())


def mean_root(index: Array, weight: Array) -> Doubles:
    """Return how much the pixels of targets count in `losses.colour_distance`, by nearest bin,
    (313,).
    """
    total = np.bincount(index[:, 0].ravel(), np.sqrt(weight.sum(1)).ravel(), COUNT)
    return total / max(1, index[:, 0].size)


def constant_distance(root: Array, target: Array) -> float:
    """Return `losses.colour_distance` of the best constant prediction for `target`, a pixel, (313,)
    each.

    Nearest bins stand for the true colours.
    """
    mean = target @ AB / max(target.sum(), np.finfo(np.float64).tiny)
    return float(root @ smooth_distance(AB - mean, 1)[:, 0])


def hue(ab: Array) -> str:
    """Return the plain name of a colour, ab (2,): gray, brown, blue, ..."""
    if np.abs(ab).max() <= GRAY_BELOW:
        return "gray"
    angle = np.degrees(np.arctan2(ab[1], ab[0])) % 360
    return next(name for end, name in HUES if angle <= end)


def bin_shares(bins: Array) -> Doubles:
    """Return the share of each bin among any number of them, (313,)."""
    return np.bincount(bins.ravel(), minlength=COUNT) / max(1, bins.size)


def deviation(ab: Array) -> float:
    """Return the standard deviation of (..., 2) ab from their mean, CIELAB units."""
    return float(np.sqrt(ab.reshape(-1, 2).var(0).sum()))


class Watch:
    """Watch the loss of every step and, now and then, predictions; say once what is wrong.

    `target` is the data set's, `distance` the recipe's.
    """

    def __init__(self, target: Target, distance: float = 0.0) -> None:
        self.target, self.distance = target, distance
        self.losses: deque[float] = deque(maxlen=RECENT)
        self.targets: deque[Array] = deque(maxlen=RECENT)
        self.roots: deque[Array] = deque(maxlen=RECENT)
        self.total = np.zeros(COUNT)
        self.looks: Counter[str] = Counter()  # in a row at which a failure was seen

    def note(self, loss: float, batch: Batch) -> None:
        """Note the loss of a step, and what it was to predict."""
        if not len(batch.inputs):
            return
        some = batch.some_targets(self.target)
        target = mean_target(*some)
        self.losses.append(loss)
        self.targets.append(target)
        self.roots.append(mean_root(*some) if self.distance else np.zeros(COUNT))
        self.total += target

    def reference(self) -> float:
        """Return the loss that the best constant prediction would have had in the recent steps,
        nats.
        """
        seen = self.total > 0
        best = np.log(self.total[seen] / self.total.sum())
        further = self.distance * constant_distance(np.mean(self.roots, 0), self.total)
        return float(-(np.mean(self.targets, 0)[seen] @ best)) + further

    def look(self, logits: Array, batch: Batch) -> list[str]:
        """Return what is wrong, a list of sentences, most often empty: each is said once.

        `logits` (n, 313, h, w) is the prediction for the first n photos of `batch`. Numbers that
        are not finite are left to the loop.
        """
        if not len(logits) or not np.isfinite(logits).all() or not self.targets:
            return []
        index, _ = batch.some_targets(self.target, len(logits))
        found = self._of_loss() | _of_colours(logits, index[: len(logits), 0])
        messages: list[str] = []
        for name, patience in PATIENCE.items():
            if self.looks[name] < patience:
                self.looks[name] = self.looks[name] + 1 if name in found else 0
                if self.looks[name] == patience:
                    messages.append(found[name])
        return messages

    def _of_loss(self) -> dict[str, str]:
        """Return {failure: message} of the recent steps' losses."""
        reference = self.reference()
        if not reference:
            return {
                "blank": "every photo is gray: there is no colour to learn; "
                f"{named('invalid')} finds them"
            }
        loss = float(np.mean(self.losses))
        if loss <= reference:
            return {}
        compared = f"the loss is {loss:.3f}, that of predicting the same everywhere {reference:.3f}"
        found = {
            "stuck": f"nothing is learnt from the photos: {compared}; "
            "more steps, a higher lr, or begin from trained weights"
        }
        if loss > ABOVE * reference:
            found["above"] = f"training goes astray: {compared}; try a lower lr"
        return found


def _of_colours(logits: Array, index: Array) -> dict[str, str]:
    """Return {failure: message} of predictions (n, 313, h, w) and true nearest bins (n, h, w)."""
    found: dict[str, str] = {}
    predicted, true = bin_shares(logits.argmax(1)), bin_shares(index)
    top = predicted.argmax()
    if predicted[top] > TAKEN and true[top] < NOT_TAKEN:
        found["taken"] = _taken(top, predicted[top], true[top])
    with np.errstate(over="ignore"):  # of what diverges
        ab = np.moveaxis(decode(logits), 1, -1)
    left = deviation(ab) / max(deviation(AB[index]), 1e-6)
    if left < COLLAPSED:
        found["collapsed"] = _collapsed(ab.reshape(-1, 2).mean(0), left)
    return found


def _taken(top: SupportsIndex, predicted: float, true: float) -> str:
    a, b = AB[top]
    if np.abs(AB[top]).max() <= NEUTRAL:
        advice = "lower gamma, so that rare colours weigh more, or take more steps"
    else:
        advice = f"raise gamma, or count the prior of these photos with {named('prior')}"
    return (
        f"one colour takes over: {predicted:.0%} of the pixels are predicted {hue(AB[top])} "
        f"(ab {a:g}, {b:g}), and {true:.0%} are; {advice}"
    )


def _collapsed(mean: Array, left: float) -> str:
    name = hue(mean)
    what = "gray" if name == "gray" else f"the same {name}"
    if name == "gray":
        advice = "take more steps, a lower gamma, or begin from trained weights"
    else:
        advice = "try a lower lr, or begin from trained weights"
    return (
        f"every photo becomes {what} (ab {mean[0]:.0f}, {mean[1]:.0f}): the colours vary by "
        f"{left:.1%} of what the photos' do; {advice}"
    )
