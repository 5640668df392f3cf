"""tools/prepare_photos.py as a user starts it, and what it makes of a photo."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from cic.colour.lab import lightness, rgb_to_lab
from cic.dataset import shrunk
from cic.photos import images, sources
from cic.system import contents, locks
from helpers import ROOT, started

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, str(ROOT / "tools" / "prepare_photos.py")]
FOLDER, SHARDS = (), ("--shards", "4")


@pytest.fixture
def run(tmp_path):
    """Run the tool in `tmp_path`, with no worker unless told; the finished process."""

    def run(*arguments):
        command = [*COMMAND[1:], "--num_workers", "0", *map(os.fspath, arguments)]
        return started.run(*command, cwd=tmp_path)

    return run


def tree(folder):
    """{name: bytes} of all files below, hidden ones too, but for the shards' indices."""
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if p.suffix != ".json"} | {
        "prepared.json": (Path(folder) / "prepared.json").read_bytes()
    }


def pixels(*places):
    """{name: pixels} of the photos of folders and shards."""
    return {photo.name: images.read(photo) for photo in sources.photos(places)}


def save(path, rgb, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = rgb if isinstance(rgb, Image.Image) else Image.fromarray(np.ascontiguousarray(rgb))
    image.save(path, **options)
    return path


def prepared(path, load_size=64, **options):
    """The Pillow image that `encode` makes of a photo."""
    return Image.open(io.BytesIO(shrunk.encode(path, load_size, **options)))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("short", [64, 50])
def test_a_photo_that_is_small_already_is_copied(tmp_path, photos, mode, short):
    image = images.shrink(Image.fromarray(photos["coffee"]), short).convert(mode)
    path = save(tmp_path / "x.jpg", image, quality=71, comment=b"hello", exif=b"Exif\0\0")
    assert shrunk.encode(path, 64) == path.read_bytes()
    assert shrunk.encode(path, short - 1) != path.read_bytes()


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return {"exif": exif}


def profiled():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return {"icc_profile": profile.tobytes()}


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("x.png", "RGB", dict),
        ("x.jpg", "CMYK", dict),
        ("commented.jpg", "RGB", lambda: {**profiled(), "comment": b"hello"}),
        ("large.jpg", "RGB", lambda: {"comment": b"hello"}),
        ("turned.jpg", "RGB", turned),
        ("profiled.jpg", "RGB", profiled),
        ("png.jpg", "RGB", lambda: {"format": "PNG"}),
    ],
)
def test_any_other_is_encoded_upright_and_without_metadata(tmp_path, photos, name, mode, options):
    short = 66 if name == "large.jpg" else 60
    image = images.shrink(Image.fromarray(photos["coffee"]), short).convert(mode)
    path = save(tmp_path / name, image, **options())
    result = prepared(path)
    assert (result.format, result.mode) == ("JPEG", "RGB")
    assert not {"exif", "icc_profile", "comment"} & set(result.info)
    expected = np.asarray(images.shrink(images.open_rgb(path), 64)).astype(float)
    assert np.abs(np.asarray(result) - expected).mean() < 4


def test_a_large_photo_is_shrunk_and_keeps_its_colours(tmp_path, photos):
    path = save(tmp_path / "x.png", photos["astronaut"])
    expected = np.asarray(images.shrink(Image.fromarray(photos["astronaut"]), 256))
    error = {}
    for quality in (50, shrunk.QUALITY):
        result = prepared(path, 256, quality=quality)
        assert result.size == (256, 256)
        assert result.layer[0][1:3] == (1, 1)  # no chroma subsampling
        ab, true = (rgb_to_lab(np.asarray(im)[::4, ::4])[..., 1:] for im in (result, expected))
        error[quality] = np.linalg.norm(ab - true, axis=-1).mean()
    assert error[shrunk.QUALITY] < 1.8 < error[50]


def test_gray_stays_gray(tmp_path, photos):
    path = save(tmp_path / "x.png", Image.fromarray(photos["coffee"]).convert("L"))
    assert prepared(path).mode == "L"


