"""Classifiers trained and measured as a user does it: class folders in, accuracies out."""

import json

import numpy as np
import pytest
from PIL import Image
from skimage import data

from cic.dataset.batches import PhotoDataset
from cic.networks.forward import forward
from cic.weights import reading
from helpers import ROOT, started
from metric import classification
from metric.figures.accuracy import Accuracy
from metric.ledger import unpack

pytestmark = pytest.mark.slow

TOOLS = ROOT / "tools"
SMALL = ("--recipe", "vgg16-gray-fc", "--option", "width=0.125", "--load_size", 40)
SMALL += ("--crop_size", 32, "--batch_size", 8, "--num_workers", 0, "--no-check")


def start(cwd, tool, *arguments):
    return started.run(TOOLS / tool, *arguments, cwd=cwd)


@pytest.fixture
def classes(tmp_path):
    """Pieces of three real photographs, each a class: 12 to learn from and 6 to be tested on."""
    for name, photo in (
        ("fur", data.chelsea()[40:260, 120:400]),
        ("brick", np.stack([data.brick()[:300, :300]] * 3, -1)),
        ("grass", np.stack([data.grass()[:300, :300]] * 3, -1)),
    ):
        random = np.random.default_rng(0)
        for n in range(18):
            y, x = (random.integers(0, size - 80) for size in photo.shape[:2])
            path = tmp_path / ("train" if n < 12 else "val") / name / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(photo[y : y + 80, x : x + 80])).save(path)
    return tmp_path


def test_a_classifier_learns_and_is_measured(backend, classes):
    where = ("--image_dir", "train", "--val_dir", "val", "--model_path", "model")
    more = ("--option", 'variant="bn"', "--backend", backend.NAME, "--num_epochs", 16)
    run = start(classes, "train.py", *where, *SMALL, *more)
    assert run.returncode == 0, run.stderr
    figures = json.loads(run.stdout.splitlines()[-1])
    with open(classes / "model" / "log.jsonl", encoding="utf-8") as log:
        seen = [line["top1"] for line in map(json.loads, log) if "top1" in line]
    assert max(seen) >= 60
    assert (seen[-1], len(seen), figures["top5"]) == (figures["top1"], 16, 100)
    weights = "model/epoch_latest_model.safetensors"
    network, state, meta = reading.load_weights(classes / weights)
    assert meta["classes"] == ["brick", "fur", "grass"]
    assert network.options["classes"] == 3
    run = start(
        classes, "evaluate.py", "--image_dir", "val", "--weights", weights, "--save_path", "out"
    )
    assert run.returncode == 0, run.stderr
    found = json.loads((classes / "out" / "evaluation.json").read_text(encoding="utf-8"))
    row = found["figures"]["epoch_latest_model"]
    assert row["top1"] == pytest.approx(figures["top1"])
    assert found["figures"]["chance"] == {"top1": pytest.approx(100 / 3), "top5": 100}
    low, high = found["intervals"]["epoch_latest_model"]["top1"]
    assert low < row["top1"] < high or low == row["top1"] == high == 100
    ledgers, conditions = unpack(classes / "out" / "evaluation.npz", Accuracy)
    assert ledgers["epoch_latest_model"].compute() == pytest.approx(row)
    names = sorted(str(p.relative_to(classes / "val")) for p in classes.glob("val/*/*.png"))
    assert ledgers["epoch_latest_model"].names() == names
    assert conditions == {"classes": ["brick", "fur", "grass"]}
    photos = PhotoDataset([classes / "val"], network, 40, 32, augment=False)
    samples = [photos.sample(i) for i in range(len(photos))]
    logits = forward(network, state, np.stack([inputs for inputs, _, _ in samples]))
    right = logits.argmax(1) == [label for _, (label,), _ in samples]
    assert row["top1"] == pytest.approx(100 * right.mean())
    each = found["by_class"]["epoch_latest_model"]
    assert [each[name]["top1"] for name in meta["classes"]] == pytest.approx(
        [100 * right[6 * n : 6 * n + 6].mean() for n in range(3)]
    )
    assert Image.open(classes / "out" / "evaluation.png").size[0] > 300
    assert "chance" in run.stdout


