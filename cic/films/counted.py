"""Time the packets of sound that an AVI counts in other units than it says.

An AVI has no times. It counts its sound in blocks or in bytes, and a header says how long a unit
is. FFmpeg's muxer gives the length of a block for G.722, G.726, E-AC-3, AMR and DFPWM, but its
demuxer counts their bytes: a second of G.726 would last 786. Bytes of Vorbis have no fixed length.
The decoded packets show their true length; as AVI knows no gaps, that also gives the time of the
next one.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from cic.films.pyav import Packet, Pyav, Stream

_TRIAL = 32  # packets of a track that are decoded to see whether its times are right
_NEAR = Fraction(1, 8)  # of a packet's length, that the next may come too early or too late
_TICK = Fraction(1, 1_000_000)


@dataclass
class Count:
    """Callable: give each packet of a track, from the first to the last, its true time and
    length.
    """

    ends: Sequence[int]  # ticks at which each packet ends

    def __call__(self, packet: Packet, number: int) -> None:
        """Set the times of packet `number` of the track."""
        begin, end = (self.ends[min(max(0, n), len(self.ends) - 1)] for n in (number, number + 1))
        packet.time_base = _TICK
        packet.pts = packet.dts = begin
        packet.duration = end - begin


@dataclass
class _Heard:
    """The decoded length of a track: `ends` has its beginning and the end of each packet, ticks."""

    tick: Fraction
    ends: "array[int]" = field(default_factory=lambda: array("q"))
    seconds: Fraction = Fraction(0)
    last: tuple[Fraction, Fraction] | None = None  # when a packet begins as it says, and its length
    longest: Fraction = Fraction(0)
    steps: int = 0
    wrong: int = 0  # of the steps from a packet to the next

    @property
    def is_wrong(self) -> bool:
        """Whether most of its times are wrong, and not a few for damage."""
        return 2 * self.wrong > self.steps

    @property
    def is_right(self) -> bool:
        """Whether the times of the trial were those that are heard."""
        return len(self.ends) > _TRIAL and not self.is_wrong

    def add(self, packet: Packet, seconds: Fraction | None) -> None:
        """Add the next packet, which lasts for `seconds`; None: it is damaged."""
        said = (packet.dts or 0) * self.tick
        if not self.ends:
            self.seconds = said
            self.ends.append(round(said / _TICK))
        if self.last and packet.dts is not None:
            begin, length = self.last
            self.steps += 1
            self.wrong += abs(said - begin - length) > _NEAR * length
        self.last = (said, seconds) if seconds and packet.dts is not None else None
        self.longest = max(self.longest, seconds or Fraction(0))
        self.seconds += self.longest if seconds is None else seconds
        self.ends.append(round(self.seconds / _TICK))


def counts(av: Pyav, tracks: Sequence[Stream], packets: Iterable[Packet]) -> dict[int, Count]:
    """Return {index: Count} of those `tracks` of sound whose packets, in the order of the file,
    lie.
    """
    heard = {s.index: _Heard(s.time_base or Fraction(0)) for s in tracks if s.codec_context}
    for packet in packets:
        track = heard.get(packet.stream_index)
        if track and not track.is_right:
            track.add(packet, _seconds(av, packet))
            if all(track.is_right for track in heard.values()):
                break
    return {index: Count(track.ends) for index, track in heard.items() if track.is_wrong}


def _seconds(av: Pyav, packet: Packet) -> Fraction | None:
    """Return how long the sound of a packet is; None of a damaged one."""
    try:
        frames = packet.decode()
    except av.FFmpegError:
        return None
    return sum((Fraction(f.samples, f.sample_rate) for f in frames if f.sample_rate), Fraction(0))
