"""cic.dataset and cic.loader against a sample computed by hand, and against themselves."""

import multiprocessing
import os
import pickle
import shutil
import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import color

from cic import networks
from cic.bins import AB, COUNT
from cic.dataset import Order, PhotoDataset, make_batch
from cic.images import PhotoError
from cic.loader import Loader

NETWORK = networks.get("cic", width=0.125)
SMALL = {"load_size": 48, "crop_size": 32}


def one_photo(folder, rgb):
    """A folder that holds the photo `rgb`, losslessly."""
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.ascontiguousarray(rgb)).save(folder / "photo.png")
    return folder


def assert_same(first, second):
    """Two samples or batches are bit-identical."""
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one, other)
        assert getattr(one, "dtype", None) == getattr(other, "dtype", None)


@pytest.mark.parametrize("bin_weights", [None, np.linspace(0.2, 5, COUNT)])
@pytest.mark.parametrize("neighbors", [5, 10])
def test_a_sample_equals_one_computed_by_hand(tmp_path, photos, bin_weights, neighbors):
    """skimage's Lab is within 1e-3 of ours; so a few of the 1024 pixels may see a tie otherwise."""
    photo = photos["coffee"][100:228, 200:359]
    options = {"load_size": 128, "crop_size": 128, "augment": False, "sigma": 4.0}
    data = PhotoDataset(
        [one_photo(tmp_path / "in", photo)],
        NETWORK,
        neighbors=neighbors,
        bin_weights=bin_weights,
        **options,
    )
    inputs, (index, weight), _ = data.sample(0)

    lab = color.rgb2lab(photo[:, 15 : 15 + 128])  # of the 31 spare columns
    assert inputs.shape == (1, 128, 128)
    assert np.abs(inputs[0] - (lab[..., 0] - 50)).max() < 1e-3

    ab = lab[::4, ::4, 1:]
    squared = ((ab[..., None, :] - AB) ** 2).sum(-1)
    expected = np.argsort(squared, axis=-1, kind="stable")[..., :neighbors]
    gauss = np.exp(-np.take_along_axis(squared, expected, axis=-1) / (2 * 4.0**2))
    gauss /= gauss.sum(-1, keepdims=True)
    if bin_weights is not None:
        gauss *= bin_weights[expected[..., :1]]
    assert index.shape == weight.shape == (neighbors, 32, 32)
    agree = (index.transpose(1, 2, 0) == expected).all(-1)
    assert agree.mean() > 0.98
    assert np.abs(weight.transpose(1, 2, 0) - gauss)[agree].max() < 2e-3


def test_a_gray_photo_has_weight_0(tmp_path, photos):
    gray = photos["coffee"][:48, :48, :1].repeat(3, axis=2)
    data = PhotoDataset([one_photo(tmp_path / "in", gray)], NETWORK, **SMALL)
    inputs, (_, weight), _ = data.sample(0)
    assert (weight == 0).all()
    assert inputs.std() > 0


def test_a_colourful_photo_has_weight(photo_folder):
    data = PhotoDataset([photo_folder], NETWORK, **SMALL)
    for i in range(len(data)):
        _, (_, weight), _ = data.sample(i)
        assert np.abs(weight.sum(0) - 1).max() < 1e-6


def test_a_sample_is_a_function_of_seed_epoch_and_photo(photo_folder):
    first = PhotoDataset([photo_folder], NETWORK, **SMALL, seed=5)
    second = PhotoDataset([photo_folder], NETWORK, **SMALL, seed=5)
    there = [first.sample(i, epoch) for epoch in (0, 3) for i in range(6)]
    back = [second.sample(i, epoch) for epoch in (3, 0) for i in reversed(range(6))][::-1]
    for one, other in zip(there, back, strict=True):
        assert_same(one, other)


def test_crops_differ_between_epochs_seeds_and_photos(tmp_path, photos):
    folder = one_photo(tmp_path / "in", photos["coffee"][:160, :160])
    shutil.copy(folder / "photo.png", folder / "copy.png")
    options = {"load_size": 160, "crop_size": 32}
    data = PhotoDataset([folder], NETWORK, **options)
    other = PhotoDataset([folder], NETWORK, **options, seed=1)
    crops = [data.crop(0, 0), data.crop(0, 1), data.crop(1, 0), other.crop(0, 0)]
    assert len({crop.tobytes() for crop in crops}) == 4


