"""Both backends against the NumPy oracle and against each other, on real photographs."""

import gc
import importlib
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import backends
from cic import networks
from cic.colour.lab import lightness
from cic.colour.prior import default
from cic.colour.rebalance import weights
from cic.dataset.batches import Batch, Order, PhotoDataset, make_batch
from cic.networks import layers
from cic.networks.initialize import initialize
from cic.networks.network import Network
from cic.training import losses, recipes
from cic.weights import checkpoint, reading
from helpers import ROOT

STEPS = 20
SMALL = networks.get("cic", width=0.125)
RECIPE = replace(recipes.get("full"), lr_step=8)  # two drops within the steps


@pytest.fixture(scope="module")
def photo_input(photos):
    """Network input of a real photograph, (1, 1, 128, 160) float32."""
    return SMALL.prepare(lightness(photos["coffee"][100:228, 200:360]))[None, None]


@pytest.fixture(scope="module")
def batches(photo_originals):
    """Batches of two crops of real photographs for STEPS steps."""
    dataset = PhotoDataset([photo_originals], SMALL, 64, 56, bin_weights=weights(default()))
    order = Order(len(dataset), 2)
    return [make_batch(dataset, order, step) for step in range(STEPS)]


@pytest.fixture(scope="module")
def trained(batches):
    """State of SMALL after STEPS steps, float64."""
    trainer = backends.get("torch").Trainer(SMALL, RECIPE, initialize(SMALL), "cpu", "float64")
    for batch in batches:
        trainer.step(batch, 1e-3)
    return trainer.state()[0]


def as_tensor(name, array):
    if name == "torch":
        import torch

        return torch.from_numpy(array)
    import paddle

    return paddle.to_tensor(array)


@pytest.mark.both
def test_the_first_available_backend_is_the_default():
    assert backends.available() == ("torch", "paddle", "onnx")
    assert backends.available(trains=True) == ("torch", "paddle")
    assert backends.get() is backends.get("torch")


def test_an_unknown_backend_is_named():
    with pytest.raises(ValueError, match="caffe"):
        backends.get("caffe")


@pytest.mark.both
def test_a_launcher_decides_what_trains_and_lets_any_backend_run(monkeypatch):
    monkeypatch.setattr(backends, "launched", lambda: "torch")
    assert backends.get().NAME == "torch"
    assert backends.get("paddle").NAME == "paddle"
    with pytest.raises(ValueError, match="by the launcher of torch, which cannot train paddle"):
        backends.get("paddle", trains=True)


def test_a_missing_framework_says_what_to_install(monkeypatch):
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install paddlepaddle"):
        backends.get("paddle")
    with pytest.raises(ImportError, match="pip install one of"):
        backends.get()


def test_backends_have_every_name_of_the_protocol(backend):
    from backends.base import Backend

    names = [name for name in (*vars(Backend), *Backend.__annotations__) if name[0] != "_"]
    assert {"build", "Trainer"} <= {*names}
    assert not [name for name in names if not hasattr(backend, name)]


def test_what_is_known_of_a_device_is_json(backend):
    facts = backend.facts(backend.resolve_device("cpu"))
    assert json.loads(json.dumps(facts)) == facts
    assert list(facts) == ["gpu", "memory", "driver", "cuda", "cudnn", "nccl"]
    assert facts["gpu"] is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_state_comes_back_bit_for_bit(backend, dtype):
    state = {n: a.astype(dtype) for n, a in initialize(SMALL, seed=3).items()}
    back = backend.export_state(backend.build(SMALL, state, dtype=dtype))
    assert list(back) == list(SMALL.state_shapes)
    for name, array in state.items():
        assert back[name].dtype == dtype
        np.testing.assert_array_equal(back[name], array)


def test_networks_start_from_the_same_numbers_by_default(backend):
    back = backend.export_state(backend.build(SMALL))
    for name, array in initialize(SMALL).items():
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize("change", ["missing", "extra", "misshapen"])
def test_a_state_that_does_not_fit_is_refused_by_name(backend, change):
    state = initialize(SMALL)
    if change == "missing":
        name = "conv4_1.bias"
        del state[name]
    elif change == "extra":
        name = "conv9_1.weight"
        state[name] = np.zeros(3, np.float32)
    else:
        name = "conv4_1.weight"
        state[name] = state[name][:, :-1]
    with pytest.raises(checkpoint.CheckpointError, match=name):
        backend.import_state(backend.build(SMALL), state)


