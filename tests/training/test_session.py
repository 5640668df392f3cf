"""The loop: log, evaluation, checkpoints, resume, and what goes wrong."""

import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cic import networks
from cic.dataset.batches import Order, PhotoDataset
from cic.dataset.loader import Loader
from cic.networks.initialize import initialize
from cic.photos import images
from cic.system import files
from cic.system.errors import InputError, SettingError, is_expected
from cic.training import loop, plan, recipes, runs, session
from cic.training.log import LogSettings, TrainingError
from cic.weights import checkpoint, reading
from helpers import ROOT

pytestmark = pytest.mark.slow

NETWORK = networks.get("cic", width=0.125)
RECIPE = replace(
    recipes.get("full"), options={"width": 0.125}, batch_size=2, lr=1e-4, schedule="cosine"
)


FACTS = {"seed": 0, "photos": 6, "batch_size": 2}


class Run:
    """A small run on real photographs."""

    def __init__(self, backend, photo_folder, model_path, precision="float64"):
        dataset = PhotoDataset([photo_folder], NETWORK, 64, 56)
        self.loader = Loader(dataset, Order(len(dataset), RECIPE.batch_size))
        self.trainer = backend.Trainer(NETWORK, RECIPE, initialize(NETWORK), "cpu", precision)
        self.checkpoints = runs.Checkpoints(model_path, NETWORK, RECIPE, FACTS)
        self.log_path = os.path.join(model_path, "log.jsonl")

    def train(self, steps, log_step=10, **options):
        log = LogSettings(self.log_path, log_step)
        kept = {name: options.pop(name) for name in ("save_latest", "preview") if name in options}
        records = loop.Records(self.checkpoints, log, **kept)
        return loop.train(self.trainer, self.loader, steps, records, **options)


@pytest.fixture
def run(backend, photo_folder, tmp_path):
    return Run(backend, photo_folder, str(tmp_path / "model"))


def test_a_run_logs_evaluates_and_saves(run):
    epoch = run.loader.order.steps_per_epoch
    figures = run.train(2 * epoch, validation=run.loader, log_step=1)
    assert figures["steps"] == 2 * epoch
    assert math.isfinite(figures["loss"])
    assert figures["images_per_second"] > 0
    assert math.isfinite(figures["validation_loss"])
    assert figures["checkpoint"] == run.checkpoints.path()
    with open(run.log_path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 2 * epoch + 1))
    assert sum("validation_loss" in line for line in lines) == 2
    names = sorted(os.listdir(run.checkpoints.folder))
    saved = [f"epoch_{which}_model.safetensors" for which in (1, 2, "best", "latest")]
    assert names == sorted([*saved, "log.jsonl"])


def test_a_line_that_a_kill_cut_off_spoils_no_other(run):
    os.makedirs(run.checkpoints.folder)
    Path(run.log_path).write_text('{"step": 1, "loss": 5.0}\n{"step": 2, "lo')
    run.train(2, log_step=1)
    lines = Path(run.log_path).read_text().splitlines()
    assert lines[1] == '{"step": 2, "lo'
    assert [json.loads(line)["step"] for line in (lines[0], *lines[2:])] == [1, 1, 2]


def test_the_newest_epochs_and_the_best_are_kept(run):
    run.checkpoints.keep = 2
    losses = iter([3.0, 1.0, 2.0, 4.0])
    run.trainer.evaluate = lambda batch: (loss, 1)
    for epoch in range(4):
        loss = next(losses)
        run.train(3 * (epoch + 1), start=3 * epoch, validation=run.loader)
    names = sorted(os.listdir(run.checkpoints.folder))
    saved = [f"epoch_{which}_model.safetensors" for which in (3, 4, "best", "latest")]
    assert names == sorted([*saved, "log.jsonl"])
    meta = checkpoint.load_meta(run.checkpoints.path(runs.BEST))
    assert (meta["validation_loss"], meta["step"]) == (1.0, 6)


