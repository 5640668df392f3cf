"""Survey a film before any frame is made: read every packet once, decode none.

So a film that was cut off is refused at once and not after hours, and the joints of its clock and
the lengths of its tracks are known.
"""

import contextlib
import errno
import os
import stat
import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from tqdm import tqdm

from cic.films import counted
from cic.films.clock import Clock, Guesses
from cic.films.pyav import Codec, Container, Form, Packet, Pyav, Stream
from cic.photos import images
from cic.photos.images import PhotoError

# The only demuxers that may open a file: those of playlists open others, even from the network.
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg,mxf,dv,rm,nut"
)
_JUMPING = {"mpeg", "mpegts", "ogg"}  # demuxers that libavformat flags AVFMT_TS_DISCONT
_STATED = {"mov", "matroska", "avi"}  # demuxers whose files say how long they are
_SHORT = 1.0  # seconds that such a film may end before it says
_ENDING = {"flv", "asf", "matroska"}  # demuxers that may stop at a joint, and add little at the end
_REST, _LEAST = 0.1, 1 << 14  # of a file, and bytes, behind the last packet: no index then
_SOUND = 60  # seconds: no packet of sound is longer; at joints libavformat counts below 0
DAY = 86400  # seconds: no picture is shown longer; MOV at libavformat's 10,000 ticks holds 2.5
_EVERY = 256  # packets between looks at the file's size
_TRIAL = 32  # packets of a track that are kept to try it: a decoder of sound says nothing before


