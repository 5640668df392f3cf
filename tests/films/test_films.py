"""Films written anew: what is kept, what is refused, and that nothing half-written stays."""

import os
import shutil
import socket
import subprocess
import sys
import time
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from cic.films import rewrite, tracks, writer
from cic.photos import images
from cic.photos.endings import FILMS
from cic.photos.images import PhotoError
from helpers import ROOT, films

pytestmark = pytest.mark.slow


def keep(frame):
    return frame


@pytest.fixture
def frames(photos):
    return films.pan(photos["coffee"], 12, (48, 64))


def error_of(source, target, paint=keep):
    """The message of a refusal: one line that names the file."""
    with pytest.raises(PhotoError) as caught:
        rewrite.rewrite(str(source), str(target), paint)
    message = str(caught.value)
    assert "\n" not in message
    assert repr(str(source)) in message or repr(str(target)) in message
    assert not os.path.exists(target)
    assert not [name for name in os.listdir(os.path.dirname(source)) if "partial" in name]
    return message


@pytest.mark.parametrize(
    ("before", "after", "sound"),
    [
        ("a.mp4", "b.mp4", "aac"),
        ("a.mkv", "b.mkv", "flac"),
        ("a.mov", "b.mov", "pcm_s16le"),
        ("a.mp4", "b.mkv", "aac"),
        ("a.mkv", "b.mp4", "libmp3lame"),
        ("a.avi", "b.mp4", "mp3"),
        ("a.ts", "b.m4v", "aac"),
        ("a.webm", "b.webm", "libopus"),
    ],
)
def test_sound_rate_times_and_length_are_kept(frames, tmp_path, before, after, sound):
    source, target = tmp_path / before, tmp_path / after
    more = {"options": {"crf": "4", "bf": "0"}}  # AVI has no times for frames out of order
    more = {"codec": "libvpx-vp9", "options": {"crf": "10"}} if ".webm" in before else more
    films.write(source, frames, sound, **more)
    assert rewrite.rewrite(str(source), str(target), keep) == len(frames)
    old, new = films.read(source), films.read(target)
    assert len(new.frames) == len(frames)
    np.testing.assert_allclose(np.diff(new.times), np.diff(old.times), atol=1e-3)
    gap = new.onset - new.times[0] - (old.onset - old.times[0])
    assert abs(gap) < 2e-3
    # Copied, not encoded again; MPEG-TS has a header in each.
    assert all(one.endswith(other) for one, other in zip(old.packets, new.packets, strict=True))
    assert new.rate == pytest.approx(films.RATE, rel=0.01)
    assert new.duration == pytest.approx(old.duration, abs=0.05e6)
    assert new.title == "A film" or before == "a.ts"
    for one, other in zip(new.frames, old.frames):
        assert np.abs(one.astype(int) - other).mean() < 6
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


def test_avi_with_frames_out_of_order_plays_evenly(frames, tmp_path):
    source = films.write(tmp_path / "a.avi", frames, "mp3")
    assert (np.diff(films.read(source).times) < 0).any()
    rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), keep)
    new = films.read(tmp_path / "b.mp4")
    np.testing.assert_allclose(np.diff(new.times), 1 / films.RATE, atol=1e-3)
    for one, other in zip(new.frames, frames, strict=True):
        assert np.abs(one.astype(int) - other).mean() < 9


@pytest.mark.parametrize("extension", ["mp4", "mkv", "mov"])
def test_a_variable_rate_is_kept(frames, tmp_path, extension):
    times = [0, 40, 55, 100, 300, 310, 320, 800, 900, 901, 1000, 1100]
    source, target = tmp_path / f"a.{extension}", tmp_path / f"b.{extension}"
    films.write(source, frames, times=times, base=Fraction(1, 1000))
    rewrite.rewrite(str(source), str(target), keep)
    assert films.read(target).times == pytest.approx([t / 1000 for t in times], abs=1e-4)


