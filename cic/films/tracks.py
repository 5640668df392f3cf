"""Decide, by trying before the first frame, which tracks of a film go into another, and how.

Sound that the container's players know is copied, other sound encoded; what cannot go in is named.
"""

import io
from collections.abc import Sequence
from typing import NamedTuple

from cic.films import pyav
from cic.films.carry import Carrier, Copied, Encoded
from cic.films.pyav import Packet, Pyav, Stream
from cic.films.survey import Survey, Track, is_cover

_AS_LONG = 0.95  # of the longest: a first track that is the default has to be so long
COPY = "copy"


class Container(NamedTuple):
    """A format that films are written in."""

    muxer: str
    encoders: tuple[str, ...]  # of its pictures, the best first
    plays: frozenset[str] | None  # codecs that its players play; None: all that the muxer takes
    sound: str  # encoder of other sound
    costs: float  # times the memory that a pixel of a photo takes: see `reader`


_H264 = ("libx264", "mpeg4")
# Measured on frames of 8 to 33 megapixels, in bytes a pixel, all told: 45 and 90; a photo of the
# limit's size has 6.
_X264, _VP9 = 7.5, 15.0
# MP4 is what browsers, telephones and QuickTime have in common: AAC and MP3. Its muxer takes Vorbis
# under a private type, and AC-3, Opus, FLAC, ALAC, PCM, which some of them play and others do not.
_MP4 = frozenset({"aac", "mp3", "mov_text"})
# The sound that QuickTime's file format names, and what its player has learnt since.
_MOV = _MP4 | {"alac", "ac3", "eac3", "pcm_s8", "pcm_u8", "pcm_alaw", "pcm_mulaw", "adpcm_ima_qt"}
_MOV |= {
    f"pcm_{kind}{order}" for kind in ("s16", "s24", "s32", "f32", "f64") for order in ("le", "be")
}
_WEBM = frozenset({"opus", "vorbis", "webvtt"})  # the WebM container guidelines
# Extensions that results keep; other films become the first.
CONTAINERS = {
    ".mp4": Container("mp4", _H264, _MP4, "aac", _X264),
    ".m4v": Container("mp4", _H264, _MP4, "aac", _X264),
    ".mov": Container("mov", _H264, _MOV, "aac", _X264),
    ".mkv": Container("matroska", _H264, None, "aac", _X264),
    ".webm": Container("webm", ("libvpx-vp9",), _WEBM, "libopus", _VP9),
}


def choose(av: Pyav, survey: Survey) -> tuple[Track | None, str | None]:
    """Return (the Track to colour or None, a sentence on the others or None) of a survey.Survey.

    The default one, else the longest. Muxers mark the first as default by themselves: that counts
    only if it is about as long as the longest.
    """
    tracks = [
        track
        for track in survey.tracks.values()
        if track.stream.type == "video" and track.count and not is_cover(av, track.stream)
    ]
    if len(tracks) < 2:
        return next(iter(tracks), None), None
    longest = max(tracks, key=lambda track: (track.seconds, -track.index))
    marked = [t for t in tracks if t.stream.disposition & av.stream.Disposition.default]
    chosen, why = longest, "the longest"
    for track in marked[:1]:
        if track is not tracks[0] or track.seconds >= _AS_LONG * longest.seconds:
            chosen, why = track, "the default"
    number = tracks.index(chosen) + 1
    return chosen, (
        f"{len(tracks)} tracks of pictures: number {number} is coloured, {why} "
        f"({chosen.count} frames, {chosen.seconds:.1f} s), the others are left out"
    )


