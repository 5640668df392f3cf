"""Shares of a list: disjoint, complete, balanced; found in every launcher's variables."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cic.system import console, launchers, shares
from cic.system.errors import SettingError
from cic.system.shares import Share

VARIABLES = {key for _, *keys in launchers._VARIABLES for key in keys} | {"SLURM_STEP_ID"}


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    """No launcher but the one that a test names."""
    for key in VARIABLES:
        monkeypatch.delenv(key, raising=False)


@given(st.lists(st.integers(0, 10**9)), st.integers(1, 9))
def test_shares_are_disjoint_complete_and_balanced(sizes, count):
    parts = [Share(number, count).of_sizes(sizes) for number in range(count)]
    assert sorted(i for part in parts for i in part.tolist()) == list(range(len(sizes)))
    assert all((np.diff(part) > 0).all() for part in parts)  # in the order of the list
    numbers = [len(part) for part in parts]
    assert max(numbers) - min(numbers) <= 1
    weights = [sum(sizes[i] for i in part) for part in parts]
    assert max(weights) - min(weights) <= max(sizes, default=0)


def test_things_of_one_size_are_dealt_to_and_fro():
    assert shares.dealt([5] * 7, 3).tolist() == [0, 1, 2, 2, 1, 0, 0]
    assert shares.dealt([1, 9, 1, 8], 2).tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(("name", "number", "count", "local"), launchers._VARIABLES)
def test_the_share_of_every_launcher_is_found(name, number, count, local, monkeypatch):
    for key, text in {number: "2", count: "5", "SLURM_STEP_ID": "0"}.items():
        monkeypatch.setenv(key, text)
    lines = []
    assert shares.resolve(None, lambda event: lines.append(event.message)) == Share(2, 5)
    assert lines == [f"share 2 of 5 ({name})"]
    assert shares.resolve(Share(2, 5), lines.append) == Share(2, 5)


def test_one_of_one_is_all_and_nothing_is_said(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert shares.resolve(None).is_whole
    assert shares.resolve(Share(0, 1)).own("out.jsonl") == "out.jsonl"
    assert not capsys.readouterr().out


@pytest.mark.parametrize("flag", [Share(0, 3), Share(0, 2)])
def test_a_flag_of_another_share_than_the_launchers_is_refused(monkeypatch, flag):
    monkeypatch.setenv("PMI_RANK", "1")
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(SettingError, match=f"share {flag}: mpiexec started process 1 of 2"):
        shares.resolve(flag)


@pytest.mark.parametrize("text", ["2/2", "1", "0/0", "-1/2", "a/b", "1/2/3", "", "0/2 ", "1.0/2"])
def test_what_is_no_share_is_one_line(text, capsys):
    parser = console.parser("what it does", "colorize")
    console.add_share(parser)
    assert parser.parse_args(["--share", "1/2"]).share == Share(1, 2)
    with pytest.raises(SystemExit) as stop:
        parser.parse_args([f"--share={text}"])
    assert stop.value.code == 2
    assert "write R/N with R from 0 to N - 1" in capsys.readouterr().err.splitlines()[-1]


def test_a_share_has_files_of_its_own():
    assert Share(1, 20).own(os.path.join("a.b", "out.jsonl")) == "a.b/out.1-of-20.jsonl"