@pytest.mark.skipif(av.__version__ < "18", reason="before FFmpeg 8 a frame has the rate's length")
def test_a_last_frame_that_stays_long_does_so(frames, tmp_path):
    films.write(tmp_path / "even.mkv", frames, None)
    with av.open(str(tmp_path / "even.mkv")) as one, av.open(str(tmp_path / "a.mkv"), "w") as two:
        stream = two.add_stream_from_template(one.streams.video[0])
        packets = [packet for packet in one.demux() if packet.size]
        max(packets, key=lambda packet: packet.pts).duration = 1000
        for packet in packets:
            packet.stream = stream
            two.mux(packet)
    rewrite.rewrite(str(tmp_path / "a.mkv"), str(tmp_path / "b.mkv"), keep)
    seconds = (len(frames) - 1) / films.RATE + 1
    assert films.read(tmp_path / "b.mkv").duration == pytest.approx(seconds * 1e6, abs=1e4)


def test_a_recording_that_begins_late_begins_at_once_and_in_step(frames, tmp_path):
    source = films.write(tmp_path / "a.ts", frames, start=5000)
    old = films.read(source)
    assert old.times[0] > 4999
    for name in ("b.mp4", "b.mkv"):
        rewrite.rewrite(str(source), str(tmp_path / name), keep)
        new = films.read(tmp_path / name)
        assert new.times[0] < 0.2
        assert new.onset - new.times[0] == pytest.approx(old.onset - old.times[0], abs=2e-3)


def test_sound_that_the_container_cannot_hold_is_encoded(frames, tmp_path):
    for before, codec, after, becomes in (
        ("a.mkv", "aac", "b.webm", "opus"),
        ("a.wmv", "wmav2", "b.mp4", "aac"),
        ("a.mkv", "libopus", "b.mp4", "aac"),
    ):
        more = {"codec": "msmpeg4v3", "options": {}} if before == "a.wmv" else {}
        source = films.write(tmp_path / before, frames, codec, **more)
        rewrite.rewrite(str(source), str(tmp_path / after), keep)
        old, new = films.read(source), films.read(tmp_path / after)
        assert new.codecs["audio"].codec.canonical_name == becomes
        assert -200 < new.sound.shape[1] - old.sound.shape[1] < 2048
        middle = new.sound[0, 4800:19200]
        loudest = np.abs(np.fft.rfft(middle)).argmax() * films.SAMPLES / len(middle)
        assert loudest == pytest.approx(films.HERTZ, abs=4)
        gap = new.onset - new.times[0] - (old.onset - old.times[0])
        assert abs(gap) < 3e-3