class Plan:
    """How each track but the pictures goes into a film of another `Container`.

    `how` is {index: COPY or an encoder}; `lines` says what is not copied.
    """

    def __init__(self, av: Pyav, survey: Survey, video: Stream, extension: str) -> None:
        self.av, self.survey, self.extension = av, survey, extension
        self.into = CONTAINERS[extension]
        self.how: dict[int, str] = {}
        self.lines: list[str] = []
        encoded: list[Track] = []
        late: list[Track] = []
        left_out: list[Track] = []
        covers: list[str] = []
        for track in survey.tracks.values():
            stream = track.stream
            if stream is video:
                continue
            how = self._decide(track, self.into)
            if how:
                self.how[stream.index] = how
            elif is_cover(av, stream):
                covers.append(_name(av, stream))
            elif stream.type != "video" and not _is_derived(av, stream, survey.container):
                left_out.append(track)
            if how not in (None, COPY):
                (encoded if track.early else late).append(track)
        codec = {"aac": "AAC", "libopus": "Opus"}[self.into.sound]
        self._say(encoded, f"encoded as {codec}, which players of {extension} files play")
        self._say(late, f"encoded as {codec}, as it begins late")
        self._say(left_out, f"left out, which players of {extension} files do not know")
        if covers:
            self.lines.append(f"{', '.join(covers)}: left out")

    def _say(self, tracks: Sequence[Track], what: str) -> None:
        if tracks:
            into = CONTAINERS[".mkv"]
            more = self.into is not into and any(self._decide(t, into) == COPY for t in tracks)
            names = ", ".join(_name(self.av, track.stream) for track in tracks)
            self.lines.append(f"{names}: {what}{'; a .mkv would keep more' if more else ''}")

    def _decide(self, track: Track, into: Container) -> str | None:
        """COPY, an encoder, or None: how a track goes into a Container."""
        stream = track.stream
        if stream.type not in ("audio", "subtitle") or stream.codec_context is None:
            return None
        codec = stream.codec_context.codec.canonical_name
        played = into.plays is None or codec in into.plays
        if played and track.early and self._holds(track, COPY, into):
            return COPY
        if stream.type == "audio" and self._holds(track, into.sound, into):
            return into.sound
        return None

    def carry(self, stream: Stream, container: pyav.Container, how: str) -> Carrier:
        """Return the Carrier that takes the packets of `stream` into `container`: see `carry`."""
        if how == COPY:
            return Copied(stream, container)
        form = self.survey.tracks[stream.index].form
        return Encoded(self.av, stream, container, how, form)  # type: ignore[arg-type]

    def _holds(self, track: Track, how: str, into: Container) -> bool:
        """Return whether a film in memory takes the track's header and first packets."""
        memory = io.BytesIO()
        try:
            with self.av.open(memory, "w", format=into.muxer) as container:
                carried = self.carry(track.stream, container, how)
                container.start_encoding()
                made = 0
                for number, packet in track.first:
                    for taken in carried(self._clone(track, number, packet)):
                        container.mux(taken)
                        made += 1
                for taken in carried.finish():
                    container.mux(taken)
                    made += 1
        except (self.av.FFmpegError, ValueError, ArithmeticError, LookupError, MemoryError):
            return False
        finally:
            if how != COPY and track.stream.codec_context.is_open:
                track.stream.codec_context.flush_buffers()
        return bool(made) or not track.first

    def _clone(self, track: Track, number: int, packet: Packet) -> Packet:
        """Return a packet anew, at its time in the film: muxers change what they are given."""
        clone = self.av.Packet(bytes(packet))
        clone.stream, clone.time_base = packet.stream, packet.time_base
        clone.pts, clone.dts, clone.duration = packet.pts, packet.dts, packet.duration
        self.survey.clock.set_time(clone, track.index, number)
        return clone


def _name(av: Pyav, stream: Stream) -> str:
    """Number, kind, codec and language of a track: "track 2 (audio, pcm_s16le, fra)"."""
    context, kind = stream.codec_context, stream.type
    if kind == "video":
        kind = "cover" if is_cover(av, stream) else "pictures"
    codec = context.codec.canonical_name if context else getattr(stream, "name", None)
    parts = [kind, codec, stream.metadata.get("language")]
    said = ", ".join(part for part in parts if part and part != "und")
    return f"track {stream.index + 1} ({said})"


def _is_derived(av: Pyav, stream: Stream, container: pyav.Container) -> bool:
    """Return whether a track only says what is kept elsewhere: chapters, or the timecode as a
    tag.
    """
    if stream.type != "data":
        return False
    timecode = any("timecode" in s.metadata for s in container.streams.video)
    return bool(container.chapters()) or timecode
