"""A batch in shares: the same files as in one run; what is there stays; a line for each photo."""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import backends
from cic import networks
from cic.colorize import joblist, jobs
from cic.colorize.batch import Part, Pictures
from cic.colorize.colorizer import Colorizer
from cic.colorize.joblist import Jobs, Places, Relations
from cic.colorize.manifest import Line, opened
from cic.colorize.settings import DEFAULTS
from cic.colorize.work import colorize_files
from cic.photos import images
from cic.system.errors import InputError
from cic.system.locks import LockedError
from cic.system.shares import Share
from helpers import ROOT, started

SHARES = [Share(number, 2) for number in range(2)]


@pytest.fixture
def paint():
    """A colorizer whose network finds one bin everywhere, and counts its photos."""
    seen = []

    def predict(array):
        seen.append(array.shape)
        logits = np.zeros((1, 313, array.shape[2] // 4, array.shape[3] // 4), np.float32)
        logits[:, 20] = 50
        return logits

    made = Colorizer(networks.get("cic", width=0.125), predict, DEFAULTS.but(size=64))
    made.seen = seen
    return made


@pytest.fixture
def album(photo_folder):
    """Photos, two that would become one file, and one that is none."""
    picture = Image.open(photo_folder / "n02" / "small coffee.png")
    picture.save(photo_folder / "pair.gif")
    picture.rotate(180).save(photo_folder / "pair.png")
    (photo_folder / "n01" / "broken.jpg").write_bytes(b"\xff\xd8 no photo")
    return photo_folder


def tree(folder):
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_two_shares_make_the_files_of_one_run_bit_for_bit(backend, album, tmp_path):
    colorizer = backends.colorizer(backend=backend.NAME, size=64)
    said, failed = [], 0
    one = jobs.find([str(album)], str(tmp_path / "one")).colorize(colorizer, progress=print)
    for share in SHARES:
        listing = jobs.find([str(album)], str(tmp_path / "two"))
        part = Part(share, manifest=str(tmp_path / "out.jsonl"))
        outcome = listing.colorize(colorizer, progress=lambda e: said.append(e.message), part=part)
        assert 3 <= len(outcome.done) <= 4
        failed += outcome.failed
    assert failed == one.failed == 2
    expected = tree(tmp_path / "one")
    assert len(expected) == 7
    assert tree(tmp_path / "two") == expected
    assert sum("pair.gif' already" in line for line in said) == 1
    entries = [lines_of(tmp_path / f"out.{number}-of-2.jsonl") for number in range(2)]
    together = {entry["source"]: entry for entry in entries[0] + entries[1]}
    assert len(together) == len(entries[0] + entries[1]) == 9
    made = {
        os.path.relpath(e["result"], tmp_path / "two") for e in together.values() if e["result"]
    }
    assert made == expected.keys()


def test_what_is_there_stays_and_the_shares_with_it(paint, album, tmp_path):
    output, manifest = tmp_path / "out", tmp_path / "lines" / "out.jsonl"
    part = Part(Share(1, 2), skip_existing=True, manifest=str(manifest))
    own = manifest.with_name("out.1-of-2.jsonl")

    def run():
        return jobs.find([str(album)], str(output)).colorize(paint, part=part)

    first = run()
    count, expected = len(first.done), tree(output)
    assert count >= 3
    (output / sorted(expected)[0]).unlink()
    stamps = {path: path.stat().st_mtime_ns for path in output.rglob("*.*") if path.is_file()}
    paint.seen.clear()
    second = run()
    assert (len(second.done), second.done.untouched, len(paint.seen)) == (1, count - 1, 1)
    assert str(second).startswith("1 colorized, ")
    assert f"{count - 1} there already" in str(second)
    assert tree(output) == expected
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    made = [entry["result"] for entry in lines_of(own) if entry["error"] is None]
    assert len(made) == count + 1  # the one that was made again twice, the others once


def test_a_folder_that_changes_between_two_shares_is_noticed(paint, album, tmp_path):
    manifest, said = tmp_path / "out.jsonl", []
    note = tmp_path / "out.all-of-2.json"

    def run(number, folder=album, output="out", **more):
        said.clear()
        part = Part(Share(number, 2), manifest=str(manifest), **more)
        listing = jobs.find([str(folder)], str(tmp_path / output))
        listing.colorize(paint, progress=lambda event: said.append(event.message), part=part)
        return [line for line in said if line and line.startswith(("share", "warning"))]

    [first] = run(0)
    assert re.fullmatch(r"share 0/2: [45] of 9 photos, list [0-9a-f]{8}: where another .*", first)
    moved = album.rename(tmp_path / "mounted elsewhere")
    [second] = run(1, moved)
    assert first.partition("list")[2] == second.partition("list")[2]
    images.write(moved / "more.png", np.zeros((40, 40, 3), np.uint8))
    third, warning = run(1, moved, skip_existing=True)
    assert "of 10 photos" in third
    assert third.partition("list")[2] != second.partition("list")[2]
    assert warning == (
        f"warning: {note}: another share had another list of photos, 9 then, 10 now: some are "
        "done twice or never: when all are done, start all 2 again with skip_existing"
    )
    assert len(run(0, moved, skip_existing=True)) == 1
    plain = jobs.find([str(moved)], str(tmp_path / "plain")).colorize(paint)
    assert len(tree(tmp_path / "out")) == len(plain.done) == len(tree(tmp_path / "plain"))
    images.write(moved / "more.png", np.zeros((60, 60, 3), np.uint8))  # dealt out by its size
    assert len(run(1, moved, skip_existing=True)) == 2
    note.write_text("[1]")
    assert len(run(1, moved, skip_existing=True)) == 1


def test_a_manifest_says_what_became_of_each_photo(paint, album, tmp_path):
    manifest = tmp_path / "out.jsonl"
    part = Part(skip_existing=True, manifest=str(manifest))
    jobs.find([str(album)], str(tmp_path / "out")).colorize(paint, part=part)
    entries = {os.path.basename(entry["source"]): entry for entry in lines_of(manifest)}
    assert len(entries) == 9
    good, bad = entries["chelsea.webp"], entries["broken.jpg"]
    assert good["result"] == str(tmp_path / "out" / "chelsea.webp")
    assert good["error"] is None
    assert 0 < good["seconds"] < 60
    assert bad["result"] is None
    assert "broken.jpg" in bad["error"]
    with open(manifest, "ab") as file:
        file.write(b'{"source": "torn')
    manifest_before = manifest.read_bytes()
    jobs.find([str(album)], str(tmp_path / "out")).colorize(paint, part=part)
    added = manifest.read_bytes()[manifest_before.rindex(b"\n") + 1 :]
    again = [json.loads(line)["source"] for line in added.splitlines()]
    assert {os.path.basename(source) for source in again} == {"broken.jpg", "pair.png"}


def test_a_result_without_a_line_gets_one_and_is_not_made_again(paint, album, tmp_path):
    output, manifest = tmp_path / "out", tmp_path / "out.jsonl"
    jobs.find([str(album)], str(output)).colorize(paint)
    part = Part(skip_existing=True, manifest=str(manifest))
    jobs.find([str(album)], str(output)).colorize(paint, part=part)
    there = [entry for entry in lines_of(manifest) if entry["error"] is None]
    assert len(there) == 7
    assert all(entry["seconds"] is None and entry["result"] for entry in there)


def test_a_file_that_is_no_manifest_is_not_written_to(paint, album, tmp_path):
    other = tmp_path / "notes.jsonl"
    other.write_text("mine\n")
    listing = jobs.find([str(album)], str(tmp_path / "out"))
    with pytest.raises(InputError, match=r"notes\.jsonl: is there, and no manifest"):
        listing.colorize(paint, part=Part(manifest=str(other)))
    assert other.read_text() == "mine\n"
    assert not paint.seen


@pytest.mark.parametrize("name", ["chelsea.webp", "film.MP4"])
def test_a_manifest_that_might_be_a_result_is_refused(paint, album, tmp_path, name):
    path = tmp_path / "out" / name
    listing = jobs.find([str(album)], str(tmp_path / "out"))
    with pytest.raises(InputError, match=rf"{name}: is the name of a photo or film"):
        listing.colorize(paint, part=Part(manifest=str(path)))
    assert not path.exists()
    assert not paint.seen


@pytest.mark.parametrize("torn", [b"{", b'{"sou', b'{"source": "', b'{"source": "b.pn'])
def test_what_a_full_disk_leaves_of_a_line_is_removed(tmp_path, torn):
    path = tmp_path / "out.jsonl"
    line = Line("a.png", "out/a.png", 1.0, None)
    with opened(str(path)) as first:
        first.add(line)
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    with opened(str(path)) as later:
        assert later.has("out/a.png")
    assert path.read_bytes() == whole


def test_a_manifest_that_another_run_writes_is_refused(tmp_path):
    path = str(tmp_path / "out.jsonl")
    line = Line("a.png", "out/a.png", 1.0, None)
    with opened(path) as first:
        first.add(line)
        with (
            pytest.raises(LockedError, match=r"out\.jsonl: another run writes this manifest"),
            opened(path),
        ):
            pass
        first.add(line)
    with opened(path) as later:
        assert later.has("out/a.png")
    assert lines_of(tmp_path / "out.jsonl") == [line._asdict()] * 2


def test_a_photo_with_alternatives_is_there_when_the_last_of_its_pictures_is(
    paint, tmp_path, photo
):
    source, target = str(tmp_path / "a.png"), str(tmp_path / "out" / "a.png")
    images.write(source, photo)
    wanted, part = Pictures(uncertainty=True), Part(skip_existing=True)
    images.write(target, photo)
    assert len(colorize_files(paint, [(source, target)], wanted, part=part).done) == 1
    assert colorize_files(paint, [(source, target)], wanted, part=part).done.untouched == 1


def test_a_picture_beside_a_result_does_not_take_the_place_of_another_shares(
    paint, tmp_path, photo
):
    for name in ("a.png", "a-uncertainty.png"):
        images.write(tmp_path / "in" / name, photo)
    failed = []
    for share in SHARES:
        listing = jobs.find([str(tmp_path / "in")], str(tmp_path / "out"))
        found = listing.colorize(paint, Pictures(uncertainty=True), part=Part(share))
        failed.append(found.failed)
    assert sorted(failed) == [0, 1]
    assert sorted(os.listdir(tmp_path / "out")) == [
        "a-uncertainty-uncertainty.png",
        "a-uncertainty.png",
    ]


def test_a_list_takes_few_bytes_a_photo_and_gives_what_was_put_in(tmp_path):
    found = Jobs(lambda name, source: f"out/{name}")
    names = [f"n{n // 3:04}/scan-{n:06}.jpg" for n in range(3000)] + ["n/\udcff \u00e9.jpg"]
    places = Places()
    for name in names:
        found.add("in", name, places.find(f"in/{name}"))
    assert found == [(f"in/{name}", f"out/{name}") for name in names]
    assert found[-1] == (f"in/{names[-1]}", f"out/{names[-1]}")
    held = [found.folder, found.end, found.names, *found.seen]
    assert sum(sys.getsizeof(part) for part in held) < 100 * len(names)
    done = joblist.Done(found)
    done.add(5, [f"out/{names[5]}"])
    done.add(6, ["out/b-1.png", "out/b-2.png"])
    assert done == [found[5], (found[6][0], "out/b-1.png"), (found[6][0], "out/b-2.png")]


def test_links_are_known_by_what_they_lead_to(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").write_bytes(b"12345")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "real" / "a.jpg")
    (tmp_path / "folder").symlink_to(tmp_path / "real")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")
    places = Places()
    for name in ("link.jpg", "folder/a.jpg", "real/a.jpg", "gone.jpg", "no.jpg"):
        found = places.find(str(tmp_path / name))
        assert found.real == os.path.realpath(tmp_path / name)
        assert found.size == (5 if os.path.exists(tmp_path / name) else 0)
    both = [(str(tmp_path / name), f"out/{name}") for name in ("link.jpg", "real/a.jpg")]
    assert Relations(both).is_source(str(tmp_path / "real" / "a.jpg"))
    assert not Relations(both).is_source(str(tmp_path / "link.jpg"))


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torch.distributed.run"])
def test_torchrun_and_variables_give_each_process_its_share(
    launcher, photo_folder, tmp_path, monkeypatch
):
    def start(*command):
        return started.run(*command, cwd=tmp_path)

    tool = (ROOT / "tools" / "colorize.py", "photos", "--backend", "onnx")
    tool += ("--manifest", "out.jsonl")
    run = start("-m", launcher, "--standalone", "--nproc_per_node", "2", *tool, "-o", "two")
    assert run.returncode == 0, run.stderr
    for number in range(2):
        assert f"share {number} of 2 (torchrun)" in run.stdout
        assert len(lines_of(tmp_path / f"out.{number}-of-2.jsonl")) == 3
    run = start("-m", "cic", "colorize", "photos", "-o", "one", "--backend", "onnx")
    assert run.returncode == 0, run.stderr
    assert tree(tmp_path / "two") == tree(tmp_path / "one")
    assert len(tree(tmp_path / "one")) == 6
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "2")
    refused = start(*tool, "-o", "no", "--share", "0/3")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith(
        "error: share 0/3: mpiexec started process 0 of 2"
    )
    assert not (tmp_path / "no").exists()
