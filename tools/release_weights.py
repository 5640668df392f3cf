"""Turn a training checkpoint into weights to hand out: kernels in float16, no optimizer.

python tools/release_weights.py model/epoch_latest_model.safetensors compact.safetensors
python tools/release_weights.py model/epoch_best_model.safetensors best.safetensors
python tools/release_weights.py model/epoch_20_model.safetensors after20.safetensors

They are the average of the weights, if the run kept one.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np

from cic import checkpoint, console


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("source", help="checkpoint of a training run")
    add("target", help="file to write")
    add("--temperature", type=float, default=0.38, help="for decoding, kept in the file (0.38)")
    add(
        "--size",
        type=console.positive,
        default=256,
        help="short side for the network, kept in the file (256)",
    )
    return parser.parse_args()


def main():
    args = parse_arguments()
    network, weights, meta = checkpoint.load_weights(args.source)
    # Norms stay in float32: a running variance can exceed float16's 65504, and they are few.
    weights = {n: a.astype(np.float16) if a.ndim > 1 else a for n, a in weights.items()}
    settings = {"size": args.size, "temperature": args.temperature}
    kept = {key: meta[key] for key in ("recipe", "seed", "step") if key in meta}
    facts = checkpoint.network_meta(network) | kept | {"colorize": settings}
    checkpoint.save(args.target, weights, facts)
    print(f"{args.target}: {os.path.getsize(args.target) / 1e6:.1f} MB")


if __name__ == "__main__":
    console.run(main)
