"""temperature: each figure against its own definition, merging, the best of each aim."""

import numpy as np
import pytest

from cic.colour.bins import AB
from cic.colour.distributions import decode
from cic.colour.lab import rgb_to_lab
from cic.colour.rebalance import smooth
from metric.figures.auc import AuC
from metric.figures.calibration import Calibration
from metric.figures.temperature import Temperatures, best

GRID = (0.2, 0.38, 1.0, 3.0)


def cells(photos, name, seed=0):
    """Logits that hold the truth likely, blurred, and the true ab of a photo."""
    true = rgb_to_lab(photos[name][::16, ::16])[..., 1:]
    distance = np.square(true[..., None, :] - AB).sum(-1)
    noise = np.random.default_rng(seed).standard_normal(distance.shape)
    return (2 * noise - distance / 300).transpose(2, 0, 1).astype(np.float32), true


def test_figures_are_those_of_decoding_at_each_temperature(photos):
    logits, true = cells(photos, "coffee")
    measured = Temperatures(GRID)
    measured.update(logits, true)
    for temperature, row in zip(GRID, measured.compute(), strict=True):
        ab = np.moveaxis(decode(logits, temperature, axis=0), 0, -1)
        auc, calibration = AuC(), Calibration(temperature)
        auc.update(true, ab)
        calibration.update(logits, true)
        expected = {
            "temperature": temperature,
            "rmse_ab": np.sqrt(np.mean((ab - true) ** 2)),
            "raw": auc.compute()["raw"],
            "rebalanced": auc.compute()["rebalanced"],
            "balanced": auc.compute()["balanced"],
            "chroma": np.linalg.norm(ab, axis=-1).mean(),
            "true_chroma": np.linalg.norm(true, axis=-1).mean(),
            "nll": calibration.compute()["nll"],
            "ece": calibration.compute()["ece"],
        }
        assert row == pytest.approx(expected, rel=1e-5)


def test_shards_merge_to_the_whole(photos):
    whole, left, right = (Temperatures(GRID) for _ in range(3))
    for i, name in enumerate(photos):
        pair = cells(photos, name, i)
        whole.update(*pair)
        (left, right)[i % 2].update(*pair)
    left.merge(right)
    for one, other in zip(left.compute(), whole.compute(), strict=True):
        assert one == pytest.approx(other, rel=1e-10)
    for grid in (GRID[:2], GRID[1:]):
        with pytest.raises(ValueError, match="do not merge"):
            left.merge(Temperatures(grid))


def test_a_distribution_sharpened_by_a_known_factor_is_found():
    random = np.random.default_rng(0)
    logits = random.standard_normal((313, 3000))
    share = np.exp(logits) / np.exp(logits).sum(0)
    true = AB[(share.cumsum(0) > random.random(3000)).argmax(0)]  # drawn from the distribution
    measured = Temperatures((0.25, 0.5, 1.0, 2.0, 4.0))
    measured.update(2 * logits, true)
    found = best(measured.compute())
    assert found["likelihood"] == 2
    assert found["calibration"] == 2
    assert found["ab error"] >= 2


def test_each_aim_takes_its_own_best():
    figures = ("rmse_ab", "raw", "rebalanced", "balanced", "chroma", "true_chroma", "nll", "ece")
    rows = [(9, 1, 5, 6, 8, 5, 4, 3), (3, 2, 9, 5, 2, 5, 3, 2), (5, 7, 2, 1, 4, 5, 1, 8)]
    rows = [
        {"temperature": temperature, **dict(zip(figures, row))}
        for temperature, row in zip((0.1, 0.5, 1.0), rows)
    ]
    assert best(rows) == {
        "ab error": 0.5,
        "raw AuC": 1.0,
        "rebalanced AuC": 0.5,
        "balanced AuC": 0.1,
        "vividness of the truth": 1.0,
        "likelihood": 1.0,
        "calibration": 0.5,
    }


def test_the_prior_of_the_rebalanced_auc_is_the_given_one(photos):
    logits, true = cells(photos, "chelsea")
    figures = []
    for shares in (None, smooth(np.eye(313)[20] + 1e-6)):
        measured = Temperatures((0.38,), shares)
        measured.update(logits, true)
        figures.append(measured.compute()[0]["rebalanced"])
    assert abs(figures[0] - figures[1]) > 0.01
