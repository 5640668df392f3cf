"""Accuracy: the accumulator by brute force, the command against PyTorch alone."""

import json
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import paddle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cic import networks
from cic.colour.lab import recolor
from cic.commands import acc
from cic.dataset.targets import read_classes
from cic.networks import imagenet
from cic.networks.initialize import initialize
from cic.system import console
from cic.weights import checkpoint, download
from helpers import ROOT, zoo
from metric import classifiers, table
from metric.figures.accuracy import Accuracy, qualified
from metric.ledger import unpack

pytestmark = pytest.mark.slow

CLASSES = [f"n0{i}" for i in range(10)]


def by_sorting(logits, labels):
    """Percent of top-1 and top-5, photo by photo."""
    orders = [sorted(range(len(row)), key=lambda i: (-row[i], i)) for row in logits]
    hits = [[label in order[:k] for order, label in zip(orders, labels)] for k in (1, 5)]
    return [100 * sum(row) / len(row) for row in hits]


LOGITS = st.integers(1, 12).flatmap(
    lambda classes: st.lists(
        st.tuples(
            st.lists(st.integers(-3, 3), min_size=classes, max_size=classes),
            st.integers(0, classes - 1),
        ),
        min_size=1,
        max_size=12,
    )
)


@given(photos=LOGITS)
def test_it_is_the_place_in_the_sorted_logits(photos):
    """Also of equal logits, and of fewer than five classes."""
    logits, labels = map(list, zip(*photos))
    measured = Accuracy()
    measured.update(np.float32(logits), np.array(labels))
    assert list(measured.compute().values()) == pytest.approx(by_sorting(logits, labels))


@given(photos=LOGITS, cuts=st.lists(st.integers(0, 12), max_size=4))
def test_shards_merge_to_the_same_number(photos, cuts):
    logits, labels = (np.array(part) for part in zip(*photos))
    whole, merged = Accuracy(), Accuracy()
    whole.update(logits, labels)
    for shard in zip(np.split(logits, sorted(cuts)), np.split(labels, sorted(cuts))):
        part = Accuracy()
        part.update(*shard)
        merged.merge(part)
    assert merged.compute() == whole.compute()


def test_it_is_what_paddles_own_metric_and_pytorch_say():
    random = np.random.default_rng(0)
    logits, labels = random.standard_normal((200, 30), np.float32), random.integers(0, 30, 200)
    measured = Accuracy()
    measured.update(logits, labels)
    theirs = paddle.metric.Accuracy(topk=(1, 5))
    theirs.update(theirs.compute(paddle.to_tensor(logits), paddle.to_tensor(labels[:, None])))
    ours = measured.compute()
    assert [ours["top1"], ours["top5"]] == pytest.approx([100 * x for x in theirs.accumulate()])
    top = torch.from_numpy(logits).topk(5).indices.numpy()
    assert ours["top5"] == pytest.approx(100 * (top == labels[:, None]).any(1).mean())


def test_nonsense_is_an_error_and_no_figure():
    for logits, label in (([[0.0, np.nan]], 0), ([[0.0, 1]], 2), ([[0.0, 1]], -1)):
        with pytest.raises(ValueError, match=r"not a number|labels"):
            Accuracy().update(logits, [label])
    with pytest.raises(ValueError, match="no photo"):
        Accuracy().compute()


@pytest.mark.parametrize("size", [(400, 300), (300, 401), (224, 224), (100, 67), (226, 300)])
def test_squares_are_those_of_paddles_transforms(photos, size):
    from paddle.vision import transforms

    image = Image.fromarray(photos["coffee"]).resize(size)
    steps = [transforms.Resize(224), transforms.CenterCrop(224)]
    expected = transforms.Compose(steps)(image)
    assert np.array_equal(classifiers.square(image, 224), np.asarray(expected))


@pytest.fixture(scope="module")
def net():
    return zoo.seeded()


@pytest.fixture(scope="module")
def weights(net, tmp_path_factory):
    """The same network of 10 classes as files of both frameworks."""
    folder = tmp_path_factory.mktemp("weights")
    torch.save(net.state_dict(), folder / "torch.pth", _use_new_zipfile_serialization=False)
    paddle.save(zoo.to_paddle(net).state_dict(), str(folder / "paddle.pdparams"))
    return {"torch": folder / "torch.pth", "paddle": folder / "paddle.pdparams"}


