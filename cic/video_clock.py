"""One time for a whole film, also where its clock jumps: at the joints of joined recordings.

Packets -> `Clock.note`, all of them once -> `Clock.settle` -> `Clock.shift`: the seconds to take
from the time of each packet.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass, field

PAUSE = 10.0  # seconds without any packet that are still a pause: dts_delta_threshold of FFmpeg
# Formats whose frames carry no time that a recorder counts (MP4, MKV, AVI ...) do not jump by
# nature. There a picture may be shown long, and times are guessed where frames are out of order.
STILL = 300.0
BACK, GUESSED_BACK = 0.1, 1.0  # seconds that a track may go back, by rounding or by guessing


class Guesses:
    """Callable: packet of PyAV, whose times are put right where libavformat guesses across a joint.

    Where a format stores one of the two times it guesses the other by the packets around, and no
    decoder waits for seconds: MPEG has the time of decoding, Matroska that of showing.
    """

    def __init__(self, jumps):
        self.jumps, self.waits = jumps, {}

    def __call__(self, packet):
        if packet.pts is None or packet.dts is None:
            return
        number, wait = packet.stream_index, packet.pts - packet.dts
        if abs(wait * (packet.time_base or 0)) < PAUSE:
            self.waits[number] = wait
        elif self.jumps:
            packet.pts = packet.dts + self.waits.get(number, 0)
        else:
            packet.dts = packet.pts


@dataclass
class _Part:
    """One recording: where it begins in the file, and its times by its own clock, seconds."""

    position: float  # bytes
    start: float = math.inf
    end: float = -math.inf
    now: float = 0.0
    shift: float = 0.0


@dataclass
class _Track:
    part: int = 0
    passed: int = 0  # the newest joint that its packets lie behind
    count: int = 0
    last: float | None = None
    end: float = -math.inf
    entries: list = field(default_factory=lambda: [0])  # packet with which each part begins
    parts: list = field(default_factory=lambda: [0])


class Clock:
    """Find the joints of a film, and the time that goes on across them.

    `jumps` says whether the format's times are those of a recorder's clock (MPEG, MPEG-TS, Ogg),
    `counts_on` whether only some of its tracks may jump.
    A joint is where a track goes back, or where for a while nothing comes at all. Tracks pass it
    one after the other, so it is kept as a place in the file.
    """

    def __init__(self, jumps, counts_on=False):
        self.counts_on = counts_on
        self.pause, self.back = (PAUSE, BACK) if jumps else (STILL, GUESSED_BACK)
        self.parts, self.tracks = [_Part(-math.inf)], {}

    def note(self, number, position, decoded, shown, length, steady=True):
        """Note a packet of track `number`: its byte in the file or None, and its times, seconds.

        `decoded` and `shown` may be None. A track that is not `steady` (subtitles, covers) says
        nothing of the clock.
        """
        track = self.tracks.setdefault(number, _Track())
        time = shown if decoded is None else decoded
        part = self._part_of(track, position, time, steady)
        if part != track.part:
            track.entries.append(track.count)
            track.parts.append(part)
            track.part, track.end = part, -math.inf
        track.count += 1
        if time is None:
            return
        shown = time if shown is None else shown
        track.last = time
        track.end = max(track.end, shown + length)
        if steady and track.part == track.passed:
            part = self.parts[part]
            part.now = time
            part.start, part.end = min(part.start, shown), max(part.end, shown + length)

    def _part_of(self, track, position, time, steady):
        """The part of a packet: that of its place in the file, unless its time says otherwise."""
        newest = len(self.parts) - 1
        if position is not None:
            place = position
        else:
            place = -math.inf if steady and track.count else math.inf
        before = track.passed
        while track.passed < newest and place >= self.parts[track.passed + 1].position:
            track.passed += 1
        if track.passed > before and not self._goes_on(track, time):
            return track.passed
        if not steady or time is None or not self._is_jump(track, time):
            return track.part
        if track.passed < newest and abs(time - self.parts[newest].now) < PAUSE:
            track.passed = newest
            if position is not None:
                self.parts[newest].position = min(self.parts[newest].position, position)
            return newest
        self.parts.append(_Part(math.inf if position is None else position))
        track.passed = newest + 1
        return newest + 1

    def _goes_on(self, track, time):
        """Whether a track's time goes on behind a joint: libavformat counts on for Ogg's sound."""
        if not self.counts_on or time is None or track.last is None:
            return False
        return abs(time - track.end) < BACK

    def _is_jump(self, track, time):
        if track.last is None:
            return False
        latest = max(track.end, self.parts[track.part].end)
        return time < track.last - self.back or time > latest + self.pause

    def settle(self):
        """Set every part's shift, once all packets are noted: each begins where the last ends.

        A film that begins late, as broadcasts do, begins at 0.
        """
        first = self.parts[0]
        first.shift = max(0.0, first.start) if math.isfinite(first.start) else 0.0
        end = max(0.0, first.end - first.shift)
        for part in self.parts[1:]:
            if math.isfinite(part.start):
                part.shift = part.start - end
                end = part.end - part.shift

    def joints(self):
        """Seconds of the film at which the recordings after the first begin."""
        return [
            max(0.0, part.start - part.shift)
            for part in self.parts[1:]
            if math.isfinite(part.start)
        ]

    def end(self):
        """Seconds of the film at which its last packet ends."""
        ends = [part.end - part.shift for part in self.parts if math.isfinite(part.end)]
        return max(ends, default=0.0)

    def shift(self, number, count):
        """Seconds to take from the times of packet `count` of track `number`."""
        track = self.tracks.get(number)
        if track is None:
            return self.parts[0].shift
        return self.parts[track.parts[bisect_right(track.entries, count) - 1]].shift
