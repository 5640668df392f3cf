"""The tools as a user starts them, from another folder, with awkward names."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import backends
from cic import networks
from cic.colorize.settings import DEFAULTS
from cic.colour import prior, rebalance
from cic.colour.lab import lightness, rgb_to_lab
from cic.networks.initialize import initialize
from cic.photos import images, sources
from cic.training.runs import checkpoint_path
from cic.weights import checkpoint, reading
from helpers import ROOT, started

pytestmark = pytest.mark.slow


@pytest.fixture
def tool(tmp_path):
    """Run a tool in an empty folder; the finished process."""

    def run(name, *arguments, fresh=False):
        return started.run(ROOT / "tools" / f"{name}.py", *arguments, cwd=tmp_path, fresh=fresh)

    return run


def train(tool, backend, photo_folder, *more, fresh=False):
    small = ("--option", "width=0.125", "--load_size", 64, "--crop_size", 56, "--batch_size", 3)
    where = ("--image_dir", photo_folder, "--model_path", "model", "--backend", backend.NAME)
    flags = (*where, *small, "--num_workers", 0, "--device", "cpu", *more)
    return tool("train", *flags, fresh=fresh)


def test_training_testing_and_measuring_as_a_user_does(backend, tool, photo_folder, tmp_path):
    board = ("--board", "board") if backend.NAME == "paddle" else ()  # it is Paddle's
    more = ("--val_dir", photo_folder, *board, "--num_workers", 1)
    run = train(tool, backend, photo_folder, "--num_epochs", 2, *more)
    assert run.returncode == 0, run.stderr
    assert not board or list((tmp_path / "board").rglob("vdlrecords*"))
    figures = json.loads(run.stdout.splitlines()[-1])
    assert np.isfinite([figures["loss"], figures["validation_loss"]]).all()
    assert figures["images_per_second"] > 0
    assert (tmp_path / figures["checkpoint"]).exists()
    for shown in ("loss=", "images_s=", "step/s"):
        assert shown in run.stderr

    run = train(tool, backend, photo_folder, "--num_epochs", 3)
    assert run.returncode == 1
    assert "set continue_train" in run.stderr
    run = train(tool, backend, photo_folder, "--num_epochs", 3, "--continue_train")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1])["steps"] == figures["steps"] // 2 * 3

    model = ("--model_path", "model", "--load_model", "2", "--backend", backend.NAME)
    where = ("--image_dir", photo_folder, "--result_path", "result")
    run = tool("test", *where, *model, fresh=backend.NAME == "torch")
    assert run.returncode == 0, run.stderr
    expected = [str(Path(name).with_suffix(".png")) for name in sources.find(photo_folder)]
    assert sources.find(tmp_path / "result") == sorted(expected)

    command = ["-m", "metric.auc", "--imgs_dir", photo_folder]
    command += ["--results_dir", tmp_path / "result", "--save_path", tmp_path / "figures"]
    run = started.run(*command, cwd=ROOT, fresh=backend.NAME == "torch")
    assert run.returncode == 0, run.stderr
    rows = json.loads((tmp_path / "figures" / "auc.json").read_text())["auc"]
    assert 0 < rows["colorized"]["raw"] < 100


def test_a_checkup_says_what_to_do_and_writes_nothing(
    backend, tool, photo_folder, photos, tmp_path
):
    for number in range(30):
        images.write(photo_folder / f"{number}.png", photos["coffee"][..., :1].repeat(3, axis=2))
    (photo_folder / "broken.jpg").write_bytes(b"nothing")
    run = train(tool, backend, photo_folder, "--check", "--num_workers", 1)
    assert run.returncode == 0, run.stderr
    found = {f["name"]: f for f in json.loads(run.stdout.splitlines()[-1])["check"]}
    assert found["readable"]["verdict"] == "warn"
    assert "broken.jpg" in found["readable"]["advice"]
    assert found["gray"]["verdict"] == "bad"
    for name in ("memory", "step", "loader", "time"):
        assert f"{name}  " in run.stderr
    assert not (tmp_path / "model").exists()


def test_a_checkup_leaves_a_running_run_alone_and_training_clears_its_own_folder(
    tool, photo_folder, tmp_path
):
    torch = backends.get("torch")
    (photo_folder / "broken.jpg").write_bytes(b"nothing")
    partial = ".epoch_latest_model.abcdefgh.partial.safetensors"
    places = [tmp_path / "model" / partial, tmp_path / "model" / "another" / partial]
    for place in places:
        place.parent.mkdir(exist_ok=True)
        place.touch()
    assert train(tool, torch, photo_folder, "--check").returncode == 0
    assert all(place.exists() for place in places)
    run = train(tool, torch, photo_folder, "--max_steps", 3, "--no-check")
    assert run.returncode == 0, run.stderr
    assert [place.exists() for place in places] == [False, True]
    assert run.stderr.count("skipped: ") == 1
    assert json.loads(run.stdout)["skipped"] == 1
    more = ("--continue_train", "--max_steps", 4, "--lr", 1e-5, "--no-check")
    run = train(tool, torch, photo_folder, *more)
    assert run.returncode == 0, run.stderr
    assert "settings differ from the checkpoint's: lr 3.16e-05 -> 1e-05\n" in run.stderr


def test_a_checkpoint_says_where_it_comes_from(tool, photo_folder, tmp_path):
    torch = backends.get("torch")
    assert train(tool, torch, photo_folder, "--max_steps", 2, "--no-check").returncode == 0
    meta = checkpoint.load_meta(tmp_path / "model" / "epoch_latest_model.safetensors")
    assert meta["provenance"]["versions"]["torch"]
    assert meta["recipe"]["init"] == "data"
    (photo_folder / "chelsea.webp").rename(photo_folder / "cat.webp")
    run = train(tool, torch, photo_folder, "--max_steps", 4, "--continue_train")
    assert run.returncode == 1
    assert "fingerprint was" in run.stderr


def test_a_run_continued_in_the_middle_of_an_epoch_ends_as_one_in_one_go(
    backend, tool, photo_folder, tmp_path, monkeypatch
):
    """Epochs of two steps: the third begins one. Threads must not change the order of sums."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    more = ("--precision", "float64", "--lr", 1e-4, "--no-check", "--num_workers", 1)
    for flags in (
        ("--model_path", "whole", "--max_steps", 5),
        ("--max_steps", 3),
        ("--max_steps", 5, "--continue_train"),
    ):
        run = train(tool, backend, photo_folder, *more, *flags)
        assert run.returncode == 0, run.stderr
        assert (
            json.loads(run.stdout.splitlines()[-1])["steps"]
            == flags[flags.index("--max_steps") + 1]
        )
    whole, parts = (reading.load(checkpoint_path(tmp_path / m))[0] for m in ("whole", "model"))
    assert any(name.startswith("optimizer/moment2") for name in whole)
    tolerance = {"torch": 0, "paddle": 1e-9}[backend.NAME]
    for name, array in whole.items():
        np.testing.assert_allclose(parts[name], array, rtol=tolerance, atol=tolerance, err_msg=name)


