"""Photos in and out of storage: the files of a local run, however the connection behaves."""

import json
import subprocess
import sys

import fsspec
import pytest
import s3fs
from PIL import Image

import backends
from cic import networks
from cic.colorize import film, jobs
from cic.colorize.work import Part, Pictures
from cic.commands import colorize, invalid
from cic.dataset import batches
from cic.photos import images, sources
from cic.system import files, storage
from cic.system.addresses import AddressError
from cic.system.errors import Error, InputError, MissingError, SettingError
from cic.system.shares import Share
from helpers import ROOT, painter
from helpers.store import CREDENTIALS, KEYS

pytestmark = pytest.mark.slow

IN, OUT = "s3://scans/album", "s3://made/album"


@pytest.fixture
def paint():
    """A colorizer whose network finds one bin everywhere."""
    return painter.paint()


def put(folder, address=IN):
    fsspec.filesystem("s3").put(str(folder), address, recursive=True)


def files_at(address):
    system, path = fsspec.core.url_to_fs(address, use_listings_cache=False)
    found = system.find(path)
    return {name[len(path) + 1 :]: system.cat_file(name) for name in found}


def tree(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def run(paint, source, output, pictures=None, **part):
    listing = jobs.find([str(source)], str(output), films=True)
    return listing.colorize(paint, pictures or Pictures(), part=Part(**part))


def test_a_bucket_gives_the_bytes_of_a_folder_however_often_it_fails(
    store, paint, photo_folder, tmp_path, capsys
):
    put(photo_folder)
    expected = run(paint, photo_folder, tmp_path / "local")
    store.asked.clear()
    store.faults = {
        "GET /scans?list": [500, "drop"],
        "GET /scans/album/chelsea.webp": ["cut", 503],
        "GET /scans/album/n02/coffee.JPG": ["drop", "drop", 500, "cut"],
        "PUT /made/album/n01/astronaut.jpg": [500, 500, "drop"],
        "HEAD /made": [503],
    }
    outcome = run(paint, IN, OUT)
    assert (store.asked["GET"], store.asked["PUT"]) == (6 + 6, 6 + 3)
    assert not any(store.faults.values())
    assert (len(outcome.done), outcome.failed) == (len(expected.done), 0) == (6, 0)
    assert files_at(OUT) == tree(tmp_path / "local")
    assert outcome.done[0] == (f"{IN}/chelsea.webp", f"{OUT}/chelsea.webp")
    assert run(paint, IN, tmp_path / "here").failed == 0
    assert run(paint, photo_folder, "s3://made/there").failed == 0
    assert tree(tmp_path / "here") == files_at("s3://made/there") == files_at(OUT)
    assert "failed" not in capsys.readouterr().out


def test_a_bucket_is_listed_by_pages_in_the_order_of_a_folder(store, photo_folder, tmp_path):
    put(photo_folder)
    system = fsspec.filesystem("s3")
    for name in ("notes.txt", "z//x.jpg", ".thumbs/x.jpg", "z/.x.jpg", "raw.CR2", "film.mp4", "k/"):
        system.pipe_file(f"{IN}/{name}", b"x")
    system.pipe_file(f"{IN}-other/x.jpg", b"x")
    store.asked.clear()
    said = []
    found = jobs.find([IN], OUT, films=True, progress=lambda event: said.append(event.message))
    pages = -(-(6 + 7) // KEYS)
    assert store.asked == {"LIST": pages + 1, "HEAD": 1}  # the others ask what it is
    local = jobs.find([str(photo_folder)], str(tmp_path))
    assert [s.removeprefix(IN) for s, _ in found.jobs] == [
        s.removeprefix(str(photo_folder)) for s, _ in local.jobs
    ]
    assert list(found.jobs.seen.sizes) == list(local.jobs.seen.sizes)
    assert found.left_out == ["1 RAW left out: " + found.left_out[0].partition(": ")[2]]
    assert sorted(said) == [
        f"failed: '{IN}/film.mp4': a film is read and written on this machine alone: "
        "copy it here first",
        f"failed: '{IN}/z//x.jpg': left out: no folder can have a file of that name",
    ]


def test_shares_and_what_is_there_need_no_look_at_each_result(store, paint, photo_folder, tmp_path):
    put(photo_folder)
    for number in range(2):
        made = run(paint, IN, OUT, share=Share(number, 2), manifest=str(tmp_path / "out.jsonl"))
        assert len(made.done) == 3
    expected = files_at(OUT)
    fsspec.filesystem("s3").rm(f"{OUT}/n02/coffee.JPG")
    store.asked.clear()
    again = run(paint, IN, OUT, skip_existing=True)
    assert (len(again.done), again.done.untouched) == (1, 5)
    assert store.asked == {"LIST": 1 + 2 + 2, "HEAD": 2, "GET": 1, "PUT": 1}
    assert files_at(OUT) == expected
    lines = [
        json.loads(line)
        for number in range(2)
        for line in (tmp_path / f"out.{number}-of-2.jsonl").read_text().splitlines()
    ]
    assert {line["result"] for line in lines} == {f"{OUT}/{name}" for name in expected}
    assert {line["error"] for line in lines} == {None}


def test_every_picture_of_a_photo_goes_to_the_store(store, paint, photo, tmp_path):
    images.write(tmp_path / "in" / "a.png", photo)
    pages = [Image.fromarray(photo), Image.fromarray(photo[:, ::-1])]
    pages[0].save(tmp_path / "in" / "b.tif", save_all=True, append_images=pages[1:])
    put(tmp_path / "in")
    for wanted in (Pictures(alternatives=2, uncertainty=True), Pictures(all_pages=True)):
        local, output = tmp_path / str(wanted.several), f"s3://made/{wanted.several}"
        run(paint, tmp_path / "in", local, wanted)
        run(paint, IN, output, wanted)
        assert files_at(output) == tree(local)
        assert run(paint, IN, output, wanted, skip_existing=True).done.untouched == 2


def test_one_file_at_an_address_and_through_a_pipe(
    store, paint, photo, tmp_path, monkeypatch, capfdbinary
):
    monkeypatch.setattr(backends, "colorizer", lambda *_, **__: paint)
    images.write(tmp_path / "a.png", photo)
    fsspec.filesystem("s3").put(str(tmp_path / "a.png"), f"{IN}/a.png")
    assert colorize.main([f"{IN}/a.png", "-o", "s3://made/one.png"]) == 0
    with open(tmp_path / "a.png") as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert colorize.main(["-", "-o", "s3://made/two.png"]) == 0
    capfdbinary.readouterr()
    colorize.main([f"{IN}/a.png", "-o", "-"])
    made = files_at("s3://made")
    assert made["one.png"] == made["two.png"] == capfdbinary.readouterr().out
    colorize.main([f"{IN}/a.png", "-o", "s3://made/one.png", "--skip_existing"])
    assert b"1 there already" in capfdbinary.readouterr().out


def test_what_cannot_be_had_is_one_line(store, paint, photo_folder, monkeypatch):
    put(photo_folder)
    gone = "there is no such file, folder or bucket"
    with pytest.raises(AddressError, match=f"^s3://scans/nothing: {gone}$"):
        jobs.find(["s3://scans/nothing"], OUT)
    with pytest.raises(AddressError, match=f"^s3://nobody/scans: {gone}$"):
        jobs.find(["s3://nobody/scans"], OUT)
    with pytest.raises(AddressError, match=f"^s3://nobody/made: {gone}$"):
        run(paint, photo_folder, "s3://nobody/made")
    store.faults = {"HEAD /scans": [403]}
    with pytest.raises(AddressError, match=r"^s3://scans/album: not ours to use: "):
        jobs.find([IN], OUT)
    store.faults = {"list-type": [500] * 9}
    with pytest.raises(AddressError, match=r"^s3://scans/album: tried 5 times: OSError: "):
        jobs.find([IN], OUT)
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(
        AddressError, match=r"^s3://scans/album: no credentials: set AWS_ACCESS_KEY"
    ):
        jobs.find([IN], OUT)


def test_a_photo_that_cannot_be_had_is_one_line_and_stops_no_other(
    store, paint, photo_folder, monkeypatch, capsys
):
    put(photo_folder)
    fsspec.filesystem("s3").pipe_file(f"{IN}/empty.jpg", b"")
    store.faults = {
        "GET /scans/album/chelsea": [500] * 5,
        "GET /scans/album/n01/astronaut": [403],
        "PUT /made/album/n02/coffee": [500] * 5,
    }
    outcome = run(paint, IN, OUT)
    assert (len(outcome.done), outcome.failed) == (3, 4)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("failed")]
    starts = (
        f"failed: '{IN}/chelsea.webp': tried 5 times: OSError: ",
        f"failed: '{IN}/empty.jpg': the file is empty",
        f"failed: '{IN}/n01/astronaut.jpg': not ours to use: ",
        f"failed: '{OUT}/n02/coffee.JPG': cannot be written: tried 5 times: OSError: ",
    )
    assert all(line.startswith(start) for line, start in zip(said, starts, strict=True))
    monkeypatch.setattr(storage, "read", lambda address, most: real_read(address, 10))
    assert run(paint, IN, OUT).failed == 7
    assert "too large: more than 10 bytes" in capsys.readouterr().out


real_read = storage.read


@pytest.mark.parametrize("store_of", ["memory://cic", "file://{}"])
def test_other_stores_give_the_bytes_of_a_folder(paint, photo_folder, tmp_path, store_of):
    place = store_of.format(tmp_path / "store")
    fsspec.core.url_to_fs(place)[0].put(str(photo_folder), f"{place}/in", recursive=True)
    run(paint, photo_folder, tmp_path / "local")
    outcome = run(paint, f"{place}/in/", f"{place}/in/made")
    assert (len(outcome.done), outcome.failed) == (6, 0)
    assert files_at(f"{place}/in/made") == tree(tmp_path / "local")
    assert run(paint, f"{place}/in", f"{place}/in/made", skip_existing=True).done.untouched == 6
    with pytest.raises(InputError, match="the output folder is the input folder"):
        jobs.find([f"{place}/in/"], f"{place}/in")


def test_an_address_is_refused_elsewhere(paint, photo_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here, there = str(photo_folder), "memory://in"
    tries = (
        lambda: invalid.main(["--image_dir", here, "--output", f"{there}/x.sh"]),
        lambda: sources.find(there),
        lambda: batches.PhotoDataset([there], networks.get("cic")),
        lambda: files.check(there),
        lambda: run(paint, here, "x", manifest=there),
    )
    for attempt in tries:
        with pytest.raises(InputError, match=r"^memory://in[^:]*: an address: name a path"):
            attempt()
    with pytest.raises(SettingError, match=r"^memory://in: an address: name an output"):
        jobs.find([there], None)
    assert not list(tmp_path.glob("memory*"))


def test_a_store_that_holds_a_film_alone_is_one_line(store, paint, tmp_path, capsys):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.mp4").write_bytes(bytes(100))
    put(tmp_path / "films")
    for skip in (False, True):
        outcome = run(paint, IN, OUT, skip_existing=skip)
        assert (len(outcome.done), outcome.failed) == (0, 1)
        assert "a.mp4" in capsys.readouterr().out


def test_a_film_is_not_written_to_a_store(paint):
    with pytest.raises(images.PhotoError, match=r"^'a.mp4': a film is read and written on this"):
        film.colorize(paint, "a.mp4", "memory://films/a.mp4")


@pytest.mark.parametrize("address", ["s3://", "s3:///scans", "gs://", "simplecache::s3://"])
def test_an_address_without_a_bucket_is_refused(paint, photo_folder, address):
    says = f"^{address}: names no bucket: write [a-z0-9:]+://BUCKET/FOLDER$"
    with pytest.raises(SettingError, match=says):
        jobs.find([address], OUT)
    with pytest.raises(SettingError, match=says):
        run(paint, photo_folder, address)


def test_a_package_that_is_missing_is_named(monkeypatch):
    with pytest.raises(SettingError, match=r"^nothing://x: no address that fsspec knows: "):
        storage.size("nothing://x")

    def fail(*_, **__):
        raise ImportError("Install s3fs to access S3")

    with monkeypatch.context() as patch:
        patch.setattr(fsspec.core, "url_to_fs", fail)
        with pytest.raises(MissingError, match=r"^s3://a: pip install s3fs$"):
            storage.size("s3://a")
        with pytest.raises(MissingError, match=r"^gs://a: Install s3fs to access S3$"):
            storage.size("gs://a")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    for address, command in (("s3://a", "fsspec s3fs"), ("gs://a", "fsspec")):
        with pytest.raises(Error, match=f"^{address}: pip install {command}$"):
            storage.size(address)


@pytest.mark.slow
def test_paths_need_no_fsspec(photo_folder, tmp_path):
    code = (
        "import sys; from cic.commands import colorize\n"
        f"status = colorize.main([{str(photo_folder)!r}, '-o', 'x', '--backend', 'onnx'])\n"
        "assert not status and not {'fsspec', 's3fs', 'botocore'} & set(sys.modules)"
    )
    env = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True)
    assert done.returncode == 0, done.stderr
