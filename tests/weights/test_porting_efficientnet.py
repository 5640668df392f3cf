"""EfficientNet-Lite of efficientnet_lite_pytorch: norms folded in, put back, and every array told.

The published files are not at hand here; what stands for them has their names and sizes.
"""

import numpy as np
import pytest
import torch

from cic import networks
from cic.networks.forward import forward
from cic.weights import checkpoint, formats, reading
from cic.weights.checkpoint import CheckpointError
from cic.weights.formats import norms, verify
from helpers import lite_zoo as zoo
from helpers.ported import apart, class_elsewhere, random_state, run, same

CLASSES, SIZE = 10, 64
EPSILON = 1e-3


@pytest.fixture(scope="module", params=[0, 1, 2])
def net(request):
    """(a net with the names of theirs, the same as a network of ours)."""
    network = networks.get("efficientnet_lite", version=request.param, classes=CLASSES, size=SIZE)
    return zoo.seeded(request.param, CLASSES), network


@pytest.fixture
def saved(net, tmp_path):
    path = tmp_path / "efficientnet.pth"
    torch.save(net[0].state_dict(), path)
    return path


def read(path):
    return formats.read(path, {"size": SIZE})


def seen(network, photos):
    corners = {"coffee": (100, 200), "astronaut": (0, 150)}
    return network.inputs(
        np.stack([photos[n][y : y + SIZE, x : x + SIZE] for n, (y, x) in corners.items()])
    )


def output(net, inputs):
    with torch.inference_mode():
        return net(torch.from_numpy(inputs)).numpy()


def test_the_version_and_the_logits_are_those_of_their_code(backend, net, saved, photos):
    found = read(saved)
    assert (found.form.name, found.network) == ("efficientnet-lite", net[1])
    inputs = seen(net[1], photos)
    expected = output(net[0], inputs)
    assert np.ptp(expected, 0).max() > 0.05 * np.abs(expected).max() > 0  # it sees the photo
    built = backend.build(found.network, found.state)
    assert apart(backend.forward(built, inputs), expected) < 1e-4
    assert apart(forward(found.network, found.state, inputs), expected) < 1e-4


@pytest.mark.parametrize("net", [0], indirect=True)
def test_a_norm_is_folded_as_the_formula_says(net, saved):
    """One channel of one layer in Python's own numbers, which are float64."""
    theirs, state, channel = net[0].state_dict(), read(saved).state, 5
    parts = ("weight", "bias", "running_mean", "running_var")
    scale, bias, mean, variance = (
        float(theirs[f"_blocks.3._bn1.{part}"][channel]) for part in parts
    )
    scale /= (variance + EPSILON) ** 0.5
    kernel = theirs["_blocks.3._depthwise_conv.weight"][channel].numpy().astype(np.float64)
    found = state["blocks.3.depthwise.weight"][channel]
    assert found.dtype == np.float32
    assert np.array_equal(found, (kernel * scale).astype(np.float32))
    assert state["blocks.3.depthwise.bias"][channel] == np.float32(bias - mean * scale)
    assert np.array_equal(state["classifier.weight"], theirs["_fc.weight"].numpy())


def test_their_code_loads_what_is_written_strictly(tmp_path, net, photos):
    theirs, network = net
    state, inputs = random_state(network), seen(network, photos)
    formats.suited(".pth", network).save(tmp_path / "x.pth", network, state, {})
    other = zoo.EfficientNet(network.options["version"], CLASSES).eval()
    arrays = torch.load(tmp_path / "x.pth", weights_only=True)
    assert list(map(str, sorted(arrays))) == sorted(theirs.state_dict())
    other.load_state_dict(arrays, strict=True)
    assert apart(output(other, inputs), forward(network, state, inputs)) < 1e-4


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_neutral_to_theirs_and_back_is_bit_identical(tmp_path, kind):
    network = networks.get("efficientnet_lite", classes=3, size=96)
    state = {n: a.astype(kind) if a.ndim > 1 else a for n, a in random_state(network).items()}
    meta = checkpoint.network_meta(network)
    formats.get("efficientnet-lite").save(tmp_path / "x", network, state, meta)
    found = formats.read(tmp_path / "x")
    assert same({key: np.ascontiguousarray(array) for key, array in found.state.items()}, state)
    assert found.meta == meta


