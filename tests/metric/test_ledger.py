"""The sums of each photo: kept whole, written and read; the heaviest photo, and its picture."""

import io
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from metric import heaviest
from metric.evaluation import Row
from metric.figures.accuracy import Accuracy
from metric.figures.auc import AuC
from metric.figures.suite import Suite
from metric.ledger import Ledger, name_from, pack, unpack

ODD = "n01/caf\udce9 'one' $x_1$.jpg"  # a byte that is no text in it


@pytest.fixture
def ledgers(photos):
    """Rows of three photos, of which one has only a classifier's sums beside."""
    rows = {"ours": Ledger(Suite()), "all gray": Ledger(Suite())}
    for name, photo in zip(("b.png", ODD, "a.png"), photos.values()):
        for row, metric in rows.items():
            one = Suite()
            one.update(photo[:60, :80], photo[:60, :80] // (2 if row == "ours" else 3))
            metric.add(name, one)
    rows["classes"] = Ledger(Accuracy())
    for name in ("a.png", "b.png", ODD):
        one = Accuracy()
        one.update(np.eye(7)[:1], [len(name) % 7])
        rows["classes"].add(name, one)
    return rows


def test_what_is_written_is_read_to_the_bit(ledgers, tmp_path):
    data = pack(ledgers, {"crop": None})
    assert pack(pickle.loads(pickle.dumps(ledgers)), {"crop": None}) == data
    path = tmp_path / "runs.npz"
    path.write_bytes(data)
    found, conditions = unpack(path, Row)
    assert conditions == {"crop": None}
    assert list(found) == list(ledgers)
    for row, ledger in ledgers.items():
        assert found[row].photos == ledger.photos
        assert found[row].compute() == ledger.compute()
    assert found["ours"].names() == ["a.png", "b.png", ODD]


def test_no_photo_counts_twice(ledgers):
    one = Suite()
    with pytest.raises(ValueError, match=r"'b\.png': this photo was measured already"):
        ledgers["ours"].add("b.png", one)
    with pytest.raises(ValueError, match="measured already"):
        ledgers["ours"].merge(ledgers["all gray"])
    ledgers["ours"].add("c.png", one)


def test_photos_are_named_from_their_folder_on(ledgers, tmp_path):
    for ledger in ledgers.values():
        ledger.photos = {f"{tmp_path}/photos/{name}": sums for name, sums in ledger.photos.items()}
    name_from(ledgers, tmp_path / "photos")
    assert [ledger.names() for ledger in ledgers.values()] == 3 * [["a.png", "b.png", ODD]]


@pytest.mark.parametrize("how", ["text", "empty", "cut", "other", "shape", "pickle", "json"])
def test_another_file_is_one_line(ledgers, tmp_path, how):
    path, data = tmp_path / "other.npz", pack(ledgers, {})
    if how in ("text", "empty", "cut", "json"):
        path.write_bytes({"text": b"no", "empty": b"", "cut": data[:-40], "json": b"{}"}[how])
    else:
        held = dict(np.load(io.BytesIO(data)))
        if how == "other":
            del held["photos"]
        elif how == "shape":
            held["sums"] = held["sums"][:, 1:]
        else:
            held["rows"] = np.array([{}, [], ()], object)
        np.savez(path, **held)
    with pytest.raises(ValueError, match=r"other\.npz: not the sums of a measured run") as refusal:
        unpack(path, Row)
    assert "\n" not in str(refusal.value)
    with pytest.raises(OSError, match=r"nowhere\.npz"):
        unpack(tmp_path / "nowhere.npz", Row)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="of Unix")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(OSError, match=r"not a regular file: .*pipe\.npz"):
        unpack(tmp_path / "pipe.npz", Row)


def test_the_heaviest_photo_has_its_share_and_is_warned_of(capsys):
    """Of photos of 10, 20 and 70 pixels; of the last 10 rare ones hold nearly all the weight."""
    ledger = Ledger(AuC())
    rare = [90.0, -10.0]  # near the magenta corner of the gamut
    for name, pixels, odd in (("b", 10, 0), ("a", 20, 0), (ODD, 70, 10)):
        one, true = AuC(), np.zeros((pixels, 2))
        true[:odd] = rare
        one.update(true, true)
        ledger.add(name, one)
    found = heaviest.heaviest(ledger)
    assert found["raw"] == {"photo": ODD, "share": pytest.approx(0.7)}
    shares = heaviest.weight_shares(ledger)
    assert shares["raw"] == pytest.approx([0.2, 0.1, 0.7])  # in the order of the names
    weights = AuC().bin_weights[:, [bin_of([0, 0]), bin_of(rare)]]
    for (gray, loud), name in zip(weights, ("rebalanced", "balanced")):
        expected = (60 * gray + 10 * loud) / (90 * gray + 10 * loud)
        assert found[name] == {"photo": ODD, "share": pytest.approx(expected)}
    assert found["rebalanced"]["share"] > found["balanced"]["share"] > 0.7
    heaviest.warn_of(found)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: one photo holds over 10 % of the weight: raw 70.0 % (")
    assert "\\udce9" in line
    heaviest.warn_of({"raw": {"photo": "a", "share": 0.1}})
    assert capsys.readouterr().err == ""


def bin_of(ab):
    from cic.colour.distributions import soft_encode

    return int(soft_encode(np.float32([ab]), neighbors=1)[0][0, 0])


def test_the_picture_shows_every_weight(ledgers):
    with Image.open(io.BytesIO(heaviest.png(ledgers["ours"]))) as image:
        assert image.width > 700
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for colour in ((31, 119, 180), (255, 127, 14), (44, 160, 44)):  # matplotlib's first three
        assert (pixels == colour).all(1).sum() > 30
    assert heaviest.heaviest(ledgers["classes"]) == {}
    with pytest.raises(ValueError, match="no figure is weighted"):
        heaviest.png(ledgers["classes"])
