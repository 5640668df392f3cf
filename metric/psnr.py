"""Peak signal-to-noise ratio of sRGB."""

import math

import numpy as np

PEAK = 255


class PSNR:
    """Mean over pictures of 10 log10(255^2 / mean square error of sRGB), decibels; mergeable.

    A result identical to its photo has no finite PSNR and one such would make the mean infinite: it
    is counted apart, as `identical`, and the mean is over the others; infinite if there are none.
    """

    def __init__(self):
        self.decibels, self.pictures, self.identical = 0.0, 0, 0

    def update(self, photo, result):
        """Add a picture: (H, W, 3) uint8 each."""
        difference = np.subtract(photo, result, dtype=np.float32).ravel()
        # float32 holds the squares exactly, not their sums.
        error = float(np.square(difference, out=difference).mean(dtype=np.float64))
        if error:
            self.decibels += 10 * math.log10(PEAK**2 / error)
            self.pictures += 1
        else:
            self.identical += 1

    def merge(self, other):
        """Add what `other` has seen."""
        self.decibels += other.decibels
        self.pictures += other.pictures
        self.identical += other.identical

    def compute(self):
        """{"psnr": dB, "identical": number of pictures}."""
        psnr = self.decibels / self.pictures if self.pictures else math.inf
        return {"psnr": psnr, "identical": self.identical}
