"""Weights of every colorization project: in, out and back, and the same numbers come out."""

import functools
import subprocess
import sys

import numpy as np
import paddle
import pytest
import torch

import backends
from cic import networks
from cic.colour.distributions import decode
from cic.colour.lab import lightness
from cic.networks.initialize import initialize
from cic.weights import checkpoint, formats, reading
from cic.weights.checkpoint import CheckpointError
from cic.weights.formats import verify
from helpers import colorizers
from helpers.ported import TOOL, random_state, run, same


def save_eccv(net, path):
    torch.save(net.state_dict(), path)


def save_epiphqny(net, path):
    torch.save(torch.nn.DataParallel(net).state_dict(), path)  # as their train.py does


def save_paddle(net, path):
    paddle.save(colorizers.to_paddle(net).state_dict(), str(path))


SOURCES = {
    "eccv16": (colorizers.eccv, save_eccv, "x.pth"),
    "epiphqny": (colorizers.color_model, save_epiphqny, "model-1-216.ckpt"),
    "paddle-cic": (colorizers.color_model, save_paddle, "epoch_19_model.pdparams"),
}
OPTIONS = {
    "eccv16": {"extra_relu": False, "input_scale": 100.0},
    "epiphqny": {"extra_relu": True, "input_scale": 1.0},
    "paddle-cic": {"extra_relu": True, "input_scale": 1.0},
}


@functools.cache
def net_of(name):
    return SOURCES[name][0]()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """{format: path} of a file as each project writes it."""
    folder = tmp_path_factory.mktemp("files")
    for name, (_, save, file) in SOURCES.items():
        (folder / name).mkdir()
        save(net_of(name), folder / name / file)
    return {name: folder / name / file for name, (*_, file) in SOURCES.items()}


@pytest.fixture
def photo_lightness(photo):
    """L of a real photo whose sides are multiples of 8, (1, 1, 56, 88) float32."""
    return lightness(photo[:56, :88])[None, None]


@pytest.mark.parametrize("name", SOURCES)
def test_a_file_is_found_by_its_content_and_gives_its_network(files, name, tmp_path):
    disguised = tmp_path / "weights.bin"
    disguised.write_bytes(files[name].read_bytes())
    found = formats.read(disguised)
    assert found.form.name == name
    assert found.network == networks.get("cic", width=colorizers.WIDTH, **OPTIONS[name])
    state, meta = reading.load(disguised)
    checkpoint.check(found.network, state)
    assert meta["network"] == "cic"
    assert meta["options"] == found.network.options
    network, weights, again = reading.load_weights(disguised)
    assert (network, again) == (found.network, meta)
    assert all(weights[key] is not None and weights[key].dtype == np.float32 for key in weights)


@pytest.mark.parametrize("name", SOURCES)
def test_the_logits_are_those_of_the_project(backend, files, name, photo_lightness):
    with torch.no_grad():
        expected = net_of(name).logits(torch.from_numpy(photo_lightness)).numpy()
    scale = np.abs(expected).max()
    assert expected.std(1).min() > 0.05 * scale > 0  # they depend on the bin
    assert expected[0].std((1, 2)).min() > 1e-3 * scale  # and on the place
    network, state, _ = reading.load_weights(files[name])
    inputs = network.prepare(photo_lightness)
    output = backend.forward(backend.build(network, state), inputs)
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-4 * scale)


def test_the_colours_are_those_of_the_authors(files, photo_lightness):
    """Theirs are decoded without a temperature, which is in the metadata."""
    network, state, meta = reading.load_weights(files["eccv16"])
    with torch.no_grad():
        expected = net_of("eccv16")(torch.from_numpy(photo_lightness)).numpy()
    assert np.ptp(expected) > 20
    logits = verify.forward(network, state, network.prepare(photo_lightness))
    ab = decode(logits, **meta["colorize"])
    np.testing.assert_allclose(ab, expected, rtol=0, atol=0.01)
    assert np.abs(decode(logits) - expected).max() > 1  # at the usual temperature


