"""cic.photos.shards on tar files as they are found, and on files that are none."""

import io
import json
import os
import tarfile

import numpy as np
import pytest

from cic.photos import images, shards
from cic.photos.images import PhotoError
from cic.photos.shards import members

LONG = "n01443537/" + "long name " * 12 + ".jpg"  # longer than the 100 bytes of the oldest tar
BYTES = os.fsdecode(b"n01/\xff\xe9.jpg")
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def add(tar, name, data=b"", **fields):
    header = tarfile.TarInfo(name)
    header.size = len(data)
    for field, value in fields.items():
        setattr(header, field, value)
    tar.addfile(header, io.BytesIO(data))


def shard_of(path, contents, form=tarfile.GNU_FORMAT):
    """A tar file of {name: bytes}."""
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in contents.items():
            add(tar, name, data)
    return path


def contents_of(path):
    """({name: bytes}, problem) as `members` has them."""
    found, problem = members(path)
    return {member.name: member.open().read() for member in found}, problem


CONTENTS = {f"n01/{n}.jpg": bytes([n]) * size for n, size in enumerate((700, 512, 1, 0, 2000))}


@pytest.mark.parametrize("form", FORMATS)
def test_names_and_bytes_in_every_format(tmp_path, form):
    names = ["n01/x.JPEG", "n01/a b.jpg", "n02/图像.png", BYTES, "./n03/x.jpg", "x.cls"]
    names += [] if form == tarfile.USTAR_FORMAT else [LONG]
    contents = {name: os.urandom(300 * n) for n, name in enumerate(names)}
    shard = shard_of(tmp_path / "a.tar", contents, form)
    assert contents_of(shard) == (contents, None)
    assert list(contents_of(shard)[0]) == names  # and from the index
    assert str(members(shard)[0][0]) == f"{shard}/n01/x.JPEG"


def test_photos_are_read_without_unpacking(tmp_path, photo_folder):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(photo_folder, "")
    found, _ = members(tmp_path / "a.tar")
    assert len(found) == 6
    for member in found:
        from_file = images.read(photo_folder / member.name)
        assert np.array_equal(np.asarray(images.open_rgb(member)), from_file)


def test_what_is_no_regular_file_is_left_out(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "n01", type=tarfile.DIRTYPE)
        add(tar, "n01/x.jpg", b"photo")
        add(tar, "n01/link.jpg", type=tarfile.SYMTYPE, linkname="x.jpg")
        add(tar, "n01/hard.jpg", type=tarfile.LNKTYPE, linkname="n01/x.jpg")
        add(tar, "n01/pipe.jpg", type=tarfile.FIFOTYPE)
    assert contents_of(tmp_path / "a.tar") == ({"n01/x.jpg": b"photo"}, None)


def test_an_empty_shard_has_nothing(tmp_path):
    assert contents_of(shard_of(tmp_path / "a.tar", {})) == ({}, None)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_shard_is_refused_with_the_reason(tmp_path, mode):
    with tarfile.open(tmp_path / "a.tar", mode) as tar:
        add(tar, "x.jpg", b"photo")
    with pytest.raises(PhotoError, match=r"a\.tar': .*compressed"):
        members(tmp_path / "a.tar")


@pytest.mark.parametrize("data", [b"", b"a cat", b"\xff" * 5000])
def test_what_is_no_tar_file_is_named(tmp_path, data):
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(PhotoError, match=r"a\.tar': not a tar file"):
        members(tmp_path / "a.tar")
    with pytest.raises(PhotoError, match=r"b\.tar': No such file"):
        members(tmp_path / "b.tar")
    assert os.listdir(tmp_path) == ["a.tar"]


def test_a_shard_cut_off_anywhere_has_every_member_that_is_whole(tmp_path):
    whole = shard_of(tmp_path / "a.tar", CONTENTS)
    found, _ = members(whole)
    data = whole.read_bytes()
    end = found[-1].offset + 2048
    assert data[end:] == bytes(len(data) - end)
    cuts = {end + n for n in (-1, 0, 1, 511)}
    for member in found:
        cuts |= {member.offset + n for n in (-512, -511, -1, 0, 1, member.size - 1, member.size)}
    for cut in sorted(cuts - {0, 1}):
        if cut <= 512:
            continue
        (tmp_path / "b.tar").write_bytes(data[:cut])
        expected = {m.name for m in found if m.offset + m.size <= cut}
        contents, problem = contents_of(tmp_path / "b.tar")
        assert contents == {name: CONTENTS[name] for name in expected}, cut
        assert f"b.tar': cut off or damaged after {len(expected)} whole files" in problem, cut
    (tmp_path / "b.tar").write_bytes(data[: end + 512])
    assert contents_of(tmp_path / "b.tar") == (CONTENTS, None)


