"""The suite under what setup.cfg declares: `make matrix`, or `.venv/bin/nox -s "alone(torch)"`.

What follows `--` goes to pytest: `.venv/bin/nox -- -m "not slow"`. An interpreter that is not
installed is named and passed over.
"""

import configparser
import re
from pathlib import Path

import nox

nox.options.error_on_missing_interpreters = False
PYTHONS = ("3.10", "3.13")  # the oldest and the newest that both frameworks publish wheels for
OPTIONAL = (
    "caffe",
    "completion",
    "heif",
    "measure",
    "onnx",
    "ray",
    "s3",
    "torch",
    "paddle",
    "video",
)  # extras of the lowest run


def pinned():
    """{framework: requirement} that the Makefile pins."""
    lines = Path("Makefile").read_text(encoding="utf-8").splitlines()
    return dict(line.split(" = ") for line in lines if re.match("(torch|paddle) = ", line))


def lowest():
    """The lowest version of each package that setup.cfg declares, pinned."""
    setup = configparser.ConfigParser()
    setup.read("setup.cfg", encoding="utf-8")
    extras = (setup["options.extras_require"][name] for name in OPTIONAL)
    declared = "\n".join([setup["options"]["install_requires"], *extras])
    return [f"{name}=={version}" for name, version in re.findall(r"([\w-]+)>=([\d.]+)", declared)]


def tested(session, *packages, pytest=()):
    session.install(*packages, "--editable", ".[dev]")
    session.run("python", "-m", "pytest", *pytest, *(session.posargs or ["-n", "2"]))


@nox.session(python=PYTHONS)
def python(session):
    """Both frameworks, on another Python."""
    tested(session, *pinned().values())


@nox.session(name="alone")
@nox.parametrize("framework", ["torch", "paddle"], ids=["torch", "paddle"])
def alone(session, framework):
    """One framework, without the other."""
    tested(session, pinned()[framework], pytest=["--alone", framework])


@nox.session(name="lowest")
def lowest_versions(session):
    """The lowest versions that are declared."""
    tested(session, *lowest())
