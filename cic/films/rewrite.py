"""Films through PyAV: each frame painted anew, sound and time as they were, in constant memory.

Film -> frames, (H, W, 3) uint8 sRGB, upright -> `paint` -> film of the same timestamps
"""

import os
from collections.abc import Callable, Iterator
from typing import NoReturn

import numpy as np
from tqdm import tqdm

from cic.films import tracks
from cic.films.pyav import Pyav, VideoFrame
from cic.films.reader import Film, Frame
from cic.films.survey import Survey
from cic.films.tracks import CONTAINERS, Plan
from cic.films.writer import Writer
from cic.photos.images import PhotoError
from cic.system import files
from cic.system.arrays import Bytes

_NAMED = 3  # joints that are named


def rewrite(
    source: str, target: str, paint: Callable[[Bytes], Bytes], deinterlace: bool = False
) -> int:
    """Write the film `source` to `target`, atomically, each frame painted by `paint`.

    `paint` takes every frame in order, (H, W, 3) uint8 sRGB, upright, and returns the same. Sound,
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
            frames = _copy(film, writer, paint)
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
    """A sentence on where the film's clock jumps."""
    joints = survey.clock.joints()
    if joints:
        places = ", ".join(map(_clock_time, joints[:_NAMED]))
        more = f" and {len(joints) - _NAMED} more" if len(joints) > _NAMED else ""
        yield f"its clock jumps at {places}{more} (joined recordings?): time goes on there"


def _rest(survey: Survey) -> Iterator[str]:
    """A sentence on a second film in the file, which libavformat does not read."""
    if survey.rest:
        share = survey.rest / survey.file.size
        yield f"its last {share:.0%} are no part of this film (joined files?) and are not coloured"


def _clock_time(seconds: float) -> str:
    minutes, seconds = divmod(seconds, 60)
    return f"{int(minutes // 60)}:{int(minutes % 60):02}:{seconds:05.2f}"


def _scanning(film: Film, writer: Writer) -> Iterator[str]:
    """A sentence on fields, two half pictures a frame, that a film may be made of."""
    if film.weave:
        if film.weave.which == "all":
            yield "says that it is not interlaced; all of its frames are deinterlaced nevertheless"
    elif writer.interlaced:
        yield "interlaced, and kept so; --deinterlace makes whole pictures of its fields"
    elif film.interlaced:
        yield "interlaced, which the result cannot say: --deinterlace takes the combs off its edges"


def _copy(film: Film, writer: Writer, paint: Callable[[Bytes], Bytes]) -> int:
    frames, rgb = 0, None
    with tqdm(total=film.count, unit="frame", leave=False) as bar:
        for item in film.items():
            if isinstance(item, Frame):
                frames += 1
                if rgb is None or not item.again:
                    rgb = _painted(film, item.image, frames, paint)
                writer.write(rgb, item)
                bar.update()
            else:
                writer.pass_on(item)
    writer.finish()
    return frames


def _painted(film: Film, image: VideoFrame, number: int, paint: Callable[[Bytes], Bytes]) -> Bytes:
    """A frame as `paint` returns it; raises PhotoError if that is no picture of its size."""
    pixels = film.pixels(image)
    try:
        rgb = paint(pixels)
    except PhotoError as error:
        raise PhotoError(f"{film.path!r}: frame {number}: {error}") from None
    if rgb.dtype != np.uint8 or rgb.shape != pixels.shape:
        raise PhotoError(f"{film.path!r}: frame {number}: painted as {rgb.dtype} {rgb.shape}")
    return rgb


def _pyav(source: str) -> Pyav:
    try:
        import av
    except ImportError:
        raise PhotoError(f"{source!r}: a film: pip install av reads it") from None
    return av