@pytest.mark.parametrize("name", sorted(["astronaut", "coffee", "chelsea", "rocket"]))
def test_the_decoders_own_scaling_changes_little_of_what_training_sees(tmp_path, photos, name):
    """Of a 12-megapixel JPEG, at a short side of 256: means, in CIELAB units."""
    photo = ImageOps.fit(Image.fromarray(np.ascontiguousarray(photos[name])), (4000, 3000))
    path = save(tmp_path / "x.jpg", photo, quality=90)
    scaled = images.open_rgb(path, short=256)
    assert 512 <= min(scaled.size) < 1024
    sizes = [images.shrink(image, 256) for image in (images.open_rgb(path), scaled)]
    full, scaled = map(np.asarray, sizes)
    assert full.shape == scaled.shape
    ab = [rgb_to_lab(rgb[::4, ::4])[..., 1:] for rgb in (full, scaled)]
    assert np.linalg.norm(ab[0] - ab[1], axis=-1).mean() < 0.6
    assert np.abs(lightness(full) - lightness(scaled)).mean() < 0.3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("n01/x.JPEG", "n01/x.JPEG"),
        ("n01/x.jfif", "n01/x.jfif"),
        ("n01/x.png", "n01/x.png.jpg"),
        ("./n01/x.jpg", "n01/x.jpg"),
        ("/etc/x.jpg", "etc/x.jpg"),
        ("//etc/x.jpg", "etc/x.jpg"),
        ("../../x.jpg", "x.jpg"),
        ("a/../../x.jpg", "x.jpg"),
    ],
)
def test_no_name_leads_out_of_the_output(name, expected):
    assert shrunk.target_name(sources.File("folder", name)) == expected
    raw = shrunk.target_name(sources.File("folder", name), shrunk.RAW)
    assert raw == f"{expected.removesuffix('.jpg') if name.endswith('png') else expected}.pnm"


@pytest.fixture
def archive(photo_folder, photos, tmp_path):
    """A folder and shards of twelve photos, one with a name of bytes, and where they are."""
    save(photo_folder / os.fsdecode(b"n03/\xff.jpg"), photos["rocket"])
    big = Image.fromarray(photos["astronaut"])
    save(photo_folder / "n03" / "gray.jpg", big.convert("L"))
    save(photo_folder / "n03" / "turned.jpg", big, **turned())
    shard = tmp_path / "more.tar"
    with tarfile.open(shard, "w") as tar:
        for name in sources.find(photo_folder)[:3]:
            tar.add(photo_folder / name, f"./more/{name}")
    return photo_folder, shard


@pytest.mark.parametrize("form", [FOLDER, SHARDS])
def test_folders_and_shards_become_class_folders_or_shards(run, archive, tmp_path, form):
    for workers in ("0", "2"):
        out = tmp_path / f"out{workers}"
        where = ("--image_dir", *archive, "--output", out, "--load_size", "64")
        done = run(*where, *form, "--num_workers", workers)
        assert done.returncode == 0, done.stderr
        assert "12 photos" in done.stdout
        assert "12/12" in done.stderr
        assert f"train.py --image_dir {out}" in done.stdout
    assert tree(tmp_path / "out0") == tree(tmp_path / "out2")
    made = pixels(out)
    expected = [shrunk.target_name(photo) for photo in sources.photos(archive)]
    assert list(made) == sorted(expected, key=os.fsencode) if form == FOLDER else expected
    for photo in sources.photos(archive):
        rgb = made[shrunk.target_name(photo)]
        whole = np.asarray(images.shrink(images.open_rgb(photo), 64)).astype(float)
        assert rgb.shape == whole.shape
        assert np.abs(rgb - whole).mean() < 6
    if form == SHARDS:
        assert sorted(p.name for p in out.glob("*.tar")) == [
            f"photos-00000{n}.tar" for n in range(3)
        ]


