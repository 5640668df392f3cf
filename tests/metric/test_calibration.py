"""metric.figures.calibration: closed forms, a loop over cells, merging, the picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import special

from cic.colour.bins import AB
from metric.figures.calibration import Calibration, png


def measured(logits, true_ab, **options):
    calibration = Calibration(**options)
    calibration.update(logits, true_ab)
    return calibration


def test_a_uniform_distribution():
    true = np.tile(AB, (2, 1))  # each bin twice: the likeliest, the first, is right once in 313
    figures = measured(np.zeros((313, 626), np.float32), true).compute()
    share = 1 / 313
    assert figures == pytest.approx(
        {"cells": 626, "confidence": share, "accuracy": share, "ece": 0, "nll": np.log2(313)}
    )


@pytest.mark.parametrize("size", [100.0, 1e4])
def test_sure_and_right_and_sure_and_wrong(size):
    logits = np.zeros((313, 1, 1), np.float32)
    logits[20] = size
    right = measured(logits, AB[20].reshape(1, 1, 2)).compute()
    assert right == pytest.approx({"cells": 1, "confidence": 1, "accuracy": 1, "ece": 0, "nll": 0})
    wrong = measured(logits, AB[21].reshape(1, 1, 2)).compute()
    bits = size / np.log(2)
    assert wrong == pytest.approx(
        {"cells": 1, "confidence": 1, "accuracy": 0, "ece": 1, "nll": bits}
    )


def test_a_coin_that_keeps_its_word():
    logits = np.full((313, 4), -np.inf)
    logits[5], logits[6] = np.log(0.75), np.log(0.25)
    figures = measured(logits, AB[[5, 5, 5, 6]]).compute()
    assert figures["ece"] == pytest.approx(0, abs=1e-12)
    assert figures["accuracy"] == pytest.approx(0.75)
    assert figures["nll"] == pytest.approx(0.75 * np.log2(4 / 3) + 0.25 * 2)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([0.5, 3.0, 30.0]),
    temperature=st.sampled_from([0.38, 1.0, 2.0]),
    groups=st.integers(1, 20),
)
def test_figures_equal_a_loop_over_cells(seed, scale, temperature, groups):
    random = np.random.default_rng(seed)
    logits = scale * random.standard_normal((313, 6, 5))
    true = random.uniform(-60, 60, (6, 5, 2))
    cells = [[] for _ in range(groups)]
    surprise = []
    for i, j in np.ndindex(6, 5):
        share = special.softmax(logits[:, i, j] / temperature)
        own = np.hypot(*(AB - true[i, j]).T).argmin()
        top = share.max()
        group = next(g for g in range(groups) if g / groups < top <= (g + 1) / groups + 1e-12)
        cells[group].append((top, share.argmax() == own))
        surprise.append(-np.log2(share[own]))
    calibration = measured(logits, true, temperature=temperature, groups=groups)
    seen = [np.mean(group, axis=0) for group in cells if group]
    sizes = [len(group) for group in cells if group]
    confidence, accuracy, counts = calibration.curve()
    np.testing.assert_allclose(np.stack([confidence, accuracy], axis=1), seen)
    assert counts.tolist() == sizes
    figures = calibration.compute()
    error = sum(n * abs(c - a) for n, (c, a) in zip(sizes, seen)) / 30
    assert figures["ece"] == pytest.approx(error)
    assert figures["nll"] == pytest.approx(np.mean(surprise))
    assert figures["accuracy"] == pytest.approx(np.dot(sizes, accuracy) / 30)


def test_shards_merge_to_the_whole():
    random = np.random.default_rng(0)
    whole, left, right = Calibration(), Calibration(), Calibration()
    for i in range(5):
        cells = 3 * random.standard_normal((313, 4, i)), random.uniform(-50, 50, (4, i, 2))
        whole.update(*cells)
        (left, right)[i % 2].update(*cells)
    left.merge(right)
    assert left.compute() == pytest.approx(whole.compute(), rel=1e-12)
    for other in (Calibration(0.5), Calibration(groups=10)):
        with pytest.raises(ValueError, match="do not merge"):
            left.merge(other)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="no cell"):
        Calibration().compute()
    with pytest.raises(ValueError, match="6 cells beside the ab of 5"):
        Calibration().update(np.zeros((313, 6)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="temperature is 0"):
        Calibration(0)


def test_the_diagram_is_a_png_and_names_stay_as_they_are(tmp_path):
    random = np.random.default_rng(0)
    logits, true = 3 * random.standard_normal((313, 50)), random.uniform(-50, 50, (50, 2))
    curves = {
        r"$\no_formula$": measured(logits, true),
        "$open": measured(logits, true, temperature=0.4),
    }
    (tmp_path / "one.png").write_bytes(png(curves))
    (tmp_path / "two.png").write_bytes(png({"$open": curves["$open"]}))
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert one.format == "PNG"
        assert one.size == two.size
        assert not np.array_equal(np.asarray(one), np.asarray(two))
    assert len(list(tmp_path.iterdir())) == 2
