"""VGG-16 and ResNets on unusual input: both backends against an independent construction."""

import numpy as np
import pytest
import torch

import backends
from cic import networks
from cic.dataset.batches import Batch
from cic.networks import spectral
from cic.networks.forward import apply, forward
from cic.networks.initialize import initialize
from cic.training import recipes
from helpers import special_zoo as zoo

WIDTH, CLASSES, SIZE = 0.125, 10, 64
CHANNELS = {"Gray": 1, "Lab": 3, "ab": 2, "RGB": 3}


def vgg(space, variant, width=WIDTH, classes=CLASSES, size=SIZE):
    if variant == "fc":
        net = zoo.VGG16FC(CHANNELS[space], width, classes, size)
    else:
        net = zoo.VGG16(CHANNELS[space], variant == "bn", width, classes, size)
    options = {"space": space, "variant": variant, "width": width, "classes": classes}
    return networks.get("special_vgg16", size=size, **options), net


def resnet(depth, space, norm, width=WIDTH, classes=CLASSES, **options):
    net = zoo.ResNet(depth, CHANNELS[space], norm, width, classes, **options)
    options |= {"depth": depth, "space": space, "norm": norm, "width": width, "classes": classes}
    return networks.get("special_resnet", size=SIZE, **options), net


def gated(width=WIDTH, classes=CLASSES):
    net = zoo.ResNet(18, 3, "instance", width, classes, gated=True)
    return networks.get("gated_resnet18", width=width, classes=classes, size=SIZE), net


def plain(depth, width=WIDTH, classes=CLASSES):
    network = networks.get("resnet", depth=depth, width=width, classes=classes)
    return network, zoo.PlainResNet(depth, width, classes)


CASES = {
    **{f"vgg {s} {v}": (vgg, s, v) for s, v in zip(CHANNELS, ("plain", "bn", "fc", "fc"))},
    "resnet 18": (resnet, 18, "Gray", "instance"),
    "resnet 34": (resnet, 34, "RGB", "batch"),
    "resnet 50": (resnet, 50, "Gray", "batch"),
    "gated": (gated,),
    "torchvision 18": (plain, 18),
    "torchvision 50": (plain, 50),
}


@pytest.fixture(params=CASES)
def case(request):
    """(network, an independent PyTorch net with random arrays, its neutral state)."""
    build, *arguments = CASES[request.param]
    torch.manual_seed(0)
    network, net = build(*arguments)
    net = zoo.seeded(net)
    return network, net, zoo.neutral(network, net)


def views(photos, side=SIZE):
    """Two real photographs, (2, side, side, 3) uint8."""
    corners = {"coffee": (100, 200), "astronaut": (0, 150)}
    return np.stack([photos[n][y : y + side, x : x + side] for n, (y, x) in corners.items()])


@pytest.mark.slow
def test_both_backends_and_the_oracle_equal_the_independent_net(case, photos):
    network, net, state = case
    inputs = network.inputs(views(photos))
    with torch.inference_mode():
        expected = net(torch.from_numpy(inputs)).numpy()
    if any(name.endswith("weight_u") for name in state):  # theirs iterates at every pass
        state = zoo.neutral(network, net)
    scale = np.abs(expected).max()
    assert np.abs(forward(network, state, inputs) - expected).max() <= 1e-4 * scale
    for name in backends.available(trains=True):
        backend = backends.get(name)
        built = backend.build(network, state)
        assert np.abs(backend.forward(built, inputs) - expected).max() <= 1e-4 * scale
        predict = backend.predictor(network, state)
        assert np.abs(predict(inputs) - expected).max() <= 1e-4 * scale
        exported = backend.export_state(built)
        assert exported.keys() == network.state_shapes.keys()
        for key, array in exported.items():
            np.testing.assert_array_equal(array, state[key])


