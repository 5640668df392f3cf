"""ResNets of torchvision's and Paddle's zoos: both ways, by their own code, and as a metric."""

import numpy as np
import paddle
import pytest
import torch

from cic import networks
from cic.networks.forward import forward
from cic.weights import checkpoint, formats, reading
from cic.weights.checkpoint import CheckpointError
from cic.weights.formats.compare import paired
from helpers import special_zoo as zoo
from helpers.ported import apart, random_state, run, same
from metric import classifiers

pytestmark = pytest.mark.slow

WIDTH, CLASSES = 0.125, 10
PARTS = {"running_mean": "_mean", "running_var": "_variance"}


def to_paddle(state):
    """A state dict of PyTorch's under Paddle's names, the last matrix turned."""
    found = {}
    for name, array in state.items():
        layer, _, part = name.rpartition(".")
        if part != "num_batches_tracked":
            found[f"{layer}.{PARTS.get(part, part)}"] = array.numpy()
    found["fc.weight"] = np.ascontiguousarray(found["fc.weight"].T)
    return found


def network_of(depth):
    return networks.get("resnet", depth=depth, width=WIDTH, classes=CLASSES)


@pytest.fixture(params=[18, 34, 50, 101, 152])
def net(request):
    return zoo.seeded(zoo.PlainResNet(request.param, WIDTH, CLASSES)), network_of(request.param)


@pytest.fixture
def saved(net, tmp_path):
    """{format: path} of the net as both zoos have it."""
    state = net[0].state_dict()
    torch.save(state, tmp_path / "x.pth")
    tensors = {name: paddle.to_tensor(array) for name, array in to_paddle(state).items()}
    paddle.save(tensors, str(tmp_path / "x.pdparams"))
    names = {"torchvision-resnet": "x.pth", "paddle-vision-resnet": "x.pdparams"}
    return {name: tmp_path / file for name, file in names.items()}


def seen(network, photos):
    """Input of two real photographs, (2, 3, 128, 128) float32."""
    corners = {"coffee": (100, 200), "astronaut": (0, 150)}
    return network.inputs(
        np.stack([photos[n][y : y + 128, x : x + 128] for n, (y, x) in corners.items()])
    )


def output(net, inputs):
    with torch.inference_mode():
        return net(torch.from_numpy(inputs)).numpy()


def test_both_files_give_the_same_network_and_state(net, saved):
    for name, path in saved.items():
        found = formats.read(path)
        assert (found.form.name, found.network) == (name, net[1])
        state = {key: np.ascontiguousarray(array) for key, array in found.state.items()}
        assert same(state, zoo.neutral(net[1], net[0]))


@pytest.mark.parametrize("net", [18, 50], indirect=True)
def test_the_logits_are_those_of_the_zoo(backend, net, saved, photos):
    for path in saved.values():
        network, state, _ = reading.load_weights(path)
        inputs = seen(network, photos)
        expected = output(net[0], inputs)
        assert np.ptp(expected, 0).max() > 0.05 * np.abs(expected).max() > 0
        built = backend.build(network, state)
        assert apart(backend.forward(built, inputs), expected) < 1e-4
        assert apart(forward(network, state, inputs), expected) < 1e-4


@pytest.mark.parametrize("name", ["torchvision-resnet", "paddle-vision-resnet"])
@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_neutral_to_a_zoo_and_back_is_bit_identical(tmp_path, name, depth, kind):
    network = networks.get("resnet", depth=depth, width=0.1, classes=3)
    state = {n: a.astype(kind) if a.ndim > 1 else a for n, a in random_state(network).items()}
    meta = checkpoint.network_meta(network)
    formats.get(name).save(tmp_path / "x", network, state, meta)
    found = formats.read(tmp_path / "x")
    assert same({key: np.ascontiguousarray(array) for key, array in found.state.items()}, state)
    assert (found.form.name, found.meta) == (name, meta)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_the_names_are_those_of_paddles_own_model(depth):
    with paddle.LazyGuard():
        model = getattr(paddle.vision.models, f"resnet{depth}")()
    shapes = {name: tuple(array.shape) for name, array in model.state_dict().items()}
    network, form = networks.get("resnet", depth=depth), formats.get("paddle-vision-resnet")
    names = paired(network, form.theirs(network))
    assert sorted(map(form.key, names.values())) == sorted(shapes)
    for ours, theirs in names.items():
        shape = network.state_shapes[ours]
        assert shapes[form.key(theirs)] == (shape[::-1] if theirs == "fc.weight" else shape)