@pytest.mark.parametrize(
    ("name", "temperature"), [("eccv16", 1), ("paddle-cic", 1 / 2.63), ("epiphqny", 0)]
)
def test_their_decoding_is_in_the_metadata(files, name, temperature):
    assert reading.load(files[name])[1]["colorize"] == {"temperature": temperature}


@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize("scale", [1.0, 100.0, 3.7])
@pytest.mark.parametrize("width", [0.125, 0.3])
def test_neutral_to_theirs_and_back_is_bit_identical(tmp_path, name, kind, scale, width):
    options = {"extra_relu": OPTIONS[name]["extra_relu"], "input_scale": scale}
    network = networks.get("cic", width=width, **options)
    state = random_state(network)
    state = {n: a.astype(kind) if a.ndim > 1 else a for n, a in state.items()}
    meta = checkpoint.network_meta(network) | {"colorize": {"size": 128, "temperature": 0.5}}
    formats.get(name).save(tmp_path / "theirs", network, state, meta)
    back, back_meta = reading.load(tmp_path / "theirs")
    assert same(state, back)
    assert back_meta == meta


@pytest.mark.parametrize("name", SOURCES)
def test_theirs_to_neutral_and_back_is_bit_identical(tmp_path, files, name):
    found = formats.read(files[name])
    formats.NEUTRAL.save(tmp_path / "own.safetensors", found.network, found.state, found.meta)
    again = formats.read(tmp_path / "own.safetensors")
    found.form.save(tmp_path / "theirs", again.network, again.state, again.meta)
    last = formats.read(tmp_path / "theirs")
    counted = {n: a for n, a in found.arrays.items() if "num_batches" not in n}
    assert same(counted, {n: last.arrays[n] for n in counted})
    assert last.dropped.keys() == found.dropped.keys()


def exported(tmp_path, name):
    network = networks.get("cic", width=colorizers.WIDTH, **OPTIONS[name])
    state = random_state(network)
    path = tmp_path / SOURCES[name][2]
    formats.get(name).save(path, network, state, {})
    return network, state, path


def test_the_authors_own_code_loads_it_strictly(tmp_path, photo_lightness):
    network, state, path = exported(tmp_path, "eccv16")
    net = colorizers.Eccv().eval()
    net.load_state_dict(torch.load(path, weights_only=True), strict=True)
    with torch.no_grad():
        logits = net.logits(torch.from_numpy(photo_lightness)).numpy()
        ab = net(torch.from_numpy(photo_lightness)).numpy()
    expected = verify.forward(network, state, network.prepare(photo_lightness))
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(ab, decode(expected, 1.0), rtol=0, atol=0.01)


