"""Lines: several processes train as one does, faster, and end together."""

import json
import os
import signal
import sys
import time

import numpy as np

from cic.system import threads
from tools.checks import processes
from tools.checks.processes import PATIENCE
from tools.checks.setting import PHOTOS, Line, apart, at_most
from tools.checks.speed import shards
from tools.checks.survival import TRAIN

NEAR = 1e-7  # relative, of each step's loss in float64
END = 40  # seconds in which all processes end after one was killed
UNEVEN = 3  # photos at once of two processes
IN_AN_EPOCH = 20  # times all shards: each epoch ends with a checkpoint, which takes time
LAUNCHERS = {
    "torch": ("torch.distributed.run", "--standalone", "--nproc_per_node", "2"),
    "paddle": ("paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", "logs"),
}


def together(setting):
    """Two processes, a GPU each, on batches that cannot be halved, against one; and one killed."""
    if not setting.is_small and setting.native.gpus() < 2:
        yield Line("two processes", "not run", "there is one GPU")
        return
    steps = 4 if setting.is_small else 20
    one, two = (_losses(setting, count, steps) for count in (1, 2))
    what = f"{steps} steps of {UNEVEN} photos in two processes, float64, against one"
    yield at_most(what, apart(two, one), NEAR)
    yield from _killed(setting)


def scaling(setting):
    """Photos a second of one process and of two, each with as large a part of a batch."""
    if not setting.is_small and setting.native.gpus() < 2:
        yield Line("photos/s of two processes", "not run", "there is one GPU")
        return
    one, two = (_rate(setting, count) for count in (1, 2))
    found = f"{one:.0f} photos/s of one, {two:.0f} of two: {two / one:.2f} times as many"
    yield Line("photos/s of two processes", found, number=two / one)


def _rate(setting, count):
    """Photos a second of a run in so many processes after its first steps."""
    part, warm, steps = (2, 2, 4) if setting.is_small else (40, 100, 400)
    places = [shards(setting)] * (1 if setting.is_small else IN_AN_EPOCH)
    workers = max(1, (threads.cores() - 1) // count)
    folder = os.path.join(setting.folder, f"speed of {count}")
    command = _command(
        setting, count, folder, "--image_dir", *places, "--batch_size", str(part * count),
        "--num_workers", str(workers), "--max_steps", str(steps), "--loss_step", str(warm),
        "--precision", "float32" if setting.device == "cpu" else "bf16",
    )  # fmt: skip
    processes.finish(command, folder)
    return rate_between(_entries(folder), part * count)


def rate_between(entries, size):
    """Photos a second between the first and the last entry of a log, in batches of `size`."""
    photos = np.array([entry["step"] * size for entry in entries])
    seconds = photos / [entry["images_per_second"] for entry in entries]
    return float((photos[-1] - photos[0]) / (seconds[-1] - seconds[0]))


def _command(setting, count, folder, *more):
    small = [f"--option={name}={value}" for name, value in setting.options.items()]
    device = "cpu" if setting.device == "cpu" else "gpu"
    launcher = ["-m", *LAUNCHERS[setting.backend.NAME]] if count > 1 else []
    alone = [] if count > 1 else ["--backend", setting.backend.NAME]
    return [
        sys.executable, *launcher, TRAIN, *alone, "--device", device, "--no-check",
        "--image_dir", PHOTOS, "--model_path", folder, "--num_workers", "0", "--loss_step", "1",
        "--crop_size", str(setting.crop), "--batch_size", str(UNEVEN), *small, *more,
    ]  # fmt: skip


def _losses(setting, count, steps):
    """The loss of each step of a run in so many processes."""
    folder = os.path.join(setting.folder, f"of {count}")
    command = _command(setting, count, folder, "--max_steps", str(steps), "--precision", "float64")
    processes.finish(command, folder)
    return np.array(_log(folder))


def _log(folder):
    return [entry["loss"] for entry in _entries(folder)]


def _entries(folder):
    """The entries of a run's log that tell of a step."""
    path = os.path.join(folder, "log.jsonl")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [entry for entry in map(json.loads, file) if "loss" in entry]


def _killed(setting):
    """SIGKILL of one process ends all, with an error."""
    folder = os.path.join(setting.folder, "killed")
    command = _command(setting, 2, folder, "--num_epochs", "100000")
    with processes.started(command, folder) as launcher:
        begun = processes.begins(launcher, lambda: len(_log(folder)) >= 2)
        start = time.monotonic()
        if begun:
            os.kill(_trainers(launcher.pid)[-1], signal.SIGKILL)
        status = processes.wait(launcher, 2 * PATIENCE)
        seconds = time.monotonic() - start
    found = f"all ended after {seconds:.1f} s with {status}"
    limit = PATIENCE if setting.is_small else END
    held = begun and seconds <= limit and status != 0
    found += "" if held else processes.said(folder)
    yield Line("SIGKILL of one of two processes", found, f"<= {limit} s, an error", held, seconds)


def _trainers(launcher):
    """Process ids of those that a launcher started, and that train."""
    with open(f"/proc/{launcher}/task/{launcher}/children", encoding="ascii") as file:
        return sorted(map(int, file.read().split()))
