"""Prepare batches ahead of time: worker processes make them, in order, while the network
computes.
"""

from collections.abc import Iterator

from cic.dataset.batches import Batch, Order, PhotoDataset, make_batch
from cic.system.parallel import Pool


class Loader(Pool[Batch]):
    """Batches of `dataset` in `order`, the same whatever the number of workers.

    With `workers` 0 this process makes them. Use it as a context manager: it ends its processes.
    """

    def __init__(self, dataset: PhotoDataset, order: Order, workers: int = 0) -> None:
        super().__init__(workers, make_batch, dataset, order)
        self.dataset, self.order = dataset, order

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Iterate over the Batch of each step from `start` up to `stop`."""
        return self.map(range(start, stop))
