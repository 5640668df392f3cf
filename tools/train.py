"""Train a network on folders of photos, under PaddlePaddle or PyTorch.

python tools/train.py --image_dir photos/train --model_path model --recipe compact
python tools/train.py --image_dir imagenet/train --model_path vgg --recipe vgg16-lab-fc
python tools/train.py --image_dir photos/train --model_path model --recipe compact --continue_train

The second trains a classifier: its photos lie in class folders.
"""

import argparse
import json
import os
import sys
from contextlib import ExitStack
from dataclasses import MISSING, fields

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import backends
from cic import networks
from cic.colour import prior, rebalance
from cic.dataset import targets
from cic.dataset.batches import Order, PhotoDataset, make_batch
from cic.dataset.loader import Loader
from cic.networks.initialize import initialize, scale_to_data
from cic.photos.sources import PhotoList
from cic.system import console, files, locks, provenance
from cic.system.errors import InputError, SettingError
from cic.training import checkup, loop, recipes, runs
from cic.training.board import Board
from cic.training.log import Log
from cic.training.losses import NEEDS
from cic.training.preview import Preview, choose
from cic.weights import checkpoint, reading, transfer

INIT_CROPS = 8  # that the first weights are scaled to: 40,000 pixels a channel at the least
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
    "init": "first weights: scaled to the data, or plain",
    "accumulate": "parts that a batch is computed in, one after the other, to save memory",
    "clip_norm": "greatest norm of all gradients together, 0 for any",
    "encoder_lr": "factor of the learning rate of the network's encoder",
    "freeze": "parts of the encoder, from the input, that are left as they are",
    "average": "decay of a moving average of all weights, which is what is used; 0 for none",
}