def test_float16_weights_are_taken(backend, photo_input):
    state = {name: array.astype(np.float16) for name, array in initialize(SMALL).items()}
    assert backend.forward(backend.build(SMALL, state), photo_input).dtype == np.float32


@pytest.mark.both
def test_logits_of_a_real_photo_agree_between_backends(photos):
    network, state, _ = reading.load_weights()
    light = lightness(photos["coffee"][100:228, 200:360])[None, None]
    one, two = (
        backends.get(name).forward(backends.get(name).build(network, state), network.prepare(light))
        for name in ("torch", "paddle")
    )
    assert one.shape == two.shape == (1, 313, 32, 40)
    np.testing.assert_allclose(one, two, atol=1e-4 * np.abs(one).max())


@pytest.mark.parametrize("options", [{}, {"extra_relu": True}])
@pytest.mark.both
def test_logits_of_untrained_networks_agree_between_backends(photo_input, options):
    network = networks.get("cic", width=0.125, **options)
    state = initialize(network, seed=1)
    one, two = (
        backends.get(name).forward(backends.get(name).build(network, state), photo_input)
        for name in ("torch", "paddle")
    )
    np.testing.assert_allclose(one, two, atol=1e-4 * np.abs(one).max())


@pytest.mark.both
def test_the_extra_relu_changes_the_logits_of_a_trained_network(backend, trained, photo_input):
    other = networks.get("cic", **SMALL.options | {"extra_relu": True})
    one, two = (backend.forward(backend.build(n, trained), photo_input) for n in (SMALL, other))
    assert np.abs(one - two).max() > 0.01 * np.abs(one).max()


