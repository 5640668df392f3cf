"""Training on top of an encoder: AdamW, slower and frozen parts, the average of the weights."""

from dataclasses import replace

import numpy as np
import pytest

import backends
from cic import networks
from cic.colour.prior import default
from cic.colour.rebalance import weights
from cic.dataset.batches import Order, PhotoDataset, make_batch
from cic.dataset.loader import Loader
from cic.networks import encoder
from cic.networks.initialize import initialize
from cic.training import checkup, loop, recipes, runs
from cic.training.log import LogSettings
from cic.weights import averaging, checkpoint, formats, reading
from cic.weights.averaging import PREFIX
from helpers import tiny

pytestmark = pytest.mark.slow

TINY = tiny.tiny()
RECIPE = replace(
    recipes.get("full"),
    network="tiny",
    batch_size=2,
    lr=1e-3,
    schedule="cosine",
    optimizer="adamw",
    weight_decay=0.1,
    encoder_lr=0.25,
    freeze=1,
    average=0.9,
    clip_norm=0.05,  # below the norms of these batches
    init="plain",
)
FROZEN = [name for name in TINY.state_shapes if name.startswith("stem.")]
TRAINED = [name for name in TINY.state_shapes if name not in FROZEN]
STEPS = 6


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(networks, "_NETWORKS", networks._NETWORKS | tiny.NETWORKS)


@pytest.fixture
def dataset(photo_folder):
    return PhotoDataset([photo_folder], TINY, 64, 56, bin_weights=weights(default()))


@pytest.fixture
def batches(dataset):
    """Batches of two crops of real photographs for STEPS steps."""
    return [make_batch(dataset, Order(len(dataset), 2), step) for step in range(STEPS)]


def started(backend, recipe=RECIPE, precision="float64"):
    return backend.Trainer(TINY, recipe, initialize(TINY), "cpu", precision)


def assert_equal(one, two, **tolerance):
    """Of two (weights, optimizer), all arrays: bit for bit without a tolerance."""
    for first, second in zip(one, two):
        assert first.keys() == second.keys()
        for name, array in first.items():
            np.testing.assert_allclose(
                second[name], array, err_msg=name, **({"rtol": 0} | tolerance)
            )


def test_the_arrays_of_the_frozen_parts_are_meant(batches):
    norm = ("weight", "bias", "running_mean", "running_var")
    assert sorted(FROZEN) == sorted(["stem.weight", *(f"stem.norm.{part}" for part in norm)])
    assert [TINY.part(n) for n in ("stem.weight", "blocks.1.conv", "blocks.1")] == [0, 2, 2]
    assert [TINY.part(n) for n in ("head.weight", "stems.weight", "blocks.10.conv")] == [None] * 3
    assert [n for n in TINY.state_shapes if encoder.is_frozen(TINY, n, 1)] == FROZEN


@pytest.mark.parametrize("changes", [{}, {"freeze": 0}, {"optimizer": "adam"}, {"accumulate": 2}])
def test_both_backends_train_alike(batches, changes):
    recipe = replace(RECIPE, **changes)
    found = []
    for name in ("torch", "paddle"):
        trainer = started(backends.get(name), recipe)
        losses = [
            trainer.step(b, recipes.learning_rate(recipe, i, STEPS, STEPS))[0]
            for i, b in enumerate(batches)
        ]
        found.append(({"losses": np.array(losses)}, *trainer.state()))
    assert_equal(*found, atol=1e-8)


def adamw(parameter, gradient, moments, step, lr, recipe):
    """Loshchilov and Hutter 2019, algorithm 2, `step` from 1: (parameter, moments)."""
    first = recipe.beta1 * moments[0] + (1 - recipe.beta1) * gradient
    second = recipe.beta2 * moments[1] + (1 - recipe.beta2) * gradient**2
    unbiased = first / (1 - recipe.beta1**step), second / (1 - recipe.beta2**step)
    change = unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8) + recipe.weight_decay * parameter
    return parameter - lr * change, (first, second)


