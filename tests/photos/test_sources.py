"""cic.photos.sources: which photos are found, in which order, in folders and shards."""

import os
import pickle
import stat
import tarfile

import numpy as np
import pytest
from PIL import Image

from cic import networks
from cic.colour import prior
from cic.dataset import targets
from cic.dataset.batches import Order, PhotoDataset
from cic.dataset.loader import Loader
from cic.photos import images, shards, sources
from cic.photos.endings import EXTENSIONS
from cic.photos.images import PhotoError
from cic.photos.sources import File, PhotoList, find, is_photo, photos, walk

SMALL = {"load_size": 48, "crop_size": 32}


def touch(folder, *names):
    for name in names:
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w"):
            pass


def pack(folder, shard):
    """A tar file of a folder's photos, in the order of their names."""
    shard.parent.mkdir(exist_ok=True)
    with tarfile.open(shard, "w") as tar:
        for name in find(folder):
            tar.add(folder / name, name)
    return shard


def test_found_are_nested_sorted_and_of_any_case(tmp_path):
    touch(
        tmp_path, "b.jpg", "a/z.PNG", "a/b/c.WebP", "a.jpeg", "B.TIF", "a/readme.txt", "c.jpg.bak"
    )
    assert find(tmp_path) == ["B.TIF", "a.jpeg", "a/b/c.WebP", "a/z.PNG", "b.jpg"]


def test_the_photo_folder(photo_folder):
    found = find(photo_folder)
    assert len(found) == 6
    assert "n02/coffee.JPG" in found
    assert all(images.read(photo_folder / name).ndim == 3 for name in found)


def test_the_order_is_that_of_the_bytes_of_the_whole_names(tmp_path):
    """Also where a folder's name is the start of another's: '.' < '/' < '0'."""
    names = ["a/x.jpg", "a.jpg", "a0/x.jpg", "a.b/x.jpg", "a/x/y.jpg", "é.jpg", "z.jpg", "a b.jpg"]
    names += ["\N{CAT FACE}.jpg", os.fsdecode(b"\xff.jpg")]
    touch(tmp_path, *names)
    assert find(tmp_path) == sorted(names, key=os.fsencode)


@pytest.mark.parametrize(
    "name",
    ["a b.png", "it's.png", 'say "x".png', "two\nlines.png", "-dash.png", "图像.png", "%s.png"],
)
def test_any_name_is_found(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(".", name)
    assert find(".") == find(tmp_path) == [name]


def test_what_is_hidden_is_skipped(tmp_path):
    touch(tmp_path, ".hidden.jpg", ".git/x.jpg", "a/.cache/deep/x.jpg", "a/._x.jpg", "a/x.jpg")
    assert find(tmp_path) == ["a/x.jpg"]


def test_folders_are_not_taken_for_photos_or_shards(tmp_path):
    touch(tmp_path, "album.jpg/x.png", "old.tar/y.png")
    assert [p.name for p in photos([tmp_path])] == ["album.jpg/x.png", "old.tar/y.png"]


def test_an_empty_folder_has_none(tmp_path):
    assert find(tmp_path) == []
    assert len(PhotoList([tmp_path])) == 0


def test_links_are_followed_and_end(tmp_path):
    folder, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    touch(folder, "a/x.jpg")
    touch(elsewhere, "y.jpg")
    (folder / "a" / "up").symlink_to(folder)
    (folder / "a" / "self").symlink_to(folder / "a")
    (folder / "circle").symlink_to(folder / "circle")
    (folder / "other").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)
    assert find(folder) == ["a/x.jpg", "other/y.jpg"]


@pytest.mark.parametrize("name", ["none", "file.jpg"])
def test_a_folder_that_is_not_there_is_named(tmp_path, name):
    touch(tmp_path, "file.jpg")
    reason = "there is no such folder" if name == "none" else "neither a folder nor a tar shard"
    with pytest.raises(PhotoError, match=f"{name}: {reason}"):
        find(tmp_path / name)
    with pytest.raises(PhotoError, match="none: there is no such folder"):
        PhotoList([tmp_path / "none"])