def test_every_track_with_its_language_and_chapters_are_kept(frames, tmp_path):
    films.write(tmp_path / "one.mkv", frames)
    (tmp_path / "s.srt").write_text("1\n00:00:00,000 --> 00:00:00,200\nHello\n")
    with (
        av.open(str(tmp_path / "one.mkv")) as one,
        av.open(str(tmp_path / "s.srt")) as text,
        av.open(str(tmp_path / "a.mkv"), "w") as two,
    ):
        copies = []
        for number, stream in enumerate([*one.streams, one.streams.audio[0]]):
            copies.append(two.add_stream_from_template(stream))
            copies[-1].metadata["language"] = ("eng", "fra", "deu")[number]
        subtitles = two.add_stream_from_template(text.streams.subtitles[0])
        two.set_chapters(
            [{"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {}}]
        )
        for packet in one.demux():
            if not packet.size:
                continue
            packet.stream = copies[packet.stream.index]
            two.mux(packet)
        packet = next(text.demux())
        packet.stream = subtitles
        two.mux(packet)
    rewrite.rewrite(str(tmp_path / "a.mkv"), str(tmp_path / "b.mkv"), keep)
    with av.open(str(tmp_path / "b.mkv")) as new:
        assert [s.type for s in new.streams] == ["video", "audio", "audio", "subtitle"]
        assert [s.language for s in new.streams][:2] == ["eng", "fra"]
        assert len(new.chapters()) == 1
        texts = [bytes(packet) for packet in new.demux(subtitles=0) if packet.size]
        assert texts == [b"Hello"]


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", [False, True])
def test_a_turned_film_is_upright_with_its_pixel_aspect(frames, tmp_path, turn, flip):
    shown = [np.rot90(f, turn // 90)[:, :: -1 if flip else 1] for f in frames]
    source = films.write(
        tmp_path / "a.mp4", frames, None, turn=turn, flip=flip, aspect=Fraction(4, 3)
    )
    seen = []
    rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), lambda f: (seen.append(f), f)[1])
    new = films.read(tmp_path / "b.mp4")
    assert seen[0].shape == shown[0].shape
    for frame in (seen[3], new.frames[3]):
        assert np.abs(frame.astype(int) - shown[3]).mean() < 6
    assert new.aspect == (Fraction(3, 4) if turn % 180 else Fraction(4, 3))
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0


def test_odd_sizes_gain_a_row_or_column(photos, tmp_path):
    frames = films.pan(photos["rocket"], 3, (47, 61))
    source = films.write(tmp_path / "a.mkv", frames, None, codec="ffv1", pix_fmt="yuv444p")
    shapes = []
    rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), lambda f: (shapes.append(f.shape), f)[1])
    new = films.read(tmp_path / "b.mp4")
    assert set(shapes) == {(47, 61, 3)}
    assert new.frames[0].shape == (48, 62, 3)
    assert np.abs(new.frames[0][:47, :61].astype(int) - frames[0]).mean() < 6
    assert np.abs(new.frames[0][47].astype(int) - new.frames[0][46]).mean() < 6


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "limited", "low", "high"),
    [
        ("libx264", "yuv420p", True, 0, 255),
        ("libx264", "yuvj420p", False, 0, 255),
        ("libx264", "yuv420p", False, 0, 255),
        ("libx264", "gray", True, 0, 255),
        ("ffv1", "gray", True, 0, 255),
        ("ffv1", "gray", False, 16, 235),
    ],
)
def test_a_films_range_is_heeded_and_the_results_is_tagged(
    tmp_path, codec, pix_fmt, limited, low, high
):
    frame = np.zeros((32, 32, 3), np.uint8)
    frame[:, 16:] = 255
    if codec == "ffv1":  # bytes as they are
        frame = np.where(frame, 235, 16).astype(np.uint8)
    source = tmp_path / "a.mkv"
    films.write(source, [frame] * 3, None, codec=codec, pix_fmt=pix_fmt, color_range=2 - limited)
    seen = []
    rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), lambda f: (seen.append(f), f)[1])
    new = films.read(tmp_path / "b.mp4")
    for shown in (seen[0], new.frames[0]):
        assert abs(int(shown[16, 4, 0]) - low) < 3
        assert abs(int(shown[16, 28, 0]) - high) < 3
    context = new.codecs["video"]
    assert context.name == "h264"
    assert context.pix_fmt == "yuv420p"
    assert (context.color_range, context.colorspace) == (1, 1)
    assert (context.color_trc, context.color_primaries) == (1, 1)


def test_colours_come_through(tmp_path):
    frame = np.zeros((32, 32, 3), np.uint8)
    frame[:] = 200, 60, 40
    source = films.write(tmp_path / "a.mp4", [frame] * 3, None)
    for name in ("b.mp4", "b.webm", "b.mov"):
        rewrite.rewrite(str(source), str(tmp_path / name), lambda _: frame)
        with av.open(str(tmp_path / name)) as container:
            shown = next(container.decode(video=0)).to_ndarray(format="rgb24")
        assert np.abs(shown[16, 16].astype(int) - frame[16, 16]).max() < 5, name


def test_a_film_that_changes_its_size_keeps_the_first(photos, tmp_path):
    parts = [
        films.write(tmp_path / f"{n}.ts", films.pan(photos["coffee"], 6, size), None, start=n)
        for n, size in enumerate([(48, 64), (64, 96)])
    ]
    (tmp_path / "a.ts").write_bytes(b"".join(p.read_bytes() for p in parts))
    seen = set()

    assert (
        rewrite.rewrite(
            str(tmp_path / "a.ts"), str(tmp_path / "b.mp4"), lambda f: (seen.add(f.shape), f)[1]
        )
        == 12
    )
    assert seen == {(48, 64, 3)}
    assert {f.shape for f in films.read(tmp_path / "b.mp4").frames} == {(48, 64, 3)}


@pytest.mark.parametrize("extension", ["mp4", "mkv", "mov"])
def test_a_film_that_is_cut_off_is_refused_wherever_it_is(photos, tmp_path, extension):
    frames = films.pan(photos["coffee"], 75, (48, 64), 1)
    muxing = {"movflags": "faststart"} if extension != "mkv" else {}
    whole = films.write(tmp_path / f"whole.{extension}", frames, muxing=muxing).read_bytes()
    for share in (0.002, 0.3, 0.6):
        source = tmp_path / f"a.{extension}"
        source.write_bytes(whole[: int(len(whole) * share)])
        assert "cut off" in error_of(source, tmp_path / f"b.{extension}")


