"""cic.photos.kinds: files known by their content, and the line on those that are left out."""

import io
import os
import sys
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image

from cic.colorize.jobs import KEPT, list_jobs
from cic.photos import images, kinds, sources
from helpers import ROOT, started
from metric import classifiers, pairs

FORMATS = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "TIFF": ".tif",
    "GIF": ".gif",
    "BMP": ".bmp",
    "WEBP": ".webp",
    "JPEG2000": ".jp2",
    "PPM": ".pnm",
    "AVIF": ".avif",
    "HEIF": ".heic",
    "QOI": ".qoi",
}
LEFT = {
    kinds.JXL: (b"\0\0\0\x0cJXL \r\n\x87\n", "x.jxl"),
    kinds.RAW: (b"FUJIFILMCCD-RAW 0201", "x.raf"),
    kinds.PDF: (b"%PDF-1.4\n", "x.pdf"),
    kinds.POSTSCRIPT: (b"%!PS-Adobe-3.0\n", "x.eps"),
    kinds.EXR: (b"v/1\1\2\0\0\0", "x.exr"),
    kinds.JXR: (b"II\xbc\1\x20\0\0\0", "x.jxr"),
    kinds.DJVU: (b"AT&TFORM\0\0\0\0DJVU", "x.djvu"),
    kinds.DPX: (b"SDPX\0\0\x08\0V1.0", "x.dpx"),
    kinds.HDR: (b"#?RADIANCE\n", "x.hdr"),
    kinds.XCF: (b"gimp xcf v011\0", "x.xcf"),
}


def encoded(image, form):
    file = io.BytesIO()
    if form == "HEIF":
        pillow_heif.from_pillow(image).save(file)
    else:
        image.save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["without", "scan.dat", "2020.01.02", "photo.12"])
def test_a_photo_without_a_known_ending_is_found_and_read(tmp_path, photo, form, name):
    (tmp_path / name).write_bytes(encoded(Image.fromarray(photo), form))
    assert sources.find(tmp_path) == [name]
    assert images.read(tmp_path / name).shape == photo.shape
    assert kinds.photo_ending(kinds.start_of(tmp_path / name)) == FORMATS[form]
    [(source, target)], problems = list_jobs([str(tmp_path)], "out")
    assert (source, problems) == (str(tmp_path / name), [])
    kept = FORMATS[form] in KEPT
    assert target == os.path.join("out", name + FORMATS[form] if kept else f"{Path(name).stem}.png")


@pytest.mark.parametrize("byte_order", [b"II", b"MM"])
@pytest.mark.parametrize("big", [False, True])
def test_every_tiff_is_known(byte_order, big):
    order = "little" if byte_order == b"II" else "big"
    start = byte_order + (43 if big else 42).to_bytes(2, order)
    start += (8).to_bytes(2, order) + bytes(2) + (16).to_bytes(8, order) if big else bytes(12)
    assert kinds.photo_ending(start) == ".tif"


@pytest.mark.parametrize(
    "start",
    [
        *(
            b"",
            b"\xff\xd8",
            b"BM is the company's name",
            b"P1 is a prefix",
            b"P",
            b"RIFF\0\0\0\0WAVE",
        ),
        *(b"GIF", b"cats", b"II*", b"\0\0\0\x18ftypisom", b"P7\n", b"P6x1 1 255 "),
    ],
)
def test_what_is_no_photo_is_not_taken_for_one(tmp_path, start):
    (tmp_path / "x.dat").write_bytes(start)
    assert sources.find(tmp_path) == []
    assert kinds.left_kind(start) is None


@pytest.mark.parametrize("kind", LEFT)
def test_what_is_left_out_is_counted_by_content_and_by_ending(tmp_path, kind):
    start, name = LEFT[kind]
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "unnamed").write_bytes(start.ljust(100, b"\0"))
    (tmp_path / name).write_bytes(b"whatever")
    (tmp_path / name.upper()).write_bytes(b"whatever")
    left_out = kinds.LeftOut()
    assert list(sources.walk(tmp_path, left_out=left_out)) == []
    assert left_out == {kind: 3}
    [line] = left_out.lines()
    assert line == f"3 {kind} left out: {kinds.HINTS[kind]}"


@pytest.mark.parametrize("kind", LEFT)
def test_one_that_is_named_says_what_to_do(tmp_path, kind):
    path = tmp_path / "unnamed"
    path.write_bytes(LEFT[kind][0].ljust(100, b"\0"))
    with pytest.raises(images.PhotoError) as caught:
        images.open_photo(path)
    assert kinds.HINTS[kind] in str(caught.value)


def test_the_line_on_jpeg_xl_is_a_command():
    assert kinds.LeftOut({kinds.JXL: 3}).lines() == [
        "3 JPEG XL left out: pip install pillow-jxl-plugin"
    ]


@pytest.mark.parametrize("ending", [".nef", ".CR2", ".dng", ".ARW"])
def test_a_raw_that_looks_like_a_tiff_is_left_out(tmp_path, photo, ending):
    Image.fromarray(photo).save(tmp_path / "x.tif")
    os.rename(tmp_path / "x.tif", tmp_path / f"x{ending}")
    left_out = kinds.LeftOut()
    assert list(sources.walk(tmp_path, left_out=left_out)) == []
    assert left_out == {kinds.RAW: 1}