def test_the_predictor_equals_the_network_at_every_size(runner, photo_input):
    net = runner.build(SMALL)
    predict = runner.predictor(SMALL, initialize(SMALL), "cpu")
    for array in (photo_input, photo_input[..., :64], photo_input[:, :, :8, :8], photo_input):
        expected = runner.forward(net, np.ascontiguousarray(array))
        np.testing.assert_allclose(predict(array), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("device", ["abacus", "gpu:-1", "cuda:x", "meta", ""])
def test_an_unknown_device_is_named(runner, device):
    with pytest.raises(ValueError, match=f"'{device}': it is auto, cpu, gpu or gpu:N"):
        runner.resolve_device(device)


def test_a_gpu_that_is_not_there_is_an_error(runner):
    with pytest.raises(ValueError, match="GPUs here"):
        runner.resolve_device("gpu:99")


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_cross_entropy_equals_the_oracle(backend, batches, scale):
    batch = batches[0]
    index, weight = batch.targets
    shape = (len(batch.inputs), 313, *index.shape[2:])
    logits = scale * np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    tensors = (as_tensor(backend.NAME, array) for array in (logits, index, weight))
    total, count = backend.loss("cross_entropy")(*tensors)
    expected = losses.cross_entropy(logits.astype(np.float64), index, weight)
    assert (total.item(), count) == (pytest.approx(expected[0], rel=1e-5), expected[1])


@pytest.mark.both
def test_cross_entropy_gradients_agree_between_backends(batches):
    index, weight = batches[0].targets
    shape = (len(index), 313, *index.shape[2:])
    logits = np.random.default_rng(0).standard_normal(shape)
    gradients = []
    for name in ("torch", "paddle"):
        leaf = as_tensor(name, logits)
        leaf.stop_gradient = False  # Paddle's
        if name == "torch":
            leaf.requires_grad_()
        rest = (as_tensor(name, index), as_tensor(name, weight.astype(np.float64)))
        backends.get(name).loss("cross_entropy")(leaf, *rest)[0].backward()
        gradients.append(np.asarray(leaf.grad))
    np.testing.assert_allclose(*gradients, atol=1e-12)


def trajectory(name, network, state, batches, recipe, image, schedule=recipes.learning_rate):
    """Losses of every step, and the logits of a photo afterwards, in float64."""
    backend = backends.get(name)
    trainer = backend.Trainer(network, recipe, state, "cpu", "float64")
    losses = [
        trainer.step(batch, schedule(recipe, step, STEPS, STEPS))[0]
        for step, batch in enumerate(batches)
    ]
    return np.array(losses), backend.forward(trainer.net, image.astype(np.float64))


@pytest.fixture(scope="module")
def right(batches, photo_input):
    """The trajectory of PyTorch from first weights."""
    return trajectory("torch", SMALL, initialize(SMALL), batches, RECIPE, photo_input)


def difference(one, two):
    """Largest relative difference of the losses, and of the logits to their scale."""
    loss = np.abs(one[0] / two[0] - 1).max()
    return loss, np.abs(one[1] - two[1]).max() / np.abs(two[1]).max()


@pytest.mark.parametrize("start", ["scratch", "trained"])
@pytest.mark.both
def test_twenty_training_steps_agree_between_backends(start, batches, right, trained, photo_input):
    state = trained if start == "trained" else initialize(SMALL)
    arguments = (SMALL, state, batches, RECIPE, photo_input)
    expected = trajectory("torch", *arguments) if start == "trained" else right
    loss, logits = difference(expected, trajectory("paddle", *arguments))
    assert loss < 1e-8
    assert logits < 1e-6


def forget_the_schedule(network, recipe):
    return network, recipe, lambda recipe, step, steps, epoch_steps: recipe.lr


def forget_the_decay(network, recipe):
    return network, replace(recipe, weight_decay=0.0), recipes.learning_rate


def swap_the_momentum(network, recipe):
    swapped = tuple(
        replace(layer, momentum=1 - layer.momentum)
        if isinstance(layer, layers.BatchNorm)
        else layer
        for layer in network.layers
    )
    return replace(network, layers=swapped), recipe, recipes.learning_rate


@pytest.mark.parametrize("defect", [forget_the_schedule, forget_the_decay, swap_the_momentum])
@pytest.mark.both
def test_the_comparison_of_trajectories_sees(defect, batches, right, photo_input):
    state = initialize(SMALL)
    network, recipe, schedule = defect(SMALL, RECIPE)
    wrong = trajectory("paddle", network, state, batches, recipe, photo_input, schedule)
    loss, logits = difference(right, wrong)
    assert loss > 1e-8 or logits > 1e-6


@pytest.mark.both
def test_the_comparison_of_trajectories_sees_another_reduction(
    monkeypatch, batches, right, photo_input
):
    import backends.paddle.trainer as paddle_trainer

    own = paddle_trainer.loss

    def doubled(*how):
        return lambda *arguments: (2 * own(*how)(*arguments)[0], own(*how)(*arguments)[1])

    monkeypatch.setattr(paddle_trainer, "loss", doubled)
    arguments = (SMALL, initialize(SMALL), batches, RECIPE, photo_input)
    loss, _ = difference(right, trajectory("paddle", *arguments))
    assert loss > 1e-8


def some_steps(name, weights, optimizer, part):
    """Losses of a trainer that goes on from a state, and its state afterwards."""
    trainer = backends.get(name).Trainer(SMALL, RECIPE, initialize(SMALL), "cpu", "float64")
    trainer.load(weights, optimizer)
    return [trainer.step(batch, 1e-5)[0] for batch in part], *trainer.state()


@pytest.fixture(scope="module")
def unbroken(batches):
    """What `some_steps` of PyTorch over all batches gives."""
    return some_steps("torch", initialize(SMALL), {}, batches)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["torch", "paddle"])
@pytest.mark.parametrize("second", ["torch", "paddle"])
@pytest.mark.both
def test_a_run_goes_on_where_it_stopped_on_either_backend(first, second, batches, unbroken):
    whole, *state_whole = unbroken
    _, *halfway = some_steps(first, initialize(SMALL), {}, batches[:3])
    rest, *state_rest = some_steps(second, *halfway, batches[3:])
    np.testing.assert_allclose(rest, whole[3:], rtol=1e-8)
    assert state_rest[1].keys() == state_whole[1].keys()
    for one, two in zip(state_rest, state_whole):
        for name in two:
            np.testing.assert_allclose(one[name], two[name], atol=1e-7, err_msg=name)


