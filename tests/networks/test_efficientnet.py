"""EfficientNet-Lite and the pyramid on it: published counts, and both backends alike."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest

import backends
from cic import networks
from cic.colour.lab import lightness
from cic.colour.prior import default
from cic.colour.rebalance import weights
from cic.dataset.batches import Order, PhotoDataset, make_batch
from cic.networks.forward import apply, forward
from cic.networks.initialize import initialize
from cic.networks.layers import Conv
from cic.training import recipes

VERSIONS = {  # parameters with batch norms (EfficientNet-Lite's own modules); the card's own table
    0: (4_652_008, 4.7e6, 407e6, 224),
    1: (5_416_680, 5.4e6, 631e6, 240),
    2: (6_092_072, 6.1e6, 899e6, 260),
}
NORM = 3  # multiply-adds a number of a batch norm, as the card's count has it, nearly
FPN = networks.get("fpn")


def classifier(version, **options):
    return networks.get("efficientnet_lite", version=version, **options)


def convolutions(network):
    return [layer for layer in network.flat if isinstance(layer, Conv)]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_parameters_are_the_published_ones_less_the_folded_scales(version):
    """A norm has a scale and a shift a channel: the shift is the convolution's bias now."""
    exact, rounded, *_ = VERSIONS[version]
    network = classifier(version)
    folded = sum(layer.outputs for layer in convolutions(network))
    assert network.parameter_count + folded == exact
    assert round(exact / 1e6, 1) == rounded / 1e6


@pytest.mark.parametrize("version", VERSIONS)
def test_the_multiply_adds_are_the_published_ones_less_the_norms(version):
    """At the versions' own sizes, which ours need not be; "same" padding rounds the sides up."""
    *_, published, side = VERSIONS[version]
    network, total, norms = classifier(version), 1280 * 1000, 0
    for layer in convolutions(network):
        side = -(-side // layer.stride)
        total += prod(network.parameters[f"{layer.name}.weight"]) * side**2
        norms += layer.outputs * side**2
    assert total < published
    assert total + NORM * norms == pytest.approx(published, rel=0.005)
    if version == 0:
        assert network.multiply_adds((3, 224, 224)) == total


@pytest.mark.parametrize("version", VERSIONS)
def test_an_encoders_parts_begin_with_its_names_in_order(version):
    """The colorizer has the classifier's encoder but for its first kernel; the tops are apart."""
    one, other = classifier(version), networks.get("fpn", version=version)
    assert one.encoder == other.encoder
    assert one.encoder[:2] == ("stem", "blocks.0")
    assert len(one.encoder) == 1 + {0: 16, 1: 21, 2: 21}[version]
    parts = tuple(f"{part}." for part in one.encoder)
    mine, theirs = (
        {n: s for n, s in net.parameters.items() if n.startswith(parts)} for net in (one, other)
    )
    assert mine.pop("stem.weight") == (32, 3, 3, 3)
    assert theirs.pop("stem.weight") == (32, 1, 3, 3)
    assert mine == theirs
    assert set(one.parameters) - set(mine) == {
        *("stem.weight", "top.weight", "top.bias", "classifier.weight", "classifier.bias"),
    }
    assert not any(
        name.startswith(parts) for name in set(other.parameters) - {"stem.weight"} - {*theirs}
    )


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 160), (256, 256)])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_pyramid_gives_logits_at_a_quarter_of_the_sides(version, height, width):
    network = networks.get("fpn", version=version)
    assert network.output((1, height, width)) == (313, height // 4, width // 4)
    assert (network.stride, network.multiple) == (4, 32)
    assert network.prepare(np.float32([0, 50, 100])).tolist() == [-1, 0, 1]


def test_a_classifier_takes_8_bits_less_127_divided_by_128():
    rgb = np.zeros((4, 4, 3), np.uint8)
    rgb[..., 0], rgb[..., 1] = 255, 127
    found = classifier(0).inputs(rgb)
    np.testing.assert_allclose(found[:, 0, 0], [1, 0, -127 / 128], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fpn", {"version": 3}, "version is 3; there are 0, 1, 2"),
        ("efficientnet_lite", {"version": "0"}, "version is '0'"),
        ("efficientnet_lite", {"size": 240}, "size is 240; it must be a multiple of 32"),
        ("efficientnet_lite", {"classes": 0}, "classes is 0"),
    ],
)
def test_options_that_there_are_not(name, options, message):
    with pytest.raises(ValueError, match=message):
        networks.get(name, **options)


