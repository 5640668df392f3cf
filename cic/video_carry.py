"""Packets of a film's sound and subtitles, carried into another film: copied, or encoded anew."""

from cic.video_survey import ticks_long
from cic.video_tags import describe

_OPUS_RATE = 48000  # samples a second; RFC 6716 knows few others
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 8: "7.1"}
# Bits a second and channel: Opus as Xiph recommends for music, AAC half as much again.
_BITS = {"aac": 96000, "libopus": 64000}


class Copied:
    """Callable: packet of the stream `source` -> packets for `container`, the same bytes.

    Raises what PyAV raises where the container cannot hold them.
    """

    damaged = 0

    def __init__(self, source, container):
        self.stream = container.add_stream_from_template(source)
        describe(self.stream, source)
        self.last = self.next = None

    def __call__(self, packet):
        """Yield the packet in ticks of the new film, later than the one before: muxers insist."""
        scale = packet.time_base / self.stream.time_base
        shown, decoded, length = packet.pts, packet.dts, round(ticks_long(packet) * scale)
        decoded = shown if decoded is None else decoded
        decoded = (self.next or 0) if decoded is None else round(decoded * scale)
        if self.last is not None:
            decoded = max(decoded, self.last + 1)
        shown = decoded if shown is None else max(round(shown * scale), decoded)
        self.last, self.next = decoded, decoded + length
        packet.stream, packet.time_base = self.stream, self.stream.time_base
        packet.pts, packet.dts, packet.duration = shown, decoded, length
        yield packet

    def finish(self):
        """Yield the packets still owed, at the end."""
        yield from ()


class Encoded:
    """Callable: packet of the sound `source` -> packets for `container`, decoded and encoded.

    Sound keeps its time: a gap, also one of `damaged` packets, becomes silence.
    """

    def __init__(self, av, source, container, codec):
        self.av, self.source, self.damaged = av, source, 0
        rate = _OPUS_RATE if codec == "libopus" else _rate(source.rate, av.Codec(codec, "w"))
        layout = _LAYOUTS.get(source.channels, source.layout.name)  # some files have no name for it
        self.stream = container.add_stream(codec, rate=rate, layout=layout)
        self.stream.bit_rate = _BITS[codec] * source.channels
        describe(self.stream, source)
        self.graph = self.form = None

    def __call__(self, packet):
        try:
            frames = packet.decode()
        except self.av.FFmpegError:
            self.damaged += 1
            return
        for frame in frames:
            frame.time_base = frame.time_base or self.source.time_base
            yield from self._encode(self._filtered(frame))

    def finish(self):
        """Yield the packets still owed, at the end."""
        try:
            frames = self.source.codec_context.decode(None)
        except self.av.FFmpegError:
            frames = []
        for frame in frames:
            frame.time_base = self.source.time_base
            yield from self._encode(self._filtered(frame))
        yield from self._encode(self._drained())
        yield from self.stream.encode(None)

    def _encode(self, frames):
        for frame in frames:
            yield from self.stream.encode(frame)

    def _filtered(self, frame):
        """A decoded frame -> frames as the encoder takes them; broadcasts change their kind."""
        form = frame.format.name, frame.layout.name, frame.layout.nb_channels, frame.sample_rate
        frames = []
        if form != self.form:
            frames += self._drained()
            self.graph, self.form = self._made(frame), form
        self.graph.push(frame)
        return frames + self._pulled()

    def _made(self, frame):
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

    def _drained(self):
        if self.graph is None:
            return []
        self.graph.push(None)
        frames, self.graph, self.form = self._pulled(), None, None
        return frames

    def _pulled(self):
        frames = []
        while True:
            try:
                frames.append(self.graph.pull())
            except (self.av.error.BlockingIOError, self.av.error.EOFError):
                return frames


def _rate(rate, codec):
    """The encoder's rate nearest to the sound's own, not below it if there is one."""
    known = codec.audio_rates or [rate]
    return min((r for r in known if r >= rate), default=max(known))
