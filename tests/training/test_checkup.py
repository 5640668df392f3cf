"""The checkup before training: what it finds, and that it leaves no trace."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import backends
from cic import networks
from cic.colour import prior, rebalance
from cic.dataset.batches import Order, PhotoDataset, make_batch
from cic.dataset.loader import Loader
from cic.networks.initialize import initialize
from cic.training import checkup, recipes, survey

pytestmark = pytest.mark.slow

NETWORK = networks.get("cic", width=0.125)
RECIPE = replace(
    recipes.get("full"), options={"width": 0.125}, load_size=64, crop_size=56, batch_size=3, lr=1e-3
)
NAMES = ["readable", "gray", "sizes", "L", "ab", "labels", "prior"]
COSTS = ["memory", "step", "loader", "time"]


def dataset_of(folder, crop_size=56):
    weights = rebalance.weights(prior.default())
    return PhotoDataset([folder], NETWORK, 64, crop_size, bin_weights=weights)


def trainer_of(backend, state=None):
    trainer = backend.Trainer(NETWORK, RECIPE, state or initialize(NETWORK), "cpu", "float64")
    trainer.memory = lambda: None
    return trainer


def checked(trainer, folder, **options):
    loader = Loader(dataset_of(folder), Order(6, RECIPE.batch_size))
    found = checkup.checkup(trainer, RECIPE, loader, prior.default(), 100, **options)
    return {finding.name: finding for finding in found}


def findings(folder, crop_size=56, shares=None):
    dataset = dataset_of(folder, crop_size)
    shares = prior.default() if shares is None else shares
    found = survey.findings(survey.take(dataset, 512), dataset, shares)
    return {finding.name: finding for finding in found}


@pytest.fixture
def change(photos, tmp_path):
    """Writes a folder of 36 squares of photographs, each changed by a function; its path."""

    def make(function):
        folder = tmp_path / "changed"
        folder.mkdir()
        for name in ("astronaut", "chelsea", "coffee", "rocket"):
            for i in range(9):
                y, x = 80 * (i // 3), 100 * (i % 3)
                square = function(photos[name][y : y + 120, x : x + 120].astype(np.float64))
                Image.fromarray(np.rint(square).astype(np.uint8)).save(folder / f"{name}{i}.png")
        return folder

    return make


def toward_gray(share):
    return lambda rgb: rgb + share * (rgb.mean(-1, keepdims=True) - rgb)


@pytest.mark.parametrize("brief", [True, False])
def test_photos_that_are_well_have_every_finding_and_no_worry(backend, photo_folder, brief):
    found = checked(trainer_of(backend), photo_folder, brief=brief)
    assert list(found) == NAMES + COSTS
    worries = {finding.name for finding in checkup.worrying(found.values())}
    assert worries <= {"loader", "sizes"}  # no workers; one of the six is small


@pytest.mark.parametrize("started", [False, True])
def test_training_goes_on_as_if_there_had_been_no_checkup(backend, photo_folder, started):
    batches = [make_batch(dataset_of(photo_folder), Order(6, 3), step) for step in range(3)]
    trainers = [trainer_of(backend), trainer_of(backend)]
    if started:
        for trainer in trainers:
            trainer.step(batches[2], RECIPE.lr)
    checked(trainers[1], photo_folder)
    for trainer in trainers:
        for batch in batches:
            trainer.step(batch, RECIPE.lr)
    for one, two in zip(trainers[0].state(), trainers[1].state()):
        assert one.keys() == two.keys()
        for name, array in one.items():
            np.testing.assert_allclose(two[name], array, rtol=1e-9, atol=1e-9, err_msg=name)


def test_what_does_not_fit_into_memory_is_not_tried(backend, photo_folder, monkeypatch):
    monkeypatch.setattr(checkup, "host_memory", lambda: 1_000_000)
    trainer = trainer_of(backend)
    monkeypatch.setattr(trainer, "step", None)
    found = checked(trainer, photo_folder)
    assert found["memory"].verdict == checkup.BAD
    assert "batch_size" in found["memory"].advice
    assert "not tried" in found["step"].measured


def test_a_loss_that_is_no_number_is_bad(backend, photo_folder):
    state = initialize(NETWORK)
    state["conv8_313.weight"][:] = np.nan
    found = checked(trainer_of(backend, state), photo_folder, brief=True)
    assert found["step"].verdict == checkup.BAD


def test_a_batch_without_a_readable_photo_is_bad(backend, tmp_path):
    for i in range(6):
        (tmp_path / f"{i}.jpg").write_bytes(b"nothing")
    found = checked(trainer_of(backend), tmp_path, brief=True)
    assert [found[name].verdict for name in ("readable", "step")] == [checkup.BAD] * 2


def test_an_unreadable_photo_is_named(photo_folder):
    (photo_folder / "broken.jpg").write_bytes(b"")
    found = findings(photo_folder)["readable"]
    assert found.measured.startswith("1 of 7 ")
    assert "broken.jpg" in found.advice


def test_gray_photos_are_counted(change):
    found = findings(change(toward_gray(1)))
    assert found["gray"].measured.startswith("100.0%")
    assert found["gray"].verdict == survey.BAD


def test_gray_photos_that_are_kept_are_no_worry_until_they_are_most(change, photos):
    folder = change(toward_gray(1))
    dataset = dataset_of(folder)
    dataset.keep_gray = True
    found = {f.name: f for f in survey.findings(survey.take(dataset, 64), dataset, prior.default())}
    assert found["gray"].verdict == survey.WARN
    assert "leave photos gray" in found["gray"].advice
    (folder / "colour").mkdir()
    for n in range(40):
        Image.fromarray(photos["coffee"][n : n + 120, :120]).save(folder / "colour" / f"{n}.png")
    dataset = dataset_of(folder)
    for kept, verdict in ((False, survey.WARN), (True, survey.OK)):
        dataset.keep_gray = kept
        shown = survey.findings(survey.take(dataset, 76), dataset, prior.default())
        assert {f.name: f for f in shown}["gray"].verdict == verdict


def test_photos_are_looked_at_as_often_as_they_are_drawn(photo_folder):
    dataset = dataset_of(photo_folder)
    odds = np.zeros(6)
    odds[[1, 4]] = 0.5
    only = survey.take(dataset, 2, odds=odds)
    expected = survey.Sample()
    for i in (1, 4):
        expected.add(dataset, i)
    np.testing.assert_array_equal(only.nearest, expected.nearest)


@pytest.mark.parametrize(
    "name, function",
    [
        ("ab", toward_gray(0.7)),
        ("L", lambda rgb: 0.2 * rgb),
        ("L", lambda rgb: 140 + 0.45 * rgb),
        ("labels", lambda rgb: rgb * (1, 0.3, 0.2)),
        ("prior", lambda rgb: rgb * (1, 0.7, 0.4)),
    ],
)
def test_odd_photos_are_worth_a_warning(change, name, function):
    assert findings(change(function))[name].verdict != survey.OK


def test_their_own_prior_suits_photos(change):
    folder = change(lambda rgb: rgb * (1, 0.7, 0.4))
    dataset = dataset_of(folder)
    own = rebalance.smooth(survey.take(dataset, 512).nearest)
    assert findings(folder, shares=own)["prior"].verdict == survey.OK


def test_photos_smaller_than_the_crop_are_counted(photo_folder):
    assert findings(photo_folder)["sizes"].measured.startswith("16.7%")
    assert findings(photo_folder, crop_size=40)["sizes"].measured.startswith("0.0%")


def test_a_sample_is_seeded_and_ends_in_time(photo_folder):
    dataset = dataset_of(photo_folder)
    one, two = (survey.take(dataset, 3).nearest for _ in range(2))
    np.testing.assert_array_equal(one, two)
    dataset.seed = 5
    assert (survey.take(dataset, 3).nearest != one).any()
    sample_of_many = survey.take(dataset_of(photo_folder), 512, seconds=0)
    assert sample_of_many.photos == min(survey.LEAST, len(dataset))


@pytest.mark.parametrize(
    "workers, loader, steps, together, starved",
    [(2, 50, 100, 50, 0.5), (2, 200, 100, 100, 0), (0, 100, 100, 50, 0.5)],
)
def test_the_slower_of_loader_and_steps_counts(workers, loader, steps, together, starved):
    speed = checkup.Speed(loader, steps, workers)
    assert (speed.together, speed.starved) == (together, starved)


def test_a_loader_with_workers_is_timed(photo_folder):
    with Loader(dataset_of(photo_folder), Order(6, 3), 2) as loader:
        batch, rate = checkup._load(loader, 1, False)
        expected = make_batch(loader.dataset, loader.order, 1)
    np.testing.assert_array_equal(batch.inputs, expected.inputs)
    assert rate > 0


def test_memory_grows_with_photos_and_precision_and_is_near_what_was_measured():
    wide, narrow = (networks.get("cic", width=width) for width in (1, 0.25))
    for network, crop, photos, precision, measured in (  # MB, as KEPT says
        *((narrow, 56, 40, "float32", 127), (narrow, 112, 20, "bf16", 154)),
        *((narrow, 112, 20, "float64", 440), (wide, 112, 8, "float32", 772)),
        *((wide, 56, 8, "float32", 757), (narrow, 176, 16, "float32", 338)),
    ):
        needed = checkup.memory_needed(network, crop, photos, precision) / 1e6
        assert 0.75 < needed / measured < 1.4
    assert checkup.host_memory() is None or checkup.host_memory() < 1e15


def test_the_estimate_for_a_gpu_is_a_little_more_than_autograd_keeps():
    """Counted on the CPU under autocast, as a GPU keeps it; the weights stand apart."""
    network, kept = networks.get("cic", width=0.25), {}
    net = backends.get("torch").build(network).train()
    own = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own and len(tensor.shape) == 4 and len(tensor) == 2:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # so that none takes its place
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16):
        net(torch.randn(2, 1, 176, 176))
    counted = sum(size for size, _ in kept.values())
    needed = [
        checkup.memory_needed(network, 176, photos, "bf16", kept=checkup.KEPT_ON_GPU)
        for photos in (2, 0)
    ]
    assert 1.0 < (needed[0] - needed[1]) / counted < 1.5


class Slow:
    """A trainer whose steps take these seconds, the last of them from then on."""

    def __init__(self, *seconds):
        self.seconds, self.steps = seconds, 0
        self.state, self.load = tuple, lambda *_: None
        self.total = lambda *values: list(values)

    def step(self, batch, lr):
        time.sleep(self.seconds[min(self.steps, len(self.seconds) - 1)])
        self.steps += 1
        return np.float64(1), 2, False


@pytest.mark.parametrize(
    ("limit", "seconds", "steps"),
    [(1.0, (0.5, 0.01), 4), (0.2, (0.5, 0.25), 2), (np.inf, (0.5, 0.25), 4)],
)
def test_the_first_step_which_is_slow_is_not_what_a_step_takes(limit, seconds, steps):
    trainer = Slow(*seconds)
    found = checkup._try(trainer, None, 0.1, limit)[2]
    assert trainer.steps == steps
    assert seconds[-1] <= found < seconds[-1] + 0.2


def test_the_table_is_aligned_with_advice_below():
    found = [
        survey.Remark("gray", "12.0% of the photos", survey.WARN, "look at them"),
        survey.Remark("readable", "all"),
    ]
    lines = checkup.table(found).splitlines()
    assert lines[0].index("12.0%") == lines[2].index("all") == lines[1].index("->")
    assert checkup.worrying(found) == found[:1]


@pytest.mark.parametrize(("keep_gray", "verdict"), [(False, "bad"), (True, "warn")])
def test_photos_to_evaluate_on_are_looked_at_too(backend, photo_folder, change, keep_gray, verdict):
    gray = change(lambda square: square.mean(-1, keepdims=True).repeat(3, axis=2))
    held_out = PhotoDataset([gray], NETWORK, 64, 56, augment=False, keep_gray=keep_gray)
    found = checked(trainer_of(backend), photo_folder, held_out=held_out)
    assert found["gray"].verdict == "ok"
    assert found["val gray"].verdict == verdict
    assert found["val gray"].measured == "100.0% of the photos"
    assert found["val read"].verdict == "ok"
    held_out = PhotoDataset([photo_folder], NETWORK, 64, 56, augment=False)
    found = checked(trainer_of(backend), photo_folder, held_out=held_out, brief=True)
    assert (found["val gray"].verdict, found["val gray"].advice) == ("ok", "")
