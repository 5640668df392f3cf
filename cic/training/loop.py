"""The training loop, the same for every backend: step, log, evaluate, save."""

import hashlib
import math
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from cic.dataset.batches import Batch, PhotoDataset
from cic.dataset.loader import Loader
from cic.networks import BINS
from cic.photos.images import PhotoError
from cic.system import interrupts
from cic.system.invocation import named
from cic.training import ranks, watch
from cic.training.log import Log, LogSettings, TrainingError
from cic.training.losses import class_entropy
from cic.training.preview import Preview
from cic.training.recipes import Recipe, learning_rate
from cic.training.runs import AVERAGE, Checkpoints
from cic.training.skips import LIMIT
from cic.training.trainer import Figures, Trainer

OFTEN = 600.0  # seconds between checkpoints, unless steps are counted
_ALL_GRAY = (
    "every photo to evaluate on is gray, which says nothing of colours: take others for val_dir; "
    "{} finds gray ones"
)
_UNREADABLE = "not one photo to evaluate on can be read"


def check_alike(trainer: Trainer, rank: int, size: int, facts: Mapping[str, object]) -> None:
    """Raise TrainingError, in all `size` processes of a run, if they have different `facts`.

    These are {what they are: value}; the first that differ are named.
    """
    for name, value in facts.items():
        digest = hashlib.blake2b(repr(value).encode(), digest_size=6).hexdigest()
        number = int(digest, 16)  # float64, which is summed, holds it
        if len(set(trainer.total(*(number * (rank == other) for other in range(size))))) > 1:
            raise TrainingError(
                f"the processes of this run have different {name}: process {rank} has {value}"
            )


def refuse_useless(dataset: PhotoDataset) -> None:
    """Raise TrainingError if no photo to evaluate on can be read, or in vain: every one is gray.

    Then, whatever a network of bins learns, the loss is 0, unless gray photos count (`keep_gray`).
    It looks no further than the first photo that is of use.
    """
    takes_gray = dataset.network.predicts != BINS or dataset.keep_gray
    where, problems, gray = ", ".join(dataset.photos.searched), [], False
    for i in range(len(dataset)):
        try:
            crop = dataset.crop(i)
        except PhotoError as error:
            problems.append(error)
            continue
        if takes_gray or dataset.target.of(crop, i)[1].any():
            return
        gray = True
    if gray:
        raise TrainingError(f"{where}: {_ALL_GRAY.format(named('invalid'))}")
    if problems:
        raise TrainingError(f"{where}: {_UNREADABLE}: {problems[0]}")


def evaluate(
    trainer: Trainer,
    loader: Loader,
    name: Callable[[Sequence[str]], object] | None = None,
    stop: Sequence[Any] = (),
) -> dict[str, float] | None:
    """Return the figures of all photos of the loaders of all processes, in evaluation mode.

    {"validation_loss": ...} and, of a classifier, "top1" and "top5", percent; the same of the
    average of the weights, if there is one, whose names end in AVERAGE. None once any process asks
    to stop, its `stop` not being empty. `name` is called with the messages of the unreadable photos
    of each batch.
    """
    classifies = loader.dataset.network.is_classifier
    kinds = {"": nullcontext} | ({AVERAGE: trainer.averaged} if trainer.averages else {})
    sums = {end: np.zeros(2 + (1 + len(ranks.RANKS)) * classifies) for end in kinds}
    for batch in loader.batches(0, loader.order.steps_per_epoch):
        if trainer.total(bool(stop))[0]:
            return None
        if name:
            name(batch.failures)
        alone = loader.order.world == 1
        if not len(batch.inputs) and (classifies or alone):
            continue  # else a loss may have to be agreed on by all processes
        for end, weights in kinds.items():
            with weights():
                sums[end] += _sums(trainer, batch, classifies)
    figures: dict[str, float] = {}
    for end, own in sums.items():
        total = trainer.total(*own.tolist())
        if loader.dataset.network.predicts == BINS and total[1] and not total[0]:
            raise TrainingError(_ALL_GRAY.format(named("invalid")))
        figures |= {key + end: value for key, value in _figures(*total).items()}
    return figures


def _sums(trainer: Trainer, batch: Batch, classifies: bool) -> tuple[float, ...]:
    """Return (total, count) of the loss of a batch and, of a classifier's, photos and hits."""
    if not classifies:
        return trainer.evaluate(batch)
    logits = trainer.predict(batch.inputs)
    hits = ranks.hits(logits, *batch.targets)
    return *class_entropy(logits, *batch.targets), len(logits), *hits