def test_garbage_in_the_middle_keeps_what_is_before(tmp_path):
    shard = shard_of(tmp_path / "a.tar", CONTENTS)
    data = bytearray(shard.read_bytes())
    header = members(shard)[0][2].offset - 512
    data[header : header + 512] = os.urandom(512)
    shard.write_bytes(data)
    contents, problem = contents_of(shard)
    assert list(contents) == ["n01/0.jpg", "n01/1.jpg"]
    assert "damaged after 2 whole files" in problem


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
@pytest.mark.parametrize("size", [-1, -512, -1024, -5000, 2**40, 2**62, 2**80])
def test_a_size_that_is_made_up_ends_the_shard(tmp_path, size, kind):
    """A negative one would have tarfile go round in circles."""
    shard = shard_of(tmp_path / "a.tar", CONTENTS)
    data = bytearray(shard.read_bytes())
    header = members(shard)[0][1].offset - 512
    data[header + 124 : header + 136] = size.to_bytes(12, "big", signed=True)
    data[header + 124] = 0xFF if size < 0 else 0x80  # GNU's numbers of base 256
    data[header + 156 : header + 157] = kind
    data[header + 148 : header + 156] = b" " * 8
    data[header + 148 : header + 156] = b"%06o\0 " % sum(data[header : header + 512])
    shard.write_bytes(data)
    contents, problem = contents_of(shard)
    assert contents == {"n01/0.jpg": CONTENTS["n01/0.jpg"]}
    assert "damaged after 1 whole files" in problem


def test_a_shard_is_read_once_and_again_when_it_changed(tmp_path, monkeypatch):
    shard = shard_of(tmp_path / "a.tar", CONTENTS)
    first = members(shard)
    scans, scan = [], shards._scan
    monkeypatch.setattr(shards, "_scan", lambda *a, **k: scans.append(1) or scan(*a, **k))
    assert members(shard) == first
    assert not scans
    shard_of(shard, {"n02/y.jpg": b"another"})
    assert contents_of(shard) == ({"n02/y.jpg": b"another"}, None)
    assert len(scans) == 1
    os.utime(shard, (1, 1))
    members(shard)
    assert len(scans) == 2


def test_an_index_moves_along_with_its_shard(tmp_path):
    shard = shard_of(tmp_path / "a.tar", CONTENTS)
    shard.write_bytes(shard.read_bytes()[:3000])
    members(shard)
    for suffix in ("", ".index.json"):
        os.rename(f"{shard}{suffix}", tmp_path / f"b.tar{suffix}")
    found, problem = members(tmp_path / "b.tar")
    assert found[0].shard == str(tmp_path / "b.tar")
    assert problem.startswith(repr(str(tmp_path / "b.tar")))


@pytest.mark.parametrize(
    "garbage",
    [
        lambda index: b"",
        lambda index: b"\xff{",
        lambda index: b"[]",
        lambda index: b"{}",
        lambda index: json.dumps({**index, "members": 5}).encode(),
        lambda index: json.dumps({**index, "members": [["x.jpg", 0]]}).encode(),
        lambda index: json.dumps({**index, "members": [["x.jpg", None, 1]]}).encode(),
        lambda index: json.dumps({"stamp": index["stamp"], "members": []}).encode(),
        lambda index: json.dumps({**index, "stamp": [0, *index["stamp"][1:]]}).encode(),
    ],
)
def test_an_index_that_is_none_is_made_anew(tmp_path, garbage):
    shard = shard_of(tmp_path / "a.tar", CONTENTS)
    members(shard)
    path = tmp_path / "a.tar.index.json"
    index = json.loads(path.read_text())
    path.write_bytes(garbage(index))
    assert contents_of(shard) == (CONTENTS, None)
    assert json.loads(path.read_text()) == index


def test_without_room_for_an_index_it_is_made_every_time(tmp_path, monkeypatch):
    def full(path):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(shards, "replacing", full)
    shard = shard_of(tmp_path / "a.tar", CONTENTS)
    for _ in range(2):
        assert contents_of(shard) == (CONTENTS, None)
    assert os.listdir(tmp_path) == ["a.tar"]


def test_a_pipe_is_no_shard_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "x.tar")
    with pytest.raises(PhotoError, match="not a regular file"):
        members(tmp_path / "x.tar")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    ("others", "left"),
    [
        ({"a.jpg": b"another", f"{'n' * 90}/b.jpg": b"2" * 700}, 1),  # the first by its size
        ({"b.jpg": b"first", "a.jpg": b"2" * 700}, 0),  # by its name
        ({"a.jpg": b"first" * 300, f"{'n' * 90}/b.jpg": b"2" * 700}, 0),  # the second elsewhere
        ({"a.jpg": b"first"}, 1),  # the second gone
        ({}, 0),
    ],
)
def test_a_member_of_a_shard_that_was_replaced_is_refused(tmp_path, form, others, left):
    path, before = tmp_path / "a.tar", {"a.jpg": b"first", f"{'n' * 90}/b.jpg": b"2" * 700}
    listed, _ = shards.members(shard_of(path, before, form))
    assert [member.open().read() for member in listed] == list(before.values())
    shard_of(path, others, form)
    same = 0
    for member in listed:
        try:
            data = member.open().read()
        except PhotoError as error:
            assert "has changed since it was listed" in str(error)
        else:
            assert data == others.get(member.name) == before[member.name]
            same += 1
    assert same == left
    path.unlink()
    with pytest.raises(OSError, match="No such file"):
        listed[0].open()


@pytest.mark.parametrize("kind", ["pipe", "deep"])
def test_an_index_that_waits_or_nests_without_end_is_made_anew(tmp_path, kind):
    path = shard_of(tmp_path / "a.tar", {"a.jpg": b"1"})
    if kind == "pipe":
        os.mkfifo(f"{path}.index.json")
    else:
        (tmp_path / "a.tar.index.json").write_text("[" * 100_000)
    assert [member.name for member in shards.members(path)[0]] == ["a.jpg"]
