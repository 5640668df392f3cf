"""The 1,000 classes of ImageNet's challenge of 2012 (ILSVRC2012), as classifiers number them."""

from functools import cache
from importlib import resources


@cache
def class_ids() -> tuple[str, ...]:
    """Return the WordNet ids of the classes, n01440764 the first: sorted, which is the outputs'
    order.
    """
    text = (resources.files("cic") / "data" / "imagenet.txt").read_text("ascii")
    return tuple(text.split())