def _figures(total: float, count: float, photos: float = 0, *hits: float) -> dict[str, float]:
    """Return the figures of all sums."""
    if not count:
        raise TrainingError(_UNREADABLE)
    if not math.isfinite(total):
        raise TrainingError(f"the validation loss is {total}: try a lower lr")
    shares = {f"top{k}": 100 * n / photos for k, n in zip(ranks.RANKS, hits)}
    return {"validation_loss": total / count} | shares


def _validate(
    trainer: Trainer,
    validation: Loader,
    checkpoints: Checkpoints,
    log: Log,
    step: int,
    stop: Sequence[Any],
) -> dict[str, float]:
    """Return what `evaluate` gives, which is logged; nothing if any process asks to stop
    meanwhile.
    """
    if validation.order.rank == 0:
        checkpoints.save(trainer, step=step)  # evaluating may take longer than a launcher waits
    figures = evaluate(trainer, validation, log.name, stop)
    if figures is None:
        return {}
    log.write(step=step, **figures)
    return figures


def _note_skip(trainer: Trainer, log: Log, step: int) -> bool:
    """Return whether the trainer skipped the step; raise TrainingError if it has skipped too
    many.
    """
    skips = trainer.skips
    if skips.latest and skips.in_a_row:
        log.skip(step, skips)
    if skips.in_a_row == LIMIT:
        other = "" if trainer.precision in ("float32", "float64") else ", or precision float32"
        raise TrainingError(
            f"{LIMIT} steps in a row up to step {step + 1} have gradients that are not finite: "
            f"try a lower lr{other}"
        )
    return skips.latest


def _reason(trainer: Trainer, signals: Sequence[int]) -> int:
    """Return the signal that all processes end with, whichever of them it reached first."""
    votes = trainer.total(*(list(signals[:1]) == [number] for number in interrupts.STOPS))
    return next((n for n, count in zip(interrupts.STOPS, votes) if count), signal.SIGTERM)


@dataclass
class Records:
    """The records of a run: `checkpoints`, the latest of them written every `save_latest` steps.

    If that is None, it is written every OFTEN seconds. Figures go to the `log`, and after every
    epoch a `preview` of the network goes to its board.
    """

    checkpoints: Checkpoints
    log: LogSettings
    save_latest: int | None = None
    preview: Preview | None = None

    def is_due(self, step: int) -> bool:
        """Return whether the latest checkpoint is to be written after `step` steps."""
        if self.save_latest:
            return step % self.save_latest == 0
        return time.monotonic() - self.checkpoints.saved >= OFTEN


def nothing_left(trainer: Trainer, checkpoints: Checkpoints) -> dict[str, Any]:
    """Figures, as `train` gives them, of a run that was resumed after its last step."""
    before = checkpoints.before
    figures = {key: before[key] for key in before if key.startswith(("validation_loss", "top"))}
    return figures | {
        "loss": None,
        "images_per_second": 0.0,
        "steps": before["step"],
        "waiting": 0.0,
        "skipped": 0,
        "skipped_steps": trainer.skips.total,
        "checkpoint": checkpoints.path(),
    }


def train(
    trainer: Trainer,
    loader: Loader,
    steps: int,
    records: Records,
    start: int = 0,
    validation: Loader | None = None,
) -> dict[str, Any]:
    """Train from step `start` to `steps` by the recipe of the checkpoints; the figures as a dict.

    A checkpoint is written after every epoch, now and then (see Records), at the end and when asked
    to stop: Ctrl-C then raises KeyboardInterrupt, SIGTERM or SIGUSR1 SystemExit. `validation` is a
    Loader whose loss is logged after every epoch; an epoch at whose end the run is stopped goes
    without. Of several processes, only the first writes. Raises TrainingError if no photo of a
    whole epoch can be read, or too many steps in a row had to be skipped.
    """
    if start >= steps:
        raise TrainingError(
            f"{start} of {steps} steps are made: for more, raise num_epochs or max_steps"
        )
    checkpoints = records.checkpoints
    epoch_steps, first = loader.order.steps_per_epoch, loader.order.rank == 0
    guard = _guard(loader.dataset, checkpoints.recipe)
    figures: dict[str, Any] = {}
    opened = records.log.opened(start, steps)
    with opened as log, interrupts.noted() as signals, checkpoints.written():
        following = Following(trainer, log, guard, first, min(epoch_steps, steps))
        for step, batch in enumerate(log.timed(loader.batches(start, steps)), start):
            log.failures(batch.failures)
            lr = learning_rate(checkpoints.recipe, step, steps, epoch_steps)
            following.add(step, batch, lr, trainer.begin(batch, lr, signals))
            done = step + 1
            epoch_ends, is_last = done % epoch_steps == 0, done == steps
            is_due = first and records.is_due(done)
            following.read(0 if epoch_ends or is_last or is_due else trainer.ahead)
            stops = following.stops(step, epoch_ends or is_last)
            if not (epoch_ends or is_last or stops):
                if is_due:
                    checkpoints.save(trainer, step=done)
                continue
            following.read()
            log.check(step)
            if epoch_ends or is_last:
                figures, stops = _end_epoch(trainer, records, log, validation, done, stops, signals)
            if first:
                epoch = done // epoch_steps if epoch_ends else None
                checkpoints.save(trainer, epoch, step=done, **figures)
            if stops:
                _stop(trainer, records, log, done, is_last, signals)
        return figures | _totals(trainer, checkpoints, log, steps)


