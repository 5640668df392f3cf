"""Measuring colorized photos, beside Paddle-CIC's steps, and by two processes beside one."""

import os

import numpy as np
from skimage import color

from cic.colour import prior
from cic.photos import images
from metric import pairs
from metric.figures import suite
from metric.figures.auc import AuC
from metric.measuring import measure
from tools.benchmark.measuring import alternate, compared, seconds, within
from tools.benchmark.photographs import photograph

PHOTOS = 40  # in a folder to be measured
NEAR = 1e-9  # of one AuC computed in two ways


def straightforward_auc(photo, result):
    """Raw AuC, percent, of two (H, W, 3) uint8 pictures by the steps of Callifrey/Paddle-CIC."""
    table = np.zeros(200)
    error = np.square(color.rgb2lab(photo)[..., 1:] - color.rgb2lab(result)[..., 1:])
    for row in np.sqrt(error.sum(2)):
        for distance in row:
            table[int(distance) + 1] += 1
    share = np.cumsum(table[:151]) / photo[..., 0].size
    return 100 * sum((share[i] + share[i + 1]) / 2 for i in range(150)) / 150


def our_auc(photo, result):
    """The same by metric.auc."""
    auc = AuC(strict=True)
    auc.update(photo, result)
    return auc.compute()["raw"]


def auc(repeats, folder):
    """AuC of a pair of 256 x 256 pictures in memory."""
    photo = np.asarray(photograph((256, 256)))
    pair = photo, np.asarray(photograph((256, 256)).rotate(1).point(lambda value: 0.9 * value))
    times = alternate(
        lambda: straightforward_auc(*pair), lambda: our_auc(*pair), 2 * repeats, calls=2
    )
    what = "AuC of a pair of 256 x 256, Paddle-CIC's steps"
    theirs, ours = straightforward_auc(*pair), our_auc(*pair)
    shown = f"{theirs:.10f}", f"{ours:.10f}"
    return [
        compared(what, *times, seconds, 8),
        within(f"{what}: difference", *shown, abs(theirs - ours), NEAR),
    ]


def measuring(repeats, folder):
    """All figures of a folder of photos, in one process and in two."""
    places = [os.path.join(folder, name) for name in ("photos", "results")]
    for number in range(PHOTOS):
        photo = photograph((384, 256)).rotate(number)
        for place, picture in zip(places, (photo, photo.point(lambda value: 0.9 * value))):
            images.write(os.path.join(place, f"{number}.png"), np.asarray(picture))
    found = pairs.find(*places)
    options = prior.default(), False
    ways = [lambda n=n: measure(found, suite.Suite, options, workers=n) for n in (1, 2)]
    times = alternate(*ways, repeats)
    what = f"metric.report of {PHOTOS} photos of 384 x 256, one process; two"
    return [compared(what, *times, seconds)]
