"""A server that the tests of this room share."""

import pytest

from helpers.served import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One without a token, for photos of up to 20 megapixels and 4 MB."""
    flags = ("--max_megabytes", 4, "--max_pixels", 20_000_000, "--queue", 4)
    made = Server(*flags)
    yield made
    made.end()