@pytest.fixture
def folders(tmp_path, photos):
    """True photos and results in ten class folders, two of them empty: every size and mode."""
    random = np.random.default_rng(0)
    for i, (name, photo) in enumerate(sorted(photos.items()) * 3):
        size = [(300, 240), (64, 80), (224, 224), (90, 333)][i % 4]
        true = Image.fromarray(np.ascontiguousarray(photo[i:])).resize(size)
        made = Image.fromarray(np.ascontiguousarray(np.asarray(true)[..., ::-1]))
        if i == 5:
            made = made.convert("L")
        if i == 6:
            made.putalpha(Image.fromarray(random.integers(0, 256, size[::-1], dtype=np.uint8)))
        for kind, image, ending in (("photos", true, "jpg"), ("results", made, "png")):
            path = tmp_path / kind / CLASSES[i % 8] / f"{name} {i}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    for name in CLASSES:
        (tmp_path / "results" / name).mkdir(exist_ok=True)
    return tmp_path


@pytest.fixture
def command(folders, monkeypatch, capsys):
    """What the command does with these flags, in this process; of a flag twice the last holds."""
    usual = ("--results_dir", folders / "results", "--save_path", folders / "figures")

    def call(*flags):
        flags = (*usual, "--num_workers", "0", *flags)
        monkeypatch.setattr(sys, "argv", ["acc", *map(str, flags)])
        capsys.readouterr()
        monkeypatch.setattr(console, "_leave", sys.exit)  # or it would end the tests
        with pytest.raises(SystemExit) as stopped:
            console.run(acc.main)
        return SimpleNamespace(status=stopped.value.code or 0, **capsys.readouterr()._asdict())

    return call


