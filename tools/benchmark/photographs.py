"""The photographs that are measured on."""

import os

import numpy as np
from PIL import Image, ImageOps
from skimage import data

from cic import networks
from cic.colour import prior, rebalance
from cic.dataset import batches
from cic.photos import images

TWELVE_MEGAPIXELS = 4000, 3000
CROP, TARGET, BATCH = 176, 44, 40  # the authors' training


def photograph(size):
    """A real photograph cut and scaled to `size`, (width, height): Pillow image of mode RGB."""
    return ImageOps.fit(Image.fromarray(data.coffee()), size, Image.Resampling.BICUBIC)


def photo_dataset(folder):
    """The dataset of one photograph, written to `folder` 256 pixels high."""
    images.write(os.path.join(folder, "photo.jpg"), np.asarray(photograph((384, 256))))
    weights = rebalance.weights(prior.default())
    return batches.PhotoDataset([folder], networks.get("cic"), bin_weights=weights)
