"""Sound of AVIs, which have no times, that is counted otherwise than the file says."""

from fractions import Fraction

import av
import numpy as np
import pytest

from cic.films import rewrite
from cic.films.survey import Survey
from helpers import films

pytestmark = pytest.mark.slow

SECONDS = 2
# Encoder: samples a second, channels. FFmpeg writes wrong headers for the first ones.
WRONG = {
    "g726": (8000, "mono"),
    "g722": (16000, "mono"),
    "eac3": (48000, "mono"),
    "vorbis": (48000, "stereo"),
}
RIGHT = {"libmp3lame": (48000, "mono"), "adpcm_ms": (44100, "stereo"), "aac": (44100, "mono")}


def keep(frame):
    return frame


def write(path, frames, codec, rate, layout):
    """Write an AVI of 2 s: silence, then noise, of more bytes where an encoder counts them."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", films.RATE)
        video.height, video.width, video.pix_fmt = *frames[0].shape[:2], "yuv420p"
        tone = container.add_stream(codec, rate=rate, layout=layout)
        tone.codec_context.options = {"strict": "-2"}  # vorbis is experimental
        for time, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, "rgb24")
            frame.pts, frame.time_base = time, Fraction(1, films.RATE)
            container.mux(video.encode(frame.reformat(format="yuv420p")))
        container.mux(video.encode(None))
        wave = np.random.default_rng(0).uniform(-25000, 25000, SECONDS * rate)
        wave[:rate] = 0
        sound = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], "s16", "mono")
        sound.rate, sound.pts, sound.time_base = rate, 0, Fraction(1, rate)
        form = tone.codec_context.format.name
        resampler = av.AudioResampler(form, layout, rate, tone.codec_context.frame_size or None)
        for part in (*resampler.resample(sound), *resampler.resample(None)):
            container.mux(tone.encode(part))
        container.mux(tone.encode(None))
    return path


@pytest.fixture
def frames(photos):
    return films.pan(photos["coffee"], SECONDS * films.RATE, (48, 64))


@pytest.mark.parametrize(
    ("codec", "extension"),
    [("g726", ".mp4"), ("g722", ".mkv"), ("eac3", ".mkv"), ("vorbis", ".mp4")],
)
def test_sound_is_as_long_as_it_is_heard_and_begins_when_it_does(
    frames, tmp_path, codec, extension
):
    source = write(tmp_path / "a.avi", frames, codec, *WRONG[codec])
    with av.open(str(source)) as container:
        ends = [p.dts * p.time_base for p in container.demux(audio=0) if p.size]
    assert not SECONDS - 0.3 < ends[-1] < SECONDS + 0.1  # as FFmpeg has it
    target = tmp_path / f"b{extension}"
    assert rewrite.rewrite(str(source), str(target), keep) == len(frames)
    new = films.read(target)
    assert new.duration / av.time_base == pytest.approx(SECONDS, abs=0.15)  # a packet of 8 kHz more
    length = new.sound.shape[1] / new.codecs["audio"].sample_rate
    assert length == pytest.approx(SECONDS, abs=0.15)
    assert new.onset == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("codec", RIGHT)
def test_times_that_are_right_stay(frames, tmp_path, codec):
    source = write(tmp_path / "a.avi", frames, codec, *RIGHT[codec])
    with Survey(av, str(source)) as survey:
        assert survey.counts == {}


def damage(source, packets):
    """Zero these packets of a film's sound."""
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        places = [(p.pos, bytes(p)) for p in container.demux(audio=0) if p.size]
    for position, packet in places[packets]:
        place = data.index(packet, position)
        data[place : place + len(packet)] = bytes(len(packet))
    source.write_bytes(data)


def test_damage_at_the_beginning_says_nothing_of_times(frames, tmp_path):
    source = write(tmp_path / "a.avi", frames, "libmp3lame", *RIGHT["libmp3lame"])
    damage(source, slice(10))
    with Survey(av, str(source)) as survey:
        assert survey.counts == {}


def test_damaged_packets_of_such_sound_end_nothing(frames, tmp_path):
    source = write(tmp_path / "a.avi", frames, "eac3", *WRONG["eac3"])
    damage(source, slice(10, 20))
    assert rewrite.rewrite(str(source), str(tmp_path / "b.mp4"), keep) == len(frames)
    new = films.read(tmp_path / "b.mp4")
    assert SECONDS - 0.5 < new.duration / av.time_base < SECONDS + 0.1