@pytest.mark.parametrize("optimizer", ["adamw", "adam"])
def test_adamw_is_its_formula_slower_in_the_encoder(backend, batches, optimizer):
    """And adam is another: the gradients are taken from the first moments."""
    recipe = replace(RECIPE, optimizer=optimizer)
    trainer = started(backend, recipe)
    (before, kept), worst = trainer.state(), 0.0
    for step, batch in enumerate(batches, 1):
        trainer.step(batch, 1e-3)
        after, more = trainer.state()
        for name in set(TRAINED) & TINY.parameters.keys():
            moments = [kept[f"{slot}/{name}"] for slot in ("moment1", "moment2")]
            gradient = (more[f"moment1/{name}"] - recipe.beta1 * moments[0]) / (1 - recipe.beta1)
            lr = 1e-3 * (recipe.encoder_lr if name.startswith("blocks.") else 1)
            expected, (_, second) = adamw(before[name], gradient, moments, step, lr, recipe)
            np.testing.assert_allclose(more[f"moment2/{name}"], second, atol=1e-15)
            worst = max(worst, np.abs(after[name] - expected).max())
        before, kept = after, more
    assert worst < 1e-10 if optimizer == "adamw" else worst > 1e-6


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_average_is_its_formula(backend, batches, optimizer):
    trainer = started(backend, replace(RECIPE, optimizer=optimizer, average=0.3))
    trainer.load(initialize(TINY, 3), {})  # as the weights of a run without an average
    state, kept = trainer.state()
    average = {name: state[name] for name in TRAINED}
    for step, batch in enumerate(batches):
        assert sorted(n for n in kept if n.startswith(PREFIX)) == sorted(
            PREFIX + n for n in TRAINED
        )
        for name in TRAINED:
            np.testing.assert_allclose(kept[PREFIX + name], average[name], atol=1e-14)
        trainer.step(batch, 1e-3)
        state, kept = trainer.state()
        average = averaging.update(average, state, 0.3, step)


def test_the_average_forgets_its_start_and_then_decays_as_it_is_told():
    assert [averaging.decay_at(0.99, step) for step in (0, 1, 10, 10_000)] == [
        0.1,
        2 / 11,
        11 / 20,
        0.99,
    ]
    state = {"x": np.array(1.0)}
    assert averaging.update({"x": np.array(0.0)}, state, 0.99, 0)["x"] == pytest.approx(0.9)


def test_frozen_parts_are_a_fixed_function_without_gradients_or_moments(backend, batches):
    trainer = started(backend, replace(RECIPE, freeze=2))
    before = trainer.state()[0]
    for batch in batches[:3]:
        trainer.step(batch, 1e-2)
    after, kept = trainer.state()
    for name in TINY.state_shapes:
        if TINY.part(name) in (0, 1):
            np.testing.assert_array_equal(after[name], before[name])
            assert not [n for n in kept if n.endswith(f"/{name}")]
        else:
            assert not np.array_equal(after[name], before[name]), name
    module = __import__(f"backends.{backend.NAME}.network", fromlist=["tensors"])
    for name, tensor in module.tensors(trainer.net).items():
        if name in TINY.parameters:
            assert (tensor.grad is None) == (TINY.part(name) in (0, 1)), name


def test_a_frozen_batch_norm_takes_its_running_statistics(backend, batches):
    """Without any other a step's loss is that of the evaluation before."""
    plain = tuple(layer for layer in TINY.layers if getattr(layer, "name", "") != "smoothnorm")
    network = replace(TINY, layers=plain)
    for freeze, same in ((3, True), (2, False)):
        recipe = replace(RECIPE, freeze=freeze)
        trainer = backend.Trainer(network, recipe, initialize(network), "cpu", "float64")
        total, count = trainer.evaluate(batches[0])
        loss = trainer.step(batches[0], 1e-3)[0]
        assert (abs(loss * count - total) < 1e-9 * total) == same


@pytest.mark.parametrize(
    "network, changes, message",
    [
        (TINY, {"freeze": 4}, "freeze is 4: the encoder of tiny.* has 3 parts"),
        ("cic", {"freeze": 1, "encoder_lr": 1.0}, "freeze is 1: .* it has none"),
        ("cic", {"freeze": 0, "encoder_lr": 0.5}, "encoder_lr is 0.5: cic.* has no encoder"),
    ],
)
def test_what_the_encoder_has_not_is_refused(backend, network, changes, message):
    network = networks.get(network, width=0.125) if network == "cic" else network
    with pytest.raises(ValueError, match=message):
        backend.Trainer(network, replace(RECIPE, **changes), initialize(network), "cpu")


