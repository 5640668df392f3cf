"""Photo -> photo: colours come from a small copy, the lightness stays the photo's own at full size.

Photo -> `network_input` -> network -> `decode` -> ab -> `add_colour` -> photo
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image
from tqdm import tqdm

from cic import images, sources
from cic.encode import decode
from cic.lab import lightness, recolor

STRIP = 1 << 18  # pixels coloured at once: their float32 scratch stays small whatever the photo
# Formats that results keep; others become PNG.
KEPT = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp"}
LONG = 4  # a photo longer than this many times its short side is shrunk to no more area
LONGEST = 32  # times `size`: the most that any side may have


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
        self.size, self.temperature = size, temperature

    def __call__(self, photo):
        if isinstance(photo, images.Photo):
            image, deep = photo.rgb, photo.deep
        else:
            image = photo if isinstance(photo, Image.Image) else self._image(photo)
            image, deep = images.to_rgb(image), None
        pixels = np.asarray(image) if deep is None else deep
        return add_colour(pixels, self.ab(image), self.network.stride)

    @staticmethod
    def _image(array):
        array = np.asarray(array)
        shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
        if array.dtype != np.uint8 or not shaped or not array.size:
            raise ValueError(
                f"a photo is (H, W) or (H, W, 3) uint8, not {array.shape} {array.dtype}"
            )
        return Image.fromarray(array)

    def network_input(self, image):
        """What the network sees of a Pillow image of mode RGB, (1, 1, h, w) float32."""
        height, width = network_size(image.height, image.width, self.size, self.network.multiple)
        small = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
        return self.network.prepare(lightness(np.asarray(small)))[None, None]

    def ab(self, image):
        """Predicted ab of a Pillow image of mode RGB, (h / 4, w / 4, 2) float32, CIELAB units."""
        logits = self.predict(self.network_input(image))
        return decode(logits[0], self.temperature, axis=0).transpose(1, 2, 0)


def add_colour(photo, ab, stride=4):
    """Photo with its own lightness and the colours of ab (h, w, 2), enlarged: (H, W, 3).

    The photo is (H, W, 3) uint8 or (H, W) uint16 gray, the result of the same dtype. The
    enlargement is bilinear; strips are worked on in parallel. Training took the ab of every
    `stride`-th pixel, so a cell of ab belongs to the first pixel of its square, not to the middle.
    """
    height, width = photo.shape[:2]
    out = np.empty((height, width, 3), photo.dtype)
    rows = max(1, STRIP // width)
    padded = np.pad(ab, ((0, 1), (0, 1), (0, 0)), "edge")
    planes = [Image.fromarray(np.ascontiguousarray(padded[..., i])) for i in (0, 1)]
    shift = 0.5 - 0.5 / stride
    scale = len(ab) / height

    def strip(top):
        bottom = min(top + rows, height)
        box = (shift, shift + top * scale, shift + ab.shape[1], shift + bottom * scale)
        size = (width, bottom - top)
        large = [plane.resize(size, Image.Resampling.BILINEAR, box) for plane in planes]
        out[top:bottom] = recolor(photo[top:bottom], np.stack(large, axis=-1))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(strip, range(0, height, rows)):
            pass  # raises what a strip raised
    return out


def list_jobs(paths, output):
    """([(source, target), ...], problems) of every photo, and of folders that cannot be read.

    Folders keep their inner layout, photos their format if it is common. With one photo and an
    `output` that ends as a photo does, that is the target; else it is a folder, and photos in it
    are no sources.
    """
    names_a_file = os.path.splitext(output)[1].lower() in sources.EXTENSIONS
    if names_a_file and len(paths) == 1 and not any(map(os.path.isdir, (paths[0], output))):
        return [(paths[0], output)], []
    jobs, problems = [], []
    for path in paths:
        if os.path.realpath(path) == os.path.realpath(output):
            raise ValueError(f"{path}: the output folder is the input folder")
        folder, names = os.path.dirname(path), [os.path.basename(path)]
        if os.path.isdir(path):
            folder, names = path, sources.walk(path, onerror=problems.append)
        for name in names:
            stem, extension = os.path.splitext(name)
            kept = name if extension.lower() in KEPT else stem + ".png"
            jobs.append((os.path.join(folder, name), os.path.join(output, kept)))
    inside = os.path.join(os.path.realpath(output), "")
    jobs = [job for job in jobs if not os.path.realpath(job[0]).startswith(inside)]
    return jobs, problems


def colorize_files(colorizer, jobs, all_pages=False):
    """Colorize (source, target) files: ([(source, target), ...] done, number of failures).

    A failure is named in one line and never stops the rest. Two sources with one target, or a
    target that is a source, are failures too; files of earlier runs are replaced. Of several pages
    the first is taken, or with `all_pages` each, to a file of its own.
    """
    taken = {os.path.realpath(source): "would overwrite a photo to colorize" for source, _ in jobs}
    done, failed = [], 0
    for source, target in tqdm(jobs, unit="photo", disable=len(jobs) < 2):
        try:
            for photo, part in _pages(source, target, all_pages):
                real = os.path.realpath(part)
                if real in taken:
                    raise images.PhotoError(f"{source!r}: {part!r} {taken[real]}")
                images.write(part, colorizer(photo), photo)
                taken[real] = "is another photo's result already"
                done.append((source, part))
        except images.PhotoError as error:
            failed += 1
            tqdm.write(f"failed: {error}")
    return done, failed


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
