"""All metrics of pictures together."""

from metric import ab_error
from metric.auc import AuC
from metric.colourfulness import Colourfulness
from metric.psnr import PSNR
from metric.rmse import RMSE
from metric.ssim import SSIM


class Suite:
    """AuC, RMSE of ab, PSNR, SSIM and colourfulness of the same pictures; mergeable.

    A few kilobytes that pickle. One per picture, merged in the pictures' order, has totals that do
    not depend on which process saw which picture, to the last bit. `shares` and `strict` are AuC's.
    """

    def __init__(self, shares=None, strict=False):
        self.auc, self.rmse = AuC(shares, strict), RMSE()
        self.others = PSNR(), SSIM(), Colourfulness()

    def update(self, photo, result):
        """Add a picture: (H, W, 3) uint8 each. Raises ValueError for different shapes."""
        for error, bins in ab_error.between(photo, result):
            self.auc.count(error, bins)
            self.rmse.count(error)
        for metric in self.others:
            metric.update(photo, result)

    def merge(self, other):
        """Add what `other` has seen."""
        self.auc.merge(other.auc)
        self.rmse.merge(other.rmse)
        for mine, theirs in zip(self.others, other.others):
            mine.merge(theirs)

    def error(self):
        """RMSE of ab so far, CIELAB units: of one picture if it was updated once."""
        return self.rmse.compute()["rmse_ab"]

    def curve(self):
        """AuC's curves, {"raw": (151,), "rebalanced": (151,)}."""
        return self.auc.curve()

    def compute(self):
        """Every figure by its name, a flat dict; AuC's are auc_raw and auc_rebalanced."""
        figures = {f"auc_{name}": value for name, value in self.auc.compute().items()}
        for metric in (self.rmse, *self.others):
            figures |= metric.compute()
        return figures
