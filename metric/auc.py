"""Area under the curve of ab errors (paper, section 3.1), raw and class-rebalanced.

python -m metric.auc --imgs_dir photos/val --results_dir result --save_path figures
"""

import json
import os

import numpy as np
from tqdm import tqdm

from cic import console, images, prior, rebalance, sources
from cic.encode import soft_encode
from cic.files import replacing
from cic.lab import rgb_to_lab

THRESHOLDS = 151  # 0, 1, ... 150 CIELAB units


class AuC:
    """Share of pixels whose ab error is within each threshold 0 ... 150; mergeable.

    `raw` weighs pixels equally, `rebalanced` by the inverse prior of the true colour (lambda 0, the
    paper's; `shares` (313,) is the prior, by default the bundled one).
    """

    def __init__(self, shares=None):
        shares = prior.default() if shares is None else shares
        self.bin_weights = rebalance.weights(shares, gamma=0).astype(np.float64)
        self.within = np.zeros((2, THRESHOLDS))  # summed weights, raw and rebalanced
        self.total = np.zeros(2)

    def update(self, true, predicted):
        """Add pixels: true and predicted ab, (..., 2) each, CIELAB units."""
        error = np.hypot(*np.moveaxis(np.asarray(true) - predicted, -1, 0)).ravel()
        first = np.ceil(error).astype(
            np.int64
        )  # the first whole threshold that the error is within
        weight = self.bin_weights[soft_encode(true, neighbors=1)[0].ravel()]
        for row, weights in enumerate((None, weight)):
            counts = np.bincount(first, weights, THRESHOLDS)
            self.within[row] += np.cumsum(counts[:THRESHOLDS])
            self.total[row] += counts.sum()

    def merge(self, other):
        """Add what `other` has seen."""
        self.within += other.within
        self.total += other.total

    def compute(self):
        """{"raw": ..., "rebalanced": ...}, percent: trapezoids over the thresholds, normalised."""
        curves = self.within / self.total[:, None]
        areas = (curves[:, 1:] + curves[:, :-1]).mean(1) / 2
        return dict(zip(("raw", "rebalanced"), (100 * areas).tolist()))


def pair_files(imgs_dir, results_dir):
    """(photo, result) paths by relative path without extension.

    Raises ValueError, naming the first, for a result without a photo, or if there are none.
    """
    photos = {os.path.splitext(name)[0]: name for name in sources.walk(imgs_dir)}
    pairs = []
    for name in sources.walk(results_dir):
        stem = os.path.splitext(name)[0]
        if stem not in photos:
            raise ValueError(f"{os.path.join(results_dir, name)}: no such photo in {imgs_dir}")
        pairs.append((os.path.join(imgs_dir, photos[stem]), os.path.join(results_dir, name)))
    if not pairs:
        raise ValueError(f"{results_dir}: no photo in there")
    return pairs


def measure(pairs):
    """{"colorized": AuC, "all gray": AuC} over (photo, result) files of equal sizes."""
    figures = {"colorized": AuC(), "all gray": AuC()}
    for photo, result in tqdm(pairs, unit="photo"):
        true, coloured = (rgb_to_lab(images.read(path))[..., 1:] for path in (photo, result))
        if true.shape != coloured.shape:
            raise ValueError(f"{result}: {coloured.shape[:2]} beside a photo of {true.shape[:2]}")
        figures["colorized"].update(true, coloured)
        figures["all gray"].update(true, np.zeros_like(true))
    return figures


def main():
    parser = console.parser(__doc__)
    parser.add_argument("--imgs_dir", required=True, help="the true photos")
    parser.add_argument("--results_dir", required=True, help="the colorized photos, same stems")
    parser.add_argument("--save_path", required=True, help="folder for auc.json")
    args = parser.parse_args()
    pairs = pair_files(args.imgs_dir, args.results_dir)
    figures = {name: auc.compute() for name, auc in measure(pairs).items()}
    print("AuC in percent, higher is better")
    for name, row in figures.items():
        print(f"{name:12} raw {row['raw']:6.2f}   rebalanced {row['rebalanced']:6.2f}")
    target = os.path.join(args.save_path, "auc.json")
    with replacing(target) as fresh, open(fresh, "w", encoding="utf-8") as file:
        json.dump({"photos": len(pairs), "auc": figures}, file, indent=2)


if __name__ == "__main__":
    console.run(main)
