"""What a photo that cannot be read is refused with."""

import os

import pytest

from cic.photos.images import PhotoError, open_rgb, read


def error_of(path):
    """The message of reading `path`: one line that names it."""
    with pytest.raises(PhotoError) as caught:
        read(path)
    message = str(caught.value)
    assert repr(os.fspath(path)) in message
    assert "\n" not in message
    return message


def kind_of(path):
    """The kind of the error that reading `path` gives."""
    with pytest.raises(PhotoError) as caught:
        open_rgb(path)
    return caught.value.kind
