"""Read films through PyAV: their frames upright and in sRGB, their other tracks as packets."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple, TypeAlias

import numpy as np

from cic.films.pyav import Codec, Graph, Packet, Pyav, VideoFrame
from cic.films.survey import DAY, Survey, Track, film_errors, is_end, is_header, opened, ticks_long
from cic.photos import images
from cic.photos.images import PhotoError
from cic.system import threads as computing
from cic.system.arrays import Bytes

_LIMITED, _UNTAGGED = 1, 2  # libavutil's AVCOL_RANGE_MPEG; ITU-T H.273's matrix of no name
_HD = 720  # rows from which on players take untagged films for BT.709
_RATE = 25  # frames a second, of films that do not say
_RATES = 1, 1000  # frames a second that are taken for true
_IN_WORK = 4 * 3840 * 2160  # pixels of the frames that threads work on at a time
_ALIGNED = 1.25  # times the pixels of a frame: libavcodec counts what its rows are filled up to
_PEEK = 5  # frames: the first of a tape is often a whole picture, black
Matrix: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
_LEAST = 4  # rows of a frame that bwdif takes
# Byte of limited range, 16 to 235, -> of full range.
_FULL_RANGE = np.rint(np.clip((np.arange(256) - 16) / 219, 0, 1) * 255).astype(np.uint8)


class Frame(NamedTuple):
    """A frame of a film, the time at which it is shown, and for how long, seconds."""

    image: VideoFrame
    time: Fraction | None  # None: the film does not say
    length: Fraction
    again: bool = False  # it is the frame before, shown once more


class Film:
    """A film to read, with what its result needs: a context manager.

    `survey` is its Survey, `track` the track to read. A pixel of its frames takes `costs` times the
    memory of a photo's, so its frames may have fewer pixels by that factor. With `deinterlace`
    bwdif of FFmpeg makes every frame whole.
    """

    def __init__(
        self, av: Pyav, survey: Survey, track: Track, costs: float, deinterlace: bool = False
    ) -> None:
        self.av, self.path, self.survey = av, survey.path, survey
        self.early: list[Frame | Packet] = []
        limit = images.pixel_limit()
        self.costs, self.most = costs, limit and limit / costs
        self.index, self.count = track.index, track.count
        self.weave = _Deinterlacer(av) if deinterlace else None
        self.guesses = survey.new_guesses()
        self.counts: dict[int, int] = {}
        self.repeats: list[Frame] = []
        self.shown: Frame | None = None
        self.interlaced = False  # so far

    def __enter__(self) -> "Film":
        self.container = opened(self.av, self.path)
        try:
            self._begin()
        except BaseException:
            self.container.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def _begin(self) -> None:
        """Read up to the first frame: it alone has the size, and how it is turned."""
        with film_errors(self.av, self.path, "cut off or damaged: "):
            self.video = self.container.streams[self.index]
            self.others = [s for s in self.container.streams if s.type in ("audio", "subtitle")]
        if self.video.codec_context is None:
            raise PhotoError(f"{self.path!r}: FFmpeg has no decoder for its pictures here")
        self._refuse_too_large(self.video.width, self.video.height)
        self._prepare(self.video.codec_context)
        self.rest = self._read()
        first = self._peek()
        self.width, self.height = first.width, first.height
        self.matrix = _display_matrix(first)
        rate = self.video.guessed_rate or _RATE
        self.rate = rate if _RATES[0] <= rate <= _RATES[1] else _RATE

    def _prepare(self, context: Codec) -> None:
        """Bound what the decoder takes: each of its threads has frames of its own."""
        context.thread_type = "AUTO"
        context.thread_count = threads(self.video.width * self.video.height)
        if self.most:
            most = int(self.most * _ALIGNED) + 1
            context.options = {**context.options, "max_pixels": str(most)}

    def _peek(self) -> VideoFrame:
        """Return the first frame; a few more are read to see how they are scanned."""
        frames = []
        for item in self.rest:
            self.early.append(item)
            if isinstance(item, Frame):
                frames.append(item.image)
                if len(frames) == _PEEK:
                    break
        if not frames:
            raise PhotoError(f"{self.path!r}: there is no frame in it")
        return frames[0]

    def _refuse_too_large(self, width: int, height: int) -> None:
        pixels = width * height
        if self.most and pixels > self.most:
            raise PhotoError(
                f"{self.path!r}: frames of {pixels:,} pixels; one may have {self.most:,.0f} here: "
                f"max_pixels {math.ceil(pixels * self.costs)} allows them"
            )

    def items(self) -> Iterator[Frame | Packet]:
        """Yield Frames, and packets of the other tracks, in the order of the file.

        Their times begin at 0 and go on across the joints of joined recordings.
        """
        yield from self.early
        self.early = []
        yield from self.rest

    def _read(self) -> Iterator[Frame | Packet]:
        with film_errors(self.av, self.path, "cut off or damaged: "):
            for packet in self.container.demux([self.video, *self.others]):
                if is_end(packet) or is_header(packet.stream, packet):
                    continue
                self._set_time(packet)
                tick = packet.time_base
                if packet.stream is not self.video:
                    if packet.size:
                        yield packet
                elif packet.size:
                    self.survey.file.check()
                    yield from self._frames(packet.decode())
                elif packet.pts is not None:  # "the frame before, once more", of Theora and AVI
                    time, length = packet.pts * tick, ticks_long(packet) * tick
                    self.repeats.append(Frame(None, time, length, True))
            yield from self._frames(self.video.codec_context.decode(None))
            if self.weave:
                yield from self._shown(self.weave.rest())
            yield from self._again(None)

    def _set_time(self, packet: Packet) -> None:
        self.guesses(packet)
        number = packet.stream_index
        count = self.counts[number] = self.counts.get(number, -1) + 1
        self.survey.clock.set_time(packet, number, count)

    def _frames(self, decoded: Iterable[VideoFrame]) -> Iterator[Frame]:
        for image in decoded:
            self._refuse_too_large(image.width, image.height)
            self.interlaced |= image.interlaced_frame
            image.time_base = image.time_base or self.video.time_base
            image.pts = self._stamp(image)
            yield from self._shown(self.weave(image) if self.weave else [image])

    def _shown(self, images: Iterable[VideoFrame]) -> Iterator[Frame]:
        for image in images:
            time = None if image.pts is None else image.pts * image.time_base
            if time is not None:
                yield from self._again(time)
            length = (image.duration or 0) * image.time_base
            self.shown = Frame(image, time, length if length <= DAY else Fraction(0))
            yield self.shown

    def _again(self, time: Fraction | None) -> Iterator[Frame]:
        """Yield what repeats the last frame before `time`; None: to the end of the film."""
        while self.repeats and (time is None or self.repeats[0].time < time):  # type: ignore[operator]
            repeat = self.repeats.pop(0)
            if self.shown:
                yield repeat._replace(image=self.shown.image)

    def _stamp(self, image: VideoFrame) -> int | None:
        """When a frame is shown, ticks of its time base; None if the film does not say."""
        out_of_order = self.container.format.name == "avi" and self.video.codec_context.has_b_frames
        return image.dts if out_of_order else image.pts  # AVI knows the order in the file alone

    def pixels(self, image: VideoFrame) -> Bytes:
        """Video frame -> (H, W, 3) uint8 sRGB, upright."""
        with film_errors(self.av, self.path, "damaged: "):
            untagged = image.colorspace == _UNTAGGED and image.height >= _HD
            rgb = image.reformat(
                self.width,
                self.height,
                "rgb24",
                src_colorspace="ITU709" if untagged else None,
            ).to_ndarray()
        if image.format.name.startswith("gray") and image.color_range == _LIMITED:
            rgb = _FULL_RANGE[rgb]  # libswscale takes every gray for full range
        return _upright(rgb, self.matrix)


class _Deinterlacer:
    """Callable: interlaced frame -> whole frames, none or one: bwdif waits for the next.

    If the first frame does not say that it is interlaced, all frames count as interlaced.
    """

    def __init__(self, av: Pyav) -> None:
        self.av: Pyav = av
        self.graph: Graph = None
        self.form: tuple[str, int, int] | None = None
        self.which: str | None = None

    def __call__(self, image: VideoFrame) -> list[VideoFrame]:
        if image.height < _LEAST:
            return [image]
        self.which = self.which or ("interlaced" if image.interlaced_frame else "all")
        form, done = (image.format.name, image.width, image.height), []
        if form != self.form:
            done, self.form, self.graph = self.rest(), form, self._made(image)
        self.graph.push(image)
        return done + self._pulled()

    def rest(self) -> list[VideoFrame]:
        """Return the frames still owed, at the end."""
        if self.graph is None:
            return []
        self.graph.push(None)
        return self._pulled()

    def _made(self, image: VideoFrame) -> Graph:
        graph = self.av.filter.Graph()
        graph.link_nodes(
            graph.add_buffer(
                width=image.width,
                height=image.height,
                format=image.format,
                time_base=image.time_base,
            ),
            graph.add("bwdif", f"mode=send_frame:deint={self.which}"),
            graph.add("buffersink"),
        )
        graph.configure()
        return graph

    def _pulled(self) -> list[VideoFrame]:
        images = []
        while True:
            try:
                images.append(self.graph.pull())
            except (self.av.error.BlockingIOError, self.av.error.EOFError):
                return images


def _display_matrix(image: VideoFrame) -> Matrix:
    """Return ((a, b), (c, d)): a frame's pixel (x, y) is shown at (a x + c y, b x + d y)."""
    for data in image.side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
            return (a, b), (c, d)
    return (1, 0), (0, 1)


def threads(pixels: int) -> int:
    """Return how many threads may work on frames of that many pixels."""
    return max(1, min(computing.total(), _IN_WORK // max(1, pixels)))


def is_sideways(matrix: Matrix) -> bool:
    """Return whether a frame's rows are shown as columns."""
    (a, b), _ = matrix
    return abs(b) > abs(a)


def _upright(rgb: Bytes, matrix: Matrix) -> Bytes:
    """Return (H, W, 3) as it is shown, turned by the nearest multiple of 90 degrees and
    mirrored.
    """
    (right, up), (other_up, down) = matrix
    if is_sideways(matrix):
        rgb, right, down = rgb.swapaxes(0, 1), other_up, up
    return np.ascontiguousarray(rgb[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])
