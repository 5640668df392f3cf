"""VGG-16 from files of PyTorch and Paddle: the same network and state, and strict."""

import numpy as np
import paddle
import pytest
import torch

from cic import networks
from cic.networks.forward import forward
from cic.networks.initialize import initialize
from cic.weights import checkpoint, formats
from cic.weights.checkpoint import CheckpointError
from cic.weights.files import read_frameworks
from cic.weights.formats.compare import paired
from helpers import ROOT, started, zoo

NETWORK = networks.get("vgg16", classes=10, width=zoo.WIDTH)


@pytest.fixture(scope="module")
def net():
    return zoo.seeded()


@pytest.fixture(scope="module")
def saved(net, tmp_path_factory):
    """The net as every writer has it, {format: path}; the oldest writers are imitated."""
    folder = tmp_path_factory.mktemp("saved")
    other = zoo.to_paddle(net).state_dict()
    torch.save(net.state_dict(), folder / "zip.pth")
    torch.save(net.state_dict(), folder / "old.pth", _use_new_zipfile_serialization=False)
    torch.save(dict(net.named_parameters()), folder / "parameters.pth")
    paddle.save(other, str(folder / "4.pdparams"))
    paddle.save(other, str(folder / "2.pdparams"), protocol=2)
    paddle.save({name: other[name] for name in other}, str(folder / "tuples.pdparams"))
    data = (folder / "old.pth").read_bytes()
    version_1 = data.replace(b"_rebuild_tensor_v2\n", b"_rebuild_tensor\n")
    (folder / "oldest.pth").write_bytes(version_1)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def squares(photos):
    """Network input of three photographs, (3, 3, 224, 224) float32."""
    crops = [photos[name][:224, 100:324] for name in ("astronaut", "chelsea", "coffee")]
    return NETWORK.prepare(np.stack(crops) / np.float32(255)).transpose(0, 3, 1, 2)


KINDS = ["zip.pth", "old.pth", "oldest.pth", "parameters.pth"]
KINDS += ["4.pdparams", "2.pdparams", "tuples.pdparams"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_gives_the_same_network_and_state(saved, net, kind):
    network, state = formats.load(saved[kind])
    assert network == NETWORK
    assert list(state) == list(NETWORK.state_shapes)
    checkpoint.check(network, state)
    theirs = theirs_of(network)
    for name, array in net.state_dict().items():
        (neutral,) = (mine for mine, other in theirs.items() if other == name)
        assert state[neutral].dtype == np.float32
        assert np.array_equal(state[neutral], array.numpy())


def test_the_names_are_those_of_paddles_own_model():
    with paddle.LazyGuard():
        model = paddle.vision.models.vgg16()
    network = networks.get("vgg16")
    shapes = {name: tuple(array.shape) for name, array in model.state_dict().items()}
    theirs = theirs_of(network)
    assert sorted(theirs.values()) == sorted(shapes)
    for name, other in theirs.items():
        shape = network.state_shapes[name]
        assert shapes[other] == (shape[::-1] if name.startswith("fc") else shape)


def test_the_logits_are_those_of_pytorch_and_of_the_core(backend, saved, net, squares):
    """Within 1e-4 of their scale, also as the fastest way to run it gives them."""
    network, state = formats.load(saved["4.pdparams"])
    with torch.no_grad():
        expected = net(torch.from_numpy(np.ascontiguousarray(squares))).numpy()
    assert np.ptp(expected, 0).min() > 0.05 * np.abs(expected).max() > 0
    scale = 1e-4 * np.abs(expected).max()
    built = backend.build(network, state)
    predict = backend.predictor(network, state, "cpu")
    oracle = forward(network, state, squares[:1].astype(np.float64))
    np.testing.assert_allclose(oracle, expected[:1], rtol=0, atol=scale)
    for logits in (backend.forward(built, squares), predict(squares)):
        np.testing.assert_allclose(logits, expected, rtol=0, atol=scale)
    np.testing.assert_allclose(predict(squares[:1]), expected[:1], rtol=0, atol=scale)
    for name, array in backend.export_state(built).items():
        assert np.array_equal(array, state[name])


def test_it_goes_through_a_checkpoint(tmp_path, saved):
    network, state = formats.load(saved["4.pdparams"])
    path = tmp_path / "vgg.safetensors"
    checkpoint.save(path, state, checkpoint.network_meta(network))
    again, loaded = formats.load(path)
    assert again == network
    assert all(np.array_equal(loaded[name], state[name]) for name in state)


@pytest.mark.parametrize("length", [0x10280, 0x10480])
def test_a_checkpoint_that_starts_like_a_pickle_is_none(tmp_path, length):
    """Its first bytes are the length of a header, which may be any."""
    path, network = tmp_path / "x.safetensors", networks.get("cic", width=0.1)
    state, meta = initialize(network), checkpoint.network_meta(network)
    checkpoint.save(path, state, meta | {"note": ""})
    usual = int.from_bytes(path.read_bytes()[:8], "little")
    checkpoint.save(path, state, meta | {"note": "x" * (length - usual)})
    assert path.read_bytes()[:2] == length.to_bytes(8, "little")[:2]
    assert formats.load(path)[0] == network


def theirs_of(network):
    """{neutral name: torchvision's}."""
    return paired(network, formats.get("torchvision").theirs(network))


def without(state, *names):
    return {name: array for name, array in state.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "features.2.bias"), "missing: features.2.bias$"),
        (lambda s: without(s, "features.0.weight"), "missing: features.0.weight$"),
        (lambda s: without(s, "classifier.0.weight"), "missing: classifier.0.weight$"),
        (
            lambda s: s | {"features.1.running_mean": s["features.0.bias"]},
            "not known: features.1.r",
        ),
        (
            lambda s: s | {"features.5.weight": s["features.0.weight"]},
            r"shape: features.5.weight \(",
        ),
        (
            lambda s: s | {"classifier.3.weight": s["features.0.bias"]},
            r"classifier.3.weight \(8,\) ",
        ),
        (
            lambda s: s | {f"features.{i}.x": s["features.0.bias"] for i in range(50)},
            "and 45 more$",
        ),
        (
            lambda s: s | {"features.0.bias": s["features.0.bias"].long()},
            "conv1_1.bias holds int64",
        ),
        (lambda s: s | {"features.0.bias": s["features.0.bias"] / 0}, "conv1_1.bias holds numbers"),
        (lambda s: {"fc.weight": s["features.0.bias"]}, "of no known network: fc.weight"),
    ],
)
def test_other_state_dicts_are_named(tmp_path, net, change, message):
    path = tmp_path / "other.pth"
    torch.save(change(net.state_dict()), path)
    with pytest.raises(CheckpointError, match=rf"other\.pth: .*{message}"):
        formats.load(path)


