"""cic.dataset and cic.dataset.loader against a sample computed by hand, and against themselves."""

import hashlib
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
from cic.colour.bins import AB, COUNT
from cic.dataset import ageing
from cic.dataset.batches import Order, PhotoDataset, draws_of, make_batch
from cic.dataset.loader import Loader
from cic.photos.images import PhotoError

NETWORK = networks.get("cic", width=0.125)
SMALL = {"load_size": 48, "crop_size": 32}
ALL = {"crop_scale": 0.55, "ageing": 0.5, "target_mean": True, "keep_gray": True}


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


@pytest.mark.slow
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


def test_what_is_off_changes_no_bit_of_earlier_runs(tmp_path, photos):
    """The numbers are those from before there was any of it."""
    folder = one_photo(tmp_path / "in", photos["astronaut"][100:196, 150:290])
    data = PhotoDataset([folder], NETWORK, load_size=96, crop_size=32, seed=3)
    found = []
    for epoch in (0, 2):
        crop, (inputs, _, noise) = data.crop(0, epoch), data.sample(0, epoch)
        assert np.array_equal(inputs, NETWORK.inputs(crop))
        found.append((hashlib.blake2b(crop.tobytes(), digest_size=8).hexdigest(), noise))
    assert found == [
        ("82a48030636e50c1", 5118060560574370904),
        ("d9d3b48bdefb3368", 1459803955195492167),
    ]
    assert Order(1000, 7, 5).batch(300)[1].tolist() == [587, 602, 676, 40, 618, 974, 28]


GROUPS = st.lists(st.integers(0, 60), min_size=1, max_size=5).filter(any)
BALANCE = st.floats(0, 1)


@given(GROUPS, BALANCE)
def test_shares_are_the_closed_form_rounded(groups, balance):
    found, sizes = draws_of(groups, balance), np.array(groups, float)
    power = np.array([n ** (1 - balance) if n else 0.0 for n in groups])
    assert found.sum() == sum(groups)
    assert np.abs(found - sizes.sum() * power / power.sum()).max() < 1
    assert (found[sizes == 0] == 0).all()


def test_shares_by_hand():
    assert draws_of([100, 400, 0, 1600], 0.5).tolist() == [300, 600, 0, 1200]
    assert draws_of([100, 400, 0, 1600], 1).tolist() == [700, 700, 0, 700]
    assert draws_of([100, 401, 3, 1600], 0).tolist() == [100, 401, 3, 1600]
    assert draws_of([1, 1, 2], 1).tolist() == [2, 1, 1]


def drawn(order, epoch):
    """(photos, how often each was drawn before) of a whole epoch."""
    steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
    return map(np.concatenate, zip(*map(order.draws, steps)))


@given(GROUPS, BALANCE.filter(bool), st.integers(0, 2**63))
def test_a_balanced_epoch_has_the_shares_and_every_photo_as_often_as_the_next(
    groups, balance, seed
):
    photos, ends = sum(groups), np.cumsum(groups)
    order = Order(photos, 7, seed, groups=groups, balance=balance)
    total = np.zeros(photos, int)
    for epoch in range(4):
        chosen, before = drawn(order, epoch)
        counts = np.bincount(chosen, minlength=photos)
        for seen in (counts, total + counts):
            for part in np.split(seen, ends[:-1]):
                assert not part.size or np.ptp(part) <= 1
        per_group = [part.sum() for part in np.split(counts, ends[:-1])]
        assert per_group == draws_of(groups, balance).tolist()
        for i in range(photos):
            numbers = sorted(before[chosen == i].tolist())
            assert numbers == list(range(total[i], total[i] + counts[i]))
        total += counts


def test_a_balanced_epoch_is_shuffled_anew_and_a_function_of_seed_and_epoch():
    groups = (90, 10)
    orders = [Order(100, 7, seed, groups=groups, balance=1.0) for seed in (4, 4, 5)]
    there, again, other = ([list(drawn(order, e)) for e in range(3)] for order in orders)
    for one, same in zip(there, again):
        assert_same(one, same)
    assert not np.array_equal(there[0][0], other[0][0])
    few = [epoch[0] >= 90 for epoch in there]
    assert 15 < few[0][:50].sum() < 35  # not one group after the other
    assert not np.array_equal(few[0], few[1])


