"""Layers, networks, initial weights and recipes: shapes and numbers counted out by hand."""

from dataclasses import FrozenInstanceError, replace
from math import cos, inf, nan, pi, prod

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cic import networks
from cic.networks import Network, layers
from cic.networks.initialize import initialize, random_for
from cic.networks.layers import BatchNorm, Conv, ConvTranspose, Flatten, Linear, MaxPool, ReLU, Sum
from cic.training import recipes
from cic.training.recipes import Recipe, learning_rate

CONVOLUTIONS = (  # of the paper's network: inputs, outputs, kernel, side of the output at 256
    (1, 64, 3, 256),
    (64, 64, 3, 128),
    (64, 128, 3, 128),
    (128, 128, 3, 64),
    (128, 256, 3, 64),
    (256, 256, 3, 64),
    (256, 256, 3, 32),
    (256, 512, 3, 32),
    *[(512, 512, 3, 32)] * 11,
    (256, 256, 3, 64),
    (256, 256, 3, 64),
    (256, 313, 1, 64),
)
NORMS = ((64, 128), (128, 64), (256, 32), *[(512, 32)] * 4)  # channels, side
TRANSPOSED = (512, 256, 4, 32)  # inputs, outputs, kernel, side of the input


@given(
    size=st.integers(1, 40),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.integers(0, 4),
    dilation=st.integers(1, 3),
)
def test_a_convolutions_output_is_every_place_of_its_window(
    size, kernel, stride, padding, dilation
):
    window = [dilation * k for k in range(kernel)]
    starts = range(-padding, size + padding, stride)
    places = [s for s in starts if s + window[-1] < size + padding]
    assume(places)
    layer = Conv("c", 2, 7, kernel, stride, padding, dilation)
    assert layer.output((2, size, size)) == (7, len(places), len(places))
    assert layer.multiply_adds((2, size, size)) == 7 * len(places) ** 2 * 2 * kernel**2


def test_groups_and_uneven_padding_change_the_arrays_the_shape_and_the_cost():
    layer = Conv("c", 6, 12, 5, 2, (1, 2), groups=3)
    assert layer.parameters == {"c.weight": (12, 2, 5, 5), "c.bias": (12,)}
    assert layer.fan_in == 2 * 25
    assert layer.output((6, 8, 64)) == (12, 4, 32)
    assert layer.multiply_adds((6, 8, 64)) == 12 * 4 * 32 * 2 * 25
    assert Conv("c", 6, 6, 3, 2, (0, 1)).output((6, 8, 8)) == (6, 4, 4)
    assert Conv("c", 6, 6, 3, 2, (0, 0)).output((6, 8, 8)) == (6, 3, 3)


@given(
    size=st.integers(2, 20),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.integers(0, 1),
)
def test_a_transposed_convolution_undoes_the_shape(size, kernel, stride, padding):
    layer = ConvTranspose("c", 3, 4, kernel, stride, padding)
    reached = {stride * i + k for i in range(size) for k in range(kernel)}
    side = max(reached) + 1 - 2 * padding
    assert layer.output((3, size, size)) == (4, side, side)
    assert layer.multiply_adds((3, size, size)) == 3 * 4 * kernel**2 * size**2


def test_names_and_shapes_of_the_arrays():
    assert Conv("c", 2, 7).parameters == {"c.weight": (7, 2, 3, 3), "c.bias": (7,)}
    assert ConvTranspose("c", 2, 7).parameters == {"c.weight": (2, 7, 4, 4), "c.bias": (7,)}
    assert BatchNorm("n", 7).parameters == {"n.weight": (7,), "n.bias": (7,)}
    assert BatchNorm("n", 7).statistics == {"n.running_mean": (7,), "n.running_var": (7,)}
    assert ReLU().parameters == ReLU().statistics == Conv("c", 2, 7).statistics == {}


def test_layers_without_arithmetic_of_their_own():
    assert ReLU().output((3, 4, 5)) == BatchNorm("n", 3).output((3, 4, 5)) == (3, 4, 5)
    assert ReLU().multiply_adds((3, 4, 5)) == 0
    assert BatchNorm("n", 3).multiply_adds((3, 4, 5)) == 60


def test_layers_are_frozen():
    with pytest.raises(FrozenInstanceError):
        Conv("c", 2, 7).stride = 2


