"""The training loop, the same for every backend: step, log, evaluate, save, resume."""

import json
import math
import os
import re
import signal
import time
from collections import deque
from dataclasses import asdict

from tqdm import tqdm

from cic import checkpoint, interrupts, watch
from cic.recipes import learning_rate

RECENT = 50  # steps that the shown and the final loss are the mean of
LATEST, BEST = "latest", "best"
_EPOCH = re.compile(r"epoch_(\d+)_model\.safetensors")


class TrainingError(ValueError):
    """Training cannot go on; the message says why and what to do."""


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


def _open_log(path):
    """Binary file to append lines to; a line that a kill cut off is ended first."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    file = open(path, "ab+")  # noqa: SIM115 - closed by Log
    if file.tell():
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
    return file


class Log:
    """A progress bar, and one JSON object a line in `path` every `every` steps.

    Without a path, as in all processes but the first, nothing is shown or written. The figures go
    to `board`, a board.Board, as well.
    """

    def __init__(self, path, every, start, steps, board=None):
        path = path or os.devnull
        self.file = _open_log(path)
        self.every, self.total, self.board = every, steps, board
        silent = path == os.devnull
        self.bar = tqdm(total=steps, initial=start, unit="step", dynamic_ncols=True, disable=silent)
        self.started = time.perf_counter()
        self.waited = 0.0
        self.losses = deque(maxlen=RECENT)
        self.images = self.steps = self.skipped = 0
        self.reported = set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bar.close()
        self.file.close()

    @property
    def loss(self):
        """Mean loss of the recent steps; NaN before the first."""
        losses = [loss.item() for loss in self.losses]
        return sum(losses) / len(losses) if losses else math.nan

    @property
    def images_per_second(self):
        """Photos a second since the start of this run."""
        return self.images / (time.perf_counter() - self.started)

    @property
    def waiting(self):
        """Share of the time since the start of this run that it waited for photos."""
        return self.waited / (time.perf_counter() - self.started)

    def timed(self, batches):
        """Iterate over `batches`; the time that they take to come is noted."""
        batches = iter(batches)
        while True:
            before = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            if self.steps:  # the first batch waits for the processes to start
                self.waited += time.perf_counter() - before
            yield batch

    def failures(self, messages):
        """Name each unreadable photo once."""
        self.skipped += len(messages)
        for message in messages:
            if message not in self.reported:
                self.reported.add(message)
                self.bar.write(f"skipped: {message}")

    def warn(self, step, messages):
        """Show and write what is wrong with the training, if anything."""
        for message in messages:
            self.bar.write(f"watch: {message}")
            self._write_line({"step": step, "watch": message})

    def step(self, step, loss, images, lr):
        """Note one step; raises TrainingError once the loss is no longer a number."""
        self.losses.append(loss)
        self.images += images
        self.steps += 1
        self.bar.update(step + 1 - self.bar.n)
        if (step + 1) % self.every and step + 1 < self.total:
            return
        mean, rate = self.check(step), self.images_per_second
        self.bar.set_postfix(loss=f"{mean:.4f}", images_s=f"{rate:.1f}", refresh=False)
        self.write(step=step + 1, loss=mean, lr=lr, images_per_second=rate, waiting=self.waiting)

    def check(self, step):
        """The recent loss; raises TrainingError if no photo was read, or no number is left."""
        if not self.images:
            raise TrainingError("not one photo could be read")
        loss = self.loss
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} at step {step + 1}: try a lower --lr")
        return loss

    def write(self, **figures):
        """Append one line of figures."""
        self._write_line(figures)
        if self.board:
            self.board.scalars(**figures)

    def _write_line(self, entry):
        self.file.write(json.dumps(entry).encode() + b"\n")
        self.file.flush()


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
    log_path,
    start=0,
    validation=None,
    log_step=10,
    save_latest=2000,
    first=True,
    board=None,
    preview=None,
):
    """Train from step `start` to `steps`; the run's figures as a dict.

    A checkpoint is written after every epoch and, as the latest, every `save_latest` steps, at the
    end and when asked to stop: Ctrl-C then raises KeyboardInterrupt, SIGTERM SystemExit.
    `validation` is a Loader whose loss is logged after every epoch. Of several processes, only the
    `first` logs and writes, to `board` too if there is one; a `preview` is shown there each epoch.
    """
    if start >= steps:
        raise TrainingError(
            f"{start} of {steps} steps are made: for more, raise --num_epochs or --max_steps"
        )
    figures = {}
    epoch_steps = loader.order.steps_per_epoch
    log_path, guard = log_path if first else None, watch.Watch()
    with Log(log_path, log_step, start, steps, board) as log, interrupts.noted() as signals:
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
            if board and (epoch_ends or last):
                preview.show(board, done, trainer.predict)
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
