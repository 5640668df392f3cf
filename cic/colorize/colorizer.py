"""Photo -> photo: colours come from a small copy, the lightness stays the photo's own at full size.

Photo -> `network_input` -> network -> logits -> `Decoding` -> ab -> `add_colour` -> photo; a
network of regression gives the ab themselves.
"""

import os
from contextlib import nullcontext

import numpy as np
from PIL import Image
from tqdm import tqdm

from cic.colorize import alternatives, uncertainty
from cic.colorize.enlarge import EVERY_FOURTH, Grid, in_strips, resample
from cic.colorize.painting import Painting, along_edges
from cic.colorize.settings import DEFAULTS, GUIDED
from cic.colour.lab import lightness, rgb_to_lab
from cic.colour.prior import STRIDE
from cic.films import writer
from cic.networks import BINS
from cic.photos import budget, images, kinds, sources
from cic.photos.damage import failed_on
from cic.photos.sheet import contact_sheet
from cic.system import locks
from cic.system.errors import InputError

# Formats that results keep; others become PNG.
KEPT = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp"}
LONG = 4  # a photo longer than this many times its short side is shrunk to no more area
LONGEST = 32  # times `size`: the most that any side may have
COLUMN = 480  # pixels: width of a picture on the sheet of alternatives
SHEET, MAP = "sheet", "map"  # kinds of pictures of a photo beside its colourings, 1, 2 ...


def network_size(height, width, size=256, stride=STRIDE):
    """(height, width) at which the network sees a photo: short side about `size` pixels.

    Of the photo's shape, to within half of `stride` a side.
    """
    short, long = sorted((height, width))
    scale = min(size / short, size * (LONG / (short * long)) ** 0.5)
    sides = (min(n * scale, LONGEST * size) for n in (height, width))
    return tuple(max(stride, round(side / stride) * stride) for side in sides)


class NotFinite(images.PhotoError):
    """What a network puts out is no numbers; the message names the weights."""


def finite(output, weights):
    """`output` of a network with these weights, (n, ...) float32; raises NotFinite if it is not."""
    if not np.isfinite(output).all():
        raise NotFinite(f"{weights}: what the network says of it is not finite: damaged weights?")
    return output


