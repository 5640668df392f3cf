"""Photo -> photo: colours come from a small copy, the lightness stays the photo's own at full size.

Photo -> `network_input` -> network -> logits -> `decode` -> ab -> `add_colour` -> photo; a network
of regression gives the ab themselves.
"""

import os
from contextlib import nullcontext

import numpy as np
from PIL import Image
from tqdm import tqdm

from cic import alternatives, console, images, locks, sources, uncertainty, video_writer
from cic.encode import decode
from cic.enlarge import in_strips
from cic.lab import recolor, rgb_to_lab
from cic.networks import BINS
from cic.sheet import contact_sheet

# Formats that results keep; others become PNG.
KEPT = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp"}
LONG = 4  # a photo longer than this many times its short side is shrunk to no more area
LONGEST = 32  # times `size`: the most that any side may have
COLUMN = 480  # pixels: width of a picture on the sheet of alternatives
SHEET, MAP = "sheet", "map"  # kinds of pictures of a photo beside its colourings, 1, 2 ...


def network_size(height, width, size=256, multiple=8):
    """(height, width) at which the network sees a photo: short side about `size` pixels."""
    short, long = sorted((height, width))
    scale = min(size / short, size * (LONG / (short * long)) ** 0.5)
    sides = (min(n * scale, LONGEST * size) for n in (height, width))
    return tuple(max(multiple, round(side / multiple) * multiple) for side in sides)


class Colorizer:
    """Callable: photo, (H, W) or (H, W, 3) uint8 or a Pillow image -> (H, W, 3) uint8 sRGB.

    An images.Photo is taken too; one that is 16-bit gray gives (H, W, 3) uint16. `predict` runs
    `network` on (1, 1, h, w) float32; `size` is the short side that it sees, pixels;
    `temperature` that of the annealed mean (paper, section 2.3).
    """

    def __init__(self, network, predict, size=256, temperature=0.38):
        self.network, self.predict = network, predict
        self.stride = network.stride  # refuses a network that does not colorize
        self.size, self.temperature = size, temperature

    @property
    def has_distribution(self):
        """Whether the network gives probabilities of the 313 bins, and not one colour."""
        return self.network.predicts == BINS

    def __call__(self, photo):
        pixels, image = self._opened(photo)
        return add_colour(pixels, self.ab(image), self.stride)

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
            raise ValueError(
                f"{self.network} gives one colour a pixel: alternatives and uncertainty need a "
                "network of 313 probabilities"
            )
        pixels, image = self._opened(photo)
        logits, stride = self.output(image), self.stride
        found = alternatives.most_likely(logits, count, self.temperature)
        for number, colouring in enumerate(found, start=1):
            yield number, add_colour(pixels, colouring.ab, stride)
        if count > 1:
            yield SHEET, _sheet(image, found, stride)
        if with_map:
            bits = uncertainty.entropy(logits)
            yield MAP, uncertainty.draw(bits, image.height, image.width, stride)

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

    def shrunk(self, image):
        """A Pillow image of mode RGB at the size that the network sees, (h, w, 3) uint8."""
        height, width = network_size(image.height, image.width, self.size, self.network.multiple)
        size = (width, height)
        return np.asarray(image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0))

    def network_input(self, image):
        """What the network sees of a Pillow image of mode RGB, (1, 1, h, w) float32."""
        return self.network.inputs(self.shrunk(image))[None]

    def true_ab(self, image):
        """ab of a Pillow image of mode RGB as training targets are taken, shaped as `ab`'s.

        For measuring what `ab` and `output` say.
        """
        return rgb_to_lab(self.shrunk(image)[:: self.stride, :: self.stride])[..., 1:]

    def output(self, image):
        """What the network says of a Pillow image of mode RGB, float32.

        Logits (313, h / 4, w / 4), or of a network of regression what `ab_of` takes for ab.
        """
        return self.predict(self.network_input(image))[0]

    def ab_of(self, output):
        """ab (h', w', 2) float32, CIELAB units, of what the network puts out for a photo."""
        if self.has_distribution:
            ab = decode(output, self.temperature, axis=0)
        else:
            ab = self.network.unscale_ab(output)
        return ab.transpose(1, 2, 0)

    def ab(self, image):
        """Predicted ab of a Pillow image of mode RGB, (h', w', 2) float32, CIELAB units."""
        return self.ab_of(self.output(image))


def add_colour(photo, ab, stride=4):
    """Photo with its own lightness and the colours of ab (h, w, 2), enlarged: (H, W, 3).

    The photo is (H, W, 3) uint8 or (H, W) uint16 gray, the result of the same dtype. `in_strips`
    says how the ab are enlarged.
    """
    height, width = photo.shape[:2]
    out = np.empty((height, width, 3), photo.dtype)

    def colour(rows, values):
        out[rows] = recolor(photo[rows], values)

    in_strips(ab, height, width, stride, colour)
    return out


