"""VisualDL's log, read back with its own reader; and what happens without it."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from visualdl import LogReader

from cic.training.board import Board
from helpers import ROOT


def read(folder):
    (path,) = Path(folder).iterdir()
    return LogReader(file_path=str(path))


def read_picture(reader, name):
    """The last picture of that name, (H, W, 3) uint8."""
    record = reader.get_data("image", name)[-1]
    return np.asarray(Image.open(io.BytesIO(record.image.encoded_image_string)).convert("RGB"))


def test_curves_come_back(tmp_path):
    with Board(tmp_path) as board:
        board.scalars(10, loss=3.5, lr=1e-3)
        board.scalars(step=20, loss=np.float64(3.25), validation_loss=4)
    reader = read(tmp_path / "from_step_0")
    points = {
        name: [(point.id, point.value) for point in reader.get_data("scalar", name)]
        for name in reader.get_tags()["scalar"]
    }
    assert points.keys() == {"loss", "lr", "validation_loss"}
    assert points["loss"] == [(10, 3.5), (20, 3.25)]
    assert points["validation_loss"] == [(20, 4)]


def test_pictures_come_back_as_they_were_even_read_only_and_dark_ones(photos, tmp_path):
    dark = np.zeros((4, 5, 3), np.uint8)
    dark.setflags(write=False)
    with Board(tmp_path) as board:
        board.picture(1, "photo", photos["chelsea"])
        board.picture(1, "dark", dark)
    reader = read(tmp_path / "from_step_0")
    assert (read_picture(reader, "photo") == photos["chelsea"]).all()
    assert (read_picture(reader, "dark") == dark).all()


def test_a_histogram_counts_between_its_edges(photos, tmp_path):
    values = photos["coffee"][..., 0]
    with Board(tmp_path) as board:
        board.histogram(7, "red", values, np.arange(257) - 0.5)
    (record,) = read(tmp_path / "from_step_0").get_data("histogram", "red")
    assert record.id == 7
    assert list(record.histogram.hist) == np.bincount(values.ravel(), minlength=256).tolist()
    assert list(record.histogram.bin_edges) == (np.arange(257) - 0.5).tolist()


def test_each_start_of_a_run_has_a_log_that_is_shown(tmp_path):
    for start in (0, 40):
        with Board(tmp_path, start) as board:
            board.scalars(start + 10, loss=start)
    for start in (0, 40):
        (point,) = read(tmp_path / f"from_step_{start}").get_data("scalar", "loss")
        assert (point.id, point.value) == (start + 10, start)
    folders = LogReader(str(tmp_path)).runs()
    assert sorted(map(os.path.basename, folders)) == ["from_step_0", "from_step_40"]


def test_without_visualdl_an_import_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "visualdl", None)
    with pytest.raises(ImportError, match=r"visualdl.*pip install visualdl, or leave board out"):
        Board(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_home_that_cannot_be_written_is_named_in_one_line(tmp_path):
    code = "from cic.system import console\nfrom cic.training.board import Board\n"
    code += "console.run(lambda: Board('log'))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"HOME": f"{os.devnull}/home", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert f"{os.devnull}/home/.visualdl" in run.stderr
    assert "set HOME" in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_importing_it_imports_no_visualdl():
    code = "import cic.training.board, cic.training.preview, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "cic.training.board" in run.stdout.split()
    assert "visualdl" not in run.stdout.split()