@pytest.mark.parametrize("form", [FOLDER, SHARDS])
def test_raw_photos_are_what_a_decoder_makes_of_them(run, archive, tmp_path, form):
    where = ("--image_dir", *archive, "--output", tmp_path / "raw", "--load_size", "64")
    for _ in range(2):
        done = run(*where, "--raw", *form)
        assert done.returncode == 0, done.stderr
        assert "12 photos" in done.stdout
    assert "0 of them made now" in done.stdout
    made = pixels(tmp_path / "raw")
    assert len(made) == 12
    for photo in sources.photos(archive):
        rgb = np.asarray(images.shrink(images.open_rgb(photo, short=64), 64))
        assert np.array_equal(made[shrunk.target_name(photo, shrunk.RAW)], rgb)
    if form == FOLDER:
        assert Image.open(tmp_path / "raw" / "n03" / "gray.jpg.pnm").mode == "L"
        assert np.array_equal(made["n03/gray.jpg.pnm"], made["n03/gray.jpg.pnm"][..., [2, 0, 1]])
    other = run(*where, *form)
    assert other.returncode == 1
    assert "begun with quality raw, which is 90 now" in other.stderr
    both = run(*where, *form, "--raw", "--quality", "80")
    assert both.returncode == 2
    assert "not allowed with argument --raw" in both.stderr


def test_both_forms_hold_the_same_bytes_and_headers_tell_nothing(run, archive, tmp_path):
    for form, out in ((FOLDER, "folder"), (SHARDS, "shards")):
        done = run("--image_dir", *archive, "--output", out, "--load_size", "64", *form)
        assert done.returncode == 0, done.stderr
    for photo in sources.photos([tmp_path / "shards"]):
        assert photo.open().read() == (tmp_path / "folder" / photo.name).read_bytes()
    with tarfile.open(tmp_path / "shards" / "photos-000000.tar") as tar:
        for info in tar:
            assert (info.mtime, info.uid, info.gid, info.uname) == (0, 0, 0, "")


@pytest.mark.parametrize("form", [FOLDER, SHARDS])
def test_unreadable_photos_are_named_and_left_out_again_and_again(run, archive, tmp_path, form):
    folder, _ = archive
    (folder / "n01" / "broken.jpg").write_bytes(
        (folder / "n01" / "astronaut.jpg").read_bytes()[:900]
    )
    (folder / "bad.tar").write_bytes(b"nothing")
    reasons = []
    for _ in range(2):
        done = run("--image_dir", folder, "--output", "out", "--load_size", "64", *form)
        assert done.returncode == 1
        shown = done.stdout + done.stderr
        assert "broken.jpg" in shown
        assert "bad.tar': not a tar file" in shown
        assert "9 photos" in done.stdout
        assert "1 failed" in done.stdout
        assert "Traceback" not in shown
        reasons.append(re.search("failed: .*broken.jpg.*", shown)[0])
    assert "truncated" in reasons[0]
    assert reasons[0] == reasons[1]
    assert len(pixels(tmp_path / "out")) == 9


