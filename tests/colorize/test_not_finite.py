"""Weights that make no numbers: refused when they are loaded, or named when results are made."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

import backends
from cic import networks
from cic.colorize import film
from cic.colorize.batch import Pictures
from cic.colorize.colorizer import Colorizer, NotFinite, finite
from cic.colorize.settings import DEFAULTS
from cic.colorize.work import colorize_files
from cic.networks import bounds
from cic.networks.forward import apply, forward
from cic.networks.initialize import initialize
from cic.photos import images
from cic.weights import checkpoint, formats, probe
from cic.weights.checkpoint import CheckpointError
from cic.weights.reading import load_weights
from helpers import ROOT, films, started
from metric import evaluation

NETWORK = networks.get("cic", width=0.01)
META = checkpoint.network_meta(NETWORK)


@pytest.fixture
def changed(tmp_path):
    """A function (name of an array, change) -> path of weights in which it is changed."""

    def make(name, change):
        state = initialize(NETWORK)
        state[name] = np.asarray(change(state[name]), np.float32)
        checkpoint.save(tmp_path / "changed.safetensors", state, META)
        return tmp_path / "changed.safetensors"

    return make


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("conv4_3norm.running_var", lambda a: a - 2, r"holds numbers below 0: -1"),
        ("conv4_3norm.running_var", lambda a: a * 1e20, r"holds numbers of 1e\+20"),
        ("conv4_3norm.running_mean", lambda a: a + 1e9, r"holds numbers of 1e\+09"),
        ("conv4_3norm.weight", lambda a: a * -1e9, r"holds numbers of 1e\+09"),
        ("conv4_3.weight", lambda a: a * 1e12, r"holds numbers of \de\+1\d, as bytes in the wrong"),
        ("conv4_3.bias", lambda a: a + np.inf, "holds numbers that are not finite"),
        ("conv4_3.weight", lambda a: a * np.nan, "holds numbers that are not finite"),
        ("conv8_313.bias", lambda a: [np.nan, *a[1:]], "holds numbers that are not finite"),
    ],
)
def test_weights_are_checked_as_they_are_loaded(changed, name, change, reason):
    path = changed(name, change)
    for read in (load_weights, formats.load, backends.colorizer):
        with pytest.raises(CheckpointError, match=rf"changed\.safetensors: {name} {reason}"):
            read(path)


def test_weights_that_say_the_same_of_every_place_are_refused(changed):
    path = changed("conv8_313.weight", lambda kernel: 0 * kernel)
    with pytest.raises(CheckpointError, match=r"changed\.safetensors: .*the same of every place"):
        backends.colorizer(path)


@pytest.mark.parametrize("form", ["eccv16", "paddle-cic"])
def test_so_are_those_of_others(tmp_path, form):
    """Their names are not ours; what a variance is follows from the layer."""
    state = initialize(NETWORK)
    state["conv2_2norm.running_var"] = state["conv2_2norm.running_var"] - 1.5
    network = networks.get("cic", width=0.01, extra_relu=form == "paddle-cic")
    meta = checkpoint.network_meta(network)
    formats.get(form).save(tmp_path / "x", network, state, meta)
    with pytest.raises(CheckpointError, match=r"conv2_2norm\.running_var holds numbers below 0"):
        load_weights(tmp_path / "x")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("conv4_3norm.running_var", lambda a: a * 0),
        ("conv4_3norm.running_var", lambda a: a * 1e6),
        ("conv4_3norm.weight", lambda a: a * -100),
        ("conv1_1.weight", lambda a: a * 1e4),
        ("conv4_3.weight", lambda a: a.astype(np.float16)),
    ],
)
def test_what_training_may_have_made_is_loaded(changed, name, change):
    load_weights(changed(name, change))


@pytest.mark.parametrize(
    "meta",
    [
        {"colorize": {"size": 10**9}},
        {"colorize": {"size": -8}},
        {"colorize": {"size": 256.5}},
        {"colorize": {"size": True}},
        {"colorize": {"temperature": float("nan")}},
        {"colorize": {"temperature": -1}},
        {"colorize": {"temperature": "0.38"}},
        {"colorize": {"zzz": 1}},
        {"colorize": [1]},
        {"recipe": 3},
        {"step": "7"},
        {"options": {"width": 0.01, "input_scale": 1e-300}},
    ],
    ids=str,
)
def test_metadata_that_cannot_be_are_named(tmp_path, meta):
    path = tmp_path / "x.safetensors"
    checkpoint.save(path, initialize(NETWORK), META | meta)
    with pytest.raises(CheckpointError, match=r"x\.safetensors: "):
        backends.colorizer(path)


@pytest.fixture
def exploding(tmp_path):
    """Path of weights each of which may be, but which together make no numbers of a photo."""
    state = initialize(NETWORK)
    for name, array in state.items():
        if name.endswith(".weight") and array.ndim == 4:
            state[name] = array * np.float32(1e6)
    checkpoint.save(tmp_path / "exploding.safetensors", state, META)
    load_weights(tmp_path / "exploding.safetensors")
    return tmp_path / "exploding.safetensors"


def test_weights_that_only_together_are_too_large_are_refused(runner, exploding):
    """Before any photo: Paddle makes one colour of it, as its ReLU makes 0 of NaN."""
    with pytest.raises(CheckpointError, match=r"exploding\.safetensors: .* not finite: its num"):
        backends.colorizer(exploding, runner.NAME, "cpu")


COLORIZERS = [
    networks.get("cic", width=0.05),
    networks.get("regression", width=0.05),
    networks.get("fpn"),
]


@pytest.mark.parametrize("network", COLORIZERS, ids=str)
def test_what_is_no_number_inside_a_network_is_none_in_what_it_puts_out(runner, network):
    """Wherever it comes up, and however the network is run: no picture is made of it."""
    inputs = network.inputs(probe.picture(2 * network.multiple))[None].astype(np.float32)
    state = initialize(network)
    names = [n for n in state if n.endswith(".weight") and state[n].ndim == 4]
    for name in (names[0], names[len(names) // 2], names[-2]):
        changed = state | {
            name: np.where(np.arange(len(state[name])) == 0, np.nan, state[name].T).T
        }
        net = runner.build(network, changed)
        assert not np.isfinite(runner.forward(net, inputs)).all(), name
    assert not np.isfinite(forward(network, changed, inputs)).all()
    assert not np.isfinite(runner.predictor(network, changed, "cpu")(inputs)).all()


def overflows_on_white():
    """(network, state) whose numbers overflow where nine pixels are white, as in no probe."""
    network = networks.get("cic", width=0.05)
    state = initialize(network)
    state["conv1_1.weight"][0], state["conv1_1.bias"][0] = 1, -449.5  # nine whites make 450
    signs = np.where(np.arange(8) % 2, 1, -1)[:, None, None]
    state["conv1_2.weight"][:, 0] = 9e7 * signs
    for name in ("2_1", "2_2", "3_1", "3_2", "3_3", "4_1"):
        state[f"conv{name}.weight"] *= 1e5
    return network, state


def test_the_one_photo_for_which_numbers_overflow_is_named_and_not_written(
    runner, photos, tmp_path, capsys
):
    network, state = overflows_on_white()
    checkpoint.save(tmp_path / "w.safetensors", state, checkpoint.network_meta(network))
    white = photos["coffee"][:64, :64].copy()
    white[10:40, 10:40] = 255
    for name, array in (("white", white), ("other", photos["coffee"][:64, :64] // 2)):
        images.write(tmp_path / f"{name}.png", array)
    jobs = [(str(tmp_path / f"{n}.png"), str(tmp_path / f"o/{n}.png")) for n in ("white", "other")]
    colorizer = backends.colorizer(tmp_path / "w.safetensors", runner.NAME, "cpu")
    assert colorize_files(colorizer, jobs) == ([jobs[1]], 1)
    assert f"{jobs[0][0]!r}: {tmp_path / 'w.safetensors'}: " in capsys.readouterr().out
    net = runner.build(network, state)
    inputs = network.inputs(white)[None].astype(np.float32)
    assert not np.isfinite(runner.forward(net, inputs)).all()


def test_a_bound_holds_for_every_photo(photos):
    """No number of the oracle's passes is above it, and networks that overflow are not bounded."""
    for network in (*COLORIZERS, networks.get("efficientnet_lite")):
        state, peak = initialize(network), [0.0]
        for name in [n for n in state if n.endswith("running_var")][::3]:
            state[name] = state[name] * np.float32(0.3)
        side = network.size or 8 * network.multiple
        corners = np.abs(network.inputs(bounds._CORNERS)).max((1, 2)).astype(np.float64)
        bound = bounds._through(network.layers, state, peak, corners)
        x = network.inputs(photos["astronaut"][:side, :side])[None].astype(np.float32)
        assert (np.abs(x[0]).max((1, 2)) <= corners).all()
        top = 0.0
        for layer in network.layers:
            x = apply(layer, state, x)
            top = max(top, np.abs(x).max())
        assert top <= peak[0]
        assert (np.abs(x[0]).reshape(len(x[0]), -1).max(1) <= bound).all()
    assert bounds.are_finite(*load_weights()[:2])
    assert not bounds.are_finite(*overflows_on_white())


