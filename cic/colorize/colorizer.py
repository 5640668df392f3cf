"""Photo -> photo: colours come from a small copy, the lightness is the photo's own at full size.

Photo -> `network_input` -> network -> logits -> `Decoding` -> ab -> `refine` -> `add_colour` ->
photo; a network of regression gives the ab themselves.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from cic.colorize import alternatives, uncertainty
from cic.colorize.enlarge import in_strips, resample
from cic.colorize.hints import Choice, Hint, cell_of, follow, likely
from cic.colorize.painting import Painting, along_edges
from cic.colorize.refine import refine
from cic.colorize.settings import DEFAULTS, GUIDED, Settings, refuse_idle
from cic.colour.grid import EVERY_FOURTH, STRIDE, Grid
from cic.colour.lab import lightness
from cic.networks import BINS, Network
from cic.photos import budget, images
from cic.photos.sheet import contact_sheet
from cic.system.arrays import Array, Bytes, Floats
from cic.system.errors import InputError

LONG = 4  # a photo longer than this many times its short side is shrunk to no more area
LONGEST = 32  # times `size`: the most that any side may have
COLUMN = 480  # pixels: width of a picture on the sheet of alternatives
AnyPhoto: TypeAlias = Array | Image.Image | images.Photo  # what a Colorizer takes
Kind: TypeAlias = int | str  # 1, 2 ..., SHEET or MAP
Tilt: TypeAlias = Sequence[float]  # (a, b) of an alternatives.Colouring
SHEET, MAP = "sheet", "map"  # kinds of pictures of a photo beside its colourings, 1, 2 ...


def network_size(
    height: int, width: int, size: float = 256, stride: int = STRIDE
) -> tuple[int, int]:
    """Return (height, width) at which the network sees a photo: short side about `size` pixels.

    Of the photo's shape, to within half of `stride` a side. Tiny photos are enlarged to it as well.
    To continue them in the mirror to 32 pixels was tried: of 15 of 5 to 28 pixels a side the
    colours then changed by 4.7 units of ab when a pixel was cropped, not 3.2.
    """
    short, long = sorted((height, width))
    scale = min(size / short, size * (LONG / (short * long)) ** 0.5)
    sides = (min(n * scale, LONGEST * size) for n in (height, width))
    return tuple(max(stride, round(side / stride) * stride) for side in sides)


class NotFinite(images.PhotoError):
    """A network gave infinity or NaN; the message names the weights."""


def finite(output: Floats, weights: str) -> Floats:
    """Return `output` of a network with these weights, (n, ...) float32; raise NotFinite if it is
    not.
    """
    if not np.isfinite(output).all():
        raise NotFinite(f"{weights}: what the network says of it is not finite: damaged weights?")
    return output


class Decoder:
    """Decoder of the output of `network`: ab, on the cells of a grid. It needs no weights."""

    def __init__(self, network: Network, settings: Settings = DEFAULTS) -> None:
        self.network, self.settings = network, settings
        self.stride = network.stride  # refuses a network that does not colorize

    @property
    def has_distribution(self) -> bool:
        """Whether the network gives probabilities of the 313 bins, and not one colour."""
        return self.network.predicts == BINS

    @property
    def grid(self) -> Grid:
        """How the cells of an output lie on what the network sees of a photo, an grid.Grid."""
        return Grid(self.stride, self.settings.target_mean)

    def ab_of(self, output: Floats, light: Floats) -> Floats:
        """Return ab (h', w', 2) float32, CIELAB units, of what the network puts out for a photo.

        `light` (h', w') is the L of its cells.
        """
        return self.refined(self.decoded(output), light)

    def decoded(self, output: Floats) -> Floats:
        """Return these ab as they are decoded, before the photo's lightness is asked."""
        if self.has_distribution:
            return self.settings.decoding(output)
        ab = self.network.unscale_ab(output).transpose(1, 2, 0)
        return ab * self.settings.decoding.saturation  # type: ignore[return-value]

    def refined(self, ab: Floats, light: Floats) -> Floats:
        """Return ab as they are decoded, made even and faded as the settings say: see `refine`."""
        settings = self.settings
        tint = settings.tint * settings.decoding.saturation  # which scales ab, and nothing else
        return refine(ab, light, settings.evenness, settings.fade, tint)


