"""tools/plot_log.py as a user starts it, on logs as training leaves them."""

import json

import numpy as np
import pytest

from cic.photos import images
from helpers import ROOT, started

TOOL = ROOT / "tools" / "plot_log.py"


@pytest.fixture
def plot(tmp_path):
    """Run the tool in the folder of the runs; the finished process."""

    def run(*arguments, fresh=False):
        return started.run(TOOL, *arguments, cwd=tmp_path, fresh=fresh)

    return run


def step(number, loss):
    return {"step": number, "loss": loss, "lr": 1e-3 / number, "images_per_second": 12.34}


def validation(number, loss):
    return {"step": number, "validation_loss": loss}


def write(folder, *lines):
    folder.mkdir(exist_ok=True)
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    (folder / "log.jsonl").write_text(text.removesuffix("|\n"))


def table(run):
    """{run: [steps, loss, best validation, at step, images/s]} as printed."""
    lines = [line.split() for line in run.stdout.splitlines()]
    title = next(n for n, line in enumerate(lines) if line[0] == "run")
    return {line[0]: line[1:] for line in lines[title + 1 : -1]}


def falling(start, stop, height=5.0):
    lines = []
    for number in range(start, stop, 10):
        lines.append(step(number, height + 3 / number))
        if number % 50 == 0:
            lines.append(validation(number, height + 4 / number))
    return lines


def colours(path):
    """The set of RGB triples of a picture."""
    return set(map(tuple, images.read(path).reshape(-1, 3).tolist()))


@pytest.mark.slow
def test_two_runs_in_one_picture_and_a_table(plot, tmp_path):
    write(tmp_path / "soft", *falling(10, 210))
    write(tmp_path / "hard", *falling(10, 1010, 4))
    run = plot("soft", "hard/log.jsonl", "-o", "new/losses.png", fresh=True)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert table(run) == {
        "soft": ["200", "5.0150", "5.0200", "200", "12.3"],
        "hard/log.jsonl": ["1,000", "4.0030", "4.0040", "1,000", "12.3"],
    }
    assert "new/losses.png" in run.stdout
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["losses.png"]
    found = colours(tmp_path / "new" / "losses.png")
    assert {(31, 119, 180), (255, 127, 14)} <= found  # the first two of matplotlib's colours
    assert (44, 160, 44) not in found


def test_the_best_of_the_averages_counts_where_there_are_any(plot, tmp_path):
    losses = [(10, 1.0, 4.0), (20, 2.0, 3.0), (30, 3.0, 3.5)]
    lines = [validation(n, raw) | {"validation_loss_average": own} for n, raw, own in losses]
    write(tmp_path / "averaged", *falling(10, 40), *lines)
    write(tmp_path / "raw", *falling(10, 40), *(validation(n, raw) for n, raw, _ in losses))
    run = plot("averaged", "raw", "-o", "losses.svg")
    assert run.returncode == 0, run.stderr
    assert table(run)["averaged"][2:4] == ["3.0000", "20"]
    assert table(run)["raw"][2:4] == ["1.0000", "10"]


def test_the_best_validation_is_the_lowest_and_the_loss_the_last(plot, tmp_path):
    losses = [validation(10, 3.0), validation(20, 1.0), validation(30, 2.0)]
    write(tmp_path / "run", step(10, 9.0), *losses, step(40, 7.0))
    assert table(plot("run", "-o", "a.png"))["run"] == ["40", "7.0000", "1.0000", "20", "12.3"]


def test_lines_that_a_kill_cut_off_are_skipped(plot, tmp_path):
    cut = '{"step": 20, "los{"step": 30, "loss": 1.0}'
    odd = ["[1]", "7", "", '{"step": "x", "loss": 1.0}', '{"loss": 1.0}']
    write(tmp_path / "run", step(10, 4.0), cut, *odd, step(40, 3.0), '{"step": 50, "loss": 2.|')
    run = plot("run", "-o", "a.png")
    assert run.returncode == 0, run.stderr
    assert table(run)["run"] == ["40", "3.0000", "-", "-", "12.3"]


def test_of_a_continued_run_the_later_one_counts(plot, tmp_path):
    first = [step(10, 4.0), step(20, 3.0), validation(20, 3.5), step(30, 1.0), validation(33, 0.1)]
    second = [step(30, 2.5), step(35, 2.0), validation(40, 2.2)]
    write(tmp_path / "continued", *first, *second)
    write(tmp_path / "whole", *first[:3], *second)
    pictures = []
    for name in ("continued", "whole"):
        (tmp_path / name).rename(tmp_path / "run")
        run = plot("run", "-o", "a.png")
        assert table(run)["run"] == ["40", "2.0000", "2.2000", "40", "12.3"]
        pictures.append((tmp_path / "a.png").read_bytes())
        (tmp_path / "run").rename(tmp_path / name)
    assert pictures[0] == pictures[1]


def test_smoothing_is_the_mean_of_so_many_lines(plot, tmp_path):
    write(tmp_path / "run", *(step(10 * n, 3.0 + (-1) ** n) for n in range(1, 41)))
    lowest = {}
    for width in (1, 2):
        assert plot("run", "-o", "a.png", "--smooth", width).returncode == 0
        picture = images.read(tmp_path / "a.png")[:600]
        strong = (picture == (31, 119, 180)).all(axis=2)[100:]  # below the legend
        lowest[width] = np.ptp(np.flatnonzero(strong.any(axis=1)))
    assert lowest[2] < 0.7 * lowest[1]


def test_runs_without_a_log_are_named_and_the_others_drawn(plot, tmp_path):
    write(tmp_path / "run", step(10, 4.0))
    write(tmp_path / "empty")
    (tmp_path / "new").mkdir()
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    run = plot("missing", "empty", "new", "run", "bytes", "-o", "a.png")
    assert run.returncode == 1
    failures = [line for line in run.stdout.splitlines() if line.startswith("failed:")]
    for name, line in zip(("missing", "empty/log.jsonl", "new/log.jsonl", "bytes"), failures):
        assert name in line
    assert len(failures) == 4
    assert list(table(run)) == ["run"]
    assert (tmp_path / "a.png").exists()


def test_nothing_to_draw_or_a_format_unknown_writes_nothing(plot, tmp_path):
    write(tmp_path / "run", step(10, 4.0))
    for arguments in (("missing", "-o", "a.png"), ("run", "-o", "a.jsonl")):
        run = plot(*arguments)
        assert run.returncode == (2 if "a.jsonl" in arguments else 1)
        assert len(run.stderr.splitlines()) == 1
        assert "Traceback" not in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_many_runs_with_odd_names_each_have_a_colour(plot, tmp_path):
    names = [f"_{n}$x^$" for n in range(12)]
    for n, name in enumerate(names):
        write(tmp_path / name, step(10, 4.0 + n), validation(10, 5.0), step(20, 4.0 + n))
    run = plot(*names, "-o", "picture")
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert list(table(run)) == names
    assert (tmp_path / "picture").read_bytes().startswith(b"\x89PNG")