def test_without_augment_every_epoch_sees_the_middle(tmp_path, photos):
    photo = photos["chelsea"][:53, :80]
    folder = one_photo(tmp_path / "in", photo)
    data = PhotoDataset([folder], NETWORK, load_size=53, crop_size=32, augment=False)
    for epoch in range(3):
        assert np.array_equal(data.crop(0, epoch), photo[10:42, 24:56])


def test_half_of_the_crops_are_mirrored(tmp_path, photos):
    photo = photos["coffee"][:32, :32]
    folder = one_photo(tmp_path / "in", photo)
    data = PhotoDataset([folder], NETWORK, load_size=32, crop_size=32)
    crops = [data.crop(0, epoch) for epoch in range(400)]
    mirrored = sum(np.array_equal(crop, photo[:, ::-1]) for crop in crops)
    plain = sum(np.array_equal(crop, photo) for crop in crops)
    assert mirrored + plain == 400
    assert 160 < mirrored < 240  # four standard deviations


def test_crops_reach_every_corner_and_no_further(tmp_path):
    row, column = np.meshgrid(np.arange(10), np.arange(11), indexing="ij")
    photo = np.stack([row, column, row], axis=-1).astype(np.uint8)
    folder = one_photo(tmp_path / "in", photo)
    data = PhotoDataset([folder], NETWORK, load_size=10, crop_size=8)
    crops = [data.crop(0, epoch) for epoch in range(200)]
    assert {tuple(crop.min((0, 1))[:2]) for crop in crops} == {
        (top, left) for top in range(3) for left in range(4)
    }
    assert all(crop.shape == (8, 8, 3) and np.ptp(crop[..., 1]) == 7 for crop in crops)


@pytest.mark.parametrize("shape", [(20, 30), (31, 33), (1, 1), (5, 200), (200, 5)])
@pytest.mark.parametrize("augment", [True, False])
def test_a_photo_smaller_than_the_crop_is_enlarged(tmp_path, shape, augment):
    folder = one_photo(tmp_path / "in", np.full((*shape, 3), [200, 100, 50], np.uint8))
    data = PhotoDataset([folder], NETWORK, **SMALL, augment=augment)
    for epoch in range(3):
        assert (data.crop(0, epoch) == [200, 100, 50]).all()  # no black border either
        assert data.crop(0, epoch).shape == (32, 32, 3)


def test_a_large_photo_is_shrunk_to_the_load_size(tmp_path, photos):
    photo = photos["astronaut"]
    folder = one_photo(tmp_path / "in", photo)
    crop = PhotoDataset([folder], NETWORK, load_size=64, crop_size=64, augment=False).crop(0)
    blocks = photo.reshape(64, 8, 64, 8, 3).mean((1, 3))
    assert np.abs(crop - blocks).mean() < 8


def test_photos_of_several_folders_in_order(photo_folder):
    folders = [photo_folder / "n02", photo_folder / "n01"]
    data = PhotoDataset(folders, NETWORK, **SMALL)
    names = ["n02/coffee.JPG", "n02/deeper/rocket.png", "n02/small coffee.png"]
    names += ["n01/astronaut.jpg", "n01/chelsea.jpeg"]
    assert list(map(str, data.photos)) == [str(photo_folder / name) for name in names]
    assert len(data) == 5


def test_a_classifier_takes_crops_of_its_own_size(photo_folder):
    network = networks.get("special_vgg16", size=64, width=0.125)
    with pytest.raises(ValueError, match=r"crop_size is 96: special_vgg16\(.*\) takes 64"):
        PhotoDataset([photo_folder / "n01"], network, 96, 96)


@pytest.mark.parametrize(
    ("load_size", "crop_size"), [(64, 36), (64, 63), (64, 72), (64, 0), (64, -8), (32, 40)]
)
def test_sizes_that_do_not_fit(photo_folder, load_size, crop_size):
    with pytest.raises(
        ValueError, match=rf"crop_size is {crop_size}: .*multiple of 8.*{load_size}"
    ):
        PhotoDataset([photo_folder], NETWORK, load_size=load_size, crop_size=crop_size)


def test_folders_without_photos_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PhotoError, match="empty: no photo in there"):
        PhotoDataset([tmp_path / "empty"], NETWORK)
    with pytest.raises(PhotoError, match="none: there is no such folder"):
        PhotoDataset([tmp_path / "none"], NETWORK)


@st.composite
def orders(draw):
    """Arguments of an Order, and the number of ranks."""
    world = draw(st.integers(1, 8))
    photos, batch_size = draw(st.integers(1, 200)), draw(st.integers(world, 40))
    return (photos, batch_size, draw(st.integers(0, 2**63)), draw(st.booleans())), world


