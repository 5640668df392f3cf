"""RMSE, PSNR, SSIM, colourfulness and all together: oracles, closed forms, merging, baselines."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import color
from skimage import metrics as skimage_metrics
from skimage.metrics import peak_signal_noise_ratio

from cic.colour.lab import lightness, recolor, rgb_to_lab
from metric import baselines
from metric.figures.auc import AuC
from metric.figures.colourfulness import Colourfulness, colourfulness
from metric.figures.psnr import PSNR
from metric.figures.rmse import RMSE
from metric.figures.ssim import SSIM
from metric.figures.suite import Suite
from metric.figures.warmth import Warmth, warm


@pytest.fixture
def pairs(photos):
    """Three pairs of pictures of different sizes."""
    coffee, cat, rocket = (photos[name] for name in ("coffee", "chelsea", "rocket"))
    gray = recolor(coffee, np.zeros((*coffee.shape[:2], 2), np.float32))
    return [
        (coffee[:200, :180], gray[:200, :180]),
        (cat[:90, :300], cat[:90, :300][::-1]),
        (rocket[:120, :121], rocket[:120, :121] // 3 * 3),
    ]


def computed(metric, pairs):
    for pair in pairs:
        metric.update(*pair)
    return metric.compute()


def ab(picture):
    return rgb_to_lab(picture)[..., 1:]


def test_rmse_is_over_all_pixels_and_both_channels(pairs):
    differences = [(color.rgb2lab(p) - color.rgb2lab(r))[..., 1:].ravel() for p, r in pairs]
    expected = math.sqrt(np.square(np.concatenate(differences)).mean())
    figures = computed(RMSE(), [(ab(p), ab(r)) for p, r in pairs])
    assert figures == {"rmse_ab": pytest.approx(expected, rel=1e-5)}


def test_rmse_in_closed_form():
    metric = RMSE()
    metric.update(np.zeros((4, 2)), np.full((4, 2), 3.0))
    assert metric.compute()["rmse_ab"] == pytest.approx(3)
    metric.update(np.zeros((4, 2)), np.zeros((4, 2)))
    assert metric.compute()["rmse_ab"] == pytest.approx(3 / math.sqrt(2))


def test_psnr_is_scikit_images(pairs):
    expected = np.mean([peak_signal_noise_ratio(*pair) for pair in pairs])
    assert computed(PSNR(), pairs) == {"psnr": pytest.approx(expected, abs=1e-9), "identical": 0}


def test_identical_pictures_are_counted_apart(pairs):
    same = [(photo, photo) for photo, _ in pairs[:2]]
    assert computed(PSNR(), same) == {"psnr": math.inf, "identical": 2}
    alone = computed(PSNR(), pairs[:1])["psnr"]
    assert computed(PSNR(), same + pairs[:1]) == {"psnr": alone, "identical": 2}


def plain_ssim(photo, result):
    """Wang et al.'s equation 13 with full two-dimensional windows, a channel after another."""
    offset = np.arange(-5, 6)
    window = np.exp(-np.square(offset) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2
    x, y = (
        np.lib.stride_tricks.sliding_window_view(p.astype(np.float64), (11, 11), axis=(0, 1))
        for p in (photo, result)
    )

    def mean(values):
        return np.einsum("...ij,ij->...", values, window)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return ((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()


def test_ssim_is_wangs(pairs):
    small = [(photo[:60, :50], result[:60, :50]) for photo, result in pairs]
    expected = np.mean([plain_ssim(*pair) for pair in small])
    assert computed(SSIM(), small) == {"ssim": pytest.approx(expected, abs=1e-9)}
    assert computed(SSIM(), [(p, p) for p, _ in pairs])["ssim"] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (10, 40), (40, 3)])
def test_ssim_of_pictures_smaller_than_the_window(photos, size):
    photo = photos["coffee"][100 : 100 + size[0], 100 : 100 + size[1]]
    assert computed(SSIM(), [(photo, photo)])["ssim"] == pytest.approx(1)
    other = computed(SSIM(), [(photo, 255 - photo)])["ssim"]
    assert other < 0.9
    full = photos["coffee"][:11, :11]
    expected = skimage_metrics.structural_similarity(
        full,
        full[::-1],
        gaussian_weights=True,
        use_sample_covariance=False,
        channel_axis=2,
        data_range=255,
    )
    assert computed(SSIM(), [(full, full[::-1])])["ssim"] == pytest.approx(expected)


def plain_colourfulness(picture):
    red, green, blue = (picture[..., c].astype(np.float64) for c in range(3))
    rg, yb = red - green, 0.5 * (red + green) - blue
    return np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())


def test_colourfulness_is_hasler_and_suesstrunks(photos):
    for photo in photos.values():
        assert colourfulness(photo) == pytest.approx(plain_colourfulness(photo), rel=1e-9)


def test_colourfulness_in_closed_form():
    one = np.broadcast_to(np.uint8([200, 80, 40]), (3, 5, 3))
    assert colourfulness(one) == pytest.approx(0.3 * math.hypot(120, 100))
    halves = np.uint8([[[255, 0, 0], [0, 255, 0]]])  # rg is +-255, yb 127.5 twice
    assert colourfulness(halves) == pytest.approx(255 + 0.3 * 127.5)
    assert colourfulness(np.full((4, 4, 3), 77, np.uint8)) == 0


