"""The NumPy forward pass: against its definitions, and both backends against it."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from cic import networks
from cic.colour.lab import lightness
from cic.networks import Network
from cic.networks.forward import apply, forward, moments
from cic.networks.initialize import initialize
from cic.networks.layers import (
    AveragePool,
    BatchNorm,
    Conv,
    ConvTranspose,
    Dropout,
    Flatten,
    GlobalAverage,
    GlobalContext,
    InstanceNorm,
    LeakyReLU,
    Linear,
    MaxPool,
    Product,
    ReLU,
    ReLU6,
    Sigmoid,
    Sum,
    Upsample,
)
from helpers.ported import random_state

GEOMETRY = {
    "kernel": st.integers(1, 4),
    "stride": st.integers(1, 3),
    "padding": st.integers(0, 3),
    "seed": st.integers(0, 1000),
}


@pytest.fixture(scope="module")
def inputs(photos):
    """Network input of three real photographs, (3, 1, 64, 72) float64."""
    crops = [photos[name][40:104, 150:222] for name in ("astronaut", "chelsea", "coffee")]
    network = networks.get("cic")
    return np.stack([network.prepare(lightness(crop)) for crop in crops])[:, None].astype(float)


def random_arrays(layer, random):
    names = layer.parameters | layer.statistics
    return {name: random.uniform(0.5, 2, shape) for name, shape in names.items()}


def as_tensor(name, array):
    if name == "torch":
        import torch

        return torch.from_numpy(array)
    import paddle

    return paddle.to_tensor(array)


@settings(max_examples=50)
@given(size=st.integers(1, 9), dilation=st.integers(1, 3), **GEOMETRY)
def test_a_convolution_is_the_sum_over_its_window(size, kernel, stride, padding, dilation, seed):
    layer = Conv("c", 2, 3, kernel, stride, padding, dilation)
    _, height, width = layer.output((2, size, size + 1))
    assume(height > 0)
    random = np.random.default_rng(seed)
    x, state = random.standard_normal((2, 2, size, size + 1)), random_arrays(layer, random)
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    expected = np.tile(state["c.bias"][None, :, None, None], (2, 1, height, width))
    for row, column, i, j in np.ndindex(height, width, kernel, kernel):
        seen = padded[:, :, row * stride + i * dilation, column * stride + j * dilation]
        expected[:, :, row, column] += seen @ state["c.weight"][:, :, i, j].T
    np.testing.assert_allclose(apply(layer, state, x), expected, atol=1e-12)


@settings(max_examples=50)
@given(
    size=st.integers(1, 9),
    groups=st.sampled_from([1, 2, 6]),
    after=st.integers(0, 3),
    **GEOMETRY,
)
def test_a_grouped_and_unevenly_padded_convolution_is_its_sums(
    size, groups, after, kernel, stride, padding, seed
):
    """Output o of 6 sees the inputs of its group alone, and zeros on both sides of the picture."""
    layer = Conv("c", 12, 6, kernel, stride, (padding, after), groups=groups)
    assume(min(layer.output((12, size, size + 1))) > 0)
    random = np.random.default_rng(seed)
    x, state = random.standard_normal((12, size, size + 1)), random_arrays(layer, random)
    found, inside = apply(layer, state, x[None])[0], 12 // groups
    assert state["c.weight"].shape == (6, inside, kernel, kernel)
    expected = np.zeros(layer.output(x.shape))
    for o, row, column in np.ndindex(expected.shape):
        expected[o, row, column] = state["c.bias"][o]
        first = o // (6 // groups) * inside
        for i, j in np.ndindex(kernel, kernel):
            y, across = row * stride + i - padding, column * stride + j - padding
            if 0 <= y < size and 0 <= across <= size:
                seen = x[first : first + inside, y, across]
                expected[o, row, column] += seen @ state["c.weight"][o, :, i, j]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@settings(max_examples=50)
@given(size=st.integers(1, 6), **GEOMETRY)
def test_a_transposed_convolution_is_the_transpose(size, kernel, stride, padding, seed):
    """<conv(x), y> = <x, conv'(y)>: the same kernel, inputs and outputs exchanged."""
    transposed = ConvTranspose("c", 2, 3, kernel, stride, padding)
    shape = transposed.output((2, size, size + 1))
    assume(min(shape) > 0)
    random = np.random.default_rng(seed)
    weight = random.standard_normal((2, 3, kernel, kernel))
    x, y = random.standard_normal((2, *shape)), random.standard_normal((2, 2, size, size + 1))
    convolution = Conv("c", 3, 2, kernel, stride, padding)
    forth = apply(convolution, {"c.weight": weight, "c.bias": np.zeros(2)}, x)
    back = apply(transposed, {"c.weight": weight, "c.bias": np.zeros(3)}, y)
    assert (forth * y).sum() == pytest.approx((x * back).sum(), rel=1e-9, abs=1e-9)