def test_what_was_loaded_is_the_state_before_any_step(backend, batches):
    first, second = (
        backend.Trainer(SMALL, RECIPE, initialize(SMALL), "cpu", "float64") for _ in range(2)
    )
    first.step(batches[0], 1e-5)
    second.load(*first.state())
    for one, two in zip(first.state(), second.state()):
        assert one.keys() == two.keys()
        for name, array in one.items():
            np.testing.assert_array_equal(two[name], array)


def test_a_batch_in_parts_is_the_batch(backend, batches):
    """Two parts with the same photos have the same batch norm: the step is that of one of them."""
    whole = batches[0]
    twice = whole.map(lambda array: np.concatenate([array, array]))
    states = []
    for batch, accumulate in ((whole, 1), (twice, 2)):
        recipe = replace(RECIPE, accumulate=accumulate)
        trainer = backend.Trainer(SMALL, recipe, initialize(SMALL), "cpu", "float64")
        loss, photos, _ = trainer.step(batch, 1e-4)
        assert photos == len(batch.inputs)
        states.append((loss, trainer.state()[0]))
    assert states[0][0] == pytest.approx(states[1][0], rel=1e-12)
    for name in SMALL.parameters:
        np.testing.assert_allclose(states[0][1][name], states[1][1][name], atol=1e-9)


def gradient_norm(backend, recipe, batch):
    """Norm of the first step's gradients, from Adam's first moments."""
    trainer = backend.Trainer(SMALL, recipe, initialize(SMALL), "cpu", "float64")
    trainer.step(batch, 1e-5)
    moments = [a for name, a in trainer.state()[1].items() if name.startswith("moment1/")]
    return np.sqrt(sum(np.square(moment).sum() for moment in moments)) / (1 - recipe.beta1)


def test_gradients_are_clipped_together(backend, batches):
    free = replace(RECIPE, weight_decay=0.0)
    norm = gradient_norm(backend, free, batches[0])
    clipped = gradient_norm(backend, replace(free, clip_norm=norm / 3), batches[0])
    assert clipped == pytest.approx(norm / 3, rel=1e-4)
    assert gradient_norm(backend, replace(free, clip_norm=3 * norm), batches[0]) == norm


def test_a_step_without_a_photo_changes_nothing(backend, batches):
    trainer = backend.Trainer(SMALL, RECIPE, initialize(SMALL), "cpu", "float64")
    trainer.step(batches[0], 1e-4)
    before = trainer.state()
    loss, photos, stop = trainer.step(batches[0].map(lambda array: array[:0]), 1e-4, [2])
    assert (loss, photos, stop) == (0, 0, True)
    for one, two in zip(before, trainer.state()):
        for name, array in one.items():
            np.testing.assert_array_equal(two[name], array)


@pytest.mark.both
def test_float16_skips_a_step_that_overflows_and_learns_from_it(batches):
    trainer = backends.get("torch").Trainer(SMALL, RECIPE, initialize(SMALL), "cpu", "fp16")
    before = trainer.state()[0]
    trainer.scale.value.fill_(2.0**126)  # no gradient stays finite
    trainer.step(batches[0], 1e-3)
    assert trainer.scale.value == 2.0**125
    for name in SMALL.parameters:
        np.testing.assert_array_equal(trainer.state()[0][name], before[name])
    trainer.scale.value.fill_(2.0**10)
    trainer.step(batches[0], 1e-3)
    assert trainer.state()[1]["loss_scale"].tolist() == [2.0**10, 1]
    assert not np.array_equal(trainer.state()[0]["conv1_1.weight"], before["conv1_1.weight"])


def test_a_batch_of_one_pixel_keeps_the_running_variance_finite(backend):
    state = initialize(SMALL)
    trainer = backend.Trainer(SMALL, RECIPE, state, "cpu", "float64")
    index = np.zeros((2, 1, 2, 2), np.int16)
    weight = np.ones((2, 1, 2, 2), np.float32)
    batch = Batch(np.ones((2, 1, 8, 8), np.float32), (index, weight), np.arange(2))
    trainer.step(batch, 1e-5)
    assert all(np.isfinite(array).all() for array in trainer.state()[0].values())


