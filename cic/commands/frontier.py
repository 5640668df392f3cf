"""Find the best decoding of weights: raw against balanced AuC of many, on held-out photos.

cic frontier --image_dir photos/val --save_path figures
cic frontier --image_dir photos/val --save_path figures --weights new.safetensors
cic frontier --image_dir photos/val --save_path few --temperatures 1 --saturations 1 1.2

The network runs once a photo, and its output is decoded in all combinations of temperature,
unweight, statistic and saturation. The command prints the combinations that no other beats in both
figures, and writes frontier.json (all of them), frontier.txt (the table) and frontier.png. Figures
are of the cells that the network sees; cic evaluate measures full-size photos. cic release puts
your choice into the weights.
"""

import argparse
import os
from collections.abc import Sequence

import backends
from cic.system import console, packages
from metric import choosing, frontier, measuring, record
from metric.choosing import Sweep

FILES = ("frontier.json", "frontier.txt", "frontier.png")


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__, "frontier")
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
    add("--max_samples", type=console.positive, help="measure only the first N photos", metavar="N")
    add("--prior", help=".npy file that balances AuC (the bundled prior)")
    grid = {
        "temperatures": (console.temperature, frontier.TEMPERATURES),
        "unweights": (console.fraction, None),
        "saturations": (console.saturation, frontier.SATURATIONS),
    }
    for name, (kind, values) in grid.items():
        shown = "0 0.15 0.3, if the weights can" if values is None else " ".join(map(str, values))
        add(
            f"--{name}", type=kind, nargs="+", metavar="X", default=values, help=f"to try ({shown})"
        )
    console.add_max_pixels(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int | None:
    args = parser().parse_args(argv)
    packages.need(*packages.MEASURE)
    paths = [os.path.join(args.save_path, name) for name in FILES]
    measuring.refuse_outputs(paths, [args.image_dir])
    colorizer = backends.colorizer(args.weights, args.backend, args.device, sizes=args.size)
    sweep = Sweep(
        args.image_dir,
        args.temperatures,
        args.unweights,
        args.saturations,
        args.prior,
        args.max_samples,
    )
    found = choosing.measure(sweep, colorizer)
    contents = choosing.rendered(found)
    record.write(dict(zip(paths, contents)))
    print(contents[1], end="")
    print(f"have a look at {args.save_path}")
    return int(bool(found["protocol"]["skipped"]))
