"""Turn a training checkpoint into weights to hand out: kernels in float16, no optimizer.

cic release model/epoch_latest_model.safetensors fpn.safetensors
cic release model/epoch_best_model.safetensors best.safetensors
cic release one.safetensors two.safetensors mean.safetensors --saturation 1.1

The weights are the run's moving average, if it kept one; several checkpoints give their mean. The
file keeps the default settings for colouring.
"""

import argparse
import os
from collections.abc import Sequence

from cic.colorize import release, settings
from cic.system import console


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__, "release")
    add = parser.add_argument
    add("source", nargs="+", help="checkpoint of a training run; of several their mean")
    add("target", help="file to write")
    settings.add_flags(parser, more=True)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = parser().parse_args(argv)
    release.release(args.source, args.target, **settings.changes(args, more=True))
    print(f"{args.target}: {os.path.getsize(args.target) / 1e6:.1f} MB")