@given(orders(), BALANCE)
def test_a_balanced_batch_is_the_same_for_any_number_of_ranks(arguments, balance):
    (photos, batch_size, seed, _), world = arguments
    more = {"groups": (photos // 3, photos - photos // 3), "balance": balance}
    alone = Order(photos, batch_size, seed, **more)
    ranks = [Order(photos, batch_size, seed, True, r, world, **more) for r in range(world)]
    for step in (1, 0, alone.steps_per_epoch):
        for whole, parts in zip(alone.draws(step), zip(*(rank.draws(step) for rank in ranks))):
            assert sorted(np.concatenate(parts)) == sorted(whole)


def test_the_order_to_evaluate_in_knows_no_balance():
    order = Order(10, 4, shuffle=False, groups=(9, 1), balance=1.0)
    assert steps_of(order, 1) == [(0, [0, 1, 2, 3]), (0, [4, 5, 6, 7]), (0, [8, 9])]


def test_groups_that_are_not_the_photos_are_refused():
    with pytest.raises(ValueError, match="groups of 9 photos: there are 10"):
        Order(10, 4, groups=(4, 5), balance=0.5)


def test_odds_are_how_often_photos_are_drawn():
    assert Order(10, 4, groups=(8, 2)).odds() is None
    order = Order(10, 4, groups=(8, 0, 2), balance=1.0)
    assert np.allclose(order.odds(), [5 / 8 / 10] * 8 + [5 / 2 / 10] * 2)


def test_a_photo_that_comes_twice_in_an_epoch_is_seen_anew(photo_folder):
    places = [photo_folder / "n02", photo_folder / "n01" / "..", photo_folder / "n01"]
    data = PhotoDataset([*places, *places[:1]], NETWORK, **SMALL, **ALL)
    order = Order(len(data), len(data), groups=data.photos.groups, balance=1.0)
    photos, before = order.draws(0)
    again = [i for i, count in enumerate(np.bincount(photos)) if count > 1]
    batch = make_batch(data, order, 0)
    assert again
    for i in again:
        first, second = np.flatnonzero(photos == i)[:2]
        assert not np.array_equal(batch.inputs[first], batch.inputs[second])
        assert batch.noise[first] != batch.noise[second]
    assert_same(batch.inputs[0], data.sample(int(photos[0]), int(before[0]))[0])


@pytest.mark.slow
def test_workers_give_the_same_batches_with_all_that_can_be_on(damaged):
    places = [damaged / "n01", damaged / "n02", damaged / "n01"]
    data = PhotoDataset(places, NETWORK, **SMALL, **ALL)
    order = Order(len(data), 3, groups=data.photos.groups, balance=0.5)
    with Loader(data, order, workers=2) as loader:
        for step, batch in enumerate(loader.batches(2, 9), 2):
            assert_same(batch, make_batch(data, order, step))


@pytest.fixture
def ramp(tmp_path):
    """A folder with a picture whose first channels are the column and the row, 200 x 120."""
    row, column = np.meshgrid(np.arange(120), np.arange(200), indexing="ij")
    return one_photo(tmp_path / "in", np.stack([column, row, row], axis=-1).astype(np.uint8))


def test_scaled_crops_have_even_areas_and_lie_anywhere(ramp):
    data = PhotoDataset([ramp], NETWORK, 64, 64, crop_scale=0.1)
    crops = np.stack([data.crop(0, epoch) for epoch in range(400)]).astype(float)
    assert crops.shape == (400, 64, 64, 3)
    side = np.abs(np.diff(crops[:, 32, :, 0])).mean(1) * 64  # pixels of the picture
    area = (side / 120) ** 2
    assert 0.08 < area.min() < 0.12
    assert 0.98 < area.max() < 1.03
    quarters = np.histogram(np.clip(area, 0.1, 1), np.linspace(0.1, 1, 5))[0]
    assert np.abs(quarters - 100).max() < 35  # four standard deviations
    middle = crops[..., :2].mean((1, 2))
    place = (middle - side[:, None] / 2) / (np.array([200, 120]) - side[:, None])
    place = place[side < 110]  # of the others the numbers are too rough
    for line in place.T:
        thirds = np.histogram(np.clip(line, 0, 1), np.linspace(0, 1, 4))[0] / len(line)
        assert np.abs(thirds - 1 / 3).max() < 0.1
    assert abs(np.corrcoef(place.T)[0, 1]) < 0.22
    assert 160 < (crops[:, 0, 0, 0] > crops[:, 0, -1, 0]).sum() < 240


def test_scaled_crops_are_sharp_and_smooth(tmp_path, photos):
    """What is drawn does not depend on what is decoded: a JPEG's crop is that of the whole photo.

    Nothing is enlarged if the file has the pixels, and nothing aliases.
    """
    photo = Image.fromarray(photos["astronaut"])  # 512 x 512
    (tmp_path / "jpeg").mkdir()
    photo.save(tmp_path / "jpeg" / "a.jpg", quality=100, subsampling=0)
    sizes = {"load_size": 64, "crop_size": 64, "crop_scale": 0.3}
    whole = PhotoDataset([one_photo(tmp_path / "png", photos["astronaut"])], NETWORK, **sizes)
    quick = PhotoDataset([tmp_path / "jpeg"], NETWORK, **sizes)
    for epoch in range(5):
        one, other = (data.crop(0, epoch).astype(float) for data in (whole, quick))
        assert np.abs(one - other).mean() < 2.5
        assert 0.9 < np.abs(np.diff(other)).mean() / np.abs(np.diff(one)).mean() < 1.1


def test_the_middle_knows_no_crop_scale(ramp):
    arguments = [ramp], NETWORK, 64, 56
    one = PhotoDataset(*arguments, augment=False, crop_scale=0.5)
    assert_same(one.sample(0, 3), PhotoDataset(*arguments, augment=False).sample(0, 3))
    assert np.array_equal(one.crop(0, 3), one.crop(0))


@pytest.mark.parametrize("shape", [(20, 30), (1, 1), (5, 200), (200, 5)])
def test_scaled_crops_of_small_photos_are_enlarged(tmp_path, shape):
    folder = one_photo(tmp_path / "in", np.full((*shape, 3), [200, 100, 50], np.uint8))
    data = PhotoDataset([folder], NETWORK, **SMALL, crop_scale=0.2)
    for epoch in range(5):
        assert (data.crop(0, epoch) == [200, 100, 50]).all()
        assert data.crop(0, epoch).shape == (32, 32, 3)


@pytest.mark.parametrize("name", ["cic", "regression"])
def test_ageing_changes_the_input_and_never_the_target(photo_folder, name):
    network = networks.get(name, width=0.125)
    plain = PhotoDataset([photo_folder], network, **SMALL)
    aged = PhotoDataset([photo_folder], network, **SMALL, ageing=1.0)
    changed = 0
    for i in range(6):
        (one, target, noise), (other, same, number) = plain.sample(i, 1), aged.sample(i, 1)
        assert_same(target, same)
        assert noise == number
        assert one.shape == other.shape and one.dtype == other.dtype
        assert other.min() >= network.inputs(np.zeros((1, 1, 3), np.uint8)).min() - 1e-4
        changed += not np.array_equal(one, other)
        assert np.array_equal(other, aged.sample(i, 1)[0])
        assert not np.array_equal(other, aged.sample(i, 2)[0])
    assert changed >= 5


def test_ageing_is_a_share_of_the_inputs(tmp_path, photos, monkeypatch):
    monkeypatch.setattr(ageing, "OFTEN", 1)
    folder = one_photo(tmp_path / "in", photos["coffee"][:32, :32])
    plain = PhotoDataset([folder], NETWORK, 32, 32)
    aged = PhotoDataset([folder], NETWORK, 32, 32, ageing=0.3)
    samples = ((plain.sample(0, n)[0], aged.sample(0, n)[0]) for n in range(200))
    changed = sum(not np.array_equal(one, other) for one, other in samples)
    assert 34 <= changed <= 86  # of 60, four standard deviations


@pytest.mark.parametrize(
    ("name", "space"),
    [("special_vgg16", "Lab"), ("special_vgg16", "Gray"), ("gated_resnet18", "RGB")],
)
def test_ageing_is_of_lightness_alone(photo_folder, name, space):
    options = {"space": space} if name == "special_vgg16" else {}
    network = networks.get(name, **options)
    with pytest.raises(ValueError, match=rf"ageing is 0.5: {name}\(.*\) sees {space}, not L"):
        PhotoDataset([photo_folder / "n01"], network, 64, 64, ageing=0.5)
