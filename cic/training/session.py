"""A training run from its plan to its figures: what `cic train` does, for any program.

import backends
from cic.training import session

figures = session.train(backends.get(trains=True), "photos/train", recipe="compact", num_epochs=3)
colorizer = backends.colorizer(figures["checkpoint"])
"""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from cic import networks
from cic.colorize.settings import Settings
from cic.colour import prior, rebalance
from cic.dataset import targets
from cic.dataset.batches import Order, PhotoDataset, make_batch
from cic.dataset.loader import Loader
from cic.networks import Network
from cic.networks.initialize import initialize, scale_to_data
from cic.photos.sources import PhotoList
from cic.system import files, launchers, locks, provenance
from cic.system.arrays import State
from cic.system.errors import InputError, OutOfMemory, SettingError, is_out_of_memory
from cic.system.progress import Callback, tell
from cic.system.typing import Json
from cic.training import checkup, loop, runs
from cic.training.board import Board
from cic.training.log import LogSettings
from cic.training.losses import NEEDS
from cic.training.plan import RunPlan, plan, refuse_idle
from cic.training.preview import Preview, choose
from cic.training.recipes import Recipe
from cic.training.survey import Remark
from cic.training.trainer import Framework, Trainer
from cic.weights import checkpoint, reading, transfer

INIT_CROPS = 8  # that the first weights are scaled to: 40,000 pixels a channel at the least
OWN = ("provenance", "weights", "encoder", "prior")  # facts that each machine has its own of


def train(
    backend: Framework,
    image_dir: Any,
    recipe: str = "full",
    progress: Callback | None = None,
    **settings: Any,
) -> dict[str, Any] | None:
    """Train on a backend, on photos of a folder or several: the run's figures, a dict.

    `settings` are those of a plan.RunPlan, such as model_path="model", and of the recipe, such as
    batch_size=20. Steps, lines and figures are told to `progress`, see `cic.system.progress`; by
    default a bar is shown. Returns None in all processes of a launch but the first. Raises
    ValueError for what cannot be, and TrainingError, KeyboardInterrupt or SystemExit as
    `loop.train` does.
    """
    return Session(plan(image_dir, recipe, **settings), progress).train(backend)


