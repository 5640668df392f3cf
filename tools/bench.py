"""Measure how much faster and smaller this is than the straightforward way, side by side.

python tools/bench.py --output bench.md --json bench.json
python tools/bench.py photo album
python tools/bench.py --quick

Both ways alternate in the same run; times are medians, so the ratios compare between machines
although the times do not. What a person waits for is measured idle and beside a process that
keeps a core busy, which is started here: let nothing else compute. Needs Linux, scikit-learn, and
for some lines both frameworks; `clone` needs git, make and a package index.
"""

import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tqdm import tqdm

from cic.system import console
from cic.system.errors import SettingError
from cic.system.files import replacing
from tools.benchmark import colorizing, core, measures, reading, serving, training, waiting
from tools.benchmark.measuring import machine

MEASURED = (
    core.encode, core.lab, core.sample, reading.shards, reading.draft, training.loss,
    training.step, training.waiting, reading.prune, colorizing.colorize,
    measures.auc, measures.measuring, waiting.photo, waiting.album, waiting.session,
    waiting.memory, waiting.shares, waiting.clone, serving.serving,
)  # fmt: skip
HEAD = "what", "straightforward", "ours", "ratio", "aim"
LINES = {function.__name__: function for function in MEASURED}  # (repeats, folder) -> rows


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help=f"lines to measure, of {', '.join(LINES)} (all)")
    add("--quick", action="store_true", help="one repeat, to see that it runs")
    add("--output", help="file for the table, Markdown")
    add("--json", help="file for the same to be read by machines")
    return parser.parse_args()


def main():
    args = parse_arguments()
    unknown = set(args.names) - set(LINES)
    if unknown:
        raise SettingError(f"no line is called {unknown.pop()!r}; there are {', '.join(LINES)}")
    rows = []
    for name in tqdm(args.names or LINES, unit="line"):
        with tempfile.TemporaryDirectory() as folder:
            rows += LINES[name](1 if args.quick else 5, folder)
    facts = machine()
    text = table(rows, facts)
    print(text)
    if args.output:
        save(args.output, text)
    if args.json:
        found = {"machine": facts, "rows": [row._asdict() for row in rows]}
        save(args.json, json.dumps(found, indent=1) + "\n")


def table(rows, facts):
    """Rows as a table, and facts as a list, in Markdown."""
    cells = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([*lines, "", *(f"- {fact}" for fact in facts), ""])


def save(name, text):
    with replacing(name) as path, open(path, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    console.run(main)
