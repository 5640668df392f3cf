"""The watch over training: what is wrong is said once, and nothing of a run that is well."""

from dataclasses import replace

import numpy as np
import pytest

import backends
from cic import networks
from cic.colour import prior, rebalance
from cic.colour.bins import AB, COUNT
from cic.dataset.batches import Order, PhotoDataset, make_batch
from cic.networks.initialize import initialize
from cic.training import recipes, watch
from cic.training.losses import colour_distance, cross_entropy
from cic.training.watch import PATIENCE, Watch

pytestmark = pytest.mark.slow

NETWORK = networks.get("cic", width=0.125)
WEIGHTS = rebalance.weights(prior.default())
GRAY, BROWN = (int(np.square(AB - ab).sum(1).argmin()) for ab in ((0, 0), (20, 30)))


@pytest.fixture
def batch(photo_folder):
    dataset = PhotoDataset([photo_folder], NETWORK, 64, 56, bin_weights=WEIGHTS)
    return make_batch(dataset, Order(len(dataset), len(dataset)), 0)


def truth(batch):
    """Logits (N, 313, h, w) that are right everywhere."""
    logits = np.zeros((len(batch.inputs), COUNT, *batch.targets[0].shape[2:]), np.float32)
    np.put_along_axis(logits, batch.targets[0][:, :1].astype(np.int64), 30, axis=1)
    return logits


def constant(batch, bin):
    logits = np.zeros_like(truth(batch))
    logits[:, bin] = 30
    return logits


def watched(batch, logits, share, looks=30):
    """What a Watch says of a run whose loss is `share` of that of a constant prediction."""
    guard, said = Watch(None), []
    loss = np.float64(share * watch.constant_loss(watch.mean_target(*batch.targets)))
    for _ in range(looks):
        guard.note(loss, batch)
        said += guard.look(logits, batch)
    return said


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_constant_loss_is_what_fitting_constant_logits_comes_to(photo_folder, weights):
    dataset = PhotoDataset([photo_folder], NETWORK, 64, 56, bin_weights=weights)
    batch = make_batch(dataset, Order(len(dataset), len(dataset)), 0)
    batch.targets[1][0] = 0  # as a gray photo's
    target, logits = watch.mean_target(*batch.targets), np.zeros(COUNT)
    for _ in range(3000):
        shares = np.exp(logits - logits.max())
        logits -= 2 * (target.sum() * shares / shares.sum() - target)
    everywhere = np.broadcast_to(logits[:, None, None], truth(batch).shape)
    total, count = cross_entropy(everywhere, *batch.targets)
    fitted = total / count
    expected = watch.constant_loss(target)
    assert expected <= fitted == pytest.approx(expected, rel=0.01)


def test_the_distance_of_a_constant_is_what_predicting_its_colour_comes_to(batch):
    target = watch.mean_target(*batch.targets)
    with np.errstate(divide="ignore"):
        logits = np.maximum(np.log(target / target.sum()), -1e3)
    everywhere = np.broadcast_to(logits[:, None, None], truth(batch).shape)
    found = watch.constant_distance(watch.mean_root(*batch.targets), target)
    total = colour_distance(everywhere, *batch.targets)
    assert found == pytest.approx(total / batch.targets[0][:, 0].size, rel=0.03)
    guard, plain = Watch(None, 0.5), Watch(None)
    for one in (guard, plain):
        one.note(1.0, batch)
    assert guard.reference() - plain.reference() == pytest.approx(0.5 * found)


def test_the_reference_is_of_the_recent_steps_and_of_what_all_steps_showed(batch):
    guard = Watch(None)
    halves = batch.parts(2)
    guard.note(1.0, halves[0])
    for _ in range(watch.RECENT):
        guard.note(1.0, halves[1])
    shares = guard.total / guard.total.sum()
    index, weight = halves[1].targets
    picked = np.log(np.where(shares > 0, shares, 1))[index]
    size = index[:, 0].size
    assert guard.reference() == pytest.approx(-(weight * picked).sum() / size, rel=1e-5)


