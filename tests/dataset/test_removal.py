"""The removal script, really run by dash and bash, and the tool that writes it."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cic.dataset import invalid, removal, validity
from cic.photos import images, sheet, sources
from cic.system import contents
from cic.system.text import printable
from helpers import ROOT, started

pytestmark = pytest.mark.slow

SHELLS = [shell for shell in ("dash", "bash", "ash", "ksh93", "mksh", "sh") if shutil.which(shell)]
EVIL = [
    b"plain.jpg",
    b"with space.jpg",
    b" leading and trailing .jpg",
    b"it's.jpg",
    b'"quoted".jpg',
    b"'; touch pwned; '.jpg",
    b"$(touch pwned).jpg",
    b"`touch pwned`.jpg",
    b"${HOME}$HOME$$.jpg",
    b"new\nline.jpg",
    b"\ntouch pwned\n.jpg",
    b"-rf.jpg",
    b"--no-preserve-root.jpg",
    b"-rf/-i.jpg",
    b"*.jpg",
    b"?lain.jpg",
    b"[p]lain.jpg",
    b"~.jpg",
    b"~/~root.jpg",
    b"back\\slash\\'.jpg",
    b"\\n\\0.jpg",
    b"not utf-8 \xff\xfe\x81\x88.jpg",
    b"cut utf-8 \xe2\x82'.jpg",
    "Wölfe 狼 🐺.jpg".encode(),
    b";rm -rf ..;.jpg",
    b"& touch pwned &.jpg",
    b"| > pwned #!.jpg",
    b"tab\t\r\x07\x1b[31m.jpg",
    b"%s%n%d.jpg",
    b"a folder\n/$(touch pwned)\n/'x'/\xff.jpg",
    b"=.jpg",
    b"!.jpg",
    b"(.jpg",
]


@pytest.fixture(params=SHELLS)
def shell(request):
    return request.param


def write_script(folder, names, path):
    with open(path, "wb") as file:
        script = removal.Script(file, folder)
        for name in names:
            path = os.path.join(folder, os.fsdecode(name))
            content = contents.digest(path) if os.path.isfile(path) else contents.Content(0, "", 0)
            script.remove(os.fsdecode(name), content)
        script.end()


def fill(folder, names=EVIL):
    for name in names:
        path = os.path.join(os.fsencode(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass


def files(folder):
    """The files below a folder, relative, in bytes."""
    folder = os.fsencode(folder)
    return {
        os.path.relpath(os.path.join(root, name), folder)
        for root, _, names in os.walk(folder)
        for name in names
    }


def start(shell, script, *arguments, cwd, **environment):
    return subprocess.run(
        [shell, script, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=60,
    )


@given(names=st.lists(st.binary(min_size=1), min_size=30, max_size=60))
def test_every_shell_reads_a_quoted_name_as_it_is(names):
    names = [name.replace(b"\0", b"'").replace(b"/", b"'") for name in names]
    quoted = [removal.quoted(os.fsdecode(name)) for name in names]
    lines = [b"LC_ALL=C", *(b"printf '%s\\0' " + name for name in quoted)]
    for shell in SHELLS:
        run = subprocess.run([shell], input=b"\n".join(lines), capture_output=True)
        assert run.stdout.split(b"\0")[:-1] == names, shell


def test_evil_names_are_removed_and_nothing_else(tmp_path, shell):
    folder = tmp_path / "it's the $(photo) folder\n"
    bait = {b"bait.jpg", *(name for name in EVIL if b"/" not in name)}
    kept = {b"kept.jpg", b"a folder\n/kept.jpg", b"xlain.jpg", b"-rf/kept", b"$(touch pwned)"}
    fill(tmp_path / "elsewhere", bait)
    fill(tmp_path, bait)
    fill(folder, [*EVIL, *kept])
    script = tmp_path / "remove.sh"
    write_script(folder, EVIL, script)
    outside = files(tmp_path) - {os.path.join(os.fsencode(folder.name), name) for name in EVIL}

    run = start(shell, script, "--dry-run", cwd=tmp_path / "elsewhere")
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith(b"would remove %d, already gone 0, failed 0\n" % len(EVIL))
    assert files(folder) == {*EVIL, *kept}
    for removed, gone in ((len(EVIL), 0), (0, len(EVIL))):
        run = start(shell, script, cwd=tmp_path / "elsewhere")
        assert run.stderr == b""
        assert run.stdout == b"removed %d, already gone %d, failed 0\n" % (removed, gone)
        assert run.returncode == 0
        assert files(folder) == kept
        assert files(tmp_path) == outside


@pytest.mark.parametrize("place", ["-", "-the new 'place'"])
def test_the_folder_may_move(tmp_path, shell, place):
    fill(tmp_path / "old")
    script = tmp_path / "remove.sh"
    write_script(tmp_path / "old", EVIL, script)
    (tmp_path / "old").rename(tmp_path / place)
    run = start(shell, script, cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.count(b"\n") == 1
    assert b"no such folder" in run.stderr
    run = start(shell, script, cwd=tmp_path, ROOT=place, OLDPWD="/")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(b"removed %d," % len(EVIL))
    assert not files(tmp_path / place)


@pytest.mark.parametrize("arguments", [("--dryrun",), ("--dry-run", "x"), ("",)])
def test_an_unknown_argument_removes_nothing(tmp_path, shell, arguments):
    fill(tmp_path / "photos", [b"a.jpg"])
    write_script(tmp_path / "photos", [b"a.jpg"], tmp_path / "remove.sh")
    run = start(shell, "remove.sh", *arguments, cwd=tmp_path)
    assert run.returncode == 2
    assert b"usage" in run.stderr
    assert files(tmp_path / "photos") == {b"a.jpg"}


def test_what_has_become_a_link_or_a_folder_is_left_alone(tmp_path, shell):
    photos, elsewhere = tmp_path / "photos", tmp_path / "photos elsewhere"
    fill(photos, [b"n01/a.jpg", b"n02/a.jpg", b"n03/a.jpg", b"b.jpg"])
    fill(elsewhere, [b"a.jpg", b"b.jpg"])
    (photos / "link.jpg").symlink_to("n02/a.jpg")
    script = tmp_path / "remove.sh"
    names = [b"n01/a.jpg", b"n02/a.jpg", b"n03/a.jpg", b"b.jpg", b"n01", b"link.jpg"]
    write_script(photos, names, script)
    shutil.rmtree(photos / "n01")
    (photos / "n01").symlink_to(elsewhere)
    (photos / "n03/a.jpg").unlink()
    (photos / "n03/a.jpg").mkdir()
    (photos / "b.jpg").unlink()
    (photos / "b.jpg").symlink_to(elsewhere / "b.jpg")
    run = start(shell, script, cwd=tmp_path)
    assert run.returncode == 1
    assert run.stdout == b"removed 2, already gone 0, failed 4\n"  # n02/a.jpg and the link to it
    assert run.stderr.count(b"\n") == 4
    assert run.stderr.count(b"it has become a link") == 2
    assert files(elsewhere) == {b"a.jpg", b"b.jpg"}
    assert (photos / "n01").is_symlink()
    assert (photos / "b.jpg").is_symlink()
    assert (photos / "n03/a.jpg").is_dir()
    assert files(photos) == {b"b.jpg"}


def test_links_that_lead_outside_are_known(tmp_path):
    photos = tmp_path / "photos"
    fill(photos, [b"in/a.jpg"])
    fill(tmp_path / "photos elsewhere", [b"a.jpg"])
    (photos / "inner").symlink_to("in")
    (photos / "b.jpg").symlink_to("in/a.jpg")
    (photos / "outer").symlink_to("../photos elsewhere")
    (photos / "c.jpg").symlink_to(tmp_path / "photos elsewhere/a.jpg")
    (photos / "d.jpg").symlink_to("nowhere.jpg")
    (photos / "e.jpg").symlink_to("e.jpg")
    (tmp_path / "way").symlink_to("photos")
    for folder in (photos, tmp_path / "way"):
        for name in ("in/a.jpg", "inner/a.jpg", "b.jpg"):
            assert not removal.leads_outside(folder, name)
        for name in ("outer/a.jpg", "c.jpg", "d.jpg", "e.jpg"):
            assert removal.leads_outside(folder, name)


def test_a_folder_that_cannot_be_entered_is_no_link(tmp_path, monkeypatch):
    def forbidden(path, **_):
        raise PermissionError(13, "Permission denied", path)

    fill(tmp_path / "photos", [b"in/a.jpg"])
    (tmp_path / "photos" / "out.jpg").symlink_to(tmp_path / "b.jpg")
    monkeypatch.setattr(os, "stat", forbidden)
    assert not removal.leads_outside(tmp_path / "photos", "in/a.jpg")
    assert removal.leads_outside(tmp_path / "photos", "out.jpg")
    monkeypatch.undo()
    assert not removal.leads_outside(tmp_path / "photos", "in/gone since.jpg")


def test_a_grid_has_room_for_any_caption_and_picture():
    pictures = [np.full((40, 80, 3), 9, np.uint8), None, np.full((900, 2, 3), 9, np.uint8)]
    drawn = sheet.grid(pictures, ["a", "many\nlong " * 40, ""], columns=2, width=50)
    assert drawn.shape[1] == 2 * 50 + 3 * sheet.GAP
    assert (drawn == 9).any()
    captions = sheet.grid([None, None], ["long " * 40, ""], width=50)[sheet.GAP + 50 :]
    assert (captions[:, : sheet.GAP + 50] < 128).any()
    assert (captions[:, sheet.GAP + 50 :] == 255).all()  # none of the first in the second's place


def tool(cwd, *arguments):
    return started.run(ROOT / "tools" / "get_invalid_images.py", *arguments, cwd=cwd)


@pytest.fixture
def mixed(tmp_path, photos):
    """A folder with photos of every kind, {name: kind}."""
    folder = tmp_path / "my $(photos)"
    colour = np.ascontiguousarray(photos["astronaut"][:200, :200])
    gray = colour @ np.float32([0.299, 0.587, 0.114])
    sepia = np.array([40, 26, 13]) + gray[..., None] / 255 * np.array([198, 187, 164])
    gray = gray.astype(np.uint8)
    for name, rgb in {
        "colour.jpg": colour,
        "n01/-rf $(touch pwned).jpg": np.stack([gray] * 3, 2),
        "n01/mode.png": gray,
        "n01/toned.png": sepia.astype(np.uint8),
        "small\n.jpg": colour[:20],
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rgb).save(folder / name)
    cut = (folder / "colour.jpg").read_bytes()[:3000]
    with open(os.fsencode(folder) + b"/n01/\xff cut.jpg", "wb") as file:
        file.write(cut)
    (folder / "n01/page.jpg").write_text("<html>")
    (tmp_path / "gray outside.png").write_bytes((folder / "n01/mode.png").read_bytes())
    (folder / "outside.png").symlink_to("../gray outside.png")
    with tarfile.open(folder / "shard.tar", "w") as shard:
        info = tarfile.TarInfo("n02/mode.png")
        content = (folder / "n01/mode.png").read_bytes()
        info.size = len(content)
        shard.addfile(info, io.BytesIO(content))
    return folder


KINDS = {
    "n01/-rf $(touch pwned).jpg": "gray",
    "n01/mode.png": "gray mode",
    "n01/page.jpg": "damaged",
    "n01/toned.png": "single hue",
    "n01/\udcff cut.jpg": "truncated",
    "outside.png": "link outside",
    "shard.tar/n02/mode.png": "gray mode",
    "small\n.jpg": "too small",
}
KEPT = {"n01/toned.png", "outside.png", "shard.tar/n02/mode.png"}


def test_finding_looking_and_removing_as_a_user_does(mixed, tmp_path):
    before = files(mixed)
    outputs = []
    for workers in (0, 2):
        run = tool(tmp_path, "--image_dir", mixed, "--preview", "p.png", "--num_workers", workers)
        assert run.returncode == 0, run.stderr
        names = ("remove_invalid.sh", "remove_invalid.jsonl", "p.png")
        outputs.append([run.stdout, *((tmp_path / name).read_bytes() for name in names)])
    assert outputs[0] == outputs[1]
    entries = list(map(json.loads, outputs[0][2].splitlines()))
    assert {entry["path"]: entry["kind"] for entry in entries} == KINDS
    assert [entry["path"] for entry in entries] == sorted(KINDS, key=os.fsencode)
    assert {entry["path"] for entry in entries if not entry["removed"]} == KEPT
    assert images.read(tmp_path / "p.png").shape[1] > 800
    for shown in ("8 of 9 photos", "2 gray mode", "1 single hue", "removes 5", "--dry-run"):
        assert shown in run.stdout, shown
    assert files(mixed) - before <= {b"shard.tar.index.json"}

    run = start("sh", "remove_invalid.sh", cwd=tmp_path)
    assert run.stdout == b"removed 5, already gone 0, failed 0\n"
    gone = {os.fsencode(name) for name in KINDS.keys() - KEPT}
    assert files(mixed) & before == before - gone
    assert (tmp_path / "gray outside.png").exists()


def test_a_single_hue_is_removed_on_request(mixed, tmp_path):
    run = tool(tmp_path, "--image_dir", mixed, "--remove_single_hue", "--output", "s/all of it.sh")
    assert run.returncode == 0, run.stderr
    assert "sh 's/all of it.sh' --dry-run" in run.stdout
    report = (tmp_path / "s" / "all of it.jsonl").read_text(encoding="ascii").splitlines()
    removed = {entry["path"] for entry in map(json.loads, report) if entry["removed"]}
    assert removed == KINDS.keys() - KEPT | {"n01/toned.png"}


def test_what_could_not_be_judged_is_named_and_kept(photos, tmp_path):
    images.write(tmp_path / "photos" / "large.png", photos["chelsea"])
    images.write(tmp_path / "photos" / "ok.png", photos["chelsea"][:50, :50])
    (tmp_path / "photos" / "broken.tar").write_bytes(b"no tar file")
    flags = ("--max_pixels", 10_000, "--num_workers", 1, "--preview", "p.png")
    run = tool(tmp_path, "--image_dir", "photos", *flags)
    assert run.returncode == 1
    assert "large.png" in run.stdout
    assert "broken.tar" in run.stdout
    assert "no preview" in run.stdout
    assert not (tmp_path / "p.png").exists()
    (entry,) = map(json.loads, (tmp_path / "remove_invalid.jsonl").read_text().splitlines())
    assert (entry["path"], entry["kind"], entry["removed"]) == ("large.png", "refused", False)
    run = start("sh", "remove_invalid.sh", cwd=tmp_path)
    assert run.stdout == b"removed 0, already gone 0, failed 0\n"


@pytest.mark.parametrize(
    ("output", "preview", "named"),
    [
        ("photos/a.png", "p.png", "a .sh file"),
        ("remove", "p.png", "a .sh file"),
        ("r.sh", "p.sh", "p.sh: no format"),
        ("r.sh", "p.pdf", "p.pdf: no format"),
        ("r.sh", "photos/a.png", "photos/a.png: would be among the photos"),
        ("r.sh", "way/new.jpg", "way/new.jpg: would be among the photos"),
        ("photos/mine.sh", "p.png", "photos/mine.sh: is there already"),
        ("photos/labels.sh", "p.png", "photos/labels.jsonl: is there already"),
        ("photos/labels.jsonl/r.sh", "p.png", "labels.jsonl is not a folder"),
        ("r.sh", "folder.png", "folder.png: is a folder"),
    ],
)
def test_an_output_that_is_in_the_way_is_refused_before_any_work(
    tmp_path, photos, output, preview, named
):
    images.write(tmp_path / "photos" / "a.png", photos["coffee"][:20])
    (tmp_path / "photos" / "mine.sh").write_text("#!/bin/sh\n")
    (tmp_path / "photos" / "labels.jsonl").write_text("{}")
    (tmp_path / "way").symlink_to("photos")
    (tmp_path / "folder.png").mkdir()
    before = {name: (tmp_path / os.fsdecode(name)).read_bytes() for name in files(tmp_path)}
    run = tool(tmp_path, "--image_dir", "photos", "--output", output, "--preview", preview)
    wrong = named.endswith(("a .sh file", "no format"))
    assert run.returncode == (2 if wrong else 1)
    assert named in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert {name: (tmp_path / os.fsdecode(name)).read_bytes() for name in files(tmp_path)} == before


def test_a_script_among_the_photos_can_be_written_again(tmp_path, photos):
    images.write(tmp_path / "a.png", photos["coffee"][:20])
    for _ in range(2):
        run = tool(tmp_path, "--image_dir", ".", "--num_workers", 0)
        assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_command_that_is_shown_works_for_any_name(tmp_path, photos, encoding):
    images.write(tmp_path / "a.png", photos["coffee"][:20])
    flags = ("--num_workers", "0", "--output", "Wölfe 狼's.sh")
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "get_invalid_images.py", "--image_dir", ".", *flags],
        cwd=tmp_path,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stderr
    command = done.stdout.splitlines()[-1]
    if encoding == "ascii":
        assert rb"\xf6lfe \u72fc" in command
    else:
        run = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True)
        assert b"would remove 1, already gone 0, failed 0" in run.stdout, run.stderr


def test_only_what_a_terminal_cannot_show_is_escaped():
    names = {
        "Wölfe 狼 🐺 \\": "Wölfe 狼 🐺 \\",
        "a\n\x1b\udcff\u2028\x9b": r"a\n\x1b\udcff\u2028\x9b",
    }
    for name, shown in names.items():
        assert printable(name) == shown


def test_the_preview_shows_a_single_hue_too_and_says_what_is_kept(mixed, monkeypatch):
    sheets, kinds = [], validity.INVALID | {"single hue"}
    monkeypatch.setattr(sheet, "grid", lambda _, captions, **__: sheets.append(captions))
    for more in (False, True):
        search = invalid.Search(mixed, remove_single_hue=more)
        script = removal.Script(io.BytesIO(), mixed)
        invalid.draw(invalid.examine_all(search, script, io.StringIO()).shown)
    kept, removed = (next(c for c in captions if "toned" in c) for captions in sheets)
    assert re.fullmatch(r"single hue 0\.\d+, kept\ntoned\.png", kept)
    assert re.fullmatch(r"single hue 0\.\d+\ntoned\.png", removed)
    assert [caption.count(", kept") for caption in sheets[0]].count(1) == 2  # one in the shard
    assert len(sheets[0]) == sum(kind in kinds for kind in KINDS.values())


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_without_photos_nothing_is_written(tmp_path, folder):
    run = tool(tmp_path, "--image_dir", folder, "--num_workers", 0)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("error: ")
    assert not list(tmp_path.iterdir())


def test_every_kind_is_known():
    assert set(KINDS.values()) | {"refused"} == set(validity.KINDS)


def changes(path):
    """{what becomes of a photo that was judged: a function that does it}; none is to be lost."""
    content = path.read_bytes()

    def pipe():
        path.unlink()
        os.mkfifo(path)

    return {
        "another of the same size": lambda: path.write_bytes(content[:-1] + b"!"),
        "a longer one": lambda: path.write_bytes(content + b"!"),
        "empty": lambda: path.write_bytes(b""),
        "the halves exchanged": lambda: path.write_bytes(content[9:] + content[:9]),
        "another of the same time": lambda: keep_time(path, content.replace(b"a", b"b")),
        "a pipe": pipe,
    }


def keep_time(path, content):
    state = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def tools_alone(folder, *names):
    """PATH of a folder with these programs alone."""
    folder.mkdir()
    for name in ("rm", "wc", *names):
        (folder / name).symlink_to(shutil.which(name))
    return str(folder)


@pytest.mark.parametrize("tool", ["sha256sum", "shasum", "cksum"])
def test_a_photo_that_is_no_longer_the_one_that_was_judged_is_left_and_named(tmp_path, shell, tool):
    if not shutil.which(tool):
        pytest.skip(f"no {tool} here")
    photos = tmp_path / "photos"
    names = [f"{n:02}'s\n.jpg" for n in range(len(changes(ROOT / "setup.cfg")))]
    for name in names:
        fill(photos, [name.encode()])
        (photos / name).write_bytes(b"a photo that was judged " * 9)
    fill(photos, [b"same.jpg", b"large.jpg"])
    (photos / "large.jpg").write_bytes(bytes(range(256)) * 9000)
    write_script(photos, [*map(str.encode, names), b"same.jpg", b"large.jpg"], tmp_path / "r.sh")
    for number, name in enumerate(names):
        list(changes(photos / name).values())[number]()
    before = {name: (photos / name).lstat() for name in names}
    more = ("perl",) if tool == "shasum" else ()
    path = tools_alone(tmp_path / "bin", tool, *more)
    for arguments, gone in ((("--dry-run",), 0), ((), 0), ((), 2)):
        run = start(shutil.which(shell), "r.sh", *arguments, cwd=tmp_path, PATH=path)
        removed = b"would remove" if arguments else b"removed"
        assert run.stdout.endswith(
            b"%s %d, already gone %d, failed %d\n" % (removed, 2 - gone, gone, len(names))
        )
        assert run.stderr.count(b"it has changed: it is not the photo that was judged\n") == 5
        assert run.stderr.count(b"it is no regular file any more\n") == 1
        assert run.returncode == 1
    assert {os.fsdecode(name) for name in files(photos)} == set(names)
    after = {name: (photos / name).lstat() for name in names}
    assert {n: (s.st_ino, s.st_size, s.st_mtime_ns) for n, s in after.items()} == {
        n: (s.st_ino, s.st_size, s.st_mtime_ns) for n, s in before.items()
    }


def test_without_a_program_that_sums_nothing_is_removed(tmp_path, shell):
    fill(tmp_path / "photos", [b"a.jpg"])
    write_script(tmp_path / "photos", [b"a.jpg"], tmp_path / "r.sh")
    path = tools_alone(tmp_path / "bin")
    run = start(shutil.which(shell), "r.sh", cwd=tmp_path, PATH=path)
    assert run.returncode == 1
    assert run.stderr.count(b"\n") == 1
    assert b"without cksum or sha256sum" in run.stderr
    assert files(tmp_path / "photos") == {b"a.jpg"}


@given(content=st.binary(max_size=600))
def test_sums_are_those_of_the_programs(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "summed"
    path.write_bytes(content)
    found = contents.digest(path)
    with open(path, "rb") as file:
        summed, size = subprocess.check_output(["cksum"], stdin=file).split()
    assert (found.cksum, found.size) == (int(summed), int(size))
    assert found.sha256 == hashlib.sha256(content).hexdigest()


def test_a_photo_replaced_between_finding_and_removing_stays(mixed, tmp_path, photos):
    run = tool(tmp_path, "--image_dir", mixed, "--num_workers", 0)
    assert run.returncode == 0, run.stderr
    good = mixed / "n01/-rf $(touch pwned).jpg"
    Image.fromarray(photos["coffee"]).save(good)
    content = good.read_bytes()
    run = start("sh", "remove_invalid.sh", cwd=tmp_path)
    assert run.stdout == b"removed 4, already gone 0, failed 1\n"
    assert os.fsencode(good.name) in run.stderr
    assert good.read_bytes() == content


def test_a_photo_that_changes_while_it_is_judged_is_not_listed(tmp_path, photos, monkeypatch):
    path = tmp_path / "gray.png"
    Image.fromarray(photos["coffee"][..., 0]).save(path)
    photo, judge = sources.File(str(tmp_path), "gray.png"), validity.examine

    def slow(photo, min_size):
        found = judge(photo, min_size)
        Image.fromarray(photos["coffee"]).save(path)
        return found

    assert invalid.examine(tmp_path, 32, photo)[1:] == (judge(photo), contents.digest(path))
    monkeypatch.setattr(validity, "examine", slow)
    _, finding, content = invalid.examine(tmp_path, 32, photo)
    assert (finding.kind, content) == ("refused", None)
    assert "changed while it was judged" in finding.reason


@pytest.mark.parametrize("interval", [0.05, 0.1, 0.15, 0.2])
def test_a_removal_that_is_killed_goes_on_and_loses_nothing_else(tmp_path, interval):
    photos, names = tmp_path / "photos", [f"{n:03}.jpg" for n in range(300)]
    for name in names:
        fill(photos, [name.encode(), b"kept " + name.encode()])
        (photos / name).write_text(name)
    write_script(photos, [name.encode() for name in names], tmp_path / "r.sh")
    (photos / names[-1]).write_text("a new one")
    kept = {b"kept " + name.encode() for name in names} | {names[-1].encode()}
    process = subprocess.Popen(["sh", "r.sh"], cwd=tmp_path, start_new_session=True)
    time.sleep(interval)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = files(photos)
    assert kept <= left <= kept | set(map(str.encode, names))
    assert all((photos / n).read_text() == n for n in names[:-1] if n.encode() in left)
    run = start("sh", "r.sh", cwd=tmp_path)
    assert run.stdout == b"removed %d, already gone %d, failed 1\n" % (
        len(left - kept),
        299 - len(left - kept),
    )
    assert files(photos) == kept
