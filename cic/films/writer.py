"""Write films through PyAV: encode frames at their own times, take other tracks over."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from fractions import Fraction

import numpy as np

from cic.films import tags
from cic.films.pyav import Packet, Pyav, VideoFrame
from cic.films.reader import Film, Frame, is_sideways, threads
from cic.films.survey import film_errors
from cic.films.tracks import CONTAINERS, Plan
from cic.photos.endings import FILMS
from cic.photos.images import PhotoError
from cic.system.arrays import Bytes

_OTHERWISE = ".mp4"
_OPTIONS = {
    "libx264": {"crf": "18"},
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
    "mpeg4": {"flags": "+qscale", "global_quality": str(3 * 118)},  # libavutil's FF_QP2LAMBDA
}
_INTERLACE = {"libx264", "mpeg4"}  # encoders that keep fields apart
_FINEST = {"mpeg4": 65535}  # ticks a second, where an encoder limits them
_FINE = 240_000  # ticks a second: a multiple of all usual rates
_LONGEST = 2**31 - 1  # ticks that a frame of MP4 may be shown (ISO 14496-12, 8.6.1.2)
_LOOKAHEAD = 40 * 1920 * 1088  # pixels that encoders keep: libx264's 40 frames of HD are 250 MB
_THRIFTY = 12_000_000  # pixels a frame from which on each of libx264's frames is too many
_BT709, _LIMITED = 1, 1  # ITU-T H.273; libavutil's AVCOL_RANGE_MPEG


def target_name(name: str) -> str:
    """Return the name of a film's result: its own, or with another extension, or with one."""
    stem, extension = os.path.splitext(name)
    if extension.lower() in CONTAINERS:
        return name
    return (stem if extension.lower() in FILMS else name) + _OTHERWISE


