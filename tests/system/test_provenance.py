"""What a checkpoint says of where it comes from."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

import cic
from cic.photos.sources import PhotoList
from cic.system import provenance
from helpers import ROOT


@pytest.fixture
def repository(tmp_path):
    """A repository of one commit, and its hash."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "code.py").write_text("1\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    git(folder, *author, "commit", "--quiet", "--message", "first")
    return folder, git(folder, "rev-parse", "HEAD").strip()


def git(folder, *arguments):
    command = ["git", "-C", folder, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_driver_of_a_gpu_is_known_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "DRIVER", str(tmp_path / "version"))
    assert provenance.driver() is None
    for kind in ("NVIDIA UNIX x86_64 Kernel Module", "NVIDIA UNIX Open Kernel Module for x86_64"):
        line = (
            f"NVRM version: {kind}  570.124.06  Release Build  (dvs-builder@U16)\nGCC version: 11"
        )
        (tmp_path / "version").write_text(line)
        assert provenance.driver() == "570.124.06"


def test_facts_are_json_and_say_what_ran(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/home/someone/tools/train.py", "--image_dir", "my photos"])
    facts = json.loads(json.dumps(provenance.facts("pytest")))
    assert facts["versions"]["pytest"] == pytest.__version__
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["versions"]["cic"] == cic.__version__
    assert facts["versions"]["python"] == sys.version.split()[0]
    assert facts["command"] == ["train.py", "--image_dir", "my photos"]
    assert facts["cpus"] == os.cpu_count()
    made = datetime.fromisoformat(facts["time"])
    assert made.utcoffset() == timedelta()
    age = datetime.now(timezone.utc) - made
    assert timedelta() <= age < timedelta(minutes=1)
    for private in ("/home/someone", os.path.expanduser("~"), str(ROOT)):
        assert private not in json.dumps(facts)


def test_the_sources_are_those_of_the_package_not_of_the_users_folder(repository, monkeypatch):
    folder, _ = repository
    monkeypatch.chdir(folder)
    assert provenance.facts()["git"] == provenance.git_state(ROOT)
    assert provenance.facts()["git"] != provenance.git_state(folder)


def test_a_commit_and_whether_a_file_of_it_was_changed(repository, monkeypatch, tmp_path):
    folder, commit = repository
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "another"))  # as in a hook
    (folder / "model").mkdir()
    (folder / "model" / "weights").write_text("not the source's\n")
    assert provenance.git_state(folder) == {"commit": commit, "dirty": False}
    (folder / "code.py").write_text("2\n")
    assert provenance.git_state(folder) == {"commit": commit, "dirty": True}


def test_a_repository_around_an_installed_package_is_not_its_own(repository):
    folder, _ = repository
    inside = folder / "venv" / "site-packages"
    inside.mkdir(parents=True)
    assert provenance.git_state(inside) is None


def test_no_git_no_commit_and_a_damaged_repository_are_none(repository, monkeypatch, tmp_path):
    folder, _ = repository
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "--quiet")
    assert provenance.git_state(empty) is None
    (folder / ".git" / "HEAD").write_text("damage")
    assert provenance.git_state(folder) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_state(ROOT) is None


@pytest.mark.parametrize("fault", ["exec sleep 9", "exit 1"])
@pytest.mark.parametrize("command", ["status", "rev-parse"])
def test_a_slow_or_failing_git_is_left_out_in_time(
    repository, monkeypatch, tmp_path, command, fault
):
    folder, commit = repository
    real = shutil.which("git")
    stub = tmp_path / "bin" / "git"
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/sh\ncase "$*" in *{command}*) {fault};; esac\nexec {real} "$@"\n')
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(stub.parent), prepend=os.pathsep)
    start = time.monotonic()
    expected = {"commit": commit, "dirty": None} if command == "status" else None
    assert provenance.git_state(folder) == expected
    assert time.monotonic() - start < 3


def test_a_fingerprint_is_of_names_not_of_where_they_lie(photo_folder, tmp_path, monkeypatch):
    here = provenance.fingerprint(PhotoList([photo_folder]))
    assert len(here) == 16
    assert int(here, 16)
    shutil.copytree(photo_folder, tmp_path / "moved")
    assert provenance.fingerprint(PhotoList([tmp_path / "moved"])) == here
    monkeypatch.chdir(tmp_path)
    assert provenance.fingerprint(PhotoList(["photos"])) == here


def test_a_photo_more_or_fewer_or_renamed_is_seen(photo_folder):
    def now():
        return provenance.fingerprint(PhotoList([photo_folder]))

    seen = {now()}
    (photo_folder / "chelsea.webp").rename(photo_folder / "chelseb.webp")
    seen.add(now())
    shutil.copy(photo_folder / "chelseb.webp", photo_folder / "a.webp")
    seen.add(now())
    (photo_folder / "chelseb.webp").unlink()
    seen.add(now())
    assert len(seen) == 4
    (photo_folder / "a.webp").rename(photo_folder / "chelsea.webp")
    assert now() in seen


def test_the_same_letters_cut_into_other_names_are_other_photos(tmp_path):
    found = set()
    for names in (("a.png", "b.png.png"), ("a.pngb.png", ".png.png.png")):
        folder = tmp_path / names[0]
        folder.mkdir()
        photos = PhotoList([folder])
        photos.names = "".join(names).encode()[:14]
        photos.end.extend([len(names[0]), 14])
        found.add(provenance.fingerprint(photos))
    assert len(found) == 2


def test_shards_count_by_members_and_their_sizes(photo_folder, tmp_path):
    found = []
    for folder in ("here", "there", "other"):
        (tmp_path / folder).mkdir()
        if folder == "other":
            with open(photo_folder / "chelsea.webp", "ab") as photo:
                photo.write(b"1")
        with tarfile.open(tmp_path / folder / "0.tar", "w") as shard:
            shard.add(photo_folder, "photos")
        found.append(provenance.fingerprint(PhotoList([tmp_path / folder])))
    assert found[0] == found[1] != found[2]


def test_a_million_photos_take_no_time():
    photos = PhotoList([])
    photos.names = b"n01440764/n01440764_10026.JPEG" * 1_000_000
    for numbers in (photos.end, photos.size):
        numbers.extend(range(1_000_000))
    start = time.process_time()
    provenance.fingerprint(photos)
    assert time.process_time() - start < 2
