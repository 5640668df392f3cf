"""The commands metric.auc and metric.report, and what they write: table, curve, JSON, card."""

import io
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cic.colour.lab import recolor
from cic.colour.prior import default
from cic.commands import report
from cic.photos import images
from helpers import ROOT, started, undrawn
from metric import curve, pairs, protocol, record, table
from metric.figures.auc import AuC
from metric.figures.suite import Suite

pytestmark = pytest.mark.slow


@pytest.fixture
def folders(photo_folder, tmp_path):
    """The fixture's photos, and beside them half as colourful ones."""
    for path in sorted(photo_folder.rglob("*.*")):
        photo = images.read(path)
        gray = recolor(photo, np.zeros((*photo.shape[:2], 2), np.float32))
        result = np.rint((photo.astype(float) + gray) / 2).astype(np.uint8)
        images.write(tmp_path / "made" / path.relative_to(photo_folder).with_suffix(".png"), result)
    return photo_folder, tmp_path / "made"


def measure(folders, save_path, key="figures", **changed):
    """Measure with what `report.parser` gives without optional flags, but `changed`, undrawn."""
    given = {"imgs_dir": str(folders[0]), "results_dir": str(folders[1])}
    given |= {"save_path": str(save_path), "prior": None, "resize": None, "crop": None, "seed": 0}
    given |= {"seed_compatible": False, "num_workers": 0, "max_pixels": images.pixel_limit()}
    with undrawn.charts():
        report.run(SimpleNamespace(**given | changed), key)


def command(name, folders, save_path, *more, fresh=False):
    where = ["--imgs_dir", folders[0], "--results_dir", folders[1], "--save_path", save_path]
    return started.run("-m", f"metric.{name}", *where, *more, cwd=ROOT, fresh=fresh)


def test_a_report_is_the_same_with_any_number_of_workers(folders, tmp_path, capsys):
    run = command("report", folders, tmp_path / "two", "--num_workers", "2", fresh=True)
    assert run.returncode == 0, run.stderr
    assert "6/6" in run.stderr
    measure(folders, tmp_path / "none")
    here, there = (json.loads((tmp_path / n / "report.json").read_text()) for n in ("none", "two"))
    for key in ("photos", "figures", "curves", "intervals", "less_gray", "heaviest_photo"):
        assert here[key] == there[key]
    text = (tmp_path / "none" / "report.txt").read_text()
    assert text == (tmp_path / "two" / "report.txt").read_text()
    assert text in run.stdout
    assert text in capsys.readouterr().out
    assert "warning: one photo holds over 10 % of the weight: raw 2" in run.stderr
    assert "note: 6 photos are too few" in run.stdout
    assert list(here["figures"]) == ["colorized", "all gray", "random ab", "truth"]
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == [
        *(f"report.{kind}" for kind in ("json", "npz", "png", "txt")),
        "report_weight.png",
    ]
    npz = [(tmp_path / n / "report.npz").read_bytes() for n in ("none", "two")]
    assert npz[0] == npz[1]


def test_the_figures_are_those_of_the_pictures(folders, tmp_path):
    measure(folders, tmp_path / "figures")
    rows = json.loads((tmp_path / "figures" / "report.json").read_text())["figures"]
    suite = Suite()
    for pair in pairs.find(*folders):
        suite.update(images.read(pair.photo), images.read(pair.result))
    assert rows["colorized"] == pytest.approx(suite.compute(), rel=1e-9)
    truth = rows["truth"]
    assert truth["auc_raw"] == truth["auc_rebalanced"] == 100
    assert truth["rmse_ab"] == 0
    assert truth["psnr"] is None
    assert truth["identical"] == 6
    assert truth["ssim"] == pytest.approx(1)
    gray, random = rows["all gray"], rows["random ab"]
    assert gray["colourfulness"] < 0.2
    assert gray["auc_raw"] < rows["colorized"]["auc_raw"] < 100
    assert random["rmse_ab"] > gray["rmse_ab"] / 2
    assert random["colourfulness"] > 5


def test_auc_alone(folders, tmp_path):
    run = command("auc", folders, tmp_path / "figures", "--num_workers", "0")
    assert run.returncode == 0, run.stderr
    facts = json.loads((tmp_path / "figures" / "auc.json").read_text())
    auc = AuC()
    for pair in pairs.find(*folders):
        auc.update(images.read(pair.photo), images.read(pair.result))
    assert facts["auc"]["colorized"] == pytest.approx(auc.compute(), rel=1e-9)
    assert facts["photos"] == 6
    assert len(facts["curves"]["truth"]["raw"]) == 151
    assert "rebalanced" in run.stdout
    assert (tmp_path / "figures" / "auc.png").read_bytes()[1:4] == b"PNG"


def test_flags_change_what_they_say(folders, tmp_path):
    flat = tmp_path / "flat.npy"
    np.save(flat, np.full(313, 1 / 313))

    def measured(**changed):
        measure(folders, tmp_path / "figures", "auc", **changed)
        return json.loads((tmp_path / "figures" / "auc.json").read_text())

    plain, other = measured(), measured(seed=1)
    assert other["auc"]["random ab"] != plain["auc"]["random ab"]
    assert other["auc"]["all gray"] == plain["auc"]["all gray"]
    rest = measured(seed_compatible=True, prior=str(flat), resize=32, crop=30)
    assert rest["auc"]["truth"]["raw"] == pytest.approx(100 - 1 / 3)
    for row in rest["auc"].values():
        assert row["rebalanced"] == pytest.approx(row["raw"])
    assert rest["protocol"]["definitions"]["auc"] == protocol.SEED
    assert rest["protocol"]["prior"]["name"] == "flat.npy"
    assert rest["protocol"]["prior"]["sha256"] != plain["protocol"]["prior"]["sha256"]
    assert (rest["protocol"]["resize"], rest["protocol"]["crop"]) == (32, 30)
    small = AuC(np.full(313, 1 / 313), strict=True)
    for pair in pairs.find(*folders):
        small.update(*pairs.Cut(32, 30).read_pair(pair)[:2])
    assert rest["auc"]["colorized"] == pytest.approx(small.compute())


