"""How many pixels a photo may have, in this process: the limit is Pillow's own."""

from PIL import Image

from cic.system.errors import SettingError

PIXELS = 178_956_970  # the limit without --max_pixels: twice what Pillow warns at


def limit_pixels(count: int | None) -> None:
    """Refuse photos of more than `count` pixels from now on, in this process; None: none.

    The limit is Pillow's own, so it holds for every image that Pillow opens here.
    """
    if count is not None and count < 1:
        raise SettingError(f"a photo has at least one pixel: the limit cannot be {count}")
    Image.MAX_IMAGE_PIXELS = None if count is None else count / 2  # type: ignore[assignment]  # Pillow refuses above twice that


def pixel_limit() -> int | None:
    """Return how many pixels a photo may have; None if any number."""
    return None if Image.MAX_IMAGE_PIXELS is None else int(2 * Image.MAX_IMAGE_PIXELS)
