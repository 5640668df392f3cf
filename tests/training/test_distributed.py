"""Training in several processes, started as a user starts it, by each framework's own launcher."""

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cic.training.runs import checkpoint_path
from cic.weights import checkpoint, reading
from helpers import ROOT, started, tiny
from tools.checks.together import LAUNCHERS

pytestmark = pytest.mark.slow

TRAIN = ROOT / "tools" / "train.py"
RANKS = ROOT / "tests" / "helpers" / "ranks.py"
SMALL = ("--option", "width=0.125", "--load_size", "64", "--crop_size", "56", "--no-check")
ALONE = os.environ | {"OMP_NUM_THREADS": "1"}  # as torchrun has it: sums round alike


def training(backend, photo_folder, model, *more, launched, script=TRAIN):
    """The command of a training run, without what launches it."""
    command = [script, "--image_dir", photo_folder, "--model_path", model, *SMALL]
    command += [] if launched else ["--backend", backend.NAME]
    command += ["--device", "cpu", "--batch_size", "4", "--loss_step", "1"]
    return [*command, "--num_workers", "0", *more]


@pytest.fixture
def start(backend, photo_folder, tmp_path):
    """Start a training run on the photo folder, in two processes or in one; the process."""

    def run(model, *more, launched=True, restarts=0):
        command = ["-m", *LAUNCHERS[backend.NAME]] if launched else []
        command += ["--max-restarts", restarts] if restarts else []
        command += training(backend, photo_folder, model, *more, launched=launched)
        return subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=ALONE,
        )

    return run


@pytest.fixture
def train(backend, photo_folder, tmp_path, monkeypatch):
    """Train on the photo folder in one process, or in two if the model's name is "two" or so asked.

    What it wrote. It is as what `start` starts, in a tenth of the time: see started.py, ranks.py.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(model, *more, ranks=False, **script):
        two = ranks or model == "two"
        command = [RANKS, backend.NAME] if two else []
        command += training(backend, photo_folder, model, *more, launched=two, **script)
        done = started.run(*command, cwd=tmp_path)
        return done.stderr + done.stdout

    return run


def finish(process, timeout=120):
    """What a process wrote until it ended."""
    return process.communicate(timeout=timeout)[0]


def figures_of(output):
    """The JSON objects in a run's output: one, whatever the number of processes."""
    [line] = [line for line in output.splitlines() if line.startswith("{")]
    return json.loads(line)


def log_of(folder, key):
    with open(folder / "log.jsonl", encoding="utf-8") as file:
        return [line[key] for line in map(json.loads, file) if key in line]


@pytest.mark.parametrize(("precision", "near"), [("float64", 1e-7), ("float32", 1e-3)])
def test_two_processes_train_as_one_does(train, photo_folder, tmp_path, precision, near):
    """Six photos in batches of four: the second of every epoch is uneven.

    That a launcher's processes make the same bits: the run that is killed, below.
    """
    more = ("--max_steps", 4, "--precision", precision, "--val_dir", photo_folder)
    more += ("--lr", 3e-5)
    one = figures_of(train("one", *more))
    two = figures_of(train("two", *more))
    assert two["validation_loss"] == pytest.approx(one["validation_loss"], rel=near)
    losses = [log_of(tmp_path / model, "loss") for model in ("one", "two")]
    assert len(losses[0]) == 4
    np.testing.assert_allclose(*losses, rtol=near)
    one, two = (reading.load_weights(checkpoint_path(tmp_path / m))[1] for m in ("one", "two"))
    if precision == "float32":  # Adam's first steps make rounding noise of biases, 0 at first
        one, two = ({"all": np.concatenate([a.ravel() for a in s.values()])} for s in (one, two))
    for name, array in one.items():
        distance = np.linalg.norm(two[name] - array) / np.linalg.norm(array)
        assert distance < near, name


