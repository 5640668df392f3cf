"""The baselines of every table: all gray, the colours of another photo, and the truth."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from cic.colour.lab import recolor, rgb_to_lab
from cic.system.arrays import Bytes
from cic.system.randomness import random_for

GRAY, RANDOM, TRUTH = "all gray", "random ab", "truth"


def donors(count: int, seed: int = 0) -> Sequence[int | None]:
    """Return [index of another photo, for each of `count`], all on one random circle; [None] for
    one.
    """
    if count == 1:
        return [None]
    order = random_for(seed).permutation(count)
    donor = np.empty(count, np.int64)
    donor[order] = np.roll(order, 1)
    return donor.tolist()


def pictures(photo: Bytes, donor: Bytes | None = None) -> dict[str, Bytes]:
    """Return {name: (H, W, 3) uint8} of a photo (H, W, 3) uint8; `donor` is another, of any size.

    All keep the photo's lightness (see `recolor`); ab is 0; that of the donor, if there is
    one, stretched to the photo's size; and the photo's own.

    >>> pictures(np.uint8([[[200, 100, 50]]]))["all gray"].tolist()
    [[[128, 128, 128]]]
    """
    height, width = photo.shape[:2]
    made = {GRAY: recolor(photo, np.zeros((height, width, 2), np.float32))}
    if donor is not None:
        stretched = Image.fromarray(donor).resize((width, height), Image.Resampling.BILINEAR)
        made[RANDOM] = recolor(photo, rgb_to_lab(np.asarray(stretched))[..., 1:])
    return made | {TRUTH: photo}
