"""Measuring weights without writing pictures: the figures of the files, and what is shown."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import backends
from cic import networks
from cic.colour import prior
from cic.commands import evaluate as command
from cic.networks.initialize import initialize
from cic.photos import images
from cic.weights import checkpoint, download, reading
from helpers import ROOT, started, undrawn
from metric import comparing, evaluation, ledger, pairs, protocol, summary
from metric.figures import bootstrap

pytestmark = pytest.mark.slow

ALONE = ("--num_workers", 0)  # each worker imports SciPy: a second
BASELINES = ["all gray", "random ab", "truth"]


def start(cwd, *command, fresh=False, drawn=False):
    """Start a command; it draws its charts if they are looked at."""
    without = () if fresh or drawn else (undrawn.__file__,)
    return started.run(*without, *command, cwd=cwd, fresh=fresh)


def evaluate(cwd, *arguments, **how):
    command = (ROOT / "tools" / "evaluate.py", "--save_path", "figures", *ALONE, *arguments)
    return start(cwd, *command, **how)


def facts(folder):
    return json.loads((folder / "figures" / "evaluation.json").read_text(encoding="utf-8"))


@pytest.fixture
def weights(tmp_path):
    """Checkpoint of a network that was never trained."""
    network = networks.get("cic", width=0.125)
    path = tmp_path / "other weights.safetensors"
    checkpoint.save(path, initialize(network), checkpoint.network_meta(network))
    return path


def test_figures_are_those_of_the_files(backend, photo_folder, tmp_path):
    where = ("--image_dir", photo_folder, "--backend", backend.NAME, "--size", 64)
    for name in ("astronaut.jpg", "chelsea.jpeg"):
        (photo_folder / "n01" / name).unlink()
    run = evaluate(tmp_path, *where)
    assert run.returncode == 0, run.stderr
    run = start(tmp_path, ROOT / "tools" / "test.py", *where, "--result_path", "result")
    assert run.returncode == 0, run.stderr
    report = ("--imgs_dir", photo_folder, "--results_dir", tmp_path / "result")
    run = start(ROOT, "-m", "metric.report", *report, *ALONE, "--save_path", tmp_path / "files")
    assert run.returncode == 0, run.stderr
    expected = json.loads((tmp_path / "files" / "report.json").read_text())["figures"]
    found = facts(tmp_path)["figures"]
    assert list(found) == ["bundled", *BASELINES]
    assert found["bundled"].keys() - expected["colorized"].keys() == {"nll", "ece"}
    for row, figures in expected.items():
        for name, value in figures.items():
            assert found[{"colorized": "bundled"}.get(row, row)][name] == value, (row, name)


def test_weights_and_backends_side_by_side_with_pictures(photo_folder, weights, tmp_path):
    (photo_folder / "broken.jpg").write_bytes(b"")
    default = reading.default_path()
    run = evaluate(
        tmp_path,
        *("--image_dir", photo_folder, "--weights", default, weights, "--names", "Full", "None"),
        *("--backend", "torch", "paddle", "--resize", 64, "--crop", 40, "--size", 64),
        *("--gallery", 1, "--alternatives", 2, "--uncertainty", "--compare", 2),
        *("--temperatures", 0.2, 1, "--num_workers", 1),
        drawn=True,
    )
    assert run.returncode == 1
    assert "skipped:" in run.stderr
    assert run.stderr.count("broken.jpg") == 1
    measured = facts(tmp_path)
    rows = ["Full (torch)", "None (torch)", "Full (paddle)", "None (paddle)"]
    assert list(measured["figures"]) == [*rows, *BASELINES]
    assert measured["photos"] == 6
    card = measured["protocol"]
    assert (card["resize"], card["crop"], card["count"]) == (64, 40, 6)
    assert "broken.jpg" in card["skipped"][0]
    assert card["rows"]["Full (torch)"] == card["rows"]["Full (paddle)"]
    assert card["rows"]["Full (torch)"]["sha256"] != card["rows"]["None (torch)"]["sha256"]
    assert {"torch", "paddle"} <= card["versions"].keys()
    for figure in ("auc_raw", "auc_rebalanced", "nll"):
        torch, paddle = (measured["figures"][row][figure] for row in rows[::2])
        assert torch == pytest.approx(paddle, abs=0.02), figure
    assert [one["temperature"] for one in measured["temperatures"][rows[0]]] == [0.2, 1]
    assert "best for ab error" in run.stdout
    assert "by temperature, on the cells that the network sees" in run.stdout
    page = (tmp_path / "figures" / "gallery.html").read_text(encoding="utf-8")
    for caption in ("gray", *rows, "alternative 2", "uncertainty", "truth"):
        assert f'alt="{caption}"' in page
    for name in ("gallery.png", "comparison.png", "evaluation.png", "reliability.png"):
        assert min(Image.open(tmp_path / "figures" / name).size) > 300, name


def test_a_single_gray_photo(photos, tmp_path):
    images.write(tmp_path / "in" / "a.png", photos["chelsea"][:96, :96, :1].repeat(3, axis=2))
    more = ("--gallery", 3, "--compare", 3, "--alternatives", 2, "--size", 64)
    where = ("--image_dir", tmp_path / "in", "--backend", "torch")
    run = evaluate(tmp_path, *where, *more, fresh=True)
    assert run.returncode == 0, run.stderr
    assert "note: 1 of 1 are gray" in run.stdout
    assert "no random ab" in run.stdout
    assert facts(tmp_path)["protocol"]["gray_photos"] == 1
    sheet = images.read(tmp_path / "figures" / "comparison.png")
    assert sheet.shape[1] == 4 * (320 + 12) + 12  # gray, two colourings, the truth
    assert np.array_equal(sheet[40:, 12:332], sheet[40:, -332:-12])


def test_the_figures_do_not_depend_on_the_number_of_processes(photo_folder):
    colorizers = {"bundled": backends.colorizer(backend="torch", size=64)}
    paths = sorted(map(str, photo_folder.rglob("*.*")))
    protocol = evaluation.Protocol(prior.default(), False, pairs.Cut(resize=48))
    one, two = (evaluation.measure(paths, colorizers, protocol, n)[0] for n in (0, 2))
    assert {name: row.compute() for name, row in one.items()} == {
        name: row.compute() for name, row in two.items()
    }
    assert one["bundled"].total.errors == two["bundled"].total.errors
    assert len(one["bundled"].total.errors) == len(paths)


def test_the_classes_of_what_was_made(photo_folder, tmp_path):
    """Accuracy is that of metric.acc on the files."""
    images.write(
        photo_folder / "n02" / "b.png", np.asarray(Image.open(photo_folder / "chelsea.webp"))
    )
    (photo_folder / "chelsea.webp").unlink()
    files = {}
    for name, network in {
        "VGG-16": networks.get("vgg16", classes=6, width=0.05),
        "EfficientNet-Lite0": networks.get("efficientnet_lite", classes=6, size=64),
    }.items():
        files[name] = tmp_path / f"{name}.safetensors"
        checkpoint.save(files[name], initialize(network, 3), checkpoint.network_meta(network))
    (tmp_path / "classes.txt").write_text("a\nn01\nb\nn02\nc\nd\n")
    more = ("--classes", tmp_path / "classes.txt")
    where = ("--image_dir", photo_folder, "--backend", "torch", "--size", 64)
    run = evaluate(tmp_path, *where, "--classifier", *files.values(), *more)
    assert run.returncode == 0, run.stderr
    titles = [f"top-{k} ({name})" for k in (1, 5) for name in files]
    both = ".*\n".join(map(re.escape, titles))  # of the figures, and of the differences
    assert len(re.findall(both, run.stdout)) == 2, run.stdout
    found, card = facts(tmp_path)["figures"], facts(tmp_path)["protocol"]["classifiers"]
    held, conditions = ledger.unpack(tmp_path / "figures" / "evaluation.npz", evaluation.Row)
    assert held["bundled"].compute() == found["bundled"]
    run = start(tmp_path, ROOT / "tools" / "test.py", *where, "--result_path", "result")
    assert run.returncode == 0, run.stderr
    pair = ("--imgs_dir", photo_folder, "--results_dir", tmp_path / "result", *more)
    for name, path in files.items():
        pair += ("--weights", path, "--backend", "torch")
        run = start(ROOT, "-m", "metric.acc", *pair, *ALONE, "--save_path", tmp_path / "files")
        assert run.returncode == 0, run.stderr
        expected = json.loads((tmp_path / "files" / "acc.json").read_text())["accuracy"]
        assert card[name]["weights_sha256"] == download.sha256(path)
        assert conditions["classifiers"][name].items() <= card[name].items()
        for row in ("bundled", "all gray", "random ab", "truth"):
            other = expected[{"bundled": "colorized"}.get(row, row)]
            named = {f"{key} ({name})": value for key, value in other.items()}
            assert named.items() <= found[row].items()


class Recogniser:
    """A classifier of 8 classes by the mean colour, linear and random, that counts its pictures."""

    def __init__(self, side, paths, seed):
        self.seen, self.weights = 0, np.random.default_rng(seed).standard_normal((3, 8))
        labels = {path: number % 8 for number, path in enumerate(paths)}
        labels |= dict.fromkeys([p for p in paths if p.endswith(".webp")])
        self.classifier = evaluation.Classifier(self.run, side, labels)

    def run(self, views):
        assert views.shape[1:] == (self.classifier.side, self.classifier.side, 3)
        self.seen += len(views)
        return (views.mean((1, 2)) - 100) @ self.weights


@pytest.fixture
def two_classifiers(photo_folder, weights):
    """(ledgers, {name: Recogniser}, paths) of six photos; the first is of no class.

    The ledgers are those of all at once, of the first alone, and of the others.
    """
    colorizers = {"untrained": backends.colorizer(weights, "torch", size=64)}
    paths = sorted(map(str, photo_folder.rglob("*.*")))
    both = {"Lite (a)": Recogniser(20, paths, 4), "Other": Recogniser(32, paths, 42)}
    how = evaluation.Protocol(
        prior.default(), False, pairs.Cut(resize=48), (0.2, 1.0), sides=(20, 32)
    )
    parts = paths, paths[:1], paths[1:]
    known = {name: one.classifier for name, one in both.items()}
    measured = [evaluation.measure(p, colorizers, how, classifiers=known)[0] for p in parts]
    assert paths[0].endswith(".webp")
    return measured, both, paths


def test_every_classifier_has_intervals_and_differences(two_classifiers):
    (ledgers, *_), both, paths = two_classifiers
    assert [one.seen for one in both.values()] == [4 * 5 + 4 * 5] * 2  # of one of no class nothing
    found = summary.summarize(ledgers)
    names = [f"top{k} ({name})" for name in both for k in (1, 5)]
    by_name = {}
    for name in names:
        column, _, classifier = name.partition(" (")
        for row, measured in ledgers.items():
            sums = [measured.photos[path] for path in paths]
            hits = np.array([one[f"{column}_hits ({classifier}"] for one in sums])
            seen = np.array([one[f"classified ({classifier}"] for one in sums])
            assert seen.tolist() == [float(not path.endswith(".webp")) for path in paths]
            assert found.figures[row][name] == 100 * hits.sum() / 5
            times = np.concatenate([each for _, each in bootstrap.times_drawn(6)])
            by_name[row, name] = 100 * (times @ hits) / (times @ seen)
            assert found.intervals[row][name] == bootstrap.interval(by_name[row, name])
        difference = by_name["untrained", name] - by_name["all gray", name]
        assert np.ptp(difference) > 0
        less = found.figures["untrained"][name] - found.figures["all gray"][name]
        expected = [less, *bootstrap.interval(difference)]
        assert found.less_gray["untrained"][name] == pytest.approx(expected)
    assert len({tuple(found.intervals["untrained"][name]) for name in names}) > 2


def test_classifiers_travel_and_merge_exactly(two_classifiers, tmp_path):
    (whole, first, second), _, _ = two_classifiers
    assert np.isnan(first["untrained"].compute()["top1 (Other)"])
    for row in ("untrained", "all gray", "truth"):
        second[row].merge(first[row])  # the other way round
        assert second[row].photos == whole[row].photos
        assert second[row].compute() == whole[row].compute()
        assert second[row].total.accuracies.keys() == whole[row].total.accuracies.keys()
        assert second[row].total.sums == pytest.approx(whole[row].total.sums)
    path = tmp_path / "evaluation.npz"
    path.write_bytes(ledger.pack(whole, {}))
    ledgers, _ = ledger.unpack(path, evaluation.Row)
    for row, one in ledgers.items():
        assert one.compute() == whole[row].compute()
        assert not any(column.startswith("0 ") for column in one.columns())
    (pair,) = comparing.compared([{"untrained": ledgers["untrained"]}, {"x": ledgers["truth"]}])
    for name in ("top1 (Lite (a))", "top5 (Lite (a))", "top1 (Other)", "top5 (Other)"):
        ours, theirs = (whole[row].compute()[name] for row in ("untrained", "truth"))
        difference, low, high = pair["differences"][name]
        assert difference == ours - theirs
        assert low <= difference <= high
    assert "top-1 (Other)" in comparing.text_of(pair)
    for row in whole.values():  # by temperature, too: of the columns whose names have a space
        assert len(row.total.temperatures.of(row.sums())) == 2


def test_other_classifiers_are_not_compared(two_classifiers):
    """Of another name, or of this name and other weights; what has none is compared without."""
    (ledgers, *_), _, _ = two_classifiers
    card = protocol.card(6, pairs.Cut(resize=48), 0)
    lite, other = (dict.fromkeys(protocol.CLASSIFIER_TERMS, of) for of in ("lite", "other"))
    kinds = {"A": lite}, {"A": lite | {"backend": "torch"}}, {"A": other}, {"B": lite}, {}
    terms = [protocol.conditions(card | {"classifiers": each}) for each in kinds]
    ours, *same, weights, name, none = [(ledgers, each) for each in terms]
    for run in (*same, none):
        comparing.check(["one", "two"], [ours, run])
    for run in (weights, name):
        with pytest.raises(ValueError, match="one and two: measured differently: classifiers is"):
            comparing.check(["one", "two"], [ours, run])


def test_photos_of_no_class_of_imagenet_are_in_no_accuracy(photo_folder, tmp_path):
    """Six photos: four of a class of ImageNet, two of one that is not among its 1,000."""
    (photo_folder / "n01").rename(photo_folder / "n02084071")
    (photo_folder / "n02").rename(photo_folder / "n02123045")
    (photo_folder / "chelsea.webp").rename(photo_folder / "n02123045" / "c.webp")
    network = networks.get("efficientnet_lite", size=32)
    path = tmp_path / "lite.safetensors"
    checkpoint.save(path, initialize(network, 3), checkpoint.network_meta(network))
    run = evaluate(tmp_path, "--image_dir", photo_folder, "--classifier", path, "--size", 64)
    assert run.returncode == 0, run.stderr
    assert re.search(r"note: 2 of 6 photos .* ImageNet's 1,000.*: n02084071\n", run.stdout)
    assert facts(tmp_path)["photos"] == 6
    where = ("--results_dir", photo_folder, "--save_path", tmp_path / "files", "--weights", path)
    run = start(ROOT, "-m", "metric.acc", *where, *ALONE, fresh=True)
    assert run.returncode == 0, run.stderr
    assert re.search(r"note: 2 of 6 photos .* ImageNet's 1,000.*: n02084071\n", run.stdout)
    written = json.loads((tmp_path / "files" / "acc.json").read_text())
    assert (written["photos"], written["protocol"]["of_no_class"]) == (4, 2)
    truth = facts(tmp_path)["figures"]["truth"]
    assert written["accuracy"]["colorized"]["top1"] == truth["top1 (EfficientNet-Lite0)"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--names", "two\nlines"), "a name is one line of text"),
        (("--uncertainty",), "they show in a gallery or a comparison"),
        (("--names", "a", "b"), "2 --names for 1 --weights"),
        (("--names", "truth"), "two rows are called truth"),
        (("--weights", "nowhere.safetensors"), "nowhere.safetensors"),
        (("--crop", 5000), "no photo in there that can be read"),
        (("--save_path", "PHOTOS/n01"), "choose another folder"),
        (("--classifier", "BUNDLED"), "is no classifier"),
    ],
)
def test_what_cannot_be_measured_is_one_line(photo_folder, tmp_path, arguments, message):
    known = {"PHOTOS/n01": photo_folder / "n01"}
    known["BUNDLED"] = reading.default_path()
    run = evaluate(tmp_path, "--image_dir", photo_folder, *(known.get(a, a) for a in arguments))
    assert run.returncode == (2 if arguments[0] in ("--names", "--uncertainty") else 1)
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "figures").exists()


def test_a_network_of_regression_is_measured_without_probabilities(photo_folder, tmp_path):
    network = networks.get("regression", width=0.125)
    path = tmp_path / "l2.safetensors"
    checkpoint.save(path, initialize(network), checkpoint.network_meta(network))
    where = ("--image_dir", photo_folder, "--weights", path, "--size", 40, "--max_samples", 2)
    run = evaluate(tmp_path, *where, "--gallery", 1, "--backend", "torch")
    assert run.returncode == 0, run.stderr
    row = facts(tmp_path)["figures"]["l2"]
    assert row["colourfulness"] > 0
    assert "nll" not in row
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert "gallery.html" in names
    assert "reliability.png" not in names


def test_figures_are_shown_before_a_full_disk_loses_them(monkeypatch, capsys):
    def full(contents):
        raise OSError(28, "No space left on device", "evaluation.json")

    monkeypatch.setattr(command.record, "write", full)
    found = SimpleNamespace(text="raw AuC\n", contents={"evaluation.json": "{}"})
    with pytest.raises(OSError, match="No space left"):
        command.show(SimpleNamespace(save_path="figures"), found)
    assert capsys.readouterr().out == "raw AuC\n"