def steps_of(order, epochs):
    """[(epoch, list of photos)] of the first `epochs` epochs."""
    batches = (order.batch(step) for step in range(epochs * order.steps_per_epoch))
    return [(epoch, chosen.tolist()) for epoch, chosen in batches]


@given(orders())
def test_every_photo_comes_once_an_epoch(arguments):
    (photos, *rest), world = arguments
    ranks = [Order(photos, *rest, rank=rank, world=world) for rank in range(world)]
    for epoch in (0, 1, 2):
        steps = range(epoch * ranks[0].steps_per_epoch, (epoch + 1) * ranks[0].steps_per_epoch)
        batches = [rank.batch(step) for rank in ranks for step in steps]
        assert {number for number, _ in batches} == {epoch}
        assert sorted(i for _, chosen in batches for i in chosen) == list(range(photos))


@given(orders())
def test_a_global_batch_is_the_same_for_any_number_of_ranks(arguments):
    (photos, batch_size, *rest), world = arguments
    alone = Order(photos, batch_size, *rest)
    ranks = [Order(photos, batch_size, *rest, rank=rank, world=world) for rank in range(world)]
    for step in range(2 * alone.steps_per_epoch):
        parts = [rank.batch(step)[1] for rank in ranks]
        together = alone.batch(step)[1]
        last = step % alone.steps_per_epoch == alone.steps_per_epoch - 1
        assert len(together) == (photos - 1) % batch_size + 1 if last else batch_size
        assert sorted(np.concatenate(parts)) == sorted(together)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_order_is_a_function_of_seed_and_epoch():
    first, again, other = (steps_of(Order(50, 7, seed), 3) for seed in (4, 4, 5))
    assert first == again
    assert first != other
    epochs = [[i for number, part in first for i in part if number == epoch] for epoch in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert list(range(50)) not in epochs


def test_a_step_does_not_depend_on_the_ones_before():
    order = Order(50, 7, seed=4)
    forth = [order.batch(step)[1].tolist() for step in range(30)]
    assert [order.batch(step)[1].tolist() for step in reversed(range(30))] == forth[::-1]


def test_without_shuffle_photos_come_as_they_are():
    order = Order(7, 3, shuffle=False)
    expected = [[0, 1, 2], [3, 4, 5], [6]]
    assert steps_of(order, 2) == [(e, part) for e in (0, 1) for part in expected]


def test_order_wants_a_photo_for_every_rank():
    with pytest.raises(ValueError, match="batch_size is 3: 4 ranks"):
        Order(10, 3, world=4)


@pytest.fixture
def damaged(photo_folder):
    """The photo folder, with a seventh and an eighth photo that cannot be read."""
    (photo_folder / "n01" / "broken.jpg").write_text("a cat")
    (photo_folder / "n02" / "empty.png").touch()
    return photo_folder


def test_a_batch_is_its_samples(photo_folder):
    data, order = PhotoDataset([photo_folder], NETWORK, **SMALL), Order(6, 4)
    for step in range(4):
        batch = make_batch(data, order, step)
        epoch, chosen = order.batch(step)
        samples = [data.sample(i, epoch) for i in chosen]
        assert_same(batch.inputs, [inputs for inputs, _, _ in samples])
        assert batch.noise.tolist() == [noise for _, _, noise in samples]
        for array, parts in zip(batch.targets, zip(*(target for _, target, _ in samples))):
            assert_same(array, parts)
        assert batch.failures == ()


@pytest.mark.parametrize("neighbors", [1, 5])
def test_shapes_and_dtypes_of_a_batch(photo_folder, neighbors):
    data = PhotoDataset([photo_folder], NETWORK, **SMALL, neighbors=neighbors)
    batch = make_batch(data, Order(6, 4), 0)
    assert (batch.inputs.shape, batch.inputs.dtype) == ((4, 1, 32, 32), np.float32)
    index, weight = batch.targets
    assert (index.shape, index.dtype) == ((4, neighbors, 8, 8), np.int16)
    assert (weight.shape, weight.dtype) == ((4, neighbors, 8, 8), np.float32)


def test_float64_bin_weights_leave_a_batch_in_float32(photo_folder):
    data = PhotoDataset([photo_folder], NETWORK, **SMALL, bin_weights=np.full(COUNT, 3.0))
    batch = make_batch(data, Order(6, 6), 0)
    _, weight = batch.targets
    assert weight.dtype == np.float32
    assert np.abs(weight.sum(1) - 3).max() < 1e-5


def test_unreadable_photos_are_reported_and_the_rest_is_there(damaged):
    data = PhotoDataset([damaged], NETWORK, **SMALL)
    order = Order(8, 8, shuffle=False)
    batch = make_batch(data, order, 0)
    readable = [
        i for i, p in enumerate(data.photos) if not p.name.endswith(("broken.jpg", "empty.png"))
    ]
    assert_same(batch.inputs, [data.sample(i)[0] for i in readable])
    assert batch.failures == (
        f"{str(damaged / 'n01' / 'broken.jpg')!r}: not a photo of a known format",
        f"{str(damaged / 'n02' / 'empty.png')!r}: the file is empty",
    )


def test_a_batch_of_unreadable_photos_is_empty(tmp_path):
    (tmp_path / "a.jpg").touch()
    data = PhotoDataset([tmp_path], NETWORK, **SMALL)
    batch = make_batch(data, Order(1, 4), 0)
    assert batch.inputs.shape == (0, 1, 32, 32)
    assert [array.shape for array in batch.targets] == [(0, 5, 8, 8)] * 2
    assert len(batch.failures) == 1


def test_a_photo_that_vanishes_is_a_failure(photo_folder):
    data = PhotoDataset([photo_folder], NETWORK, **SMALL)
    os.remove(data.photos[2])
    batch = make_batch(data, Order(6, 6), 0)
    assert len(batch.inputs) == 5
    assert batch.failures == (f"{str(data.photos[2])!r}: No such file or directory",)


def test_the_dataset_can_be_sent_to_another_process(photo_folder):
    data = PhotoDataset([photo_folder], NETWORK, **SMALL)
    assert_same(pickle.loads(pickle.dumps(data)).sample(1, 2), data.sample(1, 2))


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (2, 5), (4, 4)])
def test_without_workers_the_loader_makes_the_batches_itself(damaged, start, stop):
    data, order = PhotoDataset([damaged], NETWORK, **SMALL), Order(8, 3)
    with Loader(data, order) as loader:
        batches = list(loader.batches(start, stop))
    assert len(batches) == stop - start
    for step, batch in enumerate(batches, start):
        assert_same(batch, make_batch(data, order, step))