def test_what_is_no_film_is_refused_in_a_line(frames, tmp_path):
    target = tmp_path / "b.mp4"
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert "the file is empty" in error_of(tmp_path / "empty.mp4", target)
    (tmp_path / "text.mp4").write_text("no film")
    assert "no film, cut off or damaged" in error_of(tmp_path / "text.mp4", target)
    assert "No such file" in error_of(tmp_path / "nowhere.mp4", target)
    (tmp_path / "folder.mp4").mkdir()
    assert "not a regular file" in error_of(tmp_path / "folder.mp4", target)
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "not a regular file" in error_of(tmp_path / "pipe.mp4", target)
    films.write(tmp_path / "part.ts", frames)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile part.ts\n")
    with av.open(str(tmp_path / "list.mp4")) as container:
        assert container.streams.video  # libav would follow it
    assert "no film" in error_of(tmp_path / "list.mp4", target)
    source = films.write(tmp_path / "a.mp4", frames)
    assert "a film can be written as .mp4" in error_of(source, tmp_path / "b.avi")
    (tmp_path / "file").touch()
    assert "cannot be written" in error_of(source, tmp_path / "file" / "b.mp4")


def test_sound_without_pictures_is_refused_and_so_is_a_cover(photos, tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = films.add_tone(container, "aac")
        films.write_tone(container, stream, 1, 0)
    assert "no moving pictures" in error_of(tmp_path / "a.mp4", tmp_path / "b.mp4")
    Image.fromarray(photos["coffee"][:64, :64]).save(tmp_path / "cover.png")
    with (
        av.open(str(tmp_path / "cover.png")) as cover,
        av.open(str(tmp_path / "c.mp4"), "w") as container,
    ):
        picture = container.add_stream_from_template(cover.streams.video[0])
        picture.disposition = av.stream.Disposition.attached_pic
        stream = films.add_tone(container, "aac")
        packet = next(cover.demux(video=0))
        packet.stream = picture
        container.mux(packet)
        films.write_tone(container, stream, 1, 0)
    assert "no moving pictures" in error_of(tmp_path / "c.mp4", tmp_path / "b.mp4")


def test_damage_in_the_middle_is_refused(photos, tmp_path):
    source = films.write(tmp_path / "a.mp4", films.pan(photos["coffee"], 9, (48, 64)))
    content = bytearray(source.read_bytes())
    middle = content.index(b"mdat") + 4000
    content[middle : middle + 4000] = bytes(range(250)) * 16
    source.write_bytes(content)
    assert "damaged" in error_of(source, tmp_path / "b.mp4")


def test_too_many_pixels_are_refused_by_the_flags_name(frames, tmp_path):
    limit = images.pixel_limit()
    source = films.write(tmp_path / "a.mp4", frames)
    images.limit_pixels(22500)
    try:
        assert "3,072 pixels; one may have 3,000 here: max_pixels 23040 allows them" in error_of(
            source, tmp_path / "b.mp4"
        )
        images.limit_pixels(23040)
        assert rewrite.rewrite(str(source), str(tmp_path / "c.mp4"), keep) == len(frames)
        assert "max_pixels 46080" in error_of(source, tmp_path / "b.webm")
    finally:
        images.limit_pixels(limit)


def test_what_never_ends_or_grows_is_refused_at_once(frames, tmp_path):
    target = tmp_path / "b.mp4"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.mp4"))
        assert "not a regular file" in error_of(tmp_path / "socket.mp4", target)
    (tmp_path / "device.mp4").symlink_to("/dev/zero")
    assert "not a regular file" in error_of(tmp_path / "device.mp4", target)
    (tmp_path / "circle.mp4").symlink_to("circle.mp4")
    assert "symbolic links" in error_of(tmp_path / "circle.mp4", target)
    source = films.write(tmp_path / "a.ts", frames)
    content = source.read_bytes()
    painted = []

    def paint(frame):
        painted.append(frame)
        with open(source, "ab") as file:
            file.write(content)
        return frame

    assert "changes while it is read" in error_of(source, target, paint)
    assert len(painted) < 7  # the first few are read ahead


def test_a_film_that_vanishes_while_it_is_read_is_read_to_its_end(frames, tmp_path):
    source = films.write(tmp_path / "a.mp4", frames)

    def paint(frame):
        source.unlink(missing_ok=True)
        return frame

    assert rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), paint) == len(frames)


