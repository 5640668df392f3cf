"""cic.colour.prior: counts that add up, the file that keeps them, the bundled one."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from skimage import color

import cic
from cic.colour.bins import AB, COUNT
from cic.colour.lab import rgb_to_lab
from cic.colour.prior import Prior, default, divergence, photo_ab, read
from cic.colour.rebalance import smooth
from cic.photos.images import PhotoError

COUNTS = st.lists(st.integers(0, 10**12), min_size=COUNT, max_size=COUNT).filter(any)


def counted(*photos):
    """The Prior of (H, W, 3) uint8 photos."""
    prior = Prior()
    for photo in photos:
        prior.update(rgb_to_lab(photo)[..., 1:])
    return prior


def test_pixels_and_photos_are_counted(photos):
    prior = counted(photos["coffee"], photos["chelsea"])
    assert prior.photos == 2
    assert prior.pixels.sum() == sum(photos[name][..., 0].size for name in ("coffee", "chelsea"))
    ab = rgb_to_lab(photos["coffee"])[::8, ::8, 1:].reshape(-1, 1, 2)
    nearest = np.bincount(np.square(ab - AB).sum(-1).argmin(-1), minlength=COUNT)
    assert np.abs(counted(photos["coffee"][::8, ::8]).pixels - nearest).sum() <= 2  # ties


def test_two_priors_with_their_counts_add_up(photos, tmp_path):
    names = sorted(photos)
    whole = counted(*(photos[name] for name in names))
    first, second = (counted(*(photos[name] for name in half)) for half in (names[:1], names[1:]))
    first.save(tmp_path / "first.npy")
    second.save(tmp_path / "second.npy")
    merged = Prior.load(tmp_path / "first.npy")
    merged.merge(Prior.load(tmp_path / "second.npy"))
    assert np.array_equal(merged.pixels, whole.pixels)
    assert merged.photos == whole.photos
    assert np.array_equal(merged.compute(), whole.compute())
    assert np.array_equal(first.compute(), np.load(tmp_path / "first.npy"))  # left as it was


@settings(max_examples=20)
@given(pixels=COUNTS, photos=st.integers(0, 10**9))
def test_a_saved_prior_says_what_it_saw(tmp_path_factory, pixels, photos):
    path = tmp_path_factory.mktemp("priors") / "prior.npy"
    Prior(pixels, photos).save(path)
    assert np.array_equal(read(path), smooth(pixels))
    loaded = Prior.load(path)
    assert loaded.pixels.tolist() == pixels
    assert loaded.photos == photos


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("no counts"),
        lambda path: np.save(path, default()),
        lambda path: path.write_bytes(path.with_name("whole.npy").read_bytes()[:-20]),
    ],
    ids=["text", "a prior alone", "cut off"],
)
def test_counts_that_are_none_are_named(tmp_path, write):
    Prior(np.arange(COUNT), 1).save(tmp_path / "whole.npy")
    write(tmp_path / "other.npy")
    with pytest.raises(ValueError, match=r"other\.npy: no counts"):
        Prior.load(tmp_path / "other.npy")


def test_the_ab_of_a_photo_is_that_of_training_targets(tmp_path, photos):
    small = photos["coffee"][:64, :96]
    Image.fromarray(small).save(tmp_path / "a.png")
    ab = photo_ab(tmp_path / "a.png")
    assert np.abs(ab - color.rgb2lab(small)[::4, ::4, 1:]).max() < 1e-3
    Image.fromarray(photos["coffee"]).save(tmp_path / "b.png")  # 400 pixels high
    assert photo_ab(tmp_path / "b.png").shape == (64, 96, 2)
    assert photo_ab(tmp_path / "b.png", load_size=64).shape == (16, 24, 2)
    with pytest.raises(PhotoError):
        photo_ab(tmp_path / "none.png")


def test_divergence_equals_scipys():
    other = smooth(np.arange(COUNT))
    assert divergence(default(), other) == pytest.approx(stats.entropy(default(), other))
    assert divergence(default(), default()) == 0
    one = np.eye(COUNT)[7]
    assert divergence(one, other) == pytest.approx(-np.log(other[7]))


def test_the_bundled_prior_is_that_of_its_counts():
    bundled = Prior.load(Path(cic.__file__).parent / "data" / "prior.npy")
    assert bundled.photos > 30_000
    # BLAS adds up in an order of its own on every machine.
    np.testing.assert_allclose(bundled.compute(), default(), rtol=1e-12)


def test_the_default_prior_is_one_and_read_only():
    prior = default()
    assert prior.shape == (313,)
    assert abs(prior.sum() - 1) < 1e-6
    assert prior.min() > 0
    assert AB[prior.argmax()].tolist() == [0, 0]
    with pytest.raises(ValueError, match="read-only"):
        prior[0] = 1


def test_read_gives_back_what_was_saved(tmp_path):
    prior = smooth(np.eye(COUNT)[[3, 4, 200]].sum(0))
    np.save(tmp_path / "prior.npy", prior)
    assert np.array_equal(read(tmp_path / "prior.npy"), prior)


def write_object(path):
    np.save(path, np.array([{}] * 313), allow_pickle=True)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("0.5 0.5"),
        lambda path: path.write_bytes(b"\x93NUMPY"),
        lambda path: path.write_bytes(b"PK\x03\x04, an archive cut short"),
        lambda path: np.save(path, np.ones(313)),
        lambda path: np.save(path, np.ones(5) / 5),
        lambda path: np.save(path, np.array(["a"] * 313)),
        write_object,
    ],
    ids=["empty", "text", "header", "archive", "sum", "shape", "strings", "objects"],
)
def test_read_names_a_file_that_is_none(tmp_path, write):
    path = tmp_path / "other.npy"
    write(path)
    with pytest.raises(ValueError, match=r"other\.npy: not a prior: "):
        read(path)


def test_read_names_a_missing_file(tmp_path):
    with pytest.raises(OSError, match=r"none\.npy"):
        read(tmp_path / "none.npy")


def npy(header, data=b""):
    text = header.encode() + b"\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + data


HEADER = "{'descr': '<f8', 'fortran_order': False, 'shape': (313,), }"


@pytest.mark.parametrize(
    "data",
    [
        npy("(" * 9000),  # which tokenize does not end
        npy("-" * 9000 + "1"),
        npy(HEADER.replace("(313,)", "(10000000000000,)")),  # 73 TB
        npy(HEADER.replace("(313,)", "(313, 10000000000)")),
        npy(HEADER.replace("'<f8'", "[('a', '<f8')]"), bytes(313 * 8)),
        npy(HEADER.replace("<f8", "|O"), bytes(313 * 8)),
        npy(HEADER.replace("<f8", "<U4"), bytes(313 * 16)),
        npy(HEADER, bytes(312 * 8)),
        npy(HEADER, np.full(313, np.nan).tobytes()),
        npy(HEADER, np.full(313, np.inf).tobytes()),
        b"\x93NUMPY\2\0\xff\xff\xff\xff" + HEADER.encode(),
        b"\x93NUMPY\x09\0\x76\0" + HEADER.encode(),
        b"\x80\x05\x96" + b"\xff" * 8,
    ],
    ids=range(13),
)
def test_a_header_that_asks_for_anything_is_one_line(tmp_path, data):
    path = tmp_path / "x.npy"
    path.write_bytes(data)
    tracemalloc.start()
    for load, reason in ((read, "not a prior"), (Prior.load, "no counts of a prior")):
        with pytest.raises(ValueError, match=rf"x\.npy: {reason}") as caught:
            load(path)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("kind", ["<f8", ">f8", "<f4", "<f2"])
def test_every_kind_of_number_that_numpy_writes_is_read(tmp_path, kind):
    prior = smooth(np.arange(COUNT)).astype(kind)
    np.save(tmp_path / "x.npy", prior)
    assert np.array_equal(read(tmp_path / "x.npy"), prior)
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array(file, prior, version=(2, 0))
    assert np.array_equal(read(tmp_path / "x.npy"), prior)
