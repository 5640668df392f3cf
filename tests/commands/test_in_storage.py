"""Photos at addresses, prepared, judged, counted and measured: what a folder of them gives."""

import json
import os
from pathlib import Path

import fsspec
import numpy as np
import pytest

from cic.colorize import jobs
from cic.commands import evaluate, invalid, prepare, prior
from cic.photos import images
from cic.system.errors import InputError, SettingError

pytestmark = pytest.mark.slow
IN = "s3://scans/album"


@pytest.fixture
def album(photo_folder, photo):
    """Photos in class folders, two of them gray, and one that is none."""
    (photo_folder / "chelsea.webp").rename(photo_folder / "n01" / "chelsea.webp")
    for name in ("n01/gray.png", "n02/gray too.png"):
        images.write(photo_folder / name, photo[..., :1].repeat(3, 2))
    (photo_folder / "n02" / "broken.jpg").write_bytes(b"\xff\xd8 no photo")
    return photo_folder


def put(folder, address=IN):
    fsspec.core.url_to_fs(address)[0].put(str(folder), address, recursive=True)


def tree(folder):
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("more", [[], ["--shards", "3", "--num_workers", "2"], ["--raw"]])
def test_a_bucket_is_prepared_as_a_folder_is(store, album, tmp_path, capsys, more):
    put(album)
    words = ["--load_size", "48", *more]
    assert prepare.main(["--image_dir", str(album), "--output", str(tmp_path / "a"), *words]) == 1
    store.asked.clear()
    store.faults = {"GET /scans/album/n02/coffee": [500, "cut"]}
    made = ["--image_dir", f"{IN}/", "--output", str(tmp_path / "b"), *words]
    assert prepare.main(made) == 1  # of the broken one
    expected = tree(tmp_path / "a")
    for name in filter(lambda name: name.endswith(".failed.json"), expected):
        expected[name] = expected[name].replace(str(album).encode(), IN.encode())
    assert tree(tmp_path / "b") == expected
    assert store.asked["GET"] == 9 + 2  # photos, and tries
    store.asked.clear()
    capsys.readouterr()
    prepare.main(made)
    assert "; 0 of them made now" in capsys.readouterr().out
    assert store.asked["GET"] <= 1  # of the broken one


def test_what_changed_or_failed_in_a_bucket_is_made_when_it_is_run_again(
    store, album, tmp_path, capsys
):
    put(album)
    store.faults = {"GET /scans/album/n02/coffee": [500] * 5, "GET /scans/album/n01/ast": [403]}
    run = ["--image_dir", IN, "--output", str(tmp_path / "b"), "--load_size", "48"]
    assert prepare.main(run) == 1
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("failed")]
    assert f"failed: '{IN}/n01/astronaut.jpg': not ours to use: " in said[0]
    assert f"failed: '{IN}/n02/coffee.JPG': tried 5 times: OSError: " in said[2]
    assert len(said) == 3
    os.utime(tmp_path / "b" / "n01" / "gray.png.jpg", (1, 1))  # long before the photo changed
    assert prepare.main(run) == 1
    out = capsys.readouterr().out
    assert "8 photos, " in out
    assert "; 3 of them made now" in out
    assert f"made anew: '{IN}/n01/gray.png' has changed since" in out


