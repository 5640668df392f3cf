"""Train a network on folders of photos, under PaddlePaddle or PyTorch.

cic train --image_dir photos/train --model_path model --recipe compact
cic train --image_dir imagenet/train --model_path vgg --recipe vgg16-lab-fc
cic train --image_dir photos/train --model_path model --recipe compact --continue_train

The second trains a classifier: its photos lie in class folders.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

import backends
from cic import networks
from cic.system import console
from cic.training import plan, recipes, runs
from cic.training.losses import NEEDS
from cic.training.session import Session
from cic.training.trainer import PRECISIONS

HELP = {
    "network": f"network to train: {', '.join(networks.names())}",
    "loss": f"what is made small: {', '.join(NEEDS)}",
    "load_size": "short side that photos are shrunk to, pixels",
    "crop_size": "side of the square that is cut out, pixels",
    "batch_size": "photos a step, over all processes",
    "num_epochs": "times that every photo is seen",
    "lr": "learning rate at the start",
    "schedule": f"how the learning rate falls: {', '.join(recipes.SCHEDULES)}",
    "lr_step": "schedule step: steps between drops",
    "lr_epochs": "schedule epoch: epochs between drops",
    "lr_factor": "schedules step and epoch: factor of each drop",
    "optimizer": f"how steps are made: {', '.join(recipes.OPTIMIZERS)}",
    "momentum": "sgd: share of the last step in the next",
    "beta1": "Adam's first decay",
    "beta2": "Adam's second decay",
    "weight_decay": "L2 penalty; of adamw, the share that a step at learning rate 1 takes away",
    "NN": "bins a pixel's colour is shared out to",
    "sigma": "width of that sharing, CIELAB units",
    "gamma": "share of the uniform distribution in the rebalancing prior: 1 is none at all",
    "rebalance": "weigh rare colours more",
    "augment": "crop and mirror at random",
    "balance": "how even the places of --image_dir are drawn from: 0 by photos, 1 all alike",
    "crop_scale": "least area of a random crop, of the largest possible; 1: crops at --load_size",
    "ageing": "share of the inputs that are made to look like old scans",
    "target_mean": "learn the mean colour of each cell of the output, not that of one pixel",
    "keep_gray": "learn from gray photos, too, instead of passing them over",
    "weight_limit": "greatest weight of a colour by --rebalance, 0 for any",
    "distance": "share of the distance to the true colour in the loss, beside the cross-entropy",
    "init": "first weights: scaled to the data, or plain",
    "accumulate": "parts that a batch is computed in, one after the other, to save memory",
    "clip_norm": "greatest norm of all gradients together, 0 for any",
    "encoder_lr": "factor of the learning rate of the network's encoder",
    "freeze": "parts of the encoder, from the input, that are left as they are",
    "average": "decay of a moving average of all weights, which is what is used; 0 for none",
}


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__, "train")
    add = parser.add_argument
    add("--image_dir", nargs="+", required=True, help="folders of photos and tar shards")
    add("--val_dir", nargs="+", help="folders of photos to evaluate on after every epoch")
    add("--model_path", default="model", help="folder for the checkpoints (%(default)s)")
    add("--log_path", help="folder for log.jsonl (the checkpoints' folder)")
    add(
        "--check",
        action=argparse.BooleanOptionalAction,
        help="examine photos, memory and speed, say what to do, and stop (briefly before training)",
    )
    add("--board", metavar="FOLDER", help="log to VisualDL, too: pip install visualdl")
    add(
        "--recipe",
        default="full",
        choices=recipes.names(),
        metavar="NAME",
        help=f"settings to start from (%(default)s): {', '.join(recipes.names())}",
    )
    add("--weights", help="weights to start from, a checkpoint of the same network")
    add(
        "--encoder",
        metavar="FILE",
        help="weights to start the encoder from, a checkpoint of a network with the same one",
    )
    add(
        "--classes",
        metavar="FILE",
        help="class folders to tell apart, one a line, in the order of the outputs (all, sorted)",
    )
    add("--prior", help="prior of the ab bins, .npy (the bundled one)")
    add("--max_steps", type=console.positive, help="end after this many steps, not epochs")
    add(
        "--continue_train",
        nargs="?",
        const=True,
        default=False,
        choices=[plan.AUTO],
        help="go on from a checkpoint in --model_path; auto: begin, if there is none",
    )
    add(
        "--which_epoch",
        default=runs.LATEST,
        help="the checkpoint to go on from (%(default)s); those of later epochs are replaced",
    )
    add(
        "--save_latest",
        type=console.positive,
        metavar="STEPS",
        help="steps between checkpoints (as many as ten minutes have)",
    )
    add(
        "--keep",
        type=console.positive,
        default=5,
        help="checkpoints of epochs to keep, the newest (%(default)s)",
    )
    add(
        "--loss_step",
        type=console.positive,
        default=10,
        help="steps between lines of the log (%(default)s)",
    )
    add(
        "--seed",
        type=console.seed,
        default=0,
        help="of the first weights, the order and the crops",
    )
    backends.add_flags(parser)
    console.add_max_pixels(parser)
    add(
        "--precision",
        default="float32",
        choices=PRECISIONS,
        metavar="NAME",
        help=f"of the steps: {', '.join(PRECISIONS)} (%(default)s)",
    )
    add(
        "--num_workers",
        type=console.natural,
        default=plan.readers(),
        help="processes that read photos (%(default)s)",
    )
    console.add_option(parser)
    group = parser.add_argument_group(
        "recipe", "each replaces what the recipe has; in brackets, what recipe full has"
    )
    for field in fields(recipes.Recipe):
        if field.name in HELP:
            whole = console.natural if recipes.least_of(field) == 0 else console.positive
            kind: dict[str, Any] = {"type": whole if field.type is int else field.type}
            if field.type is bool:
                kind = {"action": argparse.BooleanOptionalAction}
            if choices := {"network": networks.names(), **recipes.CHOICES}.get(field.name):
                kind |= {"choices": list(choices), "metavar": "NAME"}
            shown = "" if field.default is MISSING else f" ({field.default})"
            group.add_argument(f"--{field.name}", help=HELP[field.name] + shown, **kind)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = vars(parser().parse_args(argv))
    backend, options = args.pop("backend"), console.options(args.pop("option"))
    del args["max_pixels"]  # it has been set
    run = Session(plan.plan(options=options, **args))
    figures = run.train(backends.get(backend, trains=True))
    if figures is not None:
        print(json.dumps(figures, allow_nan=False))