def spoil(folders, how, photos):
    made = folders[1]
    result = made / "n01" / "astronaut.png"
    if how == "empty":
        result.write_bytes(b"")
    elif how == "missing":
        result.unlink()
    elif how == "extra":
        images.write(made / "more.png", photos["coffee"])
    else:
        images.write(result, photos["coffee"][:20, :20])


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ("empty", "astronaut.png"),
        ("missing", "astronaut.jpg"),
        ("extra", "more.png"),
        ("size", "astronaut.png"),
    ],
)
def test_a_refusal_names_the_file_and_writes_nothing(folders, photos, tmp_path, how, named):
    spoil(folders, how, photos)
    with pytest.raises(ValueError, match=named) as refusal:
        measure(folders, tmp_path / "figures")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "figures").exists()


def test_a_refusal_by_a_worker_is_one_line(folders, photos, tmp_path):
    spoil(folders, "empty", photos)
    run = command("auc", folders, tmp_path / "figures", "--num_workers", "1")
    assert run.returncode == 1
    (line,) = (line for line in run.stderr.splitlines() if line.startswith("error: "))
    assert "astronaut.png" in line
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "figures").exists()


def test_gray_and_transparent_pictures_are_told(folders, photos, tmp_path, capsys):
    path = folders[0] / "n01" / "astronaut.jpg"
    with Image.open(path) as image:
        image.convert("L").save(path)
    result = folders[1] / "chelsea.png"
    with Image.open(result) as image:
        image.putalpha(Image.new("L", image.size, 3))
        image.save(result)
    measure(folders, tmp_path / "figures", key="auc")
    shown = capsys.readouterr().out.splitlines()
    (gray,) = (line for line in shown if "are gray" in line)
    (alpha,) = (line for line in shown if "transparency" in line)
    assert gray.startswith("note: 1 of 6 are gray")
    assert gray.endswith("astronaut.jpg'")
    assert alpha.endswith("chelsea.png'")
    card = json.loads((tmp_path / "figures" / "auc.json").read_text())["protocol"]
    assert (card["gray_photos"], card["with_transparency"]) == (1, 1)


def test_one_photo_has_no_random_colours(folders, tmp_path):
    for folder in folders:
        for path in folder.rglob("*.*"):
            if "rocket" not in path.name:
                path.unlink()
    measure(folders, tmp_path / "figures", key="auc")
    rows = json.loads((tmp_path / "figures" / "auc.json").read_text())["auc"]
    assert list(rows) == ["colorized", "all gray", "truth"]


def test_outputs_among_the_pictures_or_in_a_file_are_refused(folders, tmp_path):
    with pytest.raises(ValueError, match="among the pictures"):
        measure(folders, folders[1] / "figures")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="not a folder"):
        measure(folders, tmp_path / "file")


def test_a_prior_that_cannot_divide_is_named(folders, tmp_path):
    np.save(tmp_path / "gap.npy", np.eye(313)[0])
    with pytest.raises(ValueError, match=r"gap\.npy: the prior has an empty bin"):
        measure(folders, tmp_path / "figures", prior=str(tmp_path / "gap.npy"))


def test_the_card_says_what_figures_depend_on(tmp_path):
    card = protocol.card(7, pairs.Cut(256, 224), 3, False, None, "pytest")
    assert (card["count"], card["resize"], card["crop"]) == (7, 256, 224)
    assert card["prior"]["name"] == "bundled"
    np.save(tmp_path / "copy.npy", default())
    copy = protocol.card(7, pairs.Cut(), 3, prior_path=str(tmp_path / "copy.npy"))
    assert copy["prior"]["sha256"] == card["prior"]["sha256"]
    assert copy["weights"] is copy["temperature"] is None
    assert {"cic", "numpy", "skimage", "pillow", "pytest"} <= set(card["versions"])
    json.dumps(card, allow_nan=False)


def test_a_table_of_any_rows():
    rows = {"mine": {"raw": 1.0, "own": 2.5}, "truth of all": {"raw": 100.0, "psnr": math.inf}}
    assert table.text(rows).splitlines() == [
        "              AuC raw %  PSNR dB   own",
        "mine               1.00        -  2.50",
        "truth of all     100.00      inf     -",
    ]


def test_a_record_is_json_that_anything_reads(tmp_path):
    held = {
        "a": math.inf,
        "b": np.float64(2),
        "c": np.arange(3),
        "d": {"e": [math.nan, "[ 1, 2 ]"]},
    }
    text = record.dumps(held)
    expected = {"a": None, "b": 2, "c": [0, 1, 2], "d": {"e": [None, "[ 1, 2 ]"]}}
    assert json.loads(text, parse_constant=pytest.fail) == expected
    assert '"c": [ 0, 1, 2 ]' in text
    record.write({tmp_path / "x" / "a.json": text, tmp_path / "b.png": b"\x00"})
    assert (tmp_path / "x" / "a.json").read_text() == text
    assert (tmp_path / "b.png").read_bytes() == b"\x00"


def test_a_curve_of_any_rows_is_a_png():
    share = np.linspace(0, 1, 151)
    data = curve.png({f"row ${i}_$": {"raw": share**i, "rebalanced": share} for i in range(1, 4)})
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.width > 1000
        colours = len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0))
    assert colours > 100