def test_epiphqnys_own_code_loads_it_strictly(tmp_path, photo_lightness):
    network, state, path = exported(tmp_path, "epiphqny")
    net = torch.nn.DataParallel(colorizers.ColorModel())  # as their sample_imagenet.py
    net.load_state_dict(torch.load(path, weights_only=True), strict=True)
    net.eval()
    with torch.no_grad():
        output = net(torch.from_numpy(photo_lightness - 50)).numpy()
    expected = verify.forward(network, state, network.prepare(photo_lightness)) / 0.38
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_paddle_cics_own_code_loads_it_strictly(tmp_path, photo_lightness):
    network, state, path = exported(tmp_path, "paddle-cic")
    net = colorizers.PaddleColorModel()
    assert net.set_state_dict(paddle.load(str(path))) == ([], [])
    net.eval()
    output = net(paddle.to_tensor(photo_lightness - 50)).numpy()
    expected = verify.forward(network, state, network.prepare(photo_lightness))
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("eccv16", {"extra_relu": True}, "after conv5_3norm it has ReLU, theirs has Conv"),
        ("paddle-cic", {}, "after conv5_3norm it has Conv, theirs has ReLU"),
        ("epiphqny", {}, "after conv5_3norm it has Conv, theirs has ReLU"),
        ("torchvision", {}, "holds no cic, only vgg16"),
        ("caffe", {}, "is read, not written"),
    ],
)
def test_what_their_code_would_compute_differently_is_not_written(name, options, message, tmp_path):
    network = networks.get("cic", width=0.125, **options)
    with pytest.raises(ValueError, match=message):
        formats.get(name).save(tmp_path / "x", network, initialize(network), {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("suffix", "options", "name"),
    [
        (".pth", {}, "eccv16"),
        (".pt", {"extra_relu": True}, "epiphqny"),
        (".ckpt", {"extra_relu": True}, "epiphqny"),
        (".pdparams", {"extra_relu": True}, "paddle-cic"),
        (".safetensors", {}, "neutral"),
    ],
)
def test_the_ending_and_the_network_choose_the_format(suffix, options, name):
    assert formats.suited(suffix, networks.get("cic", **options)).name == name


def test_an_ending_that_cannot_hold_the_network_says_why():
    with pytest.raises(ValueError, match=r"paddle-cic cannot hold .*: after conv5_3norm"):
        formats.suited(".pdparams", networks.get("cic"))
    with pytest.raises(ValueError, match=r"no format of cic ends in '\.h5'"):
        formats.suited(".h5", networks.get("cic"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("model3.2.bias"), r"missing: model3\.2\.bias$"),
        (lambda s: s.pop("model_out.weight"), r"missing: model_out\.weight$"),
        (lambda s: s.update({"model9.0.bias": s["model1.0.bias"]}), r"not known: model9\.0\.bias"),
        (
            lambda s: s.update({"model3.0.bias": s["model1.0.bias"]}),
            r"of another shape: model3\.0\.bias \(8,\) instead of \(32,\)",
        ),
        (lambda s: s["model_out.weight"].mul_(1.1), r"is not the 313 bins / 110: up to 11 apart"),
        (lambda s: s["model5.0.weight"].fill_(torch.nan), r"conv5_1\.weight holds numbers that"),
        (
            lambda s: s.update({"model5.0.weight": s["model5.0.weight"].int()}),
            r"conv5_1\.weight holds int32 numbers",
        ),
    ],
)
def test_every_array_is_accounted_for(tmp_path, change, message):
    state = colorizers.eccv().state_dict()
    change(state)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=rf"x\.pth: .*{message}"):
        reading.load(tmp_path / "x.pth")


def test_bytes_in_the_wrong_order_are_noticed(tmp_path, files):
    arrays = {n: a.byteswap() for n, a in formats.read(files["paddle-cic"]).arrays.items()}
    formats.get("paddle-cic").write(tmp_path / "x.pdparams", arrays)
    with pytest.raises(CheckpointError, match=r"finite|as bytes in the wrong order"):
        reading.load(tmp_path / "x.pdparams")


def test_old_names_of_distributed_training_are_taken_off(tmp_path, files):
    arrays = formats.read(files["paddle-cic"]).arrays
    named = {f"_layers.{name}": array for name, array in arrays.items()}
    formats.get("paddle-cic").write(tmp_path / "x.pdparams", named)
    assert same(reading.load(tmp_path / "x.pdparams")[0], reading.load(files["paddle-cic"])[0])


def test_a_training_checkpoint_gives_its_weights_alone(tmp_path):
    network = networks.get("cic", width=0.125)
    state = initialize(network)
    moments = {f"{checkpoint.OPTIMIZER}steps": np.array([3])}
    meta = checkpoint.network_meta(network) | {"step": 3}
    checkpoint.save(tmp_path / "run.safetensors", state | moments, meta)
    found = formats.read(tmp_path / "run.safetensors")
    assert same(found.state, state)
    assert found.dropped == {"optimizer/steps": "the optimizer's, for training"}


@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
def test_the_tool_says_what_it_did_and_proves_it(tmp_path, files, name):
    target = tmp_path / "own.safetensors"
    done = run(files[name], target, "--verify", "--network", "cic")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert f"found {name}: " in words
    assert "mapped 74 arrays: " in words
    assert "-> conv6_1, " in words
    assert "neutral's own layers, NumPy" in words
    assert "torch" in words and "paddle" in words
    assert ("decoded to ab" in words) == (name != "epiphqny")  # theirs takes the likeliest bin
    assert ("dropped" in words) == (name != "paddle-cic")
    assert "FAILS" not in words
    assert same(reading.load(target)[0], reading.load(files[name])[0])


