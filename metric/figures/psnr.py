"""Peak signal-to-noise ratio of sRGB."""

import math

import numpy as np

from cic.system.arrays import Bytes
from metric.figures.sums import Sums, Values, ratio

PEAK = 255


class PSNR(Sums):
    """Mean over pictures of 10 log10(255^2 / mean square error of sRGB), decibels; mergeable.

    A result identical to its photo has no finite PSNR and one such would make the mean infinite: it
    is counted apart, as `identical`, and the mean is over the others; infinite if there are none.
    """

    COLUMNS = ("decibels", "different", "identical")

    def update(self, photo: Bytes, result: Bytes) -> None:
        """Add a picture: (H, W, 3) uint8 each."""
        difference = np.subtract(photo, result, dtype=np.float32).ravel()
        # float32 holds the squares exactly, not their sums.
        error = float(np.square(difference, out=difference).mean(dtype=np.float64))
        if error:
            self.add(10 * math.log10(PEAK**2 / error), 1, 0)
        else:
            self.add(0, 0, 1)

    @staticmethod
    def of(sums: Values) -> Values:
        """Return {"psnr": dB, "identical": number of pictures}."""
        different = sums["different"]
        psnr = np.where(np.equal(different, 0), np.inf, ratio(sums["decibels"], different))
        return {"psnr": psnr, "identical": np.rint(sums["identical"]).astype(np.int64)}