@pytest.mark.parametrize("form", [FOLDER, SHARDS])
def test_a_killed_run_goes_on_to_the_same_bytes(run, photos, tmp_path, form):
    for n in range(40):
        save(tmp_path / "in" / f"n{n % 3}" / f"{n}.jpg", photos["astronaut"][n:, n:])
    (tmp_path / "in" / "n0" / "broken.jpg").write_bytes(b"nothing")
    where = ("--image_dir", "in", "--load_size", "64", *form)
    assert run(*where, "--output", "whole").returncode == 1
    expected, kills = tree(tmp_path / "whole"), 0
    for enough in (1, 2, 5):
        command = [*COMMAND, *where, "--output", "out", "--num_workers", "2"]
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
        made = 0
        while process.poll() is None and made < enough:
            made = sum(p.suffix in (".jpg", ".tar") for p in (tmp_path / "out").rglob("*"))
        process.kill()
        kills += process.wait() < 0
        process.communicate(timeout=30)  # until the last worker has ended
    assert kills
    litter = tmp_path / "out" / ".photos-000001.abcdefgh.partial.tar"
    litter.write_bytes(b"half")
    done = run(*where, "--output", "out")
    assert done.returncode == 1
    assert "broken.jpg" in done.stdout + done.stderr
    assert tree(tmp_path / "out") == expected

    def times():
        there = (p for p in (tmp_path / "out").rglob("*") if not p.match("*.index.json"))
        return {p: p.stat().st_mtime_ns for p in there if p.is_file()}

    before = times()
    assert "0 of them made now" in run(*where, "--output", "out").stdout
    assert times() == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("--load_size", "63"), "load_size 64, which is 63"),
        (("--quality", "80"), "quality 90, which is 80"),
        (("--shards", "5"), "shards None, which is 5"),
        (("--max_pixels", "1000000"), "max_pixels"),
        (("--image_dir", "photos/n01"), "photos 9, which is 2"),
    ],
)
def test_going_on_otherwise_is_refused(run, archive, tmp_path, change, named):
    where = ("--image_dir", "photos", "--output", "out", "--load_size", "64")
    assert run(*where).returncode == 0
    before = tree(tmp_path / "out")
    done = run(*where, *change)
    assert done.returncode == 1
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert tree(tmp_path / "out") == before


def test_another_list_of_as_many_photos_is_refused(run, archive):
    where = ("--image_dir", "photos", "--output", "out")
    assert run(*where).returncode == 0
    folder, _ = archive
    os.rename(folder / "chelsea.webp", folder / "cat.webp")
    done = run(*where)
    assert done.returncode == 1
    assert "fingerprint" in done.stderr


@pytest.mark.parametrize("form", [FOLDER, SHARDS])
def test_two_photos_of_one_name_are_refused_before_anything_is_written(
    run, archive, tmp_path, form
):
    folder, _ = archive
    shutil.copytree(folder / "n02", tmp_path / "again" / "n02")
    done = run("--image_dir", "photos", "again", "--output", "out", *form)
    assert done.returncode == 1
    assert "'photos/n02/coffee.JPG' and 'again/n02/coffee.JPG' would both become" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_hash_that_two_names_share_is_no_collision(monkeypatch):
    files = [sources.File("a", f"{n}.jpg") for n in range(9)]
    monkeypatch.setattr(shrunk, "_hash", lambda name: 7)
    assert len(shrunk.fingerprint(files, range(9))) == 64
    with pytest.raises(ValueError, match=r"'a/3\.jpg' and 'b/3\.jpg' would both"):
        shrunk.fingerprint([*files, sources.File("b", "3.jpg")], range(10))


@pytest.mark.parametrize(
    ("output", "named"),
    [("photos", "where the photos come from"), ("photos/small", "where"), ("mine", "not empty")],
)
def test_an_output_that_is_in_the_way_is_refused(run, archive, tmp_path, output, named):
    save(tmp_path / "mine" / "x.png", np.zeros((9, 9, 3), np.uint8))
    before = sorted(tmp_path.rglob("*"))
    done = run("--image_dir", "photos", "--output", output)
    assert done.returncode == 1
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", [".config/a/.x.template.json", ".git/HEAD", ".keep"])
def test_an_output_of_hidden_files_is_refused_and_nothing_deleted(run, archive, tmp_path, name):
    mine = tmp_path / "out" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    done = run("--image_dir", "photos", "--output", "out")
    assert done.returncode == 1
    assert "not empty" in done.stderr
    assert [p for p in (tmp_path / "out").rglob("*") if p.is_file()] == [mine]


def test_an_output_that_is_a_file_is_refused(run, archive, tmp_path):
    (tmp_path / "out").write_text("mine")
    done = run("--image_dir", "photos", "--output", "out")
    assert done.stderr == "error: out: is not a folder\n"


