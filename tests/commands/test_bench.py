"""The benchmark's own arithmetic: rows that say what was reached, as a table and as JSON."""

import json
import sys

import pytest

from tools import bench
from tools.benchmark import measuring, waiting


def test_rows_say_the_ratio_and_whether_the_aim_is_met():
    fast = measuring.compared("a", 0.8, 0.1, measuring.seconds, 8)
    slow = measuring.compared("b", 0.7, 0.1, measuring.seconds, 8)
    assert fast.cells() == ("a", "800.00 ms", "100.00 ms", "8.0x", ">= 8x")
    assert slow.cells()[3] == "7.0x **missed**"
    assert measuring.compared("c", 3, 1, measuring.seconds).met is None
    part = measuring.share("d", 10.0, 3.0, 0.3)
    assert part.cells() == ("d", "10.00 s", "3.00 s", "0.3", "<= 0.3")
    assert not measuring.share("e", 10.0, 4.0, 0.3).met


def test_single_lines_are_run_and_saved_for_people_and_machines(tmp_path, monkeypatch, capsys):
    row = measuring.share("a | b", 2.0, 1.0, 0.4)
    monkeypatch.setattr(bench, "LINES", {"one": lambda repeats, folder: [row] * repeats})
    where = ["--output", str(tmp_path / "b.md"), "--json", str(tmp_path / "b.json")]
    monkeypatch.setattr(sys, "argv", ["bench.py", "--quick", "one", *where])
    bench.main()
    text = (tmp_path / "b.md").read_text()
    assert capsys.readouterr().out == text + "\n"
    assert "| 2.00 s | 1.00 s | 0.5 **missed** | <= 0.4 |" in text
    found = json.loads((tmp_path / "b.json").read_text())
    [saved] = found["rows"]
    assert (saved["what"], saved["figure"], saved["met"]) == ("a | b", 0.5, False)
    monkeypatch.setattr(sys, "argv", ["bench.py", "two"])
    with pytest.raises(ValueError, match="no line is called 'two'; there are one"):
        bench.main()


def test_the_busy_process_computes_and_ends(monkeypatch):
    started = []
    popen = waiting.subprocess.Popen
    monkeypatch.setattr(
        waiting.subprocess, "Popen", lambda *given: started.append(popen(*given)) or started[0]
    )
    with pytest.raises(KeyError), waiting.spinning():
        assert started[0].poll() is None
        raise KeyError
    assert started[0].poll() is not None
