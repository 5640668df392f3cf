"""Intervals by bootstrap: a slow loop, coverage of a known truth, pairing, and any order."""

import random

import numpy as np
import pytest

from cic.colour.lab import rgb_to_lab
from metric import summary
from metric.baselines import GRAY
from metric.figures import bootstrap
from metric.figures.calibration import Calibration
from metric.figures.suite import Suite
from metric.figures.sums import Sums, ratio
from metric.figures.temperature import Temperatures
from metric.ledger import Ledger, resampled


class Mean(Sums):
    """A weighted mean."""

    COLUMNS = ("value", "weight")

    @staticmethod
    def of(sums):
        return {"mean": ratio(sums["value"], sums["weight"])}


def ledger_of(values, weights):
    ledger = Ledger(Mean())
    for number, (value, weight) in enumerate(zip(values, weights)):
        one = Mean()
        one.add(float(value * weight), float(weight))
        ledger.add(f"{number:04}", one)
    return ledger


def seen(pairs):
    """{row: Ledger of Suite} of {photo: (truth, result)}, and of the truth as a baseline."""
    rows = {"ours": Ledger(Suite()), GRAY: Ledger(Suite())}
    for name, (photo, result) in pairs.items():
        for row, picture in (("ours", result), (GRAY, photo // 2)):
            one = Suite()
            one.update(photo, picture)
            rows[row].add(name, one)
    return rows


@pytest.fixture
def pairs(photos):
    """Eight cuts of photographs of several sizes, and the same turned about and darker."""
    found = {}
    for number, photo in enumerate(photos.values()):
        for place in (0, 90):
            cut = photo[place : place + 40 + 9 * number, 60:130]
            found[f"{number}/{place}"] = cut, cut[:, ::-1] // 4 * 3
    return found


def test_intervals_equal_a_slow_loop_over_photos(pairs):
    """Every replicate is measured anew: metrics merged photo by photo, as often as it was drawn."""
    replicates = 40
    parts = {}
    for name, pair in pairs.items():
        parts[name] = Suite()
        parts[name].update(*pair)
    expected = []
    for _, times in bootstrap.times_drawn(len(parts), replicates):
        for row in times:
            whole = Suite()
            for name, count in zip(sorted(parts), row):
                for _ in range(int(count)):
                    whole.merge(parts[name])
            expected.append(whole.compute())
    table = seen(pairs)["ours"]
    sums = bootstrap.totals({"ours": table.table()}, replicates)["ours"]
    found = Suite.of(dict(zip(table.columns(), sums)))
    assert len(expected) == replicates
    for name, values in found.items():
        assert values == pytest.approx([one[name] for one in expected], rel=1e-9), name
        low, high = bootstrap.interval(values)
        ordered = sorted(one[name] for one in expected)
        assert [low, high] == pytest.approx([ordered[0], ordered[-1]], rel=1e-9)


def test_every_replicate_draws_as_many_photos_as_there_are():
    blocks = list(bootstrap.times_drawn(700))
    times = np.concatenate([block for _, block in blocks])
    assert len(blocks) > 1
    assert [first for first, _ in blocks] == list(range(0, 1999, len(blocks[0][1])))
    assert times.shape == (1999, 700)
    assert (times.sum(1) == 700).all()
    assert (times == 0).mean() == pytest.approx(np.exp(-1), abs=2e-3)
    assert np.corrcoef(times[:, 0], times[:, 1])[0, 1] == pytest.approx(0, abs=0.1)


def test_the_ends_are_the_50th_replicate_from_either_side():
    values = np.random.default_rng(0).permutation(1999) + 1.0
    assert bootstrap.interval(values) == [50, 1950]
    values[7] = np.nan
    assert bootstrap.interval(values) is None
    assert bootstrap.interval(np.full(1999, np.inf)) == [np.inf, np.inf]


def test_an_interval_holds_a_known_truth_as_often_as_it_says():
    """A population whose pixels weigh by photo, and whose weights go with the error."""
    draw = np.random.default_rng(1)
    held, trials, photos = 0, 300, 120
    for _ in range(trials):
        weights = draw.lognormal(0, 0.7, photos)
        values = 5 + weights + draw.normal(0, 2, photos)
        # E[w (5 + w)] / E[w] of a log-normal weight.
        truth = 5 + np.exp(1.5 * 0.7**2)
        found = summary.summarize({"a": ledger_of(values, weights)})
        low, high = found.intervals["a"]["mean"]
        held += low <= truth <= high
    assert 0.88 < held / trials < 0.985


def test_a_paired_difference_is_narrower_and_of_the_same_draws():
    draw = np.random.default_rng(2)
    level, gain, ones = draw.normal(80, 10, 200), draw.normal(1, 1, 200), np.ones(200)
    ledgers = {"a": ledger_of(level + gain, ones), "b": ledger_of(level, ones)}
    drawn = {row: Mean.of(sums) for row, sums in resampled(ledgers).items()}
    figures = {row: ledger.compute() for row, ledger in ledgers.items()}
    difference, low, high = summary.differences("a", "b", figures, drawn, ["mean"])["mean"]
    assert difference == pytest.approx(gain.mean())
    assert 0.5 < low < difference < high < 1.5
    unpaired = [np.ptp(bootstrap.interval(drawn[row]["mean"])) for row in "ab"]
    assert high - low < 0.2 * min(unpaired)
    alone = summary.summarize({"gain": ledger_of(gain, ones)}).intervals["gain"]["mean"]
    assert alone == pytest.approx([low, high], abs=1e-9)


def test_shards_in_any_order_give_the_same_bits(pairs):
    whole = summary.summarize(seen(pairs))
    names = list(pairs)
    for seed in range(3):
        random.Random(seed).shuffle(names)
        shards = [seen({name: pairs[name] for name in names[n::3]}) for n in range(3)]
        merged = shards[seed]
        for n in (1, 2):
            for row, ledger in shards[seed - n].items():
                merged[row].merge(ledger)
        found = summary.summarize(merged)
        assert found[:5] == whole[:5]
        assert found.text() == whole.text()


def test_the_summary_beside_its_parts(pairs):
    found = summary.summarize(seen(pairs))
    both = Suite()
    for pair in pairs.values():
        both.update(*pair)
    assert found.figures["ours"] == pytest.approx(both.compute(), rel=1e-12)
    assert found.less_gray.keys() == {"ours"}
    for name, (difference, low, high) in found.less_gray["ours"].items():
        ours, gray = (found.figures[row][name] for row in ("ours", GRAY))
        assert difference == ours - gray
        assert low <= difference <= high
    for name, (low, high) in found.intervals["ours"].items():
        assert low < found.figures["ours"][name] < high, name
    assert "identical" not in found.intervals["ours"]
    shown = found.text()
    raw, (low, high) = found.figures["ours"]["auc_raw"], found.intervals["ours"]["auc_raw"]
    assert f"{raw:.2f} [{low:.1f}, {high:.1f}]" in shown
    difference, low, high = found.less_gray["ours"]["auc_raw"]
    assert f"{difference:+.2f} [{low:.2f}, {high:.2f}]" in shown
    assert "note: 8 photos are too few for an interval to hold" in shown
    assert f"the heaviest photo: raw {found.heaviest['raw']['share']:.1%}"[:-1] in shown


@pytest.mark.filterwarnings("error")
def test_a_difference_of_two_infinite_figures_is_none(pairs):
    rows = seen({name: (photo, photo) for name, (photo, _) in pairs.items()})
    found = summary.summarize({"ours": rows["ours"], GRAY: rows["ours"]})
    assert found.figures["ours"]["psnr"] == np.inf
    assert found.intervals["ours"]["psnr"] == [np.inf, np.inf]
    difference, *ends = found.less_gray["ours"]["psnr"]
    assert np.isnan(difference)
    assert ends == [None, None]
    assert found.less_gray["ours"]["ssim"] == [0, 0, 0]
    assert next(line.split() for line in found.text().splitlines() if "PSNR" in line)[2:] == 2 * [
        "inf"
    ]


def test_a_single_photo_has_no_interval(pairs):
    found = summary.summarize(seen({"a": pairs["0/0"]}))
    assert set(found.intervals["ours"].values()) == {None}
    assert found.less_gray["ours"]["auc_raw"][1:] == [None, None]
    assert "[" not in found.text()
    assert "95 %" not in found.text()


def test_intervals_by_temperature_are_those_of_each(photos):
    measured = Ledger(Temperatures((0.4, 2.0)))
    cold = Ledger(Calibration(0.4))
    noise = np.random.default_rng(0)
    for name, photo in photos.items():
        true = rgb_to_lab(photo[::40, ::40])[..., 1:]
        logits = 3 * noise.standard_normal((313, *true.shape[:2]))
        one, alone = Temperatures((0.4, 2.0)), Calibration(0.4)
        for metric in (one, alone):
            metric.update(logits, true)
        measured.add(name, one)
        cold.add(name, alone)
    drawn = resampled({"T": measured})["T"]
    intervals = measured.total.intervals(drawn)
    expected = Calibration.of(resampled({"T": cold})["T"])
    for name, values in expected.items():
        assert intervals[0][name] == bootstrap.interval(values)
    assert intervals[0]["nll"] != intervals[1]["nll"]
    for figures, spans in zip(measured.total.compute(), intervals):
        assert figures.keys() - spans.keys() == {"temperature"}
        for name in ("raw", "balanced", "nll"):
            assert spans[name][0] < figures[name] < spans[name][1]
    assert measured.total.intervals({}) == [{}, {}]
