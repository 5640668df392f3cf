"""What commands do at their ends, whatever the streams that they print to."""

import os
import re
import signal
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest

from cic.colorize.work import colorize_files
from cic.photos import images
from cic.system.text import message_of
from helpers import ROOT

NAME = "Wölfe 狼 🐺 \udcff"
START = "import sys; from cic.system import console\n"
PRINTING = f"""
def main():
    name = {NAME!a}
    print(name)
    print(name, file=sys.stderr)
    from tqdm import tqdm
    tqdm.write(name)
    import subprocess
    command = "import sys; name = {ascii(NAME).replace(chr(92), 2 * chr(92))}; print(name)"
    subprocess.run([sys.executable, "-c", command], check=True)
    return 7
console.run(main)
"""


def start(code, *, shell=None, **environment):
    command = [sys.executable, "-c", START + code]
    if shell:
        command = ["sh", "-c", f'"$0" "$@" {shell}', *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, env=environment, capture_output=True, timeout=60)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1:strict", "cp437", "utf-8", None])
def test_no_encoding_ends_anything_here_or_in_processes_that_are_started(encoding):
    done = start(PRINTING, **({"PYTHONIOENCODING": encoding} if encoding else {}))
    assert done.returncode == 7, done.stderr
    codec = (encoding or "utf-8").partition(":")[0]
    shown = NAME.encode(codec, "backslashreplace")
    assert done.stdout.splitlines() == [shown] * 3
    assert done.stderr.splitlines() == [shown]


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_stream_that_is_closed_takes_all(closed):
    assert start(PRINTING, shell=closed).returncode == 7


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="of Linux")
@pytest.mark.parametrize("length", [1, 100_000])
def test_standard_output_that_is_full_is_one_line_and_status_1(length):
    done = start(f"console.run(lambda: print('x' * {length}))", shell=">/dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: ")
    assert done.stderr.endswith(b"No space left on device\n")
    assert done.stderr.count(b"\n") == 1


WORKING = """
def main():
    for name in ("one", "two"):
        print(name * 10_000, flush=True)
        print(name * 10_000, file=sys.stderr, flush=True)
        open({!r} + name, "w").close()
console.run(main)
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("end", [">/dev/full", "2>/dev/full", "| true", "2>&1 | true"])
def test_a_stream_that_takes_no_more_does_not_end_the_work(tmp_path, end, unbuffered):
    if "full" in end and not os.path.exists("/dev/full"):
        pytest.skip("of Linux")
    work = WORKING.format(f"{tmp_path}/")
    done = start(work, shell=end, PYTHONUNBUFFERED=unbuffered)
    assert sorted(os.listdir(tmp_path)) == ["one", "two"]
    assert done.returncode == (0 if "|" in end else 1)
    assert b"Traceback" not in done.stderr
    if end == ">/dev/full":
        assert done.stderr.endswith(b"error: standard output: No space left on device\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="of Linux")
def test_a_photo_that_a_full_disk_does_not_take_from_a_pipe_is_one_line():
    code = "from cic.system import pipes\ndef main():\n    with pipes.standard_output() as file:"
    done = start(f"{code} file.write(bytes(9))\nconsole.run(main)", shell=">/dev/full")
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert done.stderr.startswith(b"error: 'standard output': No space left on device")


def test_an_error_is_one_line_whatever_its_words():
    code = "from cic import Error\n" r"def main(): raise Error('a\nb\x1b[31m\udcff')"
    done = start(code + "\nconsole.run(main)")
    assert (done.returncode, done.stderr) == (1, b"error: a\\nb\\x1b[31m\\udcff\n")
    done = start("def main(): raise MemoryError\nconsole.run(main)")
    assert (done.returncode, done.stderr) == (1, b"error: MemoryError\n")


def test_a_kill_leaves_nothing_half_written(tmp_path):
    code = f"""
