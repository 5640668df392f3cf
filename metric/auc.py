"""Area under the curve of ab errors (paper, section 3.1): raw, rebalanced, and balanced.

python -m metric.auc --imgs_dir photos/val --results_dir result --save_path figures
python -m metric.auc --imgs_dir val --results_dir result --save_path small --resize 256 --crop 256
python -m metric.auc --imgs_dir val --results_dir result --save_path figures --prior prior.npy

Prints the figures beside those of all-gray pictures, of the colours of random other photos, and of
the truth, each with a 95 % interval, and what one photo alone holds of all weight. Writes auc.json,
auc.txt, auc.png (the curves), auc_weight.png (who holds the weight) and auc.npz (the sums of each
photo, for metric.compare). `python -m metric.report` does the same for all metrics of pictures.
"""

from cic.system import console
from metric import report


def main():
    return report.run(report.parse_arguments(__doc__), "auc")


if __name__ == "__main__":
    console.run(main)