def _sheet(image, colourings, stride):
    """Contact sheet of Colourings of a Pillow image of mode RGB."""
    small = np.asarray(images.shrink(image, COLUMN))
    captions = [f"{n}: {one.bits:.2f} bits" for n, one in enumerate(colourings, start=1)]
    captions[0] = "most likely"
    return contact_sheet(
        [[add_colour(small, one.ab, stride) for one in colourings]], captions, COLUMN
    )


def list_jobs(paths, output, films=False):
    """([(source, target), ...], problems) of every photo, and of folders that cannot be read.

    Folders keep their inner layout, photos their format if it is common. With one photo and an
    `output` that ends as a photo does, that is the target; else it is a folder, and photos in it
    are results, not sources: how many were left out is printed. But a path that lies in there and
    is named is a source. With `films` these are taken as photos are.
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
            raise ValueError(f"{path}: the output folder is the input folder: name another with -o")
        folder, names = os.path.dirname(path), [os.path.basename(path)]
        if os.path.isdir(path):
            folder, names = path, sources.walk(path, extensions, problems.append)
        for name in names:
            named = video_writer.target_name if films and sources.is_film(name) else _target_name
            source, target = os.path.join(folder, name), os.path.join(output, named(name))
            if _is_in(path, inside):
                _refuse_among(path, target)
            elif _is_in(source, inside):
                results += 1
                continue
            jobs.append((source, target))
    if results and not jobs:
        raise ValueError(
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
        raise ValueError(f"{path}: {target!r} would lie among its photos: name another -o")


def locked(output, jobs):
    """A context in which no other run writes into the folder `output` of jobs of `list_jobs`.

    A single file needs none: it is replaced whole.
    """
    if [target for _, target in jobs] == [output]:
        return nullcontext()
    return locks.cleaned(output)


def _target_name(name):
    stem, extension = os.path.splitext(name)
    return name if extension.lower() in KEPT else stem + ".png"


def colorize_files(colorizer, jobs, all_pages=False, count=1, with_map=False, film=None):
    """Colorize (source, target) files: ([(source, target), ...] done, number of failures).

    A failure, of whatever kind, is named in one line and never stops the rest. Two sources with one
    target, or a target that is a source, are failures too; files of earlier runs are replaced. Of
    several pages the first is taken, or with `all_pages` each, to a file of its own. `count` and
    `with_map` ask for more pictures of each (see `Colorizer.pictures`), written beside it (see
    `file_names`).
    `film(source, target)` colorizes a film; without it they are refused as any file is.
    """
    taken = {os.path.realpath(source): "would overwrite a photo to colorize" for source, _ in jobs}
    done, failed = [], 0
    for source, target in tqdm(jobs, unit="photo", disable=len(jobs) < 2):
        try:
            if film and sources.is_film(source):
                _refuse_taken(source, [target], taken)
                film(source, target)
                taken[os.path.realpath(target)] = "is another photo's result already"
                done.append((source, target))
                continue
            for photo, part in _pages(source, target, all_pages):
                names = file_names(part, count, with_map)
                _refuse_taken(source, names.values(), taken)
                pictures = colorizer.pictures(photo, count, with_map)
                for name in _write_pictures(pictures, photo, names):
                    taken[os.path.realpath(name)] = "is another photo's result already"
                done.append((source, part))
        except images.PhotoError as error:
            failed += 1
            tqdm.write(f"failed: {console.said(error)}")
        except Exception as error:  # a defect, even, that one photo brings out
            failed += 1
            tqdm.write(f"failed: {source!r}: {type(error).__name__}: {console.said(error)}")
    return done, failed


def _refuse_taken(source, names, taken):
    """Raise PhotoError if a file to write is in `taken`, {real path: what it is}."""
    for name in names:
        if (real := os.path.realpath(name)) in taken:
            raise images.PhotoError(f"{source!r}: {name!r} {taken[real]}")


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
        images.write(name, picture, None if kind in (SHEET, MAP) else photo)
        del picture
        yield name
    if missing:
        tqdm.write(f"{names[1]!r}: no more than {min(missing) - 1} distinct and likely colourings")


def _pages(source, target, all_pages):
    """Yield (Photo, target) of the first page, or of every page with a numbered target."""
    first = images.open_photo(source)
    if first.pages == 1 or not all_pages:
        if first.pages > 1:
            tqdm.write(f"{source!r}: the first of {first.pages} pages; --all_pages takes them all")
        yield first, target
        return
    stem, extension = os.path.splitext(target)
    for page in range(first.pages):
        number = str(page + 1).zfill(len(str(first.pages)))
        yield images.open_photo(source, page), f"{stem}-{number}{extension}"


def report(output, done, failed):
    """Print how many photos were done into `output`; the exit status that tells."""
    print(f"{output}: {len(done)} colorized, {failed} failed")
    return int(failed > 0)
