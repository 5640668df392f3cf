"""Measure the area under the curve of ab errors: raw, rebalanced (paper, 3.1), balanced.

cic auc --imgs_dir photos/val --results_dir result --save_path figures
cic auc --imgs_dir val --results_dir result --save_path small --resize 256 --crop 256
cic auc --imgs_dir val --results_dir result --save_path figures --prior prior.npy

Prints the figures beside those of the baselines, all gray, the colours of random other photos and
the truth, each with a 95 % interval, and the share of all weight that a single photo holds. Writes
auc.json, auc.txt, auc.png (the curves), auc_weight.png (who holds the weight) and auc.npz (the sums
of each photo, for cic compare). `cic report` does the same for all metrics of pictures.
"""

import argparse
from collections.abc import Sequence

from cic.commands import report


def parser() -> argparse.ArgumentParser:
    return report.parser(__doc__ or "", "auc")


def main(argv: Sequence[str] | None = None) -> None:
    report.run(parser().parse_args(argv), "auc")