def test_a_transposed_convolution_adds_its_bias():
    layer = ConvTranspose("c", 2, 3)
    state = {"c.weight": np.zeros((2, 3, 4, 4)), "c.bias": np.array([1.0, 2, 3])}
    y = apply(layer, state, np.ones((1, 2, 2, 2)))
    assert (y == state["c.bias"][:, None, None]).all()


@given(shape=st.tuples(*[st.integers(1, 5)] * 4), offset=st.sampled_from([0, -7, 1e4]))
def test_moments_are_those_of_each_channel(shape, offset):
    x = np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32) + offset
    mean, variance = moments(x)
    assert mean.dtype == variance.dtype == np.float64
    np.testing.assert_allclose(mean, x.astype(float).mean((0, 2, 3)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(variance, x.astype(float).var((0, 2, 3)), rtol=1e-9, atol=1e-12)


def test_batch_norm_takes_the_running_statistics_or_those_of_the_batch(inputs):
    layer, random = BatchNorm("n", 2), np.random.default_rng(0)
    state = random_arrays(layer, random)
    weight, bias, mean, variance = (state[name][:, None, None] for name in state)
    x = np.concatenate([inputs, inputs[:, :, ::-1] ** 2], 1)
    expected = (x - mean) / np.sqrt(variance + 1e-5) * weight + bias
    np.testing.assert_allclose(apply(layer, state, x), expected, rtol=1e-12, atol=1e-12)
    own = (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)
    trained = apply(layer, state, x, training=True)
    np.testing.assert_allclose(trained, own * weight + bias, rtol=1e-9, atol=1e-9)


def test_relu():
    x = np.array([-1.0, 0, 2])
    assert apply(ReLU(), {}, x).tolist() == [0, 0, 2]
    assert x.tolist() == [-1, 0, 2]


@pytest.mark.parametrize("stored", ["float16", "float32", "float64"])
def test_the_input_is_left_alone_and_its_precision_kept(inputs, stored):
    network = networks.get("cic", width=0.125)
    state = {name: array.astype(stored) for name, array in initialize(network).items()}
    before = inputs.astype(np.float32)
    x = before.copy()
    single, double = forward(network, state, x), forward(network, state, inputs)
    np.testing.assert_array_equal(x, before)
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    assert single.shape == double.shape == (3, *network.output(inputs.shape[1:]))
    np.testing.assert_allclose(single, double, atol=1e-4 * np.abs(double).max())
    exact = {name: array.astype(np.float64) for name, array in state.items()}
    np.testing.assert_array_equal(double, forward(network, exact, inputs))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("options", [{}, {"extra_relu": True}])
def test_the_backends_equal_it_on_real_photos(backend, inputs, options, training):
    network = networks.get("cic", width=0.25, **options)
    state = {name: array.astype(np.float64) for name, array in random_state(network).items()}
    net = backend.build(network, state, dtype="float64")
    if training:
        net.train()
        logits = net(as_tensor(backend.NAME, inputs)).detach().numpy()
    else:
        logits = backend.forward(net, inputs)
    expected = forward(network, state, inputs, training)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@settings(max_examples=20)
@given(stride=st.integers(1, 2), padding=st.integers(0, 3), dilation=st.integers(1, 2))
def test_the_backends_equal_it_on_other_layers(stride, padding, dilation):
    import backends

    layers = (Conv("a", 1, 3, 3, stride, padding, dilation), ConvTranspose("b", 3, 2, 5, 3, 2))
    network, random = Network("other", layers), np.random.default_rng(0)
    state = random_arrays(layers[0], random) | random_arrays(layers[1], random)
    x = random.standard_normal((2, 1, 11, 8))
    expected = forward(network, state, x)
    for name in backends.available(trains=True):
        backend = backends.get(name)
        logits = backend.forward(backend.build(network, state, dtype="float64"), x)
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize(("kernel", "stride", "sides"), [(3, 2, (0, 1)), (5, 2, (1, 2)), (3, 1, 1)])
def test_the_backends_equal_it_on_grouped_and_uneven_ones(backend, groups, kernel, stride, sides):
    layer = Conv("c", 6, 6, kernel, stride, sides, groups=groups)
    network, random = Network("one", (layer,), channels=6), np.random.default_rng(0)
    state, x = random_arrays(layer, random), random.standard_normal((2, 6, 8, 11))
    expected = forward(network, state, x)
    found = backend.forward(backend.build(network, state, dtype="float64"), x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@given(
    size=st.integers(2, 8),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_a_pool_is_the_largest_of_each_window(size, kernel, stride, seed):
    assume(size >= kernel)
    layer, x = (
        MaxPool(kernel, stride),
        np.random.default_rng(seed).normal(size=(2, 3, size, size + 1)),
    )
    _, height, width = layer.output((3, size, size + 1))
    y = apply(layer, {}, x)
    assert y.shape == (2, 3, height, width)
    for n, c, i, j in np.ndindex(y.shape):
        window = x[n, c, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
        assert y[n, c, i, j] == window.max()


def test_flattening_and_linear_layers_are_their_sums():
    random = np.random.default_rng(0)
    x, layer = random.normal(size=(2, 3, 4, 5)), Linear("fc", 60, 7)
    state = random_arrays(layer, random)
    y = apply(layer, state, apply(Flatten(), {}, x))
    for n, o in np.ndindex(2, 7):
        kernel = state["fc.weight"][o].reshape(3, 4, 5)
        assert y[n, o] == pytest.approx((x[n] * kernel).sum() + state["fc.bias"][o])


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (2, 1)])
def test_the_backends_equal_it_on_a_classifiers_layers(backend, kernel, stride):
    pool = MaxPool(kernel, stride)
    inside = (Conv("a", 3, 4), ReLU(), pool, Flatten())
    (features,) = Network("inside", inside).output((3, 9, 8))
    network = Network("other", (*inside, Linear("b", features, 6), ReLU(), Linear("c", 6, 5)))
    random = np.random.default_rng(0)
    state = {name: random.normal(size=shape) for name, shape in network.parameters.items()}
    x = random.standard_normal((2, 3, 9, 8))
    expected = forward(network, state, x)
    net = backend.build(network, state, dtype="float64")
    logits = backend.forward(net, x)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    for name, array in backend.export_state(net).items():
        np.testing.assert_array_equal(array, state[name])


FUNCTIONS = {  # what PyTorch has for each layer without arrays
    "instance norm": (InstanceNorm(), lambda x: F.instance_norm(x)),
    "leaky": (LeakyReLU(slope=0.3), lambda x: F.leaky_relu(x, 0.3)),
    "sigmoid": (Sigmoid(), torch.sigmoid),
    "padded pool": (MaxPool(3, 2, 1), lambda x: F.max_pool2d(x, 3, 2, 1)),
    "mean": (AveragePool(2, 2), lambda x: F.avg_pool2d(x, 2)),
    "padded mean": (AveragePool(3, 2, 1), lambda x: F.avg_pool2d(x, 3, 2, 1)),
    "global": (GlobalAverage(), lambda x: x.mean((2, 3))),
    "below 6": (ReLU6(), lambda x: F.relu6(x)),
    "context": (GlobalContext(), lambda x: torch.ones_like(x) * x.mean((2, 3), keepdim=True)),
    "bilinear": (
        Upsample(2, mode="bilinear"),
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    ),
    "bilinear by 4": (
        Upsample(4, mode="bilinear"),
        lambda x: F.interpolate(x, scale_factor=4, mode="bilinear"),
    ),
    "bicubic": (Upsample(4), lambda x: F.interpolate(x, scale_factor=4, mode="bicubic")),
    "residual": (Sum("s", ((Sigmoid(),), ())), lambda x: torch.sigmoid(x) + x),
    "gate": (Product("p", ((), (Sigmoid(),), (ReLU(),))), lambda x: x * x.sigmoid() * x.relu()),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_layers_without_arrays_equal_pytorchs_and_both_backends_them(backend, name):
    layer, function = FUNCTIONS[name]
    x = 3 * np.random.default_rng(0).standard_normal((2, 3, 7, 9))
    expected = function(torch.from_numpy(x)).numpy()
    found = apply(layer, {}, x)
    assert found.shape[1:] == layer.output((3, 7, 9))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    convolution = Conv("c", 3, 3, 1, padding=0)
    network = Network("one", (convolution, layer))
    state = {"c.weight": np.eye(3)[:, :, None, None], "c.bias": np.zeros(3)}
    native = backend.forward(backend.build(network, state, dtype="float64"), x)
    np.testing.assert_allclose(native, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
def test_weights_sum_to_1_and_leave_a_constant_alone(mode):
    x = np.full((1, 1, 3, 5), 0.7)
    np.testing.assert_allclose(apply(Upsample(4, mode=mode), {}, x), 0.7, rtol=1e-12)


def test_a_bilinear_line_is_a_straight_one_between_the_middles_of_pixels():
    x = np.array([0.0, 4, 0]).reshape(1, 1, 1, 3)
    enlarged = apply(Upsample(2, mode="bilinear"), {}, x)[0, 0, 0]
    np.testing.assert_allclose(enlarged, [0, 1, 3, 3, 1, 0], atol=1e-12)


def test_dropout_drops_what_the_noise_says_in_training_alone():
    layer, x = Dropout("drop", 0.25), np.ones((3, 4000))
    noise = np.array([1, 2, 1])
    assert apply(layer, {}, x) is x
    dropped = apply(layer, {}, x, training=True, noise=noise)
    assert set(np.unique(dropped)) == {0, np.float64(np.float32(1 / 0.75))}
    assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_array_equal(dropped[0], dropped[2])
    assert not np.array_equal(dropped[0], dropped[1])
    other = apply(Dropout("another", 0.25), {}, x, training=True, noise=noise)
    assert not np.array_equal(dropped[0], other[0])


@given(shape=st.tuples(st.integers(1, 9), st.integers(1, 5)))
def test_moments_of_features_are_those_of_each(shape):
    x = np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)
    mean, variance = moments(x)
    np.testing.assert_allclose(mean, x.astype(float).mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(variance, x.astype(float).var(0), rtol=1e-9, atol=1e-12)