def test_a_run_goes_on_bit_by_bit_under_sgd_and_dropout(backend, classes):
    where = ("--image_dir", "train", *SMALL, "--backend", backend.NAME, "--precision", "float64")
    for model, steps in (("whole", 7), ("parts", 3)):
        run = start(classes, "train.py", *where, "--model_path", model, "--max_steps", steps)
        assert run.returncode == 0, run.stderr
    more = ("--model_path", "parts", "--max_steps", 7, "--continue_train")
    run = start(classes, "train.py", *where, *more)
    assert run.returncode == 0, run.stderr
    states = [
        reading.load(classes / model / "epoch_latest_model.safetensors")[0]
        for model in ("whole", "parts")
    ]
    assert states[0].keys() == states[1].keys()
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name], err_msg=name)


def refusals():
    model = "model/epoch_latest_model.safetensors"
    return [
        ("train.py", ("--loss", "l2"), "cannot be trained with loss l2: take class_entropy"),
        ("train.py", ("--init", "data"), "spectral norms are not scaled to data"),
        ("train.py", ("--classes", "none.txt"), "no photo in there"),
        ("train.py", ("--option", "classes=7"), "7 outputs"),
        ("train.py", ("--val_dir", "."), "no class is called"),
        ("train.py", ("--prior", "p.npy", "--rebalance"), "prior, rebalance: of no effect"),
        ("train.py", ("--target_mean",), "target_mean: of no effect"),
        ("train.py", ("--ageing", 0.5), "ageing is 0.5: "),
        ("colorize.py", ("--weights", model), "is a classifier: it does not colorize"),
        (
            "evaluate.py",
            ("--weights", model, "--classes", "two.txt"),
            "not the classes, in this order",
        ),
        (
            "evaluate.py",
            ("--weights", model, "--classes", "turned.txt"),
            "not the classes, in this order",
        ),
        ("evaluate.py", ("--weights", model, "--gallery", 2), "--gallery: of no effect"),
    ]


def test_what_does_not_fit_is_refused_in_one_line(classes):
    (classes / "none.txt").write_text("n09\n", encoding="utf-8")
    (classes / "turned.txt").write_text("grass\nfur\nbrick\n", encoding="utf-8")
    (classes / "two.txt").write_text("fur\nbrick\n", encoding="utf-8")
    where = ("--image_dir", "train", "--model_path")
    run = start(classes, "train.py", *where, "model", *SMALL, "--max_steps", 1)
    assert run.returncode == 0, run.stderr
    for tool, arguments, message in refusals():
        first = {
            "train.py": (*where, "other", *SMALL, "--max_steps", 1),
            "colorize.py": ("val", "-o", "coloured"),
            "evaluate.py": ("--image_dir", "val", "--save_path", "out"),
        }[tool]
        run = start(classes, tool, *first, *arguments)
        wrong = arguments[0] in ("--loss", "--init", "--prior", "--target_mean", "--ageing")
        assert run.returncode == (2 if wrong else 1), (tool, arguments)
        assert len(run.stderr.strip().splitlines()) == 1, run.stderr
        assert message.split(" .* ")[0] in run.stderr
        assert not (classes / "other").exists()


def test_a_figure_by_class_and_in_all():
    accuracy, logits = classification.ByClass(["a", "b", "c"]), np.eye(3)[[0, 0, 1, 2]]
    accuracy.update(["1", "2", "3", "4"], logits, np.array([0, 1, 1, 1]))
    other = classification.ByClass(["a", "b", "c"])
    other.update(["5"], logits[:1], np.array([0]))
    accuracy.merge(other)
    assert accuracy.compute() == {"top1": 60, "top5": 100}
    by_class, intervals = accuracy.by_class()
    assert by_class["a"]["top1"] == 100
    assert by_class["b"]["top1"] == pytest.approx(100 / 3)
    assert "c" not in by_class
    assert intervals == {
        "a": {"top1": [100, 100], "top5": [100, 100]},
        "b": {"top1": [0, 100], "top5": [100, 100]},
    }
