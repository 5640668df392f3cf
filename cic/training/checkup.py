"""Check before training: the photos, the memory, a step, the loader, and how long it will take.

Each finding says what was measured, how bad that is, and what to do about it.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, inf, isfinite, prod

import numpy as np

from cic.dataset.batches import Batch, PhotoDataset
from cic.dataset.loader import Loader
from cic.networks import BINS, Network, layers
from cic.networks.encoder import trained
from cic.system import threads
from cic.system.arrays import Array
from cic.system.invocation import named
from cic.training import survey
from cic.training.recipes import Recipe, learning_rate
from cic.training.survey import BAD, OK, WARN, Remark, Sample
from cic.training.trainer import Trainer
from cic.training.watch import constant_distance, constant_loss, mean_root, mean_target

PHOTOS, BRIEF_PHOTOS = 512, 64
BRIEF_SECONDS = 1.0  # for looking at photos, and for further timed steps after a second
REPEATS = 3  # timed steps after the first, which is slower: 6 s before 12 ms on a GPU
ROUNDS = 2  # batches a worker makes while the loader is timed
# Bytes kept of what the layers put out, as a multiple of them all. With it the peak of two steps on
# the CPU, 127 to 849 MB, is estimated within -22 to +34 %: PyTorch 2.13.0 and PaddlePaddle 3.3.1,
# widths 0.25 to 1, crops of 56 to 176, batches of 8 to 40, float32.
KEPT = 1.15
# The same on a GPU, which has no copies in other layouts: for the paper's network at 176 pixels
# autograd keeps 0.53 (PyTorch 2.13.0, bf16, counted); the largest layers' gradients come on top.
KEPT_ON_GPU = 0.65
FULL, TOO_FULL = 0.8, 1.25  # shares of the memory that, by such an estimate, may not and do not fit
STARVED = (0.1, 0.5)  # shares of the device's time worth a change, and bad
LONG = 30 * 86400  # seconds
_BYTES = {"float64": 8, "float32": 4, "tf32": 4, "bf16": 2, "fp16": 2}
_UNITS = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


@dataclass
class Speed:
    """Photos a second of all processes: by the loader alone, and by the steps alone."""

    loader: float
    steps: float
    workers: int

    @property
    def together(self) -> float:
        """Of both: they wait for the slower; without workers, for each other."""
        if self.workers:
            return min(self.loader, self.steps)
        return 1 / (1 / self.loader + 1 / self.steps)

    @property
    def starved(self) -> float:
        """Share of the time that the device waits for photos."""
        return 1 - self.together / self.steps


def checkup(
    trainer: Trainer,
    recipe: Recipe,
    loader: Loader,
    shares: Array,
    steps: int,
    start: int = 0,
    brief: bool = False,
    held_out: PhotoDataset | None = None,
) -> list[Remark]:
    """Return the remarks about training from step `start` to `steps`; all processes call it
    together.

    `shares` (313,) is the prior in use, `held_out` the dataset to evaluate on, if there is one. The
    trainer is left as it was. `brief` looks at fewer photos, for about a second, and makes fewer
    steps where they are slow.
    """
    dataset = loader.dataset
    batch, rate = _load(loader, start, brief)  # first, so that its workers have started
    most = (BRIEF_PHOTOS, BRIEF_SECONDS) if brief else (PHOTOS, inf)
    seen = survey.take(dataset, *most, loader.order.odds())
    rate = rate or max(1, seen.photos) / seen.seconds * min(max(1, loader.workers), threads.cores())
    found = survey.findings(seen, dataset, shares)
    if held_out:
        found += survey.held_out(survey.take(held_out, *most), held_out)
    room = _memory(trainer, recipe, loader)
    found.append(room)
    if trainer.total(room.verdict == BAD)[0]:
        return [*found, Remark("step", "not tried: it would not fit into the memory", WARN)]
    if trainer.total(len(batch.inputs))[0] == 0:
        return [*found, Remark("step", "not tried: no photo of a batch can be read", BAD)]
    lr = learning_rate(recipe, start, steps, loader.order.steps_per_epoch)
    loss, photos, seconds = _try(trainer, batch, lr, BRIEF_SECONDS if brief else inf)
    speed = Speed(trainer.total(rate)[0], photos / seconds, loader.workers)
    found += [_step(loss, batch, seconds, dataset, recipe), _loader(speed, seen, loader)]
    return [*found, _time((steps - start) * recipe.batch_size / speed.together, speed)]


def table(findings: Iterable[Remark]) -> str:
    """Return the remarks as aligned lines: verdict, name, what was measured; advice below it."""
    lines = []
    for name, measured, verdict, advice in findings:
        lines.append(f"{verdict:4}  {name:8}  {measured}")
        if advice:
            lines.append(f"{'':16}-> {advice}")
    return "\n".join(lines)


def worrying(findings: Iterable[Remark]) -> list[Remark]:
    """Return those that are not OK."""
    return [finding for finding in findings if finding.verdict != OK]


def memory_needed(
    network: Network,
    crop_size: int,
    photos: int,
    precision: str = "float32",
    copies: int = 0,
    freeze: int = 0,
    kept: float = KEPT,
) -> int:
    """Estimate of the bytes that training takes; KEPT, by default `kept`, says how good it is.

    Of each parameter: its value and a copy in 16 bits; of each that is trained: gradient, two more
    for the optimizer, and further `copies`; of each of the photos computed at once: what all layers
    put out, those that are frozen too, which is more than needed.
    """
    outputs = layers.total_outputs(network.layers, (network.channels, crop_size, crop_size))
    size = _BYTES[precision]
    each = max(size, 4) + (size if size < 4 else 0)
    more = (3 + copies) * max(size, 4)
    names = trained(network, freeze)
    count = sum(prod(network.parameters.get(name, (0,))) for name in names)
    weights = network.parameter_count * each + count * more
    return weights + int(kept * outputs * photos * size)


def photos_at_once(recipe: Recipe, size: int) -> int:
    """Return the photos that each of `size` processes computes at once."""
    return ceil(recipe.batch_size / size / recipe.accumulate)


def estimate(network: Network, recipe: Recipe, size: int, precision: str, device: object) -> int:
    """Return `memory_needed` by a process of a run of `size` on a native device, bytes."""
    photos, crop = photos_at_once(recipe, size), recipe.crop_size
    kept = KEPT if str(device) == "cpu" else KEPT_ON_GPU
    copies = (recipe.average > 0) + (size > 1)  # the average, and the gradients as they travel
    return memory_needed(network, crop, photos, precision, copies, recipe.freeze, kept)


def host_memory() -> int | None:
    """Return the bytes that this machine can give now (Linux); None where it does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            sizes = [line.split()[1] for line in file if line.startswith("MemAvailable")]
    except OSError:
        return None
    return 1024 * int(sizes[0]) if sizes else None