def test_names_that_cannot_be_written_are_refused_before_any_frame(frames, tmp_path):
    source = films.write(tmp_path / "a.mp4", frames)
    for name in ("x" * 252 + ".mp4", "é" * 126 + ".mp4", "日本" * 50 + ".mp4"):
        message = error_of(source, tmp_path / name, fail)
        assert f"the name has {len(name.encode())} bytes; 255 can be written" in message
    assert rewrite.rewrite(str(source), str(tmp_path / ("x" * 251 + ".mp4")), keep) == len(frames)
    assert rewrite.rewrite(str(source), str(tmp_path / ("日" * 83 + ".mkv")), keep) == len(frames)
    (tmp_path / "taken.mp4").mkdir()
    with pytest.raises(PhotoError, match="is a folder"):
        rewrite.rewrite(str(source), str(tmp_path / "taken.mp4"), fail)


def fail(frame):
    raise AssertionError("a frame was painted")


@pytest.mark.parametrize(
    ("painted", "reason"),
    [
        (lambda frame: frame * np.float32("nan"), "frame 1: painted as float32"),
        (lambda frame: frame[:-1], "frame 1: painted as uint8 (47, 64, 3)"),
    ],
)
def test_a_frame_that_failed_is_an_error_and_nothing_is_written(frames, tmp_path, painted, reason):
    source = films.write(tmp_path / "a.mp4", frames)
    assert reason in error_of(source, tmp_path / "b.mp4", painted)


def test_frames_that_a_film_repeats_are_shown_again_and_painted_once(frames, tmp_path):
    """Packets of no bytes, as Theora has them for "the frame before"."""
    more = {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {}}  # no frame needs another
    films.write(tmp_path / "one.nut", frames, "pcm_s16le", **more)
    empty = (2, 3, 5, 11)
    with av.open(str(tmp_path / "one.nut")) as one, av.open(str(tmp_path / "a.nut"), "w") as two:
        copies = {s.index: two.add_stream_from_template(s) for s in one.streams}
        for packet in one.demux():
            if not packet.size:
                continue
            number, stream = round(packet.pts * packet.time_base * films.RATE), packet.stream_index
            if packet.stream.type == "video" and number in empty:
                nothing = av.Packet(b"")
                nothing.pts, nothing.dts, nothing.duration = packet.pts, packet.dts, packet.duration
                nothing.time_base, packet = packet.time_base, nothing
            packet.stream = copies[stream]
            two.mux(packet)
    with av.open(str(tmp_path / "a.nut")) as container:
        assert sum(not p.size and p.pts is not None for p in container.demux(video=0)) == len(empty)
    painted = []
    count = rewrite.rewrite(
        str(tmp_path / "a.nut"), str(tmp_path / "b.mp4"), lambda f: (painted.append(f), 255 - f)[1]
    )
    assert count == len(frames)
    assert len(painted) == len(frames) - len(empty)
    new = films.read(tmp_path / "b.mp4")
    np.testing.assert_allclose(np.diff(new.times), 1 / films.RATE, atol=1e-3)
    for number in empty:
        away = np.abs(new.frames[number].astype(int) - new.frames[number - 1]).mean()
        assert away < 2
    assert np.abs(new.frames[4].astype(int) - new.frames[3]).mean() > 4