def test_the_papers_parameter_count():
    inputs, outputs, kernel, _ = TRANSPOSED
    total = inputs * outputs * kernel**2 + outputs
    total += sum(o * i * k**2 + o for i, o, k, _ in CONVOLUTIONS)
    total += sum(2 * channels for channels, _ in NORMS)
    assert total == networks.get("cic").parameter_count == 32_235_385


def test_the_papers_multiply_adds():
    inputs, outputs, kernel, side = TRANSPOSED
    total = inputs * outputs * kernel**2 * side**2
    total += sum(o * i * k**2 * s**2 for i, o, k, s in CONVOLUTIONS)
    total += sum(channels * s**2 for channels, s in NORMS)
    assert networks.get("cic").multiply_adds((1, 256, 256)) == total
    assert round(total / 1e9, 1) == 41.8


@pytest.mark.parametrize(("height", "width"), [(8, 8), (256, 256), (176, 176), (64, 320)])
@pytest.mark.parametrize("options", [{}, {"width": 0.25}, {"extra_relu": True}])
def test_output_is_a_quarter_of_the_input(height, width, options):
    network = networks.get("cic", **options)
    assert network.output((1, height, width)) == (313, height // 4, width // 4)
    assert network.stride == 4


@pytest.mark.parametrize(
    ("width", "first", "fourth"),
    [(1, 64, 512), (0.25, 16, 128), (0.5, 32, 256), (0.01, 8, 8), (0.3, 16, 152), (2, 128, 1024)],
)
def test_width_scales_all_channels_to_multiples_of_8(width, first, fourth):
    network = networks.get("cic", width=width)
    shapes = network.parameters
    assert shapes["conv1_1.weight"] == (first, 1, 3, 3)
    assert shapes["conv4_1.weight"][0] == fourth
    assert shapes["conv8_313.weight"][0] == 313
    biases = {name: shape for name, shape in shapes.items() if name.endswith(".bias")}
    assert all(n % 8 == 0 for name, (n,) in biases.items() if name != "conv8_313.bias")


def test_layers_fit_each_other():
    shape = (1, 64, 64)
    for layer in networks.get("cic", width=0.3).layers:
        assert getattr(layer, "inputs", shape[0]) == shape[0]
        assert getattr(layer, "channels", shape[0]) == shape[0]
        shape = layer.output(shape)


def test_extra_relu_is_one_more_layer_with_no_arrays():
    plain, extra = networks.get("cic"), networks.get("cic", extra_relu=True)
    assert extra.state_shapes == plain.state_shapes
    names = [layer.name or "relu" for layer in extra.layers]
    after = names.index("conv5_3norm") + 1
    assert names[after : after + 2] == ["relu", "conv6_1"]
    assert extra.layers[:after] + extra.layers[after + 1 :] == plain.layers


def test_state_is_parameters_and_statistics():
    network = networks.get("cic")
    assert network.state_shapes == network.parameters | network.statistics
    assert len(network.parameters) == 2 * (22 + 1 + 7)
    assert network.statistics["conv7_3norm.running_var"] == (512,)
    assert len(network.statistics) == 2 * 7
    assert network.parameter_count == sum(prod(s) for s in network.parameters.values())


@pytest.mark.parametrize("name", networks.names())
def test_options_rebuild_the_network(name):
    network = networks.get(name)
    assert network.name == name
    assert networks.get(network.name, **network.options) == network


@pytest.mark.parametrize("options", [{"width": 0.25}, {"extra_relu": True}])
def test_changed_options_rebuild_the_network(options):
    network = networks.get("cic", **options)
    assert networks.get("cic", **network.options) == network
    assert network != networks.get("cic")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vgg", {}, "'vgg'; there are cic"),
        ("", {}, "there are cic"),
        ("cic", {"depth": 3}, "depth"),
        ("cic", {"width": "wide"}, "'cic'"),
        ("cic", {"width": 0}, "width is 0"),
        ("cic", {"width": True}, "width is True"),
        ("cic", {"width": -1}, "width is -1"),
        ("cic", {"width": float("nan")}, "width is nan"),
        ("cic", {"width": float("inf")}, "width is inf"),
    ],
)
def test_unknown_networks_and_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        networks.get(name, **options)


def test_prepare_centres_the_lightness():
    prepared = networks.get("cic").prepare(np.float32([[0, 50, 100]]))
    assert prepared.tolist() == [[-50, 0, 50]]
    assert prepared.dtype == np.float32


def test_prepare_scales_where_a_network_wants_it():
    scaled = Network("x", (), mean=10.0, scale=2.0)
    assert scaled.prepare(np.float32([0, 10, 100])).tolist() == [-5, 0, 45]


