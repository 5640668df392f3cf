"""Find the best decoding of weights: raw against balanced AuC of many, on photos held out.

python tools/frontier.py --image_dir photos/val --save_path figures
python tools/frontier.py --image_dir photos/val --save_path figures --weights new.safetensors
python tools/frontier.py --image_dir photos/val --save_path few --temperatures 1 --saturations 1 1.2

The network runs once a photo, and what it says is decoded in all combinations of temperature,
unweight, statistic and saturation. Prints those that none is better than in both figures, and
writes frontier.json (all of them), frontier.txt (the table) and frontier.png. Figures are those of
the cells that the network sees; tools/evaluate.py has those of full-size photos. What is chosen is
put into the weights by tools/release_weights.py.
"""

import os
import sys
from itertools import islice

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tqdm import tqdm

import backends
from cic.colour import prior
from cic.photos import images, sources
from cic.system import console, provenance
from cic.system.errors import InputError
from cic.weights import download, reading
from metric import frontier, record, report, table

FILES = ("frontier.json", "frontier.txt", "frontier.png")


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("--image_dir", required=True, help="folder of photos, searched at any depth")
    add("--save_path", required=True, help="folder for the figures")
    add("--weights", help="checkpoint (the bundled one)")
    backends.add_flags(parser)
    add(
        "--size",
        type=console.sizes,
        metavar="N[,N]",
        help="short side the network sees; of several the mean (the weights' own)",
    )
    add("--max_samples", type=console.positive, help="measure so many photos, the first")
    add("--prior", help=".npy file that balances AuC (the bundled prior)")
    grid = {
        "temperatures": (console.temperature, frontier.TEMPERATURES),
        "unweights": (console.share, None),
        "saturations": (console.saturation, frontier.SATURATIONS),
    }
    for name, (kind, values) in grid.items():
        shown = "0 0.15 0.3, if the weights can" if values is None else " ".join(map(str, values))
        add(
            f"--{name}", type=kind, nargs="+", metavar="X", default=values, help=f"to try ({shown})"
        )
    console.add_max_pixels(parser)
    return parser.parse_args()


def all_decodings(args, own):
    """[Decoding] of the arguments, `own` being that of the weights."""
    unweights = args.unweights
    if unweights is None:
        unweights = (0.0,) if own.bin_weights is None else frontier.UNWEIGHTS
    found = args.temperatures, unweights, args.saturations
    return frontier.decodings(own.bin_weights, *(dict.fromkeys(values) for values in found))


def measure(args, colorizer, names):
    """(what frontier.Frontier computes, messages of photos that cannot be read)."""
    shares = report.read_prior(args.prior) if args.prior else None
    found = frontier.Frontier(all_decodings(args, colorizer.settings.decoding), shares)
    problems = []
    for name in tqdm(names, unit="photo"):
        try:
            image = images.open_rgb(os.path.join(args.image_dir, name))
        except images.PhotoError as error:
            problems.append(str(error))
            tqdm.write(f"skipped: {error}", file=sys.stderr)
            continue
        found.update(colorizer.output(image), colorizer.light(image), colorizer.true_ab(image))
    if not found.photos:
        raise InputError(f"{args.image_dir}: no photo in there that can be read")
    return found.compute(), problems


def main():
    args = parse_arguments()
    paths = [os.path.join(args.save_path, name) for name in FILES]
    report.refuse_outputs(paths, [args.image_dir])
    colorizer = backends.colorizer(args.weights, args.backend, args.device, sizes=args.size)
    if not colorizer.has_distribution:
        raise InputError(f"{args.weights}: {colorizer.network} gives ab: there is no choice")
    names = list(islice(sources.walk(args.image_dir), args.max_samples))
    found, problems = measure(args, colorizer, names)
    file = args.weights or reading.default_path()
    facts = {
        "weights": os.path.basename(file),
        "sha256": download.sha256(file),
        "sizes": colorizer.settings.sizes,
        "prior": provenance.array_fingerprint(
            prior.read(args.prior) if args.prior else prior.default()
        ),
        "skipped": problems,
    }
    text = table.text(frontier.table(found))
    written = record.dumps(found | {"protocol": facts}), text, frontier.png(found)
    record.write(dict(zip(paths, written)))
    print(text, end="")
    print(f"have a look at {args.save_path}")
    return int(bool(problems))


if __name__ == "__main__":
    console.run(main)
