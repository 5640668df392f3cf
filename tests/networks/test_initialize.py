"""Initial weights that are scaled to photos, real ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cic import networks
from cic.colour.distributions import log_softmax
from cic.colour.lab import lightness
from cic.networks import Network
from cic.networks.forward import forward
from cic.networks.initialize import initialize, scale_to_data
from cic.networks.layers import BatchNorm, Conv, ConvTranspose

pytestmark = pytest.mark.slow

SMALL = networks.get("cic", width=0.125)
SIDE = 32


@pytest.fixture(scope="module")
def inputs(photos):
    """Network input of eight squares of real photographs, (8, 1, SIDE, SIDE) float32."""
    squares = [
        photo[row : row + SIDE, 120 : 120 + SIDE] for photo in photos.values() for row in (60, 180)
    ]
    return np.stack([SMALL.prepare(lightness(square)) for square in squares])[:, None]


@pytest.fixture(scope="module")
def plain():
    return initialize(SMALL, seed=3)


@pytest.fixture(scope="module")
def scaled(plain, inputs):
    return scale_to_data(SMALL, plain, inputs)


def through(layers, state, inputs, training=True):
    return forward(Network("some", tuple(layers)), state, inputs, training)


def test_every_channel_of_every_kernel_has_mean_0_and_variance_1(plain, inputs):
    scaled = scale_to_data(SMALL, plain, inputs, output_deviation=1.0)
    for i, layer in enumerate(SMALL.layers):
        if isinstance(layer, Conv | ConvTranspose):
            y = through(SMALL.layers[: i + 1], scaled, inputs.astype(np.float64))
            assert np.abs(y.mean((0, 2, 3))).max() < 1e-4, layer.name
            assert np.abs(y.std((0, 2, 3)) - 1).max() < 1e-4, layer.name


def test_the_plain_initialisation_is_far_from_that(plain, inputs):
    y = through(SMALL.layers[:1], plain, inputs)
    assert y.std((0, 2, 3)).max() > 10


@pytest.mark.parametrize("deviation", [0.01, 3.0])
def test_the_logits_have_the_deviation_that_is_asked_for(plain, scaled, inputs, deviation):
    state = scale_to_data(SMALL, plain, inputs, deviation)
    logits = forward(SMALL, state, inputs, training=True)
    np.testing.assert_allclose(logits.std((0, 2, 3)), deviation, rtol=1e-3)
    for name, array in scaled.items():
        assert name.startswith("conv8_313") or np.array_equal(array, state[name])


def test_the_first_guess_is_nearly_uniform(plain, scaled, inputs):
    """Entropy of the softmax, in its largest possible one, log 313."""

    def entropy(state):
        logs = log_softmax(forward(SMALL, state, inputs, training=True).astype(np.float64))
        return -(np.exp(logs) * logs).sum(1).mean() / np.log(313)

    assert entropy(scaled) > 0.995 > 0.98 > entropy(plain)


def test_running_statistics_are_those_of_the_photos(scaled, inputs):
    for i, layer in enumerate(SMALL.layers):
        if isinstance(layer, BatchNorm):
            x = through(SMALL.layers[:i], scaled, inputs.astype(np.float64))
            mean, variance = (scaled[name] for name in layer.statistics)
            np.testing.assert_allclose(mean, x.mean((0, 2, 3)), atol=1e-4)
            unbiased = np.moveaxis(x, 1, 0).reshape(layer.channels, -1).var(1, ddof=1)
            np.testing.assert_allclose(variance, unbiased, rtol=1e-3)


def test_kernels_keep_their_direction_and_norms_their_affine_part(plain, scaled):
    assert list(scaled) == list(plain)
    for name, array in scaled.items():
        assert (array.shape, array.dtype) == (plain[name].shape, np.float32)
        if array.ndim == 4:
            axis = 1 if name == "conv8_1.weight" else 0
            ratio = np.moveaxis(array / plain[name], axis, 0).reshape(array.shape[axis], -1)
            assert (ratio > 0).all()
            assert np.ptp(ratio, 1).max() < 1e-5 * ratio.max(), name
        elif "norm" in name and name.endswith(("weight", "bias")):
            assert np.array_equal(array, plain[name]), name


def test_it_is_a_function_that_leaves_its_arguments_alone(plain, scaled, inputs):
    fresh, x = initialize(SMALL, seed=3), inputs.copy()
    again = scale_to_data(SMALL, plain, x)
    assert np.array_equal(x, inputs)
    for name, array in scaled.items():
        assert np.array_equal(array, again[name])
        assert np.array_equal(plain[name], fresh[name])


@settings(max_examples=5)
@given(factor=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
def test_neither_the_inputs_nor_the_kernels_size_matters(plain, scaled, inputs, factor, seed):
    random = np.random.default_rng(seed)
    state = {
        name: array * np.float32(10 ** random.uniform(-2, 2)) if array.ndim == 4 else array
        for name, array in plain.items()
    }
    x = inputs * np.float32(factor)
    logits = forward(SMALL, scale_to_data(SMALL, state, x), x, training=True)
    expected = forward(SMALL, scaled, inputs, training=True)
    np.testing.assert_allclose(logits, expected, atol=2e-4)


@pytest.mark.parametrize("value", [-50.0, 0.0, 1e-30, 50.0])
@pytest.mark.parametrize("side", [8, SIDE])
def test_photos_of_one_lightness_leave_everything_finite(plain, value, side):
    inputs = np.full((1, 1, side, side), value, np.float32)
    state = scale_to_data(SMALL, plain, inputs, output_deviation=1.0)
    assert all(np.isfinite(array).all() for array in state.values())
    if value == 0:
        for name, array in plain.items():
            assert np.array_equal(array, state[name]) or name.endswith("running_var"), name


def test_a_channel_that_does_not_vary_is_scaled_as_the_others_are(plain, scaled, inputs):
    """A kernel so small that its output is nearly constant: not blown up to variance 1."""
    kernel = plain["conv2_1.weight"].copy()
    kernel[1] *= 1e-6
    kernel[2] = 0
    state = scale_to_data(SMALL, plain | {"conv2_1.weight": kernel}, inputs)
    factors = [np.abs(state["conv2_1.weight"][i]).max() / np.abs(kernel[i]).max() for i in (0, 1)]
    assert 0.1 < factors[1] / factors[0] < 10
    assert (state["conv2_1.weight"][2] == 0).all()
    assert np.abs(state["conv2_1.bias"][1:3]).max() < 1e-5
    assert np.array_equal(state["conv2_1.weight"][0], scaled["conv2_1.weight"][0])


def test_no_photo_is_an_error(plain):
    with pytest.raises(ValueError, match="no photo"):
        scale_to_data(SMALL, plain, np.empty((0, 1, SIDE, SIDE), np.float32))


def test_both_backends_start_from_its_numbers(backend, scaled, inputs):
    net = backend.build(SMALL, scaled)
    for name, array in backend.export_state(net).items():
        np.testing.assert_array_equal(array, scaled[name])
    expected = forward(SMALL, scaled, inputs)
    np.testing.assert_allclose(backend.forward(net, inputs), expected, atol=1e-4)


def test_linear_layers_are_scaled_as_the_others_are(photos):
    """VGG-16 on 8 photographs: each channel that varies gets mean 0 and its deviation."""
    network = networks.get("vgg16", classes=4, width=1 / 32)
    crops = [photo[i : i + 224, 30:254] for photo in photos.values() for i in (0, 40)]
    x = network.prepare(np.stack(crops) / np.float32(255)).transpose(0, 3, 1, 2)
    state = scale_to_data(network, initialize(network), np.ascontiguousarray(x))
    for name, deviation in (("fc6", 1), ("fc7", 1), ("fc8", 0.1)):
        last = next(
            i for i, layer in enumerate(network.layers) if getattr(layer, "name", 0) == name
        )
        y = through(network.layers[: last + 1], state, x)
        np.testing.assert_allclose(y.mean(0), 0, atol=1e-4)
        np.testing.assert_allclose(y.std(0), deviation, rtol=1e-3)


def test_layers_in_branches_are_scaled_and_a_pretrained_encoder_is_kept(photos):
    network = networks.get("fpn")
    crops = np.stack([photo[:64, 30:94] for photo in photos.values()])
    plain, x = initialize(network), network.inputs(crops)
    state = scale_to_data(network, plain, x, keep=network.encoder)
    kept = tuple(f"{part}." for part in network.encoder)
    for name, array in plain.items():
        changed = not np.array_equal(array, state[name])
        assert changed is not name.startswith(kept), name
    logits = forward(network, state, x)
    np.testing.assert_allclose(logits.mean((0, 2, 3)), 0, atol=1e-3)
    np.testing.assert_allclose(logits.std((0, 2, 3)), 0.1, rtol=1e-2)


def test_kernels_without_bias_are_only_scaled(photos):
    network = networks.get("special_resnet", depth=18, classes=4, size=64, width=1 / 8)
    crops = [photo[i : i + 64, 30:94] for photo in photos.values() for i in (0, 40)]
    state = scale_to_data(network, initialize(network), network.inputs(np.stack(crops)))
    assert state.keys() == network.state_shapes.keys()
    logits = forward(network, state, network.inputs(np.stack(crops)), training=True)
    np.testing.assert_allclose(logits.std(0), 0.1, rtol=1e-2)