class Following:
    """The steps that are begun, each of whose figures are read, and noted, in their order.

    Raises TrainingError once the photos of `most` steps in a row could not be read, or too many
    steps in a row had to be skipped.
    """

    def __init__(
        self, trainer: Trainer, log: Log, guard: watch.Watch | None, first: bool, most: int
    ) -> None:
        self.trainer, self.log, self.guard = trainer, log, guard
        self.first, self.most, self.unread = first, most, 0
        self.begun: deque[tuple[int, Batch, float, Figures]] = deque()
        self.asked: int | None = None  # the step with which a process first asked to stop

    def add(self, step: int, batch: Batch, lr: float, figures: Figures) -> None:
        """Follow a step, whose `figures` can be asked for."""
        self.begun.append((step, batch, lr, figures))

    def read(self, left: int = 0) -> None:
        """Note the steps that are begun, but for the last `left` ones."""
        while len(self.begun) > left:
            self._note(*self.begun.popleft())

    def stops(self, step: int, at_once: bool) -> bool:
        """Whether all processes stop after `step`: it is the same one in each.

        One that has read further ahead than the others waits for them, unless all have.
        """
        return self.asked is not None and (at_once or step >= self.asked + self.trainer.ahead)

    def _note(self, step: int, batch: Batch, lr: float, figures: Figures) -> None:
        loss, photos, stops = figures()
        if stops and self.asked is None:
            self.asked = step
        self.unread = 0 if photos else self.unread + 1
        if self.unread == self.most:
            raise TrainingError(f"not one photo of {self.unread:,} steps could be read")
        if not photos:
            return
        is_skipped = _note_skip(self.trainer, self.log, step)
        self.log.step(step, None if is_skipped else loss, photos, lr)
        if self.guard:
            self._watch(step, batch, None if is_skipped else loss)

    def _watch(self, step: int, batch: Batch, loss: float | None) -> None:
        """Let the guard note the loss, if the step was made, and look at predictions."""
        if loss is not None:
            self.guard.note(loss, batch)  # type: ignore[union-attr]
        if self.first and len(batch.inputs) and (step + 1) % watch.EVERY == 0:
            logits = self.trainer.predict(batch.inputs[: watch.PHOTOS])
            self.log.warn(step + 1, self.guard.look(logits, batch))  # type: ignore[union-attr]


def _guard(dataset: PhotoDataset, recipe: Recipe) -> watch.Watch | None:
    """Return what looks after a network of bins, which may learn to colour nothing."""
    if dataset.network.predicts != BINS:
        return None
    return watch.Watch(dataset.target, recipe.distance)


def _end_epoch(
    trainer: Trainer,
    records: Records,
    log: Log,
    validation: Loader | None,
    done: int,
    stops: bool,
    signals: Sequence[int],
) -> tuple[dict[str, Any], bool]:
    """Return (figures of the epoch that ends after step `done`, whether the run stops)."""
    figures: dict[str, Any] = {}
    if validation and not stops:
        figures = _validate(trainer, validation, records.checkpoints, log, done, signals)
        stops = not figures
    if records.preview and not stops:
        records.preview.show(log.board, done, trainer.predict)  # type: ignore[arg-type]
    return figures, stops


def _stop(
    trainer: Trainer,
    records: Records,
    log: Log,
    done: int,
    is_last: bool,
    signals: Sequence[int],
) -> NoReturn:
    """Say where the run stands, and raise what a signal asks for."""
    records.checkpoints.wait()
    rest = "" if is_last else ": the same with continue_train goes on"
    log.say(f"stopped after step {done}, saved in {records.checkpoints.path()}{rest}")
    interrupts.stop(_reason(trainer, signals))


def _totals(trainer: Trainer, checkpoints: Checkpoints, log: Log, steps: int) -> dict[str, Any]:
    """Return the figures of the whole run."""
    skipped = int(*trainer.total(log.skipped))
    if skipped > log.skipped:
        log.say(f"skipped: photos that other processes could not read, {skipped - log.skipped:,}")
    return {
        "loss": log.loss,
        "images_per_second": round(log.images_per_second, 2),
        "steps": steps,
        "waiting": round(log.waiting, 4),
        "skipped": skipped,
        "skipped_steps": trainer.skips.total,
        "checkpoint": checkpoints.path(),
    }