def test_leftovers_are_removed_but_nothing_in_hidden_folders(run, archive, tmp_path):
    hidden = tmp_path / "out" / ".config" / ".x.abcdefgh.partial.json"
    litter = tmp_path / "out" / ".prepared.abcdefgh.partial.json"
    litter.parent.mkdir()
    litter.write_text("half")
    assert run("--image_dir", "photos", "--output", "out").returncode == 0
    assert not litter.exists()
    hidden.parent.mkdir()
    hidden.write_text("mine")
    assert run("--image_dir", "photos", "--output", "out").returncode == 0
    assert hidden.exists()


@pytest.mark.parametrize("damage", [lambda b: b"junk", lambda b: b[: len(b) // 2], lambda b: b""])
def test_a_damaged_shard_is_made_anew(run, archive, tmp_path, damage):
    where = ("--image_dir", "photos", "--output", "out", "--load_size", "64", *SHARDS)
    assert run(*where).returncode == 0
    expected, shard = tree(tmp_path / "out"), tmp_path / "out" / "photos-000001.tar"
    shard.write_bytes(damage(shard.read_bytes()))
    done = run(*where)
    assert done.returncode == 0, done.stderr
    assert "made anew: 'out/photos-000001.tar': " in done.stdout
    assert "4 of them made now" in done.stdout
    assert tree(tmp_path / "out") == expected


@pytest.mark.parametrize("junk", [b"", b"junk", b"\xff", b"[]", b"5", b'{"name": "x"}'])
def test_settings_that_are_damaged_are_named(run, archive, tmp_path, junk):
    where = ("--image_dir", "photos", "--output", "out", "--load_size", "64")
    assert run(*where).returncode == 0
    (tmp_path / "out" / "prepared.json").write_bytes(junk)
    done = run(*where)
    assert done.returncode == 1
    assert "out/prepared.json: is damaged, or not of this tool" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_shard_of_failures_alone_and_one_deleted_to_be_made_anew(run, archive, tmp_path):
    folder, _ = archive
    whole = (folder / "n01" / "astronaut.jpg").read_bytes()
    for name in ("a0", "a1", "a2", "a3"):
        (folder / f"{name}.jpg").write_bytes(whole[:900])
    where = ("--image_dir", "photos", "--output", "out", "--load_size", "64", *SHARDS)
    first, second = run(*where), run(*where)
    assert "4 failed" in first.stdout
    assert "made anew" not in second.stdout
    assert second.stdout.count("truncated") == first.stdout.count("truncated") == 4
    (tmp_path / "out" / "photos-000000.failed.json").write_text("junk")
    assert "a0.jpg': could not be read when the shard was made" in run(*where).stdout
    for name in ("a0", "a1", "a2", "a3"):
        (folder / f"{name}.jpg").write_bytes(whole)
    (tmp_path / "out" / "photos-000000.tar").unlink()
    assert run(*where).returncode == 0
    assert not (tmp_path / "out" / "photos-000000.failed.json").exists()


def test_a_report_of_other_photos_is_noticed(run, archive, tmp_path):
    names = [f"n0{n}/x.jpg" for n in range(5)]
    line = '{"path": "%s", "kind": "gray", "removed": true}\n'
    where = ("--image_dir", "photos", "--output", "out", "--invalid", "r.jsonl")
    (tmp_path / "r.jsonl").write_text("".join(line % name for name in names))
    done = run(*where)
    assert done.returncode == 1
    assert "r.jsonl: none of its 5 photos is among these" in done.stderr
    assert not (tmp_path / "out").exists()
    (tmp_path / "r.jsonl").write_text("".join(line % n for n in [*names, "chelsea.webp"]))
    done = run(*where)
    assert done.returncode == 0, done.stderr
    assert "warning: r.jsonl: 5 of its 6 photos are not among these" in done.stdout
    (tmp_path / "r.jsonl").write_text("")
    assert "0 of 9 photos left out" in run(*where[:2], "--output", "new", *where[4:]).stdout


@pytest.mark.parametrize("form", [FOLDER, SHARDS])
def test_photos_that_a_report_calls_invalid_are_left_out(run, archive, tmp_path, form):
    folder, shard = archive
    os.rename(shard, folder / "more.tar")
    lines = [
        {"path": os.fsdecode(b"n03/\xff.jpg"), "kind": "gray", "value": 0.1, "removed": True},
        {"path": "more.tar/./more/chelsea.webp", "kind": "truncated", "removed": False},
        {"path": "n03/turned.jpg", "kind": "single hue", "removed": False},
        {"path": "n03/gray.jpg", "kind": "single hue", "removed": True},
        {"path": "chelsea.webp", "kind": "link outside", "removed": False},
    ]
    (tmp_path / "report.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    where = ("--image_dir", "photos", "--output", "out", "--invalid", "report.jsonl", *form)
    done = run(*where)
    assert done.returncode == 0, done.stderr
    assert "3 of 12 photos left out" in done.stdout
    names = set(pixels(tmp_path / "out"))
    assert len(names) == 9
    assert {"n03/turned.jpg", "chelsea.webp.jpg"} <= names
    assert not {os.fsdecode(b"n03/\xff.jpg"), "more/chelsea.webp.jpg"} & names


@pytest.mark.parametrize("line", ["not json", "[]", "{}", '{"kind": "gray"}', "5"])
def test_a_report_that_is_none_is_named_with_the_line(run, archive, tmp_path, line):
    (tmp_path / "r.jsonl").write_text(
        '{"path": "x", "kind": "gray", "removed": true}\n' + line + "\n"
    )
    done = run("--image_dir", "photos", "--output", "out", "--invalid", "r.jsonl")
    assert done.returncode == 1
    assert "r.jsonl: line 2" in done.stderr
    assert not (tmp_path / "out").exists()


def test_members_of_a_shard_given_by_itself_are_in_a_report_after_its_name(archive):
    _, shard = archive
    (first, *_) = sources.photos([shard])
    assert sources.report_name(first, [str(shard)]) == f"more.tar/{first.name}"


def test_a_photo_of_too_many_pixels_is_left_out(run, archive):
    done = run("--image_dir", "photos", "--output", "out", "--max_pixels", "200000")
    assert done.returncode == 1
    assert "too large" in done.stdout
    assert "6 photos" in done.stdout


def test_a_disk_that_is_full_ends_the_run_and_leaves_no_part(archive, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    job = shrunk.Job(sources.PhotoList([archive[0]]), 64, 90, str(tmp_path / "out"))
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        shrunk.make(job, 0)
    assert os.listdir(tmp_path / "out") == []
    monkeypatch.undo()
    assert shrunk.make(job, 0) == shrunk.make(job, 0)._replace(fresh=True)


@pytest.mark.parametrize("form", [FOLDER, SHARDS])
def test_a_photo_that_is_no_longer_the_one_that_was_judged_is_taken(run, archive, tmp_path, form):
    folder, shard = archive
    os.rename(shard, folder / "more.tar")
    judged = {photo.name: contents.digest(photo).sha256 for photo in sources.photos([folder])}
    names = {"chelsea.webp": "chelsea.webp", "n03/gray.jpg": "n03/gray.jpg"}
    names["more.tar/./more/chelsea.webp"] = "./more/chelsea.webp"
    line = {"kind": "gray", "value": 0.1, "removed": False}
    lines = [line | {"path": path, "sha256": judged[name]} for path, name in names.items()]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "chelsea.webp").write_bytes((folder / "n03/turned.jpg").read_bytes())
    done = run("--image_dir", "photos", "--output", "out", "--invalid", "r.jsonl", *form)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("taken: 'photos/chelsea.webp' has changed") == 1
    assert done.stdout.count("taken: ") == 1
    assert "2 of 12 photos left out" in done.stdout
    found = pixels(tmp_path / "out")
    assert {"n03/gray.jpg", "more/chelsea.webp.jpg"}.isdisjoint(found)
    assert np.array_equal(found["chelsea.webp.jpg"], found["n03/turned.jpg"])


@pytest.mark.parametrize("form", [FOLDER, SHARDS])
def test_what_was_made_of_a_photo_that_has_changed_since_is_made_anew(run, archive, tmp_path, form):
    where = ("--image_dir", *archive, "--output", "out", "--load_size", "64", *form)
    assert run(*where).returncode == 0
    before = tree(tmp_path / "out")
    assert "0 of them made now" in run(*where).stdout
    changed = archive[0] / "chelsea.webp"
    keep = changed.stat()
    changed.write_bytes((archive[0] / "n03/turned.jpg").read_bytes())
    os.utime(changed, ns=(keep.st_atime_ns, keep.st_mtime_ns))  # as cp -p would
    done = run(*where)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"{str(changed)!r} has changed since") == 1
    assert f"{4 if form else 1} of them made now" in done.stdout
    after = tree(tmp_path / "out")
    assert after.keys() == before.keys()
    assert len([name for name in after if after[name] != before[name]]) == 1
    found = pixels(tmp_path / "out")
    assert np.array_equal(found["chelsea.webp.jpg"], found["n03/turned.jpg"])
    assert "0 of them made now" in run(*where).stdout


@pytest.mark.parametrize("form", [FOLDER, SHARDS])
def test_a_run_that_is_killed_at_any_time_is_whole_and_goes_on(run, archive, tmp_path, form):
    """Killed every 50 ms of its work; a shard or photo that is there is whole."""
    where = ("--image_dir", *archive, "--load_size", "64", *form)
    assert run(*where, "--output", "expected").returncode == 0
    expected, out = tree(tmp_path / "expected"), tmp_path / "out"
    kill = "import os, signal, sys, threading, time, runpy\n"
    kill += "from cic.dataset import shrunk\n"
    kill += "work, delay = shrunk.make, float(sys.argv.pop())\n"
    kill += "def make(job, i):\n    if i == 0: threading.Timer(delay,"
    kill += " lambda: os.kill(os.getpid(), signal.SIGKILL)).start()\n"
    kill += "    time.sleep(0.02)\n    return work(job, i)\n"
    kill += "shrunk.make = make\nsys.argv.pop(0)\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    killed = 0
    for delay in (0.05, 0.1, 0.15, 0.2, 0.25):
        shutil.rmtree(out, ignore_errors=True)
        flags = ["--num_workers", "0", *map(str, where), "--output", "out", str(delay)]
        command = [sys.executable, "-c", kill, COMMAND[1], *flags]
        root = {"PYTHONPATH": str(ROOT)}
        killed += subprocess.run(command, cwd=tmp_path, env=os.environ | root).returncode == -9
        there = {name: data for name, data in tree(out).items() if ".partial" not in name}
        there.pop(locks.NAME, None)  # the killed run's, which the next one recognises
        assert there.items() <= expected.items()
        done = run(*where, "--output", "out")
        assert done.returncode == 0, done.stderr
        assert tree(out) == expected
    assert killed >= 3


@pytest.mark.parametrize("name", ["prepared.json", "report.jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "device", "deep", "folder"])
def test_what_is_no_regular_file_is_one_line_and_nobody_waits(run, archive, tmp_path, name, kind):
    path = tmp_path / ("out" if name == "prepared.json" else "") / name
    path.parent.mkdir(exist_ok=True)
    {
        "pipe": os.mkfifo,
        "device": lambda p: p.symlink_to("/dev/zero"),
        "deep": lambda p: p.write_text("[" * 100_000),
        "folder": os.mkdir,
    }[kind](path)
    more = ("--invalid", path) if name == "report.jsonl" else ()
    done = run("--image_dir", "photos", "--output", "out", *more)
    assert done.returncode == 1
    assert name in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_photos_in_the_output_are_refused(run, archive, tmp_path):
    for place, output in (("photos", "."), ("photos", "photos"), ("photos", "photos/n01/out")):
        done = run("--image_dir", place, "--output", output)
        assert done.returncode == 1
        assert "choose another output" in done.stderr