def test_two_processes_train_on_top_of_an_encoder_as_one_does(train, photo_folder, tmp_path):
    """With everything at once; the weights that are compared are the averages."""
    more = ("--network", "tiny", "--option", "width=8", "--init", "plain", "--freeze", 1)
    more += ("--optimizer", "adamw", "--encoder_lr", 0.3, "--average", 0.9, "--clip_norm", 0.1)
    more += ("--lr", 1e-3, "--precision", "float64", "--max_steps", 5, "--val_dir", photo_folder)
    one, two = (figures_of(train(model, *more, script=tiny.__file__)) for model in ("one", "two"))
    for name in ("validation_loss", "validation_loss_average"):
        assert two[name] == pytest.approx(one[name], rel=1e-7), name
    one, two = (reading.load(checkpoint_path(tmp_path / m))[0] for m in ("one", "two"))
    assert one.keys() == two.keys()
    assert "optimizer/average/head.weight" in one
    assert "optimizer/moment1/stem.weight" not in one
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, atol=1e-7, err_msg=name)


def test_a_focal_loss_of_two_processes_is_that_of_one(train, photo_folder, tmp_path):
    """Its largest error and the sum of its mask are those of the whole batch.

    In the last batch of those to evaluate on, one process has no photo.
    """
    (photo_folder / "chelsea.webp").unlink()
    more = ("--recipe", "dlimage-focal", "--max_steps", 6, "--precision", "float64")
    more += ("--val_dir", photo_folder)
    losses = []
    for model in ("one", "two"):
        figures = figures_of(train(model, *more))
        losses.append(log_of(tmp_path / model, "loss"))
        assert figures["steps"] == 6
        losses[-1].append(figures["validation_loss"])
    np.testing.assert_allclose(*losses, rtol=1e-7)


def test_a_photo_that_only_one_process_has_and_one_that_none_can_read(
    train, photo_folder, tmp_path
):
    """Seven photos in batches of two: the last batch is one photo, then none at all."""
    (photo_folder / "broken.jpg").write_bytes(b"nothing")
    more = ("--batch_size", 2, "--max_steps", 8, "--precision", "float64")
    one, two = (figures_of(train(model, *more)) for model in ("one", "two"))
    assert one["skipped"] == two["skipped"] == 2
    np.testing.assert_allclose(*(log_of(tmp_path / m, "loss") for m in ("one", "two")), rtol=1e-7)


SICK = """
import os, runpy, sys
sys.path[0] = {root!r}
from backends.{name}.trainer import Trainer
own, calls = Trainer._loss, []

def sick(self, batch):
    total, count = own(self, batch)
    calls.append(1)
    rank = os.environ.get("RANK", os.environ.get("PADDLE_TRAINER_ID"))
    if len(calls) == 2 and rank in (None, "1"):
        total = total + (total * 0).sqrt()  # finite, its gradient is not
    return total, count

Trainer._loss = sick
sys.argv[0] = {train!r}
runpy.run_path({train!r}, run_name="__main__")
"""


def test_a_gradient_that_is_not_finite_in_one_process_is_skipped_in_both(train, backend, tmp_path):
    script = tmp_path / "sick.py"
    script.write_text(SICK.format(root=str(ROOT), name=backend.NAME, train=str(TRAIN)))
    more = ("--max_steps", 4, "--precision", "float64", "--lr", 3e-5)
    for model in ("one", "two"):
        figures = figures_of(train(model, *more, script=script))
        assert figures["skipped_steps"] == 1
        assert log_of(tmp_path / model, "skipped_steps") == [1]
    one, two = (reading.load(checkpoint_path(tmp_path / m))[0] for m in ("one", "two"))
    assert one["optimizer/steps"] == two["optimizer/steps"] == 3
    for name, array in one.items():
        distance = np.linalg.norm(two[name] - array)
        assert distance <= 1e-7 * np.linalg.norm(array), name


