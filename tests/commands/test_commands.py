"""`cic NAME`, `python -m cic`, tools and modules of metric: one help, whoever starts a command."""

import configparser
import importlib
import os
import platform
import re
import subprocess
import sys

import numpy as np
import PIL
import pytest

import backends
import cic
from cic import __main__ as program
from cic import commands
from cic.system import invocation, packages
from cic.system.progress import Event, tell, told
from helpers import ROOT

INSTALLED, MODULE = "/usr/bin/cic", "/somewhere/cic/__main__.py"


def launcher(name):
    """The file that starts a command in a clone."""
    tool = name in invocation.TOOLS
    return f"tools/{invocation.TOOLS[name]}.py" if tool else f"metric/{name}.py"


def helped(name, monkeypatch, started):
    monkeypatch.setattr(sys, "argv", [started])
    return importlib.import_module(f"cic.commands.{name}").parser().format_help()


def start(*command, cwd=ROOT, **variables):
    path = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", commands.NAMES)
def test_however_a_command_is_started_its_help_is_the_same_apart_from_the_names(name, monkeypatch):
    shown = helped(name, monkeypatch, INSTALLED)
    assert re.search(rf"^usage: cic {name} ", shown, re.M)
    assert "tools/" not in shown
    assert "metric." not in shown
    assert helped(name, monkeypatch, MODULE) == shown
    for path in (launcher(name), str(ROOT / launcher(name))):
        cloned = helped(name, monkeypatch, path)
        begin = f"tools/{invocation.TOOLS[name]}.py" if name in invocation.TOOLS else None
        usage = begin or f"python -m metric.{name}"
        assert re.search(rf"^usage: {re.escape(usage)} ", cloned, re.M)
        assert cloned.count(f"\n{'python ' if begin else ''}{usage} ") >= 3  # examples
        assert not re.search(invocation._COMMAND, cloned)
        for command in commands.NAMES:
            for spelled in (
                *(f"{before}metric.{command}" for before in ("python -m ", "")),
                *(f"{b}tools/{invocation.TOOLS.get(command, '?')}.py" for b in ("python ", "")),
            ):
                cloned = re.sub(rf"{re.escape(spelled)}(?!\w)", f"cic {command}", cloned)
        assert cloned.split() == shown.split()


def test_every_command_has_a_parser_and_a_main():
    for name in commands.NAMES:
        module = importlib.import_module(f"cic.commands.{name}")
        with pytest.raises(SystemExit) as stopped:
            module.main(["--no-such-flag"])
        assert stopped.value.code == 2


def test_the_list_has_every_command_by_what_people_do(capsys):
    with pytest.raises(SystemExit) as stopped:
        program.main(["--help"])
    assert not stopped.value.code
    shown = capsys.readouterr().out
    assert program.main(["help"]) == 0
    assert capsys.readouterr().out == shown
    assert program.main([]) == 2
    assert capsys.readouterr().out == shown
    for title, group in commands.GROUPS.items():
        part = shown.partition(f"\n{title}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in part.splitlines()] == list(group)
    assert "register-python-argcomplete" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_the_versions_that_a_report_needs_without_importing_a_framework():
    run = start("-X", "importtime", "-m", "cic", "--version")
    first, second = run.stdout.splitlines()
    assert (run.returncode, first) == (0, f"cic {cic.__version__}")
    python, system, *others = second.split(", ")
    assert python == f"Python {platform.python_version()}"
    assert system == platform.platform()
    assert f"numpy {np.__version__}" in others
    assert f"pillow {PIL.__version__}" in others
    for name in backends.available(trains=True):
        package = {"paddle": "paddlepaddle"}.get(name, name)
        assert any(other.startswith(package) for other in others)
    imported = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
    assert "platform" in imported
    assert not imported & {"torch", "paddle", "onnxruntime", "av"}


def test_a_package_that_is_not_there_has_no_version(monkeypatch):
    monkeypatch.setattr(packages, "_TOLD", ("no-such-package", "numpy"))
    assert [*packages.installed()] == [f"numpy {np.__version__}"]


def test_the_help_of_one(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [INSTALLED])
    assert program.main(["help", "port"]) == 0
    assert capsys.readouterr().out == helped("port", monkeypatch, INSTALLED)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("trian", "did you mean train?"),
        ("colourise", "did you mean colorize?"),
        ("prepare_photos", "did you mean prepare?"),
        ("get_invalid_images.py", "did you mean invalid?"),
        ("xyzzy", "`cic --help` lists them"),
    ],
)
def test_a_command_that_there_is_not_is_told_with_the_closest(capsys, name, hint):
    for argv in ([name], ["help", name]):
        with pytest.raises(SystemExit) as stopped:
            program.main(argv)
        assert stopped.value.code == 2
        assert f"no command is called {name!r}: {hint}\n" in capsys.readouterr().err


def test_a_start_imports_nothing_that_is_not_needed():
    """The list alone needs no command; a command no other; none a framework."""
    code = "import sys, time; begin = time.process_time(); import cic; t = time.process_time()\n"
    code += "bare = set(sys.modules); from cic.__main__ import main; main(['help'])\n"
    code += "listed = set(sys.modules); main(['help', 'release'])\n"
    code += "print(t - begin, *bare); print(*listed); print(*sys.modules)"
    run = start("-c", code)
    assert run.returncode == 0, run.stderr
    bare, listed, helped = (line.split() for line in run.stdout.splitlines()[-3:])
    assert float(bare.pop(0)) < 0.15
    assert not {"numpy", "PIL", "matplotlib", "torch", "paddle", "onnxruntime"} & set(bare)
    assert not {"numpy", "matplotlib", "torch", "paddle", "onnxruntime", "backends"} & set(listed)
    assert not {name for name in listed if name.startswith("cic.commands.")}
    assert "importlib.metadata" not in listed
    assert not {"matplotlib", "torch", "paddle", "onnxruntime"} & set(helped)
    assert [n for n in helped if n.startswith("cic.commands.")] == ["cic.commands.release"]


