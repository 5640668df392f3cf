"""A panning photograph and a cut to another one, in sound: colours hold still, the cut is sharp."""

import os
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest

import backends
from cic import networks
from cic.colorize import film
from cic.colorize.colorizer import Colorizer
from cic.colorize.jobs import list_jobs
from cic.colorize.settings import DEFAULTS
from cic.colorize.work import colorize_files
from cic.colour.grid import Grid
from cic.colour.lab import rgb_to_lab
from cic.films import rewrite
from cic.photos import images, sources
from cic.system import threads
from helpers import ROOT, films, started
from metric.figures.flicker import FilmFigures, Flicker

pytestmark = pytest.mark.slow

SHOT = 24  # frames


@pytest.fixture(scope="module")
def frames(photos):
    """Two shots, gray, (90, 160, 3) each."""
    shots = [films.pan(photos[name], SHOT, step=2.5) for name in ("astronaut", "coffee")]
    return [f @ np.float64([[0.3], [0.6], [0.1]]) * [1, 1, 1] for shot in shots for f in shot]


@pytest.fixture
def clip(frames, tmp_path):
    return str(films.write(tmp_path / "clip.mp4", [f.astype(np.uint8) for f in frames]))


@pytest.fixture
def short(frames, tmp_path):
    """Twelve of the clip's frames, around the cut."""
    around = frames[SHOT - 6 : SHOT + 6]
    return str(films.write(tmp_path / "short.mp4", [f.astype(np.uint8) for f in around]))


@pytest.fixture
def colorizer(backend):
    return backends.colorizer(backend=backend.NAME, size=64, temperature=0.38)  # vivid


def flicker_of(frames):
    """Flicker of a film as it is shown, every pixel counted, within its shots."""
    flicker = Flicker()
    labs = [rgb_to_lab(frame) for frame in frames]
    for index, pair in enumerate(pairwise(labs), start=1):
        if index != SHOT:
            flicker.update([lab[..., 0] for lab in pair], [lab[..., 1:] for lab in pair])
    return flicker.compute()["flicker"]


