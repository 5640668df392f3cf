"""Give a whole film one time, also where its clock jumps: at the joints of joined recordings.

Packets -> `Clock.note`, all of them once -> `Clock.settle` -> `Clock.set_time`, again for each.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cic.films.counted import Count
from cic.films.pyav import Packet

PAUSE = 10.0  # seconds without any packet that are still a pause: dts_delta_threshold of FFmpeg
# Formats whose frames carry no time that a recorder counts (MP4, MKV, AVI ...) do not jump by
# nature. There a picture may be shown long, and times are guessed where frames are out of order.
STILL = 300.0
BACK, GUESSED_BACK = 0.1, 0.5  # seconds that a track may go back, by rounding or by guessing
REORDERED = 16  # packets that may come before the first of which a time of decoding is guessed


class Guesses:
    """Callable: put right the times of a packet of PyAV where libavformat guesses across a joint.

    Where a format stores one of the two times, MPEG that of decoding, Matroska that of showing,
    libavformat guesses the other from the packets around. `counts` are of tracks that count in
    other units than they say: see `counted`.
    """

    def __init__(self, jumps: bool, counts: Mapping[int, Count]) -> None:
        self.jumps, self.counts = jumps, counts
        self.longest = PAUSE if jumps else STILL  # a picture of a slide show waits for others
        self.numbers = dict.fromkeys(counts, -1)
        self.waits: dict[int, int] = {}

    def __call__(self, packet: Packet) -> None:
        if count := self.counts.get(packet.stream_index):
            self.numbers[packet.stream_index] += 1
            count(packet, self.numbers[packet.stream_index])
        if packet.pts is None or packet.dts is None:
            return
        number, wait = packet.stream_index, packet.pts - packet.dts
        if abs(wait * (packet.time_base or 0)) < self.longest:
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


class _Packet(NamedTuple):
    position: int | None
    time: float | None
    shown: float | None
    length: float
    steady: bool


@dataclass
class _Track:
    part: int = 0
    passed: int = 0  # the newest joint that its packets lie behind
    count: int = 0
    first: float = math.inf  # time of showing, of the first packets the earliest
    last: float | None = None
    end: float = -math.inf
    waiting: _Packet | None = None
    entries: list[int] = field(default_factory=lambda: [0])  # packet with which each part begins
    parts: list[int] = field(default_factory=lambda: [0])
    wrong: set[int] = field(default_factory=set)  # packets whose times are damaged


class Clock:
    """Find the joints of a film, and the time that goes on across them.

    `jumps` says whether the format's times are those of a recorder's clock (MPEG, MPEG-TS, Ogg),
    `counts_on` whether only some of its tracks may jump: libavformat counts on for Ogg's sound. A
    joint is a place in the file where a track goes back in time, or where nothing comes for a
    while; tracks pass it one after the other. A single packet that is out of time is damaged and no
    joint.
    """

    def __init__(self, jumps: bool, counts_on: bool = False) -> None:
        self.jumps, self.counts_on = jumps, counts_on
        self.pause, self.back = (PAUSE, BACK) if jumps else (STILL, GUESSED_BACK)
        self.parts = [_Part(-math.inf)]
        self.tracks: dict[int, _Track] = {}

    def note(
        self,
        number: int,
        position: int | None,
        decoded: float | None,
        shown: float | None,
        length: float,
        steady: bool = True,
    ) -> None:
        """Note a packet of track `number`: its byte in the file or None, and its times, seconds.

        `decoded` and `shown` may be None. A track that is not `steady` (subtitles, covers) says
        nothing of the clock.
        """
        track = self.tracks.setdefault(number, _Track())
        time = shown if decoded is None else decoded
        if decoded is None and shown is not None and not self.jumps and track.count < REORDERED:
            time = track.first = min(track.first, shown)  # the second may be shown long after it
        waiting, track.waiting = track.waiting, _Packet(position, time, shown, length, steady)
        if waiting:
            self._place(track, waiting, time)

    def _place(self, track: _Track, packet: _Packet, following: float | None) -> None:
        """Find the part of a packet, given the time of the one that follows in its track."""
        number, time = track.count, packet.time
        track.count += 1
        if packet.steady and time is not None and self._is_wrong(track, time, following):
            time = None
        part, time = self._part_of(track, packet, time)
        if part != track.part:
            track.entries.append(number)
            track.parts.append(part)
            track.part, track.end = part, -math.inf
        if time is None:
            if packet.time is not None:
                track.wrong.add(number)
            return
        shown = time if packet.shown is None else packet.shown
        end = shown + packet.length
        track.last, track.end = time, max(track.end, end)
        if packet.steady and track.part == track.passed:
            own = self.parts[part]
            own.now, own.start, own.end = time, min(own.start, shown), max(own.end, end)

    def _part_of(
        self, track: _Track, packet: _Packet, time: float | None
    ) -> tuple[int, float | None]:
        """Return the part of a packet, and its time or None where that cannot be.

        It is the part of its place in the file, unless its time says otherwise.
        """
        if self._passes_joint(track, packet):
            return self._entered(track, packet, time)
        if not packet.steady or time is None or not self._is_jump(track, time):
            return track.part, time
        newest, position = len(self.parts) - 1, packet.position
        if track.passed < newest and abs(time - self.parts[newest].now) < PAUSE:
            track.passed = newest
            if position is not None:
                self.parts[newest].position = min(self.parts[newest].position, position)
            return newest, time
        self.parts.append(_Part(math.inf if position is None else position))
        track.passed = newest + 1
        return newest + 1, time

    def _passes_joint(self, track: _Track, packet: _Packet) -> bool:
        if packet.position is not None:
            place: float = packet.position
        else:
            place = -math.inf if packet.steady and track.count > 1 else math.inf
        before, newest = track.passed, len(self.parts) - 1
        while track.passed < newest and place >= self.parts[track.passed + 1].position:
            track.passed += 1
        return track.passed > before

    def _entered(
        self, track: _Track, packet: _Packet, time: float | None
    ) -> tuple[int, float | None]:
        """Return the part of a track's first packet behind a joint, and its time if that can be."""
        now = self.parts[track.passed].now
        if not packet.steady or time is None:
            return track.passed, time
        away = abs(time - now) > PAUSE
        if (away or self.counts_on) and self._goes_on(track, time):
            return track.part, time  # the joint was none of this track's
        if away:
            track.last = now
            return track.passed, None
        return track.passed, time

    def _goes_on(self, track: _Track, time: float) -> bool:
        return track.last is not None and track.last - self.back <= time < track.end + BACK

    def _is_jump(self, track: _Track, time: float) -> bool:
        if track.last is not None:
            return not self._follows(track, track.last, time)
        part = self.parts[track.part]  # such formats have their tracks side by side
        begun = self.jumps and part.end > part.start
        return begun and not part.start - PAUSE < time < part.end + PAUSE

    def _follows(self, track: _Track, before: float, time: float) -> bool:
        latest = max(before, track.end, self.parts[track.part].end)
        return before - self.back <= time <= latest + self.pause

    def _is_wrong(self, track: _Track, time: float, following: float | None) -> bool:
        """Return whether the time of a packet fits neither before nor after it, where these fit."""
        if following is None:
            part = self.parts[track.part]
            alone = track.last is None and part.end > part.start
            return alone and not part.start - STILL < time < part.end + STILL
        onward = time - self.back <= following <= time + self.pause
        if track.last is None:
            part = self.parts[track.part]  # what other tracks say
            fits = part.start - PAUSE < following < part.end + PAUSE
            return not onward and (time > following or fits)
        fits = onward and self._follows(track, track.last, time)
        return not fits and self._follows(track, track.last, following)

    def settle(self) -> None:
        """Set every part's shift, once all packets are noted: each begins where the last ends.

        A film that begins late, as broadcasts do, begins at 0.
        """
        for track in self.tracks.values():
            if track.waiting:
                self._place(track, track.waiting, None)
                track.waiting = None
        first = self.parts[0]
        first.shift = max(0.0, first.start) if math.isfinite(first.start) else 0.0
        end = max(0.0, first.end - first.shift)
        for part in self.parts[1:]:
            if math.isfinite(part.start):
                part.shift = part.start - end
                end = part.end - part.shift

    def joints(self) -> list[float]:
        """Return the seconds of the film at which the recordings after the first begin."""
        return [
            max(0.0, part.start - part.shift)
            for part in self.parts[1:]
            if math.isfinite(part.start)
        ]

    def end(self) -> float:
        """Return the seconds of the film at which its last packet ends."""
        ends = [part.end - part.shift for part in self.parts if math.isfinite(part.end)]
        return max(ends, default=0.0)

    def shift(self, number: int, count: int) -> float | None:
        """Return the seconds to take from the times of packet `count` of a track; None if they are
        damaged.
        """
        track = self.tracks.get(number)
        if track is None:
            return self.parts[0].shift
        if count in track.wrong:
            return None
        return self.parts[track.parts[bisect_right(track.entries, count) - 1]].shift

    def set_time(self, packet: Packet, number: int, count: int) -> None:
        """Give packet `count` of a track, one of PyAV, its time in the film, or none."""
        shift, tick = self.shift(number, count), packet.time_base
        if shift is None:
            packet.pts = packet.dts = None
        elif shift and tick:
            ticks = round(shift / tick)
            packet.pts, packet.dts = (
                None if time is None else time - ticks for time in (packet.pts, packet.dts)
            )