@pytest.fixture(scope="module")
def small():
    return networks.get("cic", width=0.25)


@pytest.fixture(scope="module")
def state(small):
    return initialize(small, seed=3)


def test_initialize_gives_every_array_in_float32(small, state):
    assert {name: array.shape for name, array in state.items()} == small.state_shapes
    assert {array.dtype for array in state.values()} == {np.dtype(np.float32)}


def test_convolutions_have_hes_variance(state):
    """Mean and variance lie within five of their own standard errors."""
    for name, array in state.items():
        if array.ndim == 4:
            outputs, inputs, kernel, _ = array.shape
            summed = inputs * kernel**2
            if name == "conv8_1.weight":
                summed = outputs * 4  # IOHW; of the 4 x 4 kernel each output sees 2 x 2
            scaled = array.astype(float) / np.sqrt(2 / summed)
            assert abs(scaled.mean()) < 5 / np.sqrt(array.size), name
            assert abs(scaled.var() - 1) < 5 * np.sqrt(2 / array.size), name


def test_biases_are_0_and_norms_the_identity(state):
    for name, array in state.items():
        if array.ndim == 1:
            one = "norm" in name and name.endswith((".weight", ".running_var"))
            assert (array == one).all(), name


def test_initialize_is_a_function_of_the_seed(small, state):
    again, other = initialize(small, seed=3), initialize(small, seed=4)
    for name, array in state.items():
        assert np.array_equal(array, again[name])
        assert array.ndim == 1 or not np.array_equal(array, other[name])


def test_an_array_does_not_depend_on_the_other_layers(small, state):
    for layer in small.layers:
        alone = initialize(Network("alone", (layer,)), seed=3)
        for name, array in alone.items():
            assert np.array_equal(array, state[name])


def test_equal_shapes_have_different_weights(state):
    first, second = (state[f"conv5_{i}.weight"].ravel() for i in (1, 2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02


def test_random_for_does_not_depend_on_the_order_of_calls():
    keys = [(0,), (0, 1), (0, 0, 1), (0, 0, 0, 1), (1,), (7, 8, 9, 10)]
    forth = [random_for(*key).random(5).tolist() for key in keys]
    back = [random_for(*key).random(5).tolist() for key in reversed(keys)]
    assert forth == back[::-1]


def test_every_argument_of_random_for_matters():
    keys = [(s, a, b, c) for s in (0, 1) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    draws = {random_for(*key).random() for key in keys}
    assert len(draws) == len(keys)


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize("word", [2**53, 2**63, 2**64 - 2])
def test_neighbouring_64_bit_words_have_their_own_streams(position, word):
    first, second = [1, 2, 3, 4], [1, 2, 3, 4]
    first[position], second[position] = word, word + 1
    assert random_for(*first).random() != random_for(*second).random()


def test_streams_of_neighbouring_keys_do_not_overlap():
    draws = np.concatenate([random_for(0, 0, i).random(1000) for i in range(5)])
    assert len(np.unique(draws)) == len(draws)


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_names_a_network(name):
    recipe = recipes.get(name)
    network = networks.get(recipe.network, **recipe.options)
    assert recipe.name == name
    assert recipe.crop_size % network.multiple == 0
    assert recipe.crop_size <= recipe.load_size


def test_the_defaults_are_the_authors():
    recipe = recipes.get("full")
    assert (recipe.batch_size, recipe.lr, recipe.weight_decay) == (40, 3.16e-5, 1e-3)
    assert (recipe.beta1, recipe.beta2) == (0.9, 0.99)
    assert (recipe.NN, recipe.sigma, recipe.gamma) == (5, 5, 0.5)
    assert networks.get(recipe.network, **recipe.options) == networks.get("cic")


def test_the_three_variants_of_the_paper_and_the_seeds_choices():
    full = recipes.get("full")
    assert replace(recipes.get("no-rebalance"), name="full") == replace(full, rebalance=False)
    assert replace(recipes.get("rebalance"), name="full") == replace(full, gamma=0.0)
    seed = recipes.get("paddle-cic")
    assert networks.get(seed.network, **seed.options) == networks.get("cic", extra_relu=True)
    assert (seed.NN, seed.augment, seed.load_size, seed.crop_size) == (1, False, 224, 224)
    assert learning_rate(seed, 40_000, 10**6, 1) == pytest.approx(0.81 * 3.16e-5)


def test_recipes_are_frozen_and_changes_are_copies():
    with pytest.raises(FrozenInstanceError):
        recipes.get("full").lr = 1
    assert recipes.get("full", lr=1.0, NN=10) == Recipe("full", lr=1.0, NN=10)
    assert recipes.get("full").lr == 3.16e-5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: recipes.get("ful"), "'ful'; there are full"),
        (lambda: recipes.get("full", learning_rate=1), "'learning_rate'; it has .*lr"),
        (lambda: recipes.get("full", schedule="linear"), "'linear'; there are step, epoch, cosine"),
        (lambda: recipes.get("full", rebalance="false"), "rebalance is 'false': it must be bool"),
        (lambda: recipes.get("full", NN=True), "NN is True: it must be int"),
        (lambda: recipes.get("full", lr="1e-3"), "lr is '1e-3': it must be float"),
        (lambda: recipes.get("full", NN=False), "NN is False: it must be int"),
        (lambda: recipes.get("full", lr=True), "lr is True: it must be float"),
        (lambda: Recipe("mine", schedule=""), "schedule is ''"),
        (lambda: Recipe("mine", crop_scale=0.5, augment=False), "0.5: without augment no crop is"),
    ],
)
def test_unknown_names_fields_and_schedules(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("names", "values"),
    [
        ("load_size crop_size batch_size num_epochs accumulate lr_step", (0, -3)),
        ("lr lr_factor sigma", (0.0, -1.0, inf, nan)),
        ("weight_decay clip_norm", (-1.0, inf, nan)),
        ("beta1 beta2", (-0.1, 1.0, nan)),
        ("gamma balance ageing", (1.1, -0.1, nan)),
        ("crop_scale", (0.0, 1.1, nan)),
        ("weight_limit", (-1.0, inf, nan)),
        ("distance", (-1.0, inf, nan)),
        ("NN", (0, 314)),
    ],
)
def test_a_setting_that_no_run_can_have_is_refused_by_name(names, values):
    for name in names.split():
        for value in values:
            with pytest.raises(ValueError, match=f"^{name} is {value:g}"):
                recipes.get("full", **{name: value})


