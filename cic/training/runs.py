"""The folder of a run: its checkpoints, and whether a run can go on from them."""

import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from cic.networks import Network
from cic.networks.encoder import rates, trained
from cic.system import files
from cic.system.arrays import Array, State
from cic.system.background import Background
from cic.system.typing import Json, StrPath
from cic.training.log import TrainingError
from cic.training.recipes import OPTIMIZERS, Recipe
from cic.training.trainer import Trainer
from cic.weights import checkpoint, reading
from cic.weights.averaging import PREFIX
from cic.weights.checkpoint import CheckpointError

LATEST, BEST = "latest", "best"
AVERAGE = "_average"  # at the end of a figure of the average of the weights
_EPOCH = re.compile(r"epoch_(\d+)_model\.safetensors")


def checkpoint_path(folder: str, which: str | int = LATEST) -> str:
    """Return the path of a run's checkpoint: of finished epoch `which`, from 1, or the latest, or
    the best.
    """
    return os.path.join(folder, f"epoch_{which}_model.safetensors")


def score(figures: Mapping[str, Any]) -> float:
    """Return the figure that is least for the best checkpoint: the validation loss, of the average
    if there is one.
    """
    loss = figures.get("validation_loss", math.inf)
    return figures.get("validation_loss" + AVERAGE, loss)


class Checkpoints:
    """The checkpoints of one run in `folder`, each with `meta`.

    The folder keeps the latest, those of the newest `keep` epochs and, if there is validation, that
    of the epoch with the lowest `score`. If a run goes on from an earlier checkpoint, those of
    later epochs do not count; they stay until they are replaced. `before` is the meta of the
    checkpoint that was resumed, empty for a new run.
    """

    def __init__(
        self,
        folder: StrPath,
        network: Network,
        recipe: Recipe,
        meta: dict[str, Json] | None = None,
        keep: int = 5,
    ) -> None:
        self.folder = os.fspath(folder)
        self.network, self.recipe, self.keep = network, recipe, keep
        self.meta = checkpoint.network_meta(network) | {"recipe": asdict(recipe)} | (meta or {})
        self.before: dict[str, Json] = {}
        self.background = Background()
        self.saved = time.monotonic()  # when the latest was, or the run began

    def path(self, which: str | int = LATEST) -> str:
        """Return the path of the checkpoint of an epoch, or of the latest."""
        return checkpoint_path(self.folder, which)

    def save(self, trainer: Trainer, epoch: int | None = None, **progress: Any) -> None:
        """Write weights, optimizer and progress as the latest, in a thread: see `wait`.

        At the end of an `epoch` as its own, too, and as the best if it is; older ones are removed.
        Raises what went wrong with the save before.
        """
        self.background.wait()  # so that no two copies of the weights are in memory
        self.background.start(self._write, *trainer.state(), self.meta | progress, epoch)
        self.saved = time.monotonic()

    def wait(self) -> None:
        """Return when all is written.

        Raises TrainingError for weights that could not be loaded again, which are not written, and
        OSError.
        """
        self.background.wait()

    @contextmanager
    def written(self) -> Iterator[None]:
        """A context at whose end, by an error or not, all is written."""
        try:
            yield
        finally:
            self.wait()

    def _write(
        self, weights: State, optimizer: State, meta: dict[str, Json], epoch: int | None
    ) -> None:
        first, *others = self._names(epoch, meta)
        try:
            checkpoint.check_numbers(weights, self.path(first))
        except CheckpointError as error:
            raise TrainingError(f"{error}: not written: try a lower lr") from None
        prefixed = {checkpoint.OPTIMIZER + name: array for name, array in optimizer.items()}
        checkpoint.save(self.path(first), weights | prefixed, meta)
        for other in others:
            files.give_name(self.path(first), self.path(other))
        if epoch:
            self._remove_older(epoch)

    def _names(self, epoch: int | None, meta: dict[str, Json]) -> list[str | int]:
        """Return what a checkpoint is called, the latest at last: one that is killed before goes
        on.
        """
        if not epoch:
            return [LATEST]
        is_best = score(meta) < self._lowest(meta["step"])
        return [epoch, *([BEST] if is_best else []), LATEST]

    def _remove_older(self, epoch: int) -> None:
        found = map(_EPOCH.fullmatch, os.listdir(self.folder))
        epochs = sorted(int(match[1]) for match in found if match and int(match[1]) <= epoch)
        for old in epochs[: -self.keep]:
            os.unlink(self.path(old))

    def _lowest(self, step: int) -> float:
        """Return the score of the best checkpoint before `step`."""
        if not os.path.exists(self.path(BEST)):
            return math.inf
        meta = checkpoint.load_meta(self.path(BEST))
        there = meta["step"] < step and score(meta) > 0  # 0 was measured on gray photos alone
        return score(meta) if there else math.inf

    def resume(self, trainer: Trainer, which: str | int = LATEST) -> int:
        """Load a checkpoint into `trainer`; the number of steps it has made."""
        path = self.path(which)
        state, meta = reading.load(path)
        recipe = meta.get("recipe", self.meta["recipe"])["name"]  # type: ignore[index]
        if recipe != self.meta["recipe"]["name"]:
            raise TrainingError(f"{path}: of recipe {recipe}: set recipe to {recipe}")
        weights, optimizer = checkpoint.split(state)
        checkpoint.check(self.network, weights, path)
        check_training(self.network, optimizer, meta, path, self.recipe)
        self._check_same(meta, path)
        starts = {flag: meta.get(flag) for flag in ("weights", "encoder")}
        for flag, start in starts.items():
            if self.meta.get(flag) not in (None, start):
                raise TrainingError(
                    f"{path}: its run began from {flag} {start}: leave {flag} out to go on with it"
                )
        trainer.load(weights, optimizer)
        self.before, self.meta = meta, self.meta | starts
        return meta["step"]

    def _check_same(self, meta: dict[str, Json], path: str) -> None:
        """Raise TrainingError unless the photos and their order are those of `meta`."""
        before, settings = _settings(meta), _settings(self.meta)
        for key in ("seed", "photos", "fingerprint", "batch_size", "balance", "groups"):
            was, now = before.get(key), settings.get(key)
            if was != now:
                raise TrainingError(
                    f"{path}: {key} was {was} and is {now}: the order of the photos follows from "
                    "it; to begin anew from these weights, name them as weights"
                )
        if meta.get("classes") != self.meta.get("classes"):
            raise TrainingError(
                f"{path}: class folders differ from the checkpoint's: name the same ones; "
                "to begin anew from these weights, name them as weights"
            )

    def changes(self) -> list[str]:
        """Settings that are no longer those of the resumed checkpoint: "lr 0.1 -> 0.2", ..."""
        before, now = _settings(self.before), _settings(self.meta)
        settings = self.meta["recipe"].keys() - {"name", "record"}
        settings |= {"backend", "precision", "prior_fingerprint"}
        return [
            f"{key} {before[key]} -> {now[key]}"
            for key in sorted(settings & before.keys() & now.keys())
            if before[key] != now[key]
        ]