def _memory(trainer: Trainer, recipe: Recipe, loader: Loader) -> Remark:
    network, order = loader.dataset.network, loader.order
    photos = photos_at_once(recipe, order.world)
    needed = estimate(network, recipe, order.world, trainer.precision, trainer.device)
    there = host_memory() if str(trainer.device) == "cpu" else trainer.memory()
    measured = f"about {needed / 1e9:.1f} GB for {photos} photos at a time"
    if there is None:
        return Remark("memory", measured)
    share = needed / there
    verdict = BAD if share > TOO_FULL else WARN if share > FULL else OK
    advice = "a smaller batch_size, or the same in parts with accumulate"
    measured += f", of {there / 1e9:.1f} GB free"
    return Remark("memory", measured, verdict, advice if verdict != OK else "")


def _load(loader: Loader, start: int, brief: bool) -> tuple[Batch, float | None]:
    """Return (the Batch of step `start`, photos a second of this process's loader, None if
    brief).
    """
    workers = max(1, loader.workers)
    count = 1 if brief else (1 + ROUNDS) * workers
    batches = loader.batches(start, start + count)
    first = next(batches)
    if brief:
        return first, None
    for _ in range(workers - 1):  # the others, which started at the same time
        next(batches)
    begin = time.perf_counter()
    photos = sum(len(batch.inputs) for batch in batches)
    return first, max(1, photos) / (time.perf_counter() - begin)


def _try(trainer: Trainer, batch: Batch, lr: float, limit: float) -> tuple[float, int, float]:
    """Return (loss of a first step, photos of all processes, seconds of a later one); changes
    nothing.

    No further step is timed once those that were took `limit` seconds, on average.
    """
    before = trainer.state()
    losses: list[float] = []
    seconds: list[float] = []
    processes = trainer.total(1)[0]
    while len(seconds) < 2 or (
        len(seconds) <= REPEATS and trainer.total(sum(seconds[1:]))[0] < limit * processes
    ):
        begin = time.perf_counter()
        loss, photos, _ = trainer.step(batch, lr)
        losses.append(loss)
        seconds.append(time.perf_counter() - begin)
    trainer.load(*before)
    return losses[0], photos, float(np.median(seconds[1:]))


def _step(
    loss: float, batch: Batch, seconds: float, dataset: PhotoDataset, recipe: Recipe
) -> Remark:
    if not isfinite(loss):
        advice = "check the weights; precision float32 reaches further"
        return Remark("step", f"the loss is {loss}", BAD, advice)
    measured = f"loss {loss:.3g}"
    if dataset.network.predicts == BINS:
        some = batch.some_targets(dataset.target)
        target = mean_target(*some)
        same = constant_loss(target) + recipe.distance * constant_distance(mean_root(*some), target)
        measured += f"; {same:.2f} is that of predicting the same everywhere"
    return Remark("step", f"{measured}; {seconds:.3g} s each")


def _loader(speed: Speed, seen: Sample, loader: Loader) -> Remark:
    measured = (
        f"{_rate(speed.loader)} photos/s for {_rate(speed.steps)} of the steps: the device waits "
        f"{speed.starved:.0%} of the time"
    )
    worst = STARVED[1] < speed.starved
    verdict = BAD if worst else WARN if speed.starved > STARVED[0] else OK
    if verdict == OK:
        return Remark("loader", measured)
    advice = f"more num_workers than {loader.workers}; there are {threads.cores()} cores"
    if seen.large > seen.photos / 2:
        advice = f"shrink the photos once with {named('prepare')}; {advice}"
    return Remark("loader", measured, verdict, advice)


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _time(seconds: float, speed: Speed) -> Remark:
    unit, name = next((pair for pair in _UNITS if seconds >= 2 * pair[0]), _UNITS[-1])
    measured = f"about {seconds / unit:.3g} {name} to go, at {_rate(speed.together)} photos/s"
    advice = "a GPU, fewer num_epochs, or a narrower network, such as option width=0.25"
    if seconds > LONG:
        return Remark("time", measured, WARN, advice)
    return Remark("time", measured)