def test_both_conventions_of_the_difference(pairs):
    true, made = ([plain_colourfulness(p) for p in side] for side in zip(*pairs))
    # The second pair the other way round: one gains what another loses.
    pairs = [*pairs, (pairs[0][1], pairs[0][0])]
    true, made = [*true, made[0]], [*made, true[0]]
    figures = computed(Colourfulness(), pairs)
    expected = {
        "colourfulness": np.mean(made),
        "colourfulness_truth": np.mean(true),
        "colourfulness_ratio": np.mean(made) / np.mean(true),
        "colourfulness_mean_difference": np.abs(np.subtract(made, true)).mean(),
        "colourfulness_difference_of_means": abs(np.mean(made) - np.mean(true)),
    }
    assert figures == pytest.approx(expected)
    assert figures["colourfulness_mean_difference"] > 10
    assert figures["colourfulness_difference_of_means"] < 1


def test_warm_is_a_hue_of_20_to_85_degrees_with_some_chroma(photos):
    def share(picture):
        a, b = np.moveaxis(color.rgb2lab(picture)[..., 1:], -1, 0)
        hue = np.degrees(np.arctan2(b, a))
        return 100 * ((hue >= 20) & (hue <= 85) & (np.hypot(a, b) > 8)).mean()

    for photo in photos.values():
        turned = photo[..., [1, 2, 0]]
        figures = computed(Warmth(), [(photo, turned)])
        expected = {"warm": share(turned), "warm_truth": share(photo)}
        expected["warm_ratio"] = expected["warm"] / expected["warm_truth"]
        assert figures == pytest.approx(expected, rel=1e-3)
    both = [(photos["coffee"], photos["rocket"]), (photos["rocket"], photos["coffee"])]
    assert computed(Warmth(), both)["warm_ratio"] == 1
    assert 5 < share(photos["coffee"]) < 95


def test_a_hue_at_the_border():
    degrees = np.radians([19.9, 20.1, 84.9, 85.1, 199.9, 230, -50])
    for chroma, expected in ((8.01, [0, 1, 1, 0, 0, 0, 0]), (7.99, [0] * 7)):
        ab = chroma * np.stack([np.cos(degrees), np.sin(degrees)])
        assert warm(ab).tolist() == [bool(one) for one in expected]


@pytest.mark.parametrize("kind", [PSNR, SSIM, Colourfulness, Warmth, Suite])
def test_shards_merge_to_the_whole(kind, pairs):
    left, right = kind(), kind()
    for shard, pair in zip((right, left, left), pairs):
        shard.update(*pair)
    left.merge(right)
    assert left.compute() == pytest.approx(computed(kind(), pairs), rel=1e-12)


def test_shards_of_rmse_merge_to_the_whole(pairs):
    left, right = RMSE(), RMSE()
    computed(left, [tuple(map(ab, pairs[0]))])
    computed(right, [tuple(map(ab, pair)) for pair in pairs[1:]])
    left.merge(right)
    whole = computed(RMSE(), [tuple(map(ab, pair)) for pair in pairs])
    assert left.compute() == pytest.approx(whole, rel=1e-12)


def test_a_suite_is_its_metrics(pairs):
    figures = computed(Suite(), pairs)
    expected = {f"auc_{name}": value for name, value in computed(AuC(), pairs).items()}
    for metric in (PSNR(), SSIM(), Colourfulness(), Warmth()):
        expected |= computed(metric, pairs)
    expected |= computed(RMSE(), [tuple(map(ab, pair)) for pair in pairs])
    assert figures == pytest.approx(expected, rel=1e-5)
    strict = computed(Suite(strict=True), pairs)
    assert strict["auc_raw"] == computed(AuC(strict=True), pairs)["raw"]


def test_one_suite_a_picture_merges_bit_by_bit_however_it_travelled(pairs):
    parts = []
    for pair in pairs:
        parts.append(Suite())
        parts[-1].update(*pair)
        assert parts[-1].error() == pytest.approx(
            computed(RMSE(), [tuple(map(ab, pair))])["rmse_ab"]
        )
    assert len(pickle.dumps(parts[0])) < 10_000
    here, there = Suite(), Suite()
    for part in parts:
        here.merge(part)
        there.merge(pickle.loads(pickle.dumps(part)))
    assert here.compute() == there.compute()


def test_baselines_keep_the_lightness(photos):
    photo, donor = photos["coffee"], photos["rocket"]
    made = baselines.pictures(photo, donor)
    assert list(made) == ["all gray", "random ab", "truth"]
    assert np.ptp(made["all gray"].astype(int), axis=2).max() <= 1  # ab of 0 is not quite R = G = B
    assert made["truth"] is photo
    for picture in made.values():
        assert picture.shape == photo.shape
        assert np.abs(lightness(picture) - lightness(photo)).max() < 1
    same = baselines.pictures(photo, photo)["random ab"]
    assert np.abs(same.astype(int) - photo).max() <= 1  # its own colours
    assert list(baselines.pictures(photo)) == ["all gray", "truth"]


@given(st.integers(2, 60), st.integers(0, 2**64 - 1))
def test_donors_are_others_and_each_gives_once(count, seed):
    donor = baselines.donors(count, seed)
    assert sorted(donor) == list(range(count))
    assert all(i != other for i, other in enumerate(donor))
    assert donor == baselines.donors(count, seed)


def test_donors_follow_the_seed():
    assert baselines.donors(50, 1) != baselines.donors(50, 2)
    assert baselines.donors(1) == [None]
