"""Films through PyAV, written: frames encoded at their own times, other tracks taken over."""

import contextlib
import os

import numpy as np
from tqdm import tqdm

from cic import tracks
from cic.images import PhotoError
from cic.video_reader import is_sideways, named

# Extensions that results keep, with their muxers and encoders, the best first; others become MP4.
_H264 = ("libx264", "mpeg4")
KEPT = {
    ".mp4": ("mp4", _H264),
    ".m4v": ("mp4", _H264),
    ".mov": ("mov", _H264),
    ".mkv": ("matroska", _H264),
    ".webm": ("webm", ("libvpx-vp9",)),
}
_OTHERWISE = ".mp4"
_OPTIONS = {
    "libx264": {"crf": "18"},
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
    "mpeg4": {"flags": "+qscale", "global_quality": str(3 * 118)},  # libavutil's FF_QP2LAMBDA
}
_FINEST = {"mpeg4": 65535}  # ticks a second, where an encoder limits them
_BT709, _LIMITED = 1, 1  # ITU-T H.273; libavutil's AVCOL_RANGE_MPEG
_FILE_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder")  # of the old file


def target_name(name):
    """The name of a film's result: its own, or with another extension."""
    stem, extension = os.path.splitext(name)
    return name if extension.lower() in KEPT else stem + _OTHERWISE


class Writer:
    """The film to write, of the tracks of a video_reader.Film: a context manager."""

    def __init__(self, av, fresh, target, film):
        self.av, self.fresh, self.target, self.film = av, fresh, target, film
        self.last, self.durations = None, {}  # of the frames that the encoder still has

    def __enter__(self):
        muxer, encoders = KEPT[os.path.splitext(self.target)[1].lower()]
        encoder = next((e for e in encoders if e in self.av.codecs_available), None)
        if encoder is None:
            raise PhotoError(f"{self.target!r}: PyAV has no encoder {encoders[0]} here")
        options = {"movflags": "faststart"} if muxer in ("mp4", "mov") else {}
        with self._writing():
            self.container = self.av.open(self.fresh, "w", format=muxer, options=options)
            self._add_video(encoder)
            self._add_others()
            tags = self.film.container.metadata.items()
            self.container.metadata.update({k: v for k, v in tags if k not in _FILE_TAGS})
            self.container.set_chapters(self.film.container.chapters())
        return self

    def _writing(self):
        return named(self.av, self.target, "cannot be written: ")

    def _add_video(self, encoder):
        film, source = self.film, self.film.video
        self.video = self.container.add_stream(encoder, film.rate, options=_OPTIONS[encoder])
        self.video.metadata.update(source.metadata)
        context = self.video.codec_context
        height, width, aspect = film.height, film.width, source.sample_aspect_ratio
        if is_sideways(film.matrix):
            height, width, aspect = width, height, aspect and 1 / aspect
        context.width, context.height = width + width % 2, height + height % 2
        context.pix_fmt = "yuv420p"
        if aspect:
            context.sample_aspect_ratio = aspect
        finest = _FINEST.get(encoder, source.time_base.denominator)
        self.tick = source.time_base.limit_denominator(finest)
        self.video.time_base = context.time_base = self.tick
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED

    def _add_others(self):
        taken = {s.index: tracks.take_over(s, self.container) for s in self.film.others}
        self.others = {index: track for index, track in taken.items() if track}
        left_out = [s.type for s in self.film.others if s.index not in self.others]
        if left_out:
            kinds = ", ".join(sorted(set(left_out)))
            tqdm.write(f"{self.film.path!r}: left out what {self.target!r} cannot hold: {kinds}")

    def write(self, rgb, like):
        """Encode (H, W, 3) uint8 sRGB at the time of the video frame `like`."""
        height, width = rgb.shape[:2]
        if height % 2 or width % 2:  # each 2 x 2 pixels have one colour
            rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        frame = self.av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        frame.time_base, frame.pts = self.tick, self._time(like)
        self.durations[frame.pts] = round((like.duration or 0) * like.time_base / self.tick)
        with self._writing():
            self._encode(frame)

    def _encode(self, frame):
        for packet in self.video.encode(frame):
            packet.duration = self.durations.pop(packet.pts, 0)  # encoders do not pass it on
            self.container.mux(packet)

    def _time(self, frame):
        """Ticks at which a frame is shown: later than the one before."""
        stamp = self.film.stamp(frame)
        if stamp is not None:
            time = round((stamp * frame.time_base - self.film.offset()) / self.tick)
        elif self.last is None:
            time = 0
        else:
            time = self.last + round(1 / (self.film.rate * self.tick))
        self.last = time if self.last is None else max(time, self.last + 1)
        return self.last

    def pass_on(self, packet):
        """Take over a packet of another track, or leave it out."""
        track = self.others.get(packet.stream.index)
        if track:
            offset = round(self.film.offset() / packet.time_base) if packet.time_base else 0
            with self._writing():
                for taken in track(packet, offset):
                    self.container.mux(taken)

    def finish(self):
        with self._writing():
            self._encode(None)
            self.container.close()

    def __exit__(self, kind, *_):
        if kind:
            with contextlib.suppress(self.av.FFmpegError):  # the film is given up
                self.container.close()
