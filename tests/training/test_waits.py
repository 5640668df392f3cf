"""A step asks the device for its numbers once: on a GPU every question waits for all work."""

import importlib
from dataclasses import replace

import numpy as np
import pytest

from cic.dataset.batches import Order, PhotoDataset, make_batch
from cic.networks.initialize import initialize
from cic.training import recipes
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