def _settings(meta: dict[str, Json]) -> dict[str, Json]:
    """Return a checkpoint's recipe and other meta in one; settings that it is older than are
    off.
    """
    recipe = meta.get("recipe", {})
    return (asdict(Recipe("")) | recipe if recipe else {}) | meta


def check_training(
    network: Network,
    optimizer: Mapping[str, Array],
    meta: Mapping[str, Json],
    source: str,
    recipe: Recipe,
) -> None:
    """Raise CheckpointError unless a run of `network` by `recipe` can go on from a checkpoint.

    Equal shapes are not enough: options such as `extra_relu` have no arrays of their own. An
    average of the weights may be missing, not a part of one.
    """
    has = checkpoint.network_of(meta, source)
    if has != network:
        raise CheckpointError(f"{source}: not of this network: {has} instead of {network}")
    if "step" not in meta or "steps" not in optimizer:
        raise CheckpointError(f"{source}: weights alone, not resumable: name them as weights")
    freeze = meta.get("recipe", {}).get("freeze", 0)
    if freeze != recipe.freeze:
        raise CheckpointError(
            f"{source}: not resumable: freeze was {freeze} and is {recipe.freeze}; "
            "to begin anew from these weights, name them as weights"
        )
    kind = recipe.optimizer
    slots = {
        f"{slot}/{name}": network.parameters[name]
        for name in rates(network, recipe)
        for slot in OPTIMIZERS[kind]
    }
    if recipe.average and any(name.startswith(PREFIX) for name in optimizer):
        slots |= {PREFIX + n: network.state_shapes[n] for n in trained(network, recipe.freeze)}
    for name, shape in slots.items():
        if name not in optimizer or optimizer[name].shape != shape:
            raise CheckpointError(
                f"{source}: not resumable with optimizer {kind}: {name} is not {shape}"
            )
