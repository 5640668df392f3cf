"""The training loop, the same for every backend: step, log, evaluate, save, resume."""

import math
import os
import re
import signal
from dataclasses import asdict

from cic import checkpoint, interrupts, watch
from cic.log import TrainingError
from cic.recipes import learning_rate

LATEST, BEST = "latest", "best"
_EPOCH = re.compile(r"epoch_(\d+)_model\.safetensors")


def checkpoint_path(folder, which=LATEST):
    """Path of a run's checkpoint: of finished epoch `which`, from 1, or the latest, or the best."""
    return os.path.join(folder, f"epoch_{which}_model.safetensors")


class Checkpoints:
    """The checkpoints of one run in `folder`, each with `meta`.

    There are the latest, those of the newest `keep` epochs, and the one of the epoch with the
    lowest validation loss, if there is validation.
    """

    def __init__(self, folder, network, recipe, meta=None, keep=5):
        self.folder = os.fspath(folder)
        self.network, self.keep = network, keep
        self.meta = checkpoint.network_meta(network) | {"recipe": asdict(recipe)} | (meta or {})

    def path(self, which=LATEST):
        """Path of the checkpoint of an epoch, or of the latest."""
        return checkpoint_path(self.folder, which)

    def save(self, trainer, which=LATEST, **progress):
        """Write weights, optimizer and progress; the path."""
        weights, optimizer = trainer.state()
        prefixed = {checkpoint.OPTIMIZER + name: array for name, array in optimizer.items()}
        checkpoint.save(self.path(which), weights | prefixed, self.meta | progress)
        return self.path(which)

    def save_epoch(self, trainer, epoch, **progress):
        """Write the checkpoint of a finished epoch, again if it is the best; remove older ones."""
        self.save(trainer, epoch, **progress)
        if "validation_loss" in progress and progress["validation_loss"] < self._lowest():
            self.save(trainer, BEST, **progress)
        epochs = [
            int(match[1]) for match in map(_EPOCH.fullmatch, os.listdir(self.folder)) if match
        ]
        for old in sorted(epochs)[: -self.keep]:
            os.unlink(self.path(old))

    def _lowest(self):
        """The validation loss of the best checkpoint."""
        if not os.path.exists(self.path(BEST)):
            return math.inf
        return checkpoint.load_meta(self.path(BEST))["validation_loss"]

    def resume(self, trainer, which=LATEST):
        """Load a checkpoint into `trainer`; the number of steps it has made."""
        state, meta = checkpoint.load(self.path(which))
        recipe = meta.get("recipe", self.meta["recipe"])["name"]
        if recipe != self.meta["recipe"]["name"]:
            raise TrainingError(f"{self.path(which)}: of recipe {recipe}: add --recipe {recipe}")
        weights, optimizer = checkpoint.split(state)
        checkpoint.check(self.network, weights, self.path(which))
        checkpoint.check_training(self.network, optimizer, meta, self.path(which))
        for key in ("seed", "photos", "fingerprint", "batch_size"):
            now = self.meta.get(key)
            if meta.get(key) != now:
                raise TrainingError(
                    f"{self.path(which)}: {key} was {meta.get(key)} and is {now}: the order of the "
                    "photos follows from it; to begin anew from these weights, take --weights"
                )
        trainer.load(weights, optimizer)
        return meta["step"]


def evaluate(trainer, loader):
    """Mean loss over all photos of the loaders of all processes, in evaluation mode."""
    total, photos = 0.0, 0
    for batch in loader.batches(0, loader.order.steps_per_epoch):
        if len(batch.inputs):
            total += trainer.evaluate(batch) * len(batch.inputs)
            photos += len(batch.inputs)
    total, photos = trainer.total(total, photos)
    if not photos:
        raise TrainingError("not one photo to evaluate on could be read")
    return total / photos


def train(
    trainer,
    recipe,
    loader,
    steps,
    checkpoints,
    log,
    start=0,
    validation=None,
    save_latest=2000,
    preview=None,
):
    """Train from step `start` to `steps`; the run's figures as a dict.

    A checkpoint is written after every epoch and, as the latest, every `save_latest` steps, at the
    end and when asked to stop: Ctrl-C then raises KeyboardInterrupt, SIGTERM SystemExit.
    `validation` is a Loader whose loss goes to the `log` after every epoch, when a `preview` is
    shown on the log's board. Of several processes, only the first writes.
    """
    if start >= steps:
        raise TrainingError(
            f"{start} of {steps} steps are made: for more, raise --num_epochs or --max_steps"
        )
    figures = {}
    epoch_steps = loader.order.steps_per_epoch
    first, guard = loader.order.rank == 0, watch.Watch()
    with log.opened(start, steps), interrupts.noted() as signals:
        for step, batch in enumerate(log.timed(loader.batches(start, steps)), start):
            log.failures(batch.failures)
            lr = learning_rate(recipe, step, steps)
            loss, photos, stops = trainer.step(batch, lr, signals)
            if photos:  # none of them may have been readable
                log.step(step, loss, photos, lr)
                guard.note(loss, batch)
            done = step + 1
            if first and len(batch.inputs) and done % watch.EVERY == 0:
                logits = trainer.predict(batch.inputs[: watch.PHOTOS])
                log.warn(done, guard.look(logits, batch))
            epoch_ends, last = done % epoch_steps == 0, done == steps
            if not (epoch_ends or last or stops or done % save_latest == 0):
                continue
            log.check(step)
            if validation and (epoch_ends or last):
                figures["validation_loss"] = evaluate(trainer, validation)
                log.write(step=done, **figures)
            if preview and (epoch_ends or last):
                preview.show(log.board, done, trainer.predict)
            if first and epoch_ends:
                checkpoints.save_epoch(trainer, done // epoch_steps, step=done, **figures)
            if first:
                checkpoints.save(trainer, step=done, **figures)
            if first and stops:
                log.bar.write(
                    f"stopped after step {done}, saved in {checkpoints.path()}: "
                    "the same command with --continue_train goes on"
                )
            if stops:
                interrupts.stop(signals[0] if signals else signal.SIGTERM)
        return figures | {
            "loss": log.loss,
            "images_per_second": round(log.images_per_second, 2),
            "steps": steps,
            "waiting": round(log.waiting, 4),
            "skipped": int(*trainer.total(log.skipped)),
            "checkpoint": checkpoints.path(),
        }
