"""Paint each frame of a film anew and keep its sound and times, in constant memory.

Film -> frames, (H, W, 3) uint8 sRGB, upright -> `paint` -> film of the same timestamps
"""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple, NoReturn, TypeAlias

import numpy as np
from tqdm import tqdm

from cic.films import tracks
from cic.films.pyav import Packet, Pyav
from cic.films.reader import Film, Frame, threads
from cic.films.survey import Survey
from cic.films.tracks import CONTAINERS, Plan
from cic.films.writer import Writer
from cic.photos.images import PhotoError
from cic.system import files, pipeline
from cic.system import threads as computing
from cic.system.arrays import Bytes

_NAMED = 3  # joints that are named
Look: TypeAlias = Callable[[Bytes], Any]  # Any: whatever `paint` takes


def rewrite(
    source: str,
    target: str,
    paint: Callable[..., Bytes],
    deinterlace: bool = False,
    look: Look | None = None,
) -> int:
    """Write the film `source` to `target`, atomically, each frame painted by `paint`.

    `paint` takes every frame in order, (H, W, 3) uint8 sRGB, upright, and returns the same. If
    there is a `look`, frames are looked at before, several at once: `paint(rgb, look(rgb))`. Sound,
    subtitles, chapters, tags, timestamps and pixel aspect are kept; what cannot be is said in a
    line, before the first frame. `deinterlace` makes whole pictures of fields. Returns the number
    of frames. Raises PhotoError if the film cannot be read to its end or not be written.
    """
    av = _pyav(source)
    extension = os.path.splitext(target)[1].lower()
    if extension not in CONTAINERS:
        raise PhotoError(f"{target!r}: a film can be written as {', '.join(CONTAINERS)}")
    _check(target)
    try:
        with Survey(av, source) as survey:
            track, sentence = tracks.choose(av, survey)
            if track is None:
                _refuse_no_pictures(survey)
            plan = Plan(av, survey, track.stream, extension)
        _say(source, sentence, *_joints(survey), *_rest(survey), *plan.lines)
        with (
            Film(av, survey, track, plan.into.costs, deinterlace) as film,
            files.replacing(target) as fresh,
            Writer(av, fresh, target, film, plan) as writer,
        ):
            _say(source, *_scanning(film, writer))
            frames = _copy(film, writer, paint, look)
            _say(source, *writer.losses())
            return frames
    except OSError as error:
        raise PhotoError(f"{target!r}: cannot be written: {error.strerror or error}") from None


def _check(target: str) -> None:
    """Raise PhotoError before any work if `target` cannot be written; remove what a kill left."""
    try:
        files.check(target)
    except OSError as error:
        raise PhotoError(f"{target!r}: {str(error).removeprefix(f'{target}: ')}") from None


def _say(source: str, *lines: str | None) -> None:
    for line in filter(None, lines):
        tqdm.write(f"{source!r}: {line}")


def _refuse_no_pictures(survey: Survey) -> NoReturn:
    kinds = {track.stream.type for track in survey.tracks.values() if track.count}
    if "video" in kinds or "audio" in kinds:
        raise PhotoError(f"{survey.path!r}: there are no moving pictures in it")
    raise PhotoError(f"{survey.path!r}: cut off or damaged: there is nothing in it")


def _joints(survey: Survey) -> Iterator[str]:
    """Yield a sentence on where the film's clock jumps."""
    joints = survey.clock.joints()
    if joints:
        places = ", ".join(map(_clock_time, joints[:_NAMED]))
        more = f" and {len(joints) - _NAMED} more" if len(joints) > _NAMED else ""
        yield f"its clock jumps at {places}{more} (joined recordings?): time goes on there"


def _rest(survey: Survey) -> Iterator[str]:
    """Yield a sentence on a second film in the file, which libavformat does not read."""
    if survey.rest:
        share = survey.rest / survey.file.size
        yield f"its last {share:.0%} are no part of this film (joined files?) and are not coloured"


def _clock_time(seconds: float) -> str:
    minutes, seconds = divmod(seconds, 60)
    return f"{int(minutes // 60)}:{int(minutes % 60):02}:{seconds:05.2f}"


def _scanning(film: Film, writer: Writer) -> Iterator[str]:
    """Yield a sentence on fields, two half pictures a frame, that a film may be made of."""
    if film.weave:
        if film.weave.which == "all":
            yield "says that it is not interlaced; all of its frames are deinterlaced nevertheless"
    elif writer.interlaced:
        yield "interlaced, and kept so; deinterlace makes whole pictures of its fields"
    elif film.interlaced:
        yield "interlaced, which the result cannot say: deinterlace takes the combs off its edges"


class _Looked(NamedTuple):
    """A packet, or a frame with its pixels and what `look` gave, unless it comes `again`."""

    item: Frame | Packet
    number: int  # of the frame
    pixels: Bytes | None = None
    seen: tuple[Any, ...] = ()


def _copy(film: Film, writer: Writer, paint: Callable[..., Bytes], look: Look | None) -> int:
    frames = 0
    rgb: Bytes  # of the frame before, too, which may be shown again
    # of those that a worker has done with, some wait
    workers = min(computing.for_computation(), threads(pipeline.AHEAD * film.width * film.height))
    with (
        tqdm(total=film.count, unit="frame", leave=False) as bar,
        computing.batch_of(workers),
        closing(_looked(film, look, workers)) as looked,
    ):
        for one in looked:
            if isinstance(one.item, Frame):
                frames = one.number
                if one.pixels is not None:
                    rgb = _painted(film, one, paint)
                writer.write(rgb, one.item)
                bar.update()
            else:
                writer.pass_on(one.item)
    writer.finish()
    return frames


def _looked(film: Film, look: Look | None, workers: int) -> Generator[_Looked]:
    """Yield what there is in a film, in order, several frames being looked at at once."""

    def numbered() -> Iterator[_Looked]:
        number = 0
        for item in film.items():
            number += isinstance(item, Frame)
            yield _Looked(item, number)

    def looked(one: _Looked) -> _Looked:
        if not isinstance(one.item, Frame) or one.item.again:
            return one
        pixels = film.pixels(one.item.image)
        with _in_frame(film, one.number):
            return one._replace(pixels=pixels, seen=(look(pixels),) if look else ())

    return pipeline.ahead(looked, numbered(), workers)


@contextmanager
def _in_frame(film: Film, number: int) -> Iterator[None]:
    """A context whose PhotoErrors name the frame."""
    try:
        yield
    except PhotoError as error:
        raise PhotoError(f"{film.path!r}: frame {number}: {error}") from None


def _painted(film: Film, one: _Looked, paint: Callable[..., Bytes]) -> Bytes:
    """Return a frame as `paint` returns it; raise PhotoError if that is no picture of its size."""
    with _in_frame(film, one.number):
        rgb = paint(one.pixels, *one.seen)
    if rgb.dtype != np.uint8 or rgb.shape != one.pixels.shape:  # type: ignore[union-attr]
        raise PhotoError(f"{film.path!r}: frame {one.number}: painted as {rgb.dtype} {rgb.shape}")
    return rgb


def _pyav(source: str) -> Pyav:
    try:
        import av
    except ImportError:
        raise PhotoError(f"{source!r}: a film: pip install av reads it") from None
    return av