def open_network(
    recipe: Recipe, photos: PhotoList, classes: Sequence[str] | None
) -> tuple[Network, Sequence[str] | None]:
    """Return (network, its classes or None): a classifier's outputs and size follow from the
    photos.

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


def first_state(plan: RunPlan, dataset: PhotoDataset, progress: Callback | None = None) -> State:
    """Return the first weights of a run by a RunPlan on a PhotoDataset, {name: array}."""
    network, recipe = dataset.network, plan.recipe
    if not plan.weights or plan.continue_train:
        state = initialize(network, plan.seed)
        if plan.encoder and not plan.continue_train:
            state = transfer.begin(network, state, plan.encoder)
        if recipe.init == "data" and not plan.continue_train:
            order = Order(len(dataset), INIT_CROPS, plan.seed)
            inputs = make_batch(dataset, order, 0).inputs
            kept = network.encoder if plan.encoder else ()
            state = scale_to_data(network, state, inputs, keep=kept)
        return state
    other, state, meta = reading.load_weights(plan.weights)
    checkpoint.check(network, state, plan.weights)
    if other != network:
        raise InputError(f"{plan.weights}: weights of {other}, not of {network}")
    if meta.get("classes", dataset.classes) != dataset.classes:
        line = f"{plan.weights}: its outputs were other classes than these"
        tell(line, progress, sys.stderr)
    return state


class Session:
    """A run by a plan.RunPlan: its photos, network and prior, opened before any backend.

    Raises ValueError for a plan that cannot be, TrainingError if all photos to evaluate on are
    gray.
    """

    def __init__(self, plan: RunPlan, progress: Callback | None = None) -> None:
        self.is_auto, plan = plan.is_auto, plan.decided()
        self.plan, self.progress = plan, progress
        named = targets.read_classes(plan.classes) if plan.classes else None
        wanted = targets.in_classes(named) if named else None
        photos = PhotoList(plan.image_dir, wanted)
        held_out = PhotoList(plan.val_dir, wanted) if plan.val_dir else None
        network, classes = open_network(plan.recipe, photos, named)
        refuse_idle(plan, network)
        self.shares = prior.read(plan.prior) if plan.prior else prior.default()
        self.dataset = self._open(network, photos, classes)
        self.held_out = None
        if held_out is not None:
            self.held_out = self._open(network, held_out, classes, held_out=True)
            if not plan.check:
                loop.refuse_useless(self.held_out)

    def _open(
        self,
        network: Network,
        photos: PhotoList,
        classes: Sequence[str] | None,
        held_out: bool = False,
    ) -> PhotoDataset:
        """Return the PhotoDataset to train on, or to evaluate on: both have the same targets."""
        recipe, bin_weights = self.plan.recipe, None
        if recipe.rebalance:
            bin_weights = rebalance.weights(self.shares, recipe.gamma)
            bin_weights = rebalance.limited(bin_weights, self.shares, recipe.weight_limit)
        return PhotoDataset(
            photos,
            network,
            recipe.load_size,
            recipe.crop_size,
            neighbors=recipe.NN,
            sigma=recipe.sigma,
            bin_weights=bin_weights,
            seed=self.plan.seed,
            augment=recipe.augment and not held_out,
            classes=classes,
            crop_scale=recipe.crop_scale,
            ageing=0.0 if held_out else recipe.ageing,
            target_mean=recipe.target_mean,
            keep_gray=recipe.keep_gray,
        )

    def train(self, backend: Framework) -> dict[str, Any] | None:
        """Train on a backend: the run's figures, or {"check": findings} if the plan asks for them.

        Several processes that a launcher started train together; all but the first return None.
        """
        launchers.refuse_number(launchers.found(), self.plan.device)
        device = backend.join(backend.resolve_device(self.plan.device))
        failed = False
        try:
            figures = self._train(backend, device)
            return figures if backend.rank() == 0 else None
        except Exception as error:
            failed = True
            if not is_out_of_memory(error):
                raise
            raise self._too_large(backend.world_size(), device) from None
        finally:
            backend.leave(failed)

    def _train(self, backend: Framework, device: Any) -> dict[str, Any]:
        plan, first = self.plan, backend.rank() == 0
        order = self._order(backend)
        steps = plan.steps(order.steps_per_epoch)
        with ExitStack() as stack:
            if first and not plan.check:
                self._lock(stack)
            trainer, checkpoints, step = self._start(backend, device, steps)
            step = self._agree(backend, trainer, checkpoints, step)
            if self.is_auto and step >= steps:
                if first:
                    self._say(f"all {steps:,} steps are made: nothing is left to do")
                return loop.nothing_left(trainer, checkpoints)
            if first:
                self._name_problems()
                self._introduce(backend, trainer, checkpoints, step, steps)
            self._share_work(backend, trainer, device)
            loader = stack.enter_context(Loader(self.dataset, order, plan.num_workers))
            if plan.check is not False and step < steps:
                found = self._examine(loader, trainer, step, steps)
                if plan.check:
                    return {"check": [finding._asdict() for finding in found]}
            validation = None
            if self.held_out is not None:
                held_order = self._order(backend, held_out=True)
                validation = Loader(self.held_out, held_order, plan.num_workers)
                stack.enter_context(validation)
            records = self._records(stack, checkpoints, first, step)
            return loop.train(trainer, loader, steps, records, step, validation)

    def _share_work(self, backend: Framework, trainer: Trainer, device: Any) -> None:
        """Let a GPU make inputs and targets of crops: it is quicker, and fewer bytes travel.

        A CPU has no time to spare, and NumPy is quicker there.
        """
        if backend.facts(device)["gpu"] is None or not self.dataset.can_be_left:
            return
        trainer.make_targets(self.dataset.target)  # type: ignore[arg-type]
        for dataset in filter(None, (self.dataset, self.held_out)):
            dataset.leave_to_trainer()

    def _too_large(self, size: int, device: Any) -> OutOfMemory:
        """Return what to say of a run of `size` processes that runs out of memory."""
        recipe, precision = self.plan.recipe, self.plan.precision
        needed = checkup.estimate(self.dataset.network, recipe, size, precision, device)
        at_once = checkup.photos_at_once(recipe, size)
        lower = "" if precision in ("bf16", "fp16") else ", or precision bf16"
        return OutOfMemory(
            f"out of memory on {device}: {at_once} photos at a time of a batch of "
            f"{recipe.batch_size}, crops of {recipe.crop_size}, {precision}: about "
            f"{needed / 1e9:.1f} GB; compute the batch in parts with accumulate "
            f"{2 * recipe.accumulate}, or take a smaller batch_size or crop_size{lower}"
        )

    def _order(self, backend: Framework, held_out: bool = False) -> Order:
        """Return the Order in which this process sees the photos of all, or those to evaluate
        on.
        """
        size, place = self.plan.recipe.batch_size, (backend.rank(), backend.world_size())
        if held_out:
            return Order(len(self.held_out), size, 0, False, *place)  # type: ignore[arg-type]
        groups, balance = self.dataset.photos.groups, self.plan.recipe.balance
        return Order(len(self.dataset), size, self.plan.seed, True, *place, groups, balance)

    def _lock(self, stack: ExitStack) -> None:
        """Let no other run write into the folders of this one, as long as `stack` lasts."""
        paths = filter(None, (self.plan.model_path, self.plan.log_path))
        for folder in {os.path.realpath(path): path for path in paths}.values():
            stack.enter_context(locks.held(folder, patient=self.is_auto))

    def _facts(self, backend: Framework, device: Any, steps: int) -> dict[str, Json]:
        """Return what the checkpoints say of the run, a JSON object."""
        plan, dataset = self.plan, self.dataset
        weights = dataset.bin_weights
        return {
            "backend": backend.NAME,
            "precision": plan.precision,
            "seed": plan.seed,
            "photos": len(dataset),
            "batch_size": plan.recipe.batch_size,
            "groups": list(dataset.photos.groups) if plan.recipe.balance else None,
            "steps": steps,
            "weights": plan.weights,
            "encoder": plan.encoder,
            "prior": plan.prior,
            "prior_fingerprint": provenance.array_fingerprint(self.shares),
            "bin_weights": None if weights is None else weights.tolist(),
            "fingerprint": provenance.fingerprint(dataset.photos),
            "classes": dataset.classes,
            "provenance": provenance.facts(backend.NAME)
            | {"processes": backend.world_size(), "device": backend.facts(device)},
        }

    def _start(
        self, backend: Framework, device: Any, steps: int
    ) -> tuple[Trainer, runs.Checkpoints, int]:
        """Return (trainer, checkpoints, first step) of a new run, or of one to go on with.

        The first process alone reads weights, or computes them: see `_agree`.
        """
        plan, recipe, network = self.plan, self.plan.recipe, self.dataset.network
        facts = self._facts(backend, device, steps)
        checkpoints = runs.Checkpoints(plan.model_path, network, recipe, facts, plan.keep)
        if backend.rank() > 0:
            shapes = network.state_shapes
            state = {name: np.zeros(shapes[name], np.float32) for name in shapes}
            trainer = backend.Trainer(network, recipe, state, device, plan.precision)
            return trainer, checkpoints, 0
        if os.path.exists(checkpoints.path()) and not (plan.continue_train or plan.check):
            raise InputError(
                f"{plan.model_path} holds a run: set continue_train to go on with it, "
                "or choose another model_path"
            )
        if not plan.check:
            files.check(checkpoints.path())
            files.remove_leftovers(plan.model_path, deep=False)
        state = first_state(plan, self.dataset, self.progress)
        trainer = backend.Trainer(network, recipe, state, device, plan.precision)
        step = checkpoints.resume(trainer, plan.which_epoch) if plan.continue_train else 0
        return trainer, checkpoints, step

    def _agree(
        self, backend: Framework, trainer: Trainer, checkpoints: runs.Checkpoints, step: int
    ) -> int:
        """Let all processes begin alike, as the first, if nothing else differs; its first step."""
        facts = {key: value for key, value in checkpoints.meta.items() if key not in OWN}
        facts["photos"] = f"{facts['photos']:,} of fingerprint {facts.pop('fingerprint')}"
        held_out = self.held_out and provenance.fingerprint(self.held_out.photos)
        facts["photos to evaluate on"] = held_out
        facts["checkpoints"] = "none"
        path = checkpoints.path(self.plan.which_epoch)
        if self.plan.continue_train and os.path.exists(path):
            before = checkpoint.load_meta(path)
            time = before.get("provenance", {}).get("time")
            facts["checkpoints"] = f"one of step {before['step']:,}, of a start at {time}"
        facts |= facts.pop("recipe")
        loop.check_alike(trainer, backend.rank(), backend.world_size(), facts)
        trainer.agree()
        begins = json.dumps([checkpoints.before, step])
        checkpoints.before, step = json.loads(backend.broadcast_text(begins, trainer.device))
        return step

    def _say(self, line: str) -> None:
        tell(line, self.progress, sys.stderr)

    def _name_problems(self) -> None:
        for dataset in filter(None, (self.dataset, self.held_out)):
            for problem in dataset.photos.problems:
                self._say(f"skipped: {problem}")
            for line in dataset.photos.left_out:
                self._say(line)

    def _introduce(
        self,
        backend: Framework,
        trainer: Trainer,
        checkpoints: runs.Checkpoints,
        step: int,
        steps: int,
    ) -> None:
        """Say what is about to be trained, and how long."""
        on_cpu = self.plan.device == "auto" and str(trainer.device) == "cpu"
        if on_cpu and os.path.exists(provenance.DRIVER):
            self._say(
                f"training on the CPU: this machine has a GPU, but this build of {backend.NAME} "
                "sees none: install its build for GPUs, or take device cpu"
            )
        network, size = self.dataset.network, backend.world_size()
        together = f" in {size} processes" if size > 1 else ""
        self._say(
            f"{network} of {network.parameter_count:,} parameters, {backend.NAME} on "
            f"{trainer.device}{together}; {len(self.dataset):,} photos, "
            f"steps {step:,} to {steps:,}"
        )
        if changes := checkpoints.changes():
            self._say(f"settings differ from the checkpoint's: {', '.join(changes)}")
        before = checkpoints.before.get("steps", steps)
        if self.plan.recipe.schedule == "cosine" and before != steps:
            fell = f"was to fall over {before:,} steps, now it is over {steps:,}"
            self._say(f"the learning rate {fell}")

    def _examine(self, loader: Loader, trainer: Trainer, step: int, steps: int) -> list[Remark]:
        """Return the findings of the checkup, told by the first process: all of them, or the
        worrying ones.
        """
        recipe, whole = self.plan.recipe, bool(self.plan.check)
        found = checkup.checkup(
            trainer, recipe, loader, self.shares, steps, step, not whole, self.held_out
        )
        shown = found if whole else checkup.worrying(found)
        if shown and loader.order.rank == 0:
            self._say(checkup.table(shown))
        return found

    def _records(
        self, stack: ExitStack, checkpoints: runs.Checkpoints, first: bool, step: int
    ) -> loop.Records:
        """Return what the run leaves behind; a board is closed with `stack`."""
        plan, board, preview = self.plan, None, None
        if plan.board and first:
            board = stack.enter_context(Board(plan.board, step))
            if not self.dataset.network.is_classifier:
                photos = choose(self.held_out or self.dataset)
                settings = Settings(target_mean=plan.recipe.target_mean)
                preview = Preview(self.dataset.network, photos, self.shares, settings)
        path = os.path.join(plan.log_path or plan.model_path, "log.jsonl")
        log = LogSettings(path if first else None, plan.loss_step, board, self.progress)
        return loop.Records(checkpoints, log, plan.save_latest, preview)