@pytest.mark.parametrize(
    ("step", "lr"),
    [
        (0, 3.16e-5),
        (214_999, 3.16e-5),
        (215_000, 0.316 * 3.16e-5),
        (429_999, 0.316 * 3.16e-5),
        (430_000, 0.316**2 * 3.16e-5),
    ],
)
def test_the_authors_learning_rate_drops_every_215_000_steps(step, lr):
    for steps in (1, 450_000):
        assert learning_rate(recipes.get("full"), step, steps, 1) == pytest.approx(lr, rel=1e-12)


def test_cosine_rises_over_the_first_fiftieth_and_falls_to_0():
    recipe, steps = Recipe("c", lr=2.0, schedule="cosine"), 1000
    rates = np.array([learning_rate(recipe, step, steps, 1) for step in range(steps + 1)])
    expected = np.array([1 + cos(pi * step / steps) for step in range(steps + 1)])
    expected[:20] *= np.arange(1, 21) / 20
    assert np.abs(rates - expected).max() < 1e-12
    assert (np.diff(rates[:20]) > 0).all()
    assert (np.diff(rates[19:]) < 0).all()
    assert rates[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 49])
def test_a_short_cosine_run_has_no_step_at_0(steps):
    recipe = Recipe("c", lr=1.0, schedule="cosine")
    assert learning_rate(recipe, 0, steps, 1) == 1
    assert all(learning_rate(recipe, step, steps, 1) > 0 for step in range(steps))


def test_pools_flattening_and_linear_layers():
    assert MaxPool().output((3, 7, 9)) == (3, 3, 4)
    assert MaxPool(3, 1).output((3, 7, 9)) == (3, 5, 7)
    assert Flatten().output((3, 7, 9)) == (189,)
    layer = Linear("fc", 189, 10)
    assert layer.parameters == {"fc.weight": (10, 189), "fc.bias": (10,)}
    assert layer.output((189,)) == (10,)
    assert layer.multiply_adds((189,)) == 1890
    assert MaxPool().parameters == Flatten().parameters == layer.statistics == {}
    with pytest.raises(ValueError, match=r"fc takes 189 features, not an input of \(190,\)"):
        layer.output((190,))


