"""A step asks the device for its numbers once: on a GPU every question waits for all work.

Under PyTorch it is not asked while steps are begun: their figures are read some steps later.
"""

import importlib
import os
import signal
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from cic.dataset.batches import Order, PhotoDataset, make_batch
from cic.dataset.loader import Loader
from cic.networks.initialize import initialize
from cic.training import loop, recipes, runs
from cic.training.log import LogSettings
from cic.weights import reading
from helpers import tiny

TINY = tiny.tiny()
# What reads a tensor's numbers; Paddle's `tolist` and `float` come to `numpy`.
READS = {
    "torch": ("tolist", "numpy", "item", "__float__", "__int__", "__bool__", "__array__"),
    "paddle": ("numpy", "item", "__bool__", "__array__"),
}


@pytest.fixture
def reads(backend, monkeypatch):
    """The names of the reads that were made, a list."""
    kind = importlib.import_module(backend.NAME).Tensor
    made = []

    def noted(name, own):
        def read(*arguments, **options):
            made.append(name)
            return own(*arguments, **options)

        return read

    for name in READS[backend.NAME]:
        monkeypatch.setattr(kind, name, noted(name, getattr(kind, name)))
    return made


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accumulate": 2, "clip_norm": 1.0, "average": 0.9},
        {"optimizer": "sgd", "momentum": 0.9},
    ],
)
def test_a_step_reads_once_and_copies_no_number_to_the_device(
    backend, photo_folder, reads, monkeypatch, changes
):
    recipe = replace(recipes.get("full"), network="tiny", batch_size=4, **changes)
    dataset = PhotoDataset([photo_folder], TINY, 64, 56)
    batches = [make_batch(dataset, Order(len(dataset), 4), step) for step in range(2)]
    trainer = backend.Trainer(TINY, recipe, initialize(TINY), "cpu", "float32")
    if backend.NAME == "torch":
        monkeypatch.delattr("torch.tensor")  # by which a number is copied, and waited for
    for batch in batches:
        reads.clear()
        loss, photos, stop = trainer.step(batch, 1e-4)
        assert len(reads) == 1, reads
        assert (type(loss), photos, stop) == (float, len(batch.inputs), False)
        assert np.isfinite(loss)


@pytest.fixture
def meta(monkeypatch):
    """PyTorch's device without numbers, in a GPU's place: whatever asks for one raises."""
    torch = pytest.importorskip("torch")
    trainer = importlib.import_module("backends.torch.trainer")
    device = torch.device("meta")
    for module in ("trainer", "network"):
        module = importlib.import_module(f"backends.torch.{module}")
        monkeypatch.setattr(module, "resolve_device", lambda name: device)
    monkeypatch.setattr(trainer, "_begin_read", lambda figures: figures.tolist)
    monkeypatch.setattr("torch.autocast", lambda *_, **__: nullcontext())  # there is none for it
    monkeypatch.setattr("torch._fused_sgd_", lambda *_, **__: None)  # nor this
    return trainer


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accumulate": 2, "clip_norm": 1.0, "average": 0.9, "optimizer": "adamw"},
        {"optimizer": "sgd", "momentum": 0.9, "distance": 0.1},
    ],
)
def test_a_step_is_begun_without_asking_the_device(
    backend, photo_folder, meta, monkeypatch, changes, processes
):
    """Nor do Lab, targets and messages ask it, and nothing that decides whether it is skipped."""
    if backend.NAME == "paddle":
        pytest.skip("its optimizers ask")
    monkeypatch.setattr(meta.distributed, "world_size", lambda: processes)
    for name in ("all_reduce", "all_gather_into_tensor"):
        monkeypatch.setattr(meta.distributed.distributed, name, lambda *_, **__: Sent())
    recipe = replace(recipes.get("full"), network="tiny", batch_size=4, **changes)
    dataset = PhotoDataset([photo_folder], TINY, 64, 56)
    target = dataset.target
    dataset.leave_to_trainer()
    batch = make_batch(dataset, Order(len(dataset), 4), 0)
    assert batch.crops is not None
    for precision in ("float32", "fp16"):
        trainer = backend.Trainer(TINY, recipe, initialize(TINY), "gpu", precision)
        trainer.make_targets(target)
        figures = trainer.begin(batch, 1e-4)
        with pytest.raises(RuntimeError, match="meta"):
            figures()


class Sent:
    """A message that has arrived."""

    def wait(self):
        pass


def train(backend, photo_folder, folder, ahead, monkeypatch, steps=6, ends=None):
    """A run that is `ahead` steps before its figures; a signal comes while step `ends` is begun."""
    recipe = replace(recipes.get("full"), network="tiny", batch_size=2, lr=1e-3)
    dataset = PhotoDataset([photo_folder], TINY, 64, 56)
    trainer = backend.Trainer(TINY, recipe, initialize(TINY), "cpu", "float32")
    monkeypatch.setattr(type(trainer), "ahead", ahead)
    begin, begun, under_way, most = trainer.begin, [], [], []

    def counted(*arguments):
        begun.append(1)
        if len(begun) == ends:
            os.kill(os.getpid(), signal.SIGTERM)
        figures = begin(*arguments)
        under_way.append(1)
        most.append(len(under_way))

        def read():
            under_way.pop()
            return figures()

        return read

    trainer.begin = counted
    checkpoints = runs.Checkpoints(folder, TINY, recipe)
    log = LogSettings(str(folder / "log.jsonl"), 1, progress=lambda event: None)
    records = loop.Records(checkpoints, log, 100)
    loader = Loader(dataset, Order(len(dataset), 2))
    try:
        loop.train(trainer, loader, steps, records)
    except SystemExit as end:
        assert end.code == 128 + signal.SIGTERM
    state, meta = reading.load(checkpoints.path())
    return state, meta["step"], (folder / "log.jsonl").read_text(), max(most)


def test_a_run_ahead_of_its_figures_is_the_same(backend, photo_folder, tmp_path, monkeypatch):
    if backend.NAME == "paddle":
        pytest.skip("it is never ahead")
    found = []
    for ahead in (0, 2):
        folder = tmp_path / str(ahead)
        folder.mkdir()
        found.append(train(backend, photo_folder, folder, ahead, monkeypatch))
        assert found[-1][3] == ahead + 1
    (one, first, lines, _), (two, second, others, _) = found
    assert first == second == 6
    assert len(lines.splitlines()) == len(others.splitlines()) == 6
    for name, array in one.items():
        np.testing.assert_array_equal(two[name], array, name)


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_signal_is_heard_of_as_many_steps_later(
    backend, photo_folder, tmp_path, monkeypatch, ahead
):
    """The epoch has three steps, at whose end all is read."""
    if backend.NAME == "paddle" and ahead:
        pytest.skip("it is never ahead")
    step = train(backend, photo_folder, tmp_path, ahead, monkeypatch, 100, ends=4)[1]
    assert step == 4 + ahead


def test_a_process_that_reads_ahead_of_the_others_stops_with_them():
    class Trainer:
        ahead, skips = 2, type("Skips", (), {"latest": False, "in_a_row": 0})

    following = loop.Following(Trainer, type("Log", (), {"step": print}), None, True, 100)
    batch = type("Batch", (), {"inputs": ()})
    for step in range(5):
        following.add(step, batch, 1e-3, lambda step=step: (0.0, 1, step == 1))
    following.read(3)
    assert following.stops(1, at_once=False) is False
    assert following.stops(1, at_once=True) is True
    assert [following.stops(step, at_once=False) for step in (2, 3)] == [False, True]