def test_the_checkpoints_of_a_branch_that_was_left_do_not_count(run):
    """On from the second epoch of four, of which the third was the best."""
    run.checkpoints.keep = 4

    def save(epoch, loss):
        run.checkpoints.save(run.trainer, epoch, step=3 * epoch, validation_loss=loss)
        run.checkpoints.wait()
        return checkpoint.load_meta(run.checkpoints.path(epoch))["validation_loss"]

    for epoch, loss in enumerate([3.0, 2.5, 1.0, 2.0], 1):
        save(epoch, loss)
    assert run.checkpoints.resume(run.trainer, 2) == 6
    run.checkpoints.keep = 1
    assert save(3, 2.7) == 2.7
    assert os.path.exists(run.checkpoints.path(4))  # until there is one of this branch
    assert save(4, 2.6) == 2.6
    best = checkpoint.load_meta(run.checkpoints.path(runs.BEST))
    assert (best["validation_loss"], best["step"]) == (2.6, 12)
    names = sorted(os.listdir(run.checkpoints.folder))
    assert names == [f"epoch_{which}_model.safetensors" for which in (4, "best", "latest")]


def test_a_checkpoint_loads_as_weights_and_knows_its_run(run):
    run.train(2)
    network, weights, meta = reading.load_weights(run.checkpoints.path())
    assert network == NETWORK
    assert meta["step"] == 2
    assert meta["seed"] == 0
    assert meta["recipe"]["gamma"] == RECIPE.gamma
    for name, array in run.trainer.state()[0].items():
        np.testing.assert_array_equal(weights[name], array)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_resumed_run_ends_bit_for_bit_where_an_uninterrupted_one_does(
    backend, photo_folder, tmp_path, precision
):
    steps = 7
    run, first, second = (
        Run(backend, photo_folder, str(tmp_path / name), precision)
        for name in ("one", "two", "two")
    )
    run.train(steps)

    begin = first.trainer.begin
    calls = []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return begin(*arguments)

    first.trainer.begin = interrupted
    with pytest.raises(KeyboardInterrupt):
        first.train(steps)
    start = second.checkpoints.resume(second.trainer)
    assert start == 4
    rest = second.train(steps, start=start)
    assert rest["steps"] == steps
    expected, found = run.trainer.state(), second.trainer.state()
    for one, two in zip(expected, found):
        for name, array in one.items():
            np.testing.assert_array_equal(two[name], array, name)


SAVER = """
import os, sys
import numpy as np
from cic import networks
from cic.training import loop, recipes, runs
from cic.networks.initialize import initialize

network = networks.get("cic", width=0.125)
weights = initialize(network)
step = 0

class Trainer:
    def state(self):
        moments = {f"{m}/{n}": np.full(s, step, np.float32)
                   for m in ("moment1", "moment2") for n, s in network.parameters.items()}
        return weights, moments | {"steps": np.array(step)}

for _ in sys.stdin:
    pid = os.fork()
    if not pid:
        checkpoints = runs.Checkpoints(sys.argv[1], network, recipes.get("full"), keep=2)
    while not pid:
        step += 1
        checkpoints.save(Trainer(), step, step=step)
        checkpoints.wait()
        print(os.getpid(), step, flush=True)
    print("ended by", os.waitpid(pid, 0)[1], flush=True)
"""