def test_workers_give_the_same_batches_from_any_step_on(damaged):
    data, order = PhotoDataset([damaged], NETWORK, **SMALL), Order(8, 3)
    with Loader(data, order, workers=2) as loader:
        for start, stop in ((0, 12), (5, 8), (3, 3)):
            batches = list(loader.batches(start, stop))
            assert len(batches) == stop - start
            for step, batch in enumerate(batches, start):
                assert_same(batch, make_batch(data, order, step))
            if stop - start >= order.steps_per_epoch:
                assert sum(len(batch.failures) for batch in batches) >= 2


def test_an_abandoned_loader_ends(photo_folder):
    data = PhotoDataset([photo_folder], NETWORK, **SMALL)
    with Loader(data, Order(6, 2), workers=1) as loader:
        next(loader.batches(0, 1000))
        processes = multiprocessing.active_children()
    assert processes
    assert not any(process.is_alive() for process in processes)


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (3, 3)])
def test_a_thin_photo_is_cut_before_it_is_enlarged(tmp_path, size):
    Image.new("RGB", size, (200, 30, 90)).save(tmp_path / "thin.png")
    for augment in (True, False):
        data = PhotoDataset([tmp_path], NETWORK, **SMALL, augment=augment)
        square = data.crop(0)
        assert square.shape == (data.crop_size, data.crop_size, 3)
        assert (square == (200, 30, 90)).all()


def test_a_large_photo_is_seen_whole_at_its_short_side(tmp_path, photos):
    photo = Image.fromarray(photos["astronaut"])  # 512 x 512
    photo.save(tmp_path / "a.png")
    data = PhotoDataset([tmp_path], NETWORK, load_size=64, crop_size=64, augment=False)
    small = np.asarray(photo.resize((64, 64), Image.Resampling.BICUBIC, reducing_gap=2.0))
    np.testing.assert_array_equal(data.crop(0), small)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 50))
def test_every_size_of_photo_gives_a_crop(width, height, epoch):
    with tempfile.TemporaryDirectory() as folder:
        Image.new("RGB", (width, height)).save(os.path.join(folder, "a.png"))
        for augment in (True, False):
            data = PhotoDataset([folder], NETWORK, load_size=40, crop_size=32, augment=augment)
            assert data.crop(0, epoch).shape == (32, 32, 3)
