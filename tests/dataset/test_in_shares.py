"""Photos prepared and judged in shares: all together give what one run gives."""

import json
import re
from pathlib import Path

import pytest

from cic.dataset import invalid, preparation
from cic.dataset.invalid import Search
from cic.dataset.preparation import Preparation
from cic.photos import images
from cic.system.errors import InputError
from cic.system.shares import Share

SHARES = [Share(number, 2) for number in range(2)]


@pytest.fixture
def album(photo_folder, photo):
    """Photos, two of them gray, and one that is none."""
    for name in ("gray.png", "n01/gray too.png"):
        images.write(photo_folder / name, photo[..., :1].repeat(3, 2))
    (photo_folder / "n02" / "broken.jpg").write_bytes(b"\xff\xd8 no photo")
    return photo_folder


def tree(folder):
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("shards", [None, 2])
def test_shares_prepare_what_one_run_prepares_to_the_byte(album, tmp_path, shards):
    def prepare(output, share):
        settings = Preparation(str(album), str(output), 48, shards, share=share)
        return preparation.prepare(settings, progress=lambda event: None)

    whole = prepare(tmp_path / "one", Share())
    parts = [prepare(tmp_path / "two", share) for share in SHARES]
    assert tree(tmp_path / "two") == tree(tmp_path / "one")
    for name in ("photos", "bytes", "fresh", "failed"):
        assert sum(getattr(part, name) for part in parts) == getattr(whole, name)
    assert all(part.photos for part in parts)
    again = prepare(tmp_path / "two", Share())
    assert (again.photos, again.fresh, again.bytes) == (whole.photos, 0, whole.bytes)


def test_shares_find_the_invalid_photos_that_one_run_finds(album, tmp_path):
    (album / "left.jxl").write_bytes(b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a")

    said = []

    def judge(share):
        search = Search(album, tmp_path / "remove.sh", tmp_path / "seen.png", share=share)
        return search, invalid.find(search, progress=lambda event: said.append(event.message))

    search, whole = judge(Share())
    parts = [judge(share) for share in SHARES]
    lists = [line.partition(", ")[2] for line in said if line and line.startswith("share")]
    assert len(lists) == 2
    assert len(set(lists)) == 1
    assert re.match("list [0-9a-f]{8}: where", lists[0])
    assert [Path(one.output).name for one, _ in parts] == ["remove.0-of-2.sh", "remove.1-of-2.sh"]
    lines = [line for one, _ in parts for line in Path(one.report).read_text().splitlines()]
    assert sorted(lines) == sorted(Path(search.report).read_text().splitlines())
    assert {json.loads(line)["path"] for line in lines} >= {"gray.png", "n01/gray too.png"}
    assert parts[0][1].counts + parts[1][1].counts == whole.counts
    assert sum((one.left_out for _, one in parts), start=type(whole.left_out)()) == whole.left_out
    for name in ("removed", "problems"):
        assert sum(getattr(one, name) for _, one in parts) == getattr(whole, name)


def test_a_folder_without_photos_is_refused_and_a_share_without_any_is_not(tmp_path, photo):
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'in'}: no photo in there")):
        invalid.find(Search(tmp_path / "in", tmp_path / "remove.sh", share=Share(0, 2)))
    images.write(tmp_path / "in" / "a.png", photo)
    for share in SHARES:
        found = invalid.find(Search(tmp_path / "in", tmp_path / "remove.sh", share=share))
        assert found.counts.total() == share.is_first