import os, signal
from cic.system.files import replacing
def main():
    with replacing({str(tmp_path / "out")!r}):
        print("begun", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
console.run(main)
"""
    done = start(code)
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stdout == b"begun\n"
    assert os.listdir(tmp_path) == []


ENDING = """
import atexit, threading, time
class Apart:
    def __del__(self):
        print("taken apart")
kept = Apart()
def main():
    atexit.register(print, "registered")
    {}
    return 3
"""


@pytest.mark.parametrize(
    ("work", "call", "is_taken_apart"),
    [
        ("pass", "console.run(main)", False),
        ("pass", "def start(): console.run(main)\nstart()", False),
        ("threading.Thread(target=time.sleep, args=[60], daemon=True).start()", None, False),
        ("raise KeyboardInterrupt", None, False),
        ("threading.Thread(target=time.sleep, args=[0.2]).start()", None, True),
        ("pass", "def script(): console.run(main)\nscript()", True),
    ],
)
def test_the_end_takes_nothing_apart_unless_somebody_goes_on(work, call, is_taken_apart):
    done = start(ENDING.format(work) + (call or "console.run(main)"))
    assert done.returncode == (130 if "Keyboard" in work else 3), done.stderr
    lines = done.stdout.decode().splitlines()
    assert "registered" in lines
    assert ("taken apart" in lines) == is_taken_apart


@pytest.mark.parametrize(
    ("words", "is_taken_apart"),
    [
        (["-m", "cic", "help"], False),
        (["-c", "import runpy; runpy.run_module('cic', run_name='__main__')", "help"], True),
    ],
)
def test_a_command_ends_at_once_where_python_started_it(tmp_path, words, is_taken_apart):
    hook = "class Apart:\n    def __del__(self): print('taken apart')\nkept = Apart()\n"
    (tmp_path / "usercustomize.py").write_text(hook)
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    env = {**os.environ, "PYTHONPATH": path, "PYTHONNOUSERSITE": ""}
    code = "import usercustomize\n"
    words = [words[0], code + words[1], *words[2:]] if words[0] == "-c" else words
    (tmp_path / "sitecustomize.py").write_text(code)
    done = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True)
    assert "cic help NAME" in done.stdout, done.stderr
    assert ("taken apart" in done.stdout) == is_taken_apart


def test_a_profiler_has_its_say_when_a_command_has_ended():
    command = [sys.executable, "-m", "cProfile", "-m", "cic", "help"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert "function calls" in done.stdout


def test_every_command_goes_through_run():
    ends = {
        path: re.search(r'__name__ == "__main__":\n(.*)', path.read_text(encoding="utf-8"))
        for folder in ("tools", "metric", "cic", "backends")
        for path in (ROOT / folder).rglob("*.py")
    }
    ends = {name: end[1].strip() for name, end in ends.items() if end}
    # The one that makes the environment imports nothing that is not there yet.
    assert ends.pop(ROOT / "tools" / "environment.py").startswith("if len(sys.argv)")
    assert len(ends) >= 16
    assert set(ends.values()) == {"console.run(main)"}


class Nervous:
    """A colorizer that fails in any way on photos of some widths."""

    ERRORS: ClassVar = {
        20: MemoryError(),
        21: RuntimeError("a kernel\nfailed"),
        22: UnicodeEncodeError("cp1252", "狼", 0, 1, "no such character"),
        23: RecursionError("too deep"),
        24: OSError(28, "No space left on device"),
        25: ZeroDivisionError("division by zero"),
    }

    def memory(self, width, height):
        return 0

    def painting(self, photo, hints=()):
        if photo.rgb.width in self.ERRORS:
            raise self.ERRORS[photo.rgb.width]
        return np.asarray(photo.rgb)


def test_nothing_about_one_photo_ends_the_others(tmp_path, photos, capsys):
    jobs = []
    for width in range(19, 27):
        name = str(tmp_path / f"{width}\n.png")
        images.write(name, np.ascontiguousarray(photos["coffee"][:30, :width]))
        jobs.append((name, str(tmp_path / "out" / f"{width}.png")))
    done, failed = colorize_files(Nervous(), jobs)
    assert [os.path.basename(target) for _, target in done] == ["19.png", "26.png"]
    assert failed == 6
    assert sorted(os.listdir(tmp_path / "out")) == ["19.png", "26.png"]
    lines = [line for line in capsys.readouterr().out.splitlines() if "failed: " in line]
    assert len(lines) == 6
    for line, (width, error) in zip(lines, Nervous.ERRORS.items()):
        assert rf"{width}\n.png" in line
        assert type(error).__name__ in line


def test_text_that_says_nothing_is_named_by_its_type():
    assert message_of(MemoryError()) == "MemoryError"
    assert message_of(ValueError("a\tb")) == r"a\tb"