def test_sound_networks_pass_the_probe():
    for network in (NETWORK, networks.get("regression", width=0.01), networks.get("fpn")):
        probe.check(network, initialize(network), "these")
    seen = probe.picture(32)
    assert (seen.min(), seen.max(), len(np.unique(seen))) == (0, 255, 32)


@pytest.fixture
def failing(photo):
    """A colorizer whose network says what is no number, once it has been loaded."""
    network = load_weights()[0]

    def predict(array):
        logits = np.zeros((1, 313, array.shape[2] // 4, array.shape[3] // 4), np.float32)
        logits[0, 312, -1, -1] = np.nan
        return logits

    return Colorizer(network, predict, DEFAULTS.but(size=64), "w.pth")


def test_no_picture_is_made_of_what_is_no_number(failing, photo):
    image = Image.fromarray(photo)
    calls = [
        lambda: failing(photo),
        lambda: failing.ab(image),
        lambda: list(failing.pictures(photo, 3, with_map=True)),
        lambda: film.Painter(failing)(photo),
        lambda: evaluation.predict(failing, image),
    ]
    for call in calls:
        with pytest.raises(NotFinite, match=r"w\.pth: .* not finite"):
            call()


def test_an_evaluation_names_weights_and_photo(failing, photo, tmp_path, monkeypatch):
    Image.fromarray(photo).save(tmp_path / "a.png")
    image = Image.fromarray(photo)
    with pytest.raises(images.PhotoError, match=r"a\.png'?: w\.pth: .* not finite"):
        evaluation._predictions(str(tmp_path / "a.png"), image, {"row": failing})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_number_is_enough(bad):
    output = np.zeros((313, 8, 8), np.float32)
    assert finite(output, "w") is output
    output[312, 7, 7] = bad
    with pytest.raises(images.PhotoError, match=r"^w: "):
        finite(output, "w")


def files_in(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(("count", "with_map"), [(1, False), (3, True)])
def test_the_others_are_written_and_the_one_is_named(photos, tmp_path, capsys, count, with_map):
    """Weights that fail for one photo: the black one."""
    network = load_weights()[0]

    def predict(array):
        logits = np.zeros((1, 313, array.shape[2] // 4, array.shape[3] // 4), np.float32)
        return logits + np.float32(np.nan if np.ptp(array) == 0 else 0)

    (tmp_path / "in").mkdir()
    for name, array in (("a", photos["coffee"]), ("dark", 0 * photos["coffee"])):
        Image.fromarray(array[:64, :64]).save(tmp_path / "in" / f"{name}.png")
    jobs = [
        (str(tmp_path / "in" / name), str(tmp_path / "out" / name))
        for name in ("dark.png", "a.png")
    ]
    colorizer = Colorizer(network, predict, DEFAULTS.but(size=64), "w.pth")
    done, failed = colorize_files(colorizer, jobs, Pictures(False, count, with_map))
    assert (done, failed) == ([jobs[1]], 1)
    assert all(path.name.startswith("a") for path in files_in(tmp_path / "out"))
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("failed"))
    assert f"{jobs[0][0]!r}: w.pth: " in line


def test_a_film_is_not_written(photos, tmp_path, capsys, failing):
    source, target = tmp_path / "film.mp4", tmp_path / "out" / "film.mp4"
    films.write(source, films.pan(photos["coffee"], 3))
    paint = film.film_worker(failing)
    done, failed = colorize_files(failing, [(str(source), str(target))], film=paint)
    assert (done, failed) == ([], 1)
    assert f"failed: {str(source)!r}: frame 1: w.pth: " in capsys.readouterr().out
    assert files_in(tmp_path / "out") == []


@pytest.mark.parametrize("tool", ["colorize", "test", "evaluate"])
def test_the_tools_say_so_in_a_line_and_write_nothing(tmp_path, photo_folder, exploding, tool):
    out, folder = tmp_path / "out", tmp_path / "run"
    folder.mkdir()
    os.link(exploding, folder / "epoch_latest_model.safetensors")
    where = ["--image_dir", photo_folder]
    arguments = {
        "colorize": [photo_folder, "-o", out, "--weights", exploding, "--uncertainty"],
        "test": [*where, "--model_path", folder, "--result_path", out],
        "evaluate": [*where, "--weights", exploding, "--save_path", out],
    }[tool]
    done = started.run(ROOT / "tools" / f"{tool}.py", *arguments, cwd=ROOT)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "_model.safetensors: " in line or str(exploding) in line
    assert "not finite" in line
    assert files_in(out) == []


@pytest.mark.slow
def test_a_wrapped_checkpoint_of_bfloat16_colours_a_photo(backend, photo, tmp_path):
    """From the file that people have to the picture, as the same numbers in float32 do."""
    formats.get("eccv16").save(tmp_path / "a.pth", NETWORK, initialize(NETWORK), META)
    plain = torch.load(tmp_path / "a.pth")
    half = {n: a.bfloat16() if n != "model_out.weight" else a for n, a in plain.items()}
    wrapped = {"epoch": 3, "state_dict": {f"module.{n}": a for n, a in half.items()}}
    torch.save(wrapped, tmp_path / "b.pth")
    torch.save({name: array.float() for name, array in half.items()}, tmp_path / "c.pth")
    one, other = (
        backends.colorizer(tmp_path / name, backend.NAME, "cpu")(photo)
        for name in ("b.pth", "c.pth")
    )
    assert np.array_equal(one, other)
    assert np.ptp(one.astype(int), axis=-1).max() > 10