def test_arrays_of_every_kind_and_order(tmp_path):
    """Views, transposed and empty ones, shared storages, integers, half and double precision."""
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "view": base[1:, 2:],
        "turned": base.T,
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(7),
        "half": base.half(),
        "double": base.double(),
        "bool": base > 4,
        "steps": base[:, ::2],
    }
    for old in (False, True):
        torch.save(tensors, tmp_path / "t.pth", _use_new_zipfile_serialization=not old)
        found = read_frameworks.read(tmp_path / "t.pth")
        assert list(found) == list(tensors)
        for name, tensor in tensors.items():
            assert np.array_equal(found[name], tensor.numpy())
            assert found[name].dtype == tensor.numpy().dtype
    by_column = {"a": np.asfortranarray(base.numpy()), "b": base.numpy().astype(">f8")}
    paddle.save(by_column, str(tmp_path / "a.pdparams"))
    found = read_frameworks.read(tmp_path / "a.pdparams")
    assert all(np.array_equal(found[name], array) for name, array in by_column.items())


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(CheckpointError, match=path.name):
            formats.load(path)


def same(one, other):
    return one.keys() == other.keys() and all(
        one[name].shape == other[name].shape and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


@pytest.mark.parametrize("name", ["torchvision", "paddle-vision"])
def test_neutral_to_a_zoo_and_back_is_bit_identical(tmp_path, saved, name):
    network, state = formats.load(saved["zip.pth"])
    state = {key: np.ascontiguousarray(array) for key, array in state.items()}
    meta = checkpoint.network_meta(network)
    formats.get(name).save(tmp_path / "zoo", network, state, meta)
    found = formats.read(tmp_path / "zoo")
    assert found.form.name == name
    assert (found.network, found.meta) == (network, meta)
    assert same({key: np.ascontiguousarray(a) for key, a in found.state.items()}, state)


@pytest.mark.slow
def test_between_the_zoos_and_their_own_code_loads_it_strictly(tmp_path, saved, net, squares):
    """From PyTorch to Paddle and back by the tool, its linear layers turned twice."""
    theirs, back = tmp_path / "vgg16.pdparams", tmp_path / "vgg16.pth"
    for source, target in ((saved["zip.pth"], theirs), (theirs, back)):
        tool = ROOT / "tools" / "port_weights.py"
        done = started.run(tool, source, target, "--verify", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("passes") == 4
    other = zoo.PaddleVGG()
    assert other.set_state_dict(paddle.load(str(theirs))) == ([], [])
    other.eval()
    again = zoo.TorchVGG()
    again.load_state_dict(torch.load(back, weights_only=True), strict=True)
    squares = np.ascontiguousarray(squares)
    with torch.no_grad():
        expected = net(torch.from_numpy(squares)).numpy()
        logits = again.eval()(torch.from_numpy(squares)).numpy()
    assert np.array_equal(logits, expected)
    scale = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(other(paddle.to_tensor(squares)), expected, rtol=0, atol=scale)
