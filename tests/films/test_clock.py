"""Films whose clock jumps or begins late: one time for all of it, said in a line."""

import shutil
from fractions import Fraction

import av
import numpy as np
import pytest

from cic.films import rewrite
from cic.films.clock import Clock
from cic.photos.images import PhotoError
from helpers import films

pytestmark = pytest.mark.slow

FRAMES = 30
STEP = 1 / films.RATE


def keep(frame):
    return frame


@pytest.fixture
def frames(photos):
    return films.pan(photos["coffee"], FRAMES, (48, 64))


def join(target, frames, sound, starts, **more):
    """Write the same film from each of `starts`, seconds by its clock, into one file."""
    part = target.with_name(f"part{target.suffix}")
    with open(target, "wb") as whole:
        for start in starts:
            films.write(part, frames, sound, start=start, **more)
            with open(part, "rb") as file:
                shutil.copyfileobj(file, whole)
    part.unlink()
    return target


def shifts(packets, **options):
    """Seconds that a Clock takes from each of (track, byte, time) packets of 40 ms."""
    clock, counts, found = Clock(**options), {}, []
    for track, position, time in packets:
        clock.note(track, position, time, time, STEP, steady=track != "text")
    clock.settle()
    for track, *_ in packets:
        counts[track] = counts.get(track, -1) + 1
        shift = clock.shift(track, counts[track])
        found.append(None if shift is None else round(shift, 6))
    return found, [round(joint, 6) for joint in clock.joints()]


def test_a_track_that_goes_back_begins_a_recording_for_all():
    packets = [("v", 0, 5.0), ("a", 1, 5.0), ("v", 2, 5.04), ("a", 3, 5.04)]
    # The last sound of the first recording comes after the first picture of the second.
    packets += [("v", 10, 2.0), ("a", 8, 5.08), ("a", 11, 2.0), ("v", 12, 2.04), ("text", 13, 2.04)]
    found, joints = shifts(packets, jumps=True)
    assert joints == [pytest.approx(0.12)]
    assert found[:4] == [5, 5, 5, 5]
    assert found[5] == 5
    second = pytest.approx(2 - 0.12)  # it ends at 5.12 - 5
    assert [found[4], *found[6:]] == [second] * 4


def test_a_pause_is_kept_and_an_hour_is_not():
    for gap, after in ((9.0, 0), (3600.0, 3600)):
        times = [0, 0.04, 0.08 + gap, 0.12 + gap]
        found, joints = shifts([("v", n, time) for n, time in enumerate(times)], jumps=True)
        assert found == [0, 0, after, after]
        assert joints == ([0.08] if after else [])
    still = [("v", 0, 0), ("v", 1, 60.0)]
    assert shifts(still, jumps=False)[0] == [0, 0]
    assert shifts(still, jumps=True)[0] == [0, 59.96]


@pytest.mark.parametrize("extension", ["mkv", "mp4"])
@pytest.mark.parametrize("seconds", [3, 12])
def test_a_slide_show_whose_frames_are_stored_out_of_order_keeps_its_times(
    frames, tmp_path, capsys, extension, seconds
):
    source, target = tmp_path / f"a.{extension}", tmp_path / f"b.{extension}"
    films.write(source, frames[:8], None, times=[seconds * films.RATE * k for k in range(8)])
    assert rewrite.rewrite(str(source), str(target), keep) == 8
    assert films.read(target).times == [seconds * k for k in range(8)]
    assert capsys.readouterr().out == ""


def test_a_still_with_sound_and_a_sound_that_begins_late_are_no_jumps():
    sound = [("a", n, n * STEP) for n in range(1000)]
    packets = [("v", 0, 0.0), *sound, ("v", 1000, 40.0)]
    assert not any(shifts(packets, jumps=True)[0])
    assert not any(
        shifts([("v", n, n * STEP) for n in range(1000)] + [("a", 1, 20.0)], jumps=True)[0]
    )


def test_where_only_one_track_jumps_the_other_goes_on():
    """As libavformat reads joined Ogg: pictures begin anew, sound is counted on."""
    packets = [(track, n, n * STEP) for n in range(10) for track in "va"]
    packets += [("v", 10, 0.0), ("a", 11, 0.4), ("v", 12, 0.04), ("a", 13, 0.44)]
    found, _ = shifts(packets, jumps=True, counts_on=True)
    assert found == [0] * 20 + [-0.4, 0, -0.4, 0]


@pytest.mark.parametrize("wrong", [9000.0, 5.0, -3.0])
def test_one_packet_out_of_time_is_damaged_and_no_joint(wrong):
    times = [n * STEP for n in range(100)]
    times[50] = wrong
    packets = [(track, n, time) for n, time in enumerate(times) for track in "va"]
    clock = Clock(jumps=True)
    for track, position, time in packets:
        clock.note(track, position, time if track == "v" else position * STEP, None, STEP)
    clock.settle()
    assert clock.joints() == []
    assert clock.end() == pytest.approx(4.0)
    assert [n for n in range(100) if clock.shift("v", n) is None] == [50]
    assert not any(clock.shift("a", n) for n in range(100))


