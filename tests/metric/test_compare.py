"""metric.compare: two runs of the same photos, paired; others are refused in one line."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from cic.colour.lab import recolor, rgb_to_lab
from cic.commands import report
from cic.photos import images
from helpers import ROOT, started, undrawn
from metric import comparing, protocol
from metric.evaluation import Row
from metric.ledger import unpack

pytestmark = pytest.mark.slow


def start(*command, fresh=False):
    return started.run("-m", *command, cwd=ROOT, fresh=fresh)


def measured(where, photos, strength, key="figures", **flags):
    """The .npz of `metric.report` on photos whose ab was multiplied by `strength`."""
    for path in sorted(photos.rglob("*.*")):
        photo = images.read(path)
        made = recolor(photo, strength * rgb_to_lab(photo)[..., 1:])
        images.write(where / "made" / path.relative_to(photos).with_suffix(".png"), made)
    given = {"imgs_dir": str(photos), "results_dir": str(where / "made"), "save_path": str(where)}
    given |= {"prior": None, "resize": None, "crop": None, "seed": 0, "seed_compatible": False}
    given |= {"num_workers": 0, "max_pixels": images.pixel_limit()}
    with undrawn.charts():
        report.run(SimpleNamespace(**given | flags), key)
    return where / ("auc.npz" if key == "auc" else "report.npz")


@pytest.fixture(scope="module")
def runs(photo_originals, tmp_path_factory):
    """Two runs on the same photos: half of the colour, and seven tenths of it; to read only."""
    folder = tmp_path_factory.mktemp("runs")
    return [measured(folder / f"{s}", photo_originals, s) for s in (0.5, 0.7)]


def test_the_difference_is_that_of_both_figures_and_paired(runs, tmp_path):
    run = start("metric.compare", *runs, "--save_path", tmp_path / "out", fresh=True)
    assert run.returncode == 0, run.stderr
    (pair,) = json.loads((tmp_path / "out" / "compare.json").read_text())["pairs"]
    ours, theirs = (
        json.loads(path.with_suffix(".json").read_text())["figures"]["colorized"] for path in runs
    )
    assert pair["figures"] == {"colorized of A": ours, "colorized of B": theirs}
    assert pair["differences"].keys() == ours.keys() - set(comparing.NOT_OURS)
    for name, (difference, low, high) in pair["differences"].items():
        assert difference == pytest.approx(ours[name] - theirs[name])
        assert low <= difference <= high
        assert "truth" not in name
    spans = [pair["intervals"][f"colorized of {x}"]["auc_raw"] for x in "AB"]
    difference, low, high = pair["differences"]["auc_raw"]
    assert high < 0  # less colour is further from the truth, photo by photo
    assert high - low < min(np.ptp(span) for span in spans)
    assert spans[0][1] > spans[1][0]  # which the two intervals alone do not tell
    assert f"{difference:+.2f} [{low:.2f}, {high:.2f}]" in run.stdout
    assert "colorized of A less colorized of B" in run.stdout
    assert f"A: {runs[0]}\nB: {runs[1]}\n6 photos;" in run.stdout


def test_a_run_less_itself_is_nothing(runs):
    run = start("metric.compare", runs[0], runs[0])
    assert run.returncode == 0, run.stderr
    lines = [line for line in run.stdout.splitlines() if line.startswith(("AuC", "SSIM", "RMSE"))]
    assert len(lines) == 3
    for line in lines:
        assert line.split()[-1].strip("+-0.") == ""


def test_rows_of_one_run_against_each_other(runs):
    ledgers = unpack(runs[0], Row)[0] | {"other": unpack(runs[1], Row)[0]["colorized"]}
    (pair,) = comparing.compared([ledgers])
    assert (pair["first"], pair["second"]) == ("colorized", "other")
    (both,) = comparing.compared([{"colorized": ledgers["colorized"]}, {"other": ledgers["other"]}])
    assert both["differences"] == pair["differences"]
    run = start("metric.compare", runs[0])
    assert run.returncode == 1
    assert "no two rows to compare: name a second run" in run.stderr


def test_a_report_beside_auc_alone(runs, photo_folder, tmp_path):
    other = measured(tmp_path / "auc", photo_folder, 0.7, "auc")
    run = start("metric.compare", runs[0], other)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("AuC raw") == 1
    assert "SSIM" not in run.stdout  # the other has none


def refused(*paths):
    run = start("metric.compare", *paths, "--save_path", paths[0].parent / "none")
    assert run.returncode == 1
    assert run.stdout == ""
    assert not (paths[0].parent / "none").exists()
    (line,) = run.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_other_photos_are_refused(runs, photo_folder, tmp_path, photos):
    (photo_folder / "chelsea.webp").rename(photo_folder / "cat.webp")
    other = measured(tmp_path / "other", photo_folder, 0.6)
    line = refused(runs[0], other)
    assert f"not the same photos: 1 only in {runs[0]}: 'chelsea.webp'" in line
    (photo_folder / "cat.webp").unlink()
    less = measured(tmp_path / "less", photo_folder, 0.6)
    assert f"1 only in {other}: 'cat.webp'" in refused(less, other)
    images.write(photo_folder / "n02" / "deeper" / "rocket.png", photos["rocket"][:90, 5:95])
    changed = measured(tmp_path / "changed", photo_folder, 0.6)
    assert "'n02/deeper/rocket.png' is another picture in each" in refused(less, changed)


def test_another_protocol_is_refused(runs, photo_folder, tmp_path):
    crop = measured(tmp_path / "crop", photo_folder, 0.7, crop=40)
    assert "measured differently: crop is None and 40" in refused(runs[0], crop)
    np.save(tmp_path / "flat.npy", np.full(313, 1 / 313))
    flat = measured(tmp_path / "flat", photo_folder, 0.7, prior=str(tmp_path / "flat.npy"))
    assert "measured differently: prior is" in refused(runs[0], flat)
    terms = unpack(runs[0], Row)[1]
    assert terms.keys() == {"resize", "crop", "prior", "AuC"}
    assert terms["AuC"] == protocol.PAPER
    assert "not the sums of a measured run" in refused(runs[0].with_suffix(".json"), runs[0])
