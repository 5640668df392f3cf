"""metric.frontier and tools/frontier.py: figures by their definitions, and which are worth it."""

import io
import json
from functools import partial

import numpy as np
import pytest
from PIL import Image

from cic.colorize.refine import refine
from cic.colour import prior, rebalance
from cic.colour.bins import AB
from cic.colour.distributions import soft_encode
from cic.colour.lab import lab_to_rgb, recolor, rgb_to_lab
from cic.weights import checkpoint, reading
from helpers import ROOT, started
from metric import frontier
from metric.figures.auc import AuC, credit
from metric.figures.colourfulness import colourfulness
from metric.figures.warmth import warm
from metric.frontier import Frontier, decodings, on_frontier, png, table

pytestmark = pytest.mark.slow

WEIGHTS = rebalance.weights(prior.default(), 0.6)


def cells(photos, name):
    """(logits, L, true ab) of a photo's cells, as a network's that knows something."""
    lab = rgb_to_lab(photos[name][::16, ::16])
    distance = np.square(lab[..., None, 1:] - AB).sum(-1)
    noise = np.random.default_rng(0).standard_normal(distance.shape)
    return (
        (2 * noise - distance / 500).transpose(2, 0, 1).astype(np.float32),
        lab[..., 0],
        lab[..., 1:],
    )


@pytest.fixture
def some():
    return decodings(tuple(WEIGHTS.tolist()), (0.38, 1.0), (0.0, 0.3), (0.8, 1.2))


def test_the_grid_is_of_all_combinations(some):
    assert len(some) == len(set(some)) == 16
    assert len(decodings(tuple(WEIGHTS.tolist()))) == 4 * 3 * 4 * 2
    with pytest.raises(ValueError, match="do not say how"):
        decodings(None)


def test_credits_add_up_to_auc(photos):
    random = np.random.default_rng(0)
    true = rgb_to_lab(photos["coffee"][::8, ::8])[..., 1:]
    other = true + random.normal(0, 40, true.shape).astype(np.float32)
    other[:10] = true[:10]
    auc = AuC()
    auc.update(true, other)
    error = np.hypot(*np.moveaxis(other.astype(float) - true, -1, 0))
    assert 100 * credit(error).mean() == pytest.approx(auc.compute()["raw"], rel=1e-12)
    assert credit(np.array([0, 0.5, 1, 149.5, 150, 150.5])).tolist() == pytest.approx(
        [1, 1 - 0.5 / 150, 1 - 0.5 / 150, 0.5 / 150, 0.5 / 150, 0]
    )


def test_figures_are_those_of_the_shown_cells(photos, some):
    refined = partial(refine, evenness=20, fade=60)
    found = Frontier(some, refined=refined)
    logits, light, true_ab = cells(photos, "coffee")
    found.update(logits, light, true_ab)
    found = found.compute()
    truth = np.rint(255 * lab_to_rgb(np.dstack([light, true_ab]))).astype(np.uint8)
    true = rgb_to_lab(truth)[..., 1:]
    weights = rebalance.weights(prior.default(), 0.5)[soft_encode(true, 1)[0][..., 0]]
    for one, row in zip(some, found["decodings"], strict=True):
        made = recolor(truth, refined(one(logits), light))
        ab = rgb_to_lab(made)[..., 1:]
        error = np.hypot(*np.moveaxis(ab.astype(float) - true, -1, 0))
        balanced = (weights * credit(error)).sum() / weights.sum()
        assert row["balanced"] == pytest.approx(100 * balanced, rel=1e-5)
        assert row["raw"] == pytest.approx(100 * credit(error).mean(), rel=1e-5)
        expected = colourfulness(made) / colourfulness(truth)
        assert row["colourfulness"] == pytest.approx(expected, rel=1e-5)
        assert (row["statistic"], row["saturation"]) == (one.statistic, one.saturation)
    assert found["gray"]["raw"] == pytest.approx(100 * credit(np.hypot(*true.T)).mean(), abs=0.3)
    assert found["gray"]["colourfulness"] == pytest.approx(0, abs=0.02)
    assert [found["truth"][name] for name in frontier.FIGURES] == [100, 100, 1, 1]


def test_warm_hues_are_those_between_red_and_yellow():
    degrees = np.radians([-10, 19, 21, 50, 84, 86, 200])
    ab = np.stack([np.cos(degrees), np.sin(degrees)])
    assert warm(20 * ab).tolist() == [False, False, True, True, True, False, False]
    assert not warm(7.9 * ab).any()


def test_shards_merge_to_the_whole(photos, some):
    whole, left, right = (Frontier(some) for _ in range(3))
    for one, name in ((left, "coffee"), (right, "rocket")):
        one.update(*cells(photos, name))
        whole.update(*cells(photos, name))
    left.merge(right)
    for one, other in zip(left.compute()["decodings"], whole.compute()["decodings"], strict=True):
        assert one == pytest.approx(other)
    with pytest.raises(ValueError, match="do not merge"):
        left.merge(Frontier(some[1:]))


def test_the_frontier_is_what_none_beats(photos, some):
    found = Frontier(some)
    found.update(*cells(photos, "coffee"))
    found = found.compute()
    best = on_frontier(found)
    raw, balanced = ([row[name] for row in best] for name in ("raw", "balanced"))
    assert raw == sorted(raw, reverse=True)
    assert balanced == sorted(balanced)
    for row in found["decodings"]:
        worse = [one["raw"] >= row["raw"] and one["balanced"] >= row["balanced"] for one in best]
        assert any(worse)
    assert 0 < len(best) < len(some)
    assert len(table(found)) == len(best) + 1
    assert Image.open(io.BytesIO(png(found))).size == (990, 660)


def test_the_tool_measures_weights(photo_folder, tmp_path, backend):
    (photo_folder / "broken.jpg").write_bytes(b"")
    _, state, meta = reading.load_weights()
    path = tmp_path / "some.safetensors"
    checkpoint.save(path, state, meta | {"bin_weights": WEIGHTS.tolist()})
    command = [ROOT / "tools" / "frontier.py", "--image_dir", photo_folder]
    command += ["--save_path", "out", "--weights", path, "--backend", backend.NAME]
    command += ["--size", "64,96", "--temperatures", "0.38", "1", "--saturations", "0.7", "1"]
    run = started.run(*command, cwd=tmp_path, fresh=backend.NAME == "torch")
    assert run.returncode == 1
    assert run.stderr.count("broken.jpg") == 1
    found = json.loads((tmp_path / "out" / "frontier.json").read_text())
    assert found["photos"] == 6
    assert len(found["decodings"]) == 2 * 3 * 2 * 2
    assert found["protocol"]["sizes"] == [64, 96]
    assert (tmp_path / "out" / "frontier.txt").read_text() == run.stdout.partition("have")[0]
    assert Image.open(tmp_path / "out" / "frontier.png").size == (990, 660)
    command += ["--unweights", "2"]
    run = started.run(*command, cwd=tmp_path)
    assert run.returncode == 2
    assert "is not a number from 0 to 1" in run.stderr
