"""What a newcomer meets: the help of every tool, `make demo`, and what mends what is missing."""

import os
import re
import runpy
import shutil
import subprocess
import sys

import pytest

from cic.system import console, invocation
from helpers import ROOT

pytestmark = pytest.mark.slow

ENVIRONMENT = ROOT / "tools" / "environment.py"
LAUNCHED = {ROOT / "tools" / f"{name}.py" for name in invocation.TOOLS.values()}
COMMANDS = [
    *sorted((ROOT / "cic" / "commands").glob("[!_]*.py")),
    *sorted(set((ROOT / "tools").glob("*.py")) - LAUNCHED),
]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_help_begins_with_three_examples(path):
    text = path.read_text(encoding="utf-8")
    start, examples = text.partition('"""')[2].split("\n\n")[:2]
    assert "\n" not in start
    lines = [line for line in examples.split("\n") if not line.startswith(" ")]
    name = (
        f"cic {path.stem}" if path.parent.name == "commands" else rf"python[\d.]* tools/{path.name}"
    )
    assert sum(bool(re.match(f"{name} ?", line)) for line in lines) >= 3
    assert len(lines) == len(set(lines))


def test_help_shows_examples_before_flags():
    parser = console.parser("Do it.\n\npython tools/it.py\n\nMore.\n")
    parser.add_argument("--flag")
    for _ in range(2):
        shown = parser.format_help()
        assert shown.startswith("Do it.\n\npython tools/it.py\n\nMore.\n\nusage: ")
        assert shown.count("Do it.") == 1
        assert "--flag" in shown


def environment(cwd, *, requirement="paddlepaddle==3.3.1", **variables):
    command = [sys.executable, ENVIRONMENT, "env", requirement]
    return subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_missing_module_is_one_line_with_the_command_that_mends_it(tmp_path, module):
    (tmp_path / f"{module}.py").write_text("raise ImportError")
    done = environment(tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == (
        "error: Python's module venv is missing: sudo apt-get install python3-venv\n"
    )
    plan, sizes = done.stdout.splitlines()
    assert plan == "installs paddlepaddle==3.3.1 and what it needs into env, once:"
    assert re.fullmatch(r"about [\d.]+ GB to download, [\d.]+ GB of disk, .*", sizes)
    assert not (tmp_path / "env").exists()


def test_too_little_disk_and_too_old_a_python_are_told_before_anything(monkeypatch):
    tool = runpy.run_path(str(ENVIRONMENT))
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5e8))
    assert tool["obstacle"](1.3) == "0.5 GB of disk are free in ., 1.3 are needed: make room"
    assert tool["obstacle"](0.4) is None
    monkeypatch.setattr(sys, "version_info", (3, 8, 1))
    assert "Python 3.8 is too old, 3.10" in tool["obstacle"](0.4)
    assert "make demo PYTHON=" in tool["obstacle"](0.4)


@pytest.mark.parametrize(
    ("said", "mended"),
    [
        ("The virtual environment was not created because ensurepip is not available", "venv"),
        ("/usr/bin/python3: No module named venv", "python3-venv"),
        ("Error: Command '[... '-m', 'ensurepip']' returned non-zero", "last lines above"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("[Errno 13] Permission denied: '/opt/cic/.venv-demo'", "git clone"),
        ("OSError: [Errno 30] Read-only file system: '.venv-demo'", "git clone"),
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError(... Failed to "
            "establish a new connection: [Errno -3] Temporary failure in name resolution')\n"
            "ERROR: No matching distribution found for paddlepaddle==3.3.1",
            "HTTPS_PROXY=",
        ),
        ("ProxyError('Cannot connect to proxy.', OSError('Tunnel'))", "HTTPS_PROXY="),
        ("ConnectTimeoutError(<HTTPSConnection>, 'Connection timed out.')", "HTTPS_PROXY="),
        ("error: command 'gcc' failed: No such file or directory", "build-essential"),
        ("fatal error: Python.h: No such file or directory", "python3-dev"),
        ("ERROR: Could not find a version that satisfies the requirement x", "PYTHON=python3"),
        ("something else", "the last lines above say why"),
    ],
)
def test_what_fails_is_mended_by_one_command(said, mended):
    assert mended in runpy.run_path(str(ENVIRONMENT))["mend"](said)


def test_without_a_network_each_step_is_told_and_the_failure_is_mended(tmp_path):
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    done = environment(tmp_path, PIP_NO_INDEX="1")
    assert done.returncode == 1
    assert done.stdout.splitlines()[2] == "1 of 2: an environment in env"
    assert "2 of 2: paddlepaddle==3.3.1 and the rest, by pip" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: there is no build for this Python")


@pytest.mark.skipif(not shutil.which("make"), reason="no make here")
def test_make_demo_without_python_or_with_another_backend_says_what_to_do(tmp_path):
    for name in ("Makefile", "setup.cfg"):
        shutil.copy(ROOT / name, tmp_path)

    def make(*variables):
        command = ["make", "demo", *variables]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    done = make("PYTHON=python-of-nobody")
    assert done.returncode
    assert "error: there is no python-of-nobody: sudo apt-get install" in done.stderr
    done = make("BACKEND=jax")
    assert done.returncode
    assert "BACKEND is onnx, torch or paddle, not jax" in done.stderr