@pytest.mark.parametrize("fields", ["tff", "bff"])
@pytest.mark.parametrize(
    ("name", "codec"), [("a.vob", "mpeg2video"), ("a.mkv", "libx264"), ("a.avi", "mpeg4")]
)
def test_an_interlaced_film_stays_so_and_a_line_recommends(
    photos, tmp_path, capsys, fields, name, codec
):
    moving = films.pan(photos["coffee"], 24, (96, 128), 6)
    woven = films.interlace(moving, fields)
    options = {"flags": "+ildct+ilme", "qmin": "1", "qmax": "2", "bf": "0"}
    source = films.write(tmp_path / name, woven, None, codec=codec, options=options, fields=fields)
    assert films.fields_of(source) == {(True, fields)}
    for target in (tmp_path / "b.mp4", tmp_path / "b.mkv", tmp_path / "b.mov"):
        assert rewrite.rewrite(str(source), str(target), keep) == 12
        assert films.fields_of(target) == {(True, fields)}
        assert f"{str(source)!r}: interlaced, and kept so; deinterlace" in capsys.readouterr().out
    new = films.read(tmp_path / "b.mp4")
    assert films.combing(new.frames[5]) > 0.9 * films.combing(woven[5])
    assert np.abs(new.frames[5].astype(int) - woven[5]).mean() < 7
    rewrite.rewrite(str(source), str(tmp_path / "b.webm"), keep)
    assert "which the result cannot say: deinterlace" in capsys.readouterr().out


@pytest.mark.parametrize("fields", ["tff", "bff"])
def test_deinterlacing_makes_whole_pictures_at_the_same_times(photos, tmp_path, capsys, fields):
    moving = films.pan(photos["coffee"], 24, (96, 128), 6)
    woven = films.interlace(moving, fields)
    options = {"flags": "+ildct+ilme", "qmin": "1", "qmax": "2"}
    source = films.write(
        tmp_path / "a.vob", woven, "mp2", codec="mpeg2video", options=options, fields=fields
    )
    seen = []
    count = rewrite.rewrite(
        str(source), str(tmp_path / "b.mp4"), lambda f: (seen.append(f), f)[1], deinterlace=True
    )
    assert count == len(seen) == 12
    assert "interlace" not in capsys.readouterr().out
    assert {interlaced for interlaced, _ in films.fields_of(tmp_path / "b.mp4")} == {False}
    new = films.read(tmp_path / "b.mp4")
    np.testing.assert_allclose(np.diff(new.times), 1 / films.RATE, atol=1e-3)
    assert new.onset == pytest.approx(new.times[0], abs=2e-3)
    whole, second = moving[10].astype(int), moving[11].astype(int)  # of the field that comes first
    for frame in (seen[5], new.frames[5]):
        assert films.combing(frame) < 0.4 * films.combing(woven[5])
        assert np.abs(frame - whole).mean() < 0.6 * np.abs(frame - second).mean()


def test_deinterlacing_what_says_that_it_is_whole_is_done_and_said(photos, tmp_path, capsys):
    woven = films.interlace(films.pan(photos["coffee"], 24, (96, 128), 6), "tff")
    source = films.write(tmp_path / "a.mkv", woven, None)  # as captured with no flag
    assert rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), keep, deinterlace=True) == 12
    assert "says that it is not interlaced; all of its frames are" in capsys.readouterr().out
    new = films.read(tmp_path / "b.mp4")
    assert films.combing(new.frames[5]) < 0.4 * films.combing(woven[5])


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_a_stop_leaves_the_old_file_and_nothing_else(frames, tmp_path, stop):
    source, target = films.write(tmp_path / "a.mp4", frames), tmp_path / "b.mp4"
    target.write_bytes(b"old")
    painted = []

    def paint(frame):
        painted.append(frame)
        if len(painted) == 8:
            raise stop
        return frame

    with pytest.raises(stop):
        rewrite.rewrite(str(source), str(target), paint)
    assert target.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "b.mp4"]


WRITE = """
import sys, time
from cic.films import rewrite
rewrite.rewrite(sys.argv[1], sys.argv[2], lambda frame: (time.sleep(0.2), 255 - frame)[1])
"""