def parse_arguments():
    parser = console.parser(__doc__)
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
    add("--max_steps", type=console.positive, help="make so many steps instead of epochs")
    add("--continue_train", action="store_true", help="go on from a checkpoint in --model_path")
    add(
        "--which_epoch",
        default=runs.LATEST,
        help="the checkpoint to go on from (%(default)s); those of later epochs are replaced",
    )
    add(
        "--save_latest",
        type=console.positive,
        default=2000,
        help="steps between checkpoints (%(default)s)",
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
    add("--precision", default="float32", help="float32, bf16, fp16 or float64 (%(default)s)")
    add(
        "--num_workers",
        type=console.natural,
        default=2,
        help="processes that read photos (%(default)s)",
    )
    console.add_option(parser)
    group = parser.add_argument_group(
        "recipe", "each replaces what the recipe has; in brackets, what recipe full has"
    )
    for field in fields(recipes.Recipe):
        if field.name in HELP:
            whole = console.natural if recipes.least_of(field) == 0 else console.positive
            kind = {"type": whole if field.type is int else field.type}
            if field.type is bool:
                kind = {"action": argparse.BooleanOptionalAction}
            shown = "" if field.default is MISSING else f" ({field.default})"
            group.add_argument(f"--{field.name}", help=HELP[field.name] + shown, **kind)
    return parser.parse_args()


def read_recipe(args):
    recipe = recipes.get(args.recipe)
    options = recipe.options | console.options(args.option)
    changes = {name: getattr(args, name) for name in HELP if getattr(args, name) is not None}
    return recipes.get(args.recipe, options=options, **changes)


def count_steps(args, recipe, order):
    steps = recipe.num_epochs * order.steps_per_epoch
    if args.max_steps is None:
        return steps
    return args.max_steps if args.num_epochs is None else min(steps, args.max_steps)


def read_photos(args):
    """(the photos to train on, those to evaluate on or None, names of the classes or None)."""
    classes = args.classes and targets.read_classes(args.classes)
    known = frozenset(classes or ())
    wanted = classes and (lambda photo: targets.class_of(photo) in known)
    photos, held_out = (
        places and PhotoList(places, wanted) for places in (args.image_dir, args.val_dir)
    )
    return photos, held_out, classes


def refuse_idle(args, recipe, network):
    """Raise ValueError for flags that would change nothing for this network."""
    colours = ("--prior", args.prior), ("--rebalance", args.rebalance), ("--gamma", args.gamma)
    colours += (("--NN", args.NN), ("--sigma", args.sigma), ("--keep_gray", args.keep_gray))
    colours += (("--weight_limit", args.weight_limit),)
    idle = [flag for flag, value in colours if value and network.predicts != networks.BINS]
    idle += ["--classes"] if args.classes and not network.is_classifier else []
    idle += ["--target_mean"] if args.target_mean and network.is_classifier else []
    idle += ["--momentum"] if args.momentum is not None and recipe.optimizer != "sgd" else []
    if idle:
        raise SettingError(f"{', '.join(idle)}: of no effect on {network} with loss {recipe.loss}")
    if args.encoder and args.weights:
        raise SettingError("--encoder: --weights are those of the encoder, too: leave one away")
    if args.encoder and not network.encoder:
        raise SettingError(f"--encoder {args.encoder}: {network} has no encoder")
    if args.weight_limit and not recipe.rebalance:
        raise SettingError("--weight_limit: of no effect without rebalancing")
    if args.balance and len(args.image_dir) == 1:
        raise SettingError("--balance: of no effect on one place: name several with --image_dir")


def open_network(recipe, photos, classes):
    """(network, its classes or None): a classifier's outputs and size follow from the photos.

    An option that says otherwise is refused by the data set.
    """
    network = networks.get(recipe.network, **recipe.options)
    if network.predicts != NEEDS[recipe.loss]:
        fit = ", ".join(name for name, need in NEEDS.items() if need == network.predicts)
        raise SettingError(f"{network} cannot be trained with loss {recipe.loss}: take {fit}")
    if not network.is_classifier:
        return network, None
    classes = classes or targets.class_names(photos)
    derived = {"classes": len(classes), "size": recipe.crop_size}
    options = {key: value for key, value in derived.items() if key in network.options}
    return networks.get(recipe.network, **(options | recipe.options)), classes


def open_data(args, recipe, network, photos, held_out, shares, classes):
    """(PhotoDataset to train on, that to evaluate on or None), which have the same targets."""
    bin_weights = None
    if recipe.rebalance:
        bin_weights = rebalance.weights(shares, recipe.gamma)
        bin_weights = rebalance.limited(bin_weights, shares, recipe.weight_limit)
    settings = (recipe.load_size, recipe.crop_size, recipe.NN, recipe.sigma, bin_weights, args.seed)
    both = {name: getattr(recipe, name) for name in ("target_mean", "keep_gray")}
    both["classes"] = classes
    varied = {name: getattr(recipe, name) for name in ("augment", "crop_scale", "ageing")}
    dataset = PhotoDataset(photos, network, *settings, **both, **varied)
    if held_out is not None:
        held_out = PhotoDataset(held_out, network, *settings, **both, augment=False)
    return dataset, held_out


def name_problems(*datasets):
    for dataset in filter(None, datasets):
        for problem in dataset.photos.problems:
            print(f"skipped: {problem}", file=sys.stderr)
        for line in dataset.photos.left_out:
            print(line, file=sys.stderr)


def first_state(args, recipe, dataset):
    network = dataset.network
    if not args.weights or args.continue_train:
        state = initialize(network, args.seed)
        if args.encoder and not args.continue_train:
            state = transfer.begin(network, state, args.encoder)
        if recipe.init == "data" and not args.continue_train:
            order = Order(len(dataset), INIT_CROPS, args.seed)
            inputs = make_batch(dataset, order, 0).inputs
            state = scale_to_data(
                network, state, inputs, keep=network.encoder if args.encoder else ()
            )
        return state
    other, state, meta = reading.load_weights(args.weights)
    checkpoint.check(network, state, args.weights)
    if other != network:
        raise InputError(f"{args.weights}: weights of {other}, not of {network}")
    if meta.get("classes", dataset.classes) != dataset.classes:
        print(f"{args.weights}: its outputs were other classes than these", file=sys.stderr)
    return state


def start(args, recipe, backend, dataset, shares, steps):
    """(trainer, checkpoints, first step) of a new run, or of one to go on with."""
    network = dataset.network
    facts = {
        "backend": backend.NAME,
        "precision": args.precision,
        "seed": args.seed,
        "photos": len(dataset),
        "batch_size": recipe.batch_size,
        "groups": list(dataset.photos.groups) if recipe.balance else None,
        "steps": steps,
        "weights": args.weights,
        "encoder": args.encoder,
        "prior": args.prior,
        "prior_fingerprint": provenance.array_fingerprint(shares),
        "bin_weights": None if dataset.bin_weights is None else dataset.bin_weights.tolist(),
        "fingerprint": provenance.fingerprint(dataset.photos),
        "classes": dataset.classes,
        "provenance": provenance.facts(backend.NAME),
    }
    checkpoints = runs.Checkpoints(args.model_path, network, recipe, facts, args.keep)
    if os.path.exists(checkpoints.path()) and not (args.continue_train or args.check):
        raise InputError(
            f"{args.model_path} holds a run: add --continue_train to go on with it, "
            "or choose another --model_path"
        )
    if backend.rank() == 0 and not args.check:
        files.check(checkpoints.path())
        files.remove_leftovers(args.model_path, deep=False)
    state = first_state(args, recipe, dataset)
    trainer = backend.Trainer(network, recipe, state, args.device, args.precision)
    step = checkpoints.resume(trainer, args.which_epoch) if args.continue_train else 0
    return trainer, checkpoints, step


def agree(backend, trainer, checkpoints, held_out):
    """Let all processes begin alike: with the first's weights, if nothing else differs."""
    own = ("provenance", "weights", "encoder", "prior")  # of this machine
    facts = {key: value for key, value in checkpoints.meta.items() if key not in own}
    facts["photos"] = f"{facts['photos']:,} of fingerprint {facts.pop('fingerprint')}"
    facts["photos to evaluate on"] = held_out and provenance.fingerprint(held_out.photos)
    if before := checkpoints.before:
        time = before.get("provenance", {}).get("time")
        facts["checkpoints"] = f"one of step {before['step']:,}, of a start at {time}"
    facts |= facts.pop("recipe")
    loop.check_alike(trainer, backend.rank(), backend.world_size(), facts)
    trainer.agree()


def introduce(args, recipe, dataset, trainer, checkpoints, size, step, steps):
    """Say what is about to be trained, and how long."""
    network = dataset.network
    together = f" in {size} processes" if size > 1 else ""
    print(
        f"{network} of {network.parameter_count:,} parameters, {args.backend} on "
        f"{trainer.device}{together}; {len(dataset):,} photos, steps {step:,} to {steps:,}",
        file=sys.stderr,
    )
    if changes := checkpoints.changes():
        print(f"settings differ from the checkpoint's: {', '.join(changes)}", file=sys.stderr)
    before = checkpoints.before.get("steps", steps)
    if recipe.schedule == "cosine" and before != steps:
        print(
            f"the learning rate was to fall over {before:,} steps, now it is over {steps:,}",
            file=sys.stderr,
        )


def examine(args, recipe, loader, shares, trainer, step, steps, held_out):
    """Findings of the doctor, shown by the first process: all of them, or the worrying ones."""
    whole = bool(args.check)
    found = checkup.checkup(trainer, recipe, loader, shares, steps, step, not whole, held_out)
    shown = found if args.check else checkup.worrying(found)
    if shown and loader.order.rank == 0:
        print(checkup.table(shown), file=sys.stderr)
    return found


def lock(stack, args):
    """Let no other run write into the folders of this one, as long as `stack` lasts."""
    folders = {os.path.realpath(path): path for path in (args.model_path, args.log_path) if path}
    for folder in folders.values():
        stack.enter_context(locks.held(folder))


def run(args, recipe, dataset, held_out, shares, backend):
    """The figures of the run in this process, one of those that train together."""
    rank, size = backend.rank(), backend.world_size()
    groups = dataset.photos.groups, recipe.balance
    order = Order(len(dataset), recipe.batch_size, args.seed, True, rank, size, *groups)
    steps = count_steps(args, recipe, order)
    with ExitStack() as stack:
        if rank == 0 and not args.check:
            lock(stack, args)
        trainer, checkpoints, step = start(args, recipe, backend, dataset, shares, steps)
        agree(backend, trainer, checkpoints, held_out)
        if rank == 0:
            name_problems(dataset, held_out)
            introduce(args, recipe, dataset, trainer, checkpoints, size, step, steps)
        loader = stack.enter_context(Loader(dataset, order, args.num_workers))
        if args.check is not False and step < steps:
            found = examine(args, recipe, loader, shares, trainer, step, steps, held_out)
            if args.check:
                return {"check": [finding._asdict() for finding in found]}
        validation = None
        if held_out:
            held_order = Order(len(held_out), recipe.batch_size, 0, False, rank, size)
            validation = stack.enter_context(Loader(held_out, held_order, args.num_workers))
        board = preview = None
        if args.board and rank == 0:
            board = stack.enter_context(Board(args.board, step))
            if not dataset.network.is_classifier:
                preview = Preview(dataset.network, choose(held_out or dataset), shares)
        path = os.path.join(args.log_path or args.model_path, "log.jsonl")
        log = Log(path if rank == 0 else None, args.loss_step, board)
        return loop.train(
            trainer,
            recipe,
            loader,
            steps,
            checkpoints,
            log,
            step,
            validation,
            args.save_latest,
            preview,
        )


def main():
    args = parse_arguments()
    if args.which_epoch != runs.LATEST and not args.continue_train:
        raise SettingError(
            f"--which_epoch {args.which_epoch}: add --continue_train to go on from it"
        )
    recipe = read_recipe(args)
    photos, held_out, classes = read_photos(args)
    network, classes = open_network(recipe, photos, classes)
    refuse_idle(args, recipe, network)
    shares = prior.read(args.prior) if args.prior else prior.default()
    dataset, held_out = open_data(args, recipe, network, photos, held_out, shares, classes)
    if held_out is not None and not args.check:
        loop.refuse_gray(held_out)
    backend = backends.get(args.backend)
    args.backend = backend.NAME
    args.device = backend.join(backend.resolve_device(args.device))
    try:
        figures = run(args, recipe, dataset, held_out, shares, backend)
        if backend.rank() == 0:
            print(json.dumps(figures, allow_nan=False))
    finally:
        backend.leave()


if __name__ == "__main__":
    console.run(main)