def test_blocks_have_the_arrays_the_shape_and_the_cost_of_what_is_inside():
    main = Conv("a", 4, 6, 3, 2, 1, bias=False), BatchNorm("n", 6)
    block = Sum("s", (main, (Conv("b", 4, 6, 1, 2, 0),)))
    assert block.parameters == {
        "a.weight": (6, 4, 3, 3),
        "n.weight": (6,),
        "n.bias": (6,),
        "b.weight": (6, 4, 1, 1),
        "b.bias": (6,),
    }
    assert set(block.statistics) == {"n.running_mean", "n.running_var"}
    assert block.output((4, 8, 8)) == (6, 4, 4)
    assert block.multiply_adds((4, 8, 8)) == 16 * 6 * (4 * 9 + 1 + 4)
    assert [layer.name for layer in block.flat()] == ["s", "a", "n", "b"]
    assert layers.total_outputs((block, ReLU()), (4, 8, 8)) == 16 * 6 * 5
    with pytest.raises(ValueError, match="the branches of s put out"):
        Sum("s", (main, ())).output((4, 8, 8))


def test_spectral_convolutions_have_two_vectors_more():
    layer = Conv("c", 3, 5, spectral=True)
    assert layer.statistics == {"c.weight_u": (5,), "c.weight_v": (27,)}
    state = initialize(Network("one", (layer,)))
    matrix = state["c.weight"].reshape(5, -1)
    sigma = state["c.weight_u"] @ matrix @ state["c.weight_v"]
    assert sigma == pytest.approx(np.linalg.svd(matrix, compute_uv=False)[0], rel=0.02)


def test_a_learning_rate_that_drops_by_epochs():
    recipe = recipes.get("vgg16-lab-fc")
    assert (recipe.lr, recipe.momentum, recipe.weight_decay) == (0.01, 0.9, 5e-4)
    rates = [learning_rate(recipe, step, 1200, 10) for step in (0, 299, 300, 599, 600, 900)]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-5])


def test_vgg16_is_the_published_one():
    """Parameters and multiply-adds as counted out; 138,357,544 is also what torchvision says."""
    network = networks.get("vgg16")
    sizes = ((3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256))
    sizes += ((256, 512), *[(512, 512)] * 5)
    sides = (224, 224, 112, 112, 56, 56, 56, 28, 28, 28, 14, 14, 14)
    linear = ((25088, 4096), (4096, 4096), (4096, 1000))
    total = sum(9 * i * o + o for i, o in sizes) + sum(i * o + o for i, o in linear)
    assert total == network.parameter_count == 138_357_544
    costs = sum(9 * i * o * side**2 for (i, o), side in zip(sizes, sides))
    assert network.multiply_adds((3, 224, 224)) == costs + sum(i * o for i, o in linear)
    assert network.output((3, 224, 224)) == (1000,)
    names = [name.removesuffix(".weight") for name in network.parameters if "weight" in name]
    assert names[0] == "conv1_1"
    assert names[-4:] == ["conv5_3", "fc6", "fc7", "fc8"]
    with pytest.raises(ValueError, match="fc6 takes 25088 features"):
        network.output((3, 256, 256))


def test_its_input_is_normalised_as_torchvisions():
    network = networks.get("vgg16")
    pixels = np.float32([[[0, 0.5, 1], [0.485, 0.456, 0.406]]])
    prepared = network.prepare(pixels)
    assert prepared.dtype == np.float32
    expected = [[[-0.485 / 0.229, 0.044 / 0.224, 0.594 / 0.225], [0, 0, 0]]]
    np.testing.assert_allclose(prepared, expected, atol=1e-6)


def test_a_classifier_does_not_colorize():
    assert networks.get("vgg16").is_classifier
    assert not networks.get("cic").is_classifier
    with pytest.raises(ValueError, match=r"vgg16\(.*\) is a classifier: it does not colorize"):
        _ = networks.get("vgg16").stride


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 0}, "classes is 0"),
        ({"classes": 2.5}, "classes is 2.5"),
        ({"width": 0}, "width is 0"),
        ({"channels": 3}, "'vgg16'.*channels"),
    ],
)
def test_unknown_options_of_vgg16(options, message):
    with pytest.raises(ValueError, match=message):
        networks.get("vgg16", **options)


def test_linear_layers_have_hes_variance():
    layer = Linear("fc", 500, 300)
    scaled = initialize(Network("one", (layer,)))["fc.weight"].astype(float) / np.sqrt(2 / 500)
    assert abs(scaled.mean()) < 5 / np.sqrt(scaled.size)
    assert abs(scaled.var() - 1) < 5 * np.sqrt(2 / scaled.size)