def test_a_killed_run_leaves_no_worker_behind(photo_folder, tmp_path):
    command = [sys.executable, ROOT / "tools" / "train.py", "--image_dir", photo_folder]
    command += ["--model_path", "model", "--option", "width=0.125", "--max_steps", "100000"]
    command += ["--load_size", "64", "--crop_size", "56", "--batch_size", "3", "--no-check"]
    process = subprocess.Popen(
        [*map(str, command)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    shown = b""
    while b"loss=" not in shown:  # the workers are at work
        shown += process.stderr.read(1)
    process.kill()
    # Both ends only when the last process that inherited them has ended.
    process.communicate(timeout=30)


def test_colorizing_awkward_files_and_folders(runner, tool, photos, tmp_path):
    folder = tmp_path / "my album"
    names = ["a b.jpg", 'it\'s "one".png', "-dash.png", "new\nline.png", "sub/x.jpg/y.png"]
    for name in names:
        images.write(folder / name, photos["coffee"][:50, :70])
    Image.fromarray(photos["coffee"][:50, :70]).convert("CMYK").save(folder / "cmyk.jpg")
    (folder / "broken.jpg").write_bytes((folder / "a b.jpg").read_bytes()[:300])
    (folder / "empty.png").write_bytes(b"")
    run = tool("colorize", folder, "-o", "out", "--backend", runner.NAME)
    assert run.returncode == 1, run.stderr
    failures = [line for line in (run.stdout + run.stderr).splitlines() if "failed:" in line]
    assert [next(n for n in ("broken", "empty") if n in line) for line in failures] == [
        "broken",
        "empty",
    ]
    assert sources.find(tmp_path / "out") == sorted([*names, "cmyk.jpg"], key=str.encode)
    for name in names:
        assert images.read(tmp_path / "out" / name).shape == (50, 70, 3)
    assert "6 colorized, 2 failed" in run.stdout


def test_one_photo_to_one_file(tool, photos, tmp_path):
    images.write(tmp_path / "-old.png", photos["rocket"][:64, :64])
    run = tool("colorize", "-o", "new.jpg", "--", "-old.png", fresh=True)
    assert run.returncode == 0, run.stderr
    assert images.read(tmp_path / "new.jpg").shape == (64, 64, 3)


@pytest.mark.parametrize("name", ["colorize", "test"])
@pytest.mark.parametrize(
    ("flag", "values"),
    [
        ("--temperature", (0.1, 1)),
        ("--saturation", (0.5, 1)),
        ("--edges", ("guided", "bilinear")),
        ("--size", (64, "64,128")),
    ],
)
def test_a_flag_changes_the_colours(tool, photos, tmp_path, name, flag, values):
    images.write(tmp_path / "in" / "a.png", photos["coffee"][100:292, 200:392])
    place = ("in", "-o", "out") if name == "colorize" else ("--image_dir", "in")
    place += () if name == "colorize" else ("--result_path", "out")
    place += () if flag == "--size" else ("--size", 64)
    ab = []
    for value in values:
        run = tool(name, *place, flag, value)
        assert run.returncode == 0, run.stderr
        ab.append(rgb_to_lab(images.read(tmp_path / "out" / "a.png"))[..., 1:])
    assert np.abs(ab[0] - ab[1]).mean() > 0.2
    if flag == "--saturation":
        chroma = [np.hypot(*np.moveaxis(one, -1, 0)).mean() for one in ab]
        assert chroma[0] == pytest.approx(0.5 * chroma[1], rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--saturation", "-1"), "'-1' is not a number from 0 to 10"),
        (("--saturation", "nan"), "'nan' is not a number"),
        (("--edges", "sharp"), "invalid choice: 'sharp'"),
        (("--size", "64,0"), "'0' is not a whole number"),
        (("--size", "64,64"), "one comes twice"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(tool, photos, tmp_path, arguments, message):
    images.write(tmp_path / "a.png", photos["chelsea"][:96, :96])
    run = tool("colorize", "a.png", "-o", "b.png", *arguments)
    assert run.returncode in (1, 2)
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("train", "--image_dir", "nowhere"), "nowhere"),
        (("train", "--image_dir", ".", "--model_path", "m"), "no photo"),
        (("colorize", "nowhere.jpg", "-o", "out"), "nowhere.jpg"),
        (("colorize", ".", "-o", "out"), "no photo and no film"),
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
        (("--lr", -1), "lr is -1"),
        (("--which_epoch", 77), "set continue_train"),
        (("--model_path", "photos/chelsea.webp/model"), "chelsea.webp"),
        (("--schedule", "magic"), "magic"),
        (("--precision", "float8"), "float8"),
        (("--option", "depth=3"), "depth"),
        (("--device", "abacus"), "abacus"),
        (("--option", "width"), "write width=0.5"),
        (("--balance", 0.5), "balance: of no effect on one place"),
        (("--weight_limit", 4, "--no-rebalance"), "weight_limit: of no effect"),
        (("--crop_scale", 0.5, "--no-augment"), "crop_scale is 0.5: without augment"),
        (
            ("--network", "regression", "--loss", "l2", "--keep_gray", "--weight_limit", 4),
            "keep_gray, weight_limit: of no effect on regression",
        ),
        (
            ("--network", "regression", "--loss", "l2", "--distance", 4),
            "distance: of no effect on regression",
        ),
        (("--weights", "nowhere"), "nowhere"),
        (("--continue_train",), "epoch_latest_model.safetensors"),
    ],
)
def test_a_flag_that_cannot_be_is_named_in_one_line(tool, photo_folder, flags, named):
    run = train(tool, backends.get("torch"), photo_folder, *flags)
    of_files = ("chelsea.webp", "nowhere", "epoch_latest_model.safetensors")
    assert run.returncode == (1 if named in of_files else 2)
    assert named in run.stderr
    assert "Traceback" not in run.stderr


def test_a_seed_of_too_many_digits_is_refused(tool, photo_folder):
    run = tool("train", "--image_dir", photo_folder, "--seed", 10**23)
    assert run.returncode == 2
    assert "2^64" in run.stderr


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
    where = ("--image_dir", photo_folder, "--num_workers", 0)
    run = tool("estimate_prior", *where, "--output", "prior.npy")
    assert run.returncode == 0, run.stderr
    shares = np.load(tmp_path / "prior.npy")
    assert shares.shape == (313,)
    assert shares.sum() == pytest.approx(1)
    assert images.read(tmp_path / "prior.png").shape[2] == 3
    assert "of 6 photos in colour" in run.stdout
    assert "nats from the bundled prior" in run.stdout
    run = train(tool, backend, photo_folder, "--prior", "prior.npy", "--max_steps", 1)
    assert run.returncode == 0, run.stderr


def test_priors_are_merged_and_every_process_counts_alike(tool, photo_folder, photos, tmp_path):
    images.write(photo_folder / "gray.png", photos["coffee"][..., :1].repeat(3, axis=2))
    (photo_folder / "broken.jpg").write_bytes(b"nothing")
    for folder in ("n01", "n02"):
        where = ("--image_dir", photo_folder / folder, "--output", f"{folder}.npy")
        assert tool("estimate_prior", *where, "--num_workers", 0).returncode == 0
    loose = tmp_path / "loose"
    loose.mkdir()
    for path in photo_folder.glob("*.*"):
        path.rename(loose / path.name)
    merge = ("--merge", "n01.npy", "n02.npy", "--image_dir", loose, "--output", "all.npy")
    run = tool("estimate_prior", *merge, fresh=True)
    assert run.returncode == 1
    assert "broken.jpg" in run.stdout
    assert "warning: 6 photos in colour are few" in run.stdout
    assert "warning: 1 of 7 photos are gray" in run.stdout
    for path in loose.iterdir():
        path.rename(photo_folder / path.name)
    run = tool("estimate_prior", "--image_dir", photo_folder, "--output", "whole.npy")
    assert run.returncode == 1
    assert (tmp_path / "all.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_a_prior_of_gray_photos_alone_is_refused(tool, photos, tmp_path):
    images.write(tmp_path / "in" / "gray.png", photos["coffee"][..., :1].repeat(3, axis=2))
    where = ("--image_dir", "in", "--num_workers", 0)
    run = tool("estimate_prior", *where, "--output", "prior.npy")
    assert run.returncode == 1
    assert "no colour photo" in run.stderr
    assert tool("estimate_prior", "--output", "prior.npy").returncode == 2
    assert not (tmp_path / "prior.npy").exists()


def test_every_page_and_sixteen_bits_as_a_user_does(tool, photos, tmp_path):
    gray = lightness(photos["coffee"][:90, :120]) * 655
    pages = [Image.fromarray(gray.astype(np.uint16)) for _ in range(2)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    run = tool("colorize", "scan.tif", "-o", "first.tif")
    assert run.returncode == 0, run.stderr
    assert "first of 2 pages; all_pages" in run.stdout + run.stderr
    assert tifffile.imread(tmp_path / "first.tif").dtype == np.uint16
    run = tool("colorize", "scan.tif", "-o", "out", "--all_pages")
    assert run.returncode == 0, run.stderr
    assert sources.find(tmp_path / "out") == ["scan.tif"]
    assert tifffile.imread(tmp_path / "out" / "scan.tif").shape == (2, 90, 120, 3)


def test_a_photo_of_too_many_pixels_is_refused_by_name_and_setting(tool, photos, tmp_path):
    images.write(tmp_path / "a.png", photos["coffee"][:50, :60])
    run = tool("colorize", "a.png", "-o", "b.png", "--max_pixels", 2000)
    assert run.returncode == 1
    for named in ("a.png", "2,000", "max_pixels"):
        assert named in run.stdout
    assert not (tmp_path / "b.png").exists()


def test_training_takes_shards_as_it_takes_folders(tool, backend, photo_folder, tmp_path):
    with tarfile.open(tmp_path / "train-0.tar", "w") as shard:
        shard.add(photo_folder, "photos")
    losses = []
    for place in (photo_folder, tmp_path / "train-0.tar"):
        run = train(tool, backend, place, "--max_steps", 4, "--model_path", f"of {place.name}")
        assert run.returncode == 0, run.stderr
        losses.append(json.loads(run.stdout.splitlines()[-1])["loss"])
    assert all(np.isfinite(losses))


def test_released_weights_colorize(tool, photo_folder, backend, tmp_path):
    run = train(tool, backend, photo_folder, "--max_steps", 2)
    path = json.loads(run.stdout.splitlines()[-1])["checkpoint"]
    chosen = ("--temperature", 0.5, "--size", "64,96", "--unweight", 0.2, "--statistic", "median")
    run = tool("release_weights", path, "small.safetensors", *chosen, fresh=True)
    assert run.returncode == 0, run.stderr
    state, meta = reading.load(tmp_path / "small.safetensors")
    expected = DEFAULTS.but(sizes=(64, 96), temperature=0.5, statistic="median").facts()
    assert meta["colorize"] == json.loads(json.dumps(expected | {"unweight": 0.2}))
    weights = rebalance.weights(prior.default(), meta["recipe"]["gamma"])
    np.testing.assert_array_equal(np.float32(meta["bin_weights"]), weights)
    assert state["conv1_1.weight"].dtype == np.float16
    source = photo_folder / sources.find(photo_folder)[0]
    run = tool("colorize", source, "-o", "out.png", "--weights", "small.safetensors")
    assert run.returncode == 0, run.stderr


def test_the_demo_writes_photos_and_a_sheet(runner, tool, tmp_path):
    run = tool("demo", "--backend", runner.NAME)
    assert run.returncode == 0, run.stderr
    names = sources.find(ROOT / "tools" / "photographs")
    assert len(names) == 8
    for folder in ("original", "gray", "colorized"):
        assert sources.find(tmp_path / "demo" / folder) == names
    sheet = images.read(tmp_path / "demo" / "contact_sheet.jpg")
    assert sheet.shape[1] > 1400
    assert str(tmp_path / "demo" / "contact_sheet.jpg") in run.stdout


def test_the_demo_takes_a_users_folder_and_overwrites_nothing(tool, photo_folder):
    before = {name: (photo_folder / name).read_bytes() for name in sources.find(photo_folder)}
    (photo_folder / "broken.jpg").write_bytes(b"nothing")
    where = ("--photo", photo_folder, "--output", photo_folder)
    run = tool("demo", *where, "--backend", "onnx", fresh=True)
    assert run.returncode == 1
    assert "broken.jpg" in run.stdout + run.stderr
    assert len(sources.find(photo_folder / "colorized" / photo_folder.name)) == len(before)
    assert (photo_folder / "contact_sheet.jpg").exists()
    for name, content in before.items():
        assert (photo_folder / name).read_bytes() == content
