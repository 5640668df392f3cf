"""A gradient that is not finite costs its step, and nothing else.

Of several processes: see test_distributed.py.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cic import networks
from cic.dataset.batches import Order, PhotoDataset
from cic.dataset.loader import Loader
from cic.networks.initialize import initialize
from cic.training import loop, recipes, runs
from cic.training.log import LogSettings, TrainingError
from cic.training.skips import LIMIT, Skips
from cic.weights import reading
from helpers import tiny

pytestmark = pytest.mark.slow

TINY = tiny.tiny()
RECIPE = replace(recipes.get("full"), network="tiny", batch_size=2, lr=1e-3, average=0.9)


@pytest.fixture(autouse=True)
def tiny_is_known(monkeypatch):
    monkeypatch.setattr(networks, "_NETWORKS", networks._NETWORKS | tiny.NETWORKS)


def poison(trainer, bad):
    """Let the gradients of the calls `bad(number)` of a trainer's loss be NaN, its value as it is.

    The derivative of a root at 0 is infinite, times 0.
    """
    loss, calls = trainer.loss, []

    def poisoned(output, *targets):
        total, count = loss(output, *targets)
        calls.append(1)
        if bad(len(calls)):
            total = total + (output * 0).sum().sqrt()
        return total, count

    trainer.loss = poisoned


class Run:
    """A small run on real photographs, at whose calls `bad` a gradient is NaN."""

    def __init__(self, backend, photo_folder, folder, bad, **changes):
        self.recipe = replace(RECIPE, **changes)
        dataset = PhotoDataset([photo_folder], TINY, 64, 56)
        self.loader = Loader(dataset, Order(len(dataset), 2))
        self.trainer = backend.Trainer(TINY, self.recipe, initialize(TINY), "cpu", "float32")
        poison(self.trainer, bad)
        self.checkpoints = runs.Checkpoints(folder, TINY, self.recipe)

    def train(self, steps, start=0, save_latest=1):
        log = LogSettings(str(Path(self.checkpoints.folder, "log.jsonl")), 1)
        records = loop.Records(self.checkpoints, log, save_latest)
        return loop.train(self.trainer, self.loader, steps, records, start)

    def lines(self):
        log = Path(self.checkpoints.folder, "log.jsonl")
        return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def assert_same(one, two):
    for first, second in zip(one, two):
        assert first.keys() == second.keys()
        for name, array in first.items():
            np.testing.assert_array_equal(second[name], array, name)


@pytest.mark.parametrize("changes", [{}, {"clip_norm": 1.0}, {"optimizer": "sgd"}])
def test_a_skipped_step_leaves_everything_as_it_was(backend, photo_folder, tmp_path, changes):
    run = Run(backend, photo_folder, tmp_path, lambda call: call == 2, **changes)
    batches = list(run.loader.batches(0, 2))
    run.trainer.step(batches[0], 1e-3)
    weights, optimizer = run.trainer.state()
    loss, photos, _ = run.trainer.step(batches[1], 1e-3)
    assert (np.isfinite(loss), photos) == (True, 2)
    assert run.trainer.skips.latest
    after = run.trainer.state()
    assert after[1].pop("skips").tolist() == [1, 1]
    assert_same((weights, optimizer), after)
    run.trainer.step(batches[1], 1e-3)
    assert run.trainer.state()[1]["skips"].tolist() == [1, 0]


def test_a_square_that_overflows_is_not_finite_either(backend, photo_folder, tmp_path):
    """Adam's second moment would be infinite for ever."""
    run = Run(backend, photo_folder, tmp_path, lambda call: False)
    [batch] = run.loader.batches(0, 1)
    loss = run.trainer.loss
    run.trainer.loss = lambda *of: (lambda total, count: (total * 1e22, count))(*loss(*of))
    run.trainer.step(batch, 1e-3)
    assert run.trainer.skips.latest


def test_a_checkpoint_of_a_skipped_step_is_sound_and_the_run_goes_on_to_the_same_bits(
    backend, photo_folder, tmp_path, capsys
):
    """The second of five steps is skipped, where each saves; one run stops after the third."""
    whole = Run(backend, photo_folder, tmp_path / "whole", lambda call: call == 2)
    figures = whole.train(5)
    assert figures["skipped_steps"] == 1
    assert [line["step"] for line in whole.lines() if "skipped_steps" in line] == [2]
    assert capsys.readouterr().err.count("step 2 is skipped: a gradient is not finite") == 1

    Run(backend, photo_folder, tmp_path / "parts", lambda call: call == 2).train(3)
    state, _ = reading.load(runs.checkpoint_path(tmp_path / "parts"))
    assert all(np.isfinite(array).all() for array in state.values())
    second = Run(backend, photo_folder, tmp_path / "parts", lambda call: False)
    assert second.checkpoints.resume(second.trainer) == 3
    assert second.train(5, start=3)["skipped_steps"] == 1
    assert_same(whole.trainer.state(), second.trainer.state())


def test_too_many_skips_in_a_row_end_the_run_in_one_line(backend, photo_folder, tmp_path, capsys):
    run = Run(backend, photo_folder, tmp_path, lambda call: call > 3)
    with pytest.raises(TrainingError, match=f"{LIMIT} steps in a row up to step 13 .* lower lr"):
        run.train(100)
    assert capsys.readouterr().err.count("is skipped") == 1
    state, meta = reading.load(runs.checkpoint_path(tmp_path))
    assert meta["step"] == 12
    assert state["optimizer/skips"].tolist() == [9, 9]
    assert state["optimizer/steps"] == 3
    assert all(np.isfinite(array).all() for array in state.values())


def test_skips_by_which_a_loss_scale_is_found_do_not_count():
    skips = Skips()
    for _ in range(20):
        skips.note(False, counts=False)
    assert (skips.latest, skips.total, skips.in_a_row) == (True, 0, 0)
    assert skips.state() == {}
