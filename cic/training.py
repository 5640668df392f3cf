"""The training loop, the same for every backend: step, log, evaluate, save, resume."""

import json
import math
import os
import time
from collections import deque
from dataclasses import asdict

from tqdm import tqdm

from cic import checkpoint, interrupts
from cic.recipes import learning_rate

RECENT = 50  # steps that the shown and the final loss are the mean of
LATEST = "latest"


class TrainingError(ValueError):
    """Training cannot go on; the message says why and what to do."""


def checkpoint_path(folder, which=LATEST):
    """Path of a run's checkpoint: of finished epoch `which`, counted from 1, or the latest."""
    return os.path.join(folder, f"epoch_{which}_model.safetensors")


class Checkpoints:
    """The checkpoints of one run in `folder`, one an epoch and the latest; each has `meta`."""

    def __init__(self, folder, network, recipe, meta=None):
        self.folder = os.fspath(folder)
        self.network = network
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

    def resume(self, trainer, which=LATEST):
        """Load a checkpoint into `trainer`; the number of steps it has made."""
        state, meta = checkpoint.load(self.path(which))
        recipe = meta.get("recipe", self.meta["recipe"])["name"]
        if recipe != self.meta["recipe"]["name"]:
            raise TrainingError(f"{self.path(which)}: of recipe {recipe}: add --recipe {recipe}")
        weights, optimizer = checkpoint.split(state)
        checkpoint.check(self.network, weights, self.path(which))
        checkpoint.check_training(self.network, optimizer, meta, self.path(which))
        for key in ("seed", "photos", "batch_size"):
            now = self.meta.get(key)
            if meta.get(key) != now:
                raise TrainingError(
                    f"{self.path(which)}: {key} was {meta.get(key)} and is {now}: the order of the "
                    "photos follows from it; to begin anew from these weights, take --weights"
                )
        trainer.load(weights, optimizer)
        return meta["step"]


class Log:
    """A progress bar, and one JSON object a line in `path` every `every` steps."""

    def __init__(self, path, every, start, steps):
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        self.file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by __exit__
        self.every = every
        self.bar = tqdm(total=steps, initial=start, unit="step", dynamic_ncols=True)
        self.started = time.perf_counter()
        self.losses = deque(maxlen=RECENT)
        self.images = 0
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

    def failures(self, messages):
        """Name each unreadable photo once."""
        for message in messages:
            if message not in self.reported:
                self.reported.add(message)
                self.bar.write(f"skipped: {message}")

    def step(self, step, loss, images, lr):
        """Note one step; raises TrainingError once the loss is no longer a number."""
        self.losses.append(loss)
        self.images += images
        self.bar.update(step + 1 - self.bar.n)
        if (step + 1) % self.every and step + 1 < self.bar.total:
            return
        mean, rate = self.check(step), self.images_per_second
        self.bar.set_postfix(loss=f"{mean:.4f}", images_s=f"{rate:.1f}", refresh=False)
        self.write(step=step + 1, loss=mean, lr=lr, images_per_second=rate)

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
        self.file.write(json.dumps(figures) + "\n")
        self.file.flush()


def evaluate(trainer, loader):
    """Mean loss over all photos of `loader`, in evaluation mode."""
    total, photos = 0.0, 0
    for batch in loader.batches(0, loader.order.steps_per_epoch):
        if len(batch.inputs):
            total += trainer.evaluate(batch) * len(batch.inputs)
            photos += len(batch.inputs)
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
):
    """Train from step `start` to `steps`; the run's figures as a dict.

    A checkpoint is written after every epoch and, as the latest, every `save_latest` steps, at the
    end and when asked to stop: Ctrl-C then raises KeyboardInterrupt, SIGTERM SystemExit.
    `validation` is a Loader whose loss is logged after every epoch.
    """
    if start >= steps:
        raise TrainingError(
            f"{start} of {steps} steps are made: for more, raise --num_epochs or --max_steps"
        )
    figures = {}
    epoch_steps = loader.order.steps_per_epoch
    with Log(log_path, log_step, start, steps) as log, interrupts.noted() as signals:
        for step, batch in enumerate(loader.batches(start, steps), start):
            log.failures(batch.failures)
            if len(batch.inputs):  # none of them may have been readable
                lr = learning_rate(recipe, step, steps)
                log.step(step, trainer.step(batch, lr), len(batch.inputs), lr)
            done = step + 1
            epoch_ends, last, stops = done % epoch_steps == 0, done == steps, bool(signals)
            if not (epoch_ends or last or stops or done % save_latest == 0):
                continue
            log.check(step)
            if validation and (epoch_ends or last):
                figures["validation_loss"] = evaluate(trainer, validation)
                log.write(step=done, **figures)
            if epoch_ends:
                checkpoints.save(trainer, done // epoch_steps, step=done, **figures)
            checkpoints.save(trainer, step=done, **figures)
            if stops:
                log.bar.write(
                    f"stopped after step {done}, saved in {checkpoints.path()}: "
                    "the same command with --continue_train goes on"
                )
                interrupts.stop(signals[0])
        return figures | {
            "loss": log.loss,
            "images_per_second": round(log.images_per_second, 2),
            "steps": steps,
            "skipped": len(log.reported),
            "checkpoint": checkpoints.path(),
        }