def test_a_run_that_is_well_is_left_alone(batch):
    assert watched(batch, truth(batch), 0.9) == []


@pytest.mark.parametrize("bin, name", [(GRAY, "gray"), (BROWN, "the same brown")])
def test_a_collapse_is_named_once(batch, bin, name):
    said = watched(batch, constant(batch, bin), 0.99)
    assert len(said) == 2
    assert sum(f"every photo becomes {name}" in line for line in said) == 1
    assert sum("one colour takes over: 100%" in line for line in said) == 1


def test_photos_that_have_one_colour_may_be_predicted_so(batch):
    index, weight = batch.targets
    batch = batch._replace(targets=(np.full_like(index, BROWN), weight))
    assert not any("takes over" in line for line in watched(batch, constant(batch, BROWN), 0.99))


def test_what_passes_is_not_said(batch):
    guard = Watch(None)
    for i in range(8 * PATIENCE["taken"]):
        guard.note(np.float64(0), batch)
        bad = (i + 1) % PATIENCE["taken"]
        assert guard.look(constant(batch, BROWN) if bad else truth(batch), batch) == []


def test_what_comes_back_is_not_said_again(batch):
    guard, said = Watch(None), []
    for _ in range(2):
        for logits in [constant(batch, BROWN)] * PATIENCE["taken"] + [truth(batch)]:
            guard.note(np.float64(0), batch)
            said += guard.look(logits, batch)
    assert len(said) == 2


def test_a_loss_that_stays_above_that_of_a_constant_is_said_late_and_once(batch):
    assert watched(batch, truth(batch), 1.01, PATIENCE["stuck"] - 1) == []
    said = watched(batch, truth(batch), 1.01, 3 * PATIENCE["stuck"])
    assert len(said) == 1
    assert "nothing is learnt" in said[0]


def test_a_loss_far_above_is_said_early(batch):
    said = watched(batch, truth(batch), 2.0, PATIENCE["above"])
    assert len(said) == 1
    assert "a lower lr" in said[0]


def test_photos_that_are_all_gray_are_said(batch):
    batch.targets[1][:] = 0
    said = watched(batch, truth(batch), 1.0)
    assert len(said) == 1
    assert "every photo is gray" in said[0]


def test_what_is_no_number_is_left_to_the_loop(batch):
    assert watched(batch, np.full_like(truth(batch), np.nan), 1.0) == []


def test_steps_without_photos_count_for_nothing(batch):
    guard, empty = Watch(None), batch.parts(len(batch.inputs) + 1)[-1]
    guard.note(np.float64("nan"), empty)
    assert guard.look(truth(batch)[:0], empty) == []
    assert not guard.losses


@pytest.mark.parametrize(
    "ab, name",
    [((3, -4), "gray"), ((20, 30), "brown"), ((0, -40), "blue"), ((-40, 30), "green")],
)
def test_colours_have_their_usual_names(ab, name):
    assert watch.hue(np.array(ab)) == name


@pytest.mark.parametrize(
    ("name", "lr", "collapses"),
    [("torch", 1e-3, False), ("torch", 1.0, True), ("paddle", 1.0, True)],
)
def test_only_a_run_that_is_far_too_fast_is_said(photo_folder, monkeypatch, name, lr, collapses):
    monkeypatch.setattr(watch, "RECENT", 10)
    recipe = replace(recipes.get("full"), batch_size=6, weight_decay=0.0)
    dataset = PhotoDataset([photo_folder], NETWORK, 64, 56, bin_weights=WEIGHTS)
    batches = [make_batch(dataset, Order(len(dataset), 6), step) for step in range(4)]
    trainer = backends.get(name).Trainer(NETWORK, recipe, initialize(NETWORK), "cpu")
    guard, said = Watch(None), []
    for step in range(60):
        batch = batches[step % len(batches)]
        guard.note(trainer.step(batch, lr)[0], batch)
        if step >= 20 and step % 5 == 4:
            said += guard.look(trainer.predict(batch.inputs), batch)
        if said:
            break
    assert bool(said) == collapses, said