EAGER = """
import os, runpy, signal, sys
sys.path[0] = {root!r}
from backends.torch.trainer import Trainer
own, calls = Trainer.begin, []

def begin(self, *arguments):
    calls.append(1)
    if len(calls) == 4 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGTERM)
    return own(self, *arguments)

Trainer.begin, Trainer.ahead = begin, 2
sys.argv[0] = {train!r}
runpy.run_path({train!r}, run_name="__main__")
"""


def test_processes_that_are_ahead_of_their_figures_stop_after_the_same_step(
    train, backend, photo_folder, tmp_path
):
    """The first saves each step, before which it reads all: it knows of the stop before the other.

    It stops two steps after the signal, in an epoch of ten.
    """
    if backend.NAME == "paddle":
        pytest.skip("it is never ahead")
    for copy in range(1, 7):
        shutil.copytree(photo_folder, photo_folder / f"copy {copy}")
    script = tmp_path / "eager.py"
    script.write_text(EAGER.format(root=str(ROOT), train=str(TRAIN)))
    output = train("two", "--max_steps", 100, "--save_latest", 1, script=script)
    assert "stopped after step 6, saved" in output
    assert log_of(tmp_path / "two", "step") == list(range(1, 7))


MESSAGES = """
import json, os, sys
from importlib import import_module
sys.path[0] = {root!r}
sys.path.append(os.path.join({root!r}, "tests"))
import numpy as np
import backends
from cic.dataset.batches import Batch
from cic.networks.initialize import initialize
from cic.networks.layers import Conv, ReLU
from cic.networks.network import Network
from cic.training import recipes
from helpers import tiny

backend = backends.get({name!r}, trains=True)
backend.join(backend.resolve_device("cpu"))
messages = import_module("backends.{name}.distributed")
import_module("backends.{name}.gradients").SIZE = 10_000
calls = []

def counted(own):
    def call(*arguments, **options):
        calls.append(1)
        return own(*arguments, **options)

    return call

for name in ("all_reduce", "all_gather", "all_gather_into_tensor"):
    if hasattr(messages.distributed, name):
        setattr(messages.distributed, name, counted(getattr(messages.distributed, name)))
random = np.random.default_rng(0)
index, weight = random.integers(0, 313, (5, 5, 8, 8), np.int16), random.random((5, 5, 8, 8))
whole = Batch(random.normal(size=(5, 1, 32, 32)), (index, weight), np.arange(5))

def step(network, accumulate, batch):
    recipe = recipes.get("full", batch_size=6, accumulate=accumulate)
    trainer = backend.Trainer(network, recipe, initialize(network), "cpu", "float64")
    calls.clear()
    loss = trainer.step(batch, 1e-3)[0]
    count = len(calls)
    trainer.step(batch, 1e-3)
    assert len(calls) == 2 * count
    gradients = [p.grad.numpy().copy() for p in trainer.parameters.values()]
    return count, len(trainer.gradients.buckets), loss, gradients

layers = Conv("a", 1, 8, stride=2), ReLU(), Conv("b", 8, 16, stride=2), ReLU(), Conv("c", 16, 313)
plain = Network("plain", layers, {{}}, scale=50.0)
mine = whole.map(lambda array: array[backend.rank() :: 2])
found = {{"normed": step(tiny.tiny(), 1, mine)[:2], "parts": step(tiny.tiny(), 2, mine)[:2]}}
two = step(plain, 3, mine)
messages.world_size = lambda: 1
one = step(plain, 3, whole)
found |= {{"plain": two[:2], "one": one[:2], "loss": abs(two[2] / one[2] - 1)}}
found["apart"] = max(float(abs(a - b).max() / abs(b).max()) for a, b in zip(two[3], one[3]))
if backend.rank() == 0:
    print(json.dumps(found))
messages.world_size = lambda: 2
backend.leave()
"""


