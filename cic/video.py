"""Films through PyAV: each frame painted anew, sound and time as they were, in constant memory.

Film -> frames, (H, W, 3) uint8 sRGB, upright -> `paint` -> film of the same timestamps
"""

import contextlib
import os

import numpy as np
from tqdm import tqdm

from cic import images, tracks
from cic.files import replacing
from cic.images import PhotoError

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
# The only demuxers that may open a file: those of playlists open others, even from the network.
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg,mxf,dv,rm,nut"
)
_STATED = {"mov", "matroska", "avi"}  # demuxers whose files say how long they are
_SHORT = 1.0  # seconds that such a film may end before it says
_BT709, _LIMITED, _UNTAGGED = 1, 1, 2  # ITU-T H.273; the range is libavutil's AVCOL_RANGE_MPEG
_HD = 720  # rows from which on players take untagged films for BT.709
_FILE_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder")  # of the old file
_RATE = 25  # frames a second, of films that do not say


def target_name(name):
    """The name of a film's result: its own, or with another extension."""
    stem, extension = os.path.splitext(name)
    return name if extension.lower() in KEPT else stem + _OTHERWISE


def rewrite(source, target, paint):
    """Write the film `source` to `target`, atomically, each frame painted by `paint`.

    `paint` takes every frame in order, (H, W, 3) uint8 sRGB, upright, and returns the same. Sound,
    subtitles, chapters, tags, timestamps and pixel aspect are kept. Returns the number of frames.
    Raises PhotoError if the film cannot be read to its end or not be written.
    """
    av = _pyav(source)
    if os.path.splitext(target)[1].lower() not in KEPT:
        raise PhotoError(f"{target!r}: a film can be written as {', '.join(KEPT)}")
    try:
        with (
            _Film(av, source) as film,
            replacing(target) as fresh,
            _Writer(av, fresh, target, film) as writer,
        ):
            return _copy(film, writer, paint)
    except OSError as error:
        raise PhotoError(f"{target!r}: cannot be written: {error.strerror or error}") from None


def _copy(film, writer, paint):
    frames = 0
    with tqdm(total=film.count, unit="frame", leave=False) as bar:
        for item in film.items():
            if item.__class__.__name__ == "Packet":
                writer.pass_on(item)
                continue
            writer.write(paint(film.pixels(item)), item)
            frames += 1
            bar.update()
    writer.finish()
    return frames


def _pyav(source):
    try:
        import av
    except ImportError:
        raise PhotoError(f"{source!r}: a film: pip install av reads it") from None
    return av


@contextlib.contextmanager
def _named(av, path, what=""):
    """Libav's errors in the block as one PhotoError that names the file."""
    try:
        yield
    except av.FFmpegError as error:
        raise PhotoError(f"{path!r}: {what}{error.strerror}") from None


