"""Shares of a list: disjoint, complete, balanced; found in every launcher's variables."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cic.system import console, shares
from cic.system.errors import SettingError
from cic.system.shares import Share

VARIABLES = {key for _, *keys in shares.LAUNCHERS for key in keys} | {"SLURM_STEP_ID"}


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


@pytest.mark.parametrize(("name", "number", "count"), shares.LAUNCHERS)
def test_the_share_of_every_launcher_is_found(name, number, count, monkeypatch):
    monkeypatch.setenv(number, "2")
    assert shares.launched() is None  # alone it says nothing
    monkeypatch.setenv(count, "5")
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    lines = []
    assert shares.chosen(None, lambda event: lines.append(event.message)) == Share(2, 5)
    assert lines == [f"share 2 of 5 ({name}: {number}, {count})"]
    assert shares.chosen(Share(0, 5), lines.append) == Share(0, 5)


def test_the_innermost_launcher_is_believed(monkeypatch):
    for _, number, count in shares.LAUNCHERS:
        monkeypatch.setenv(number, "0")
        monkeypatch.setenv(count, "9")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert shares.launched()[0] == Share(1, 2)


def test_a_batch_script_of_slurm_without_srun_is_told_so(monkeypatch, capsys):
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert shares.chosen(None) == Share(0, 4)
    assert "start it with srun" in capsys.readouterr().out


def test_one_of_one_is_all_and_nothing_is_said(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert shares.chosen(None).is_whole
    assert shares.chosen(Share(0, 1)).own("out.jsonl") == "out.jsonl"
    assert not capsys.readouterr().out


def test_a_flag_of_another_division_than_the_launchers_is_refused(monkeypatch):
    monkeypatch.setenv("PMI_RANK", "1")
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(SettingError, match=r"--share 0/3: there are 2 shares here.*PMI_SIZE"):
        shares.chosen(Share(0, 3))


@pytest.mark.parametrize(("number", "count"), [("2", "2"), ("-1", "2"), ("x", "2"), ("0", "0")])
def test_variables_that_are_no_share_are_named(number, count, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", number)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", count)
    with pytest.raises(
        SettingError, match=f"OMPI_COMM_WORLD_RANK={number}, .*no share of Open MPI"
    ):
        shares.chosen(None)


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
