"""Classes of photos: folders, shards, files of names."""

import io
import shutil
import tarfile

import numpy as np
import pytest
from skimage import color

from cic import networks
from cic.colour import distributions
from cic.colour.grid import Grid
from cic.dataset import targets
from cic.dataset.batches import Order, PhotoDataset, make_batch
from cic.photos.images import PhotoError
from cic.photos.sources import PhotoList

NETWORK = networks.get("special_vgg16", width=0.125, classes=2, size=64)


@pytest.fixture
def folder(photo_folder):
    (photo_folder / "chelsea.webp").unlink()
    return photo_folder


def test_the_class_is_the_outermost_folder(folder):
    photos = PhotoList([folder])
    assert targets.class_names(photos) == ["n01", "n02"]
    assert [targets.class_of(photo) for photo in photos] == ["n01"] * 2 + ["n02"] * 3


def test_classes_of_a_shard_are_those_of_its_folders(folder, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for path in sorted(folder.rglob("*.*")):
            data = path.read_bytes()
            info = tarfile.TarInfo(f"./{path.relative_to(folder)}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    shard, files = PhotoList([tmp_path / "a.tar"]), PhotoList([folder])
    assert targets.class_names(shard) == targets.class_names(files)
    assert sorted(map(targets.class_of, shard)) == sorted(map(targets.class_of, files))


def test_a_photo_in_no_class_folder_is_named(photo_folder):
    with pytest.raises(PhotoError, match=r"chelsea\.webp': in no class folder"):
        targets.class_names(PhotoList([photo_folder]))


def test_labels_are_numbers_of_the_classes_in_their_order(folder):
    options = {"load_size": 64, "crop_size": 64}
    for classes, expected in ((None, [0, 0, 1, 1, 1]), (["n02", "n01"], [1, 1, 0, 0, 0])):
        dataset = PhotoDataset([folder], NETWORK, **options, classes=classes)
        batch = make_batch(dataset, Order(5, 5, shuffle=False), 0)
        (labels,) = batch.targets
        assert labels.dtype == np.int64
        assert labels.tolist() == expected
        assert batch.inputs.shape == (5, 1, 64, 64)


def test_a_folder_of_an_unknown_class_is_refused_before_anything_is_read(folder):
    with pytest.raises(ValueError, match=r"photos: no class is called n02, of 1 folders"):
        PhotoDataset([folder], NETWORK, 64, 64, classes=["n01", "n03"])


def test_classes_are_as_many_as_the_networks_outputs(folder):
    with pytest.raises(ValueError, match="photos: 3 classes, but the network has 2 outputs"):
        PhotoDataset([folder], NETWORK, 64, 64, classes=["n01", "n02", "n03"])


def test_only_wanted_photos_are_listed(folder):
    wanted = PhotoList([folder], lambda photo: targets.class_of(photo) == "n02")
    assert len(wanted) == 3
    assert targets.class_names(wanted) == ["n02"]


def test_names_are_read_a_line_each(tmp_path):
    (tmp_path / "c").write_text("n02\n\n n01 \n", encoding="utf-8")
    assert targets.read_classes(tmp_path / "c") == ["n02", "n01"]
    (tmp_path / "twice").write_text("n02\nn02\n", encoding="utf-8")
    with pytest.raises(ValueError, match="twice: a name comes twice"):
        targets.read_classes(tmp_path / "twice")
    shutil.copy(__file__, tmp_path / "not")
    (tmp_path / "not").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="not text in UTF-8"):
        targets.read_classes(tmp_path / "not")


def cell_means(square, stride):
    """Mean ab of the cells, by skimage and one at a time."""
    ab, count = color.rgb2lab(square)[..., 1:], len(square) // stride
    rows = [range(n * stride, (n + 1) * stride) for n in range(count)]
    return np.array([[ab[np.ix_(row, column)].mean((0, 1)) for column in rows] for row in rows])


@pytest.mark.parametrize("stride", [1, 4])
def test_the_target_can_be_the_mean_of_each_cell(photos, stride):
    square = np.ascontiguousarray(photos["coffee"][100:132, 100:132])
    expected = cell_means(square, stride)
    assert np.abs(Grid(stride, mean=True).ab(square) - expected).max() < 1e-3
    first = color.rgb2lab(square)[::stride, ::stride, 1:]
    assert np.abs(Grid(stride).ab(square) - first).max() < 1e-3


def test_mean_targets_of_bins_and_of_colours(photos):
    square = np.ascontiguousarray(photos["coffee"][100:132, 100:132])
    mean = Grid(4, mean=True).ab(square)
    index, weight = targets.Bins(4, mean=True).of(square, 0)
    assert np.array_equal(index.transpose(1, 2, 0), distributions.soft_encode(mean)[0])
    assert np.array_equal(weight.transpose(1, 2, 0), distributions.soft_encode(mean)[1])
    network = networks.get("regression", width=0.125)
    (ab,) = targets.Colours(network, mean=True).of(square, 0)
    expected = network.scale_ab(Grid(network.stride, mean=True).ab(square))
    assert np.array_equal(ab.transpose(1, 2, 0), expected)
    assert [a.shape for a in targets.Bins(4, mean=True).empty(1, 32)] == [(1, 5, 8, 8)] * 2


@pytest.mark.parametrize("weights", [None, np.linspace(0.5, 4, 313, dtype=np.float32)])
def test_a_gray_photo_counts_only_if_it_is_kept(photos, weights):
    gray = photos["coffee"][:32, :32, :1].repeat(3, axis=2)
    gray[..., 2] += 1
    index, weight = targets.Bins(4, bin_weights=weights).of(gray, 0)
    assert (weight == 0).all()
    same, kept = targets.Bins(4, bin_weights=weights, keep_gray=True).of(gray, 0)
    assert np.array_equal(index, same)
    expected = 1 if weights is None else weights[index[0]]
    assert np.abs(kept.sum(0) - expected).max() < 1e-5
