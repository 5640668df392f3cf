"""The settings of a run: what to train, on which photos, and which files to keep."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from cic import networks
from cic.networks import Network
from cic.system import threads
from cic.system.addresses import is_address
from cic.system.errors import SettingError
from cic.system.settings import check_whole
from cic.training import recipes, runs
from cic.training.recipes import Recipe

LISTS = ("image_dir", "val_dir")
AUTO = "auto"  # continue_train where there is something to go on with
PATHS = ("model_path", "log_path", "board", "weights", "encoder", "classes", "prior")


def readers() -> int:
    """Return the default number of processes that read photos: the cores less one, and 8 at
    most.
    """
    return max(1, min(8, threads.cores() - 1))


@dataclass(frozen=True)
class RunPlan:
    """A run by a `recipe` on the photos of `image_dir`, folders and tar shards.

    `asked` are the names of those settings of the recipe that somebody chose for this run: they are
    refused where they change nothing. `val_dir` are photos to evaluate on after every epoch.
    Checkpoints go to the folder `model_path`, every `save_latest` steps, or if None every ten
    minutes, and of the newest `keep` epochs; a line every `loss_step` steps goes to log.jsonl in
    `log_path`, by default there, too, and to VisualDL in the folder `board`. `check` examines
    photos, memory and speed: at length in place of training if True, briefly before it if None.

    `weights` and `encoder` are files to start from; `classes` is a file of the class folders to
    tell apart, `prior` an .npy file of the prior of the ab bins. The run ends after `max_steps`, if
    given and sooner than the recipe's epochs, or if nobody asked for epochs. With `continue_train`
    it goes on from the checkpoint `which_epoch`; with "auto" from the latest, if there is one, and
    one that has all its steps is no error. `seed` is that of the first weights, the order and the
    crops; `device`, `precision` and `num_workers`, processes that read photos, are this machine's.
    """

    image_dir: Sequence[str]
    recipe: Recipe
    asked: frozenset[str] = frozenset()
    val_dir: Sequence[str] | None = None
    model_path: str = "model"
    log_path: str | None = None
    check: bool | None = None
    board: str | None = None
    weights: str | None = None
    encoder: str | None = None
    classes: str | None = None
    prior: str | None = None
    max_steps: int | None = None
    continue_train: bool | str = False
    which_epoch: str = runs.LATEST
    save_latest: int | None = None
    keep: int = 5
    loss_step: int = 10
    seed: int = 0
    device: str = "auto"
    precision: str = "float32"
    num_workers: int = field(default_factory=readers)

    def __post_init__(self) -> None:
        for name in LISTS:
            places = getattr(self, name)
            if isinstance(places, str | os.PathLike):
                object.__setattr__(self, name, (places,))
            for place in filter(is_address, getattr(self, name) or ()):
                raise SettingError(f"{place}: an address: train on what cic prepare makes of it")
        for name in PATHS:
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, os.fspath(path))
        check_whole(self, max_steps=1, save_latest=1, keep=1, loss_step=1, seed=0, num_workers=0)
        if self.continue_train not in (False, True, AUTO):
            raise SettingError(f"continue_train {self.continue_train}: it is {AUTO}, on or off")
        if self.which_epoch != runs.LATEST and self.continue_train is not True:
            add = "set continue_train to go on from it"
            if self.continue_train:
                add = f"continue_train {AUTO} goes on from the latest: leave one out"
            raise SettingError(f"which_epoch {self.which_epoch}: {add}")

    def asked_for(self, *names: str) -> list[str]:
        """Return those settings of the recipe that were asked for, and are not off."""
        return [n for n in names if n in self.asked and getattr(self.recipe, n)]

    @property
    def is_auto(self) -> bool:
        """Whether it begins or goes on, as there is a checkpoint or not."""
        return self.continue_train == AUTO

    def decided(self) -> "RunPlan":
        """Return the plan with `continue_train` True or False, as its folder decides now."""
        if not self.is_auto:
            return self
        there = os.path.exists(runs.checkpoint_path(self.model_path))
        return replace(self, continue_train=there)

    def steps(self, steps_per_epoch: int) -> int:
        """Return how many steps the run has in all."""
        steps = self.recipe.num_epochs * steps_per_epoch
        if self.max_steps is None:
            return steps
        return min(steps, self.max_steps) if "num_epochs" in self.asked else self.max_steps


def plan(
    image_dir: Any,
    recipe: str = "full",
    options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> RunPlan:
    """Return the RunPlan of the recipe of a name, with settings by name: a RunPlan's own, and the
    recipe's.

    Those that are None stay as they are. `options` are the network's. Raises ValueError for a
    setting that cannot be, TypeError for one that is not known.
    """
    base = recipes.get(recipe)
    given = {name: value for name, value in settings.items() if value is not None}
    names = {entry.name for entry in fields(Recipe)} & given.keys()
    changes = {name: given.pop(name) for name in names}
    changed = recipes.get(recipe, options=base.options | dict(options or {}), **changes)
    return RunPlan(image_dir, changed, frozenset(names), **given)


def refuse_idle(plan: RunPlan, network: Network) -> None:
    """Raise ValueError for settings that would change nothing for this network."""
    idle: list[str] = []
    recipe = plan.recipe
    if network.predicts != networks.BINS:
        idle += ["prior"] if plan.prior else []
        idle += plan.asked_for(
            "rebalance", "gamma", "NN", "sigma", "keep_gray", "weight_limit", "distance"
        )
    idle += ["classes"] if plan.classes and not network.is_classifier else []
    idle += plan.asked_for("target_mean") if network.is_classifier else []
    idle += ["momentum"] if "momentum" in plan.asked and recipe.optimizer != "sgd" else []
    if idle:
        raise SettingError(f"{', '.join(idle)}: of no effect on {network} with loss {recipe.loss}")
    if plan.encoder and plan.weights:
        raise SettingError("encoder: weights are those of the encoder, too: leave one out")
    if plan.encoder and not network.encoder:
        raise SettingError(f"encoder {plan.encoder}: {network} has no encoder")
    if plan.asked_for("weight_limit") and not recipe.rebalance:
        raise SettingError("weight_limit: of no effect without rebalancing")
    if plan.asked_for("balance") and len(plan.image_dir) == 1:
        raise SettingError("balance: of no effect on one place: name several as image_dir")
