"""ONNX Runtime runs whatever only needs a forward pass, as the frameworks do, and alone."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import backends
from cic import networks
from cic.networks.forward import forward
from cic.networks.initialize import initialize
from cic.photos import images
from cic.system.errors import MissingError, SettingError
from helpers import ROOT, started

LIGHT = {"numpy", "PIL", "tqdm"}  # what colouring needs besides onnxruntime
HIDDEN = ("torch", "paddle", "skimage", "matplotlib", "scipy", "visualdl", "onnx", "google")


@pytest.fixture
def alone(tmp_path):
    """Run a command as where the light install is all there is; (finished process, modules)."""

    def run(*arguments):
        code = (
            "import json, runpy, sys\n"
            f"HIDDEN = {HIDDEN!r}\n"
            "class Hides:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name.partition('.')[0] in HIDDEN:\n"
            "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
            "sys.meta_path.insert(0, Hides())\n"
            "import importlib.util as util\n"
            "found = util.find_spec\n"
            "util.find_spec = lambda n, p=None: None if n in HIDDEN else found(n, p)\n"
            f"sys.path.insert(0, {str(ROOT)!r})\n"
            f"sys.argv = ['cic', *{list(map(str, arguments))!r}]\n"
            "try: runpy.run_module('cic', run_name='__main__', alter_sys=False)\n"
            "finally: json.dump(sorted(sys.modules), open('modules.json', 'w'))\n"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        return done, set(json.load(open(tmp_path / "modules.json")))

    return run


def test_colouring_imports_neither_a_framework_nor_what_measures(alone, photo_folder, tmp_path):
    """By default, for there is no other; alternatives and the map of uncertainty, too."""
    more = ("--alternatives", 2, "--uncertainty", "--size", 64)
    done, files = alone("colorize", photo_folder / "n01" / "astronaut.jpg", "-o", "out", *more)
    modules = {name.partition(".")[0] for name in files}
    assert done.returncode == 0, done.stderr
    assert "1 colorized, 0 failed" in done.stdout
    assert len(list((tmp_path / "out").rglob("*-uncertainty.png"))) == 1
    assert not modules & set(HIDDEN)
    assert "onnxruntime" in modules
    assert not {"cic.films", "cic.training.loop", "cic.serve"} & files
    assert not {"PIL.SpiderImagePlugin", "xml.etree.ElementTree"} & files  # of other formats, of S3
    installed = modules & _others()
    assert installed <= LIGHT | {"onnxruntime"}, installed


def _others():
    """Top-level modules of every package that is installed here and is none of ours."""
    from importlib import metadata

    ours = {"cic", "backends", "metric", "__editable___cic_colorization_0_1_0_finder"}
    found = set(metadata.packages_distributions()) - ours
    return {name for name in found if name.isidentifier() and not name.startswith("_")}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("evaluate", "--image_dir", ".", "--save_path", "f"), "matplotlib scikit-image"),
        (("report", "--imgs_dir", ".", "--results_dir", ".", "--save_path", "f"), "matplotlib"),
        (("plot", "model", "-o", "f"), "pip install matplotlib"),
        (("train", "--image_dir", "photos"), "no framework here: pip install one of torch, paddle"),
    ],
)
def test_what_needs_more_says_what_to_install(alone, photo_folder, tmp_path, command, said):
    done, _ = alone(*command)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert not (tmp_path / "f").exists()


def test_training_on_it_is_refused_in_one_line(photo_folder, tmp_path):
    where = ("--image_dir", photo_folder, "--model_path", "model", "--recipe", "compact")
    run = started.run(
        ROOT / "tools" / "train.py", *where, "--backend", "onnx", "--device", "cpu", cwd=tmp_path
    )
    assert run.returncode == 2
    line = "error: onnx runs networks and trains none: take backend torch or paddle"
    assert run.stderr.splitlines()[-1] == line
    assert not (tmp_path / "model").exists()
    with pytest.raises(SettingError, match="trains none"):
        backends.get("onnx", trains=True)


def test_without_onnxruntime_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match="'onnx' is not installed: pip install onnxruntime"):
        backends.get("onnx")
    with pytest.raises(MissingError, match="one of torch, paddlepaddle, onnxruntime"):
        backends.get()
    with pytest.raises(MissingError, match=r"one of torch, paddlepaddle$"):
        backends.get(trains=True)


def test_a_colorizer_gives_the_pictures_of_the_frameworks(photos, backend):
    one, two = (backends.colorizer(backend=name) for name in ("onnx", backend.NAME))
    for photo in (photos["coffee"], photos["rocket"][:33, :517], photos["chelsea"][:7, :5]):
        change = np.abs(one(photo).astype(int) - two(photo))
        assert change.max() <= 2
        assert change.mean() < 0.01


@pytest.mark.parametrize("name", ["special_resnet", "regression", "efficientnet_lite"])
def test_every_kind_of_network_runs_in_batches(name):
    options = {"regression": {"width": 0.05}}.get(name, {"classes": 5, "size": 64})
    network = networks.get(name, **options)
    state, side = initialize(network), network.size or 40
    predict = backends.get("onnx").predictor(network, state, "cpu")
    shape = (3, network.channels, side, side)
    inputs = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    output, expected = predict(inputs), forward(network, state, inputs)
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_a_state_that_does_not_fit_is_refused_by_name():
    network = networks.get("cic", width=0.05)
    state = initialize(network)
    del state["conv4_1.bias"]
    with pytest.raises(ValueError, match=r"conv4_1\.bias: the file has nothing"):
        backends.get("onnx").build(network, state)


@pytest.mark.slow
def test_a_test_set_and_measuring(photo_folder, tmp_path):
    for name in ("evaluate", "test"):
        result = "--save_path" if name == "evaluate" else "--result_path"
        where = ("--image_dir", photo_folder, result, name, "--size", 64, "--backend", "onnx")
        more = ("--num_workers", 0) if name == "evaluate" else ()
        run = started.run(ROOT / "tools" / f"{name}.py", *where, *more, cwd=tmp_path)
        assert run.returncode == 0, run.stderr
    card = json.loads((tmp_path / "evaluate" / "evaluation.json").read_text())["protocol"]
    assert "onnxruntime" in card["versions"]
    assert len(list((tmp_path / "test").rglob("*.png"))) == 6


def test_a_file_of_onnx_is_weights_like_any_other(photos, tmp_path):
    from cic.colorize import export
    from cic.weights import reading

    network, state, meta = reading.load_weights()
    export.FORMAT.save(tmp_path / "w.onnx", network, state, meta)
    photo = Image.fromarray(photos["chelsea"][:96, :96])
    one = backends.colorizer(tmp_path / "w.onnx", "onnx")(photo)
    np.testing.assert_array_equal(one, backends.colorizer(backend="onnx")(photo))
    images.write(tmp_path / "x.png", one)
