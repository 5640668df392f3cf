"""What commands do, from Python: settings, a function, progress by a callback, nothing printed."""

import json
from contextlib import nullcontext

import numpy as np
import pytest

import backends
from cic import networks
from cic.colorize import jobs, release
from cic.colorize.batch import Pictures
from cic.colour import prior
from cic.dataset import counting, invalid, preparation
from cic.dataset.counting import Counting
from cic.dataset.invalid import Search
from cic.dataset.preparation import Preparation
from cic.networks.initialize import initialize
from cic.photos import images, sources
from cic.training import curves, log, plan, session
from cic.weights import checkpoint, formats, porting, reading
from cic.weights.formats import verify
from cic.weights.porting import Port
from helpers.tiny import tiny
from metric import choosing, classification, comparing, evaluating, ledger, measuring, record
from metric.choosing import Sweep
from metric.evaluating import Study
from metric.evaluation import Row
from metric.measuring import Folders
from metric.pairs import Cut
from metric.recognition import Recognition

SMALL = {"load_size": 64, "crop_size": 56, "batch_size": 3, "num_workers": 0, "device": "cpu"}


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch):
    monkeypatch.setitem(networks._NETWORKS, "tiny", tiny)


@pytest.fixture
def events():
    return []


@pytest.fixture
def colorizer(tmp_path):
    """A colorizer with an untrained network, and its weights in a file."""
    network = networks.get("cic", width=0.125)
    path = tmp_path / "weights" / "small.safetensors"
    checkpoint.save(path, initialize(network, 1), checkpoint.network_meta(network))
    return backends.colorizer(path, "torch", "cpu", size=40)


def steps(events):
    """(steps done, of all) as they were told last."""
    return next(event[:2] for event in reversed(events) if not event.message)


def lines(events):
    return [event.message for event in events if event.message]


def test_a_notebook_trains_in_five_lines(backend, photo_folder, tmp_path, capsys, events):
    figures = session.train(
        *(backend, photo_folder, "full"),
        network="tiny",
        model_path=tmp_path / "model",
        num_epochs=2,
        check=False,
        **SMALL,
        progress=events.append,
    )
    assert figures["steps"] == 4
    assert np.isfinite(figures["loss"])
    assert steps(events) == (4, 4)
    assert any("parameters" in line for line in lines(events))
    told = [event.figures for event in events if event.figures]
    assert told[-1].keys() == {"loss", "lr", "images_per_second"}
    assert capsys.readouterr() == ("", "")
    training, _ = curves.read_log(tmp_path / "model")
    assert training[-1]["step"] == 4
    colorizer = backends.colorizer(figures["checkpoint"], backend.NAME, "cpu", size=32)
    photo = images.read(photo_folder / "chelsea.webp")
    assert colorizer(photo).shape == photo.shape


@pytest.mark.both
def test_a_run_from_python_goes_on_and_is_refused_as_a_command_is(photo_folder, tmp_path, events):
    backend = backends.get("torch")
    where = {"model_path": str(tmp_path / "model"), "network": "tiny", "check": False}
    begin = {**where, **SMALL, "progress": events.append}
    session.train(backend, [photo_folder], max_steps=2, **begin)
    with pytest.raises(ValueError, match="set continue_train"):
        session.train(backend, [photo_folder], max_steps=3, **begin)
    figures = session.train(backend, [photo_folder], max_steps=3, continue_train=True, **begin)
    assert figures["steps"] == 3
    with pytest.raises(ValueError, match="momentum: of no effect"):
        session.train(backend, [photo_folder], momentum=0.5, **begin)
    with pytest.raises(ValueError, match="set continue_train to go on from it"):
        plan.plan(photo_folder, which_epoch="2")
    with pytest.raises(TypeError, match="no_such_setting"):
        plan.plan(photo_folder, no_such_setting=1)
    found = session.train(backend, photo_folder, **begin | {"check": True})
    assert {"readable", "memory"} <= {finding["name"] for finding in found["check"]}


def test_a_plan_knows_what_was_asked_for(photo_folder):
    found = plan.plan(photo_folder, gamma=0.25, rebalance=False, lr=None)
    assert found.image_dir == (photo_folder,)
    assert found.asked == {"gamma", "rebalance"}
    assert found.asked_for("gamma", "rebalance", "lr") == ["gamma"]
    assert (found.recipe.gamma, found.recipe.rebalance) == (0.25, False)
    assert found.steps(10) == 10 * found.recipe.num_epochs
    assert plan.plan(photo_folder, max_steps=700).steps(10) == 700
    assert plan.plan(photo_folder, max_steps=7, num_epochs=2).steps(10) == 7
    assert plan.plan(photo_folder, max_steps=70, num_epochs=2).steps(10) == 20


