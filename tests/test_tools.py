"""The tools as a user starts them, from another folder, with awkward names."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cic import checkpoint, images, networks
from cic.initialize import initialize
from cic.lab import rgb_to_lab

ROOT = Path(__file__).parent.parent


@pytest.fixture
def tool(tmp_path):
    """Run a tool in an empty folder; the finished process."""

    def run(name, *arguments):
        command = [sys.executable, str(ROOT / "tools" / f"{name}.py"), *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run


def train(tool, backend, photo_folder, *more):
    small = ("--option", "width=0.125", "--load_size", 64, "--crop_size", 56, "--batch_size", 3)
    where = ("--image_dir", photo_folder, "--model_path", "model", "--backend", backend.NAME)
    return tool("train", *where, *small, "--num_workers", 1, "--device", "cpu", *more)


def test_training_testing_and_measuring_as_a_user_does(backend, tool, photo_folder, tmp_path):
    run = train(tool, backend, photo_folder, "--num_epochs", 2, "--val_dir", photo_folder)
    assert run.returncode == 0, run.stderr
    figures = json.loads(run.stdout.splitlines()[-1])
    assert np.isfinite([figures["loss"], figures["validation_loss"]]).all()
    assert figures["images_per_second"] > 0
    assert (tmp_path / figures["checkpoint"]).exists()
    for shown in ("loss=", "images_s=", "step/s"):
        assert shown in run.stderr

    run = train(tool, backend, photo_folder, "--num_epochs", 3)
    assert run.returncode == 1
    assert "--continue_train" in run.stderr
    run = train(tool, backend, photo_folder, "--num_epochs", 3, "--continue_train")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1])["steps"] == figures["steps"] // 2 * 3

    model = ("--model_path", "model", "--load_model", "2", "--backend", backend.NAME)
    run = tool("test", "--image_dir", photo_folder, "--result_path", "result", *model)
    assert run.returncode == 0, run.stderr
    expected = [str(Path(name).with_suffix(".png")) for name in images.find(photo_folder)]
    assert images.find(tmp_path / "result") == sorted(expected)

    command = [sys.executable, "-m", "metric.auc", "--imgs_dir", photo_folder]
    command += ["--results_dir", tmp_path / "result", "--save_path", tmp_path / "figures"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    rows = json.loads((tmp_path / "figures" / "auc.json").read_text())["auc"]
    assert 0 < rows["colorized"]["raw"] < 100


def test_training_stops_after_max_steps(backend, tool, photo_folder):
    run = train(tool, backend, photo_folder, "--max_steps", 5)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1])["steps"] == 5


def test_a_killed_run_leaves_no_worker_behind(photo_folder, tmp_path):
    command = [sys.executable, ROOT / "tools" / "train.py", "--image_dir", photo_folder]
    command += ["--model_path", "model", "--option", "width=0.125", "--max_steps", "100000"]
    process = subprocess.Popen(
        [*map(str, command)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    shown = b""
    while b"loss=" not in shown:  # the workers are at work
        shown += process.stderr.read(1)
    process.kill()
    # Both ends only when the last process that inherited them has ended.
    process.communicate(timeout=30)


def test_colorizing_awkward_files_and_folders(backend, tool, photos, tmp_path):
    folder = tmp_path / "my album"
    names = ["a b.jpg", 'it\'s "one".png', "-dash.png", "new\nline.png", "sub/x.jpg/y.png"]
    for name in names:
        images.write(folder / name, photos["coffee"][:50, :70])
    Image.fromarray(photos["coffee"][:50, :70]).convert("CMYK").save(folder / "cmyk.jpg")
    (folder / "broken.jpg").write_bytes((folder / "a b.jpg").read_bytes()[:300])
    (folder / "empty.png").write_bytes(b"")
    run = tool("colorize", folder, "-o", "out", "--backend", backend.NAME)
    assert run.returncode == 1, run.stderr
    failures = [line for line in (run.stdout + run.stderr).splitlines() if "failed:" in line]
    assert [next(n for n in ("broken", "empty") if n in line) for line in failures] == [
        "broken",
        "empty",
    ]
    assert images.find(tmp_path / "out") == sorted([*names, "cmyk.jpg"], key=str.encode)
    for name in names:
        assert images.read(tmp_path / "out" / name).shape == (50, 70, 3)
    assert "6 colorized, 2 failed" in run.stdout


def test_one_photo_to_one_file(tool, photos, tmp_path):
    images.write(tmp_path / "-old.png", photos["rocket"][:64, :64])
    run = tool("colorize", "-o", "new.jpg", "--", "-old.png")
    assert run.returncode == 0, run.stderr
    assert images.read(tmp_path / "new.jpg").shape == (64, 64, 3)


def test_temperature_changes_the_colours(tool, photos, tmp_path):
    images.write(tmp_path / "a.png", photos["chelsea"][:96, :96])
    ab = {}
    for temperature in (0.1, 1):
        run = tool("colorize", "a.png", "-o", "b.png", "--temperature", temperature)
        assert run.returncode == 0, run.stderr
        ab[temperature] = rgb_to_lab(images.read(tmp_path / "b.png"))[..., 1:]
    assert np.abs(ab[0.1] - ab[1]).mean() > 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("train", "--image_dir", "nowhere"), "nowhere"),
        (("train", "--image_dir", ".", "--model_path", "m"), "no photo"),
        (("colorize", "nowhere.jpg", "-o", "out"), "nowhere.jpg"),
        (("colorize", ".", "-o", "out"), "no photo"),
        (("test", "--image_dir", "nowhere"), "nowhere"),
        (("estimate_prior", "--image_dir", "nowhere", "--output", "p.npy"), "nowhere"),
        (("demo", "--photo", "nowhere.jpg"), "nowhere.jpg"),
        (("release_weights", "nowhere.safetensors", "b"), "nowhere.safetensors"),
    ],
)
def test_what_is_missing_is_named_in_one_line_and_nothing_is_written(
    tool, tmp_path, arguments, named
):
    run = tool(*arguments)
    assert run.returncode == 1
    assert named in run.stderr + run.stdout
    assert "Traceback" not in run.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--crop_size", 50), "crop_size is 50"),
        (("--gamma", 2), "gamma is 2"),
        (("--lr", -1), "lr -1"),
        (("--schedule", "magic"), "magic"),
        (("--precision", "float8"), "float8"),
        (("--option", "depth=3"), "depth"),
        (("--device", "abacus"), "abacus"),
        (("--option", "width"), "write width=0.5"),
        (("--weights", "nowhere"), "nowhere"),
        (("--continue_train",), "epoch_latest_model.safetensors"),
    ],
)
def test_a_flag_that_cannot_be_is_named_in_one_line(tool, photo_folder, flags, named):
    run = tool("train", "--image_dir", photo_folder, "--model_path", "model", *flags)
    assert run.returncode == 1
    assert named in run.stderr
    assert "Traceback" not in run.stderr


def test_weights_of_another_network_are_refused(tool, photo_folder, tmp_path):
    other = networks.get("cic", width=0.25)
    path = tmp_path / "other.safetensors"
    checkpoint.save(path, initialize(other), checkpoint.network_meta(other))
    flags = ("--option", "width=0.125", "--weights", path)
    run = tool("train", "--image_dir", photo_folder, "--model_path", "model", *flags)
    assert run.returncode == 1
    assert (
        "conv1_1.weight: the file has (16, 1, 3, 3), the network needs (8, 1, 3, 3)" in run.stderr
    )


def test_a_prior_of_ones_own_photos_trains(tool, backend, photo_folder, tmp_path):
    run = tool("estimate_prior", "--image_dir", photo_folder, "--output", "prior.npy")
    assert run.returncode == 0, run.stderr
    prior = np.load(tmp_path / "prior.npy")
    assert prior.shape == (313,)
    assert prior.sum() == pytest.approx(1)
    run = train(tool, backend, photo_folder, "--prior", "prior.npy", "--max_steps", 1)
    assert run.returncode == 0, run.stderr


def test_released_weights_colorize(tool, photo_folder, backend, tmp_path):
    run = train(tool, backend, photo_folder, "--max_steps", 2)
    path = json.loads(run.stdout.splitlines()[-1])["checkpoint"]
    run = tool("release_weights", path, "small.safetensors", "--temperature", 0.5, "--size", 64)
    assert run.returncode == 0, run.stderr
    state, meta = checkpoint.load(tmp_path / "small.safetensors")
    assert meta["colorize"] == {"size": 64, "temperature": 0.5}
    assert state["conv1_1.weight"].dtype == np.float16
    source = photo_folder / images.find(photo_folder)[0]
    run = tool("colorize", source, "-o", "out.png", "--weights", "small.safetensors")
    assert run.returncode == 0, run.stderr


def test_the_demo_writes_photos_and_a_sheet(backend, tool, tmp_path):
    run = tool("demo", "--backend", backend.NAME)
    assert run.returncode == 0, run.stderr
    names = [f"{stem}.jpg" for stem in ("astronaut", "chelsea", "coffee", "rocket")]
    for folder in ("original", "gray", "colorized"):
        assert images.find(tmp_path / "demo" / folder) == names
    sheet = images.read(tmp_path / "demo" / "contact_sheet.jpg")
    assert sheet.shape[1] > 1400
    assert str(tmp_path / "demo" / "contact_sheet.jpg") in run.stdout


def test_the_demo_takes_a_users_folder_and_overwrites_nothing(tool, photo_folder):
    before = {name: (photo_folder / name).read_bytes() for name in images.find(photo_folder)}
    (photo_folder / "broken.jpg").write_bytes(b"nothing")
    run = tool("demo", "--photo", photo_folder, "--output", photo_folder)
    assert run.returncode == 1
    assert "broken.jpg" in run.stdout + run.stderr
    assert len(images.find(photo_folder / "colorized" / photo_folder.name)) == len(before)
    assert (photo_folder / "contact_sheet.jpg").exists()
    for name, content in before.items():
        assert (photo_folder / name).read_bytes() == content