def test_copies_that_programs_make_are_left_out(tmp_path, photo):
    data = encoded(Image.fromarray(photo), "JPEG")
    for name in ("a.jpg", "a.jpg.bak", "a.jpg~", "a.jpg_original", "a.jpg.part"):
        (tmp_path / name).write_bytes(data)
    left_out = kinds.LeftOut()
    assert list(sources.walk(tmp_path, left_out=left_out)) == ["a.jpg"]
    assert left_out == {kinds.BACKUP: 4}


def test_what_lies_beside_photos_is_not_looked_into(tmp_path, photo, monkeypatch):
    for name in ("a.txt", "a.json", "a.xml", "b.npy", "a.mp4", "a.tar"):
        (tmp_path / name).write_bytes(encoded(Image.fromarray(photo), "JPEG"))
    monkeypatch.setattr(kinds, "start_of", None)
    assert sources.find(tmp_path) == []


def test_a_jpeg_xl_is_a_photo_where_its_plugin_is_installed(tmp_path, photo, monkeypatch):
    """The plugin is made up: a module that registers a reader, as the real one does."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "pillow_jxl.py").write_text(
        "from PIL import Image\n"
        "def read(file, name):\n"
        "    raise SyntaxError('read by the plugin')\n"
        "Image.register_open('JXL', read, lambda start: start.startswith(b'\\0\\0\\0\\x0cJXL '))\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ACCEPT", {}, raising=False)
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "x.jxl").write_bytes(LEFT[kinds.JXL][0].ljust(100, b"\0"))
    left_out = kinds.LeftOut()
    assert list(sources.walk(folder, left_out=left_out)) == ["x.jxl"]
    assert not left_out
    with pytest.raises(images.PhotoError):
        images.read(folder / "x.jxl")
    assert "JXL" in Image.OPEN
    del sys.modules["pillow_jxl"]


@pytest.mark.slow
def test_the_tools_say_a_line_a_kind_at_the_end(tmp_path, photo):
    folder = tmp_path / "album"
    folder.mkdir()
    data = encoded(Image.fromarray(photo), "JPEG")
    (folder / "photo_without_ending").write_bytes(data)
    for name in ("a.jxl", "b.jxl", "c.JXL"):
        (folder / name).write_bytes(LEFT[kinds.JXL][0])
    (folder / "letters.pdf").write_bytes(b"%PDF-1.4\n")
    (folder / "x.nef").write_bytes(b"II*\0")
    tools = {
        "colorize.py": [str(folder), "-o", "out"],
        "get_invalid_images.py": ["--image_dir", str(folder), "--num_workers", "0"],
        "prepare_photos.py": [
            "--image_dir",
            str(folder),
            "--output",
            "small",
            "--num_workers",
            "0",
        ],
    }
    for tool, arguments in tools.items():
        run = started.run(ROOT / "tools" / tool, *arguments, cwd=tmp_path)
        assert run.returncode == 0, run.stderr
        assert "3 JPEG XL left out: pip install pillow-jxl-plugin\n" in run.stdout
        assert "1 PDF left out: " in run.stdout
        assert "1 RAW left out: " in run.stdout
    assert os.listdir(tmp_path / "out") == ["photo_without_ending.jpg"]


def test_a_folder_of_nothing_else_says_what_there_is(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.jxl").write_bytes(LEFT[kinds.JXL][0])
    run = started.run(ROOT / "tools" / "colorize.py", "a", "-o", "out", cwd=tmp_path)
    assert run.returncode == 1
    assert "no photo and no film in there; 1 JPEG XL left out: pip install" in run.stderr
    assert run.stderr.count("\n") == 1


def test_every_list_of_photos_counts_what_is_left_out(tmp_path, photo):
    folder = tmp_path / "n01"
    folder.mkdir()
    Image.fromarray(photo).save(folder / "a.png")
    (folder / "b.jxl").write_bytes(b"\xff\x0a")
    left_out, classes, both = (kinds.LeftOut() for _ in range(3))
    assert sources.find(tmp_path, left_out=left_out) == ["n01/a.png"]
    assert classifiers.class_photos(tmp_path, classes) == [("n01/a.png", "n01")]
    assert len(pairs.find(tmp_path, tmp_path, both)) == 1
    assert left_out == classes == {kinds.JXL: 1}
    assert both == {kinds.JXL: 2}
    assert sources.PhotoList([tmp_path]).left_out == left_out.lines()


@pytest.mark.parametrize("tool", ["estimate_prior.py", "train.py"])
def test_a_folder_of_nothing_else_is_answered_with_what_is_in_it(tmp_path, tool):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.jxl").write_bytes(b"\xff\x0a")
    output = "--model_path" if tool == "train.py" else "--output"
    command = (ROOT / "tools" / tool, "--image_dir", "in", output, "out.npy")
    run = started.run(*command, cwd=tmp_path)
    assert run.returncode == 1
    assert "in there; 1 JPEG XL left out: pip install pillow-jxl-plugin" in run.stderr
