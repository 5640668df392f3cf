"""tools/gpu_check.py: every line runs small on the CPU, and fails where its subject does."""

import importlib
import json
import os
import sys
import time
from dataclasses import fields, replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from cic.commands import train
from cic.dataset.batches import PhotoDataset
from cic.system.errors import SettingError
from cic.training import checkup, recipes
from helpers import ROOT, started
from tools import gpu_check
from tools.checks import agreement, processes, speed, survival, together
from tools.checks.setting import PHOTOS, Setting, losses

pytestmark = pytest.mark.slow
SCRIPT = ROOT / "tools" / "gpu_check.py"


@pytest.fixture
def setting(backend, tmp_path):
    return Setting(backend, gpu_check.native(backend), "cpu", True, str(tmp_path))


def verdicts(check, setting):
    return [line.held for line in check(setting)]


# A process that trains takes seconds to start, and what a backend has of its own in these three
# checks, its launcher, test_distributed.py takes from them.
ONCE = {"torch": {"together"}, "paddle": {"signals", "scaling"}}


@pytest.mark.both
def test_all_holds_on_the_cpu(backend, tmp_path):
    command = [SCRIPT, "--backend", backend.NAME, "--device", "cpu", "--output", "check.json"]
    names = gpu_check.LINES.keys() - ONCE[backend.NAME]
    done = started.run(*command, *names, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith(" held, 0 failed")
    found = json.loads((tmp_path / "check.json").read_text())[backend.NAME]
    lines = {line["what"]: line for line in found["lines"]}
    assert len(lines) >= 20
    others = ("SIGTERM", "SIGUSR1") if "signals" in names else ("SIGKILL of one of two processes",)
    for name in ("an empty batch", *others):
        assert lines[name]["held"] is True
    assert "framework" in found["facts"]
    assert found["facts"]["TF32"] == "in float32 products off, convolutions off"


def test_without_a_gpu_nothing_is_run(backend, tmp_path):
    fresh = backend.NAME == "paddle"
    done = started.run(SCRIPT, "--backend", backend.NAME, cwd=tmp_path, fresh=fresh)
    assert done.returncode == 2
    assert f"{backend.NAME}: not run: no GPU" in done.stdout


def test_tf32_is_read_back(setting, monkeypatch):
    """Whatever was set before: a step sets what its precision wants."""
    module = importlib.import_module(f"backends.{setting.backend.NAME}.device")
    module.allow_tf32(True)
    assert setting.native.tf32() == (True, True)
    assert gpu_check.facts(setting)["TF32"] == "in float32 products off, convolutions off"
    monkeypatch.setattr(setting.native, "tf32", lambda: (False, True))
    assert gpu_check.facts(setting)["TF32"] == "in float32 products off, convolutions on"
    monkeypatch.setattr(Setting, "batch", lambda *_: 1 / 0)
    assert gpu_check.facts(setting)["TF32"] == "in float32 ZeroDivisionError"


def test_a_gpu_is_checked_as_a_run_uses_it(setting):
    """Its trainers make inputs and targets of crops; here a CPU does."""
    recipe = setting.recipe(2)
    ready = losses(setting.trainer(recipe), setting, 2, 3)
    on_gpu = Setting(setting.backend, setting.native, "gpu:0", True, setting.folder)
    assert on_gpu.batch(2).crops.shape == (2, 56, 56, 3)
    assert on_gpu.empty_batch().crops.shape == (0, 56, 56, 3)
    assert on_gpu.dataset(PHOTOS).sample(0)[0].dtype == np.uint8
    found = losses(on_gpu.trainer(recipe, device="cpu"), on_gpu, 2, 3)
    np.testing.assert_allclose(found, ready, rtol=1e-5)


def test_lines_hold_of_crops(setting, monkeypatch):
    monkeypatch.setattr(Setting, "leaves_targets", True)
    for check in (agreement.steps, agreement.targets, survival.empty, survival.resume, speed.run):
        assert False not in verdicts(check, setting), check


def test_an_output_that_differs_fails(setting, monkeypatch):
    forward, calls = setting.backend.forward, []

    def different(net, array):
        calls.append(1)
        return forward(net, array) * (1 + 1e-3 * (len(calls) % 2))

    assert all(verdicts(agreement.logits, setting))
    monkeypatch.setattr(setting.backend, "forward", different)
    assert not any(verdicts(agreement.logits, setting))


def test_targets_that_differ_fail(setting, monkeypatch):
    assert all(verdicts(agreement.targets, setting))
    made = setting.native.targets

    def different(*arguments):
        index, weight, inputs = made(*arguments)
        return index + 1, 1.001 * weight, inputs + 1e-3

    monkeypatch.setattr(setting.native, "targets", different)
    assert not any(verdicts(agreement.targets, setting))


@pytest.mark.parametrize("check", [agreement.steps, agreement.precisions])
def test_losses_that_part_fail(setting, monkeypatch, check):
    losses, calls = agreement.losses, []

    def drifting(*arguments):
        calls.append(1)
        return losses(*arguments) * (1 + 0.05 * len(calls))

    monkeypatch.setattr(agreement, "losses", drifting)
    held = [one for one in verdicts(check, setting) if one is not None]
    assert held[-1] is (setting.backend.NAME == "paddle" and check is agreement.precisions)


def test_a_layer_of_32_bits_fails(setting, monkeypatch):
    seen = [("Conv", 16), ("Sum", 32)]
    monkeypatch.setattr(Setting, "trainer", lambda *_, **__: None)
    monkeypatch.setattr(setting.native, "output_types", lambda *_: seen)
    lines = list(agreement.layers(setting))
    assert [(line.held, line.found) for line in lines] == 2 * [(False, "2 outputs, 32 bits: Sum")]


def test_a_precision_that_the_device_has_not_is_no_failure(setting, monkeypatch):
    def refuse(*_, **__):
        raise SettingError("not on this device")

    monkeypatch.setattr(Setting, "trainer", refuse)
    assert set(verdicts(agreement.layers, setting)) == {None}


def test_a_resumed_run_that_lost_something_fails(setting, monkeypatch):
    def forget(setting, recipe, first, second):
        weights, _ = first.state()
        second.load(weights, {})

    monkeypatch.setattr(survival, "_carry", forget)
    assert not any(verdicts(survival.resume, setting))


def test_an_empty_batch_that_changes_weights_fails(setting, monkeypatch):
    monkeypatch.setattr(Setting, "empty_batch", lambda self: self.batch(1))
    assert verdicts(survival.empty, setting) == [False]


def test_a_run_that_waits_for_photos_fails(setting, monkeypatch):
    monkeypatch.setattr(speed, "fed", lambda *_: (5.0, 0.3))
    monkeypatch.setattr(speed, "shards", lambda _: PHOTOS)
    large = Setting(setting.backend, setting.native, "cpu", False, setting.folder)
    assert verdicts(speed.run, large) == [None, False]


def test_the_photos_leave_a_core_to_the_trainer(setting, monkeypatch):
    monkeypatch.setattr(speed, "fed", lambda *_: (5.0, 0.0))
    for cores, workers in ((1, 1), (3, 2)):
        monkeypatch.setattr(speed.threads, "cores", lambda cores=cores: cores)
        assert next(speed.run(setting)).what.endswith(f", {workers} workers")


class Quick:
    """A trainer whose steps of one photo take no time."""

    ahead = 0

    def step(self, batch, lr):
        return 0.0, 1, False

    def begin(self, batch, lr):
        figures = self.step(batch, lr)
        return lambda: figures


def late(first, rest):
    """Batches that come so many seconds late: the first two, and all others."""
    for n in count():
        time.sleep(first if n < 2 else rest)
        yield n


def test_what_comes_before_the_steps_that_count_is_no_waiting():
    rate, waiting = speed.fed(Quick(), late(0.5, 0.01), 1e-3, 2, 0.5)
    assert rate == pytest.approx(100, rel=0.5)
    assert waiting > 0.9
    slow = Quick()
    slow.step = lambda batch, lr: (time.sleep(0.05), 1)
    rate, waiting = speed.fed(slow, late(0.5, 0), 1e-3, 2, 0.5)
    assert rate == pytest.approx(20, rel=0.5)
    assert waiting < 0.1


@pytest.mark.parametrize(("waits", "held"), [(0, True), (1, False), (None, None)])
def test_a_step_that_waits_for_the_gpu_fails(setting, monkeypatch, waits, held):
    """Here nothing counts them; of PyTorch's, test_waits.py says that there are none."""
    on_gpu = Setting(setting.backend, setting.native, "gpu:0", True, setting.folder)
    monkeypatch.setattr(Setting, "trainer", lambda self, recipe, _: Quick())
    monkeypatch.setattr(setting.native, "count_waits", lambda run: run() or waits)
    assert verdicts(speed.waits, on_gpu) == [held]


def test_photos_come_from_shards(setting):
    photos = setting.dataset(speed.shards(setting))
    assert len(photos) == 8
    assert all(".tar" in str(photo) for photo in photos.photos)


def test_what_is_too_large_is_too_large_for_every_gpu(setting, monkeypatch):
    asked = []
    monkeypatch.setattr(survival.processes, "status", lambda *given: asked.extend(given) or 1)
    said = "out of memory on gpu:0: accumulate 2"
    monkeypatch.setattr(survival.processes, "last_lines", lambda *_: [said])
    large = Setting(setting.backend, setting.native, "gpu:0", False, setting.folder)
    assert verdicts(survival.memory, large) == [True]
    args = vars(train.parser().parse_args(asked[0][2:]))
    settings = {f.name: args[f.name] for f in fields(recipes.Recipe) if args.get(f.name)}
    recipe = recipes.get(**settings | {"name": "full"})
    at_once = len(
        PhotoDataset(args["image_dir"], large.network, recipe.load_size, recipe.crop_size)
    )
    recipe = replace(recipe, batch_size=min(at_once, recipe.batch_size))
    needed = checkup.estimate(large.network, recipe, 1, args["precision"], "gpu:0")
    assert needed > 1e12
    assert (args["max_steps"], recipe.init) == (1, "plain")


def test_two_gpus_are_compared_with_one(setting, monkeypatch):
    """A run of two processes that is 1.5 times as fast, and starts in 10 s."""
    seen = []

    def run(command, folder):
        size = int(command[len(command) - command[::-1].index("--batch_size")])
        seen.append((size, command))
        times = {1: 10, 4: 14} if size == 40 else {1: 10, 4: 10 + 16 / 3}
        entries = [
            {"step": 100 * n, "loss": 1, "images_per_second": 100 * n * size / seconds}
            for n, seconds in times.items()
        ]
        os.makedirs(folder)
        Path(folder, "log.jsonl").write_text("\n".join(map(json.dumps, entries)))

    monkeypatch.setattr(together.processes, "finish", run)
    monkeypatch.setattr(together, "shards", lambda _: "shards")
    monkeypatch.setattr(setting.native, "gpus", lambda: 2)
    on_gpu = Setting(setting.backend, setting.native, "gpu:0", False, setting.folder)
    [line] = together.scaling(on_gpu)
    assert [size for size, _ in seen] == [40, 80]
    assert line.number == pytest.approx(1.5)
    assert "3000 photos/s of one, 4500 of two" in line.found
    monkeypatch.setattr(setting.native, "gpus", lambda: 1)
    [line] = together.scaling(on_gpu)
    assert line.found == "not run"


def let_fail(monkeypatch):
    """Let each process of a check say a line, one as PaddlePaddle's do in a file, and fail."""
    program = "import os, sys; os.mkdir('logs'); open('logs/workerlog.0', 'w').write('worker: no')"
    command = [sys.executable, "-c", f"{program}; sys.exit('no such kernel')"]
    for module in (survival, together):
        monkeypatch.setattr(module, "_command", lambda *_: command)


def test_what_a_process_says_that_fails_is_told(setting, monkeypatch):
    let_fail(monkeypatch)
    on_gpu = Setting(setting.backend, setting.native, "gpu:0", True, setting.folder)
    lines = [*survival.signals(setting), *survival.memory(on_gpu), *together._killed(setting)]
    assert len(lines) == 4
    for line in lines:
        assert line.held is False
        assert "no such kernel\n" in line.found
        assert "worker: no" in line.found
    with pytest.raises(ChildProcessError, match=r"(?s)ended with 1.*no such kernel.*worker: no"):
        list(together.together(setting))


def test_a_process_that_does_not_end_is_ended(setting, monkeypatch):
    monkeypatch.setattr(processes, "PATIENCE", 0.5)
    command = [sys.executable, "-c", "import time; time.sleep(1000)"]
    with pytest.raises(ChildProcessError, match=r"did not end in 0\.5 s"):
        processes.finish(command, setting.folder)


def test_a_line_that_raises_has_failed_and_hides_no_other(setting, monkeypatch, capsys):
    def fail(setting):
        yield agreement.at_most("first", 0, 1)
        raise RuntimeError("no such kernel")

    monkeypatch.setitem(gpu_check.LINES, "fail", fail)
    lines = gpu_check.checked("fail", setting)
    assert [line.held for line in lines] == [True, False]
    assert "FAILED  fail: RuntimeError: no such kernel" in capsys.readouterr().out


def test_nan_is_above_every_limit():
    assert agreement.at_most("loss", np.nan, 1).held is False