class Colorizer:
    """Callable: photo, (H, W) or (H, W, 3) uint8 or a Pillow image -> (H, W, 3) uint8 sRGB.

    An images.Photo is taken too; one that is 16-bit gray gives (H, W, 3) uint16. `predict` runs
    `network` on (1, 1, h, w) float32; `weights` is the name of the weights in messages.
    """

    def __init__(self, network, predict, settings=DEFAULTS, weights="the weights"):
        self.network, self.predict, self.weights = network, predict, weights
        self.stride = network.stride  # refuses a network that does not colorize
        self.settings = settings

    @property
    def has_distribution(self):
        """Whether the network gives probabilities of the 313 bins, and not one colour."""
        return self.network.predicts == BINS

    @property
    def grid(self):
        """How the cells of `output` lie on what the network sees of a photo, an enlarge.Grid."""
        return Grid(self.stride, self.settings.target_mean)

    def __call__(self, photo):
        pixels, image = self._opened(photo)
        return add_colour(pixels, self.ab(image), self.grid, self.guide(image))

    def pictures(self, photo, count=1, with_map=False):
        """Yield (kind, picture) of a photo as `__call__` takes it, from one run of the network.

        Kinds 1, 2 ... `count` are its most likely distinct colourings (see `alternatives`; there
        may be fewer), the first as `__call__` gives it. Of several SHEET shows all side by side,
        small. MAP is where the network is unsure (see `uncertainty`). Each is made when asked for.
        """
        if count == 1 and not with_map:
            yield 1, self(photo)
            return
        if not self.has_distribution:
            raise InputError(
                f"{self.network} gives one colour a pixel: alternatives and uncertainty need a "
                "network of 313 probabilities"
            )
        pixels, image = self._opened(photo)
        logits, grid, guide = self.output(image), self.grid, self.guide(image)
        found = alternatives.most_likely(logits, count, self.settings.decoding)
        for number, colouring in enumerate(found, start=1):
            yield number, add_colour(pixels, colouring.ab, grid, guide)
        if count > 1:
            yield SHEET, _sheet(image, found, grid, guide)
        if with_map:
            bits = uncertainty.entropy(logits)
            yield MAP, uncertainty.draw(bits, image.height, image.width, grid)

    def painting(self, photo):
        """The picture of an images.Photo, which it uses up: the colours, but no pixels yet."""
        image = photo.base
        return Painting(photo, self.ab(image), self.grid, self.guide(image))

    def memory(self, width, height):
        """Bytes that it takes to run the network on a photo of that size, pixels."""
        multiple = self.network.multiple
        sides = network_size(height, width, self.settings.size, self.stride)
        return budget.of_network(self.network, *(side + -side % multiple for side in sides))

    def _opened(self, photo):
        """(pixels to colour, Pillow image of mode RGB) of a photo."""
        if isinstance(photo, images.Photo):
            return np.asarray(photo.rgb) if photo.deep is None else photo.deep, photo.rgb
        image = images.to_rgb(photo if isinstance(photo, Image.Image) else self._image(photo))
        return np.asarray(image), image

    @staticmethod
    def _image(array):
        array = np.asarray(array)
        shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
        if array.dtype != np.uint8 or not shaped or not array.size:
            raise ValueError(
                f"a photo is (H, W) or (H, W, 3) uint8, not {array.shape} {array.dtype}"
            )
        return Image.fromarray(array)

    def shrunk(self, image, size=None):
        """A Pillow image of mode RGB or L at a short side of `size`, (h, w, 3) uint8.

        By default at the size on whose grid `output` lies. Its sides are multiples of the stride.
        """
        sides = network_size(image.height, image.width, size or self.settings.size, self.stride)
        small = image.resize(sides[::-1], Image.Resampling.BICUBIC, reducing_gap=2.0)
        return np.asarray(small if small.mode == "RGB" else small.convert("RGB"))

    def network_input(self, image, size=None):
        """What the network sees of a Pillow image of mode RGB, (1, 1, h, w) float32.

        What `shrunk` gives, on the right and below continued in the mirror, so that its sides are
        multiples of what the network needs.
        """
        small, multiple = self.shrunk(image, size), self.network.multiple
        spare = [(0, -side % multiple) for side in small.shape[:2]]
        return self.network.inputs(np.pad(small, (*spare, (0, 0)), "reflect"))[None]

    def true_ab(self, image):
        """ab of a Pillow image of mode RGB as training targets are taken, shaped as `ab`'s.

        For measuring what `ab` and `output` say.
        """
        return self.grid.sample(rgb_to_lab(self.shrunk(image))[..., 1:])

    def light(self, image):
        """L (h, w) float32 of the same places of a Pillow image of mode RGB."""
        return self.grid.sample(lightness(self.shrunk(image)))

    def guide(self, image):
        """That L, along which the colours are enlarged; None if they are not."""
        return self.light(image) if self.settings.edges == GUIDED else None

    def output(self, image):
        """What the network says of a Pillow image of mode RGB, float32.

        Logits (313, h / 4, w / 4), or of a network of regression what `ab_of` takes for ab. Of
        several `sizes` they are the mean. Raises NotFinite, before anything is made of it, if it is
        no numbers.
        """
        *others, size = self.settings.sizes
        total = self._output(image, size)
        for other in others:
            total = total + resample(self._output(image, other), *total.shape[1:], self.grid)
        return total / np.float32(len(others) + 1) if others else total

    def _output(self, image, size):
        height, width = network_size(image.height, image.width, size, self.stride)
        output = finite(self.predict(self.network_input(image, size))[0], self.weights)
        return output[:, : height // self.stride, : width // self.stride]

    def ab_of(self, output):
        """ab (h', w', 2) float32, CIELAB units, of what the network puts out for a photo."""
        if self.has_distribution:
            return self.settings.decoding(output)
        ab = self.network.unscale_ab(output).transpose(1, 2, 0)
        return ab * self.settings.decoding.saturation

    def ab(self, image):
        """Predicted ab of a Pillow image of mode RGB, (h', w', 2) float32, CIELAB units."""
        return self.ab_of(self.output(image))


def add_colour(photo, ab, grid=EVERY_FOURTH, guide=None):
    """Photo with its own lightness and the colours of ab (h, w, 2), enlarged: (H, W, 3).

    The photo is (H, W, 3) uint8 or (H, W) uint16 gray, the result of the same dtype. The ab are
    those of a Grid on the photo, enlarged along the edges of its lightness, `guide` (h, w) being
    that of the cells (see `edges`), or without one bilinearly.
    """
    height, width = photo.shape[:2]
    out = np.empty((height, width, 3), photo.dtype)

    cells, colour = along_edges(ab, guide)

    def paint(rows, values):
        out[rows] = colour(photo[rows], values)

    in_strips(cells, height, width, grid, paint)
    return out


def _sheet(image, colourings, grid, guide):
    """Contact sheet of Colourings of a Pillow image of mode RGB."""
    small = np.asarray(images.shrink(image, COLUMN))
    captions = [f"{n}: {one.bits:.2f} bits" for n, one in enumerate(colourings, start=1)]
    captions[0] = "most likely"
    pictures = [add_colour(small, one.ab, grid, guide) for one in colourings]
    return contact_sheet([pictures], captions, COLUMN)


def list_jobs(paths, output, films=False, left_out=None):
    """([(source, target), ...], problems) of every photo, and of folders that cannot be read.

    Folders keep their inner layout, photos their format if it is common. With one photo and an
    `output` that ends as a photo does, that is the target; else it is a folder, and photos in it
    are results, not sources: how many were left out is printed. But a path that lies in there and
    is named is a source. With `films` these are taken as photos are. `left_out`, a kinds.LeftOut,
    counts the photos of kinds that are not read here.
    Raises ValueError if the results would lie among the photos, or all photos are results.
    """
    extensions = (*sources.EXTENSIONS, *(sources.FILMS if films else ()))
    names_a_file = os.path.splitext(output)[1].lower() in extensions
    if names_a_file and len(paths) == 1 and not any(map(os.path.isdir, (paths[0], output))):
        return [(paths[0], output)], []
    jobs, problems, results = [], [], 0
    inside = os.path.join(os.path.realpath(output), "")
    for path in paths:
        if os.path.realpath(path) == os.path.realpath(output):
            raise InputError(f"{path}: the output folder is the input folder: name another with -o")
        folder, names = os.path.dirname(path), [os.path.basename(path)]
        if os.path.isdir(path):
            folder, names = path, sources.walk(path, extensions, problems.append, left_out)
        for name in names:
            source = os.path.join(folder, name)
            if films and sources.is_film(name):
                target = os.path.join(output, writer.target_name(name))
            else:
                target = os.path.join(output, _target_name(name, source))
            if _is_in(path, inside):
                _refuse_among(path, target)
            elif _is_in(source, inside):
                results += 1
                continue
            jobs.append((source, target))
    if results and not jobs:
        raise InputError(
            f"{', '.join(paths)}: all {results:,} photos in there lie in the output folder "
            f"{output}, whose photos are results: name another with -o"
        )
    if results:
        print(f"{output}: {results:,} photos in this output folder are results, and left out")
    return jobs, problems


def _is_in(path, inside):
    return os.path.realpath(path).startswith(inside)


def _refuse_among(path, target):
    """Raise ValueError if a photo's result would lie in `path`, a folder in the output folder."""
    if os.path.isdir(path) and _is_in(target, os.path.join(os.path.realpath(path), "")):
        raise InputError(f"{path}: {target!r} would lie among its photos: name another -o")


def locked(output, jobs):
    """A context in which no other run writes into the folder `output` of jobs of `list_jobs`.

    A single file needs none: it is replaced whole.
    """
    if [target for _, target in jobs] == [output]:
        return nullcontext()
    return locks.cleaned(output)


def _target_name(name, source):
    """The name of a photo's result: its own if its format is kept, else that of a PNG.

    A name without an ending that is known keeps what it has, and the ending of its content follows.
    """
    stem, extension = os.path.splitext(name)
    if extension.lower() in KEPT:
        return name
    if extension.lower() in sources.EXTENSIONS:
        return stem + ".png"
    ending = kinds.photo_ending(kinds.start_of(source))
    return name + ending if ending in KEPT else stem + ".png"


def colorize_files(
    colorizer, jobs, all_pages=False, count=1, with_map=False, film=None, stretched=True
):
    """Colorize (source, target) files: ([(source, target), ...] done, number of failures).

    A failure, of whatever kind, is named in one line and never stops the rest: see
    `damage.failed_on`, also for what a defect of this program leaves to say. Two sources with one
    target, or a target that is a source, are failures too; files of earlier runs are replaced. Of
    several pages one is taken, or with `all_pages` each: to a file of its own, or, of a TIFF, to
    one TIFF of pages. `count` and `with_map` ask for more pictures of each (see
    `Colorizer.pictures`), written beside it (see `file_names`), and pages then have files of their
    own. `film(source, target)` colorizes a film; without it they are refused as any file is. Photos
    of numbers that do not reach white are `stretched` (see `images.open_pages`).
    """
    taken = {os.path.realpath(source): "would overwrite a photo to colorize" for source, _ in jobs}
    done, failed = [], 0
    for source, target in tqdm(jobs, unit="photo", disable=len(jobs) < 2):
        try:
            if film and sources.is_film(source):
                _refuse_taken(source, [target], taken)
                film(source, target)
                taken[os.path.realpath(target)] = _result_of(source)
                done.append((source, target))
                continue
            work = _work(colorizer, count > 1 or with_map)
            with images.open_pages(source, stretched, work) as pages:
                if all_pages and _is_tiff_of_pages(pages, target) and count == 1 and not with_map:
                    _refuse_taken(source, [target], taken)
                    failed += _write_pages(colorizer, pages, source, target)
                    taken[os.path.realpath(target)] = _result_of(source)
                    done.append((source, target))
                    continue
                for photo, part in _pages(pages, source, target, all_pages):
                    names = file_names(part, count, with_map)
                    _refuse_taken(source, names.values(), taken)
                    if len(names) == 1:
                        pictures = [(1, colorizer.painting(photo))]
                    else:
                        pictures = colorizer.pictures(photo, count, with_map)
                    for name in _write_pictures(pictures, photo, names):
                        taken[os.path.realpath(name)] = _result_of(source)
                    done.append((source, part))
        except Exception as error:  # one photo never ends the others
            failed += 1
            named = f"{source!r}: " if isinstance(error, NotFinite) else ""
            tqdm.write(f"failed: {named}{failed_on(source, error)}")
    return done, failed


def _result_of(source):
    return f"is the result of {source!r} already"


def _work(colorizer, several):
    """Function (width, height) -> bytes that are needed beside a photo that is coloured.

    Of one picture, that is the network's; of `several` also arrays of the photo and of a result,
    and the image that is written.
    """
    more = 3 + 3 + 4 if several else 0
    return lambda width, height: colorizer.memory(width, height) + more * width * height


def _is_tiff_of_pages(pages, target):
    """Whether the pages are those of a TIFF, and are to become one."""
    is_tiff = os.path.splitext(target)[1].lower() in images.TIFF
    return is_tiff and pages.count > 1 and pages.format == "TIFF"


def _write_pages(colorizer, pages, source, target):
    """Write each page of a TIFF as a page of another; return how many could not be read."""
    failed = 0
    with images.tiff_pages(target) as add:
        for number in range(pages.count):
            try:
                photo = pages.photo(number)
            except images.PhotoError as error:
                failed += 1
                tqdm.write(f"failed: {error}: page {number + 1}")
                continue
            _say(f"{source!r}: page {number + 1}", photo.notes)
            add(colorizer.painting(photo), photo)
        if failed == pages.count:
            raise images.PhotoError(f"{source!r}: none of its pages could be read")
    return failed


def _say(name, notes):
    for note in notes:
        tqdm.write(f"{name}: {note}")


def _refuse_taken(source, names, taken):
    """Raise PhotoError if a file to write is in `taken`, {real path: what it is}."""
    for name in names:
        if (real := os.path.realpath(name)) in taken:
            stem, extension = os.path.splitext(name)
            kind = os.path.splitext(source)[1].lstrip(".").lower() or "2"
            raise images.PhotoError(
                f"{source!r}: {name!r} {taken[real]}: colorize it by itself, "
                f"-o {stem + '-' + kind + extension!r}"
            )


def file_names(target, count=1, with_map=False):
    """{kind: file} of a photo's pictures: the target, and what its name gives for the others."""
    stem, extension = os.path.splitext(target)
    names = {1: target}
    for number in range(2, count + 1):
        names[number] = f"{stem}-alternative-{number}{extension}"
    if count > 1:
        names[SHEET] = f"{stem}-alternatives.jpg"
    if with_map:
        names[MAP] = f"{stem}-uncertainty.png"
    return names


def _write_pictures(pictures, photo, names):
    """Write (kind, picture) of a Photo, one in memory at a time; yield the name of each file."""
    missing = dict(names)
    for kind, picture in pictures:
        name = missing.pop(kind)
        _say(repr(name), images.write(name, picture, None if kind in (SHEET, MAP) else photo) or ())
        del picture
        yield name
    if missing:
        tqdm.write(f"{names[1]!r}: no more than {min(missing) - 1} distinct and likely colourings")


def _pages(pages, source, target, all_pages):
    """Yield (Photo, target) of the page that is the photo, or of every one, numbered."""
    if pages.count == 1 or not all_pages:
        photo = pages.photo(last=True)
        if pages.count > 1:
            which = "the first" if not photo.page else f"the largest, page {photo.page + 1},"
            tqdm.write(f"{source!r}: {which} of {pages.count} pages; --all_pages takes them all")
        elif pages.others:
            tqdm.write(f"{source!r}: {pages.others} smaller copies or masks in it are left out")
        _say(repr(source), photo.notes)
        yield photo, target
        return
    stem, extension = os.path.splitext(target)
    for page in range(pages.count):
        number = str(page + 1).zfill(len(str(pages.count)))
        photo = pages.photo(page)
        _say(f"{source!r}: page {page + 1}", photo.notes)
        yield photo, f"{stem}-{number}{extension}"


def report(output, done, failed):
    """Print how many photos were done into `output`; the exit status that tells."""
    print(f"{output}: {len(done)} colorized, {failed} failed")
    return int(failed > 0)