def test_a_folder_that_cannot_be_read_costs_its_own_photos_only(tmp_path, monkeypatch):
    touch(tmp_path, "a/x.jpg", "b/x.jpg", "c/x.jpg")
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(os.path.normpath(path)) == "b":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PhotoError, match="b/': Permission denied"):
        find(tmp_path)
    problems = []
    assert list(walk(tmp_path, onerror=problems.append)) == ["a/x.jpg", "c/x.jpg"]
    assert len(problems) == 1
    assert PhotoList([tmp_path]).problems == list(map(str, problems))


def test_a_folder_is_listed_while_it_is_walked(tmp_path, monkeypatch):
    """Not all names of a million photos are held before the first is given."""
    touch(tmp_path, *(f"n{n:02}/x.jpg" for n in range(20)))
    scanned, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scanned.append(path) or scandir(path))
    walking = walk(tmp_path)
    assert next(walking) == "n00/x.jpg"
    assert len(scanned) == 2


@pytest.mark.parametrize(
    ("name", "yes"),
    [
        ("n01/x.JPEG", True),
        ("./n01/x.jpg", True),
        ("../x.jpg", True),
        ("n01/._x.jpg", False),
        (".cache/x.jpg", False),
        ("n01/.x/y/z.jpg", False),
        ("x.cls", False),
        (".jpg", False),
    ],
)
def test_photos_by_name(name, yes):
    assert is_photo(name) == yes


def test_folders_shards_and_shards_in_folders(photo_folder, tmp_path):
    inside = pack(photo_folder / "n01", photo_folder / "n02" / "b.TAR")
    alone = pack(photo_folder / "n02" / "deeper", tmp_path / "alone.tar")
    found = list(photos([alone, photo_folder]))
    assert [str(p) for p in found] == [
        f"{alone}/rocket.png",
        *(f"{photo_folder}/{name}" for name in ("chelsea.webp", "n01/astronaut.jpg")),
        *(f"{photo_folder}/{name}" for name in ("n01/chelsea.jpeg",)),
        *(f"{inside}/{name}" for name in ("astronaut.jpg", "chelsea.jpeg")),
        *(f"{photo_folder}/{name}" for name in ("n02/coffee.JPG", "n02/deeper/rocket.png")),
        f"{photo_folder}/n02/small coffee.png",
    ]
    assert [type(p) for p in found].count(shards.Member) == 3
    assert all(images.open_rgb(p).mode == "RGB" for p in found)


def test_a_photo_list_is_the_photos_and_survives_the_way_to_a_worker(photo_folder, tmp_path):
    places = [photo_folder, pack(photo_folder, tmp_path / os.fsdecode(b"\xff.tar"))]
    touch(photo_folder, os.fsdecode(b"n03/\xff.jpg"))
    there = pickle.loads(pickle.dumps(PhotoList(places)))
    assert list(there) == list(photos(places))
    assert len(there) == 13
    assert there[np.int64(12)] == there[12]
    for number in (-1, 13):
        with pytest.raises(IndexError):
            there[number]