def test_a_step_sends_two_messages_a_batch_norm_one_a_bucket_and_two_of_numbers(
    backend, tmp_path, monkeypatch
):
    """Gradients go with the last part of a batch, and are those of all parts and processes.

    Where no batch norm needs to know how the photos are spread, one message less.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    script = tmp_path / "messages.py"
    script.write_text(MESSAGES.format(root=str(ROOT), name=backend.NAME))
    done = started.run(RANKS, backend.NAME, script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = figures_of(done.stdout)
    norms, buckets = 4, found["normed"][1]
    assert buckets > 1
    assert found["normed"][0] == 2 * norms + buckets + 2
    assert found["parts"] == [2 * 2 * norms + buckets + 2, buckets]
    assert found["plain"] == [found["plain"][1] + 1, found["plain"][1]]
    assert found["plain"][1] > 1
    assert found["one"] == [0, 0]
    assert max(found["loss"], found["apart"]) < 1e-7


MORE = {"torch": 140, "paddle": 60}  # operations


def test_a_process_among_others_makes_few_operations_more(backend, tmp_path, monkeypatch):
    """18 a batch norm and a few for all; of Paddle's, those that one process alone needs are off.

    Each is a kernel that a GPU starts, however small.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    script = ROOT / "tests" / "helpers" / "operations.py"
    done = started.run(RANKS, backend.NAME, script, backend.NAME, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = figures_of(done.stdout)
    assert 0 < found["two"] - found["one"] <= MORE[backend.NAME]


def wait_for_steps(folder, steps, process):
    """Wait until a run has logged so many steps."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if (folder / "log.jsonl").exists() and len(log_of(folder, "step")) >= steps:
            return
        time.sleep(0.1)
    raise AssertionError(finish(process))


def children(pid):
    """Process numbers of the children of a process, in the order of their start."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return sorted(map(int, file.read().split()))


def trainers(launcher):
    """Process numbers of the ranks that a launcher started."""

    def trains(pid):
        return b"train.py" in Path(f"/proc/{pid}/cmdline").read_bytes()

    return [pid for pid in children(launcher) if trains(pid)]


def test_a_run_whose_process_is_killed_goes_on_to_the_same_bits(start, train, backend, tmp_path):
    """torchrun starts all anew; Paddle's launcher does with etcd alone: here the same command."""
    more = ("--max_steps", 8, "--precision", "float64", "--save_latest", 3)
    more += ("--num_workers", 0, "--continue_train", "auto")
    restarts = int(backend.NAME == "torch")
    process = start("broken", *more, restarts=restarts)
    wait_for_steps(tmp_path / "broken", 4, process)
    os.kill(trainers(process.pid)[1], signal.SIGKILL)
    output = finish(process)  # within 120 seconds: the frameworks' own limit is 1800
    # Where the engine of the other process aborts on the lost connection before it is ended,
    # Paddle's launcher names that one: the first by number.
    said = {"torch": r"exitcode: -9\b.*local_rank: 1\b", "paddle": "rank [01] status failed"}
    assert re.search(said[backend.NAME], output), output
    if not restarts:
        assert process.returncode != 0
        output = train("broken", *more, ranks=True)
    assert figures_of(output)["steps"] == 8
    steps = log_of(tmp_path / "broken", "step")
    assert steps[0] == 1
    assert steps[-1] == 8
    train("two", *more)
    one, two = (reading.load(checkpoint_path(tmp_path / m))[0] for m in ("two", "broken"))
    assert one.keys() == two.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(two[name], array, name)


@pytest.fixture
def faulty(backend, photo_folder, tmp_path, monkeypatch):
    """Run training in two processes, with Python code that only the second executes first.

    A `launcher` starts them; without one they are as those of `train`.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(TRAIN.parent.parent))

    def run(code, *more, launcher=()):
        (tmp_path / "faulty.py").write_text(
            "import os, runpy, sys\n"
            "sys.argv = sys.argv[1:]\n"
            "rank = os.environ.get('RANK', os.environ.get('PADDLE_TRAINER_ID'))\n"
            f"if rank == '1': exec({code!r})\n"
            "runpy.run_path(sys.argv[0], run_name='__main__')\n"
        )
        command = [*(launcher or (RANKS, backend.NAME)), tmp_path / "faulty.py", TRAIN]
        command += ["--image_dir", "photos", "--model_path", "model", *SMALL, "--batch_size", 4]
        command += ["--max_steps", 8, "--num_workers", 0, "--device", "cpu", *more]
        return started.run(*command, cwd=tmp_path)

    return run


def test_what_ends_a_process_is_said_on_the_console(faulty, backend):
    code = (
        "def fail(*arguments):\n"
        "    raise OSError('the disk of this process is on fire')\n"
        "import cic.dataset.loader\n"
        "cic.dataset.loader.make_batch = fail\n"
    )
    run = faulty(code, launcher=("-m", *LAUNCHERS[backend.NAME]))
    assert run.returncode != 0
    assert "the disk of this process is on fire" in run.stdout + run.stderr


def differs(run, *of_processes):
    """Whether a run that failed says what differs: the process that ends first ends the other."""
    output = run.stdout + run.stderr
    return any(f"of this run have different {one}" in output for one in of_processes)


def test_processes_that_see_different_photos_do_not_begin(faulty, tmp_path, photo_folder):
    shutil.copytree(photo_folder, tmp_path / "others")
    (tmp_path / "others" / "chelsea.webp").unlink()
    run = faulty("sys.argv[sys.argv.index('photos')] = 'others'")
    assert run.returncode != 0
    assert differs(run, "photos: process 0 has 6 of", "photos: process 1 has 5 of")
    assert not (tmp_path / "model").exists()


def test_processes_that_go_on_from_different_checkpoints_do_not_begin(faulty, train, tmp_path):
    train("model", "--max_steps", 2)
    state, meta = reading.load(checkpoint_path(tmp_path / "model"))
    checkpoint.save(checkpoint_path(tmp_path / "other"), state, meta | {"step": 1})
    run = faulty("sys.argv[sys.argv.index('model')] = 'other'", "--continue_train")
    assert run.returncode != 0
    checkpoints = (f"checkpoints: process {rank} has one of step {2 - rank}" for rank in (0, 1))
    assert differs(run, *checkpoints)
    assert len(log_of(tmp_path / "model", "loss")) == 2


def test_the_first_process_alone_reads_a_checkpoint_and_makes_first_weights(
    faulty, train, tmp_path
):
    train("model", "--max_steps", 2)
    run = faulty(
        "import cic.training.session, cic.training.runs\n"
        "cic.training.session.first_state = cic.training.runs.reading = None\n",
        *("--continue_train", "--max_steps", 4, "--loss_step", 1),
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert log_of(tmp_path / "model", "step") == [1, 2, 3, 4]
    meta = checkpoint.load_meta(checkpoint_path(tmp_path / "model"))
    assert meta["provenance"]["processes"] == 2
    assert meta["provenance"]["device"]["gpu"] is None


def test_a_sum_that_fails_names_its_reason_and_want_of_memory_itself(backend, monkeypatch):
    module = importlib.import_module(f"backends.{backend.NAME}.distributed")
    monkeypatch.setattr(module, "GRACE", 0)
    monkeypatch.setattr(module, "world_size", lambda: 2)

    def fail_with(error):
        def fail(*_, **__):
            raise error

        monkeypatch.setattr(module.distributed, "all_reduce", fail)

    nccl = "NCCL error in: x.cpp:1\nncclSystemError: y\nLast error:\nno space in /dev/shm\n"
    said_by_nccl = "NCCL error in: x.cpp:1: no space in /dev/shm"
    for reason, said in (("", "RuntimeError"), ("\nlost\n", "lost"), (nccl, said_by_nccl)):
        fail_with(RuntimeError(reason))
        with pytest.raises(ConnectionError, match=f"has ended: {said}$"):
            module.sum_(None)
    fail_with(RuntimeError("CUDA out of memory"))
    with pytest.raises(RuntimeError, match=r"^CUDA out of memory$"):
        module.sum_(None)


@pytest.mark.parametrize(
    ("kind", "failed", "ends"), [("nccl", True, 0), ("gloo", True, 1), ("nccl", False, 1)]
)
def test_a_process_that_fails_does_not_wait_for_the_others(
    backend, monkeypatch, kind, failed, ends
):
    """Leaving NCCL waits for messages that will not come, and what is wrong would not be shown."""
    module, left = importlib.import_module(f"backends.{backend.NAME}.distributed"), []
    monkeypatch.setattr(module.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(module.distributed, "get_backend", lambda: kind)
    monkeypatch.setattr(module.distributed, "destroy_process_group", lambda: left.append(1))
    module.leave(failed)
    assert len(left) == ends


def test_ctrl_c_stops_all_processes_and_the_run_goes_on_in_one(start, train, backend, tmp_path):
    process = start("model", "--max_steps", 100_000, "--precision", "float64", "--num_workers", 1)
    wait_for_steps(tmp_path / "model", 3, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output = finish(process)
    assert process.returncode != 0
    if backend.NAME == "paddle":  # its launcher leaves the console at once
        output = (tmp_path / "logs" / "workerlog.0").read_text(encoding="utf-8")
    assert "continue_train goes on" in output
    _, meta = reading.load(checkpoint_path(tmp_path / "model"))
    more = ("--precision", "float64", "--continue_train", "--max_steps", meta["step"] + 2)
    assert figures_of(train("model", *more))["steps"] == meta["step"] + 2
    steps = log_of(tmp_path / "model", "step")
    assert steps == list(range(1, meta["step"] + 3))


def test_a_scheduler_that_ends_all_processes_at_once_lets_them_save(start, backend, tmp_path):
    """A batch system sends a signal to the ranks and their workers alike: here to these first."""
    number = {"torch": signal.SIGTERM, "paddle": signal.SIGUSR1}[backend.NAME]
    process = start("model", "--max_steps", 100_000, "--num_workers", 1, launched=False)
    wait_for_steps(tmp_path / "model", 3, process)
    for worker in children(process.pid):
        os.kill(worker, number)
    wait_for_steps(tmp_path / "model", 9, process)
    os.killpg(process.pid, number)
    output = finish(process)
    assert process.returncode == 128 + number
    assert "continue_train goes on" in output
    assert checkpoint.load_meta(checkpoint_path(tmp_path / "model"))["step"] >= 3


def test_copies_that_srun_or_mpirun_starts_train_together(backend, photo_folder, tmp_path, train):
    number, name, count, more = {
        "torch": ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS", {"SLURM_STEP_ID": "0"}),
        "paddle": (
            "OMPI_COMM_WORLD_RANK",
            "OMPI_COMM_WORLD_LOCAL_RANK",
            "OMPI_COMM_WORLD_SIZE",
            {"OMPI_COMM_WORLD_LOCAL_SIZE": "2"},
        ),
    }[backend.NAME]
    more |= {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_NODELIST": "localhost", count: "2"}
    settings = ("--max_steps", 2, "--precision", "float64", "--lr", 3e-5)
    copies = [more | {number: str(rank), name: str(rank)} for rank in range(2)]
    command = training(backend, photo_folder, "two", *settings, launched=False)
    done = started.run(RANKS, json.dumps(copies), *command, cwd=tmp_path)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "in 2 processes" in output, output
    figures_of(output)  # of one alone
    train("one", *settings)
    losses = [log_of(tmp_path / model, "loss") for model in ("one", "two")]
    np.testing.assert_allclose(*losses, rtol=1e-7)


def test_the_other_frameworks_launcher_is_refused(backend, photo_folder, tmp_path):
    other = {"torch": "paddle", "paddle": "torch"}[backend.NAME]
    command = training(backend, photo_folder, "model", "--backend", other, launched=True)
    done = started.run(RANKS, backend.NAME, *command, cwd=tmp_path)
    assert done.returncode != 0
    said = rf"^error: .*started by the launcher of {backend.NAME}"
    assert re.search(said, done.stdout + done.stderr, re.MULTILINE)
