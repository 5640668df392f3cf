"""All metrics of pictures together."""

from typing import Any

from cic.system.arrays import Array, Bytes, Doubles
from metric.figures import ab_error
from metric.figures.auc import AuC
from metric.figures.colourfulness import Colourfulness
from metric.figures.psnr import PSNR
from metric.figures.rmse import RMSE
from metric.figures.ssim import SSIM
from metric.figures.sums import Values, of_those, plain
from metric.figures.warmth import Warmth

OTHERS = (RMSE, PSNR, SSIM, Colourfulness, Warmth)  # but AuC, in the order of their figures


class Suite:
    """AuC, RMSE of ab, PSNR, SSIM, colourfulness and warmth of the same pictures; mergeable.

    A few kilobytes that pickle. One per picture, merged in the pictures' order, has totals that do
    not depend on which process saw which picture, to the last bit. `shares` and `strict` are AuC's.
    """

    def __init__(self, shares: Array | None = None, strict: bool = False) -> None:
        self.auc = AuC(shares, strict)
        # Any: each kind of metric takes pixels, or pictures, in its own way.
        self.others: dict[type, Any] = {kind: kind() for kind in OTHERS}

    def update(self, photo: Bytes, result: Bytes) -> None:
        """Add a picture: (H, W, 3) uint8 each. Raises ValueError for different shapes."""
        for block in ab_error.pixel_errors(photo, result):
            self.auc.count(block.error, block.bins)
            self.others[RMSE].count(block.error)
            self.others[Warmth].count(block.true, block.made)
        for kind in (PSNR, SSIM, Colourfulness):
            self.others[kind].update(photo, result)

    def merge(self, other: "Suite") -> None:
        """Add what `other` has seen."""
        self.auc.merge(other.auc)
        for kind, metric in self.others.items():
            metric.merge(other.others[kind])

    @property
    def sums(self) -> Values:
        """{column: number} of all of them."""
        found = self.auc.sums
        for metric in self.others.values():
            found |= metric.sums
        return found

    def error(self) -> float:
        """Return the RMSE of ab so far, CIELAB units: of one picture if it was updated once."""
        return self.others[RMSE].compute()["rmse_ab"]

    def curve(self) -> dict[str, Doubles]:
        """Return AuC's curves, {"raw": (151,), "rebalanced": (151,), "balanced": (151,)}."""
        return self.auc.curve()

    def compute(self) -> Values:
        """Return every figure by its name, a flat dict; AuC's are auc_raw, auc_rebalanced and so
        on.
        """
        return plain(self.of(self.sums))

    @staticmethod
    def of(sums: Values) -> Values:
        """Return {figure: number or array} of those metrics whose columns are in `sums`."""
        areas = of_those((AuC,), sums)
        return {f"auc_{name}": value for name, value in areas.items()} | of_those(OTHERS, sums)