class Colorizer(Decoder):
    """Callable: photo, (H, W) or (H, W, 3) uint8 or a Pillow image -> (H, W, 3) uint8 sRGB.

    An images.Photo is taken too; one that is 16-bit gray gives (H, W, 3) uint16. `predict` runs
    `network` on (1, 1, h, w) float32; `weights` is the name of the weights in messages.
    """

    def __init__(
        self,
        network: Network,
        predict: Callable[[Floats], Floats],
        settings: Settings = DEFAULTS,
        weights: str = "the weights",
    ) -> None:
        super().__init__(network, settings)
        self.predict, self.weights = predict, weights

    def __call__(self, photo: AnyPhoto, hints: Sequence[Hint] = ()) -> Array:
        pixels, image = self._opened(photo)
        ab, light = self._coloured(image, hints)
        return add_colour(pixels, ab, self.grid, self.guide(light))

    def pictures(
        self, photo: AnyPhoto, count: int = 1, with_map: bool = False
    ) -> Iterator[tuple[Kind, Array]]:
        """Yield (kind, picture) of a photo as `__call__` takes it, from one run of the network.

        Kinds 1, 2 ... `count` are its most likely distinct colourings (see `alternatives`; there
        may be fewer), the first as `__call__` gives it. Of several SHEET shows all side by side,
        small. MAP is where the network is unsure (see `uncertainty`). Each is made when asked for.
        """
        if count == 1 and not with_map:
            yield 1, self(photo)
            return
        self.check_distribution("alternatives and uncertainty")
        pixels, image = self._opened(photo)
        logits, grid, light = self.output(image), self.grid, self.light(image)
        guide = self.guide(light)
        found = [
            one._replace(ab=self.refined(one.ab, light))
            for one in alternatives.most_likely(logits, count, self.settings.decoding)
        ]
        for number, colouring in enumerate(found, start=1):
            yield number, add_colour(pixels, colouring.ab, grid, guide)
        if count > 1:
            yield SHEET, _sheet(image, found, grid, guide)
        if with_map:
            bits = uncertainty.entropy(logits)
            yield MAP, uncertainty.draw(bits, image.height, image.width, grid)

    def painting(
        self, photo: images.Photo, hints: Sequence[Hint] = (), tilt: Tilt | None = None
    ) -> Painting:
        """Return the picture of an images.Photo, which it uses up: the colours, but no pixels yet.

        See `ab`.
        """
        ab, light = self._coloured(photo.base, hints, tilt)
        return Painting(photo, ab, self.grid, self.guide(light))

    def choices(self, photo: AnyPhoto, x: float, y: float, count: int = 6) -> list[Choice]:
        """Return the most probable colours of pixel (x, y) of a photo, see `hints.likely`.

        Raises hints.Outside for a place outside of the photo, InputError for a network that knows
        one colour.
        """
        self.check_distribution("choices")
        _, image = self._opened(photo)
        logits, light = self.output(image), self.light(image)
        row, column = cell_of(x, y, (image.height, image.width), light.shape)
        return likely(logits[:, row, column], float(light[row, column]), count)

    def check_distribution(self, what: str) -> None:
        """Raise InputError if the network gives one colour, so that there is nothing to choose."""
        if not self.has_distribution:
            raise InputError(
                f"{self.network} gives one colour a pixel: {what} need a network of 313 "
                "probabilities"
            )

    def but(self, **changes: Any) -> "Colorizer":
        """This Colorizer with changes of its settings, as `Settings.but` takes them."""
        refuse_idle(self.network, changes)
        return Colorizer(self.network, self.predict, self.settings.but(**changes), self.weights)

    def memory(self, width: int, height: int) -> float:
        """Return the bytes that it takes to run the network on a photo of that size, pixels."""
        multiple = self.network.multiple
        sides = network_size(height, width, self.settings.size, self.stride)
        return budget.network_bytes(self.network, *(side + -side % multiple for side in sides))

    def _opened(self, photo: AnyPhoto) -> tuple[Array, Image.Image]:
        """Return (pixels to colour, Pillow image of mode RGB) of a photo."""
        if isinstance(photo, images.Photo):
            return np.asarray(photo.rgb) if photo.deep is None else photo.deep, photo.rgb
        image = images.to_rgb(photo if isinstance(photo, Image.Image) else self._image(photo))
        return np.asarray(image), image

    @staticmethod
    def _image(array: ArrayLike) -> Image.Image:
        array = np.asarray(array)
        shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
        if array.dtype != np.uint8 or not shaped or not array.size:
            raise ValueError(
                f"a photo is (H, W) or (H, W, 3) uint8, not {array.shape} {array.dtype}"
            )
        return Image.fromarray(array)

    def shrunk(self, image: Image.Image, size: int | None = None) -> Bytes:
        """Return a Pillow image of mode RGB or L at a short side of `size`, (h, w, 3) uint8.

        By default at the size on whose grid `output` lies. Its sides are multiples of the stride.
        """
        sides = network_size(image.height, image.width, size or self.settings.size, self.stride)
        small = image.resize(sides[::-1], Image.Resampling.BICUBIC, reducing_gap=2.0)
        return np.asarray(small if small.mode == "RGB" else small.convert("RGB"))

    def network_input(self, image: Image.Image, size: int | None = None) -> Floats:
        """Return what the network sees of a Pillow image of mode RGB, (1, 1, h, w) float32.

        What `shrunk` gives, on the right and below continued in the mirror, so that its sides are
        multiples of what the network needs.
        """
        small, multiple = self.shrunk(image, size), self.network.multiple
        spare = [(0, -side % multiple) for side in small.shape[:2]]
        return self.network.inputs(np.pad(small, (*spare, (0, 0)), "reflect"))[None]

    def true_ab(self, image: Image.Image) -> Floats:
        """Return ab of a Pillow image of mode RGB as training targets are taken, shaped as `ab`'s.

        For measuring what `ab` and `output` say.
        """
        return self.grid.ab(self.shrunk(image))

    def light(self, image: Image.Image) -> Floats:
        """Return the L (h, w) float32 of the same places of a Pillow image of mode RGB."""
        return self.grid.sample(lightness(self.shrunk(image)))

    def guide(self, light: Floats) -> Floats | None:
        """That L, along which the colours are enlarged; None if they are not."""
        return light if self.settings.edges == GUIDED else None

    def output(self, image: Image.Image) -> Floats:
        """Return what the network says of a Pillow image of mode RGB, float32.

        Logits (313, h / 4, w / 4), or of a network of regression what `ab_of` takes for ab. Of
        several `sizes` they are the mean. Raises NotFinite, before anything is made of it, if it is
        no numbers.
        """
        *others, size = self.settings.sizes
        total = self._output(image, size)
        for other in others:
            total = total + resample(self._output(image, other), *total.shape[1:], self.grid)  # type: ignore[call-arg, operator]
        return total / np.float32(len(others) + 1) if others else total

    def _output(self, image: Image.Image, size: int) -> Floats:
        height, width = network_size(image.height, image.width, size, self.stride)
        output = finite(self.predict(self.network_input(image, size))[0], self.weights)
        return output[:, : height // self.stride, : width // self.stride]

    def ab(
        self, image: Image.Image, hints: Sequence[Hint] = (), tilt: Tilt | None = None
    ) -> Floats:
        """Return the predicted ab of a Pillow image of mode RGB, (h', w', 2) float32, CIELAB units.

        The most likely ones, or those of the alternative with this `tilt`. `hints` are colours that
        somebody chose: they spread, see `hints.follow`.
        """
        return self._coloured(image, hints, tilt)[0]

    def _coloured(
        self, image: Image.Image, hints: Sequence[Hint] = (), tilt: Tilt | None = None
    ) -> tuple[Floats, Floats]:
        """Return (the `ab` of an image, the L (h', w') of their cells)."""
        output, light = self.output(image), self.light(image)
        if tilt is None:
            ab = self.decoded(output)
        else:
            self.check_distribution("alternatives")
            ab = alternatives.tilted(output, tilt, self.settings.decoding)
        logits = output if self.has_distribution else None
        sides = image.height, image.width
        return follow(self.refined(ab, light), hints, sides, light, logits), light


def add_colour(
    photo: Array, ab: Floats, grid: Grid = EVERY_FOURTH, guide: Floats | None = None
) -> Array:
    """Return the photo with its own lightness and the colours of ab (h, w, 2), enlarged: (H, W, 3).

    The photo is (H, W, 3) uint8 or (H, W) uint16 gray, the result of the same dtype. The ab are
    those of a Grid on the photo, enlarged along the edges of its lightness, `guide` (h, w) being
    that of the cells (see `edges`), or without one bilinearly.
    """
    height, width = photo.shape[:2]
    out = np.empty((height, width, 3), photo.dtype)

    cells, colour = along_edges(ab, guide)

    def paint(rows: slice, values: Floats) -> None:
        out[rows] = colour(photo[rows], values)

    in_strips(cells, height, width, grid, paint)
    return out


def _sheet(
    image: Image.Image,
    colourings: Sequence[alternatives.Colouring],
    grid: Grid,
    guide: Floats | None,
) -> Bytes:
    """Return the contact sheet of Colourings of a Pillow image of mode RGB."""
    small = np.asarray(images.shrink(image, COLUMN))
    captions = [f"{n}: {one.bits:.2f} bits" for n, one in enumerate(colourings, start=1)]
    captions[0] = "most likely"
    pictures = [add_colour(small, one.ab, grid, guide) for one in colourings]
    return contact_sheet([pictures], captions, COLUMN)