def rounding_of(clip, folder):
    """Flicker as shown of one and the same colour: what 8 bits and the encoder do."""
    logits = np.zeros((313, 1, 1), np.float32)
    logits[200] = 50

    def predict(array):
        return np.tile(logits[None], (1, 1, array.shape[2] // 4, array.shape[3] // 4))

    target = str(folder / "one colour.mp4")
    one = Colorizer(networks.get("cic", width=0.125), predict, DEFAULTS.but(size=64))
    film.colorize(one, clip, target, 0)
    return flicker_of(films.read(target).frames)


def test_flicker_is_halved_and_the_cut_is_sharp(clip, tmp_path):
    # Vivid, and not even, which takes out flicker too.
    colorizer = backends.colorizer(backend="onnx", size=64, temperature=0.38, evenness=0)
    results, painted = {}, {}
    for smoothing in (0, film.SMOOTHING):
        target, figures = str(tmp_path / f"{smoothing}.mp4"), FilmFigures()
        seen = painted[smoothing] = []

        def watch(light, plain, smooth, cut, seen=seen, figures=figures):
            figures.update(light, plain, smooth, cut)
            seen.append(smooth)

        assert film.colorize(colorizer, clip, target, smoothing, watch) == 2 * SHOT
        results[smoothing] = figures, films.read(target)
    figures, shown = results[film.SMOOTHING]
    assert figures.shots == 2
    before, after = figures.before.compute()["flicker"], figures.after.compute()["flicker"]
    assert before > 1
    assert after < 0.5 * before
    plain, plainly_shown = results[0]
    assert plain.after.compute()["flicker"] == pytest.approx(before)
    rounding = rounding_of(clip, tmp_path)
    as_shown = flicker_of(plainly_shown.frames) - rounding
    assert flicker_of(shown.frames) - rounding < 0.7 * as_shown
    assert figures.ghosting.compute()["ghosting"] < 0.7 * before
    for first in (0, SHOT):  # of each shot: as without smoothing
        np.testing.assert_allclose(
            painted[film.SMOOTHING][first], painted[0][first], rtol=0, atol=1e-5
        )
        colours, plain = (rgb_to_lab(c.frames[first])[..., 1:] for c in (shown, plainly_shown))
        assert np.abs(colours - plain).mean() < 1  # the encoder's
    for frame, gray in zip(shown.frames, films.read(clip).frames):
        error = rgb_to_lab(frame)[..., 0] - rgb_to_lab(gray)[..., 0]
        assert np.abs(error).mean() < 1.2  # 8 bits of each colour, and the encoder


def test_without_smoothing_a_film_is_coloured_as_photos_are(frames, colorizer):
    paint = film.Painter(colorizer, 0)
    for frame in frames[:: SHOT // 2]:
        frame = frame.astype(np.uint8)
        difference = paint(frame).astype(int) - colorizer(frame)
        assert np.abs(difference).max() <= 1


def test_ab_are_averaged_as_they_are():
    """What a network of regression gives."""

    class Regression:
        grid, has_distribution = Grid(4), False

        def shrunk(self, image):
            return np.asarray(image)

        def guide(self, light):
            return None

        def output(self, image):
            return np.full((2, image.height // 4, image.width // 4), next(values), np.float32)

        def ab_of(self, output, light):
            return output.transpose(1, 2, 0)

    values, seen = iter([10, 20]), []
    paint = film.Painter(Regression(), 0.5, lambda light, plain, ab, cut: seen.append(ab))
    for _ in range(2):
        paint(np.full((16, 24, 3), 128, np.uint8))
    assert [ab.mean() for ab in seen] == [10, 15]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_network_that_gives_no_numbers_is_an_error_that_names_film_and_frame(
    short, colorizer, tmp_path, bad
):
    predict, calls = colorizer.predict, []

    def broken(array):
        calls.append(array)
        output = predict(array)
        return output if len(calls) < 4 else output * np.float32(bad)

    colorizer.predict = broken
    target = tmp_path / "b.mp4"
    with pytest.raises(images.PhotoError) as caught:
        film.colorize(colorizer, short, str(target))
    message = str(caught.value)
    assert message.startswith(f"{short!r}: frame 4: ")
    assert "finite" in message
    assert "\n" not in message
    assert sorted(os.listdir(tmp_path)) == ["short.mp4"]


@pytest.fixture
def tool(tmp_path):
    def run(*arguments):
        return started.run(ROOT / "tools" / "colorize.py", *arguments, cwd=tmp_path)

    return run


def test_photos_and_films_of_a_folder_as_a_user_has_them(photos, frames, runner, tool, tmp_path):
    album = tmp_path / "album"
    images.write(album / "a.jpg", photos["coffee"][:60, :80])
    few = [f.astype(np.uint8) for f in frames[SHOT - 4 : SHOT + 4]]
    (album / "folder.mp4").mkdir()
    films.write(album / "folder.mp4" / "in it.mov", few)
    whole = films.write(album / "my film.mp4", few).read_bytes()
    again = films.write(album / "old.avi", few, "mp3").read_bytes()
    (album / "my film.mpg").write_bytes(again)  # its result would have the other's name
    (album / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (album / "empty.mkv").touch()
    run = tool("album", "-o", "out", "--backend", runner.NAME, "--size", 64)
    assert run.returncode == 1
    failures = [line for line in run.stdout.splitlines() if line.startswith("failed: ")]
    for failure, named in zip(failures, ("cut.mp4", "empty.mkv", "my film.mpg"), strict=True):
        assert named in failure
    assert "4 colorized, 3 failed" in run.stdout
    assert "Traceback" not in run.stderr
    made = [str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")]
    assert sorted(made) == ["a.jpg", "folder.mp4", "folder.mp4/in it.mov", "my film.mp4", "old.mp4"]
    lines = [line for line in run.stdout.splitlines() if "flicker" in line]
    assert len(lines) == 3
    for line in lines:
        assert "8 frames, 2 shots; flicker " in line
    for name in ("my film.mp4", "old.mp4", "folder.mp4/in it.mov"):
        content = films.read(tmp_path / "out" / name)
        assert len(content.frames) == 8
        assert np.abs(rgb_to_lab(content.frames[5])[..., 1:]).mean() > 3


def test_smoothing_is_a_flag_and_a_wrong_one_is_refused(clip, tool, tmp_path):
    assert tool("clip.mp4", "-o", "b.mp4", "--smoothing", "1").returncode == 2
    run = tool("clip.mp4", "-o", "b.mp4", "--smoothing", "0", "--size", 32)
    assert run.returncode == 0, run.stderr
    line = next(line for line in run.stdout.splitlines() if "flicker" in line)
    before, after = line.split("flicker ")[1].split(",")[0].split(" -> ")
    assert before == after
    assert "ghosting 0.00" in line
    for other in ("b.jpg", "b.avi"):
        run = tool("clip.mp4", "-o", other)
        assert run.returncode == 1
        assert not (tmp_path / other).exists()


def test_fields_are_a_flag_that_needs_a_film(frames, tool, tmp_path):
    images.write(tmp_path / "a.jpg", frames[0].astype(np.uint8))
    run = tool("a.jpg", "-o", "b.jpg", "--deinterlace")
    assert run.returncode == 1
    assert run.stderr == "error: --deinterlace: there is no film among them\n"
    woven = films.interlace([f.astype(np.uint8) for f in frames[:12]], "tff")
    options = {"flags": "+ildct+ilme"}
    more = {"codec": "mpeg2video", "options": options, "fields": "tff"}
    films.write(tmp_path / "t.vob", woven, "mp2", **more)
    run = tool("t.vob", "-o", "b.mp4", "--deinterlace", "--size", 32)
    assert run.returncode == 0, run.stderr
    assert {interlaced for interlaced, _ in films.fields_of(tmp_path / "b.mp4")} == {False}


def test_a_bad_film_ends_nothing(frames, tool, tmp_path):
    few = [f.astype(np.uint8) for f in frames[:4]]
    (tmp_path / "in").mkdir()
    content = films.write(tmp_path / "in" / "a.avi", few, None, codec="mpeg4").read_bytes()
    (tmp_path / "in" / "a.avi").write_bytes(content.replace(b"A film", b"\xff\xfe\x81\x8d ."))
    os.mkfifo(tmp_path / "in" / "b.mp4")
    (tmp_path / "in" / "c.mkv").write_bytes(content[: len(content) // 2])
    films.write(tmp_path / "in" / f"{'d' * 250}.avi", few, None, codec="mpeg4")
    images.write(tmp_path / "in" / "e.jpg", few[0])
    run = tool("in", "-o", "out", "--size", 32)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    failures = [line for line in run.stdout.splitlines() if line.startswith("failed: ")]
    assert len(failures) == 2
    assert "b.mp4" in failures[0] and "not a regular file" in failures[0]
    assert "c.mkv" in failures[1] and "cut off" in failures[1]
    assert sorted(os.listdir(tmp_path / "out")) == ["a.mp4", "d" * 250 + ".mp4", "e.jpg"]


def test_pictures_of_one_name_are_told_how_to_be_kept_apart(photos, tool, tmp_path):
    small = photos["coffee"][:32, :48]
    for name in ("anim.gif", "anim.png", "anim.bmp"):
        images.write(tmp_path / "in" / name, small)
    (tmp_path / "in" / "anim.bmp").rename(tmp_path / "in" / "anim.tga")
    run = tool("in", "-o", "out", "--size", 32)
    assert run.returncode == 1
    failures = [line for line in run.stdout.splitlines() if line.startswith("failed: ")]
    assert (
        "'out/anim.png' is the result of 'in/anim.gif' already: colorize it by itself"
        in failures[0]
    )
    assert failures[0].endswith("for example to 'out/anim-png.png'")
    assert failures[1].endswith("for example to 'out/anim-tga.png'")
    run = tool("in/anim.tga", "-o", "out/anim-tga.png", "--size", 32)
    assert run.returncode == 0, run.stdout
    assert sorted(os.listdir(tmp_path / "out")) == ["anim-tga.png", "anim.png"]


def test_ctrl_c_leaves_nothing_half_written(frames, tmp_path):
    many = [f.astype(np.uint8) for f in frames] * 20
    films.write(tmp_path / "long.mp4", many, options={"preset": "ultrafast"})
    command = [sys.executable, str(ROOT / "tools" / "colorize.py"), "long.mp4", "-o", "out/b.mp4"]
    command += ["--backend", "onnx"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a job of a shell has none
    )
    shown = b""
    while not re.search(rb" [1-9]\d*/960", shown):
        shown += (piece := process.stderr.read(1))
        assert piece, shown
    process.send_signal(signal.SIGINT)
    stopped = time.monotonic()
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"stopped by the keyboard" in rest
    assert time.monotonic() - stopped < 30
    assert os.listdir(tmp_path / "out") == []


def test_films_are_no_photos_for_others(tmp_path):
    (tmp_path / "a.mp4").touch()
    assert sources.find(tmp_path) == []
    assert sources.is_film("a.MKV")
    assert not sources.is_film("a.gif")


@pytest.mark.parametrize(
    ("kind", "codec"),
    [
        *(("mp4", "libx264"), ("mov", "mpeg4"), ("mkv", "libx264"), ("webm", "libvpx-vp9")),
        *(("avi", "mpeg4"), ("mpg", "mpeg1video"), ("vob", "mpeg2video"), ("wmv", "msmpeg4v3")),
        *(("flv", "flv"), ("mxf", "mpeg2video"), ("ogv", "libvpx"), ("m2v", "mpeg2video")),
        ("nut", "mpeg4"),
    ],
)
def test_a_film_without_a_known_ending_is_found_by_its_content(photos, tmp_path, kind, codec):
    frames = films.pan(photos["coffee"], 4, (48, 64))
    whole = films.write(tmp_path / f"a.{kind}", frames, None, codec=codec, options={})
    (tmp_path / "in").mkdir()
    for name in ("tape", "tape.2", "tape.ogg"):  # mostly the ending of sound
        source = str(whole.rename(tmp_path / "in" / name))
        assert list_jobs([str(tmp_path / "in")], "out", films=True) == (
            [(source, os.path.join("out", f"{name}.mp4"))],
            [],
        )
        assert sources.find(tmp_path / "in") == []
        whole = tmp_path / "in" / name
    assert rewrite.rewrite(source, str(tmp_path / "b.mp4"), lambda frame: frame) == len(frames)


@pytest.mark.parametrize(
    "start",
    [
        b"\0\0\0\x1cftypM4A ",
        b"\0\0\0\x1cftypcrx ",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"OggS" + bytes(60),
        b"FLV",
    ],
)
def test_what_is_no_film_is_not_taken_for_one(tmp_path, start):
    (tmp_path / "x.unknown").write_bytes(start)
    assert not sources.is_film(tmp_path / "x.unknown")


def test_the_name_that_is_proposed_where_two_films_clash_can_be_written(photos, tmp_path, capsys):
    frames = films.pan(photos["coffee"], 2, (48, 64))
    for kind, codec in (("avi", "mpeg4"), ("mpg", "mpeg1video")):
        films.write(tmp_path / f"a.{kind}", frames, None, codec=codec, options={})
    own = str(tmp_path / "a.avi")
    both = [(own, str(tmp_path / "a.mp4")), (str(tmp_path / "a.mpg"), str(tmp_path / "a.mp4"))]

    def film(source, target, say):
        rewrite.rewrite(source, target, lambda frame: frame)

    for jobs, name in ((both, "a-mpg.mp4"), ([(own, own)], "a-avi.mp4")):
        _, failed = colorize_files(None, jobs, film=film)
        assert failed == 1
        assert f"for example to {str(tmp_path / name)!r}\n" in capsys.readouterr().out


def test_what_is_seen_of_a_film_is_the_same_on_any_number_of_cores(short, colorizer, tmp_path):
    inside, most, told = [], [], {}
    output = colorizer.output

    def watched(image):
        inside.append(1)
        most.append(len(inside))
        try:
            return output(image)
        finally:
            inside.pop()

    colorizer.output = watched
    try:
        for count in (1, 3):
            threads.limit(count)
            most.clear()
            seen = told[count] = []
            watch = lambda *arrays, seen=seen: seen.append(arrays)  # noqa: E731
            film.colorize(colorizer, short, str(tmp_path / f"{count}.mp4"), observe=watch)
            assert (max(most) > 1) == (count > 1)
    finally:
        threads.limit(None)
    assert len(told[1]) == 12
    for before, after in zip(told[1], told[3], strict=True):
        for array, same in zip(before, after, strict=True):
            np.testing.assert_array_equal(array, same)
