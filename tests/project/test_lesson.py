"""The lesson, a notebook, runs from top to bottom, and says what it says in the file."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from helpers import ROOT

LESSON = ROOT / "docs" / "lesson.ipynb"


def said(notebook):
    """Of each cell: the words that it printed, and the kinds of its pictures.

    What is printed comes in as many pieces as it happens to.
    """
    cells = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    return [(words(outputs), [sorted(o.data) for o in outputs if "data" in o]) for outputs in cells]


def words(outputs):
    text = "".join(output.get("text", "") for output in outputs)
    return re.findall("[A-Za-z]{3,}", text)


def test_it_is_small_and_has_its_pictures():
    assert LESSON.stat().st_size < 400_000
    found = said(nbformat.read(LESSON, as_version=4))
    assert sum(["image/jpeg", "text/plain"] in pictures for _, pictures in found) >= 8


@pytest.mark.slow
def test_it_runs_from_top_to_bottom():
    kept, again = (nbformat.read(LESSON, as_version=4) for _ in range(2))
    for cell in again.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    place = {"metadata": {"path": str(ROOT / "docs")}}
    NotebookClient(again, timeout=120, kernel_name="python3", resources=place).execute()
    assert said(again) == said(kept)
