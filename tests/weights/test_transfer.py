"""An encoder that begins from another network's file."""

import importlib.util
import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from cic import networks
from cic.networks import Network
from cic.networks.forward import forward
from cic.networks.initialize import initialize
from cic.weights import checkpoint, reading, transfer
from cic.weights.checkpoint import CheckpointError
from helpers import tiny

pytestmark = pytest.mark.slow

TINY = tiny.tiny()
CLASSIFIER = tiny.tiny_classifier()


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(networks, "_NETWORKS", networks._NETWORKS | tiny.NETWORKS)


def saved(path, network=CLASSIFIER, **changes):
    state = initialize(network, seed=5) | changes
    checkpoint.save(path, state, checkpoint.network_meta(network))
    return state


def test_the_encoder_is_the_files_and_the_rest_as_it_was(tmp_path):
    theirs = saved(tmp_path / "classifier.safetensors")
    own = initialize(TINY)
    state = transfer.begin(TINY, own, tmp_path / "classifier.safetensors")
    checkpoint.check(TINY, state)
    for name, array in state.items():
        assert array.dtype == np.float32
        if name == "stem.weight":
            np.testing.assert_allclose(array, theirs[name].sum(1, keepdims=True), atol=1e-6)
        else:
            expected = own if TINY.part(name) is None else theirs
            np.testing.assert_array_equal(array, expected[name])


