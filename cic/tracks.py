"""The sound and subtitles of a film, taken over into another: copied, or, if need be, encoded."""

KINDS = ("audio", "subtitle")
_SOUND = {"webm": "libopus"}  # encoder by muxer, for sound that it cannot hold
_OTHERWISE = "aac"
_OPUS_RATE = 48000  # samples a second; RFC 6716 knows few others
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 8: "7.1"}


def take_over(source, container):
    """Callable: packet of stream `source` -> packets for `container`; None if it cannot hold it.

    The callable takes an empty packet at the end, as demuxers give it. Packets are copied where the
    container can hold their codec; other sound is decoded and encoded.
    """
    if source.codec_context is None:  # no decoder knows it
        return None
    if source.codec_context.name in container.supported_codecs:
        return _Copied(source, container)
    return _Encoded(source, container) if source.type == "audio" else None


class _Copied:
    def __init__(self, source, container):
        self.stream = container.add_stream_from_template(source)
        _describe(self.stream, source)

    def __call__(self, packet, offset):
        if not packet.size:
            return
        packet.dts = (packet.pts if packet.dts is None else packet.dts) - offset
        packet.pts -= offset
        packet.stream = self.stream
        yield packet


class _Encoded:
    def __init__(self, source, container):
        codec = _SOUND.get(container.format.name, _OTHERWISE)
        rate = _OPUS_RATE if codec == "libopus" else source.rate
        layout = _LAYOUTS.get(source.channels, source.layout.name)  # some files have no name for it
        self.stream = container.add_stream(codec, rate=rate, layout=layout)
        _describe(self.stream, source)

    def __call__(self, packet, offset):
        for frame in packet.decode():
            frame.pts = None if frame.pts is None else frame.pts - offset
            yield from self.stream.encode(frame)
        if not packet.size:
            yield from self.stream.encode(None)


def _describe(stream, source):
    """Language, title, and whether it is the default, a comment, for the deaf ..."""
    stream.metadata.update(source.metadata)
    stream.disposition = source.disposition.value  # PyAV 16 and 17.0 take no Disposition
