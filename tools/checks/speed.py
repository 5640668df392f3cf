"""Lines: how fast a step is, what it takes, and whether the device waits."""

import os
import shutil
import sys
import time
from collections import deque
from itertools import islice

from cic.dataset.batches import Order
from cic.dataset.loader import Loader
from cic.dataset.preparation import Preparation, prepare
from cic.system import threads
from cic.training import checkup
from tools.checks.setting import PHOTOS, Line, at_most

# NVIDIA's data sheets: operations a second of bfloat16 with float32 sums, without sparsity.
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L4": 121e12, "RTX 4090": 165e12}
A_PHOTO = 3  # a training step costs three forward passes
WAITING = 0.1  # of the time, for photos
WAITS = 0  # of a step that is begun: its figures are read later
WARM, SECONDS = 50, 60  # steps before the time counts, and how long it does
REPEATS, IN_A_SHARD = 200, 400  # of each photograph, and photos


def step(setting):
    """Photos a second, the share of the GPU's peak, and memory against the checkup's estimate."""
    for size in (2, 4) if setting.is_small else (40, 256):
        precision = "float32" if setting.device == "cpu" else "bf16"
        recipe = setting.recipe(size)
        trainer, batch = setting.trainer(recipe, precision), setting.batch(size)
        on_gpu = setting.device != "cpu"
        if on_gpu:
            setting.native.reset_peak(setting.device)
        rate = size / _seconds(setting, trainer, batch)
        found = f"{rate:.0f} photos/s"
        if share := _share(setting, rate):
            found += f", {100 * share:.0f} % of the peak"
        yield Line(f"step of {size} photos, {precision}", found, number=rate)
        if on_gpu:
            taken = setting.native.peak(setting.device)
            estimate = checkup.estimate(setting.network, recipe, 1, precision, setting.device)
            yield Line(
                f"memory of {size} photos, {precision}",
                f"{taken / 1e9:.1f} GB, estimated {estimate / 1e9:.1f}",
                "taken <= estimate <= 2.5 times",
                taken <= estimate <= 2.5 * taken,
                estimate / taken,
            )
            del trainer
            setting.native.free()


def _seconds(setting, trainer, batch):
    """Of a step, the mean of many after the first."""
    count = 2 if setting.is_small else 30
    for _ in range(1 if setting.is_small else 5):
        trainer.step(batch, 1e-5)
    setting.native.wait(setting.device)
    start = time.perf_counter()
    _begin(trainer, batch, count)
    setting.native.wait(setting.device)
    return (time.perf_counter() - start) / count


def _begin(trainer, batch, count):
    """Begin so many steps, and read their figures."""
    for figures in [trainer.begin(batch, 1e-5) for _ in range(count)]:
        figures()


def _share(setting, rate):
    """Of the GPU's peak, of so many photos a second; None for a GPU that is not in the table."""
    name = setting.native.facts(setting.device).get("gpu", "")
    peak = next((peak for key, peak in PEAKS.items() if key in name), None)
    crop = (setting.network.channels, setting.crop, setting.crop)
    return peak and rate * A_PHOTO * 2 * setting.network.multiply_adds(crop) / peak


def waits(setting):
    """How often a step makes the process wait for the GPU while it is begun."""
    size, count = 8, 10
    trainer, batch = setting.trainer(setting.recipe(size), "float32"), setting.batch(size)
    trainer.step(batch, 1e-5)
    if setting.device == "cpu":
        yield Line("waits for the GPU, a step", "not run", "there is no GPU to wait for")
        return

    found = setting.native.count_waits(lambda: _begin(trainer, batch, count))
    if found is None:
        yield Line("waits for the GPU, a step", "not run", f"{setting.backend.NAME} does not tell")
        return
    yield at_most("waits for the GPU, a step", found / count, WAITS)


def run(setting):
    """Steps of photos from disk, as a run makes them: photos a second, and the share that waits."""
    size, warm, seconds = (2, 2, 1) if setting.is_small else (40, WARM, SECONDS)
    workers = max(1, threads.cores() - 1)
    recipe = setting.recipe(size)
    trainer = setting.trainer(recipe, "float32" if setting.device == "cpu" else "bf16")
    photos = setting.dataset(shards(setting))
    with Loader(photos, Order(len(photos), size), workers) as loader:
        batches = loader.batches(0, sys.maxsize)
        rate, waiting = fed(trainer, batches, recipe.lr, warm, seconds)
    what = f"steps of {size} photos from disk for {seconds} s, {workers} workers"
    yield Line(what, f"{rate:.0f} photos/s", number=rate)
    limit = 1 if setting.is_small else WAITING
    yield at_most("share of it that waited for photos", waiting, limit)


def fed(trainer, batches, lr, warm, seconds):
    """(photos a second, share of the time that waits for batches) after `warm` steps."""
    for batch in islice(batches, warm):
        trainer.step(batch, lr)
    begun, photos, waited, start = deque(), 0, 0.0, time.perf_counter()
    now = start
    while now - start < seconds:
        batch = next(batches)
        waited += time.perf_counter() - now
        begun.append(trainer.begin(batch, lr))
        while len(begun) > trainer.ahead:
            photos += begun.popleft()()[1]
        now = time.perf_counter()
    return photos / (now - start), waited / (now - start)


def shards(setting):
    """Folder with tar shards of the demo's photographs, each many times; made once."""
    output, count = os.path.join(setting.folder, "shards"), 1 if setting.is_small else REPEATS
    if not os.path.isdir(output):
        folder = os.path.join(setting.folder, "photos")
        _copies(folder, count)
        workers = 0 if setting.is_small else threads.cores()
        how = Preparation([folder], output, shards=IN_A_SHARD, num_workers=workers)
        prepare(how, progress=lambda event: None)
    return output


def _copies(folder, count):
    """The demo's photographs, each `count` times."""
    os.makedirs(folder, exist_ok=True)
    for name in sorted(os.listdir(PHOTOS)):
        stem, ending = os.path.splitext(name)
        for n in range(count if ending == ".jpg" else 0):
            shutil.copy(os.path.join(PHOTOS, name), os.path.join(folder, f"{stem}-{n}{ending}"))