def test_the_encoder_sees_a_gray_photo_as_the_files_does(tmp_path, photos):
    """Both networks' encoders, the one on L, the other on it three times."""
    theirs = saved(tmp_path / "classifier.safetensors")
    state = transfer.begin(TINY, initialize(TINY), tmp_path / "classifier.safetensors")
    gray = photos["coffee"][None, None, 100:164, 200:264, 1].astype(np.float64) / 127.5 - 1
    count = len(tiny.encoder(1, 8))
    one, three = (Network("encoder", network.layers[:count]) for network in (TINY, CLASSIFIER))
    found, expected = forward(one, state, gray), forward(three, theirs, gray.repeat(3, 1))
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_colorizers_encoder_and_float16_are_taken(tmp_path):
    half = {name: array.astype(np.float16) for name, array in initialize(TINY, 3).items()}
    saved(tmp_path / "own.safetensors", TINY, **half)
    state = transfer.begin(TINY, initialize(TINY), tmp_path / "own.safetensors")
    assert {array.dtype for array in state.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(state["stem.weight"], half["stem.weight"])


def test_the_average_of_a_training_run_is_taken(tmp_path):
    average = {"optimizer/average/blocks.0.norm.weight": np.full(16, 7.0, np.float32)}
    saved(tmp_path / "run.safetensors", **average)
    state = transfer.begin(TINY, initialize(TINY), tmp_path / "run.safetensors")
    assert (state["blocks.0.norm.weight"] == 7).all()


def without_a_norm(network):
    layers = [layer for layer in network.layers if getattr(layer, "name", "") != "stem.norm"]
    return replace(network, layers=tuple(layers))


def with_another_part(network):
    more = tiny.encoder(3, 8)[3:6]
    more = [replace(layer, name=layer.name.replace("s.0", "s.2")) for layer in more[:2]]
    layers = (*network.layers[:-2], replace(more[0], inputs=16), more[1], *network.layers[-2:])
    return replace(network, layers=layers, encoder=(*network.encoder, "blocks.2"))


@pytest.mark.parametrize(
    "build, message",
    [
        (
            lambda classes: tiny.tiny_classifier(16, classes),
            r"stem\.weight: the file has \(16, 3, 3, 3\), the encoder needs \(8, 1, 3, 3\)",
        ),
        (
            lambda classes: without_a_norm(tiny.tiny_classifier(8, classes)),
            r"stem\.norm\.weight: the file has nothing, the encoder needs \(8,\)",
        ),
        (
            lambda classes: with_another_part(tiny.tiny_classifier(8, classes)),
            r"blocks\.2\.conv\.weight: the file has \(16, 16, 3, 3\), the encoder needs nothing",
        ),
    ],
)
def test_another_encoder_is_refused_by_name_and_shapes(tmp_path, monkeypatch, build, message):
    def other(width=8, classes=5):
        return build(classes)

    monkeypatch.setitem(networks._NETWORKS, "tiny_classifier", other)
    saved(tmp_path / "other.safetensors", other())
    with pytest.raises(CheckpointError, match=rf"other\.safetensors: .*tiny.*{message}"):
        transfer.begin(TINY, initialize(TINY), tmp_path / "other.safetensors")


def test_a_file_of_no_such_encoder_is_refused(tmp_path):
    other = networks.get("cic", width=0.125)
    saved(tmp_path / "cic.safetensors", other)
    with pytest.raises(CheckpointError, match=r"stem\.weight: the file has nothing"):
        transfer.begin(TINY, initialize(TINY), tmp_path / "cic.safetensors")


def test_a_network_without_an_encoder_is_named():
    with pytest.raises(ValueError, match=r"cic.* has no encoder"):
        transfer.begin(networks.get("cic"), {}, "some.safetensors")


def test_a_network_of_three_channels_takes_the_kernel_as_it_is(tmp_path):
    theirs = saved(tmp_path / "classifier.safetensors")
    state = transfer.begin(CLASSIFIER, initialize(CLASSIFIER), tmp_path / "classifier.safetensors")
    np.testing.assert_array_equal(state["stem.weight"], theirs["stem.weight"])


@pytest.fixture
def train(monkeypatch, capsys, photo_folder, tmp_path):
    """tools/train.py on the photos with the tiny networks known: its figures, or what it raises."""
    spec = importlib.util.spec_from_file_location("train_tool", tiny.TRAIN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*flags, network="tiny"):
        command = ["train.py", "--image_dir", photo_folder, "--model_path", tmp_path / "model"]
        command += ["--network", network, "--load_size", 64, "--crop_size", 56, "--no-check"]
        command += ["--batch_size", 4, "--num_workers", 0, "--device", "cpu", *flags]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        module.main()
        return json.loads(capsys.readouterr().out)

    return run


def test_a_run_begins_from_an_encoder_says_so_and_goes_on(train, backend, tmp_path, photo_folder):
    path = tmp_path / "classifier.safetensors"
    theirs = saved(path)
    where = ("--backend", backend.NAME, "--init", "plain", "--freeze", 2, "--val_dir", photo_folder)
    settings = ("--optimizer", "adamw", "--encoder_lr", 0.1, "--average", 0.9)
    figures = train(*where, *settings, "--encoder", path, "--max_steps", 2)
    assert {"validation_loss", "validation_loss_average"} <= figures.keys()
    state, meta = reading.load(figures["checkpoint"])
    assert meta["encoder"] == str(path)
    assert meta["weights"] is None
    np.testing.assert_array_equal(state["blocks.0.conv.weight"], theirs["blocks.0.conv.weight"])
    assert "optimizer/average/head.weight" in state
    path.unlink()
    figures = train(*where, *settings, "--continue_train", "--max_steps", 3)
    meta = checkpoint.load_meta(figures["checkpoint"])
    assert (meta["step"], meta["encoder"]) == (3, str(path))
    with pytest.raises(ValueError, match="its run began from encoder"):
        train(*where, *settings, "--continue_train", "--encoder", "x", "--max_steps", 4)


@pytest.mark.parametrize(
    "flags, network, message",
    [
        (("--encoder", "a", "--weights", "b"), "tiny", "encoder: weights"),
        (("--encoder", "a"), "cic", "encoder a: cic.* has no encoder"),
        (("--encoder", "nowhere", "--init", "plain"), "tiny", "nowhere: there is no such file"),
        (("--freeze", 9, "--init", "plain"), "tiny", "freeze is 9"),
    ],
)
def test_an_encoder_that_cannot_be_is_refused(train, flags, network, message):
    with pytest.raises(ValueError, match=message):
        train(*flags, network=network)


def test_flags_of_the_recipe_can_be_zero(train):
    assert train("--freeze", 0, "--average", 0, "--init", "plain", "--max_steps", 1)["steps"] == 1