@contextlib.contextmanager
def film_errors(av: Pyav, path: str, what: str = "") -> Iterator[None]:
    """Turn the errors of libav, and of PyAV over senseless numbers, into a PhotoError of `path`."""
    try:
        yield
    except PhotoError:
        raise
    except av.FFmpegError as error:
        damaged = error.errno == errno.EPERM  # decoders that return -1, whatever is wrong
        reason = "damaged data" if damaged else error.strerror
        raise PhotoError(f"{path!r}: {what}{reason}") from None
    except (ValueError, ArithmeticError, LookupError, MemoryError, NotImplementedError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PhotoError(f"{path!r}: {what}{reason}") from None


def opened(av: Pyav, path: str) -> Container:
    """Open a film to read: the container of PyAV. Raises PhotoError."""
    with film_errors(av, path, "no film, cut off or damaged: "):
        options = {"format_whitelist": _DEMUXERS}
        if limit := images.pixel_limit():
            options["max_pixels"] = str(limit)  # of the decoders
        # Tags are bytes of any encoding: see `tags`.
        return av.open(os.path.abspath(path), options=options, metadata_errors="surrogateescape")


class FilmFile:
    """A regular file that is not empty and stays as it is; raises PhotoError for another."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            found = os.stat(path)
        except (OSError, ValueError) as error:
            raise PhotoError(f"{path!r}: {getattr(error, 'strerror', None) or error}") from None
        if not stat.S_ISREG(found.st_mode):  # libav would wait for a pipe
            raise PhotoError(f"{path!r}: not a regular file")
        if not found.st_size:
            raise PhotoError(f"{path!r}: the file is empty")
        self.size = found.st_size

    def check(self) -> None:
        """Raise PhotoError if something writes into the file: its end would never come."""
        try:
            size = os.stat(self.path).st_size
        except OSError:  # its name is gone; what is open can be read to its end
            return
        if size != self.size:
            raise PhotoError(f"{self.path!r}: it changes while it is read; wait until it is whole")


@dataclass
class Track:
    """The survey of a stream: its packets, and the time in which it is shown, seconds by its own
    clock.

    Do not use the stream itself once the survey is over: PyAV's memory is gone.
    """

    stream: Stream
    index: int
    count: int = 0
    start: float = float("inf")
    end: float = float("-inf")
    first: list[tuple[int, Packet]] = field(default_factory=list)  # (number, packet), of sound
    form: Form | None = None  # samples a second and AudioLayout, of sound
    early: bool = True  # the form was known when the film was opened

    @property
    def seconds(self) -> float:
        return max(0.0, self.end - self.start) if self.count else 0.0


class Survey:
    """A film's file, tracks and clock: a context manager that keeps the film open for trials."""

    def __init__(self, av: Pyav, path: str) -> None:
        self.av, self.path, self.file = av, path, FilmFile(path)

    def __enter__(self) -> "Survey":
        self.container = opened(self.av, self.path)
        try:
            self._look()
            self._refuse_cut_off()
        except BaseException:
            self.container.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def _look(self) -> None:
        formats = set(self.container.format.name.split(","))
        self.jumps = bool(formats & _JUMPING)
        self.counts = self._counts() if "avi" in formats else {}
        self.clock, self.guesses = Clock(self.jumps, "ogg" in formats), self.new_guesses()
        self.stated, self.read = formats & _STATED, 0
        ending = bool(formats & _ENDING)
        with film_errors(self.av, self.path, "cut off or damaged: "):
            self.tracks = {s.index: Track(s, s.index) for s in self.container.streams}
            covers = {s.index for s in self.container.streams if is_cover(self.av, s)}
            steady = {
                index
                for index, track in self.tracks.items()
                if track.stream.type in ("video", "audio") and index not in covers
            }
            bar = tqdm(total=self.file.size, unit="B", unit_scale=True, leave=False, delay=1)
            with bar:
                for number, packet in enumerate(self.container.demux()):
                    if not number % _EVERY:
                        self.file.check()
                        bar.update(max(0, (packet.pos or 0) - bar.n))
                    self._note(packet, steady)
            self._hear()
        self.file.check()
        self.clock.settle()
        if "mov" in formats:
            self.rest = self.file.size - _first_film(self.path)
        else:
            rest = self.file.size - self.read
            self.rest = rest if ending and rest > max(_LEAST, _REST * self.file.size) else 0

    def _counts(self) -> dict[int, counted.Count]:
        with (
            film_errors(self.av, self.path, "cut off or damaged: "),
            opened(self.av, self.path) as trial,
        ):
            sound = trial.streams.audio
            packets = trial.demux(sound) if sound else ()
            return counted.counts(self.av, sound, (p for p in packets if not is_end(p)))

    def new_guesses(self) -> Guesses:
        """Return the Guesses for one reading of the film."""
        return Guesses(self.jumps, self.counts)

    def _note(self, packet: Packet, steady: Collection[int]) -> None:
        if is_end(packet):
            return
        track = self.tracks[packet.stream_index]
        if is_header(track.stream, packet):
            return
        self.guesses(packet)
        tick = float(packet.time_base or 0)
        self.read = max(self.read, (packet.pos or 0) + packet.size)
        length = ticks_long(packet) * tick
        times = packet.dts, packet.pts
        decoded, shown = (None if time is None else time * tick for time in times)
        index = packet.stream_index
        self.clock.note(index, packet.pos, decoded, shown, length, index in steady)
        if len(track.first) < _TRIAL and packet.size and track.stream.type == "audio":
            track.first.append((track.count, packet))
        track.count += 1
        time = decoded if shown is None else shown
        if time is not None:
            track.start = min(track.start, time)
            track.end = max(track.end, time + length)

    def _hear(self) -> None:
        """Set the form of every track of sound: of one that begins late, as its frames have it."""
        for track in self.tracks.values():
            context = track.stream.codec_context
            if track.stream.type != "audio" or context is None:
                continue
            track.form = context.sample_rate, context.layout
            track.early = all((context.sample_rate, context.layout.nb_channels))
            if not track.early:
                track.form = self._form(context, track.first) or track.form

    def _form(self, context: Codec, packets: Iterable[tuple[int, Packet]]) -> Form | None:
        """Return (samples a second, AudioLayout) of the first frame of sound; None if there is
        none.
        """
        found = None
        for _, packet in packets:
            with contextlib.suppress(self.av.FFmpegError):
                for frame in context.decode(packet):
                    found = found or (frame.sample_rate, frame.layout)
            if found:
                break
        if context.is_open:
            context.flush_buffers()
        return found

    def _refuse_cut_off(self) -> None:
        length = (self.container.duration or 0) / self.av.time_base
        start = (self.container.start_time or 0) / self.av.time_base
        if "matroska" not in self.stated:  # whose length counts from 0, wherever it begins
            length += max(0.0, start)
        ended = max((t.end for t in self.tracks.values() if t.count), default=0.0)
        if self.stated and ended < length - _SHORT:
            raise PhotoError(
                f"{self.path!r}: cut off: ends after {ended:.1f} of {length:.1f} s", "truncated"
            )


def is_cover(av: Pyav, stream: Stream) -> bool:
    """Return whether a stream is a picture that stands for the film, as its cover."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def is_end(packet: Packet) -> bool:
    """Return whether it is one of the packets that PyAV adds at the end, to flush decoders."""
    return packet.dts is None and packet.pts is None and not packet.size


def ticks_long(packet: Packet) -> int:
    """Return how long a packet lasts, ticks of its time base; 0 where that is unknown or
    senseless.
    """
    length, tick = max(0, packet.duration or 0), packet.time_base or 0
    most = _SOUND if packet.stream.type == "audio" else DAY
    return 0 if length * tick > most else length


def is_header(stream: Stream, packet: Packet) -> bool:
    """Return whether a packet is one of the headers that come again where Ogg films are joined.

    Theora's have the first bit set (its specification, 6.1), VP8's a name.
    """
    name = stream.codec_context.name if stream.codec_context else None
    if name not in ("theora", "vp8") or not packet.size:
        return False
    begin = bytes(packet)[:5]
    return bool(begin[0] & 0x80) if name == "theora" else begin == b"OVP80"


def _first_film(path: str) -> int:
    """Return the bytes of an MP4 or MOV file up to the film that another was joined to it, or
    all.
    """
    with open(path, "rb") as file:
        size, place, seen = os.fstat(file.fileno()).st_size, 0, set()
        while place + 8 <= size:
            file.seek(place)
            length, kind = struct.unpack(">I4s", file.read(8))
            if length == 1:  # ISO 14496-12, 4.2: then come 64 bits
                length = int.from_bytes(file.read(8), "big")
            if kind == b"ftyp" and b"moov" in seen:
                return place
            seen.add(kind)
            if length < 8:
                break
            place += length
        return size
