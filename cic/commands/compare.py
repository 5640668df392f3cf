"""Compare two measured runs: differences of their figures, with paired intervals.

cic compare figures/evaluation.npz others/evaluation.npz
cic compare figures/evaluation.npz
cic compare figures/evaluation.npz others/evaluation.npz --save_path difference

The files are those that cic evaluate, cic report, cic auc and cic acc write beside their JSON; both
runs must have measured the same photos alike. Every row of the first, baselines aside, is compared
with every row of the second; with one file, its own rows are compared with each other. The 95 %
interval of a difference is by bootstrap over photos and paired: each draw takes the same photos of
both runs, so it is narrower than the figures' own intervals suggest. With --save_path it writes
compare.json.
"""

import argparse
import os
from collections.abc import Sequence

from cic.system import console, files
from metric import comparing, record


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__, "compare")
    parser.add_argument("run", help="the .npz of a run")
    parser.add_argument("other", nargs="?", help="that of another run, of the same photos")
    parser.add_argument("--save_path", help="folder for compare.json")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = parser().parse_args(argv)
    target = args.save_path and os.path.join(args.save_path, "compare.json")
    if target:
        files.check(target)
    paths = [path for path in (args.run, args.other) if path]
    photos, found = comparing.compare(*paths)
    if args.other:
        print(f"A: {args.run}\nB: {args.other}")
    print(f"{photos} photos; in brackets: 95 % intervals, those of differences paired")
    for pair in found:
        print("\n" + comparing.text_of(pair), end="")
    if target:
        record.write({target: record.dumps({"photos": photos, "files": paths, "pairs": found})})
