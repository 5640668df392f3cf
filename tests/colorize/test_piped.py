"""A photo in memory becomes a coloured one in memory; through pipes, and beside its file."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import backends
from cic.colorize import piped
from cic.colorize.alternatives import most_likely
from cic.commands import colorize as command
from cic.photos import images
from cic.photos.memory import InMemory, read_whole
from cic.system.errors import SettingError
from helpers import ROOT
from helpers.painter import paint


@pytest.fixture(scope="module")
def colorizer():
    return backends.colorizer(backend="onnx")  # starts fastest


@pytest.fixture
def gray(photo):
    return Image.fromarray(photo).convert("L")


def data_of(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "ending", "becomes"),
    [
        *[("JPEG", ".jpg", "JPEG"), ("PNG", ".png", "PNG"), ("TIFF", ".tif", "TIFF")],
        *[("WEBP", ".webp", "WEBP"), ("BMP", ".bmp", "BMP"), ("GIF", ".png", "PNG")],
    ],
)
def test_a_photo_keeps_its_format_or_becomes_a_png(colorizer, gray, kind, ending, becomes):
    made = piped.colorize(colorizer, InMemory(data_of(gray, kind)))
    result = Image.open(io.BytesIO(made.data))
    assert (made.ending, result.format) == (ending, becomes)
    assert (made.width, made.height) == result.size == gray.size


def test_it_is_the_photo_that_the_command_writes_to_a_file(colorizer, gray, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "a cat"
    gray.save(tmp_path / "old.jpg", exif=exif, dpi=(300, 300))
    photo = images.open_photo(tmp_path / "old.jpg")
    images.write(tmp_path / "new.jpg", colorizer.painting(photo), photo)
    made = piped.colorize(colorizer, InMemory((tmp_path / "old.jpg").read_bytes()))
    assert made.data == (tmp_path / "new.jpg").read_bytes()


def test_alternatives_are_those_that_are_shown_beside_each_other(colorizer, photos):
    photo = images.to_rgb(Image.fromarray(photos["coffee"][::4, ::4]))
    source = InMemory(data_of(photo, "PNG"))
    expected = dict(colorizer.pictures(photo, 2))
    first, second = most_likely(colorizer.output(photo), 2, colorizer.settings.decoding)
    for number, tilt in ((1, None), (1, first.tilt), (2, second.tilt)):
        made = piped.colorize(colorizer, source, ".png", tilt)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(made.data))), expected[number])


def test_what_is_no_photo_is_named_as_it_is_called():
    with pytest.raises(images.PhotoError, match="'standard input': not a photo"):
        piped.colorize(paint(), InMemory(b"hello, this is text and no photo", "standard input"))
    with pytest.raises(images.PhotoError, match="'x': too large: more than 3 bytes"):
        read_whole(io.BytesIO(b"1234"), 3, "x")
    with pytest.raises(images.PhotoError, match="'x': the file is empty"):
        read_whole(io.BytesIO(b""), 3, "x")
    assert read_whole(io.BytesIO(b"123"), 3, "x").open().read() == b"123"


def test_a_format_without_a_writer_is_one_line(colorizer, gray):
    with pytest.raises(images.PhotoError, match=r"photo\.xyz.: cannot be written: "):
        piped.colorize(colorizer, InMemory(data_of(gray, "PNG")), ".xyz")


def cic(*words, cwd, **options):
    return subprocess.run(
        [sys.executable, "-m", "cic", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        **options,
    )


@pytest.mark.slow
def test_a_pipe_gives_the_photo_alone(colorizer, gray, tmp_path):
    """A real process: it is about its streams."""
    gray.save(tmp_path / "old.gif", save_all=True, append_images=[gray.rotate(180)])
    data = (tmp_path / "old.gif").read_bytes()
    run = cic("colorize", "-", "-o", "-", "--backend", "onnx", cwd=tmp_path, input=data)
    assert run.returncode == 0, run.stderr
    assert run.stdout == piped.colorize(colorizer, InMemory(data), ".png").data
    assert b"page 1 of 2: the others are left out" in run.stderr
    text = b"no photo at all, just some text"
    run = cic("colorize", "-", "-o", "-", "--backend", "onnx", cwd=tmp_path, input=text)
    assert (run.returncode, run.stdout) == (1, b"")
    assert run.stderr == b"error: 'standard input': not a photo of a known format\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("- old.jpg -o -", "one photo"),
        ("- -o - --alternatives 2", "--alternatives"),
        ("old.jpg -o - --skip_existing", "--skip_existing"),
        ("-", "where to?"),
        ("- -o new.jpg --format png", "--format"),
        ("old.jpg --format png", "--format"),
    ],
)
def test_what_means_several_files_is_refused_of_a_pipe(words, said):
    with pytest.raises(SettingError, match=said):
        command.main(words.split())


def test_a_photo_from_a_pipe_goes_to_a_file_whole_or_not_at_all(gray, tmp_path, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(data_of(gray, "PNG")))
    monkeypatch.setattr(sys, "stdin", stream)
    monkeypatch.setattr(backends, "colorizer", lambda *_, **__: paint())
    assert not command.main(["-", "-o", str(tmp_path / "new.jpg")])
    assert Image.open(tmp_path / "new.jpg").size == gray.size
    with pytest.raises(images.PhotoError, match="'standard input': the file is empty"):
        command.main(["-", "-o", str(tmp_path / "none.jpg")])
    assert os.listdir(tmp_path) == ["new.jpg"]