@pytest.mark.parametrize("wrong", [9000.0, 0.0])
def test_a_first_packet_out_of_time_is_damaged(wrong):
    clock = Clock(jumps=True)
    for position in range(50):
        time = 500 + position * STEP
        clock.note("a", position, time, None, STEP)
        clock.note("v", position, time if position else wrong, None, STEP)
    clock.settle()
    assert clock.joints() == []
    assert clock.end() == pytest.approx(2.0)
    assert clock.shift("v", 0) is None
    assert clock.shift("v", 1) == clock.shift("a", 0) == 500


def test_a_damaged_time_in_a_broadcast_moves_nothing(frames, tmp_path):
    source = films.write(tmp_path / "a.ts", frames, "mp2", codec="mpeg2video", options={})
    content = bytearray(source.read_bytes())
    # Of the PES headers with a time: "10" and flags, 3 bytes, of one marker bit each (H.222.0).
    headers = [n for n in range(len(content)) if content[n : n + 4] == b"\0\0\1\xc0"]
    place = headers[len(headers) // 2] + 9
    assert content[place] >> 4 in (2, 3)
    content[place] ^= 0x08  # bit 32: 13 hours
    source.write_bytes(content)
    rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), keep)
    new = films.read(tmp_path / "b.mp4")
    np.testing.assert_allclose(np.diff(new.times), STEP, atol=2e-3)
    assert new.duration == pytest.approx(FRAMES * STEP * 1e6, abs=1e5)


def test_packets_without_times_or_places():
    found, _ = shifts([("v", None, 1.0), ("v", None, None), ("v", None, 0.0)], jumps=True)
    assert found == [1, 1, pytest.approx(-0.04)]
    assert shifts([], jumps=True) == ([], [])


STARTS = [(0, 0), (0, 3600), (3600, 0), (5, 5)]


@pytest.mark.parametrize(
    ("name", "codec", "sound", "starts"),
    [
        *(("a.vob", "mpeg2video", None, starts) for starts in STARTS),
        *(("a.vob", "mpeg2video", "mp2", starts) for starts in STARTS),
        *(("a.ts", "libx264", "aac", starts) for starts in STARTS),
        *(("a.mpg", "mpeg1video", "mp2", starts) for starts in STARTS[::2]),
        *(("a.ts", "libx264", None, starts) for starts in STARTS[1::2]),
        *(("a.m2ts", "mpeg2video", "ac3", starts) for starts in STARTS[::2]),
        *(("a.mkv", "libx264", "aac", starts) for starts in STARTS[1:3]),
    ],
)
def test_joined_recordings_go_on(frames, tmp_path, capsys, name, codec, sound, starts):
    options = {"crf": "12"} if codec == "libx264" else {}
    source = join(tmp_path / name, frames, sound, starts, codec=codec, options=options)
    assert rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), keep) == 2 * FRAMES
    line = next(line for line in capsys.readouterr().out.splitlines() if "jumps" in line)
    assert line.startswith(f"{str(source)!r}: its clock jumps at 0:00:01.2")
    new = films.read(tmp_path / "b.mp4")
    steps = np.diff(new.times)
    np.testing.assert_allclose(np.delete(steps, FRAMES - 1), STEP, atol=2e-3)
    assert STEP - 2e-3 < steps[FRAMES - 1] < STEP + 0.08  # the first's sound may be longer
    if sound:
        assert len(films.silence(new.sound[0])) <= 6  # an encoder begins with some 20 ms of it
        length = new.sound.shape[1] / films.SAMPLES
        assert length == pytest.approx(new.times[-1] + STEP, abs=0.1)


def test_three_recordings_and_a_short_one(frames, tmp_path, capsys):
    source = join(tmp_path / "a.vob", frames, None, (7, 0, 90), codec="mpeg2video", options={})
    films.write(tmp_path / "p.vob", frames[:4], None, codec="mpeg2video", options={})
    with open(source, "ab") as file:
        file.write((tmp_path / "p.vob").read_bytes())
    rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), keep)
    new = films.read(tmp_path / "b.mp4")
    assert len(new.times) == 3 * FRAMES + 4
    np.testing.assert_allclose(np.diff(new.times), STEP, atol=1e-3)
    assert "0:00:01.20, 0:00:02.40, 0:00:03.60" in capsys.readouterr().out


def test_joined_ogg_goes_on(frames, tmp_path):
    source = join(tmp_path / "a.ogg", frames, None, (0, 0), codec="libvpx", options={})
    assert rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), keep) == 2 * FRAMES
    np.testing.assert_allclose(np.diff(films.read(tmp_path / "b.mp4").times), STEP, atol=1e-3)