def test_a_bucket_is_judged_as_a_folder_is_and_what_to_remove_is_a_list(
    store, album, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    put(album)
    invalid.main(["--image_dir", str(album), "--output", "here.sh"])
    store.faults = {"GET /scans/album/n02/coffee": [500] * 5}
    assert invalid.main(["--image_dir", IN, "--preview", "seen.png"]) == 1
    out = capsys.readouterr().out
    assert f"could not be judged: '{IN}/n02/coffee.JPG': tried 5 times" in out
    assert "remove_invalid.txt: 3 addresses, to remove by the store's own command" in out
    assert "prepare --invalid remove_invalid.jsonl leaves these photos out" in out
    assert Path("remove_invalid.txt").read_text().splitlines() == [
        f"{IN}/n01/gray.png",
        f"{IN}/n02/broken.jpg",
        f"{IN}/n02/gray too.png",
    ]
    local, there = (
        {entry["path"]: entry for entry in map(json.loads, Path(name).read_text().splitlines())}
        for name in ("here.jsonl", "remove_invalid.jsonl")
    )
    assert there.pop("n02/coffee.JPG")["kind"] == "refused"
    for entry in (*local.values(), *there.values()):
        entry.pop("reason")
    assert there == local
    assert Path("seen.png").exists()
    words = ["--image_dir", IN, "--output", "small", "--invalid", "remove_invalid.jsonl"]
    assert prepare.main(words) == 0
    assert "remove_invalid.jsonl: 3 of 9 photos left out" in capsys.readouterr().out
    with pytest.raises(SettingError, match=r"^x\.sh: the list of addresses is a \.txt file: call"):
        invalid.main(["--image_dir", IN, "--output", "x.sh"])


def test_a_name_that_is_no_line_is_left_out_of_the_list(photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "line\nbreak.png"):
        images.write(tmp_path / "in" / name, photo[..., :1].repeat(3, 2))
    put(tmp_path / "in", "memory://gray")
    assert invalid.main(["--image_dir", "memory://gray", "--num_workers", "0"]) == 0
    assert Path("remove_invalid.txt").read_text() == "memory://gray/a.png\n"
    found = [json.loads(line) for line in Path("remove_invalid.jsonl").read_text().splitlines()]
    assert [entry["removed"] for entry in found] == [True, False]


def test_shares_of_a_bucket_are_those_of_a_folder(store, album, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(album)
    for number in range(2):
        more = ["--share", f"{number}/2"]
        invalid.main(["--image_dir", IN, *more])
        invalid.main(["--image_dir", str(album), "--output", "here.sh", *more])
        names = (f"{stem}.{number}-of-2.jsonl" for stem in ("here", "remove_invalid"))
        local, there = (
            [json.loads(line)["path"] for line in Path(name).read_text().splitlines()]
            for name in names
        )
        assert there == local


def test_figures_of_a_bucket_are_those_of_a_folder(store, album, tmp_path, capsys):
    put(album)
    how = ["--size", "32", "--num_workers", "0", "--gallery", "2", "--backend", "onnx"]
    store.faults = {}
    evaluate.main(["--image_dir", str(album), "--save_path", str(tmp_path / "a"), *how])
    assert evaluate.main(["--image_dir", IN, "--save_path", str(tmp_path / "b"), *how]) == 1
    assert f"skipped: '{IN}/n02/broken.jpg'" in capsys.readouterr().err
    one, other = (
        json.loads((tmp_path / name / "evaluation.json").read_text()) for name in ("a", "b")
    )
    for name in ("photos", "figures", "intervals", "heaviest_photo"):
        assert other[name] == one[name]
    assert (tmp_path / "b" / "gallery.png").exists()
    store.faults = {"GET /scans/album/n02/coffee": [500] * 5}
    paths = []
    for number in range(2):
        words = ["--image_dir", IN, "--save_path", str(tmp_path / "b"), *how[:4], *how[6:]]
        evaluate.main([*words, "--share", f"{number}/2"])
        paths.append(str(tmp_path / "b" / f"evaluation.{number}-of-2.npz"))
    evaluate.main(["--merge", *paths, "--save_path", str(tmp_path / "c")])
    merged = json.loads((tmp_path / "c" / "evaluation.json").read_text())
    assert merged["photos"] == one["photos"] - 1
    assert "coffee.JPG': tried 5 times" in merged["protocol"]["skipped"][1]


def test_a_photo_that_changes_meanwhile_is_not_shown(store, album, tmp_path, capsys, monkeypatch):
    from metric import evaluating

    put(album)
    real = evaluating._card

    def replaced(*args):
        fsspec.filesystem("s3").pipe_file(f"{IN}/n01/gray.png", b"other")
        fsspec.filesystem("s3").rm(f"{IN}/n02/gray too.png")
        return real(*args)

    monkeypatch.setattr(evaluating, "_card", replaced)
    how = ["--size", "32", "--num_workers", "0", "--gallery", "2", "--backend", "onnx"]
    assert evaluate.main(["--image_dir", IN, "--save_path", str(tmp_path), *how]) == 1
    out = capsys.readouterr().out
    for name in ("n01/gray.png", "n02/gray too.png"):
        assert f"not shown: {IN}/{name}: it changed while it was measured" in out


def test_the_prior_of_a_bucket_is_that_of_a_folder(store, album, tmp_path):
    put(album)
    for place, name in ((str(album), "a.npy"), (IN, "b.npy")):
        prior.main(["--image_dir", place, "--output", str(tmp_path / name)])
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_what_is_no_folder_of_photos_is_one_line(store, album, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    put(album)
    system = fsspec.filesystem("s3")
    system.pipe_file("s3://scans/tars/a.tar", b"x")
    system.pipe_file("s3://scans/none/a.txt", b"x")
    for place, words in (
        (f"{IN}/nothing", "there is no such file, folder or bucket"),
        (f"{IN}/n01/gray.png", "not a folder: name the one that it lies in"),
        ("s3://scans/none", "no photo"),
    ):
        for run in (
            lambda place=place: prepare.main(["--image_dir", place, "--output", "x"]),
            lambda place=place: invalid.main(["--image_dir", place]),
            lambda place=place: evaluate.main(["--image_dir", place, "--save_path", "x"]),
        ):
            with pytest.raises((InputError, OSError, ValueError), match=f"^{place}: {words}"):
                run()
    with pytest.raises(InputError, match="no photo to prepare in there"):
        prepare.main(["--image_dir", "s3://scans/tars", "--output", "x"])
    shard = "failed: 's3://scans/tars/a.tar': a tar shard is read on this machine alone: copy it"
    assert shard in capsys.readouterr().out
    with pytest.raises(InputError, match=r"^s3://made/x: an address: write to a folder of this"):
        prepare.main(["--image_dir", IN, "--output", "s3://made/x"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


@pytest.mark.parametrize("place", ["s3:/scans/album", "gs:/x", "S3:/x/y"])
def test_an_address_with_one_slash_is_told_of_the_other(place, photo_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store, _, rest = place.partition("/")
    here = str(photo_folder)
    for run in (
        lambda: jobs.find([place], "out"),
        lambda: jobs.find([place], None),
        lambda: jobs.find([here], place),
        lambda: prepare.main(["--image_dir", place, "--output", "x"]),
        lambda: prepare.main(["--image_dir", here, "--output", place]),
        lambda: invalid.main(["--image_dir", place]),
        lambda: evaluate.main(["--image_dir", place, "--save_path", "x"]),
        lambda: images.read(place),
    ):
        with pytest.raises(SettingError) as caught:
            run()
        says = f"{place}: no such file; an address has two slashes: {store}//{rest}"
        assert str(caught.value) == says
    assert not Path(store).exists()
    Path(store).mkdir()
    images.write(Path(store) / "a.png", np.zeros((40, 40, 3), np.uint8))
    assert len(jobs.find([f"{store}/a.png"], "out").jobs) == 1