def by_torch(net, images, labels):
    """Percent of top-1 and top-5 of Pillow images: the protocol, in PyTorch and Pillow alone."""
    from torch.nn import functional as F

    mean, std = (
        torch.tensor(x)[:, None, None] for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    hits = []
    for image, label in zip(images, labels):
        width, height = image.size
        scale = 224 / min(width, height)
        small = image.resize((max(224, int(width * scale)), max(224, int(height * scale))), 2)
        x = torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255
        top, left = ((n - 224) / 2 for n in x.shape[1:])
        x = x[:, round(top) : round(top) + 224, round(left) : round(left) + 224]
        with torch.no_grad():
            order = F.softmax(net(((x - mean) / std)[None]), 1)[0].argsort(descending=True)
        hits.append([label in order[:k].tolist() for k in (1, 5)])
    return (100 * np.mean(hits, 0)).tolist()


def test_the_command_gives_the_figures_of_pytorch_alone(backend, command, folders, net, weights):
    """On either backend, from either framework's file; gray, alpha and all sizes among them."""
    names = sorted(path.relative_to(folders / "photos") for path in folders.glob("photos/*/*"))
    truths = [Image.open(folders / "photos" / name) for name in names]
    made = [Image.open(folders / "results" / name.with_suffix(".png")) for name in names]
    gray = [
        recolor(np.asarray(image), np.zeros((*image.size[::-1], 2), np.float32)) for image in truths
    ]
    labels = [CLASSES.index(str(name.parent)) for name in names]
    expected = {
        "colorized": by_torch(net, [image.convert("RGB") for image in made], labels),
        "truth": by_torch(net, truths, labels),
        "all gray": by_torch(net, list(map(Image.fromarray, gray)), labels),
    }
    other = weights["paddle" if backend.NAME == "torch" else "torch"]
    run = command(
        "--imgs_dir", folders / "photos", "--weights", other, "--backend", backend.NAME,
        "--batch_size", "5", "--num_workers", "1",
    )  # fmt: skip
    assert run.status == 0, run.err
    written = json.loads((folders / "figures" / "acc.json").read_text())
    assert written["photos"] == 12
    for name, figures in expected.items():
        assert list(written["accuracy"][name].values()) == pytest.approx(figures), name
        ends = r"( \[[\d.]+, [\d.]+\])?"
        shown = rf"{name} +{figures[0]:.1f}{ends} +{figures[1]:.1f}{ends}\n"
        assert re.search(shown, run.out), run.out
    assert list(written["accuracy"]) == ["colorized", "all gray", "random ab", "truth"]
    ledgers, conditions = unpack(folders / "figures" / "acc.npz", Accuracy)
    assert ledgers["colorized"].names() == [str(name.with_suffix(".png")) for name in names]
    assert conditions["weights_sha256"] == download.sha256(other)
    for name, ledger in ledgers.items():
        assert ledger.compute() == written["accuracy"][name]
        hits = [ledger.photos[photo]["top1_hits"] for photo in ledger.names()]
        spread = 196 * np.std(hits) / 12**0.5
        low, high = written["intervals"][name]["top1"]
        assert high - low == pytest.approx(2 * spread, abs=9)  # steps are of 8.3 %
    less = written["less_gray"]["colorized"]
    gray, ours = (written["accuracy"][name]["top5"] for name in ("all gray", "colorized"))
    assert less["top5"][0] == pytest.approx(ours - gray)
    assert less["top5"][1] <= ours - gray <= less["top5"][2]
    assert written["accuracy"]["random ab"] not in (None, written["accuracy"]["truth"])
    assert min(Image.open(folders / "figures" / "acc.png").size) > 200
    assert len({tuple(figures) for figures in expected.values()}) > 1
    assert written["protocol"]["weights_sha256"] == download.sha256(other)
    assert written["protocol"]["backend"] == backend.NAME
    assert written["protocol"]["classifier"] == "VGG-16"
    assert re.search(r"\n +top-1 \(VGG-16\) +top-5 \(VGG-16\)\n", run.out), run.out
    assert "note: 1 of 12 have transparency" in run.out
    assert "UserWarning" not in run.err


def test_gray_results_have_the_figures_of_all_gray(folders, net, weights):
    for path in folders.glob("photos/*/*"):
        true = np.asarray(Image.open(path))
        name = path.relative_to(folders / "photos").with_suffix(".png")
        gray = recolor(true, np.zeros((*true.shape[:2], 2), np.float32))
        Image.fromarray(gray).save(folders / "results" / name)
    results = folders / "results"
    photos = classifiers.labelled(results, classifiers.class_photos(results), 10)
    jobs = classifiers.jobs_of(results, photos, folders / "photos")
    network = networks.get("vgg16", classes=10, width=zoo.WIDTH)

    def predict(inputs):
        with torch.no_grad():
            return net(torch.from_numpy(np.ascontiguousarray(inputs))).numpy()

    figures, transparent, failures = classifiers.measure(network, predict, jobs)
    assert transparent == failures == []
    assert figures["colorized"].compute() == figures["all gray"].compute()
    assert figures["colorized"].compute() != figures["truth"].compute()


@pytest.mark.parametrize("which", ["results", "photos"])
def test_bad_files_are_one_line_each_and_nothing_is_written(command, folders, weights, which):
    first, second, third = sorted((folders / which).glob("*/*.*"))[:3]
    first.write_bytes(b"")
    second.write_bytes(second.read_bytes()[:200])
    third.write_text("no photo")
    run = command("--weights", weights["torch"], "--imgs_dir", folders / "photos")
    lines = [line for line in run.err.splitlines() if line.startswith("error: ")]
    assert run.status == 1
    assert [path.name in line for path, line in zip((first, second, third), lines)] == [True] * 3
    assert len(lines) == 3
    assert "Traceback" not in run.err
    assert not (folders / "figures").exists()


@pytest.mark.parametrize(
    ("prepare", "arguments", "message"),
    [
        (
            lambda f: (f / "results/loose.png").write_bytes(b""),
            [],
            r"loose\.png: in no class folder",
        ),
        (
            lambda f: (f / "results/n0a").mkdir(),
            [],
            "11 class folders, but .* 10 outputs: name as classes",
        ),
        (lambda f: (f / "c").write_text("a\nb"), ["--classes", "c"], "2 classes are named, .* 10"),
        (lambda f: (f / "c").write_text("a\na"), ["--classes", "c"], "c: a name comes twice"),
        (
            lambda f: (f / "c").write_text("\n".join([*CLASSES[1:], "x"])),
            ["--classes", "c"],
            "results/n00: no class is called n00",
        ),
        (lambda f: None, ["--classes", "none"], "none"),
        (lambda f: None, ["--imgs_dir", "results/n00"], "without a photo"),
        (lambda f: None, ["--imgs_dir", "nowhere"], "nowhere: there is no such folder"),
        (lambda f: None, ["--results_dir", "nowhere"], "nowhere: there is no such folder"),
        (lambda f: None, ["--results_dir", "results/n09"], "n09: no photo in there"),
        (lambda f: None, ["--weights", "none.pth"], r"none\.pth: there is no such file"),
        (
            lambda f: (f / "w.pth").write_bytes(b""),
            ["--weights", "w.pth"],
            r"w\.pth: not a checkpoint: an empty file",
        ),
        (lambda f: (f / "figures").write_bytes(b""), [], "figures is not a folder"),
    ],
)
def test_errors_are_one_line(command, folders, weights, prepare, arguments, message):
    prepare(folders)
    paths = [x if x.startswith("--") else folders / x for x in arguments]
    run = command("--weights", weights["torch"], *paths)
    assert run.status == 1
    assert len(run.err.splitlines()) == 1, run.err
    assert re.match(f"error: .*{message}", run.err)
    assert not (folders / "figures").is_dir()


def test_a_network_that_colorizes_is_refused(command, folders):
    network = networks.get("cic", width=0.1)
    path = folders / "cic.safetensors"
    checkpoint.save(path, initialize(network), checkpoint.network_meta(network))
    run = command("--weights", path)
    assert run.status == 1
    assert re.fullmatch(r"error: .*cic\.safetensors: cic\(.*\) is no classifier\n", run.err)


def test_without_a_network_the_default_weights_are_one_line(command, folders, monkeypatch):
    """The proxy is a port that nobody listens at."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folders / "cache"))
    run = command()
    assert run.status == 1
    assert re.fullmatch(
        r"error: https://.*397923af\.pth: not downloaded: .*pass it as weights\n", run.err
    )
    assert list((folders / "cache").rglob("*.*")) == []


def test_classes_name_the_outputs_in_their_order(folders):
    """Of a few folders, and in another order than the sorted one."""
    for name in CLASSES[8:]:
        (folders / "results" / name).rmdir()
    (folders / "c").write_text("\n".join(CLASSES[::-1]) + "\n\n")
    photos = classifiers.class_photos(folders / "results")
    named = classifiers.labelled(folders / "results", photos, 10, read_classes(folders / "c"))
    assert [label for _, label in named] == [9 - CLASSES.index(name[:3]) for name, _ in named]
    assert [name for name, _ in named] == sorted(name for name, _ in named)


def test_imagenets_classes_are_its_1000_in_order():
    """Facts that every list of them has; the photo set's own folders are the test of the rest."""
    ids = imagenet.class_ids()
    assert len(set(ids)) == len(ids) == 1000
    assert all(re.fullmatch(r"n\d{8}", one) for one in ids)
    assert list(ids) == sorted(ids)
    known = {0: "n01440764", 1: "n01443537", 207: "n02099601", 281: "n02123045", 340: "n02391049"}
    known |= {404: "n02690373", 817: "n04285008", 954: "n07753592", 999: "n15075141"}
    assert {number: ids[number] for number in known} == known


def folders_of(root, *names):
    """[(photo, folder)] of one photo in each folder, which are made."""
    for name in names:
        (root / name).mkdir()
    return [(f"{name}/a.png", name) for name in names]


def test_a_few_of_imagenets_folders_need_no_list(tmp_path):
    photos = folders_of(tmp_path, "n15075141", "n01440764", "n02084071")
    found = classifiers.labelled(tmp_path, photos, 1000)
    assert [label for _, label in found] == [999, 0, None]
    kept, others = classifiers.split(found)
    assert (kept, others) == (found[:2], ["n02084071/a.png"])
    assert "1 of 3 photos" in classifiers.outside(others, 3)
    with pytest.raises(ValueError, match="no class is called n02084071"):
        classifiers.labelled(tmp_path, photos, 1000, list(imagenet.class_ids()))


def test_folders_of_other_names_or_outputs_are_not_imagenets(tmp_path):
    photos = folders_of(tmp_path, "n01440764", "cat")
    assert [label for _, label in classifiers.labelled(tmp_path, photos, 2)] == [1, 0]  # sorted
    (tmp_path / "n01440764").rmdir()
    with pytest.raises(ValueError, match=r"1 class folders, but .* 1000 outputs: name as classes"):
        classifiers.labelled(tmp_path, photos[1:], 1000)


def test_results_of_no_class_of_imagenet_are_one_line(command, folders):
    (folders / "results" / "n01440764").mkdir()
    network = networks.get("efficientnet_lite", size=32)
    path = folders / "lite.safetensors"
    checkpoint.save(path, initialize(network), checkpoint.network_meta(network))
    run = command("--weights", path)
    assert run.status == 1
    assert re.fullmatch(r"error: .*results: no photo in a folder of ImageNet's .*\n", run.err)


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (networks.get("vgg16", classes=3), "VGG-16"),
        (networks.get("efficientnet_lite", version=2), "EfficientNet-Lite2"),
        (networks.get("resnet", depth=50), "ResNet-50"),
        (networks.get("gated_resnet18"), "gated_resnet18"),
    ],
)
def test_a_classifier_is_called_as_people_do(network, name):
    assert classifiers.title(network) == name


def test_a_table_has_the_columns_of_several_classifiers_side_by_side():
    row = qualified({"top1": 50.0, "top5": 75.0}, "A") | qualified({"top1": 1.0, "top5": 2.0}, "B")
    cells = table.cells({"truth": {"rmse_ab": 1.0, **row, "auc_raw": 9.0}, "other": {"top1": 3.0}})
    assert cells[0] == [
        *("", "AuC raw %", "top-1 (A)", "top-1 (B)", "top-1 %", "top-5 (A)", "top-5 (B)"),
        "RMSE ab",
    ]
    assert cells[1] == ["truth", "9.00", "50.0", "1.0", "-", "75.0", "2.0", "1.000"]
    assert cells[2] == ["other", "-", "-", "-", "3.0", "-", "-", "-"]


def test_it_runs_as_a_module_without_importing_a_framework_for_its_help():
    code = (
        "import runpy, sys; sys.argv = ['acc', '--help']\n"
        "try: runpy.run_module('metric.acc', run_name='__main__')\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'paddle'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "--results_dir" in run.stdout