def test_subtitles_go_on_with_the_pictures(frames, tmp_path):
    (tmp_path / "s.srt").write_text("1\n00:00:00,400 --> 00:00:00,600\nHello\n")
    films.write(tmp_path / "one.mkv", frames, None)
    with (
        av.open(str(tmp_path / "one.mkv")) as one,
        av.open(str(tmp_path / "s.srt")) as text,
        av.open(str(tmp_path / "two.mkv"), "w") as two,
    ):
        pictures = two.add_stream_from_template(one.streams.video[0])
        subtitles = two.add_stream_from_template(text.streams.subtitles[0])
        line = next(text.demux())
        for packet in one.demux():
            if packet.size:
                packet.stream = pictures
                two.mux(packet)
        line.stream = subtitles
        two.mux(line)
    whole = (tmp_path / "two.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(whole + whole)
    rewrite.rewrite(str(tmp_path / "a.mkv"), str(tmp_path / "b.mkv"), keep)
    with av.open(str(tmp_path / "b.mkv")) as new:
        times = [float(p.pts * p.time_base) for p in new.demux(subtitles=0) if p.size]
    assert times == pytest.approx([0.4, 0.4 + FRAMES * STEP], abs=2e-3)


@pytest.mark.parametrize(("name", "codec"), [("a.flv", "libx264"), ("a.mp4", "libx264")])
def test_what_libavformat_does_not_read_of_joined_files_is_said(
    photos, tmp_path, capsys, name, codec
):
    frames = films.pan(photos["coffee"], FRAMES, (96, 128))
    source = join(tmp_path / name, frames, None, (0, 0), codec=codec)
    assert rewrite.rewrite(str(source), str(tmp_path / "b.mkv"), keep) == FRAMES
    assert f"{str(source)!r}: its last 50% are no part of this film" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.mp4", "a.mov", "a.ts", "a.nut"])
@pytest.mark.parametrize("sound", [None, "libopus"])
def test_films_that_begin_late_begin_at_0_and_are_whole(frames, tmp_path, name, sound):
    more = {"codec": "libvpx-vp9", "options": {"crf": "30"}} if name == "a.webm" else {}
    sound = "pcm_s16le" if sound and name == "a.mov" else sound
    source = films.write(tmp_path / name, frames, sound, start=7, **more)
    old = films.read(source)
    assert rewrite.rewrite(str(source), str(tmp_path / "b.mkv"), keep) == FRAMES
    new = films.read(tmp_path / "b.mkv")
    assert new.times[0] < 0.1
    np.testing.assert_allclose(np.diff(new.times), STEP, atol=2e-3)
    if sound:
        gap = new.onset - new.times[0] - (old.onset - old.times[0])
        assert abs(gap) < 4e-3


def test_one_that_begins_late_and_is_cut_off_is_refused(photos, tmp_path):
    frames = films.pan(photos["coffee"], 100, (48, 64), 1)
    whole = films.write(tmp_path / "a.mkv", frames, start=7).read_bytes()
    (tmp_path / "a.mkv").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PhotoError, match="cut off"):
        rewrite.rewrite(str(tmp_path / "a.mkv"), str(tmp_path / "b.mkv"), keep)


def test_chapters_of_a_film_that_begins_late_are_where_they_were(frames, tmp_path):
    films.write(tmp_path / "one.mkv", frames, None, start=7)
    with av.open(str(tmp_path / "one.mkv")) as one, av.open(str(tmp_path / "a.mkv"), "w") as two:
        stream = two.add_stream_from_template(one.streams.video[0])
        chapter = {"id": 1, "start": 7400, "end": 8000, "time_base": Fraction(1, 1000)}
        two.set_chapters([{**chapter, "metadata": {"title": "Second"}}])
        for packet in one.demux():
            if packet.size:
                packet.stream = stream
                two.mux(packet)
    rewrite.rewrite(str(tmp_path / "a.mkv"), str(tmp_path / "b.mkv"), keep)
    with av.open(str(tmp_path / "b.mkv")) as new:
        chapter = new.chapters()[0]
    assert chapter["start"] * chapter["time_base"] == pytest.approx(0.4, abs=2e-3)
    assert chapter["metadata"]["title"] == "Second"


@pytest.mark.parametrize("extension", [".mp4", ".mov", ".mkv", ".webm"])
def test_pictures_that_would_be_shown_for_a_day_are_damage(frames, tmp_path, capsys, extension):
    flat = {"muxing": {"use_editlist": "0"}, "options": {"bf": "0"}}
    source = films.write(tmp_path / "a.mov", frames[:12], None, **flat)
    content = bytearray(source.read_bytes())
    ticks = content.index(b"stts") + 16  # ISO 14496-12, 8.6.1.2: of each of its samples
    content[ticks : ticks + 4] = (2**31 - 2**16).to_bytes(4, "big")  # 46 hours of 1/12800 s
    source.write_bytes(content)
    target = tmp_path / f"b{extension}"
    assert rewrite.rewrite(str(source), str(target), keep) == 12
    assert "its clock jumps" in capsys.readouterr().out
    new = films.read(target)
    assert len(new.frames) == 12
    assert new.duration / av.time_base < 5
