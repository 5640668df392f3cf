"""Film -> film: each frame coloured as a photo is, its colours held still within each shot.

Frame -> lightness -> network -> distribution -> `Smoother` -> ab -> `Guide`, if there is a
reference -> `add_colour` -> frame

Up to the distribution several frames are worked on at once, each with one thread, so that the
result does not depend on the number of cores.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from PIL import Image

from cic.colorize import reference
from cic.colorize.colorizer import Colorizer, add_colour
from cic.colorize.hints import spread
from cic.colorize.reference import Guide
from cic.colorize.smoothing import SMOOTHING, Smoother
from cic.colour.distributions import softmax
from cic.colour.lab import lightness
from cic.films import rewrite
from cic.photos import stored
from cic.photos.images import PhotoError
from cic.system.addresses import is_address
from cic.system.arrays import Array, Bytes, Floats
from cic.system.typing import StrPath

Observer: TypeAlias = Callable[[Floats, Floats, Floats, bool], object]  # see Painter
UNLIKELY = 1e-30  # least probability whose logarithm is taken: float32 has it


class FrameFacts(NamedTuple):
    """What a frame shows by itself, whatever came before it.

    `light` is its lightness at the size that the network sees. `values` (n + 1, h, w) are the
    network's output in a form that can be averaged, and behind it the L of these cells. `edges` is
    that L or None (see `Colorizer.guide`), `ab` (h, w, 2) the network's colours if somebody
    observes.
    """

    light: Floats
    values: Floats
    edges: Floats | None
    ab: Floats | None


class Painter:
    """Callable: the next frame of a film, (H, W, 3) uint8 sRGB -> the same, coloured.

    A Colorizer colours the frames, and a smoothing.Smoother smooths them. Each is passed to
    `observe(light, plain, smooth, cut)`: its lightness at the size that the network sees, the ab
    (h, w, 2) without and with smoothing, and whether it begins a shot. With a reference.Guide shots
    follow coloured key frames.
    """

    def __init__(
        self,
        colorizer: Colorizer,
        smoothing: float = SMOOTHING,
        observe: Observer | None = None,
        guide: Guide | None = None,
    ) -> None:
        self.colorizer, self.smoother, self.observe = colorizer, Smoother(smoothing), observe
        self.guide = guide or Guide(colorizer)

    def look(self, rgb: Bytes) -> FrameFacts:
        """Return the FrameFacts of a frame, which do not depend on the frames before it."""
        image = Image.fromarray(rgb)
        light = lightness(self.colorizer.shrunk(image))
        says = self._averageable(self.colorizer.output(image))
        values = np.concatenate([says, self.colorizer.grid.sample(light)[None]])
        plain = self._ab(values) if self.observe else None
        return FrameFacts(light, values, self.colorizer.guide(values[-1]), plain)

    def __call__(self, rgb: Bytes, seen: FrameFacts | None = None) -> Bytes:
        light, values, edges, plain = seen or self.look(rgb)
        smooth, cut = self.smoother(values, light), self.smoother.cut
        told = self.guide(Image.fromarray(rgb), light, cut)
        ab = self._ab(smooth, told)
        if self.observe:
            if plain is None or told:
                plain = self._ab(values, told)
            self.observe(light, plain, ab, cut)
        return add_colour(rgb, ab, self.colorizer.grid, edges)

    def _averageable(self, output: Floats) -> Floats:
        """What the network says -> what has a mean: probabilities of logits, else itself."""
        if not self.colorizer.has_distribution:
            return output
        return softmax(output, axis=0)

    def _ab(self, values: Array, told: tuple[Array, Array] | None = None) -> Floats:
        """Return ab (h, w, 2) of `values`, see FrameFacts, with the cells that a Guide gave."""
        output, light, logits = values[:-1], values[-1], None
        if self.colorizer.has_distribution:
            output = logits = np.log(np.maximum(output, UNLIKELY))
        ab = self.colorizer.ab_of(output, light)
        return spread(ab, *told, light, logits) if told else ab


class FilmMeasure(Protocol):
    """Figures of a film, such as `metric.figures.flicker.FilmFigures`; `str` puts them in words."""

    shots: int

    def update(self, light: Floats, plain: Floats, smooth: Floats, cut: bool) -> object:
        """Add the next frame: see `Painter`."""


def film_worker(
    colorizer: Colorizer,
    smoothing: float = SMOOTHING,
    deinterlace: bool = False,
    references: Sequence[StrPath] = (),
    figures: Callable[[], FilmMeasure] | None = None,
) -> Callable[[str, str, Callable[[str], object]], None]:
    """Return a function that colorizes a film, of (source, target, say): see `jobs.Listing`.

    `references` are files of coloured key frames, which their shots follow. `say` gets a line on
    the result, with what `figures()` says of the film, and one on each reference that no frame
    resembled. Raises PhotoError for a reference that cannot be read.
    """
    opened = [reference.opened(path) for path in references]

    def work(source: str, target: str, say: Callable[[str], object]) -> None:
        measured, guide = figures() if figures else None, Guide(colorizer, opened)
        observe = measured.update if measured else None
        frames = colorize(colorizer, source, target, smoothing, observe, deinterlace, guide)
        more = f", {measured.shots} shots; {measured}" if measured else ""
        say(f"{target}: {frames} frames{more}")
        for one in guide.unused:
            say(f"{one.name}: no frame of {source!r} resembles it, so nothing follows it")

    return work


def colorize(
    colorizer: Colorizer,
    source: str,
    target: str,
    smoothing: float = SMOOTHING,
    observe: Observer | None = None,
    deinterlace: bool = False,
    guide: Guide | None = None,
) -> int:
    """Colorize the film `source` to `target`: the number of frames; see `Painter` and `video`.

    Raises PhotoError for an address.
    """
    if is_address(target):
        raise PhotoError(f"{source!r}: {stored.FILM}")
    painter = Painter(colorizer, smoothing, observe, guide)
    return rewrite.rewrite(source, target, painter, deinterlace, painter.look)