class Writer:
    """The film to write, made from a reader.Film by a tracks.Plan: a context manager."""

    def __init__(self, av: Pyav, fresh: str, target: str, film: Film, plan: Plan) -> None:
        self.av, self.fresh, self.target, self.film, self.plan = av, fresh, target, film, plan
        self.last: int | None = None
        self.durations: dict[int, int] = {}  # of the frames that the encoder still has

    def __enter__(self) -> "Writer":
        encoders = self.plan.into.encoders
        encoder = next((e for e in encoders if e in self.av.codecs_available), None)
        if encoder is None:
            raise PhotoError(f"{self.target!r}: PyAV has no encoder {encoders[0]} here")
        said = tags.of_film(self.film.container)
        muxer = self.plan.into.muxer
        options = tags.movflags(said) if muxer in ("mp4", "mov") else {}
        with self._writing():
            self.container = self.av.open(self.fresh, "w", format=muxer, options=options)
            self._add_video(encoder)
            self.others = {
                stream.index: self.plan.carry(stream, self.container, how)
                for stream in self.film.others
                if (how := self.plan.how.get(stream.index))
            }
            self.container.metadata.update(said)
            shift = self.film.survey.clock.parts[0].shift
            self.container.set_chapters(tags.chapters(self.film.container, shift))
            self.container.start_encoding()  # what cannot be written fails before the first frame
        return self

    def _writing(self) -> AbstractContextManager[None]:
        return film_errors(self.av, self.target, "cannot be written: ")

    def _add_video(self, encoder: str) -> None:
        film, source = self.film, self.film.video
        self.video = self.container.add_stream(encoder, film.rate, options=self._options(encoder))
        tags.describe(self.video, source)
        context = self.video.codec_context
        height, width, aspect = film.height, film.width, source.sample_aspect_ratio
        if is_sideways(film.matrix):
            height, width, aspect = width, height, aspect and 1 / aspect
        context.width, context.height = width + width % 2, height + height % 2
        context.pix_fmt = "yuv420p"
        if aspect and aspect > 0:
            context.sample_aspect_ratio = aspect
        self.tick = _tick(source.time_base, encoder, film.survey.clock.end())
        self.video.time_base = context.time_base = self.tick
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED

    def _options(self, encoder: str) -> dict[str, str]:
        options, film = dict(_OPTIONS[encoder]), self.film
        self.interlaced = film.interlaced and not film.weave and encoder in _INTERLACE
        if is_sideways(film.matrix):
            self.interlaced = False  # fields are rows
        if self.interlaced:
            options["flags"] = options.get("flags", "") + "+ildct+ilme"
        pixels = film.width * film.height
        ahead, options["threads"] = max(1, _LOOKAHEAD // pixels), str(threads(pixels))
        if encoder == "libx264":
            options["rc-lookahead"] = str(min(40, ahead))
            options |= {"bf": "0", "refs": "1"} if pixels > _THRIFTY else {}
        elif encoder == "libvpx-vp9":
            options["lag-in-frames"] = str(min(25, ahead))
        return options

    def write(self, rgb: Bytes, like: Frame) -> None:
        """Encode (H, W, 3) uint8 sRGB at the time of the reader.Frame `like`."""
        height, width = rgb.shape[:2]
        if height % 2 or width % 2:  # each 2 x 2 pixels have one colour
            rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        with self._writing():
            frame = self._frame(rgb, like.image).reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            frame.time_base, frame.pts = self.tick, self._time(like.time)
            self.durations[frame.pts] = round(like.length / self.tick)
            self._encode(frame)

    def _frame(self, rgb: Bytes, image: VideoFrame) -> VideoFrame:
        """Return a VideoFrame of (H, W, 3) uint8; of an interlaced film with the order of its
        fields.
        """
        height, width = rgb.shape[:2]
        if not self.interlaced or image.format.name == "rgb24":
            return self.av.VideoFrame.from_ndarray(rgb, "rgb24")
        frame = image.reformat(width, height, "rgb24")  # the one way to the flags in PyAV
        plane = frame.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        rows[:height, : 3 * width] = rgb.reshape(height, -1)
        frame.pict_type = 0  # of the old encoder
        return frame

    def _encode(self, frame: VideoFrame) -> None:
        for packet in self.video.encode(frame):
            packet.duration = self.durations.pop(packet.pts, 0)  # encoders do not pass it on
            self.container.mux(packet)

    def _time(self, time: Fraction | None) -> int:
        """Return the ticks at which a frame is shown, given its seconds or None: later than the one
        before.
        """
        if time is not None:
            ticks = round(time / self.tick)
        elif self.last is None:
            ticks = 0
        else:
            ticks = self.last + round(1 / (self.film.rate * self.tick))
        self.last = ticks if self.last is None else max(ticks, self.last + 1)
        return self.last

    def pass_on(self, packet: Packet) -> None:
        """Take over a packet of another track, or leave it out."""
        track = self.others.get(packet.stream_index)
        if track:
            with self._writing():
                try:
                    for taken in track(packet):
                        self.container.mux(taken)
                except (self.av.error.InvalidDataError, self.av.error.PatchWelcomeError):
                    track.damaged += 1  # the muxer looks into some: ADTS

    def finish(self) -> None:
        """Write the film's end. Raises PhotoError, as all of it does."""
        with self._writing():
            self._encode(None)
            for track in self.others.values():
                for taken in track.finish():
                    self.container.mux(taken)
            self.container.close()

    def losses(self) -> Iterator[str]:
        """Yield the sentences on what was left out for its damage."""
        for index, track in self.others.items():
            if track.damaged:
                yield f"track {index + 1}: silent in {track.damaged} damaged packets"

    def __exit__(self, kind: object, *_: object) -> None:
        if kind:
            with contextlib.suppress(self.av.FFmpegError):  # the film is given up
                self.container.close()


def _tick(time_base: Fraction | None, encoder: str, seconds: float) -> Fraction:
    """Return the seconds of a tick of the new film: the old one's, as far as encoder and muxer
    allow.
    """
    finest = min(_FINEST.get(encoder, _FINE), max(1, int(_LONGEST / max(1, seconds))))
    if not time_base or time_base < Fraction(1, finest):
        return Fraction(1, finest)
    return time_base.limit_denominator(finest)