@pytest.mark.parametrize(
    "name_and_precision", ["torch float32", "torch bf16", "torch fp16", "paddle float32"]
)
@pytest.mark.both
def test_the_loss_falls(name_and_precision, batches):
    name, precision = name_and_precision.split()
    trainer = backends.get(name).Trainer(SMALL, RECIPE, initialize(SMALL), "cpu", precision)
    losses = [trainer.step(batches[0], 1e-3)[0] for _ in range(12)]
    assert losses[-1] < 0.8 * losses[0]


LAYERS = (
    *(layers.Conv("plain", 1, 8), layers.BatchNorm("norm", 8), layers.ReLU()),
    *(layers.Conv("spectral", 8, 8, spectral=True), layers.LeakyReLU(), layers.InstanceNorm()),
    *(layers.ConvTranspose("up", 8, 8), layers.ReLU6(), layers.MaxPool(), layers.AveragePool()),
    layers.Sum("sum", ((layers.Conv("branch", 8, 8),), ())),
    layers.Product("product", ((layers.Conv("gate", 8, 8), layers.Sigmoid()), ())),
    *(layers.GlobalContext(), layers.Upsample(2, mode="bilinear"), layers.GlobalAverage()),
    *(layers.Dropout("drop"), layers.Linear("head", 8, 5)),
)


@pytest.fixture
def mixed_batch_norm(monkeypatch):
    """Paddle's batch norm, on the CPU of float32 and float64 as on a GPU of 16 bits and float32."""
    import paddle
    from paddle.nn import functional as F

    own = F.batch_norm

    def mixed(x, mean, *others, **more):
        return own(x.astype(mean.dtype), mean, *others, **more).astype(x.dtype)

    monkeypatch.setattr(F, "batch_norm", mixed)
    monkeypatch.setattr(paddle.nn.layer.norm, "batch_norm", mixed)  # of evaluation


@pytest.mark.both
def test_every_layer_of_paddle_computes_in_the_precision_of_its_input(mixed_batch_norm):
    """Float32 inputs of float64 parameters stand for those of 16 bits, which the CPU cannot do."""
    network = Network("any", LAYERS)
    net = backends.get("paddle").build(network, initialize(network), dtype="float64")
    seen = []
    for layer, module in importlib.import_module("backends.paddle.network").built(net):
        module.register_forward_post_hook(
            lambda _, __, y, layer=layer: seen.append((type(layer), str(y.dtype)))
        )
    x = np.random.default_rng(0).normal(size=(2, 1, 16, 16)).astype(np.float32)
    for training in (True, False):
        seen.clear()
        net.train() if training else net.eval()
        net.set_noise(np.arange(2))
        y = net(as_tensor("paddle", x))
        assert {kind for kind, _ in seen} >= {type(layer) for layer in LAYERS}
        assert {dtype for _, dtype in seen} == {"paddle.float32"}
    y.sum().backward()
    trained = [p for p in net.parameters() if not p.stop_gradient]
    assert {str(p.grad.dtype) for p in trained} == {"paddle.float64"}


@pytest.mark.both
def test_paddle_trains_in_a_lower_precision_than_that_of_its_weights(
    batches, mixed_batch_norm, monkeypatch
):
    backend = backends.get("paddle")
    whole, low = (
        backend.Trainer(SMALL, RECIPE, initialize(SMALL), "cpu", "float64") for _ in range(2)
    )
    expected = [whole.step(batch, 1e-5)[0] for batch in batches[:3]]
    trainer = importlib.import_module("backends.paddle.trainer")
    monkeypatch.setattr(trainer, "_LOW", {"float64": "float32"})
    found = [low.step(batch, 1e-5)[0] for batch in batches[:3]]
    assert found == pytest.approx(expected, rel=1e-4)
    assert found != pytest.approx(expected, rel=1e-12)
    assert {array.dtype for array in low.state()[0].values()} == {np.dtype("float64")}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.both
def test_paddle_has_no_low_precision_on_the_cpu_and_says_so(precision):
    with pytest.raises(ValueError, match=f"{precision} needs a GPU"):
        backends.get("paddle").Trainer(SMALL, RECIPE, initialize(SMALL), "cpu", precision)


def tf32_of(backend):
    """Whether a process's float32 is TF32 in {matrix products, convolutions}."""
    if backend.NAME == "torch":
        import torch

        return {torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32}
    from paddle.base import core

    if not hasattr(core, "get_cublas_switch"):
        pytest.skip("Paddle before 3.3 without CUDA has no switches")
    return {core.get_cublas_switch(), core.get_cudnn_switch()}