@pytest.mark.parametrize(
    "field, value", [("average", 1.0), ("encoder_lr", 0), ("freeze", -1), ("freeze", 1.5)]
)
def test_a_recipe_that_cannot_be_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} is {value}"):
        replace(RECIPE, **{field: value})


@pytest.mark.parametrize("first", ["torch", "paddle"])
@pytest.mark.parametrize("second", ["torch", "paddle"])
def test_a_run_goes_on_on_either_backend(first, second, batches):
    one, two = started(backends.get(first)), started(backends.get(second))
    for batch in batches[:3]:
        one.step(batch, 1e-3)
    two.load(*one.state())
    assert_equal(one.state(), two.state())
    for batch in batches[3:]:
        one.step(batch, 1e-3)
        two.step(batch, 1e-3)
    assert_equal(one.state(), two.state(), atol=0 if first == second else 1e-8)


class Run:
    """A small run on real photographs."""

    def __init__(self, backend, dataset, folder, precision="float32", **changes):
        self.recipe = replace(RECIPE, **changes)
        self.loader = Loader(dataset, Order(len(dataset), 2))
        self.trainer = started(backend, self.recipe, precision)
        facts = {"seed": 0, "photos": len(dataset), "batch_size": 2}
        self.checkpoints = runs.Checkpoints(folder, TINY, self.recipe, facts)
        self.path = self.checkpoints.path()

    def train(self, steps, start=0, validation=None):
        log = LogSettings(f"{self.checkpoints.folder}/log.jsonl", 1)
        records = loop.Records(self.checkpoints, log)
        return loop.train(self.trainer, self.loader, steps, records, start, validation)

    def go_on(self, steps):
        return self.train(steps, self.checkpoints.resume(self.trainer))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_resumed_run_is_bit_for_bit_an_uninterrupted_one(backend, dataset, tmp_path, precision):
    constant = {"schedule": "step"}  # cosine falls to the end of the run
    whole, first, second = (
        Run(backend, dataset, tmp_path / folder, precision, **constant)
        for folder in ("one", "two", "two")
    )
    whole.train(7)
    first.train(4)
    second.go_on(7)
    assert_equal(whole.trainer.state(), second.trainer.state())


def test_the_average_is_validated_beside_the_weights_and_chooses_the_best(
    backend, dataset, tmp_path
):
    run = Run(backend, dataset, tmp_path, "float64", schedule="step", lr=1e-2)
    figures = run.train(6, validation=run.loader)
    raw, kept = run.trainer.state()
    averaged = backend.Trainer(TINY, RECIPE, averaging.averaged(raw, kept), "cpu", "float64")
    for trainer, name in ((run.trainer, "validation_loss"), (averaged, "validation_loss_average")):
        alone = loop.evaluate(trainer, run.loader)["validation_loss"]
        assert figures[name] == pytest.approx(alone, rel=1e-12), name
    assert figures["validation_loss"] != pytest.approx(figures["validation_loss_average"], rel=1e-4)
    assert "validation_loss_average" in (tmp_path / "log.jsonl").read_text()
    assert checkpoint.load_meta(run.path)["validation_loss_average"] == pytest.approx(
        figures["validation_loss_average"]
    )
    for epoch, (loss, average) in enumerate(((1.0, 9.0), (3.0, 8.0), (2.0, 8.5)), 3):
        both = {"validation_loss": loss, "validation_loss_average": average}
        run.checkpoints.save(run.trainer, epoch, step=3 * epoch, **both)
    run.checkpoints.wait()
    best = checkpoint.load_meta(run.checkpoints.path(runs.BEST))
    assert runs.score(best) == min(8.0, figures["validation_loss_average"])


def test_validating_the_average_leaves_no_trace(backend, dataset, tmp_path, batches):
    run = Run(backend, dataset, tmp_path)
    run.train(3)
    before = run.trainer.state()
    loop.evaluate(run.trainer, run.loader)
    assert_equal(before, run.trainer.state())
    with pytest.raises(KeyboardInterrupt), run.trainer.averaged():
        assert not np.array_equal(run.trainer.state()[0]["head.weight"], before[0]["head.weight"])
        raise KeyboardInterrupt
    assert_equal(before, run.trainer.state())


def test_a_trainer_without_an_average_says_so(backend, dataset, tmp_path):
    run = Run(backend, dataset, tmp_path, average=0.0)
    assert not run.trainer.averages
    assert not [name for name in run.trainer.state()[1] if name.startswith(PREFIX)]
    assert list(loop.evaluate(run.trainer, run.loader)) == ["validation_loss"]
    with run.trainer.averaged():
        assert_equal([run.trainer.state()[0]], [initialize(TINY)])


