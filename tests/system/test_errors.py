"""What a user sees in one line, what keeps its traceback, and the status of a command."""

import ast
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest

import cic
from cic.colorize.colorizer import NotFinite
from cic.colorize.work import colorize_files
from cic.dataset import shrunk, validity
from cic.photos import images
from cic.photos.damage import PhotoError, Unsupported, failed_on
from cic.photos.sources import PhotoList
from cic.system import defects, errors
from cic.system.locks import LockedError
from cic.system.parallel import Pool
from cic.training.log import TrainingError
from cic.weights.checkpoint import CheckpointError
from cic.weights.download import DownloadError
from helpers import ROOT

CLASSES = {
    errors.SettingError: ValueError,
    errors.InputError: ValueError,
    errors.FileError: OSError,
    errors.MissingError: ImportError,
    errors.ProcessError: ConnectionError,
    PhotoError: ValueError,
    NotFinite: PhotoError,
    Unsupported: ValueError,
    CheckpointError: ValueError,
    TrainingError: ValueError,
    DownloadError: OSError,
    LockedError: OSError,
}
# Refused never leaves cic.weights.files: its reason becomes a CheckpointError. Stopped never leaves
# the threads of cic.system.pipeline; TimedOut, Lost and Problem become answers of cic.serve.
INTERNAL = {"Refused", "Stopped", "TimedOut", "Lost", "Problem"}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_is_an_error_and_what_it_was_before(kind):
    assert issubclass(kind, cic.Error)
    assert issubclass(kind, CLASSES[kind])
    error = kind("a.jpg: damaged")
    assert str(error) == "a.jpg: damaged"
    assert errors.is_expected(error)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (kind, str(error))
    assert error.status == (2 if kind is errors.SettingError else 1)


def test_no_exception_of_this_program_stands_beside_error():
    known = {kind.__name__ for kind in CLASSES} | {"Error"} | INTERNAL
    for folder in ("cic", "backends", "metric", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
                    raised = any(base.endswith(("Error", "Exception")) for base in bases)
                    is_known = node.name in known or known.intersection(bases)
                    assert is_known or not raised, f"{path}: {node.name}"


def test_the_kind_of_a_photo_error_comes_through_to_another_process():
    assert pickle.loads(pickle.dumps(PhotoError("x", "damaged"))).kind == "damaged"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FileNotFoundError(2, "No such file", "a.jpg"), True),
        (OSError(28, "No space left on device"), True),
        (BrokenPipeError(32, "Broken pipe"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("a kernel failed"), False),
        (OSError("of nothing"), False),
        (ValueError("shapes (3,) and (4,)"), False),
        (KeyError("x"), False),
        (ImportError("cannot import name"), False),
    ],
    ids=repr,
)
def test_what_is_the_users_or_the_machines(error, expected):
    assert errors.is_expected(error) == expected


def start(code, **more):
    code = f"import cic\nfrom cic.system import console\n{code}\nconsole.run(main)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, **more
    )


# A signal while a library in C is imported, which makes an ImportError of what the signal raises.
SWALLOWED = """import os, signal
    try:
        os.kill(os.getpid(), signal.{})
        signal.pause()
    except BaseException:
        pass
    raise ImportError("initialization failed")"""


@pytest.mark.parametrize(
    ("statement", "status", "line"),
    [
        ("return 0", 0, ""),
        ("return 1", 1, ""),
        ("raise cic.Error('a: b')", 1, "error: a: b\n"),
        ("from cic import networks; networks.get('none')", 2, "error: no network is called "),
        ("open('/none/at all')", 1, "error: '/none/at all': No such file or directory\n"),
        (
            "raise OSError(28, 'No space left on device', 'a')",
            1,
            "error: 'a': No space left on device: make room, and run the same command again\n",
        ),
        ("raise KeyboardInterrupt", 130, "stopped by the keyboard\n"),
        (SWALLOWED.format("SIGINT"), 130, "stopped by the keyboard\n"),
        (SWALLOWED.format("SIGTERM"), 143, ""),
    ],
)
def test_a_status_says_how_it_went(statement, status, line):
    done = start(f"def main():\n    {statement}")
    assert done.returncode == status
    assert done.stderr.startswith(line)
    assert len(done.stderr.splitlines()) == bool(line)