def test_after_a_kill_all_is_whole_and_the_same_command_goes_on(frames, tmp_path):
    source = films.write(tmp_path / "a.mkv", frames, "pcm_s16le")
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "b.mp4"
    command = [sys.executable, "-c", WRITE, str(source), str(target)]

    def begin():
        process = subprocess.Popen(command, cwd=ROOT)
        while not os.listdir(tmp_path / "out"):
            assert process.poll() is None
            time.sleep(0.01)
        return process

    for wait in (0, 0.2, 0.4):
        process = begin()
        time.sleep(wait)
        left = os.listdir(tmp_path / "out")
        with pytest.raises(PhotoError):  # another one of that name leaves alone what is written
            rewrite.rewrite(str(tmp_path / "nothing.mp4"), str(target), keep)
        assert os.listdir(tmp_path / "out") == left
        process.kill()
        process.wait()
        assert [name for name in os.listdir(tmp_path / "out") if name[0] != "."] == []
        for name in left:  # of a killed one: see files.is_leftover
            assert name.endswith(".partial.mp4")
        assert rewrite.rewrite(str(source), str(target), keep) == len(frames)
        assert os.listdir(tmp_path / "out") == ["b.mp4"]
        assert len(films.read(target).frames) == len(frames)
        target.unlink()


def test_without_pyav_one_line_says_what_to_install(frames, tmp_path, monkeypatch):
    source = films.write(tmp_path / "a.mp4", frames)
    monkeypatch.setitem(sys.modules, "av", None)
    assert "pip install av" in error_of(source, tmp_path / "b.mp4")


def test_importing_does_not_import_pyav():
    code = "import sys, cic.colorize.film, metric.figures.flicker; assert 'av' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ts"])
def test_without_libx264_it_is_mpeg4(frames, tmp_path, monkeypatch, extension):
    source = films.write(tmp_path / f"a.{extension}", frames)
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    target = tmp_path / "b.mp4"
    rewrite.rewrite(str(source), str(target), keep)
    new = films.read(target)
    assert new.codecs["video"].name == "mpeg4"
    assert np.diff(new.times) == pytest.approx(1 / films.RATE, abs=1e-3)
    assert np.abs(new.frames[5].astype(int) - frames[5]).mean() < 8
    monkeypatch.setattr(av, "codecs_available", set())
    target.unlink()
    assert "no encoder libx264" in error_of(source, target)


def test_awkward_names(frames, tmp_path):
    films.write(tmp_path / "a.mp4", frames)
    for name in (
        "-dash.mp4",
        'it\'s %d "1".mp4',
        "new\nline.mp4",
        "http:x.mp4",
        os.fsdecode(b"\xff.mp4"),
    ):
        source = os.path.join(tmp_path, "in", name)
        os.makedirs(os.path.dirname(source), exist_ok=True)
        shutil.copy(tmp_path / "a.mp4", source)
        target = os.path.join(tmp_path, "out", name)
        assert rewrite.rewrite(source, target, keep) == len(frames)
        assert os.path.exists(target)


def test_results_keep_their_extension_if_it_is_common():
    assert writer.target_name("a/b.MOV") == "a/b.MOV"
    assert writer.target_name("a/b.avi") == "a/b.mp4"
    assert set(tracks.CONTAINERS) <= set(FILMS)


# Peak memory of one process that rewrites a film, after one run that loads everything.
MEMORY = """
import re, sys
from cic import networks
from cic.colorize import film
from cic.colorize.colorizer import Colorizer
from cic.films import rewrite
from cic.networks.initialize import initialize
from cic.colorize.settings import DEFAULTS
import backends
def peak():  # KB; not getrusage's, which begins with that of the parent
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
network = networks.get("cic", width=0.125)
predict = backends.get(sys.argv[1]).predictor(network, initialize(network), "cpu")
paint = film.Painter(Colorizer(network, predict, DEFAULTS.but(size=32)))
rewrite.rewrite(sys.argv[2], sys.argv[3], paint)
before = peak()
rewrite.rewrite(sys.argv[4], sys.argv[3], paint)
print(before, peak())
"""


@pytest.mark.parametrize("name", ["paddle"])  # of PyTorch: tests/serve/test_server.py
def test_memory_does_not_grow_with_the_film(name, photos, tmp_path):
    """50 frames, then 400 in the same process: 350 more would be 55 MB raw."""
    frames = films.pan(photos["coffee"], 50, (192, 272), 1)
    fast = {"preset": "ultrafast"}
    short = films.write(tmp_path / "short.mp4", frames, options=fast)
    long = films.write(tmp_path / "long.mp4", [*frames, *frames[::-1]] * 4, options=fast)
    names = (name, short, tmp_path / "out.mp4", long)
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, *map(str, names)], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    before, after = map(int, run.stdout.split())
    assert after - before < 25_000, f"{before} and {after} KB"
