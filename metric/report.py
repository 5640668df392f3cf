"""All figures of colorized photos at once: AuC, RMSE of ab, PSNR, SSIM, colourfulness.

python -m metric.report --imgs_dir photos/val --results_dir result --save_path figures
python -m metric.report --imgs_dir val --results_dir new --save_path small --resize 256 --crop 256
python -m metric.report --imgs_dir val --results_dir result --save_path figures --prior prior.npy

Results are paired with photos by relative path, extensions aside; all must be there, each as large
as its photo. A gray photo has no colour to find, but counts; transparency is ignored. Beside the
results come the same photos all gray, with the colours of random other photos, and the truth. Each
figure has a 95 % interval, by bootstrap over the photos, and differences from all gray have paired
ones. Writes report.json, with a protocol card, report.txt (the tables), report.png (AuC's curves),
report_weight.png (how much of AuC's weight few photos hold) and report.npz (the sums of each photo,
with which metric.compare sets a run against another).
"""

import os

from tqdm import tqdm

from cic.colour import prior, rebalance
from cic.colour.lab import rgb_to_lab
from cic.system import console, files
from cic.system.errors import InputError
from cic.system.parallel import Pool
from metric import baselines, curve, heaviest, pairs, protocol, record
from metric.figures import auc, suite
from metric.ledger import Ledger, name_from, pack
from metric.summary import summarize

RESULT = "colorized"
NOTES = {  # what is said of some photos
    "gray_photos": "are gray, with no colour to find",
    "with_transparency": "have transparency, which is ignored",
}
METRICS = {"auc": auc.AuC, "figures": suite.Suite}  # by the figures' name in the JSON file
ENDINGS = (".json", ".txt", ".png", "_weight.png", ".npz")  # of the files


def parse_arguments(description=__doc__):
    parser = console.parser(description)
    add = parser.add_argument
    add("--imgs_dir", required=True, help="the true photos, searched at any depth")
    add("--results_dir", required=True, help="the colorized photos, same paths and stems")
    add("--save_path", required=True, help="folder for the figures")
    add("--prior", help=".npy file that rebalances (the bundled prior)")
    add("--resize", type=console.positive, help="shrink both to this short side first")
    add("--crop", type=console.positive, help="then take the middle square of this side of both")
    add("--seed", type=console.seed, default=0, help="of the random baseline (%(default)s)")
    add(
        "--seed_compatible",
        action="store_true",
        help="AuC as Paddle-CIC counts: error < threshold; a perfect picture has 99.67 %%",
    )
    console.add_num_workers(parser)
    console.add_max_pixels(parser)
    return parser.parse_args()


def measure(pair_list, metric, options=(), cut=pairs.WHOLE, seed=0, workers=0):
    """({row: Ledger}, {note: paths}, see NOTES) of all pairs, with a progress bar.

    `metric(*options)` is made for every picture of every row: the results', the baselines'. The
    totals do not depend on the number of workers; photos' names are their paths. Raises
    images.PhotoError, naming the file.
    """
    totals, notes = {}, {name: [] for name in NOTES}
    jobs = [
        (pair, None if donor is None else pair_list[donor].photo)
        for pair, donor in zip(pair_list, baselines.donors(len(pair_list), seed))
    ]
    with Pool(workers, measure_pair, metric, options, cut) as pool:
        results = tqdm(pool.map(jobs), total=len(jobs), unit="photo")
        for (rows, is_gray, has_alpha), pair in zip(results, pair_list):
            for name, measured in rows.items():
                totals.setdefault(name, Ledger(metric(*options))).add(pair.photo, measured)
            notes["gray_photos"] += [pair.photo] * is_gray
            notes["with_transparency"] += [pair.result] * has_alpha
    return totals, notes


def measure_pair(metric, options, cut, job):
    """({row: metric}, whether it is gray, whether it has transparency) of (Pair, donor's path)."""
    pair, donor = job
    photo, result, has_alpha = cut.read_pair(pair)
    pictures = {RESULT: result} | baselines.pictures(photo, donor and cut.read(donor)[0])
    rows = {}
    for name, picture in pictures.items():
        rows[name] = metric(*options)
        rows[name].update(photo, picture)
    return rows, rebalance.is_gray(rgb_to_lab(photo)[..., 1:]), has_alpha


def refuse_outputs(paths, folders):
    """Raise ValueError or OSError, before any work, if a file to write is no good."""
    refusal = "would be among the pictures: choose another --save_path"
    files.check_outside(paths, folders, refusal)


def read_prior(path):
    """Shares (313,) of a prior that AuC can divide by; raises ValueError, naming the file."""
    shares = prior.read(path)
    try:
        rebalance.weights(shares, gamma=0)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return shares


def run(args, key="figures"):
    """Measure with METRICS[key], write the files, print the table."""
    stem = os.path.join(args.save_path, "auc" if key == "auc" else "report")
    paths = [stem + ending for ending in ENDINGS]
    refuse_outputs(paths, [args.imgs_dir, args.results_dir])
    shares = read_prior(args.prior) if args.prior else prior.default()
    cut = pairs.Cut(args.resize, args.crop)
    found = pairs.find(args.imgs_dir, args.results_dir)
    options = shares, args.seed_compatible
    measured, notes = measure(found, METRICS[key], options, cut, args.seed, args.num_workers)
    name_from(measured, args.imgs_dir)
    card = protocol.card(len(found), cut, args.seed, args.seed_compatible, args.prior)
    card |= {name: len(noted) for name, noted in notes.items()}
    contents, figures = rendered(key, measured, card)
    record.write(dict(zip(paths, contents)))
    print(figures.text(), end="")
    heaviest.warn_of(figures.heaviest)
    show_notes(notes, len(found))
    print(f"have a look at {stem}.png")


def rendered(key, ledgers, card):
    """(what the files of ENDINGS hold, Summary) of {row: Ledger}.

    The JSON has the figures by the name `key` and the protocol card.
    """
    found = summarize(ledgers)
    curves = {name: ledger.total.curve() for name, ledger in ledgers.items()}
    facts = {"photos": found.photos, key: found.figures, **found.facts()}
    contents = (
        record.dumps(facts | {"curves": curves, "protocol": card}),
        found.text(),
        curve.png(curves),
        heaviest.png(next(iter(ledgers.values()))),
        pack(ledgers, protocol.conditions(card)),
    )
    return contents, found


def show_notes(notes, count):
    """Print a line for each of {note: paths}, of `count` photos, that has any."""
    for name, paths in notes.items():
        if paths:
            print(f"note: {len(paths)} of {count} {NOTES[name]}: {pairs.named(paths)}")
    if count == 1:
        print("note: there is no other photo whose colours could be taken: no random ab")


def main():
    return run(parse_arguments())


if __name__ == "__main__":
    console.run(main)
