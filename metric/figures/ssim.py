"""Structural similarity of sRGB."""

import numpy as np

from cic.system.arrays import Bytes
from metric.figures.sums import Sums, Values, ratio

WINDOW = 11  # pixels of the window's side, of a Gaussian of sigma 1.5 (Wang et al., section III.C)


class SSIM(Sums):
    """Mean over pictures of the structural similarity of sRGB, at most 1; mergeable.

    scikit-image's with the settings of Wang et al. (IEEE TIP 13, 2004), mean over the channels. A
    side below the window's 11 pixels is extended to it by reflection.
    """

    COLUMNS = ("similarity", "pictures")

    def update(self, photo: Bytes, result: Bytes) -> None:
        """Add a picture: (H, W, 3) uint8 each."""
        from skimage.metrics import structural_similarity  # slow, and of the extra [measure]

        similarity = structural_similarity(  # type: ignore[no-untyped-call]
            _as_large_as_window(photo),
            _as_large_as_window(result),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=-1,
        )
        self.add(float(similarity), 1)

    @staticmethod
    def of(sums: Values) -> Values:
        """Return {"ssim": ...}."""
        return {"ssim": ratio(sums["similarity"], sums["pictures"])}


def _as_large_as_window(picture: Bytes) -> Bytes:
    height, width = (max(0, WINDOW - side) for side in picture.shape[:2])
    if not height and not width:
        return picture
    return np.pad(picture, ((0, height), (0, width), (0, 0)), mode="symmetric")