@pytest.fixture(scope="module")
def state():
    """Weights with biases, so that rectified linear units cut off at both ends."""
    random, state = np.random.default_rng(0), initialize(FPN, seed=1)
    for name, array in state.items():
        if array.ndim == 1:
            state[name] = random.uniform(-0.3, 0.3, array.shape).astype(np.float32)
    return state


@pytest.fixture
def photo_input(photos):
    """Network input of a real photograph, (1, 1, 96, 128) float32."""
    return FPN.prepare(lightness(photos["coffee"][100:196, 200:328]))[None, None]


def test_the_backends_equal_the_oracle(backend, state, photo_input):
    state = {name: array.astype(np.float64) for name, array in state.items()}
    array = photo_input[:, :, :64, :64].astype(np.float64)
    expected = forward(FPN, state, array)
    found = backend.forward(backend.build(FPN, state, dtype="float64"), array)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_the_predictor_equals_the_oracle_at_every_size(backend, state, photo_input, capfd):
    """Paddle's is an engine of its own, which lacks some of what its layers do, and is silent."""
    predict = backend.predictor(FPN, state, "cpu")
    for array in (photo_input, photo_input[..., :32], photo_input[:, :, 32:, 32:].repeat(2, 0)):
        expected = forward(FPN, state, np.ascontiguousarray(array))
        found = predict(array)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert "OneDNN" not in "".join(capfd.readouterr())


def test_the_classifiers_predictor_equals_the_oracle(backend, photos):
    network = classifier(0, classes=10, size=64)
    weights = initialize(network, seed=1)
    array = network.inputs(photos["coffee"][None, 100:164, 200:264])
    expected = forward(network, weights, array)
    found = backend.predictor(network, weights, "cpu")(array)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_features_are_the_layers_outputs(backend, state, photo_input):
    names = ("blocks.0", "merge.4", "smooth.1.pointwise")
    array = photo_input[..., :64, :64]
    found = backend.features(backend.build(FPN, state), array, names)
    assert found.keys() == set(names)
    x = array
    for layer in FPN.layers:
        x = apply(layer, state, x)
        if layer.name in names:
            np.testing.assert_allclose(found[layer.name], x, atol=1e-4 * np.abs(x).max())


@pytest.mark.both
def test_a_training_step_is_the_same_on_both_backends(photo_folder, state):
    """Plain descent, so that the change of every array is its gradient times the rate."""
    dataset = PhotoDataset([photo_folder], FPN, 96, 64, bin_weights=weights(default()))
    batch = make_batch(dataset, Order(len(dataset), 2), 0)
    recipe = replace(recipes.get("full"), optimizer="sgd", momentum=0.0, weight_decay=0.0)
    steps = []
    for name in backends.available(trains=True):
        trainer = backends.get(name).Trainer(FPN, recipe, state, "cpu", "float64")
        loss = trainer.step(batch, 1.0)[0]
        after = backends.get(name).export_state(trainer.net)
        steps.append((loss, {n: state[n] - array for n, array in after.items()}))
    (loss, one), (other_loss, other) = steps
    assert loss == pytest.approx(other_loss, rel=1e-9)
    for name, gradient in one.items():
        largest = np.abs(gradient).max()
        assert largest > 0, name
        np.testing.assert_allclose(gradient, other[name], rtol=0, atol=1e-9 * largest)
