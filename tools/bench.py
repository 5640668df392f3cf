"""Measure how much faster and smaller this is than the straightforward way, side by side.

python tools/bench.py --output bench.md
python tools/bench.py --quick encode lab
python tools/bench.py --quick

Both ways alternate in the same run; times are medians, so the ratios compare between machines
although the times do not. Needs Linux, scikit-learn, and for some lines both frameworks.
"""

import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tqdm import tqdm

from cic.system import console
from cic.system.errors import SettingError
from cic.system.files import replacing
from tools.benchmark import colorizing, core, measures, reading, training
from tools.benchmark.measuring import Row, machine

MEASURED = (
    core.encode, core.lab, core.sample, reading.shards, reading.draft, training.loss,
    training.step, training.waiting, reading.prune, colorizing.colorize,
    measures.auc, measures.measuring,
)  # fmt: skip
LINES = {function.__name__: function for function in MEASURED}  # (repeats, folder) -> rows


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help=f"lines to measure, of {', '.join(LINES)} (all)")
    add("--quick", action="store_true", help="one repeat, to see that it runs")
    add("--output", help="file for the table, Markdown")
    return parser.parse_args()


def main():
    args = parse_arguments()
    unknown = set(args.names) - set(LINES)
    if unknown:
        raise SettingError(f"no line is called {unknown.pop()!r}; there are {', '.join(LINES)}")
    rows = [Row("what", "straightforward", "ours", "ratio", "aim"), Row(*5 * ["---"])]
    for name in tqdm(args.names or LINES, unit="line"):
        with tempfile.TemporaryDirectory() as folder:
            rows += LINES[name](1 if args.quick else 5, folder)
    table = [f"| {' | '.join(row)} |" for row in rows]
    text = "\n".join([*table, "", *(f"- {fact}" for fact in machine()), ""])
    print(text)
    if args.output:
        with replacing(args.output) as path, open(path, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    console.run(main)
