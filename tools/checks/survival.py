"""Lines: a run goes on from its checkpoint, and ends as it should, whatever ends it."""

import os
import signal
import sys
import time
from functools import partial

import numpy as np

import backends
from cic.training import runs
from cic.weights import reading
from tools.checks import processes
from tools.checks.processes import PATIENCE
from tools.checks.setting import PHOTOS, Line, at_most, distance, losses

TRAIN = os.path.join(os.path.dirname(os.path.dirname(__file__)), "train.py")
OTHER_FRAMEWORK = 1e-9  # of the weights after a run that went on under it, relative
SAVED = 5  # seconds from a signal to the end of the process
# Terabytes, the first layer's output alone 275 GB. Weights scaled to the data take as much here.
TOO_LARGE = (
    "--load_size", "8192", "--crop_size", "8192", "--batch_size", "8", "--max_steps", "1",
    "--precision", "float64", "--init", "plain",
)  # fmt: skip


def resume(setting):
    """A run that is stopped and goes on, here and under the other framework, is an unbroken one."""
    size, half = 2 if setting.is_small else 8, 3
    recipe = setting.recipe(size)
    with setting.native.deterministic():
        whole = setting.trainer(recipe, "float32")
        losses(whole, setting, size, 2 * half)
        first, second = (setting.trainer(recipe, "float32") for _ in range(2))
        losses(first, setting, size, half)
        _carry(setting, recipe, first, second)
        _go_on(second, setting, size, half)
        apart = distance(second.state()[0], whole.state()[0])
        yield at_most("weights of a resumed run, float32, deterministic kernels", apart, 0)
    for name in backends.available(trains=True):
        if name != setting.backend.NAME:
            other = setting.trainer(recipe, device="cpu", backend=backends.get(name))
            whole, first = (setting.trainer(recipe) for _ in range(2))
            losses(whole, setting, size, 2 * half)
            losses(first, setting, size, half)
            _carry(setting, recipe, first, other)
            _go_on(other, setting, size, half)
            apart = distance(other.state()[0], whole.state()[0])
            yield at_most(f"the same under {name}, float64", apart, OTHER_FRAMEWORK)


def _carry(setting, recipe, first, second):
    """What the first trainer has, through a file, to the second."""
    folder = os.path.join(setting.folder, "carried")
    checkpoints = runs.Checkpoints(folder, setting.network, recipe)
    checkpoints.save(first, step=1)
    checkpoints.wait()
    checkpoints.resume(second)


def _go_on(trainer, setting, size, half):
    for n in range(half, 2 * half):
        trainer.step(setting.batch(size, n), 3.16e-5)


def empty(setting):
    """A batch whose photos could not be read changes nothing."""
    trainer = setting.trainer(setting.recipe(2), "float32")
    trainer.step(setting.batch(2), 1e-5)
    before, _ = trainer.state()
    photos = trainer.step(setting.empty_batch(), 1e-5)[1]
    same = all(np.array_equal(array, before[name]) for name, array in trainer.state()[0].items())
    found = f"{photos} photos, weights {'unchanged' if same else 'changed'}"
    yield Line("an empty batch", found, "0 photos, unchanged", same and photos == 0)


def signals(setting):
    """SIGTERM and SIGUSR1 save and end a run."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        folder = os.path.join(setting.folder, number.name)
        with processes.started(_command(setting, folder), folder) as process:
            begun = processes.begins(process, partial(_has_logged, folder))
            start = time.monotonic()
            process.send_signal(number)
            status = processes.wait(process)
            seconds = time.monotonic() - start
        saved = os.path.exists(runs.checkpoint_path(folder))
        step = reading.load(runs.checkpoint_path(folder))[1]["step"] if begun and saved else 0
        limit = PATIENCE if setting.is_small else SAVED  # a test knows nothing of the machine
        held = begun and seconds <= limit and step > 0
        found = f"ended after {seconds:.1f} s with {status}, saved at step {step}"
        found += "" if held else processes.said(folder)
        yield Line(number.name, found, f"<= {limit} s, saved", held, seconds)


def _has_logged(folder):
    path = os.path.join(folder, "log.jsonl")
    return os.path.exists(path) and os.path.getsize(path) > 0


def _command(setting, folder, *more):
    small = [f"--option={name}={value}" for name, value in setting.options.items()]
    return [
        sys.executable, TRAIN, "--image_dir", PHOTOS, "--model_path", folder, "--no-check",
        "--backend", setting.backend.NAME, "--device", setting.device, "--num_workers", "0",
        "--crop_size", str(setting.crop), "--batch_size", "8", "--loss_step", "1",
        "--num_epochs", "100000", *small, *more,
    ]  # fmt: skip


def memory(setting):
    """A run that is too large for the GPU says so in one line."""
    if setting.device == "cpu":
        yield Line("out of memory", "not run", "the system ends a process that takes too much")
        return
    folder = os.path.join(setting.folder, "large")
    status = processes.status(_command(setting, folder, *TOO_LARGE), folder)
    last = "".join(processes.last_lines(os.path.join(folder, processes.ERRORS), 1))
    held = status == 1 and "out of memory on" in last and "accumulate" in last
    found = last if held else processes.ended(status) + processes.said(folder)
    yield Line("out of memory", found, "one line, status 1", held)