@pytest.mark.parametrize("target_mean", [True, False])
@pytest.mark.both
def test_the_preview_of_a_run_has_the_grid_of_its_targets(
    photo_folder, tmp_path, monkeypatch, target_mean
):
    shown = []
    monkeypatch.setattr(session, "Board", lambda *_: nullcontext())
    monkeypatch.setattr(session, "Preview", lambda *given: shown.append(given[-1]))
    more = {"network": "tiny", "max_steps": 1, "target_mean": target_mean, "check": False, **SMALL}
    where = {"model_path": tmp_path / "model", "board": tmp_path / "board"}
    monkeypatch.setattr(log.Log, "write", lambda *_, **__: None)
    session.train(backends.get("torch"), photo_folder, progress=list, **where, **more)
    assert [settings.target_mean for settings in shown] == [target_mean]


@pytest.mark.both
def test_a_folder_is_coloured(colorizer, photo_folder, tmp_path, capsys, events):
    (photo_folder / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    listing = jobs.find([str(photo_folder)], str(tmp_path / "out"), progress=events.append)
    outcome = listing.colorize(colorizer, progress=events.append)
    assert (len(outcome.done), outcome.failed) == (6, 1)
    assert steps(events) == (7, 7)
    (line,) = lines(events)
    assert line.startswith("failed: ")
    assert "broken.jpg" in line
    assert len(sources.find(tmp_path / "out")) == 6
    assert capsys.readouterr() == ("", "")
    one = [(str(photo_folder / "chelsea.webp"), str(tmp_path / "one.png"))]
    few = jobs.Listing(str(tmp_path / "one.png"), one, [], [])
    assert few.colorize(colorizer, Pictures(uncertainty=True), progress=events.append).failed == 0
    assert (tmp_path / "one-uncertainty.png").exists()


def test_photos_are_searched_prepared_and_counted(photo_folder, photos, tmp_path, capsys, events):
    images.write(photo_folder / "gray.png", photos["coffee"][..., :1].repeat(3, axis=2))
    search = Search(photo_folder, tmp_path / "remove.sh", tmp_path / "preview.png")
    result = invalid.find(search, events.append)
    assert (result.counts["gray"], result.removed) == (1, 1)
    assert (tmp_path / "preview.png").exists()
    assert steps(events)[0] == 7
    report = tmp_path / "remove.jsonl"
    assert json.loads(report.read_text())["path"] == "gray.png"

    how = Preparation(photo_folder, tmp_path / "small", load_size=48, invalid=report)
    for fresh in (6, 0):
        found = preparation.prepare(how, events.append)
        assert (found.photos, found.fresh, found.failed, found.unread) == (6, fresh, 0, 0)
    assert steps(events) == (6, 6)
    assert any("1 of 7 photos left out" in line for line in lines(events))

    counted = counting.count(Counting(tmp_path / "small", tmp_path / "prior.npy"), events.append)
    assert (counted.prior.photos, counted.gray, counted.failed) == (6, 0, 0)
    np.testing.assert_allclose(prior.read(tmp_path / "prior.npy"), counted.prior.compute())
    assert counted.divergence > 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (lambda: Preparation("in", "out", quality=101), "quality is 101: it must be 100 or less"),
        (lambda: Preparation("in", "out", load_size=0), "load_size is 0: it must be 1 or more"),
        (lambda: Preparation("in", "out", quality=True), "quality is True: it must be a whole"),
        (lambda: Search("in", num_workers=-1), "num_workers is -1: it must be 0 or more"),
        (
            lambda: Counting("in", "prior.npy", num_workers="2"),
            "num_workers is '2': it must be a wh",
        ),
        (lambda: Study("in", most=0), "most is 0: it must be 1 or more"),
        (lambda: Sweep("in", most=1.5), "most is 1.5: it must be a whole number"),
        (lambda: plan.plan("in", loss_step=0), "loss_step is 0: it must be 1 or more"),
        (lambda: plan.plan("in", seed=-1), "seed is -1: it must be 0 or more"),
        (lambda: Search("in", "out.txt"), "out.txt: the script is a .sh file"),
        (lambda: Counting("in", "prior.txt"), "prior.txt: the prior is a .npy file"),
        (lambda: Counting((), "prior.npy"), "nothing to count"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(settings, message):
    with pytest.raises(ValueError, match=message):
        settings()


@pytest.mark.both
def test_photos_are_evaluated(colorizer, photo_folder, tmp_path, capsys, events):
    (photo_folder / "broken.jpg").write_bytes(b"")
    study = Study(str(photo_folder), cut=Cut(resize=40), gallery=1, comparison=2)
    found = evaluating.evaluate(study, {"ours": colorizer}, progress=events.append)
    facts = json.loads(found.contents["evaluation.json"])
    assert facts["photos"] == 6
    assert facts["figures"].keys() == {"ours", "all gray", "random ab", "truth"}
    assert facts["protocol"]["rows"]["ours"]["weights"] == "small.safetensors"
    assert {"gallery.html", "comparison.png", "reliability.png"} <= found.contents.keys()
    assert not found.complete
    (line,) = lines(events)
    assert line.startswith("skipped: ")
    assert steps(events) == (6, 6)
    choice = Sweep(str(photo_folder), (1.0,), (0.0,), (1.0, 1.2), most=3)
    best = choosing.measure(choice, colorizer, events.append)
    assert (best["photos"], len(best["decodings"])) == (2, 4)
    assert len(best["protocol"]["skipped"]) == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.both
def test_pictures_that_are_there_are_measured_and_compared(
    colorizer, photo_folder, tmp_path, capsys, events
):
    listing = jobs.find_set(str(photo_folder), str(tmp_path / "result"))
    assert listing.colorize(colorizer, progress=events.append).failed == 0
    runs = []
    for resize in (24, 40):
        folders = Folders(str(photo_folder), str(tmp_path / "result"), cut=Cut(resize=resize))
        found = measuring.measure_folders(folders, progress=events.append)
        written = json.loads(found.contents[0])["figures"]
        assert written["colorized"] == found.summary.figures["colorized"]
        runs.append(str(tmp_path / f"{resize}.npz"))
        record.write({runs[-1]: found.contents[-1]})
    ledgers, _ = ledger.unpack(runs[0], Row)
    record.write({str(tmp_path / "both.npz"): ledger.pack(ledgers | {"b": ledgers["truth"]}, {})})
    count, (pair,) = comparing.compare(str(tmp_path / "both.npz"))
    assert (count, pair["first"], pair["second"]) == (6, "colorized", "b")
    with pytest.raises(ValueError, match="measured differently: resize is 24 and 40"):
        comparing.compare(*runs)
    assert capsys.readouterr() == ("", "")


@pytest.mark.both
def test_a_classifier_looks_at_pictures_and_is_looked_at(photo_folder, tmp_path, capsys, events):
    (photo_folder / "chelsea.webp").unlink()
    network = networks.get("efficientnet_lite", size=32, classes=2)
    path = str(tmp_path / "lite.safetensors")
    checkpoint.save(path, initialize(network, 3), checkpoint.network_meta(network))
    backend = backends.get("torch")
    opened = Recognition(str(photo_folder)).open(path)
    found = opened.measure(backend, "cpu", events.append)
    assert (found.failures, found.protocol["count"]) == ([], 5)
    assert steps(events) == (5, 5)
    contents, text = found.rendered()
    assert contents.keys() == {".json", ".png", ".npz"}
    assert "note: imgs_dir" in text
    photos = classification.Labelled(str(photo_folder), load_size=40)
    seen = classification.evaluate(photos, {"lite": (path, backend)}, "cpu", 0, events.append)
    assert seen.complete
    assert json.loads(seen.contents["evaluation.json"])["photos"] == 5
    assert capsys.readouterr() == ("", "")


@pytest.mark.both
def test_weights_are_ported_proven_and_released(colorizer, tmp_path, backend, monkeypatch):
    source, target = colorizer.weights, str(tmp_path / "theirs.pth")
    port = Port.of(source, target)
    rows = port.write([backend])
    assert [row.what for row in rows if row.what == backend.NAME] == [backend.NAME]
    assert all(row.passes for row in rows)
    assert formats.read(target).network == colorizer.network
    monkeypatch.setattr(verify, "TOLERANCE", -1)
    with pytest.raises(porting.DiffersError, match="not written"):
        Port.of(source, str(tmp_path / "wrong.pth")).write([])
    assert not (tmp_path / "wrong.pth").exists()
    with pytest.raises(ValueError, match="not of vgg16"):
        Port.of(source, target, network="vgg16")

    release.release(source, tmp_path / "out.safetensors", temperature=0.7)
    _, state, meta = reading.load_weights(tmp_path / "out.safetensors")
    assert meta["colorize"]["temperature"] == 0.7
    assert {array.dtype for array in state.values() if array.ndim > 1} == {np.dtype("float16")}
