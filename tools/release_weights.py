"""Turn a training checkpoint into weights to hand out: kernels in float16, no optimizer.

python tools/release_weights.py model/epoch_latest_model.safetensors fpn.safetensors
python tools/release_weights.py model/epoch_best_model.safetensors best.safetensors
python tools/release_weights.py model/epoch_20_model.safetensors twenty.safetensors --saturation 1.1

They are the average of the weights, if the run kept one. How photos are coloured with them, if
nothing else is asked for, is kept in the file.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np

from cic.colorize import settings
from cic.system import console
from cic.weights import checkpoint, reading

KEPT = ("recipe", "seed", "step", "prior_fingerprint", "bin_weights")


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("source", help="checkpoint of a training run")
    add("target", help="file to write")
    settings.add_flags(parser, more=True)
    return parser.parse_args()


def main():
    args = parse_arguments()
    network, weights, meta = reading.load_weights(args.source)
    # Norms stay in float32: a running variance can exceed float16's 65504, and they are few.
    weights = {n: a.astype(np.float16) if a.ndim > 1 else a for n, a in weights.items()}
    kept = {key: meta[key] for key in KEPT if key in meta}
    try:
        chosen = settings.of_weights(meta).but(**settings.changes(args, more=True))
    except ValueError as error:
        raise checkpoint.CheckpointError(f"{args.source}: {error}") from None
    facts = checkpoint.network_meta(network) | kept | {"colorize": chosen.facts()}
    checkpoint.save(args.target, weights, facts)
    print(f"{args.target}: {os.path.getsize(args.target) / 1e6:.1f} MB")


if __name__ == "__main__":
    console.run(main)