def test_sigkill_at_any_moment_leaves_a_latest_that_loads(tmp_path):
    """Thirty kills of a process that does nothing but write checkpoints."""
    random = np.random.default_rng(0)
    saver = subprocess.Popen(
        [sys.executable, "-c", SAVER, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    for _ in range(30):
        print(file=saver.stdin, flush=True)
        pid, _ = saver.stdout.readline().split()  # the first one is written
        time.sleep(random.uniform(0, 0.1))
        os.kill(int(pid), signal.SIGKILL)
        lines = iter(saver.stdout.readline, f"ended by {signal.SIGKILL:d}\n")
        written = [1, *(int(line.split()[1]) for line in lines)]
        state, meta = reading.load(runs.checkpoint_path(tmp_path))
        assert meta["step"] in (written[-1], written[-1] + 1)  # killed before it could say so
        assert (state["optimizer/moment2/conv3_1.weight"] == meta["step"]).all()
        epochs = list(tmp_path.glob("epoch_[0-9]*"))
        assert epochs
        for path in epochs:
            assert path.name == f"epoch_{checkpoint.load_own(path)[1]['step']}_model.safetensors"
    saver.communicate()
    assert saver.returncode == 0


def test_training_goes_on_while_a_checkpoint_is_written(run, monkeypatch):
    """What is written is of its own step, though two more are made before it is on disk."""
    save, begin = checkpoint.save, run.trainer.begin
    made, states, saved = threading.Event(), [], []

    def stepped(*arguments):
        states.append(run.trainer.state()[0])
        if len(states) == 4:
            made.set()
        return begin(*arguments)

    def slow(path, state, meta):
        saved.append((meta["step"], made.wait(60), state))
        save(path, state, meta)

    run.trainer.begin = stepped
    monkeypatch.setattr(checkpoint, "save", slow)
    monkeypatch.setattr(run.loader.order, "steps_per_epoch", 1000)
    run.train(5, save_latest=2)
    assert [(number, is_made) for number, is_made, _ in saved[:1]] == [(2, True)]
    for name, array in states[2].items():
        np.testing.assert_array_equal(saved[0][2][name], array, name)
    assert checkpoint.load_meta(run.checkpoints.path())["step"] == 5


@pytest.mark.parametrize(("often", "count"), [(0, 5), (3600, 1)])
def test_without_a_number_of_steps_checkpoints_come_by_time(run, monkeypatch, often, count):
    saved = []
    monkeypatch.setattr(checkpoint, "save", lambda path, state, meta: saved.append(meta["step"]))
    monkeypatch.setattr(loop, "OFTEN", often)
    monkeypatch.setattr(run.loader.order, "steps_per_epoch", 1000)
    run.train(5)
    assert saved == list(range(6 - count, 6))


def test_equal_checkpoints_are_one_file(run):
    epoch = run.loader.order.steps_per_epoch
    run.train(epoch, validation=run.loader)
    paths = [run.checkpoints.path(which) for which in (1, runs.BEST, runs.LATEST)]
    assert len({os.stat(path).st_ino for path in paths}) == 1
    first = Path(paths[0]).read_bytes()
    run.train(epoch + 1, start=epoch)
    assert Path(paths[0]).read_bytes() == Path(paths[1]).read_bytes() == first
    assert checkpoint.load_meta(paths[2])["step"] == epoch + 1


def test_weights_alone_cannot_be_resumed(run):
    checkpoint.save(run.checkpoints.path(), initialize(NETWORK), checkpoint.network_meta(NETWORK))
    with pytest.raises(checkpoint.CheckpointError, match="not resumable"):
        run.checkpoints.resume(run.trainer)


def test_another_networks_checkpoint_is_refused_with_name_and_shapes(run):
    other = networks.get("cic", width=0.25)
    checkpoint.save(run.checkpoints.path(), initialize(other), checkpoint.network_meta(other))
    with pytest.raises(checkpoint.CheckpointError) as refusal:
        run.checkpoints.resume(run.trainer)
    assert "conv1_1.weight" in str(refusal.value)
    assert "(16, 1, 3, 3)" in str(refusal.value)
    assert "(8, 1, 3, 3)" in str(refusal.value)


def test_weights_that_are_no_numbers_are_not_written_over_sound_ones(run):
    """Paddle's ReLU hides them: the loss stays a number."""
    run.train(1)
    before = Path(run.checkpoints.path()).read_bytes()
    weights, optimizer = run.trainer.state()
    weights["conv1_1.weight"][0] = math.nan
    run.trainer.load(weights, optimizer)
    with pytest.raises(TrainingError, match=r"nan at step 2|not finite: not written"):
        run.train(2, start=1)
    assert Path(run.checkpoints.path()).read_bytes() == before


def test_a_full_disk_names_the_log():
    settings = LogSettings("/dev/full", 1)
    full = pytest.raises(OSError, match="No space left on device: '/dev/full'")
    with full, settings.opened(0, 1) as log:
        log.write(step=1)


def test_an_unreadable_photo_is_named_once_and_skipped(backend, photo_folder, tmp_path, capsys):
    (photo_folder / "broken.jpg").write_bytes(b"")
    run = Run(backend, photo_folder, str(tmp_path / "model"))
    figures = run.train(2 * run.loader.order.steps_per_epoch)
    captured = capsys.readouterr()
    assert captured.err.count("broken.jpg") == 1
    assert not captured.out
    assert figures["skipped"] == 2


def test_an_unreadable_photo_to_evaluate_on_is_named_once(run, photo_folder, tmp_path, capsys):
    folder = tmp_path / "held out"
    folder.mkdir()
    shutil.copy(photo_folder / "chelsea.webp", folder)
    (folder / "broken.jpg").write_bytes(b"")
    held_out = Loader(PhotoDataset([folder], NETWORK, 64, 56), Order(2, 2))
    run.loader.order = Order(2, 2)
    figures = run.train(2, validation=held_out)
    assert capsys.readouterr().err.count("broken.jpg") == 1
    assert figures["skipped"] == 0


def test_an_unreadable_first_batch_neither_ends_a_run_nor_keeps_it_from_being_saved(
    run, backend, photo_folder, tmp_path, monkeypatch
):
    """A stop after that batch: the checkpoint, of no step of Adam's, is gone on with."""
    for i in run.loader.order.batch(0)[1]:
        Path(run.loader.dataset.photos[i]).write_bytes(b"nothing")
    whole = Run(backend, photo_folder, str(tmp_path / "whole"))
    assert math.isfinite(whole.train(3)["loss"])
    begin = run.trainer.begin

    def stopped(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return begin(*arguments)

    monkeypatch.setattr(run.trainer, "begin", stopped)
    with pytest.raises(SystemExit):
        run.train(3)
    second = Run(backend, photo_folder, run.checkpoints.folder)
    assert second.checkpoints.resume(second.trainer) == 1
    second.train(3, start=1)
    for one, two in zip(whole.trainer.state(), second.trainer.state()):
        for name, array in one.items():
            np.testing.assert_array_equal(two[name], array, name)


def test_a_rest_of_which_no_photo_can_be_read_is_no_error(run, photo_folder):
    run.train(2)
    start = run.checkpoints.resume(run.trainer)
    for i in run.loader.order.batch(2)[1]:
        Path(run.loader.dataset.photos[i]).write_bytes(b"nothing")
    figures = run.train(3, start=start)
    assert figures["loss"] is None
    assert checkpoint.load_meta(run.checkpoints.path())["step"] == 3


def test_photos_none_of_which_can_be_read_are_an_error(backend, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.jpg").write_bytes(b"nothing")
    run = Run(backend, folder, str(tmp_path / "model"))
    with pytest.raises(loop.TrainingError, match="not one photo"):
        run.train(4)
    assert os.listdir(run.checkpoints.folder) == ["log.jsonl"]


@pytest.mark.parametrize("log_step", [1, 100])
def test_a_loss_that_is_no_number_stops_the_run_and_saves_nothing(run, monkeypatch, log_step):
    nan = np.float64("nan"), 1, False
    monkeypatch.setattr(run.trainer, "begin", lambda *_: lambda: nan)
    with pytest.raises(loop.TrainingError, match="lower lr"):
        run.train(9, log_step=log_step)
    assert os.listdir(run.checkpoints.folder) == ["log.jsonl"]


def test_a_finished_run_says_so(run):
    run.train(2)
    with pytest.raises(loop.TrainingError, match="num_epochs"):
        run.train(2, start=2)


def test_settings_that_are_no_longer_the_checkpoints_are_told(run):
    run.checkpoints.meta |= {"precision": "float64", "prior_fingerprint": "a"}
    run.train(2)
    assert run.checkpoints.changes() == []
    run.checkpoints.resume(run.trainer)
    assert run.checkpoints.changes() == []
    recipe = run.checkpoints.meta["recipe"] | {"lr": 3e-5, "NN": 10}
    run.checkpoints.meta |= {"recipe": recipe, "prior_fingerprint": "b", "backend": "new"}
    assert run.checkpoints.changes() == [
        "NN 5 -> 10",
        "lr 0.0001 -> 3e-05",
        "prior_fingerprint a -> b",
    ]


def test_a_run_that_began_from_weights_goes_on_with_the_same_or_none_named(run):
    run.checkpoints.meta["weights"] = "first"
    run.train(2)
    for named in ("first", None):
        run.checkpoints.meta["weights"] = named
        run.checkpoints.resume(run.trainer)
        assert run.checkpoints.meta["weights"] == "first"
    run.checkpoints.meta["weights"] = "others"
    with pytest.raises(loop.TrainingError, match="began from weights first"):
        run.checkpoints.resume(run.trainer)


@pytest.mark.parametrize("fact", ["seed", "photos", "batch_size"])
def test_a_run_whose_order_would_change_is_not_continued(run, fact):
    run.train(2)
    run.checkpoints.meta[fact] = 12
    with pytest.raises(loop.TrainingError, match=f"{fact} was . and is 12"):
        run.checkpoints.resume(run.trainer)


def test_a_run_whose_balance_would_change_is_not_continued(run):
    recipe = run.checkpoints.meta["recipe"]
    run.checkpoints.meta |= {"recipe": recipe | {"balance": 0.5}, "groups": [2, 4]}
    run.train(2)
    run.checkpoints.resume(run.trainer)
    run.checkpoints.meta["groups"] = [4, 2]
    message = r"groups was \[2, 4\] and is \[4, 2\]: the order"
    with pytest.raises(loop.TrainingError, match=message):
        run.checkpoints.resume(run.trainer)
    run.checkpoints.meta |= {"recipe": recipe, "groups": None}
    with pytest.raises(loop.TrainingError, match=r"balance was 0\.5 and is 0\.0: the order"):
        run.checkpoints.resume(run.trainer)


def test_settings_that_a_checkpoint_is_older_than_were_off(run):
    recipe = run.checkpoints.meta["recipe"]
    new = (
        "balance",
        "crop_scale",
        "ageing",
        "target_mean",
        "keep_gray",
        "weight_limit",
        "distance",
    )
    run.checkpoints.meta["recipe"] = {name: recipe[name] for name in recipe if name not in new}
    run.train(2)
    run.checkpoints.meta["recipe"] = recipe
    run.checkpoints.resume(run.trainer)
    assert run.checkpoints.changes() == []
    run.checkpoints.meta["recipe"] = recipe | {"ageing": 0.5}
    assert run.checkpoints.changes() == ["ageing 0.0 -> 0.5"]
    run.checkpoints.meta["recipe"] = recipe | {"balance": 0.5}
    with pytest.raises(loop.TrainingError, match=r"balance was 0\.0 and is 0\.5"):
        run.checkpoints.resume(run.trainer)


def test_options_without_arrays_are_part_of_the_network(run):
    run.train(2)
    run.checkpoints.network = networks.get("cic", width=0.125, extra_relu=True)
    with pytest.raises(checkpoint.CheckpointError, match="extra_relu"):
        run.checkpoints.resume(run.trainer)


@pytest.mark.parametrize("damage", ["missing", "misshapen"])
def test_moments_that_do_not_fit_are_named(run, damage):
    run.train(2)
    state, meta = reading.load(run.checkpoints.path())
    name = "optimizer/moment2/conv3_1.weight"
    state[name] = state[name][:1]
    if damage == "missing":
        del state[name]
    checkpoint.save(run.checkpoints.path(), state, meta)
    with pytest.raises(checkpoint.CheckpointError, match=r"moment2/conv3_1\.weight"):
        run.checkpoints.resume(run.trainer)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_kill_and_a_schedulers_warning_save_and_tell(run, monkeypatch, number):
    begin = run.trainer.begin

    def killed(*arguments):
        os.kill(os.getpid(), number)
        return begin(*arguments)

    monkeypatch.setattr(run.trainer, "begin", killed)
    with pytest.raises(SystemExit) as stop:
        run.train(9)
    assert stop.value.code == 128 + number
    assert run.checkpoints.resume(run.trainer) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("steps", [3, 6])
def test_a_stop_while_evaluating_ends_it_and_keeps_the_epoch(
    run, monkeypatch, capsys, number, steps
):
    """At the last step nothing is left to go on with."""
    calls = []

    def killed(batch):
        run.checkpoints.wait()  # it is written meanwhile
        assert checkpoint.load_meta(run.checkpoints.path())["step"] == 3
        calls.append(os.kill(os.getpid(), number))
        return 1.0

    monkeypatch.setattr(run.trainer, "evaluate", killed)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run.train(steps, validation=run.loader)
    assert len(calls) == 1
    for which in (1, runs.LATEST):
        meta = checkpoint.load_meta(run.checkpoints.path(which))
        assert meta["step"] == 3
        assert "validation_loss" not in meta
    assert not os.path.exists(run.checkpoints.path(runs.BEST))
    shown = capsys.readouterr().err
    assert "stopped after step 3" in shown
    assert ("continue_train" in shown) == (steps == 6)


def test_a_signal_to_another_process_is_what_all_end_with(run, monkeypatch):
    monkeypatch.setattr(run.trainer, "total", lambda *votes: [3.0 * vote for vote in votes])
    assert loop._reason(run.trainer, [signal.SIGUSR1, signal.SIGTERM]) == signal.SIGUSR1
    monkeypatch.setattr(run.trainer, "total", lambda *votes: [0.0, 1.0, 1.0])
    assert loop._reason(run.trainer, []) == signal.SIGUSR1
    monkeypatch.setattr(run.trainer, "total", lambda *votes: [0.0] * 3)
    assert loop._reason(run.trainer, []) == signal.SIGTERM


def test_auto_begins_goes_on_and_is_content_with_what_is_done(
    backend, photo_folder, tmp_path, capsys
):
    settings = {"batch_size": 4, "load_size": 64, "crop_size": 56, "options": {"width": 0.125}}
    settings |= {"device": "cpu", "check": False, "num_workers": 0, "model_path": tmp_path / "m"}

    def train(steps, **more):
        more |= settings | {"max_steps": steps}
        return session.train(backend, photo_folder, progress=None, **more)

    assert train(2, continue_train="auto")["steps"] == 2
    with pytest.raises(InputError, match="holds a run: set continue_train"):
        train(3)
    assert train(3, continue_train="auto")["loss"] > 0
    assert "steps 2 to 3" in capsys.readouterr().err
    figures = train(3, continue_train="auto")
    assert (figures["steps"], figures["loss"]) == (3, None)
    assert "all 3 steps are made: nothing is left to do" in capsys.readouterr().err
    with pytest.raises(TrainingError, match="raise num_epochs"):
        train(3, continue_train=True)


@pytest.mark.parametrize(
    "error", [MemoryError("ResourceExhaustedError"), torch.OutOfMemoryError("CUDA out of memory")]
)
def test_want_of_memory_is_one_line_that_says_what_takes_less(
    backend, photo_folder, tmp_path, monkeypatch, error
):
    """Paddle raises a MemoryError, PyTorch a class of its own."""

    def fail(*_):
        raise error

    monkeypatch.setattr(backend.Trainer, "begin", fail)
    settings = {"batch_size": 4, "load_size": 64, "crop_size": 56, "options": {"width": 0.125}}
    settings |= {"device": "cpu", "check": False, "num_workers": 0, "model_path": tmp_path / "m"}
    with pytest.raises(MemoryError) as caught:
        session.train(backend, photo_folder, accumulate=2, **settings)
    said = str(caught.value)
    assert said.startswith("out of memory on cpu: ")
    for word in ("2 photos at a time of a batch of 4", "crops of 56", "float32", "accumulate 4"):
        assert word in said
    assert "\n" not in said
    assert is_expected(caught.value)


def test_a_continue_train_that_says_two_things_is_refused():
    with pytest.raises(SettingError, match="auto goes on from the latest: leave one out"):
        plan.plan("photos", continue_train="auto", which_epoch="2")
    with pytest.raises(SettingError, match="continue_train always: it is auto, on or off"):
        plan.plan("photos", continue_train="always")


def test_a_stop_in_an_epochs_last_step_is_not_kept_waiting(run, monkeypatch):
    begin = run.trainer.begin

    def stopped(*arguments):
        figures = begin(*arguments)
        return lambda: (*figures()[:2], True)

    monkeypatch.setattr(run.trainer, "begin", stopped)
    run.loader.order = Order(6, 6)
    monkeypatch.setattr(run.trainer, "evaluate", None)
    with pytest.raises(SystemExit):
        run.train(6, validation=run.loader)
    assert run.checkpoints.resume(run.trainer) == 1


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_text("before")
    with pytest.raises(OSError, match=r"No space left on device: .*model\.safetensors"):  # noqa: SIM117
        with files.replacing(path):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == [path.name]


def test_photos_to_evaluate_on_none_of_which_can_be_read_are_an_error(run, tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"nothing")
    dataset = PhotoDataset([folder], NETWORK, 64, 56)
    with pytest.raises(loop.TrainingError, match="evaluate"):
        loop.evaluate(run.trainer, Loader(dataset, Order(1, 2)))


def test_evaluation_is_the_mean_over_photos_and_changes_nothing(run):
    before = run.trainer.state()[0]
    figures = loop.evaluate(run.trainer, run.loader)
    batches = list(run.loader.batches(0, run.loader.order.steps_per_epoch))
    total = sum(run.trainer.evaluate(batch)[0] for batch in batches)
    assert figures == {"validation_loss": pytest.approx(total / len(run.loader.dataset))}
    for name, array in run.trainer.state()[0].items():
        np.testing.assert_array_equal(array, before[name])


def grays(photos):
    """{name: (64, 64, 3) uint8} of photos that are gray in every way there is."""
    square = photos["coffee"][:64, :64]
    gray = square.mean(-1, keepdims=True).astype(np.uint8).repeat(3, axis=2)
    tinted = np.clip(gray.astype(int) + np.array([2, 0, -2]), 0, 255).astype(np.uint8)
    return {
        "equal channels": gray,
        "tinted": tinted,
        "black": gray * 0,
        "white": gray * 0 + 255,
        "dark": gray // 8,
    }


@pytest.fixture
def gray_folder(tmp_path, photos):
    folder = tmp_path / "grays"
    for name, picture in grays(photos).items():
        images.write(folder / f"{name}.png", picture)
    images.write(folder / "one channel.png", grays(photos)["equal channels"])
    Image.open(folder / "one channel.png").convert("L").save(folder / "one channel.png")
    return folder


def test_gray_photos_alone_are_refused_to_evaluate_on(run, gray_folder, photos):
    (gray_folder / "broken.png").write_bytes(b"nothing")
    dataset = PhotoDataset([gray_folder], NETWORK, 64, 56, augment=False)
    with pytest.raises(loop.TrainingError, match=r"grays: every photo to evaluate on is gray"):
        loop.refuse_useless(dataset)
    loader = Loader(dataset, Order(len(dataset), 2))
    with pytest.raises(loop.TrainingError, match="every photo to evaluate on is gray"):
        loop.evaluate(run.trainer, loader)

    kept = PhotoDataset([gray_folder], NETWORK, 64, 56, augment=False, keep_gray=True)
    loop.refuse_useless(kept)  # they count
    figures = loop.evaluate(run.trainer, Loader(kept, Order(len(kept), 2)))
    assert figures["validation_loss"] > 1

    images.write(gray_folder / "z.png", photos["coffee"][:64, :64])
    mixed = PhotoDataset([gray_folder], NETWORK, 64, 56, augment=False)
    loop.refuse_useless(mixed)
    figures = loop.evaluate(run.trainer, Loader(mixed, Order(len(mixed), 2)))
    assert 0 < figures["validation_loss"] < 6


def test_photos_that_cannot_be_read_are_refused_to_evaluate_on(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    for network in (NETWORK, networks.get("regression", width=0.125)):
        with pytest.raises(loop.TrainingError, match=r"not one photo .* read: .*a\.jpg': trunc"):
            loop.refuse_useless(PhotoDataset([tmp_path], network, 64, 56, augment=False))


def test_other_networks_are_evaluated_on_gray_photos(gray_folder):
    network = networks.get("regression", width=0.125)
    loop.refuse_useless(PhotoDataset([gray_folder], network, 64, 56, augment=False))


@pytest.mark.parametrize("end", ["", runs.AVERAGE])
def test_a_best_that_was_measured_on_gray_photos_is_not_the_best_for_ever(run, end):
    figures = {"validation_loss": 0.0, "validation_loss" + end: 0.0}
    run.checkpoints.save(run.trainer, 1, step=3, **figures)
    figures = {"validation_loss": 4.0, "validation_loss" + end: 3.0}
    run.checkpoints.save(run.trainer, 2, step=6, **figures)
    run.checkpoints.wait()
    best = checkpoint.load_meta(run.checkpoints.path(runs.BEST))
    assert (best["step"], runs.score(best)) == (6, 3.0)
    for epoch, loss, kept in ((3, 3.5, 6), (4, 2.5, 12)):
        figures = {"validation_loss": 1.0, "validation_loss" + end: loss}
        run.checkpoints.save(run.trainer, epoch, step=3 * epoch, **figures)
        run.checkpoints.wait()
        assert checkpoint.load_meta(run.checkpoints.path(runs.BEST))["step"] == kept
