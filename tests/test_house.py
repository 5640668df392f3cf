"""The walls: who may import whom, what an import does, what is shipped."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FRAMEWORKS = {"torch", "paddle"}
FORBIDDEN = {
    "cic": FRAMEWORKS | {"backends", "metric", "tools"},
    "metric": FRAMEWORKS | {"backends", "tools"},
    "backends/torch": {"paddle", "metric", "tools", "backends.paddle"},
    "backends/paddle": {"torch", "metric", "tools", "backends.torch"},
}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_keep_to_the_rule(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        for name in imported(path):
            broken = [bad for bad in FORBIDDEN[folder] if f"{name}.".startswith(f"{bad}.")]
            assert not broken, f"{path.relative_to(ROOT)} imports {name}"


def test_importing_the_packages_imports_no_framework():
    code = "import cic.training, cic.colorize, metric.auc, backends.base, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert not FRAMEWORKS & set(run.stdout.split())


def test_both_frameworks_import_here():
    for name in sorted(FRAMEWORKS):
        run = subprocess.run(
            [sys.executable, "-c", f"import {name}"], capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr


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


def test_the_pinned_ruff_is_the_same_everywhere():
    pins = [
        line.split("ruff==")[1].strip('"], ')
        for name in ("setup.cfg", ".pre-commit-config.yaml")
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
        if "ruff==" in line
    ]
    assert len(pins) == 3
    assert len(set(pins)) == 1


@pytest.mark.parametrize("tool", sorted(path.name for path in (ROOT / "tools").glob("[!_]*.py")))
def test_every_tool_has_help_without_importing_a_framework(tool, tmp_path):
    code = (
        "import runpy, sys; sys.argv = ['tool', '--help']\n"
        f"try: runpy.run_path({str(ROOT / 'tools' / tool)!r}, run_name='__main__')\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'paddle'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "usage:" in run.stdout