class _Film:
    """A film to read, and what its result has to know: a context manager."""

    def __init__(self, av, path):
        self.av, self.path, self.early = av, path, []

    def __enter__(self):
        _refuse_no_file(self.path)
        with _named(self.av, self.path, "no film, cut off or damaged: "):
            options = {"format_whitelist": _DEMUXERS}
            self.container = self.av.open(os.path.abspath(self.path), options=options)
        try:
            self._begin()
        except BaseException:
            self.container.close()
            raise
        return self

    def __exit__(self, *_):
        self.container.close()

    def _begin(self):
        """Read up to the first frame: it alone has the size, and how it is turned."""
        pictures = self.av.stream.Disposition.attached_pic  # covers
        videos = (s for s in self.container.streams.video if not s.disposition & pictures)
        self.video = next(videos, None)
        if not {"video", "audio"} & {s.type for s in self.container.streams}:
            raise PhotoError(f"{self.path!r}: cut off or damaged: there is nothing in it")
        if self.video is None:
            raise PhotoError(f"{self.path!r}: there are no moving pictures in it")
        self._refuse_too_large(self.video)
        self.video.thread_type = "AUTO"
        self.others = [s for s in self.container.streams if s.type in tracks.KINDS]
        self.ended = 0.0
        self.rest = self._read()
        for item in self.rest:
            self.early.append(item)
            if isinstance(item, self.av.VideoFrame):
                break
        else:
            raise PhotoError(f"{self.path!r}: there is no frame in it")
        self.width, self.height = item.width, item.height
        self.matrix = _display_matrix(item)
        self.rate = self.video.guessed_rate or _RATE
        length = (self.container.duration or 0) / self.av.time_base
        self.count = self.video.frames or round(length * self.rate) or None

    def _refuse_too_large(self, video):
        limit, pixels = images.pixel_limit(), video.width * video.height
        if limit and pixels > limit:
            raise PhotoError(
                f"{self.path!r}: frames of {pixels:,} pixels; --max_pixels allows {limit:,}"
            )

    def items(self):
        """Yield video frames, and packets of the other tracks, as they come in the file."""
        yield from self.early
        self.early = []
        yield from self.rest

    def _read(self):
        reading = _named(self.av, self.path, "cut off or damaged: ")
        with reading:
            for packet in self.container.demux([self.video, *self.others]):
                if packet.pts is not None:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    self.ended = max(self.ended, end)
                if packet.stream is self.video:
                    yield from packet.decode()
                else:
                    yield packet
        self._refuse_cut_off()

    def _refuse_cut_off(self):
        stated = _STATED & set(self.container.format.name.split(","))
        length = (self.container.duration or 0) / self.av.time_base
        if stated and self.ended < self.offset() + length - _SHORT:
            raise PhotoError(
                f"{self.path!r}: cut off: ends after {self.ended:.1f} of {length:.1f} s",
                "truncated",
            )

    def offset(self):
        """Seconds at which a film begins that does not begin at 0, as broadcasts do."""
        return max(0, self.container.start_time or 0) / self.av.time_base

    def stamp(self, frame):
        """When a frame is shown, ticks of its time base; None if the film does not say."""
        out_of_order = self.container.format.name == "avi" and self.video.codec_context.has_b_frames
        return frame.dts if out_of_order else frame.pts  # AVI knows the order in the file alone

    def pixels(self, frame):
        """Video frame -> (H, W, 3) uint8 sRGB, upright."""
        untagged = frame.colorspace == _UNTAGGED and frame.height >= _HD
        rgb = frame.reformat(
            self.width,
            self.height,
            "rgb24",
            src_colorspace="ITU709" if untagged else None,
        ).to_ndarray()
        if frame.format.name.startswith("gray") and frame.color_range == _LIMITED:
            rgb = _FULL_RANGE[rgb]  # libswscale takes every gray for full range
        return _upright(rgb, self.matrix)


# Byte of limited range, 16 to 235, -> of full range.
_FULL_RANGE = np.rint(np.clip((np.arange(256) - 16) / 219, 0, 1) * 255).astype(np.uint8)


def _refuse_no_file(path):
    """Raise PhotoError for what is no file, before libav waits for a pipe."""
    try:
        size = os.stat(path).st_size
    except OSError as error:
        raise PhotoError(f"{path!r}: {error.strerror}") from None
    if not os.path.isfile(path):
        raise PhotoError(f"{path!r}: not a regular file")
    if not size:
        raise PhotoError(f"{path!r}: the file is empty")


def _display_matrix(frame):
    """((a, b), (c, d)): a frame's pixel (x, y) is shown at (a x + c y, b x + d y)."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
            return (a, b), (c, d)
    return (1, 0), (0, 1)


def _is_sideways(matrix):
    (a, b), _ = matrix
    return abs(b) > abs(a)


def _upright(rgb, matrix):
    """(H, W, 3) as it is shown, turned by the nearest multiple of 90 degrees and mirrored."""
    (right, up), (other_up, down) = matrix
    if _is_sideways(matrix):
        rgb, right, down = rgb.swapaxes(0, 1), other_up, up
    return np.ascontiguousarray(rgb[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])


class _Writer:
    """The film to write, of the tracks of a _Film: a context manager."""

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
        return _named(self.av, self.target, "cannot be written: ")

    def _add_video(self, encoder):
        film, source = self.film, self.film.video
        self.video = self.container.add_stream(encoder, film.rate, options=_OPTIONS[encoder])
        self.video.metadata.update(source.metadata)
        context = self.video.codec_context
        height, width, aspect = film.height, film.width, source.sample_aspect_ratio
        if _is_sideways(film.matrix):
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
