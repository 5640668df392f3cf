"""Every command and snippet of README and docs runs, in its document's order, on small photos.

Photos, films and weights have the names that the documents give them. Training is short and small.
What a launcher starts is in tests/training/test_distributed.py, a cluster in
tests/colorize/test_cluster.py.
"""

import re
import shlex
import shutil

import fsspec
import numpy as np
import paddle
import pytest
import torch

from cic.photos import images
from helpers import ROOT, colorizers, documents, films, lite_zoo, started, undrawn
from helpers.store import CREDENTIALS, Store

TRAINING = "--batch_size 2 --load_size 48 --crop_size 32 --num_workers 0"
AUTHORS, LITE = "colorization_release_v2-9b330a0b.pth", "efficientnet-lite2-9656183e.pth"
# What makes a command small, or, of a classifier, spares a download.
MORE = {
    "train": TRAINING,
    "acc": "--weights lite2.safetensors --num_workers 0",
    "frontier": "--max_samples 1 --temperatures 1 --unweights 0 --saturations 1",
    **dict.fromkeys(("auc", "invalid", "prepare", "report"), "--num_workers 0"),
}
SEEING = ("colorize", "evaluate", "frontier", "test")  # photos at a size that is theirs to choose
HINTS = "docs/colorizing.md"  # has a file of them
GUIDES = sorted(name for name in documents.all_of() if name.startswith(("README.md", "docs/")))


def commands(text):
    """The words of each line of a document's shell blocks that begins with `cic`."""
    blocks = [block.text.replace("\\\n", " ") for block in documents.blocks(text)]
    lines = [line for block in blocks for line in documents.without_comments(block)]
    return [shlex.split(line)[1:] for line in lines if line.startswith("cic ")]


def snippets(text):
    return [block.text for block in documents.blocks(text) if block.language == "python"]


def cic(words, folder):
    run = started.run(undrawn.__file__, "-m", "cic", *words, cwd=folder)
    assert run.returncode == 0, f"cic {' '.join(words)}\n{run.stdout}{run.stderr}"


@pytest.fixture(scope="module")
def bucket(photos):
    """s3://bucket, on this machine, with a scan in it."""
    store = Store()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": store.url}.items():
            patch.setenv(name, value)
        system = fsspec.filesystem("s3")
        system.mkdir("bucket")
        data, _ = images.encoded(photos["chelsea"][::4, ::4], None, ".jpg")
        system.pipe_file("bucket/scans/old.jpg", data)
        yield
    store.stop()


@pytest.fixture(scope="module")
def desk(tmp_path_factory, photos, bucket):
    """A folder with all that the commands take."""
    folder = tmp_path_factory.mktemp("desk")
    chosen = ("astronaut", "chelsea")  # one a class: each more costs seconds
    small = {name: np.ascontiguousarray(photos[name][::4, ::4]) for name in chosen}
    for place in ("photos/train", "photos/val", "imagenet/train", "imagenet/val"):
        for number, (name, photo) in enumerate(small.items()):
            put(folder / place / ("n01440764", "n02123045")[number % 2] / f"{name}.jpg", photo)
    for place in ("album", "my album", "scenes", "pets", "people", "food"):
        put(folder / place / "cat.jpg", small["chelsea"])
    put(folder / "old.jpg", small["chelsea"])
    hint = next(b.text for b in documents.blocks(documents.read(HINTS)) if b.language == "json")
    (folder / "hints.json").write_text(hint)
    films.write(folder / "film.mp4", films.pan(photos["coffee"], 4))
    put(folder / "key.png", films.pan(photos["coffee"], 1)[0])
    torch.save(colorizers.eccv().state_dict(), folder / AUTHORS)
    torch.save(lite_zoo.seeded(2, 1000).state_dict(), folder / LITE)
    cic(["port", LITE, "lite2.safetensors", "--network", "efficientnet_lite"], folder)
    cic(["port", AUTHORS, "authors.safetensors"], folder)
    for month in ("january", "february"):
        cic(["prior", "--image_dir", "album", "--output", f"{month}.npy"], folder)
    cic(["prepare", "--image_dir", "album", "--output", "shards", "--shards", "1"], folder)
    next((folder / "shards").glob("*.tar")).rename(folder / "shards" / "more.tar")
    train = "train --image_dir photos/train --val_dir photos/val --recipe compact --max_steps 2"
    for run in ("kept", "runs/soft", "runs/hard"):
        cic([*train.split(), *TRAINING.split(), "--model_path", run], folder)
    for name in ("full", "no-rebalance", "rebalance", "new"):
        shutil.copyfile(
            folder / "kept/epoch_best_model.safetensors", folder / f"{name}.safetensors"
        )
    return folder


def put(path, photo):
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, photo)


@pytest.mark.slow
@pytest.mark.parametrize("name", GUIDES)
def test_commands_and_snippets_run(name, desk, tmp_path, monkeypatch):
    folder = shutil.copytree(desk, tmp_path / "desk")
    if name not in ("README.md", "docs/training.md", "docs/full-training.md"):
        shutil.copytree(folder / "kept", folder / "model")
    text = documents.read(name)
    for words in commands(text):
        if words[0] in ("NAME", "serve") or "--ray" in words:  # a server does not end by itself
            continue
        words += MORE.get(words[0], "").split()
        if words[0] in SEEING and not re.search("--merge|vgg/", " ".join(words)):
            words[1:1] = ["--size", "64"]
        if words[0] == "train":
            words += ["--max_steps", "2", *(["--no-check"] if "--check" not in words else [])]
            words += ["--option", "width=0.125"] if {"full", "vgg16-lab-fc"} & {*words} else []
        cic(words, folder)
        if words[0] == "evaluate":
            shutil.copytree(folder / "figures", folder / "others", dirs_exist_ok=True)
    monkeypatch.chdir(folder)
    there = {"torch": torch, "paddle": paddle, "L": paddle.full([1, 1, 64, 64], 60.0)}
    for snippet in snippets(text):
        exec(compile(re.sub("path/to/this/clone", str(ROOT), snippet), name, "exec"), dict(there))