def test_float32_is_no_tf32_but_where_that_is_asked_for(backend, batches, monkeypatch):
    device = importlib.import_module(f"backends.{backend.NAME}.device")
    trainer_file = importlib.import_module(f"backends.{backend.NAME}.trainer")
    device.allow_tf32(True)
    backend.build(SMALL)
    assert tf32_of(backend) == {False}
    with pytest.raises(ValueError, match="tf32 needs an NVIDIA GPU from Ampere on"):
        backend.Trainer(SMALL, RECIPE, initialize(SMALL), "cpu", "tf32")
    monkeypatch.setattr(trainer_file, "has_tf32", lambda device: True)
    exact, fast = (
        backend.Trainer(SMALL, RECIPE, initialize(SMALL), "cpu", precision)
        for precision in ("float32", "tf32")
    )
    for trainer, expected in ((fast, True), (exact, False), (fast, True)):
        trainer.step(batches[0], 1e-4)
        assert tf32_of(backend) == {expected}
    device.allow_tf32(False)


def test_kernels_are_searched_for_in_training_alone(batches, monkeypatch):
    """Under Paddle alike, but its build without CUDA has no flag for it."""
    backend = backends.get("torch")
    import torch

    trainer = backend.Trainer(SMALL, RECIPE, initialize(SMALL), "cpu")
    found = []
    for act in (
        lambda: trainer.step(batches[0], 1e-4),
        lambda: trainer.predict(batches[0].inputs),
        lambda: trainer.step(batches[0], 1e-4),
        lambda: backend.build(SMALL),
        lambda: monkeypatch.setattr(torch.backends.cudnn, "deterministic", True),
        lambda: trainer.step(batches[0], 1e-4),
    ):
        act()
        found.append(torch.backends.cudnn.benchmark)
    assert found == [True, False, True, False, False, False]


@pytest.mark.parametrize(("capability", "there"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_gpus_have_tf32_from_ampere_on(backend, capability, there, monkeypatch):
    device = importlib.import_module(f"backends.{backend.NAME}.device")
    cuda = device.torch.cuda if backend.NAME == "torch" else device.paddle.device.cuda
    monkeypatch.setattr(cuda, "get_device_capability", lambda _: capability)
    gpu = device.torch.device("cuda") if backend.NAME == "torch" else "gpu:0"
    assert device.has_tf32(gpu) == there
    if backend.NAME == "paddle":
        monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
        assert not device.has_tf32(gpu)


def test_an_unknown_precision_is_named(backend):
    with pytest.raises(ValueError, match="float8"):
        backend.Trainer(SMALL, RECIPE, initialize(SMALL), "cpu", "float8")


STEP = """
import sys
import numpy as np
import backends
from cic import networks
from cic.dataset.batches import Batch
from cic.networks.initialize import initialize
from cic.training import recipes

network = networks.get("regression", width=0.125)
recipe = recipes.get("compact-64-l2", batch_size=1)
trainer = backends.get("torch").Trainer(network, recipe, initialize(network), "cpu", "float32")
inputs, targets = (np.ones((1, channels, 16, 16), np.float32) for channels in (1, 2))
assert trainer.step(Batch(inputs, (targets,), np.zeros(1, int)), 1e-3)[1] == 1
print(int(trainer.optimizer.steps), "torch._dynamo" in sys.modules)
"""


def test_a_step_does_without_pytorchs_compiler():
    """Which takes 1.2 s to import."""
    run = subprocess.run([sys.executable, "-c", STEP], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.split() == ["1", "False"], run.stderr


@pytest.mark.parametrize("was_enabled", [True, False])
def test_garbage_is_collected_after_an_import_as_before(monkeypatch, was_enabled):
    seen = []
    monkeypatch.setattr(
        backends.importlib, "import_module", lambda name: seen.append(gc.isenabled())
    )
    before = gc.isenabled()
    try:
        (gc.enable if was_enabled else gc.disable)()
        backends.get("onnx")
        assert gc.isenabled() == was_enabled
    finally:
        (gc.enable if before else gc.disable)()
    assert seen == [False]
