"""The walls: who may import whom, what an import does, what is shipped."""

import ast
import configparser
import re
import subprocess
import sys
from functools import cache

import pytest

from cic import commands
from cic.system import invocation
from helpers import ROOT

FRAMEWORKS = {"torch", "paddle"}
RUNTIMES = {"onnx", "onnxruntime"}
FLOORS = (  # of cic, from the ground: each imports from those before it alone
    *("system", "photos", "colour", "films", "networks", "dataset", "weights", "colorize"),
    *("training", "serve", "commands"),
)
ABOVE = {"tools", "tests"}  # all of the package
FORBIDDEN = {
    "cic": ABOVE | FRAMEWORKS | RUNTIMES | {"backends", "metric"},
    "cic/commands": ABOVE | FRAMEWORKS | RUNTIMES,
    "metric": ABOVE | FRAMEWORKS | RUNTIMES | {"backends", "cic.commands"},
    "backends": ABOVE | {"metric", "cic.commands"},
    "backends/torch": {"paddle", "backends.paddle", "backends.onnx"},
    "backends/paddle": {"torch", "backends.torch", "backends.onnx"},
    "backends/onnx": {"torch", "paddle", "backends.torch", "backends.paddle"},
}


TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
# `python -m metric.NAME` starts a command: these hold nothing else.
LAUNCHERS = {ROOT / "metric" / f"{name}.py" for name in invocation.MODULES}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.relative_to(ROOT)} imports from {node.module} by a dot"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_keep_to_the_rule(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        if folder == "cic" and path.parent.name == "commands":
            continue  # they may import what is above
        allowed = {"cic.commands"} if path in LAUNCHERS else set()
        for name in imported(path):
            forbidden = FORBIDDEN[folder] - allowed
            broken = [bad for bad in forbidden if f"{name}.".startswith(f"{bad}.")]
            assert not broken, f"{path.relative_to(ROOT)} imports {name}"


@cache
def modules():
    """{dotted name: path} of every module that is shipped."""
    found = {}
    for top in ("cic", "backends", "metric"):
        for path in (ROOT / top).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def arrows():
    """{module: modules that it imports}, wherever the import stands.

    `from cic.weights import checkpoint` is of the module, not of the face of its folder.
    """
    there = modules()
    found = {}
    for name, path in there.items():
        names = set(imported(path)) & there.keys()
        passed = {i.rpartition(".")[0] for i in names} - whole(path)
        found[name] = names - passed - {name}
    return found


def whole(path):
    """Modules of which a file imports names, or themselves: not those it only passes through."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module} if inner - modules().keys() else set()
    return found


def test_a_floor_imports_only_from_those_below_it():
    """The floors of cic, from the ground; `backends`, `metric` and `tools` stand above them all."""
    height = {floor: level for level, floor in enumerate(FLOORS)}
    for name, others in arrows().items():
        room = name.split(".")[1:2]
        if not name.startswith("cic.") or room in (["commands"], ["__main__"]):
            continue
        assert room[0] in height, f"{name} is in no room"
        for other in others - {"cic"}:
            below = height[other.split(".")[1]]
            assert below <= height[room[0]], f"{name} imports {other}, which is above it"


def test_no_module_imports_itself_around_a_circle():
    graph, done = arrows(), set()

    def visit(name, path):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in graph[name]:
                visit(other, [*path, name])
            done.add(name)

    for name in graph:
        visit(name, [])


def test_importing_the_packages_imports_no_framework_and_no_plots():
    code = "import cic.training.loop, cic.colorize.colorizer, metric.report, backends.base\n"
    code += "import sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert not (FRAMEWORKS | RUNTIMES | {"matplotlib"}) & set(run.stdout.split())


def test_both_backends_have_the_same_files_and_public_names():
    torch_files, paddle_files = (
        {path.name for path in (ROOT / "backends" / name).glob("*.py")} for name in FRAMEWORKS
    )
    assert torch_files ^ paddle_files <= {"environment.py"}
    for name in torch_files & paddle_files:
        public = []
        for backend in FRAMEWORKS:
            tree = ast.parse((ROOT / "backends" / backend / name).read_text(encoding="utf-8"))
            kinds = (ast.FunctionDef, ast.ClassDef)
            names = {node.name for node in tree.body if isinstance(node, kinds)}
            public.append({n for n in names if n[0] != "_"})
        assert public[0] == public[1], name


def test_every_function_has_types():
    """Of all that it takes and of what it returns; whether they are true, mypy says."""
    for path in modules().values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                args = node.args
                taken = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
                bare = {arg.arg for arg in taken if arg and not arg.annotation} - {"self", "cls"}
                assert node.returns and not bare, f"{path.relative_to(ROOT)}: {node.name} {bare}"


def test_every_package_is_listed_and_tools_and_tests_are_not():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    there = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("cic", "backends", "metric")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert listed == there


def test_each_test_stands_in_a_room_of_the_house():
    rooms = {*FLOORS, "backends", "metric", "project"}
    there = {path.parent.relative_to(ROOT / "tests").as_posix() for path in TESTS}
    assert there == rooms


def test_the_pinned_ruff_is_the_same_everywhere():
    pins = [
        line.split("ruff==")[1].strip('"], ')
        for name in ("setup.cfg", ".pre-commit-config.yaml")
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
        if "ruff==" in line
    ]
    assert len(pins) == 3
    assert len(set(pins)) == 1


def test_every_module_of_commands_is_in_the_list():
    there = {path.stem for path in (ROOT / "cic" / "commands").glob("[!_]*.py")}
    listed = set(commands.NAMES)
    assert there == listed, "GROUPS of cic/commands/__init__.py lists the modules beside it"
    begun = {*invocation.TOOLS, *invocation.MODULES}
    assert there == begun, "cic/system/invocation.py says how each command is begun in a clone"
    assert len(commands.NAMES) == len(there)


HELP = """
import os, runpy, sys
import numpy, PIL.Image  # which all of them take their time to import
for path in sys.argv[1:]:
    if os.fork() == 0:
        sys.argv = [path, "--help"]
        try: runpy.run_path(path, run_name="__main__")
        except SystemExit as stop: assert not stop.code, path
        assert not {"torch", "paddle"} & set(sys.modules), path
        sys.exit()
    assert os.wait()[1] == 0, path
"""


def test_every_tool_has_help_without_importing_a_framework(tmp_path):
    tools = sorted(path.name for path in (ROOT / "tools").glob("[!_]*.py"))
    command = [sys.executable, "-c", HELP, *(str(ROOT / "tools" / tool) for tool in tools)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert re.findall(r"usage: (?:tools/)?(\w+\.py) ", run.stdout) == tools
