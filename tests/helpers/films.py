"""Short films for tests, and what is in a film."""

from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from PIL import Image

RATE = 25
HERTZ = 440
SAMPLES = 48000  # a second


def pan(photo, frames, size=(90, 160), step=2.0):
    """`frames` arrays (height, width, 3) of a photograph that moves by `step` of its pixels."""
    image = Image.fromarray(np.ascontiguousarray(photo))
    height, width = size
    scale = min(image.height / height, 0.7 * image.width / width)
    high, wide = height * scale, width * scale
    top = (image.height - high) / 2
    return [
        np.asarray(
            image.resize(
                (width, height),
                Image.Resampling.BICUBIC,
                (k * step, top, k * step + wide, top + high),
            )
        )
        for k in range(frames)
    ]


def sine(seconds):
    """(1, n) float32 samples of a tone."""
    return np.sin(2 * np.pi * HERTZ * np.arange(int(seconds * SAMPLES)) / SAMPLES)[None].astype(
        "f4"
    )


def write(path, frames, sound="aac", times=None, base=Fraction(1, RATE), start=0, **more):
    """Write (H, W, 3) uint8 frames, shown at `times` (ticks of `base`), with a tone as long.

    `more`: codec, pix_fmt, options, aspect, turn (degrees counter-clockwise), flip, color_range,
    tags, fields ("tff", "bff": the frames are interlaced).
    """
    times = range(len(frames)) if times is None else times
    with av.open(str(path), "w", options=more.get("muxing", {})) as container:
        container.metadata.update({"title": "A film", **more.get("tags", {})})
        video = container.add_stream(
            more.get("codec", "libx264"), RATE, options=more.get("options", {"crf": "4"})
        )
        context = video.codec_context
        context.height, context.width = frames[0].shape[:2]
        context.pix_fmt = more.get("pix_fmt", "yuv420p")
        video.time_base = context.time_base = base
        if "aspect" in more:
            context.sample_aspect_ratio = more["aspect"]
        if "color_range" in more:
            context.color_range = more["color_range"]
        if "turn" in more:
            video.set_display_rotation(more["turn"], hflip=more.get("flip", False))
        tone = add_tone(container, sound) if sound else None
        marked = _marker(context, base, more["fields"]) if "fields" in more else None
        for time, array in zip(times, frames):
            frame = av.VideoFrame.from_ndarray(array, "rgb24").reformat(
                format=context.pix_fmt, dst_color_range=more.get("color_range", 1)
            )
            frame.pts, frame.time_base = time + round(start / base), base
            if marked:
                marked.push(frame)
                frame = marked.pull()
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound:
            write_tone(container, tone, float(base * (max(times) + 1)), start)
    return path


def _marker(context, base, fields):
    """A graph that says of frames which field comes first."""
    graph = av.filter.Graph()
    size = {"width": context.width, "height": context.height, "format": context.pix_fmt}
    graph.link_nodes(
        graph.add_buffer(**size, time_base=base),
        graph.add("setfield", fields),
        graph.add("buffersink"),
    )
    graph.configure()
    return graph


def interlace(frames, fields):
    """Frames (H, W, 3), by twos: rows of the first and of the second in turn."""
    woven = []
    for one, other in zip(frames[::2], frames[1::2]):
        woven.append(one.copy())
        woven[-1][int(fields == "tff") :: 2] = other[int(fields == "tff") :: 2]
    return woven


def fields_of(path):
    """{(interlaced, the field that comes first)} of a film's frames."""
    found = set()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            graph, base = av.filter.Graph(), Fraction(1, RATE)
            size = {"width": frame.width, "height": frame.height, "format": frame.format}
            graph.link_nodes(
                graph.add_buffer(**size, time_base=base),
                graph.add("separatefields"),
                graph.add("buffersink"),
            )
            graph.configure()
            graph.push(frame)
            first, whole = (f.to_ndarray(format="gray").astype(int) for f in (graph.pull(), frame))
            away = [np.abs(first - whole[parity::2]).mean() for parity in (0, 1)]
            found.add((frame.interlaced_frame, "tff" if away[0] < away[1] else "bff"))
    return found


def combing(frame):
    """How far the rows of a frame lie from the means of their neighbours."""
    gray = frame.astype(float).mean(2)
    return np.abs(gray[1:-1] - (gray[:-2] + gray[2:]) / 2).mean()


def silence(sound):
    """Seconds at which a tone's samples (n,) are silent, in steps of 10 ms, less its ends."""
    step = SAMPLES // 100
    loud = np.sqrt(np.square(sound[: len(sound) // step * step].reshape(-1, step)).mean(1))
    return np.flatnonzero(loud[5:-10] < 0.2) / 100 + 0.05


def add_tone(container, codec):
    stream = container.add_stream(codec, rate=SAMPLES, layout="mono")
    stream.bit_rate = 96000
    return stream


def write_tone(container, stream, seconds, start):
    frame = av.AudioFrame.from_ndarray(sine(seconds), "fltp", "mono")
    frame.rate, frame.time_base = SAMPLES, Fraction(1, SAMPLES)
    frame.pts = start * SAMPLES
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


class Content(NamedTuple):
    """A film as it is shown: frames (H, W, 3) uint8, seconds of each, samples, and the rest."""

    frames: list
    times: list
    sound: np.ndarray
    packets: list  # of the sound, bytes
    onset: float  # seconds, of the tone
    rate: Fraction
    duration: int  # microseconds
    title: str
    aspect: Fraction
    codecs: dict  # {"video": VideoCodecContext, "audio": AudioCodecContext}


def read(path):
    """The Content of a film."""
    with av.open(str(path)) as container:
        frames, times, sound, packets, onset = [], [], [], [], None
        for packet in container.demux(video=0, audio=0 if container.streams.audio else ()):
            if packet.size and packet.stream.type == "audio":
                packets.append(bytes(packet))
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    frames.append(frame.to_ndarray(format="rgb24"))
                    times.append(frame.time)
                else:
                    sound.append(frame.to_ndarray())
                    loud = np.flatnonzero(np.abs(sound[-1][0]) > 0.3)
                    if onset is None and len(loud):
                        onset = frame.time + loud[0] / frame.rate
        samples = np.concatenate(sound, axis=1) if sound else None
        video, tags = container.streams.video[0], container.metadata
        return Content(
            *(frames, times, samples, packets, onset),
            *(video.average_rate, container.duration),
            tags.get("title", tags.get("TITLE")),
            video.sample_aspect_ratio,
            {s.type: s.codec_context for s in container.streams},
        )
