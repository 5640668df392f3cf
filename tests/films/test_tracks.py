"""Which tracks of a film are coloured, copied, encoded or left out, and that this is said."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from cic.films import rewrite, tracks
from cic.photos.images import PhotoError
from helpers import films

pytestmark = pytest.mark.slow

# Codecs that browsers, telephones and each format's own player play, written down a second time.
PLAYED = {
    ".mp4": {"aac", "mp3"},
    ".m4v": {"aac", "mp3"},
    ".mov": {"aac", "mp3", "alac", "ac3", "pcm_s16le", "pcm_s24le", "pcm_s16be"},
    ".webm": {"opus", "vorbis"},
    ".mkv": {"aac", "mp3", "alac", "ac3", "pcm_s16le", "pcm_s24le", "opus", "flac", "mp2"},
}
SOUNDS = {
    "aac": "aac",
    "libmp3lame": "mp3",
    "alac": "alac",
    "ac3": "ac3",
    "flac": "flac",
    "libopus": "opus",
    "mp2": "mp2",
    "pcm_s16le": "pcm_s16le",
    "pcm_s24le": "pcm_s24le",
    "pcm_s16be": "pcm_s16be",
    "wmav2": "wmav2",
    "adpcm_ima_wav": "adpcm_ima_wav",
}
HOLDERS = {"wmav2": "wmv", "adpcm_ima_wav": "avi", "mp2": "mpg"}  # others lie in Matroska
PICTURES = {"wmv": "msmpeg4v3", "avi": "mpeg4", "mpg": "mpeg1video", "mkv": "libx264"}


def keep(frame):
    return frame


@pytest.fixture
def frames(photos):
    return films.pan(photos["coffee"], 12, (48, 64))


def codecs_of(path):
    with av.open(str(path)) as container:
        return [s.codec_context.codec.canonical_name for s in container.streams]


@pytest.mark.parametrize("extension", PLAYED)
@pytest.mark.parametrize("encoder", SOUNDS)
def test_sound_is_copied_where_players_play_it_and_encoded_where_not(
    frames, tmp_path, capsys, encoder, extension
):
    holder = HOLDERS.get(encoder, "mkv")
    source, target = tmp_path / f"a.{holder}", tmp_path / f"b{extension}"
    films.write(source, frames, encoder, codec=PICTURES[holder], options={})
    assert rewrite.rewrite(str(source), str(target), keep) == len(frames)
    old, new = films.read(source), films.read(target)
    codec = new.codecs["audio"].codec.canonical_name
    said = capsys.readouterr().out
    if SOUNDS[encoder] in PLAYED[extension]:
        assert codec == SOUNDS[encoder]
        assert b"".join(old.packets) == b"".join(new.packets)
        assert "encoded" not in said
    elif extension != ".mkv" or codec == "aac":  # Matroska takes nearly anything
        assert codec == ("opus" if extension == ".webm" else "aac")
        assert f"{str(source)!r}: track 2 (audio, {SOUNDS[encoder]}): encoded as" in said
    length = old.sound.shape[1] / old.codecs["audio"].sample_rate
    assert new.sound.shape[1] / new.codecs["audio"].sample_rate == pytest.approx(length, abs=0.06)
    middle = new.sound[0, 4800:19200]
    loudest = np.abs(np.fft.rfft(middle)).argmax() * films.SAMPLES / len(middle)
    assert loudest == pytest.approx(films.HERTZ, abs=4)


@pytest.mark.parametrize("extension", [".mp4", ".m4v", ".mov"])
def test_h264_as_players_want_it(frames, tmp_path, extension):
    source = films.write(tmp_path / "a.mkv", frames, "aac", codec="libvpx-vp9", pix_fmt="yuv444p")
    target = tmp_path / f"b{extension}"
    rewrite.rewrite(str(source), str(target), keep)
    content = target.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # faststart
    assert b"avc1" in content
    with av.open(str(target)) as container:
        context = container.streams.video[0].codec_context
        assert (context.codec_tag, context.pix_fmt) == ("avc1", "yuv420p")
        assert container.streams.audio[0].codec_context.codec_tag == "mp4a"


def write_tracks(path, lengths, marked=None, sound=False):
    """Write a film of several tracks of pictures of so many frames; one `marked` as default."""
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    with av.open(str(path), "w") as container:
        streams = []
        for number, _ in enumerate(lengths):
            stream = container.add_stream("libx264", films.RATE, options={"crf": "4"})
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
            if marked is not None:
                stream.disposition = int(number == marked)
            streams.append(stream)
        for stream, length, colour in zip(streams, lengths, colours):
            array = np.broadcast_to(np.uint8(colour), (48, 64, 3))
            for time in range(length):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), "rgb24")
                frame.pts, frame.time_base = time, Fraction(1, films.RATE)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "lengths", "marked", "chosen", "why"),
    [
        ("a.mp4", (5, 60), None, 1, "the longest"),  # the muxer marks the first by itself
        ("a.mkv", (5, 60), None, 1, "the longest"),
        ("a.mkv", (60, 5), 1, 1, "the default"),
        ("a.mp4", (60, 25), 1, 1, "the default"),
        ("a.mkv", (60, 60), 0, 0, "the default"),
        ("a.mkv", (20, 30, 25), None, 1, "the longest"),
        ("a.ts", (30, 30), None, 0, "the longest"),
    ],
)
def test_of_several_tracks_of_pictures_the_default_or_the_longest_is_taken(
    tmp_path, capsys, name, lengths, marked, chosen, why
):
    source = write_tracks(tmp_path / name, lengths, marked)
    count = rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), keep)
    assert count == lengths[chosen]
    new = films.read(tmp_path / "b.mp4")
    assert new.frames[0][24, 32].argmax() == chosen
    assert codecs_of(tmp_path / "b.mp4") == ["h264"]
    assert (
        f"{str(source)!r}: {len(lengths)} tracks of pictures: number {chosen + 1} is coloured, "
        f"{why} ({count} frames, {count / films.RATE:.1f} s)"
    ) in capsys.readouterr().out


def test_one_track_is_not_spoken_of(frames, tmp_path, capsys):
    source = films.write(tmp_path / "a.mp4", frames)
    rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), keep)
    assert "track" not in capsys.readouterr().out


def test_what_is_left_out_is_said_before_the_first_frame(photos, frames, tmp_path, capsys):
    films.write(tmp_path / "one.mkv", frames)
    (tmp_path / "s.srt").write_text("1\n00:00:00,000 --> 00:00:00,200\nHello\n")
    Image.fromarray(photos["coffee"][:64, :64]).save(tmp_path / "cover.png")
    with (
        av.open(str(tmp_path / "one.mkv")) as one,
        av.open(str(tmp_path / "s.srt")) as text,
        av.open(str(tmp_path / "a.mkv"), "w") as two,
    ):
        copies = {s.index: two.add_stream_from_template(s) for s in one.streams}
        subtitles = two.add_stream_from_template(text.streams.subtitles[0])
        subtitles.metadata["language"] = "fra"
        two.add_attachment("cover.png", "image/png", (tmp_path / "cover.png").read_bytes())
        for packet in one.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                two.mux(packet)
        packet = next(text.demux())
        packet.stream = subtitles
        two.mux(packet)
    said = []

    def paint(frame):
        said.append(capsys.readouterr().out)
        return frame

    rewrite.rewrite(str(tmp_path / "a.mkv"), str(tmp_path / "b.mp4"), paint)
    assert codecs_of(tmp_path / "b.mp4") == ["h264", "aac"]
    assert (
        "track 3 (subtitle, subrip, fra): left out, which players of .mp4 files do not know; "
        "a .mkv would keep more\n"
    ) in said[0]
    assert "track 4 (cover, png): left out\n" in said[0]


def test_what_only_a_trial_can_tell_is_told_before_the_first_frame(frames, tmp_path, monkeypatch):
    """A muxer that promises a codec and then refuses its header: here PCM in MP4."""
    source = films.write(tmp_path / "a.mkv", frames, "pcm_s16be")
    with av.open(str(tmp_path / "trial.mp4"), "w") as container:
        assert "pcm_s16be" in container.supported_codecs
    promised = tracks.CONTAINERS[".mp4"]
    monkeypatch.setitem(tracks.CONTAINERS, ".mp4", promised._replace(plays=None))
    rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), keep)
    assert codecs_of(tmp_path / "b.mp4") in (["h264", "aac"], ["h264", "pcm_s16be"])
    monkeypatch.setattr(tracks.Copied, "__call__", refuse)
    rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), keep)
    assert codecs_of(tmp_path / "b.mp4") == ["h264", "aac"]
    monkeypatch.setattr(tracks.Encoded, "__call__", refuse)
    rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), keep)
    assert codecs_of(tmp_path / "b.mp4") == ["h264"]


def refuse(self, packet):
    raise av.error.ArgumentError(22, "Invalid argument")


def test_a_header_that_cannot_be_written_costs_no_frame(frames, tmp_path, monkeypatch):
    source = films.write(tmp_path / "a.mp4", frames)
    webm = tracks.CONTAINERS[".webm"]  # whose muxer does not hold H.264
    monkeypatch.setitem(tracks.CONTAINERS, ".webm", webm._replace(encoders=("libx264",)))

    def paint(frame):
        raise AssertionError("a frame was painted")

    with pytest.raises(PhotoError, match=r"b\.webm': cannot be written: "):
        rewrite.rewrite(str(source), str(tmp_path / "b.webm"), paint)
    assert not (tmp_path / "b.webm").exists()


@pytest.mark.parametrize("extension", [".mp4", ".webm"])
def test_sound_of_every_kind_can_be_encoded(photos, tmp_path, extension):
    frames = films.pan(photos["coffee"], 12, (48, 64))
    for number, (rate, layout) in enumerate(
        [(8000, "mono"), (11025, "stereo"), (44100, "5.1"), (96000, "stereo"), (192000, "mono")]
    ):
        source, target = tmp_path / f"{number}.mkv", tmp_path / f"{number}{extension}"
        with av.open(str(source), "w") as container:
            pictures = container.add_stream("libx264", films.RATE)
            pictures.height, pictures.width = 48, 64
            sound = container.add_stream("pcm_s16le", rate=rate, layout=layout)
            for time, array in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(array, "rgb24")
                frame.pts = time
                container.mux(pictures.encode(frame))
                silent = av.AudioFrame("s16", layout, rate // films.RATE)
                silent.sample_rate, silent.pts = rate, time * (rate // films.RATE)
                silent.time_base = Fraction(1, rate)
                container.mux(sound.encode(silent))
            container.mux(pictures.encode(None))
            container.mux(sound.encode(None))
        assert rewrite.rewrite(str(source), str(target), keep) == len(frames)
        new = films.read(target)
        length = new.sound.shape[1] / new.codecs["audio"].sample_rate
        assert length == pytest.approx(len(frames) / films.RATE, abs=0.1)
        assert new.codecs["audio"].layout.name.startswith(layout)


def test_a_gap_in_encoded_sound_is_silence_and_what_follows_is_in_time(
    photos, tmp_path, monkeypatch
):
    pieces = []

    class Spied(tracks.Encoded):
        def _filtered(self, frame):
            taken = list(super()._filtered(frame))
            pieces.append(sum(one.samples for one in taken))
            yield from taken

    monkeypatch.setattr(tracks, "Encoded", Spied)
    frames = films.pan(photos["coffee"], 150, (48, 64), 0.5)
    films.write(tmp_path / "whole.mkv", frames, "ac3")
    with av.open(str(tmp_path / "whole.mkv")) as one, av.open(str(tmp_path / "a.mkv"), "w") as two:
        copies = {s.index: two.add_stream_from_template(s) for s in one.streams}
        for packet in one.demux():
            time = float((packet.pts or 0) * packet.time_base)
            if packet.size and (packet.stream.type == "video" or not 2 < time < 4):
                packet.stream = copies[packet.stream_index]
                two.mux(packet)
    rewrite.rewrite(str(tmp_path / "a.mkv"), str(tmp_path / "b.mp4"), keep)
    new = films.read(tmp_path / "b.mp4")
    assert new.sound.shape[1] / films.SAMPLES == pytest.approx(6, abs=0.1)
    silent = films.silence(new.sound[0])
    assert [silent.min(), silent.max()] == pytest.approx([2, 4], abs=0.1)
    assert max(pieces) < films.SAMPLES  # however long it is, it is waits in no queue


@pytest.mark.parametrize(("name", "sound"), [("a.ts", "aac"), ("a.mkv", "ac3")])
def test_damaged_sound_costs_no_film(photos, tmp_path, capsys, name, sound):
    frames = films.pan(photos["coffee"], 75, (48, 64), 0.5)
    films.write(tmp_path / f"whole{name}", frames, sound)
    with (
        av.open(str(tmp_path / f"whole{name}")) as one,
        av.open(str(tmp_path / "a.nut"), "w") as two,
    ):
        copies = {s.index: two.add_stream_from_template(s) for s in one.streams}
        for number, packet in enumerate(p for p in one.demux() if p.size):
            if packet.stream.type == "audio" and number in (100, 101, 102, 103):
                broken = av.Packet(bytes(len(bytes(packet))))
                broken.pts, broken.dts, broken.time_base = packet.pts, packet.dts, packet.time_base
                packet, stream = broken, packet.stream_index
            else:
                stream = packet.stream_index
            packet.stream = copies[stream]
            two.mux(packet)
    assert rewrite.rewrite(str(tmp_path / "a.nut"), str(tmp_path / "b.mp4"), keep) == 75
    said = capsys.readouterr().out
    assert f"{str(tmp_path / 'a.nut')!r}: track 2: silent in" in said
    assert "damaged packets" in said
    new = films.read(tmp_path / "b.mp4")
    assert len(new.frames) == 75


def test_sound_that_no_decoder_reads_is_left_out_and_said(frames, tmp_path, capsys):
    films.write(tmp_path / "whole.mkv", frames, "ac3")
    with av.open(str(tmp_path / "whole.mkv")) as one, av.open(str(tmp_path / "a.nut"), "w") as two:
        copies = {s.index: two.add_stream_from_template(s) for s in one.streams}
        for packet in one.demux():
            if not packet.size:
                continue
            stream = copies[packet.stream_index]
            if packet.stream.type == "audio":
                noise = av.Packet(bytes(range(256)))
                noise.pts, noise.dts, noise.time_base = packet.pts, packet.dts, packet.time_base
                packet = noise
            packet.stream = stream
            two.mux(packet)
    assert rewrite.rewrite(str(tmp_path / "a.nut"), str(tmp_path / "b.mp4"), keep) == len(frames)
    assert codecs_of(tmp_path / "b.mp4") == ["h264"]
    assert "track 2 (audio, ac3): left out" in capsys.readouterr().out


def late(path, photos, pictures, sound, seconds):
    """Write a film of 25 frames a second whose sound, of half a second, begins late."""
    frames = [
        av.VideoFrame.from_ndarray(array, "rgb24").reformat(format="yuv420p")
        for array in films.pan(photos["coffee"], films.RATE, (48, 64))
    ]
    with av.open(str(path), "w") as container:
        video_stream = container.add_stream(pictures, films.RATE)
        video_stream.height, video_stream.width = 48, 64
        video_stream.pix_fmt = "yuv420p"
        tone = films.add_tone(container, sound)
        for time in range(seconds * films.RATE + films.RATE // 2):
            frame = frames[time % films.RATE]
            frame.pts, frame.time_base = time, Fraction(1, films.RATE)
            container.mux(video_stream.encode(frame))
        container.mux(video_stream.encode(None))
        films.write_tone(container, tone, 0.5, seconds)
    return path


@pytest.mark.parametrize(
    ("name", "pictures", "sound", "extension"),
    [
        ("a.vob", "mpeg2video", "ac3", ".mkv"),
        ("a.mpg", "mpeg1video", "mp2", ".webm"),
        ("a.ts", "libx264", "aac", ".mp4"),
    ],
)
def test_sound_that_begins_after_what_is_read_at_first(
    photos, tmp_path, capsys, name, pictures, sound, extension
):
    """As on discs: when the film is opened, nobody knows its rate and its channels."""
    source = late(tmp_path / name, photos, pictures, sound, 8)
    with av.open(str(source)) as container:
        assert not container.streams.audio[0].codec_context.sample_rate
    target = tmp_path / f"b{extension}"
    assert rewrite.rewrite(str(source), str(target), keep) == 212
    codec = "Opus" if extension == ".webm" else "AAC"
    assert f"track 2 (audio, {sound}): encoded as {codec}, as it begins late\n" in (
        capsys.readouterr().out
    )
    new = films.read(target)
    assert new.onset - new.times[0] == pytest.approx(8, abs=0.05)
    context = new.codecs["audio"]
    assert (context.layout.name, context.sample_rate) == ("mono", films.SAMPLES)
    assert new.sound.shape[1] / films.SAMPLES == pytest.approx(0.5, abs=0.06)


def test_another_container_is_named_only_if_it_would_keep_more(frames, tmp_path, capsys):
    for encoder, more in (("pcm_mulaw", False), ("pcm_s16le", True)):
        source = films.write(tmp_path / f"{encoder}.mov", frames, encoder)
        rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), keep)
        said = capsys.readouterr().out
        assert f"(audio, {encoder}): encoded as AAC, which players of .mp4 files play" in said
        assert ("a .mkv would keep more" in said) is more
        rewrite.rewrite(str(source), str(tmp_path / "b.mkv"), keep)
        assert (f"(audio, {encoder}): encoded" in capsys.readouterr().out) is not more


@pytest.mark.parametrize("extension", [".mkv", ".mp4"])
def test_sound_that_an_edit_cut_off_stays_so(photos, tmp_path, extension):
    """As phones trim: the sound before the beginning is in the file and is not played."""
    frames = films.pan(photos["coffee"], 60, (48, 64), 1.0)
    source = films.write(tmp_path / "a.mov", frames, "pcm_s16le")
    content, place, cut = bytearray(source.read_bytes()), 0, 1.2  # seconds
    while (place := content.find(b"elst", place) + 4) > 3:  # ISO 14496-12, 8.6.6 and 8.4.2
        rate = content.index(b"mdhd", place) + 16
        ticks = int.from_bytes(content[rate : rate + 4], "big")
        begin = int.from_bytes(content[place + 12 : place + 16], "big") + round(cut * ticks)
        content[place + 8 : place + 16] = (1000).to_bytes(4, "big") + begin.to_bytes(4, "big")
    source.write_bytes(content)
    target = tmp_path / f"b{extension}"
    assert rewrite.rewrite(str(source), str(target), keep) == 25
    new = films.read(target)
    assert new.times[0] - new.onset == pytest.approx(0, abs=0.12)
    assert new.duration / av.time_base == pytest.approx(1, abs=0.15)
