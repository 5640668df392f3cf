"""Films through PyAV: each frame painted anew, sound and time as they were, in constant memory.

Film -> frames, (H, W, 3) uint8 sRGB, upright -> `paint` -> film of the same timestamps
"""

import os

from tqdm import tqdm

from cic.files import replacing
from cic.images import PhotoError
from cic.video_reader import Film
from cic.video_writer import KEPT, Writer


def rewrite(source, target, paint):
    """Write the film `source` to `target`, atomically, each frame painted by `paint`.

    `paint` takes every frame in order, (H, W, 3) uint8 sRGB, upright, and returns the same. Sound,
    subtitles, chapters, tags, timestamps and pixel aspect are kept. Returns the number of frames.
    Raises PhotoError if the film cannot be read to its end or not be written.
    """
    av = _pyav(source)
    if os.path.splitext(target)[1].lower() not in KEPT:
        raise PhotoError(f"{target!r}: a film can be written as {', '.join(KEPT)}")
    try:
        with (
            Film(av, source) as film,
            replacing(target) as fresh,
            Writer(av, fresh, target, film) as writer,
        ):
            return _copy(film, writer, paint)
    except OSError as error:
        raise PhotoError(f"{target!r}: cannot be written: {error.strerror or error}") from None


def _copy(film, writer, paint):
    frames = 0
    with tqdm(total=film.count, unit="frame", leave=False) as bar:
        for item in film.items():
            if film.is_frame(item):
                writer.write(paint(film.pixels(item)), item)
                frames += 1
                bar.update()
            else:
                writer.pass_on(item)
    writer.finish()
    return frames


def _pyav(source):
    try:
        import av
    except ImportError:
        raise PhotoError(f"{source!r}: a film: pip install av reads it") from None
    return av