def test_whoever_uses_a_checkpoint_gets_the_average(backend, dataset, tmp_path):
    run = Run(backend, dataset, tmp_path)
    run.train(3)
    raw, kept = run.trainer.state()
    found = formats.read(run.path)
    for state in (reading.load_weights(run.path)[1], found.state):
        assert state.keys() == raw.keys()
        for name, array in state.items():
            expected = raw[name] if name in FROZEN else kept[PREFIX + name]
            np.testing.assert_array_equal(array, expected)
    assert not np.array_equal(raw["head.weight"], kept[PREFIX + "head.weight"])
    assert found.names["head.weight"] == "optimizer/average/head.weight"
    assert found.names["stem.weight"] == "stem.weight"
    reasons = {"head.weight": "its average is taken"}
    reasons["optimizer/steps"] = "the optimizer's, for training"
    assert reasons.items() <= found.dropped.items()
    assert len(found.names) + len(found.dropped) == len(reading.load(run.path)[0])


def test_an_average_can_begin_and_end_within_a_run(backend, dataset, tmp_path):
    Run(backend, dataset, tmp_path, average=0.0).train(2)
    run = Run(backend, dataset, tmp_path)
    assert run.checkpoints.resume(run.trainer) == 2
    assert "average 0.0 -> 0.9" in run.checkpoints.changes()
    raw, kept = run.trainer.state()
    for name in TRAINED:
        np.testing.assert_array_equal(kept[PREFIX + name], raw[name])
    run.train(4, 2)
    last = Run(backend, dataset, tmp_path, average=0.0)
    last.go_on(5)
    for name, array in reading.load_weights(last.path)[1].items():
        np.testing.assert_array_equal(array, last.trainer.state()[0][name])


@pytest.mark.parametrize("damage", ["missing", "misshapen"])
def test_an_average_that_does_not_fit_is_named(backend, dataset, tmp_path, damage):
    run = Run(backend, dataset, tmp_path)
    run.train(2)
    state, meta = reading.load(run.path)
    name = checkpoint.OPTIMIZER + PREFIX + "head.bias"
    array = state.pop(name)
    if damage == "misshapen":
        state[name] = array[:-1]
    checkpoint.save(run.path, state, meta)
    with pytest.raises(checkpoint.CheckpointError, match=r"average/head\.bias is not \(313,\)"):
        run.checkpoints.resume(run.trainer)


def test_a_run_goes_on_with_as_many_frozen_parts(backend, dataset, tmp_path):
    Run(backend, dataset, tmp_path).train(2)
    run = Run(backend, dataset, tmp_path, freeze=2)
    with pytest.raises(checkpoint.CheckpointError, match="freeze was 1 and is 2"):
        run.checkpoints.resume(run.trainer)


def test_a_run_that_began_from_an_encoder_goes_on_with_the_same_or_none_named(
    backend, dataset, tmp_path
):
    run = Run(backend, dataset, tmp_path)
    run.checkpoints.meta["encoder"] = "first"
    run.train(2)
    for named in ("first", None):
        run.checkpoints.meta["encoder"] = named
        run.checkpoints.resume(run.trainer)
        assert run.checkpoints.meta["encoder"] == "first"
    run.checkpoints.meta["encoder"] = "others"
    with pytest.raises(loop.TrainingError, match="began from encoder first"):
        run.checkpoints.resume(run.trainer)


def test_the_memory_of_the_average_counts_and_that_of_frozen_parts_does_not():
    plain, average, frozen = (
        checkup.memory_needed(TINY, 56, 2, "float32", *more) for more in ((), (1,), (0, 3))
    )
    outside = TINY.parameter_count - sum(
        np.prod(shape) for name, shape in TINY.parameters.items() if TINY.part(name) is not None
    )
    assert average - plain == 4 * TINY.parameter_count
    assert plain - frozen == 12 * (TINY.parameter_count - outside)


def test_the_memory_of_gradients_that_travel_counts():
    recipe = recipes.get("full")
    alone, joined = (
        checkup.estimate(TINY, replace(recipe, batch_size=4 * size), size, "float32", "cpu")
        for size in (1, 2)
    )
    assert joined - alone == 4 * TINY.parameter_count
