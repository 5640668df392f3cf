"""Train a colorization network on folders of photos, under PaddlePaddle or PyTorch.

python tools/train.py --image_dir photos/train --model_path model --recipe compact
"""

import argparse
import json
import os
import sys
from contextlib import ExitStack
from dataclasses import MISSING, fields

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import backends
from cic import checkpoint, console, networks, rebalance, recipes, training
from cic.dataset import Order, PhotoDataset
from cic.initialize import initialize
from cic.loader import Loader

HELP = {
    "network": f"network to train: {', '.join(networks.names())}",
    "load_size": "short side that photos are shrunk to, pixels",
    "crop_size": "side of the square that is cut out, pixels",
    "batch_size": "photos a step, over all processes",
    "num_epochs": "times that every photo is seen",
    "lr": "learning rate at the start",
    "schedule": f"how the learning rate falls: {', '.join(recipes.SCHEDULES)}",
    "lr_step": "schedule step: steps between drops",
    "lr_factor": "schedule step: factor of each drop",
    "beta1": "Adam's first decay",
    "beta2": "Adam's second decay",
    "weight_decay": "coupled L2 penalty",
    "NN": "bins a pixel's colour is shared out to",
    "sigma": "width of that sharing, CIELAB units",
    "gamma": "share of the uniform distribution in the rebalancing prior: 1 is none at all",
    "rebalance": "weigh rare colours more",
}


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("--image_dir", nargs="+", required=True, help="folders of photos, searched at any depth")
    add("--val_dir", nargs="+", help="folders of photos to evaluate on after every epoch")
    add("--model_path", default="model", help="folder for the checkpoints (%(default)s)")
    add("--log_path", help="folder for log.jsonl (the checkpoints' folder)")
    add(
        "--recipe",
        default="full",
        choices=recipes.names(),
        help="settings to start from (%(default)s)",
    )
    add("--weights", help="weights to start from, a checkpoint of the same network")
    add("--prior", help="prior of the ab bins, .npy (the bundled one)")
    add("--max_steps", type=console.positive, help="make so many steps instead of epochs")
    add("--continue_train", action="store_true", help="go on from a checkpoint in --model_path")
    add("--which_epoch", default=training.LATEST, help="the checkpoint to go on from (%(default)s)")
    add(
        "--save_latest",
        type=console.positive,
        default=2000,
        help="steps between checkpoints (%(default)s)",
    )
    add(
        "--loss_step",
        type=console.positive,
        default=10,
        help="steps between lines of the log (%(default)s)",
    )
    add(
        "--seed",
        type=console.natural,
        default=0,
        help="of the first weights, the order and the crops",
    )
    backends.add_flags(parser)
    add("--precision", default="float32", help="float32, bf16 or float64 (%(default)s)")
    add(
        "--num_workers",
        type=console.natural,
        default=2,
        help="processes that read photos (%(default)s)",
    )
    add("--option", action="append", default=[], help="of the network, KEY=VALUE: width=0.5")
    group = parser.add_argument_group(
        "recipe", "each replaces what the recipe has; in brackets, what recipe full has"
    )
    for field in fields(recipes.Recipe):
        if field.name in HELP:
            kind = {"type": console.positive if field.type is int else field.type}
            if field.type is bool:
                kind = {"action": argparse.BooleanOptionalAction}
            shown = "" if field.default is MISSING else f" ({field.default})"
            group.add_argument(f"--{field.name}", help=HELP[field.name] + shown, **kind)
    return parser.parse_args()


def read_recipe(args):
    recipe = recipes.get(args.recipe)
    options = dict(recipe.options)
    for option in args.option:
        key, _, value = option.partition("=")
        try:
            options[key] = json.loads(value)
        except ValueError:
            raise ValueError(f"--option {option}: write width=0.5 or extra_relu=true") from None
    changes = {name: getattr(args, name) for name in HELP if getattr(args, name) is not None}
    return recipes.get(args.recipe, options=options, **changes)


def count_steps(args, recipe, order):
    steps = recipe.num_epochs * order.steps_per_epoch
    if args.max_steps is None:
        return steps
    return args.max_steps if args.num_epochs is None else min(steps, args.max_steps)


def first_state(args, network):
    if not args.weights:
        return initialize(network, args.seed)
    other, state, _ = checkpoint.load_weights(args.weights)
    checkpoint.check(network, state, args.weights)
    if other != network:
        raise ValueError(f"{args.weights}: weights of {other}, not of {network}")
    return state


def main():
    args = parse_arguments()
    recipe = read_recipe(args)
    network = networks.get(recipe.network, **recipe.options)
    prior = rebalance.read_prior(args.prior) if args.prior else rebalance.default_prior()
    bin_weights = rebalance.weights(prior, recipe.gamma) if recipe.rebalance else None
    settings = (recipe.load_size, recipe.crop_size, recipe.NN, recipe.sigma, bin_weights, args.seed)
    dataset = PhotoDataset(args.image_dir, network, *settings)
    order = Order(len(dataset), recipe.batch_size, args.seed)
    steps = count_steps(args, recipe, order)

    backend = backends.get(args.backend)
    facts = {
        "backend": backend.NAME,
        "precision": args.precision,
        "seed": args.seed,
        "photos": len(dataset),
        "batch_size": recipe.batch_size,
        "weights": args.weights,
        "prior": args.prior,
    }
    checkpoints = training.Checkpoints(args.model_path, network, recipe, facts)
    if os.path.exists(checkpoints.path()) and not args.continue_train:
        raise ValueError(
            f"{args.model_path} holds a run: add --continue_train to go on with it, "
            "or choose another --model_path"
        )
    state = first_state(args, network)
    trainer = backend.Trainer(network, recipe, state, args.device, args.precision)
    start = checkpoints.resume(trainer, args.which_epoch) if args.continue_train else 0
    print(
        f"{network} of {network.parameter_count:,} parameters, {backend.NAME} on {trainer.device}; "
        f"{len(dataset):,} photos, steps {start:,} to {steps:,}",
        file=sys.stderr,
    )

    with ExitStack() as stack:
        loader = stack.enter_context(Loader(dataset, order, args.num_workers))
        validation = None
        if args.val_dir:
            held_out = PhotoDataset(args.val_dir, network, *settings, augment=False)
            held_order = Order(len(held_out), recipe.batch_size, shuffle=False)
            validation = stack.enter_context(Loader(held_out, held_order, args.num_workers))
        figures = training.train(
            trainer,
            recipe,
            loader,
            steps,
            checkpoints,
            os.path.join(args.log_path or args.model_path, "log.jsonl"),
            start,
            validation,
            args.loss_step,
            args.save_latest,
        )
    print(json.dumps(figures, allow_nan=False))


if __name__ == "__main__":
    console.run(main)