FULL = {  # trained numbers of each network at its own width, counted from its definition
    "special_vgg16": [
        ({"space": space, "variant": variant}, lambda s=space, v=variant: vgg(s, v, 1, 1000, 224))
        for space in CHANNELS
        for variant in ("plain", "bn", "fc")
    ],
    "special_resnet": [
        (
            {"depth": depth, "space": space, "norm": norm},
            lambda d=depth, s=space, n=norm: resnet(d, s, n, 1, 1000),
        )
        for depth in zoo.DEPTHS
        for space in ("Gray", "RGB")
        for norm in ("instance", "batch")
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_parameter_counts_are_those_of_the_independent_nets(name):
    for options, build in FULL[name]:
        with torch.device("meta"):
            _, net = build()
        trained = sum(p.numel() for p in net.parameters() if p.requires_grad)
        assert networks.get(name, **options).parameter_count == trained, options


def test_torchvisions_own_parameter_counts():
    assert networks.get("resnet", depth=18).parameter_count == 11_689_512
    assert networks.get("resnet", depth=50).parameter_count == 25_557_032


@pytest.mark.parametrize("name", ["vgg Gray plain", "vgg ab fc", "resnet 18", "gated"])
@pytest.mark.both
def test_a_training_step_agrees_between_backends(name, photos):
    """Dropout, spectral norm, momentum and decay included.

    Paddle's kernel of instance norm has its epsilon in float32, which shows in float64.
    """
    build, *arguments = CASES[name]
    network, _ = build(*arguments)
    recipe = recipes.get("vgg16-gray-fc", batch_size=2)
    batch = Batch(network.inputs(views(photos)), (np.array([3, 7]),), np.array([11, 22]))
    found = []
    for framework in backends.available(trains=True):
        backend = backends.get(framework)
        trainer = backend.Trainer(network, recipe, initialize(network), "cpu", "float64")
        losses = [trainer.step(batch, 1e-3)[0] for _ in range(3)]
        found.append((losses, *trainer.state()))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-6)
    for one, other in zip(found[0][1:], found[1][1:]):
        assert one.keys() == other.keys()
        for key, array in one.items():
            scale = max(1e-3, np.abs(array).max())
            assert np.abs(array - other[key]).max() <= 1e-4 * scale, key


@pytest.mark.both
def test_a_float32_training_step_agrees_to_a_thousandth(photos):
    network, _ = vgg("Gray", "fc")
    recipe = recipes.get("vgg16-gray-fc", batch_size=2)
    batch = Batch(network.inputs(views(photos)), (np.array([3, 7]),), np.array([11, 22]))
    state, steps = initialize(network), []
    for framework in backends.available(trains=True):
        trainer = backends.get(framework).Trainer(network, recipe, state)
        trainer.step(batch, 1e-2)
        after = trainer.state()[0]
        steps.append(np.concatenate([(after[n] - state[n]).ravel() for n in state]))
    assert np.linalg.norm(steps[0] - steps[1]) <= 1e-3 * np.linalg.norm(steps[0])


def test_the_first_training_pass_equals_the_oracle(backend, photos):
    network, _ = vgg("RGB", "fc")
    state = initialize(network)
    inputs, noise = network.inputs(views(photos)).astype(np.float64), np.array([5, 6])
    built = backend.build(network, state, dtype="float64")
    built.train()
    built.set_noise(noise)
    tensor = torch.from_numpy(inputs)
    if backend.NAME == "paddle":
        import paddle

        tensor = paddle.to_tensor(inputs)
    found = np.asarray(built(tensor).detach())
    expected = forward(network, state, inputs, training=True, noise=noise)
    assert np.abs(found - expected).max() <= 1e-9 * np.abs(expected).max()
    assert np.abs(expected - forward(network, state, inputs, True)).max() > 0.1  # dropout shows


def test_features_are_the_layers_outputs(backend, photos):
    network, _ = vgg("Lab", "bn")
    state = initialize(network)
    inputs = network.inputs(views(photos))
    built = backend.build(network, state)
    names = ("relu2_2", "conv1_1", "pool5")
    found = backend.features(built, inputs, names)
    assert found.keys() == set(names)
    x = inputs
    for layer in network.layers:
        x = apply(layer, state, x)
        if layer.name in names:
            assert np.abs(found[layer.name] - x).max() <= 1e-4 * np.abs(x).max()


def test_features_let_gradients_through(backend, photos):
    network, _ = resnet(18, "Gray", "batch")
    net = backend.build(network, initialize(network))
    array = network.inputs(views(photos))
    if backend.NAME == "torch":
        x = torch.from_numpy(array).requires_grad_()
    else:
        import paddle

        x = paddle.to_tensor(array, stop_gradient=False)
    features = net.features(x, ("layer1_1", "layer3_0"))
    sum((feature**2).mean() for feature in features.values()).backward()
    assert np.abs(np.asarray(x.grad)).max() > 0


def test_an_unknown_feature_is_refused_with_the_names_there_are(backend):
    network, _ = vgg("Gray", "fc")
    net = backend.build(network)
    with pytest.raises(ValueError, match=r"no layer 'relu9_9'; it has conv1_1, relu1_1, "):
        backend.features(net, np.zeros((1, 1, SIZE, SIZE), np.float32), ["relu9_9"])


@pytest.mark.parametrize("space", CHANNELS)
def test_inputs_are_normalised_as_their_dataset_files_have_it(space, photos):
    from PIL import Image
    from skimage import color

    photo = views(photos)[0]
    lab = color.rgb2lab(photo)
    expected = {
        "Gray": (np.asarray(Image.fromarray(photo).convert("L"))[..., None] / 255 - 0.5) / 0.5,
        "RGB": (photo / 255 - 0.5) / 0.5,
        "Lab": lab / [50, 110, 110] - [1, 0, 0],
        "ab": lab[..., 1:] / 110,
    }[space]
    found = networks.get("special_vgg16", space=space).inputs(photo)
    assert found.dtype == np.float32
    assert np.abs(found - expected.transpose(2, 0, 1)).max() < 1e-4


def test_spectral_norms_follow_the_largest_singular_value():
    weight = np.random.default_rng(0).standard_normal((6, 4, 3, 3))
    u, v = spectral.iterate(weight, np.ones(6), 500)
    largest = np.linalg.svd(weight.reshape(6, -1), compute_uv=False)[0]
    np.testing.assert_allclose(weight / spectral.normalised(weight, u, v), largest, rtol=1e-6)
    assert np.linalg.norm(u) == pytest.approx(1)
    assert np.linalg.norm(v) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("special_vgg16", {"space": "CMYK"}, "space is 'CMYK'; there are Gray, Lab, ab, RGB"),
        ("special_vgg16", {"variant": "deep"}, "variant is 'deep'; there are plain, bn, fc"),
        ("special_vgg16", {"size": 100}, "size is 100; it must be a multiple of 32"),
        ("special_vgg16", {"classes": 0}, "classes is 0"),
        ("special_resnet", {"depth": 20}, "depth is 20; there are 18, 34, 50, 101, 152"),
        ("special_resnet", {"norm": "layer"}, "norm is 'layer'; there are instance, batch"),
        ("special_resnet", {"space": "ab"}, "space is 'ab'; there are Gray, RGB"),
        ("special_resnet", {"stem_stride": 3}, "stem_stride is 3; there are 1, 2"),
        ("resnet", {"width": -1}, "width is -1"),
    ],
)
def test_options_that_do_not_fit_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        networks.get(name, **options)