def test_the_wrong_relu_fails_the_verification_and_writes_nothing(tmp_path, files):
    target = tmp_path / "own.safetensors"
    for name, wrong in (("paddle-cic", "false"), ("eccv16", "true")):
        done = run(files[name], target, "--verify", "--option", f"extra_relu={wrong}")
        assert done.returncode == 1
        assert done.stdout.count("FAILS") == 5
        assert done.stderr.startswith("error: not written: ")
        assert not list(tmp_path.iterdir())


def test_the_wrong_input_fails_the_verification(tmp_path, files):
    done = run(files["eccv16"], tmp_path / "x.safetensors", "--verify", "--option", "input_scale=1")
    assert done.returncode == 1
    assert "FAILS" in done.stdout


def test_the_tool_refuses_in_one_line(tmp_path, files):
    (tmp_path / "text.pth").write_text("no weights\n")
    network = networks.get("cic", width=0.125)
    own = tmp_path / "own.safetensors"
    checkpoint.save(own, initialize(network), checkpoint.network_meta(network))
    for arguments, message in (
        ((files["eccv16"], tmp_path / "x.safetensors", "--network", "vgg16"), "not of vgg16"),
        ((files["eccv16"], tmp_path / "x.pdparams"), "after conv5_3norm it has Conv"),
        ((files["eccv16"], tmp_path / "x.npy"), "ends in '.npy'"),
        ((tmp_path / "text.pth", tmp_path / "x.safetensors"), "text.pth: not a checkpoint: a text"),
        ((tmp_path / "none.pth", tmp_path / "x.safetensors"), "there is no such file"),
        ((tmp_path, tmp_path / "x.safetensors"), "a folder"),
        ((own, tmp_path), "is a folder"),
        ((own, tmp_path / "x.pth", "--option", "width=0.5"), "conv1_1.weight"),
        ((own, tmp_path / "x.pth", "--option", "nothing"), "write width=0.5"),
    ):
        done = run(*arguments)
        assert done.returncode == (2 if "nothing" in arguments else 1)
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.safetensors", "text.pth"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [form.name for form in formats.FORMATS])
def test_the_bundled_weights_are_written_whole_or_refused_in_one_line(name, tmp_path):
    found, form = formats.read(reading.default_path()), formats.get(name)
    if found.network.name in form.networks and form.writes:
        form.save(tmp_path / "x", found.network, found.state, found.meta)
        network, state, meta = reading.load_weights(tmp_path / "x")
        assert (network, meta["colorize"]) == (found.network, found.meta["colorize"])
        assert same(state, found.state)
        return
    with pytest.raises(ValueError, match=f"^{name} (holds no|is read, not written)[^\n]*$"):
        form.save(tmp_path / "x", found.network, found.state, found.meta)
    assert not list(tmp_path.iterdir())


MEASURE = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as stop:
    assert not stop.code
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) * 1024)
"""


@pytest.mark.slow
def test_the_papers_network_moves_in_little_memory(tmp_path):
    """129 MB in under three times its size, interpreter and all."""
    network = networks.get("cic")
    state = {name: np.zeros(shape, np.float32) for name, shape in network.state_shapes.items()}
    own, theirs = tmp_path / "own.safetensors", tmp_path / "theirs.pth"
    checkpoint.save(own, state, checkpoint.network_meta(network))
    for source, target in ((own, theirs), (theirs, tmp_path / "back.safetensors")):
        run = subprocess.run(
            [sys.executable, "-c", MEASURE, TOOL, source, target],
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(run.stdout.split()[-1]) < 3 * source.stat().st_size


def test_every_tools_weights_may_be_theirs(backend, files, photo):
    """The colorizer takes a file as it is, with its own decoding."""
    colorize = backends.colorizer(files["eccv16"], backend.NAME, "cpu")
    assert colorize.settings.decoding.temperature == 1
    assert colorize(photo).shape == photo.shape
