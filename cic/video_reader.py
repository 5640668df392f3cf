"""Films through PyAV, read: their frames upright and in sRGB, their other tracks as packets."""

import contextlib
import os

import numpy as np

from cic import images, tracks
from cic.images import PhotoError

# The only demuxers that may open a file: those of playlists open others, even from the network.
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg,mxf,dv,rm,nut"
)
_STATED = {"mov", "matroska", "avi"}  # demuxers whose files say how long they are
_SHORT = 1.0  # seconds that such a film may end before it says
_LIMITED, _UNTAGGED = 1, 2  # libavutil's AVCOL_RANGE_MPEG; ITU-T H.273's matrix of no name
_HD = 720  # rows from which on players take untagged films for BT.709
_RATE = 25  # frames a second, of films that do not say
# Byte of limited range, 16 to 235, -> of full range.
_FULL_RANGE = np.rint(np.clip((np.arange(256) - 16) / 219, 0, 1) * 255).astype(np.uint8)


@contextlib.contextmanager
def named(av, path, what=""):
    """Libav's errors in the block as one PhotoError that names the file."""
    try:
        yield
    except av.FFmpegError as error:
        raise PhotoError(f"{path!r}: {what}{error.strerror}") from None


class Film:
    """A film to read, and what its result has to know: a context manager."""

    def __init__(self, av, path):
        self.av, self.path, self.early = av, path, []

    def __enter__(self):
        _refuse_no_file(self.path)
        with named(self.av, self.path, "no film, cut off or damaged: "):
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
            if self.is_frame(item):
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

    def is_frame(self, item):
        """Whether one of the items is a video frame, and not a packet."""
        return isinstance(item, self.av.VideoFrame)

    def items(self):
        """Yield video frames, and packets of the other tracks, as they come in the file."""
        yield from self.early
        self.early = []
        yield from self.rest

    def _read(self):
        reading = named(self.av, self.path, "cut off or damaged: ")
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


def is_sideways(matrix):
    (a, b), _ = matrix
    return abs(b) > abs(a)


def _upright(rgb, matrix):
    """(H, W, 3) as it is shown, turned by the nearest multiple of 90 degrees and mirrored."""
    (right, up), (other_up, down) = matrix
    if is_sideways(matrix):
        rgb, right, down = rgb.swapaxes(0, 1), other_up, up
    return np.ascontiguousarray(rgb[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])
