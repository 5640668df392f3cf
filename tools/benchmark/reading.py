"""Reading photos: from files and shards, large ones, gray ones."""

import os
import tarfile
from contextlib import ExitStack
from functools import partial

import numpy as np
from PIL import Image, ImageOps
from skimage import color, data

from cic.colour.lab import rgb_to_lab
from cic.dataset import validity
from cic.photos import images, sources
from cic.system.parallel import Pool
from tools.benchmark.measuring import alternate, compared, seconds, within
from tools.benchmark.photographs import TWELVE_MEGAPIXELS, photograph

HALF_A_UNIT = 0.5  # units of ab: a twentieth of the width of a bin
PHOTOS = 400  # to be read in a row


def read_photo(size, photos, i):
    """A photo, decoded and shrunk as for training; its size."""
    return images.shrink(images.open_rgb(photos[i], short=size), size).size


def photo_lists(size, folder):
    """The same photographs in class folders and in a tar shard: two PhotoLists."""
    shots = [Image.fromarray(shot()) for shot in (data.astronaut, data.coffee, data.chelsea)]
    files, shard = os.path.join(folder, "files"), os.path.join(folder, "shard.tar")
    for n in range(PHOTOS):
        shot = shots[n % len(shots)]
        cut = images.shrink(shot.crop((n % 50, n // 50, *shot.size)), size)
        images.write(os.path.join(files, f"n{n % 20:02}", f"{n}.jpg"), np.asarray(cut))
    with tarfile.open(shard, "w") as tar:
        for name in sources.walk(files):
            tar.add(os.path.join(files, name), name)
    return [sources.PhotoList([place]) for place in (files, shard)]


def shards(repeats, folder):
    """Reading the same photographs from files and from a tar shard."""
    rows = []
    for size in (64, 256):
        lists = photo_lists(size, os.path.join(folder, str(size)))
        for workers, where in ((0, "this process"), (4, "4 processes")):
            with ExitStack() as stack:
                pools = [stack.enter_context(Pool(workers, read_photo, size, p)) for p in lists]
                ways = [partial(read_all, pool) for pool in pools]
                times = alternate(*ways, 4 * repeats) / PHOTOS
            what = f"reading photos of {size} pixels in {where}, from files or a shard"
            rows.append(compared(what, *times, a_second, 1))
    return rows


def read_all(pool):
    for _ in pool.map(range(PHOTOS), chunk=PHOTOS // 16):
        pass


def a_second(value):
    return f"{1 / value:,.0f} a second"


def draft(repeats, folder):
    """A 12-megapixel JPEG file at a short side of 256, by way of the decoder's own scaling."""
    path = os.path.join(folder, "large.jpg")
    images.write(path, np.asarray(photograph(TWELVE_MEGAPIXELS)))
    ways = [lambda short=short: images.open_rgb(path, short) for short in (None, 256)]
    ways = [lambda way=way: images.shrink(way(), 256) for way in ways]
    times = alternate(*ways, 2 * repeats)
    full, scaled = (rgb_to_lab(np.asarray(way())[::4, ::4])[..., 1:] for way in ways)
    change = np.linalg.norm(full - scaled, axis=-1).mean()
    what = "a 12-megapixel JPEG at 256 pixels, decoded in full"
    changes = f"{what}: mean change of ab", "0", f"{change:.2f}", change, HALF_A_UNIT
    return [compared(what, *times, seconds), within(*changes)]


def scikit_image_chroma(path):
    """The chroma of a photo, (H, W), the straightforward way to see whether it is gray."""
    lab = color.rgb2lab(np.asarray(Image.open(path).convert("RGB")))
    return np.hypot(lab[..., 1], lab[..., 2])


def prune(repeats, folder):
    """Seeing whether a 256-pixel JPEG file is valid: ten, one of which is gray."""
    paths = [os.path.join(folder, f"{number}.jpg") for number in range(10)]
    for number, path in enumerate(paths):
        photo = data.astronaut, data.chelsea, data.coffee
        image = ImageOps.fit(Image.fromarray(photo[number % 3]()), (341, 256))
        image = ImageOps.mirror(image) if number % 2 else image
        gray = number == len(paths) - 1
        images.write(path, np.asarray(image.convert("L").convert("RGB") if gray else image))
    times = alternate(
        lambda: [scikit_image_chroma(path) for path in paths],
        lambda: [validity.examine(path) for path in paths],
        2 * repeats,
    )
    what = "is a photo gray, Pillow and scikit-image's chroma"
    return [compared(what, *times / len(paths), seconds, 6)]
