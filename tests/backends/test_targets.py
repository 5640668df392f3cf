"""Inputs and targets that a trainer makes of crops: those of the oracle, on both backends."""

import importlib
from dataclasses import replace

import numpy as np
import pytest

from cic.colour import lab, prior, rebalance
from cic.colour.bins import COUNT
from cic.colour.distributions import soft_encode
from cic.dataset.batches import Order, PhotoDataset, make_batch
from cic.dataset.loader import Loader
from cic.dataset.targets import Bins
from cic.networks.initialize import initialize
from cic.training import recipes, session
from cic.training.plan import plan
from helpers import tiny

TINY = tiny.tiny()
WEIGHTS = rebalance.weights(prior.default())
RECIPE = replace(recipes.get("full"), network="tiny", batch_size=4)


@pytest.fixture(scope="module")
def crops(photos):
    """Crops of real photographs, of gray, black and white, and of random colours."""
    plain = [np.full((64, 64, 3), level, np.uint8) for level in (0, 77, 255)]
    random = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return np.stack([*(rgb[60:124, 60:124] for rgb in photos.values()), *plain, random])


@pytest.fixture
def targets(backend):
    """Make the Targets of a Bins."""
    module = importlib.import_module(f"backends.{backend.NAME}.targets")
    return lambda bins: module.Targets(bins, TINY, "cpu")


@pytest.fixture
def tensor(backend):
    """Array -> tensor."""
    native = importlib.import_module(backend.NAME)
    return native.from_numpy if backend.NAME == "torch" else native.to_tensor


def dense(index, weight):
    """(N, 313, h, w) of sparse targets."""
    found = np.zeros((len(index), COUNT, *index.shape[2:]))
    np.put_along_axis(found, index.astype(np.int64), weight.astype(float), 1)
    return found


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize(
    ("neighbors", "bin_weights", "keep_gray"),
    [(5, WEIGHTS, False), (5, WEIGHTS, True), (1, None, False), (40, None, True)],
)
def test_they_are_the_oracles(targets, tensor, crops, mean, neighbors, bin_weights, keep_gray):
    """The oracle's ab are float32: hence the last digits of the weights.

    Of gray four bins are equally far, so that these digits order them.
    """
    bins = Bins(4, neighbors, 5.0, bin_weights, mean, keep_gray)
    index, weight = bins.of_crops(crops)
    made = targets(bins)
    found = [array.numpy() for array in made.of(tensor(crops))]
    assert found[0].shape == index.shape
    if neighbors == 5:
        assert np.array_equal(np.sort(found[0], 1), np.sort(index, 1))
        assert np.array_equal(found[0][:, 0], index[:, 0])
    assert np.abs(dense(*found) - dense(index, weight)).max() < 1e-4
    assert np.array_equal(found[1].any((1, 2, 3)), weight.any((1, 2, 3)))


def test_the_weights_are_those_of_the_same_ab_to_1e_6(targets, tensor, crops):
    made = targets(Bins(4, keep_gray=True))
    index, weight = soft_encode(made._ab(tensor(crops)).numpy())
    found = [array.numpy().transpose(0, 2, 3, 1) for array in made.of(tensor(crops))]
    assert np.array_equal(found[0], index)
    assert np.abs(found[1] - weight).max() < 1e-6


def test_inputs_are_the_networks(targets, tensor, crops):
    found = targets(Bins(4)).inputs(tensor(crops)).numpy()
    assert found.shape == (len(crops), 1, 64, 64)
    assert np.abs(found - TINY.inputs(crops)).max() < 1e-6


def test_inputs_are_exact_to_64_bits(targets, tensor, crops):
    t = lab.linear_table()[crops].astype(float) @ lab.WHITENED.T[:, 1].astype(float)
    f = np.where(t > lab.F_KNEE**3, np.cbrt(t), lab.F_SLOPE * t + 4 / 29)
    expected = (116 * f - 16 - TINY.mean) / TINY.scale
    found = targets(Bins(4)).inputs(tensor(crops)).numpy()
    assert np.abs(found[:, 0] - expected).max() < 1e-12


def datasets(photo_folder, **options):
    """A PhotoDataset that makes targets, and the same, which leaves them to the trainer."""
    made, left = (
        PhotoDataset([photo_folder], TINY, 64, 56, bin_weights=WEIGHTS, **options) for _ in range(2)
    )
    left.leave_to_trainer()
    return made, left


@pytest.mark.parametrize("options", [{}, {"ageing": 1.0, "target_mean": True, "keep_gray": True}])
def test_a_batch_brings_crops_and_what_cannot_be_made_of_them(photo_folder, options):
    made, left = datasets(photo_folder, **options)
    order = Order(len(made), 4)
    expected, batch = (make_batch(dataset, order, 0) for dataset in (made, left))
    assert expected.crops is None
    assert batch.crops.shape == (4, 56, 56, 3)
    assert np.array_equal(batch.crops[0], left.crop(order.batch(0)[1][0]))
    assert len(batch.targets) == len(options) // 3
    if options:
        assert np.array_equal(batch.inputs, expected.inputs)
    assert [len(part.crops) for part in batch.parts(6)] == [1, 1, 1, 1, 0, 0]


def test_it_cannot_be_left_twice_nor_by_a_classifier(photo_folder):
    _, left = datasets(photo_folder)
    with pytest.raises(ValueError, match="made here"):
        left.leave_to_trainer()


@pytest.mark.parametrize("options", [{}, {"ageing": 0.5, "target_mean": True, "keep_gray": True}])
def test_training_is_the_same(backend, photo_folder, options):
    recipe = replace(RECIPE, distance=0.1, accumulate=2)
    losses = []
    for dataset in datasets(photo_folder, **options):
        trainer = backend.Trainer(TINY, recipe, initialize(TINY), "cpu", "float64")
        if not dataset.can_be_left:
            trainer.make_targets(dataset.target.bins)
        order, own = Order(len(dataset), 4), []
        with Loader(dataset, order) as loader:
            for batch in loader.batches(0, 4):
                own.append(trainer.step(batch, 1e-3)[0])
        own += [trainer.evaluate(batch)[0], *trainer.predict(batch.inputs).std((0, 2, 3))[:3]]
        own.append(trainer.step(batch.map(lambda array: array[:0]), 1e-3)[1])
        losses.append(own)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_a_run_on_a_gpu_leaves_them_to_it(backend, photo_folder, tmp_path, monkeypatch):
    """The GPU here is a CPU that says it is one."""
    facts, figures = backend.facts, []
    settings = {"batch_size": 4, "crop_size": 56, "load_size": 64, "options": {"width": 0.125}}
    for gpu in (None, "a GPU"):
        monkeypatch.setattr(backend, "facts", lambda device, gpu=gpu: facts(device) | {"gpu": gpu})
        run = plan(
            [str(photo_folder)],
            "full",
            val_dir=[str(photo_folder)],
            model_path=str(tmp_path / str(gpu)),
            max_steps=4,
            device="cpu",
            precision="float64",
            num_workers=2 if gpu else 0,
            **settings,
        )
        one = session.Session(run)
        figures.append(one.train(backend))
        assert one.dataset.can_be_left is (gpu is None)
    assert figures[1]["loss"] == pytest.approx(figures[0]["loss"], rel=1e-5)
    assert figures[1]["validation_loss"] == pytest.approx(figures[0]["validation_loss"], rel=1e-4)
