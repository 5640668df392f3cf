"""Carry packets of a film's sound and subtitles into another film: copied, or encoded anew."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Protocol

from cic.films.pyav import AudioFrame, Codec, Container, Form, Graph, Packet, Pyav, Stream
from cic.films.survey import ticks_long
from cic.films.tags import describe

_OPUS_RATE = 48000  # samples a second; RFC 6716 knows few others
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 8: "7.1"}
# Bits a second and channel: Opus as Xiph recommends for music, AAC half as much again.
_BITS = {"aac": 96000, "libopus": 64000}
_GAP = Fraction(1, 2)  # seconds of silence that swresample may put in by itself
_PRIMING = Fraction(1, 10)  # seconds before its beginning that a decoder may need


class Carrier(Protocol):
    """Function that takes the packets of a track into another film, one after the other."""

    damaged: int

    def __call__(self, packet: Packet) -> Iterator[Packet]:
        """Yield the packets that go into the film for this one."""

    def finish(self) -> Iterator[Packet]:
        """Yield the packets still owed, at the end."""


class Copied:
    """Callable: packet of the stream `source` -> packets for `container`, the same bytes.

    Raises PyAV's errors where the container cannot hold them.
    """

    def __init__(self, source: Stream, container: Container) -> None:
        self.damaged = 0
        self.stream = container.add_stream_from_template(source)
        self.edits = container.format.name in ("mp4", "mov")  # they say from where on it is heard
        describe(self.stream, source)
        self.last: int | None = None
        self.next: int | None = None

    def __call__(self, packet: Packet) -> Iterator[Packet]:
        """Yield the packet in ticks of the new film, later than the one before: muxers insist."""
        scale = packet.time_base / self.stream.time_base
        shown, decoded, length = packet.pts, packet.dts, round(ticks_long(packet) * scale)
        if packet.is_discard and not self.edits and (shown or 0) * packet.time_base < -_PRIMING:
            return  # cut off by the edit list of the old film
        decoded = shown if decoded is None else decoded
        decoded = (self.next or 0) if decoded is None else round(decoded * scale)
        if self.last is not None:
            decoded = max(decoded, self.last + 1)
            if not length and packet.stream.type == "audio":  # MP4 shows nothing of a last one of 0
                length = decoded - self.last
        shown = decoded if shown is None else max(round(shown * scale), decoded)
        self.last, self.next = decoded, decoded + length
        packet.stream, packet.time_base = self.stream, self.stream.time_base
        packet.pts, packet.dts, packet.duration = shown, decoded, length
        yield packet

    def finish(self) -> Iterator[Packet]:
        """Yield the packets still owed, at the end."""
        yield from ()


class Encoded:
    """Callable: packet of the sound `source` -> packets for `container`, decoded and encoded.

    Its `form` is (samples a second, AudioLayout). Sound keeps its time: a gap, also one of
    `damaged` packets, becomes silence.
    """

    def __init__(
        self, av: Pyav, source: Stream, container: Container, codec: str, form: Form
    ) -> None:
        self.av, self.source, self.damaged = av, source, 0
        rate, layout = form
        rate = _OPUS_RATE if codec == "libopus" else _rate(rate, av.Codec(codec, "w"))
        channels = layout.nb_channels
        layout = _LAYOUTS.get(channels, layout.name)  # some files have no name for it
        self.stream = container.add_stream(codec, rate=rate, layout=layout)
        self.stream.bit_rate = _BITS[codec] * channels
        describe(self.stream, source)
        self.graph: Graph = None
        self.form: tuple[str, str, int, int] | None = None
        self.end: Fraction | None = None

    def __call__(self, packet: Packet) -> Iterator[Packet]:
        try:
            frames = packet.decode()
        except self.av.FFmpegError:
            self.damaged += 1
            return
        yield from self._encoded(frames)

    def finish(self) -> Iterator[Packet]:
        """Yield the packets still owed, at the end."""
        try:
            frames = self.source.codec_context.decode(None)
        except self.av.FFmpegError:
            frames = []
        yield from self._encoded(frames)
        for frame in self._drained():
            yield from self.stream.encode(frame)
        yield from self.stream.encode(None)

    def _encoded(self, frames: Iterable[AudioFrame]) -> Iterator[Packet]:
        for frame in frames:
            frame.time_base = frame.time_base or self.source.time_base
            for sound in (*self._silence(frame), frame):
                for taken in self._filtered(sound):
                    yield from self.stream.encode(taken)

    def _silence(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        """Yield silent frames up to one that comes late: swresample would make one of hours."""
        if frame.pts is None:
            return
        begin, length = frame.pts * frame.time_base, Fraction(frame.samples, frame.sample_rate)
        while self.end is not None and begin - self.end > _GAP:
            silent = self.av.AudioFrame(
                frame.format.name, frame.layout.name, frame.sample_rate // 4
            )
            for plane in silent.planes:
                level = b"\x80" if frame.format.name.startswith("u8") else b"\0"
                plane.update(level * plane.buffer_size)
            silent.sample_rate, silent.time_base = frame.sample_rate, frame.time_base
            silent.pts = round(self.end / frame.time_base)
            self.end += Fraction(silent.samples, silent.sample_rate)
            yield silent
        self.end = begin + length

    def _filtered(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        """A decoded frame -> frames as the encoder takes them; broadcasts change their kind."""
        form = frame.format.name, frame.layout.name, frame.layout.nb_channels, frame.sample_rate
        if form != self.form:
            yield from self._drained()
            self.graph, self.form = self._made(frame), form
        self.graph.push(frame)
        yield from self._pulled()

    def _made(self, frame: AudioFrame) -> Graph:
        graph, context = self.av.filter.Graph(), self.stream.codec_context
        graph.link_nodes(
            graph.add(
                "abuffer",
                sample_rate=str(frame.sample_rate),
                sample_fmt=frame.format.name,
                channel_layout=frame.layout.name,
                time_base=str(frame.time_base),
            ),
            graph.add("aresample", f"{context.sample_rate}:async=1"),
            graph.add(
                "aformat",
                sample_rates=str(context.sample_rate),
                sample_fmts=context.format.name,
                channel_layouts=context.layout.name,
            ),
            graph.add("abuffersink"),
        )
        graph.configure()
        return graph

    def _drained(self) -> Iterator[AudioFrame]:
        if self.graph is not None:
            self.graph.push(None)
            yield from self._pulled()
            self.graph = self.form = None

    def _pulled(self) -> Iterator[AudioFrame]:
        while True:
            try:
                yield self.graph.pull()
            except (self.av.error.BlockingIOError, self.av.error.EOFError):
                return


def _rate(rate: int, codec: Codec) -> int:
    """Return the encoder's rate nearest to the sound's own, not below it if there is one."""
    known = codec.audio_rates or [rate]
    return min((r for r in known if r >= rate), default=max(known))