@pytest.mark.parametrize(
    "raising",
    ["raise ValueError('shapes (3,) and (4,)\\x1b[31m')", "{}['shapes']", "None.shapes()"],
)
def test_a_defect_keeps_its_traceback_and_says_how_to_report_it(raising):
    done = start(f"import numpy\ndef main():\n    {raising}")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert "shapes" in done.stderr
    assert "\x1b" not in done.stderr
    assert "error: " not in done.stderr
    *_, how, rest, facts = done.stderr.splitlines()
    assert "a defect of the program, not a mistake of yours" in how
    assert "issue tracker" in how + rest
    version = ".".join(map(str, sys.version_info[:3]))
    for fact in (f"cic {cic.__version__}", f"Python {version}", f"numpy {np.__version__}"):
        assert fact in facts
    assert sys.platform.capitalize()[:5] in facts
    assert "torch" not in facts  # it is not imported


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        (("estimate_prior", "--image_dir", "in", "--output", "p.npy"), 0, ""),
        (("estimate_prior", "--image_dir", "in", "bad", "--output", "p.npy"), 1, ""),
        (("estimate_prior", "--image_dir", "nowhere", "--output", "p.npy"), 1, "nowhere"),
        (("estimate_prior", "--output", "p.npy"), 2, "nothing to count"),
        (("estimate_prior", "--image_dir", "in"), 2, "--output"),
        (("get_invalid_images", "--image_dir", "in"), 0, ""),
        (("get_invalid_images", "--image_dir", "in", "--max_pixels", "9"), 1, ""),
        (("get_invalid_images", "--image_dir", "in", "--output", "r.txt"), 2, "a .sh file"),
        (("train", "--image_dir", "in", "--lr", "-1"), 2, "lr is -1"),
        (("train", "--image_dir", "nowhere", "--recipe", "compact"), 1, "nowhere"),
        (("train", "--help"), 0, ""),
    ],
)
def test_statuses_of_commands(photos, tmp_path, arguments, status, named):
    images.write(tmp_path / "in" / "a.png", photos["coffee"][:90, :120])
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "b.jpg").write_bytes(b"no photo")
    name, *flags = arguments
    command = [sys.executable, ROOT / "tools" / f"{name}.py", *flags]
    command += [] if name == "train" else ["--num_workers", "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == status, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_is_130_and_leaves_nothing(photos, tmp_path):
    images.write(tmp_path / "in" / "0.png", photos["coffee"])
    for number in range(1, 3000):  # more than are read before the signal comes
        os.link(tmp_path / "in" / "0.png", tmp_path / "in" / f"{number}.png")
    command = [sys.executable, ROOT / "tools" / "get_invalid_images.py", "--image_dir", "in"]
    process = subprocess.Popen(
        [*command, "--num_workers", "0"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr.read(1)  # of the progress bar
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130
    assert told.endswith("stopped by the keyboard\n")
    assert os.listdir(tmp_path) == ["in"]


class Broken:
    """A colorizer with a defect that photos of some widths bring out."""

    def memory(self, width, height):
        return 0

    def painting(self, photo, hints=()):
        if photo.rgb.width > 20:
            raise ZeroDivisionError("of a defect")
        return np.asarray(photo.rgb)


@pytest.fixture
def forgotten():
    """Nothing is noted before, and nothing stays."""
    defects.take()
    yield
    defects.take()


@pytest.mark.usefixtures("forgotten")
def test_a_defect_of_one_photo_is_a_line_and_its_traceback_comes_at_the_end(
    photos, tmp_path, capsys
):
    jobs = []
    for width in (20, 21, 22):
        images.write(tmp_path / f"{width}.png", np.ascontiguousarray(photos["coffee"][:9, :width]))
        jobs.append((str(tmp_path / f"{width}.png"), str(tmp_path / "out" / f"{width}.png")))
    done, failed = colorize_files(Broken(), jobs)
    assert (len(done), failed) == (1, 2)
    shown = capsys.readouterr()
    lines = [line for line in shown.out.splitlines() if line.startswith("failed: ")]
    for width, line in zip((21, 22), lines, strict=True):
        assert f"{width}.png': a defect of this program: ZeroDivisionError: of a defect (" in line
        assert "test_errors.py, line " in line
    assert "Traceback" not in shown.out + shown.err
    assert defects.show()
    shown = capsys.readouterr().err
    assert shown.count("Traceback") == 1  # one place, however many photos
    assert "in painting" in shown
    assert defects.HOW in shown
    assert not defects.show()


def explode(number):
    if number % 2:
        return failed_on(f"{number}.jpg", KeyError("missing"))
    try:
        return [][number]
    except IndexError as error:
        return failed_on(f"{number}.jpg", error)


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("workers", [0, 1])
def test_defects_in_workers_are_told_by_the_main_process(workers, capsys):
    with Pool(workers, explode) as pool:
        lines = list(pool.map(range(4), chunk=2))
    assert lines[0].startswith("'0.jpg': a defect of this program: IndexError: ")
    assert lines[1] == "'1.jpg': a defect of this program: KeyError: 'missing' (?)"
    assert defects.show()
    shown = capsys.readouterr().err
    assert "in explode" in shown
    assert shown.count("IndexError: ") == shown.count("KeyError: ") == 1


@pytest.mark.usefixtures("forgotten")
def test_a_defect_of_one_photo_does_not_end_preparing_or_judging(photos, tmp_path, monkeypatch):
    images.write(tmp_path / "a.png", photos["coffee"][:60, :80])
    monkeypatch.setattr(validity, "judge", lambda rgb: 1 / 0)
    finding = validity.examine(tmp_path / "a.png")
    assert finding.kind == validity.REFUSED
    assert "a.png': a defect of this program: ZeroDivisionError" in finding.reason

    def broken(*_):
        raise KeyError("x")

    monkeypatch.setattr(shrunk, "encode", broken)
    made = shrunk.make(shrunk.Job(PhotoList([str(tmp_path)]), 64, 90, None), 0)
    assert "a.png': a defect of this program: KeyError" in made.failure
    assert made.data is None


def test_a_command_with_a_noted_defect_ends_with_1():
    code = "from cic.system import defects\ndef main():\n    print(defects.note(KeyError('x')))"
    done = start(code)
    assert done.returncode == 1
    assert "KeyError: 'x'" in done.stderr
    assert "issue tracker" in done.stderr
