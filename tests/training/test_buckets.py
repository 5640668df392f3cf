"""Which gradients travel together."""

import pytest

from cic.training.buckets import ALIGN, buckets

SIZES = [700, 313, 64, 1, 2000, 128]


@pytest.mark.parametrize("most", [1, 1000, 10**9])
def test_every_tensor_has_its_place_from_the_last_to_the_first(most):
    found = buckets(SIZES, most)
    assert [index for bucket in found for index in bucket.indices] == [5, 4, 3, 2, 1, 0]
    for indices, offsets, length in found:
        ends = [offset + SIZES[index] for index, offset in zip(indices, offsets)]
        assert all(offset % ALIGN == 0 for offset in offsets)
        assert all(end <= start for end, start in zip(ends, [*offsets[1:], length]))
        assert length <= most or len(indices) == 1


def test_as_much_travels_together_as_fits():
    assert [bucket.indices for bucket in buckets(SIZES, 1200)] == [[5], [4], [3, 2, 1, 0]]
    assert [bucket.length for bucket in buckets(SIZES, 1200)] == [128, 2048, 64 + 64 + 320 + 704]
    assert buckets([], 1) == []