@pytest.mark.slow
def test_python_m_cic_and_the_files_of_a_clone_start_the_same(tmp_path):
    for command in (
        ("-m", "cic", "plot", "nowhere", "-o", "x.png"),
        (ROOT / "tools" / "plot_log.py", "nowhere", "-o", "x.png"),
    ):
        run = start(*command, cwd=tmp_path)
        assert run.returncode == 1
        assert run.stderr == "error: no run to draw\n"
        assert "nowhere" in run.stdout
    for name in invocation.MODULES:
        run = start("-m", f"metric.{name}")
        assert run.returncode == 2
        assert run.stderr.startswith(f"python -m metric.{name}: error: ")
        assert run.stderr.endswith(f" (see python -m metric.{name} --help)\n")
    run = start("-m", "cic", "train", "--image_dir", "nowhere", cwd=tmp_path)
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--temprature 1", "unrecognized arguments: --temprature: did you mean --temperature?"),
        ("--edges guide", "argument --edges: invalid choice: 'guide': did you mean guided?"),
        ("--backend tf", "'tf' (choose from 'torch', 'paddle', 'onnx') (see cic colorize --help)"),
        ("--edges zzz", "'zzz' (choose from 'guided', 'bilinear') (see cic colorize --help)"),
        ("--size", "argument --size: expected one argument (see cic colorize --help)"),
    ],
)
def test_a_wrong_call_is_one_line_that_says_what_may_be_meant(capsys, arguments, said):
    with pytest.raises(SystemExit) as stopped:
        program.main(["colorize", "in", *arguments.split()])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cic colorize: error: ")
    assert line.endswith(said)


def test_the_console_script_is_that_of_the_package():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["metadata"]["name"] == "cic-colorization"
    (script,) = setup["options.entry_points"]["console_scripts"].split("\n")[1:]
    assert script == "cic = cic.__main__:start"
    assert callable(program.start)


def test_messages_name_commands_as_they_were_started(monkeypatch):
    for started, shown in (
        (INSTALLED, ("cic invalid", "cic auc", "cic train")),
        ("tools/train.py", ("tools/get_invalid_images.py", "metric.auc", "python tools/train.py")),
        (ROOT / "metric" / "acc.py", ("tools/get_invalid_images.py", "metric.auc", None)),
        ("/my/own/tools/program.py", ("cic invalid", "cic auc", "cic train")),
    ):
        monkeypatch.setattr(sys, "argv", [str(started)])
        invalid, auc, train = shown
        assert invocation.named("invalid") == invalid
        assert invocation.named("auc") == auc
        assert train in (invocation.typed("train"), None)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cic tr", {"train"}),
        ("cic ", {*commands.NAMES, "help"}),
        ("cic train --mod", {"--model_path"}),
        ("cic port --to dl", {"dlimage"}),
        ("cic release --statistic ", {"mean", "median"}),
        ("cic help ev", {"evaluate"}),
        ("cic train --precision b", {"bf16"}),
        ("cic train --schedule ", {"step", "epoch", "cosine"}),
    ],
)
def test_a_shell_completes_names_flags_and_choices(tmp_path, line, words):
    pytest.importorskip("argcomplete")
    answer = tmp_path / "answer"
    variables = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
    variables |= {"_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line, "COMP_POINT": str(len(line))}
    run = start("-m", "cic", **variables, _ARGCOMPLETE_SUPPRESS_SPACE="1")
    assert run.returncode == 0, run.stderr
    found = {word.strip() for word in answer.read_text().split("\n")}
    assert words <= found
    if len(words) == 1:
        assert found == words


def test_without_argcomplete_completion_is_silent(tmp_path):
    (tmp_path / "argcomplete.py").write_text("raise ImportError")
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    run = start("-m", "cic", "--version", _ARGCOMPLETE="1", COMP_LINE="cic ", PYTHONPATH=path)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"{program.versions()}\n"


def test_a_callback_is_told_every_step_and_line(capsys):
    events = []
    with told(events.append, total=2, start=0) as work:
        for number in work.each("ab"):
            work.say(f"line {number}")
        work.show(loss=1.0)
    tell("more", events.append)
    lines = [(event.done, event.message) for event in events if event.message]
    assert lines == [(0, "line a"), (1, "line b"), (0, "more")]
    steps = [event for event in events if not event.message]
    assert [event[:2] for event in steps] == [(0, 2), (1, 2), (2, 2), (2, 2)]
    assert steps[-1] == Event(2, 2, figures={"loss": 1.0})
    assert capsys.readouterr() == ("", "")


def test_without_a_callback_a_bar_is_shown_and_lines_are_printed(capsys):
    with told(None, "step", 3, stream=sys.stderr) as work:
        for _ in work.each("abc"):
            work.show(loss=0.5, images_per_second=2.25, lr=1)
        work.say("over")
    tell("done")
    shown = capsys.readouterr()
    assert shown.out == "done\n"
    assert "3/3" in shown.err
    assert "over\n" in shown.err
    assert "loss=0.5000, images_s=2.2" in shown.err