@pytest.mark.parametrize("net", [0], indirect=True)
def test_a_whole_module_and_one_of_several_processes_are_the_same(tmp_path, net):
    with class_elsewhere(net[0], "EfficientNet", "network_of_theirs"):
        torch.save(net[0], tmp_path / "whole.pth")
    state = net[0].state_dict()
    torch.save(state, tmp_path / "x.pth")
    torch.save({f"module.{n}": a for n, a in state.items()}, tmp_path / "parallel.pth")
    expected = read(tmp_path / "x.pth").state
    for name in ("whole.pth", "parallel.pth"):
        assert same(read(tmp_path / name).state, expected)


@pytest.mark.slow
@pytest.mark.parametrize("net", [0], indirect=True)
@pytest.mark.both
def test_the_tool_moves_it_there_and_back(tmp_path, saved):
    neutral, back = tmp_path / "x.safetensors", tmp_path / "back.pth"
    options = ("--network", "efficientnet_lite", "--option", f"size={SIZE}", "--verify")
    done = run(saved, neutral, *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("passes") == 4
    assert "_conv_stem -> stem" in done.stdout
    assert "194 more: a batch norm, folded into the convolution before it" in done.stdout
    assert run(neutral, back, "--verify").returncode == 0
    first, _ = reading.load(neutral)
    assert same(first, {n: np.ascontiguousarray(a) for n, a in formats.load(back)[1].items()})


@pytest.mark.parametrize("net", [0], indirect=True)
def test_the_proof_sees_a_norm_that_is_folded_wrongly(saved, monkeypatch):
    """The source is computed with its norms, not from what they were folded into."""
    fold, run_it = norms.folded, {"ours": forward}

    def wrong(network, arrays):
        found = fold(network, arrays)
        return found | {"_conv_head.bias": found["_conv_head.bias"] + np.float32(0.1)}

    found = read(saved)
    assert verify.compare(found, found, run_it)[-1].passes
    monkeypatch.setattr(norms, "folded", wrong)
    found = read(saved)
    assert not verify.compare(found, found, run_it)[-1].passes


def drop(name):
    return lambda state: state.pop(name)


def put(name, *shape):
    return lambda state: state.update({name: torch.ones(shape)})


@pytest.mark.parametrize("net", [0], indirect=True)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("_blocks.3._bn1.running_var"), r"missing: _blocks\.3\._bn1\.running_var$"),
        (drop("_blocks.2._project_conv.weight"), r"missing: _blocks\.2\._project_conv\.weight$"),
        (drop("_conv_head.weight"), r"missing: _conv_head\.weight$"),
        (drop("_fc.weight"), r"missing: _fc\.weight$"),
        (put("_bn0.bias", 31), r"_bn0\.bias is \(31,\), not \(32,\)$"),
        (put("_conv_stem.weight", 32, 1, 3, 3), r"_conv_stem\.weight is \(32, 1, 3, 3\), not"),
        (put("_fc.extra", 3), r"not known: _fc\.extra$"),
        (put("_conv_stem.bias", 32), r"not known: _conv_stem\.bias$"),
        (put("_blocks.16._bn2.bias", 320), "no EfficientNet-Lite of 0 to 2 has 17 blocks$"),
        (put("_blocks.0._se_reduce.bias", 8), "squeeze and excitation"),
        (lambda s: s["_bn1.running_var"].neg_(), r"_bn1\.running_var holds numbers below 0$"),
        (lambda s: s["_bn1.running_mean"].fill_(torch.nan), r"_bn1\.running_mean holds numbers"),
        (lambda s: s["_bn1.running_var"].fill_(torch.inf), "numbers that are not finite$"),
        (lambda s: s.update({"_bn0.bias": torch.ones(32).long()}), "_bn0.bias holds int64"),
        (lambda s: s["_fc.bias"].fill_(torch.nan), "numbers that are not finite$"),
    ],
)
def test_every_array_is_accounted_for(tmp_path, net, change, message):
    state = {name: array.clone() for name, array in net[0].state_dict().items()}
    change(state)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=rf"x\.pth: .*{message}"):
        reading.load(tmp_path / "x.pth")