@pytest.mark.parametrize("depth", [18, 50])
def test_their_own_code_loads_it_strictly(tmp_path, depth, photos):
    """torchvision's layout at a small width, Paddle's own model at its full one."""
    network = network_of(depth)
    state, inputs = random_state(network), seen(network, photos)
    formats.suited(".pth", network).save(tmp_path / "x.pth", network, state, {})
    net = zoo.PlainResNet(depth, WIDTH, CLASSES).eval()
    net.load_state_dict(torch.load(tmp_path / "x.pth", weights_only=True), strict=True)
    assert apart(output(net, inputs), forward(network, state, inputs)) < 1e-4
    if depth == 18:
        network = networks.get("resnet", depth=18, classes=CLASSES)
        state, inputs = random_state(network), inputs[:1, :, :96, :96]
        formats.suited(".pdparams", network).save(tmp_path / "x.pdparams", network, state, {})
        model = paddle.vision.models.resnet18(num_classes=CLASSES)
        assert model.set_state_dict(paddle.load(str(tmp_path / "x.pdparams"))) == ([], [])
        model.eval()
        logits = model(paddle.to_tensor(inputs)).numpy()
        assert apart(logits, forward(network, state, inputs)) < 1e-4


def test_from_one_zoo_to_the_other_and_back_by_the_tool(tmp_path):
    net = zoo.seeded(zoo.PlainResNet(50, WIDTH, CLASSES))
    first, theirs, back = (tmp_path / name for name in ("a.pth", "b.pdparams", "c.pth"))
    torch.save(net.state_dict(), first)
    for source, target in ((first, theirs), (theirs, back)):
        done = run(source, target, "--verify")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("passes") == 4
    expected, found = net.state_dict(), torch.load(back, weights_only=True)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        assert name.endswith("num_batches_tracked") or torch.equal(array, found[name])


@pytest.mark.parametrize("net", [18], indirect=True)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer3.1.conv2.weight"), r"missing: layer3\.1\.conv2\.weight$"),
        (lambda s: s.pop("bn1.running_var"), r"missing: bn1\.running_var$"),
        (lambda s: s.pop("layer2.0.downsample.0.weight"), r"missing: layer2\.0\.downsample\.0\.w"),
        (lambda s: s.update({"layer1.0.bn3.bias": torch.ones(8)}), r"not known: layer1\.0\.bn3\.b"),
        (
            lambda s: s.update({"conv1.weight": torch.ones(8, 1, 7, 7)}),
            r"of another shape: conv1\.weight \(8, 1, 7, 7\) instead of \(8, 3, 7, 7\)$",
        ),
        (
            lambda s: s.update({"layer1.2.conv1.weight": torch.ones(8, 8, 3, 3)}),
            r"no ResNet has 3, 2, 2, 2 blocks of its kind$",
        ),
        (lambda s: s["fc.bias"].fill_(torch.nan), r"fc\.bias holds numbers that are not finite$"),
    ],
)
def test_every_array_is_accounted_for(tmp_path, net, change, message):
    state = net[0].state_dict()
    change(state)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=rf"x\.pth: .*{message}"):
        reading.load(tmp_path / "x.pth")


@pytest.mark.parametrize("net", [50], indirect=True)
def test_the_metric_takes_one_from_either_zoo(backend, net, saved, photos):
    views = np.stack([photos[name][:224, 100:324] for name in ("coffee", "astronaut")])
    expected = output(net[0], net[1].inputs(views))
    for path in saved.values():
        network, state, outputs = classifiers.load(path)
        assert outputs == CLASSES
        logits = backend.predictor(network, state, "cpu")(classifiers.inputs(network, views))
        assert apart(logits, expected) < 1e-4