def test_a_photo_list_takes_a_few_bytes_a_photo(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for n in range(2000):
            tar.addfile(tarfile.TarInfo(f"n01443537/n01443537_{n}.JPEG"))
    assert len(pickle.dumps(PhotoList([tmp_path]))) < 70 * 2000


def test_groups_are_the_photos_of_each_place(photo_folder, tmp_path):
    """A place that is named twice is two groups, and an empty one is one of none."""
    (tmp_path / "empty").mkdir()
    shard = pack(photo_folder, tmp_path / "a.tar")
    places = [photo_folder / "n02", tmp_path / "empty", shard, photo_folder, photo_folder / "n02"]
    there = PhotoList(places)
    assert there.groups == [3, 0, 6, 6, 3]
    assert [str(there[0]), str(there[15])] == [str(photo_folder / "n02" / "coffee.JPG")] * 2
    wanted = PhotoList(places, lambda photo: photo.name.endswith((".png", ".JPG")))
    assert wanted.groups == [3, 0, 3, 3, 3]
    assert len(wanted) == 12


def test_damaged_shards_are_problems_and_the_rest_is_found(photo_folder, tmp_path):
    whole = pack(photo_folder, photo_folder / "b.tar")
    (photo_folder / "a.tar").write_bytes(b"nothing")
    data = whole.read_bytes()
    (photo_folder / "c.tar").write_bytes(data[: len(data) // 2])
    there = PhotoList([photo_folder])
    first, second = there.problems
    assert "a.tar': not a tar file" in first
    assert "c.tar': cut off or damaged" in second
    names = [p.name for p in there if isinstance(p, shards.Member)]
    assert names[:6] == find(photo_folder)
    assert names[6:] == names[: len(names) - 6]
    assert sum(isinstance(p, File) for p in there) == 6
    with pytest.raises(PhotoError, match=r"a\.tar': not a tar file"):
        list(photos([photo_folder]))


NETWORK = networks.get("cic", width=0.125)


@pytest.fixture
def both(photo_folder, tmp_path):
    """The same photos as a folder and as two shards: two PhotoDatasets."""
    parts = [pack(photo_folder / name, tmp_path / f"{name}.tar") for name in ("n01", "n02")]
    folders = [photo_folder / "n01", photo_folder / "n02"]
    return [PhotoDataset(places, NETWORK, **SMALL, seed=3) for places in (folders, parts)]


def same(one, other):
    """Whether two batches are the same to the bit."""
    return all(np.array_equal(a, b) for a, b in zip(one, other))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_folders_and_shards_give_the_same_batches_and_resume_anywhere(both, workers):
    folders, tars = both
    order = Order(len(tars), 2, seed=3)
    with Loader(folders, order) as loader:
        expected = list(loader.batches(0, 9))
    with Loader(tars, order, workers) as loader:
        for start in range(9):
            batches = list(loader.batches(start, 9))
            assert len(batches) == 9 - start
            assert all(map(same, batches, expected[start:]))
    assert not any(batch.failures for batch in expected)


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("batch_size", [4, 5, 16])
def test_a_resumed_run_sees_every_photo_of_every_shard_once_an_epoch(tmp_path, world, batch_size):
    """Whatever the step it is resumed at, by all ranks together."""
    for number in range(3):
        with tarfile.open(tmp_path / f"{number}.tar", "w") as tar:
            for n in range(7 + number):
                tar.addfile(tarfile.TarInfo(f"n{number}/{n}.jpg"))
    steps = -(-24 // batch_size)
    for stop in range(steps + 1):
        seen = []
        for first, last in ((0, stop), (stop, steps)):
            there = PhotoList([tmp_path])  # a new process finds them anew
            ranks = [Order(len(there), batch_size, 1, True, r, world) for r in range(world)]
            for step in range(first, last):
                seen += [there[i] for rank in ranks for i in rank.batch(step)[1]]
        assert len(seen) == len(set(seen)) == 24


def test_a_truncated_shard_costs_its_missing_members_only(both, tmp_path):
    """In training, too: members that went missing after the start are reported by name."""
    _, tars = both
    shard = tmp_path / "n01.tar"
    with open(shard, "r+b") as file:
        file.truncate(tars.photos[1].offset + 100)
    with Loader(tars, Order(len(tars), 5, shuffle=False)) as loader:
        (batch,) = loader.batches(0, 1)
    assert len(batch.inputs) == 4
    (failure,) = batch.failures
    assert f"{shard}/chelsea.jpeg" in failure
    again = PhotoList([shard])
    assert [p.name for p in again] == ["astronaut.jpg"]
    assert "cut off or damaged after 1 whole files" in again.problems[0]


def test_every_known_extension_is_a_photo_for_pillow_or_a_plugin():
    known = Image.registered_extensions()
    missing = {suffix for suffix in EXTENSIONS if suffix not in known}
    assert missing <= {".heic", ".heif", ".hif", ".avif"}


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_a_place_that_is_no_folder_is_one_error_and_nobody_waits(tmp_path, kind):
    path = tmp_path / "place"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        os.mknod(path, stat.S_IFSOCK | 0o600)
    with pytest.raises(PhotoError, match="place: neither a folder nor a tar shard"):
        list(sources.photos([path]))
    folder = tmp_path / "folder"
    folder.mkdir()
    os.rename(path, folder / "a.tar")
    (folder / "b.jpg").touch()
    problems = []
    assert [p.name for p in sources.photos([folder], problems.append)] == ["b.jpg"]
    assert len(problems) == 1
    assert "a.tar': not a regular file" in str(problems[0])


@pytest.mark.parametrize("path", ["pipe", "/dev/zero"])
def test_lists_of_classes_and_priors_are_regular_files(tmp_path, path):
    os.mkfifo(tmp_path / "pipe")
    for read in (targets.read_classes, prior.read, prior.Prior.load):
        with pytest.raises(OSError, match="not a regular file"):
            read(tmp_path / path)
