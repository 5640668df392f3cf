"""A store that renames, and fails in between."""

import sys

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from cic.system import files, storage
from cic.system.addresses import AddressError, is_address, real
from cic.system.errors import SettingError
from cic.system.text import message_of


class Shaky(LocalFileSystem):
    """Files of this machine; `mv` fails as often as `faults` has errors."""

    protocol = "shaky"
    faults = ()

    @classmethod
    def _strip_protocol(cls, path):  # before 2026.9 it knows file:// alone
        return super()._strip_protocol(path.removeprefix("shaky://"))

    def mv(self, *args, **more):
        if Shaky.faults:
            raise Shaky.faults.pop(0)
        super().mv(*args, **more)


@pytest.fixture
def shaky(monkeypatch, tmp_path):
    fsspec.register_implementation("shaky", Shaky, clobber=True)
    monkeypatch.setattr(storage, "PAUSES", (0.0,) * len(storage.PAUSES))
    return tmp_path / "store"


def write(address, data):
    with files.replacing(address) as fresh, open(fresh, "wb") as file:
        file.write(data)


def test_a_file_is_there_whole_under_its_name_or_not_at_all(shaky):
    address = f"shaky://{shaky}/deep/a.jpg"
    Shaky.faults = [ConnectionError("cut"), TimeoutError("late")]
    write(address, b"first")
    assert storage.read(address, 5).read() == b"first"
    Shaky.faults = [ConnectionError("cut")] * 5
    with pytest.raises(AddressError, match=r"a\.jpg: tried 5 times: ConnectionError: cut$"):
        write(address, b"other")
    Shaky.faults = [PermissionError("no"), PermissionError("never asked for")]
    with pytest.raises(AddressError, match=r"a\.jpg: not ours to use: no$") as caught:
        write(address, b"other")
    assert caught.value.strerror == "not ours to use: no"
    assert len(Shaky.faults) == 1
    assert [path.name for path in (shaky / "deep").iterdir()] == ["a.jpg"]
    assert (shaky / "deep" / "a.jpg").read_bytes() == b"first"
    with pytest.raises(ZeroDivisionError), files.replacing(address):
        raise ZeroDivisionError
    assert storage.read(address, 5).read() == b"first"
    Shaky.faults = [TypeError("a defect")]
    with pytest.raises(TypeError):
        write(address, b"other")


def test_folders_are_listed_in_the_order_of_the_bytes_of_names(shaky):
    names = ["a-b.jpg", "a/b.jpg", "a/c/d.jpg", "a.jpg", "a0.jpg", "\u00e9/x.jpg", "B.jpg"]
    for name in names:
        write(f"shaky://{shaky}/{name}", name.encode())
    expected = sorted(names, key=str.encode)
    found = list(storage.files(f"shaky://{shaky}/"))
    assert [entry[:2] for entry in found] == [(name, len(name.encode())) for name in expected]
    for entry in found:
        assert abs(entry.changed - (shaky / entry.name).stat().st_mtime_ns) < 1e6
    assert storage.size(f"shaky://{shaky}/a") is None
    assert storage.size(f"shaky://{shaky}/a.jpg") == 5
    with pytest.raises(AddressError, match="no such file, folder or bucket") as caught:
        list(storage.files(f"shaky://{shaky}/nothing"))
    assert message_of(caught.value).startswith(f"shaky://{shaky}/nothing/: there is no such file")


class Unreachable(LocalFileSystem):
    """A store that connects when it is made."""

    protocol = "unreachable"
    cachable = False

    def __init__(self, *_, **__):
        raise ConnectionRefusedError("nobody is there")


def test_a_store_that_cannot_be_reached_is_named(shaky):
    fsspec.register_implementation("unreachable", Unreachable, clobber=True)
    with pytest.raises(AddressError, match=r"x\.jpg: tried 5 times: .*nobody is there$"):
        storage.size("unreachable://there/x.jpg")


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1/x.jpg",
        "HTTPS://a.b/x.jpg",
        "simplecache::https://a.b/x.jpg",
        "ftp://127.0.0.1:9/x.jpg",
        "github://a:b@main/x.jpg",
    ],
)
def test_pages_of_the_web_are_not_fetched(monkeypatch, address):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    for use in (storage.size, storage.exists, lambda one: storage.read(one, 5)):
        with pytest.raises(SettingError, match=r"x\.jpg: pages of the web are not fetched"):
            use(address)


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("s3://bucket/scans", True),
        ("simplecache::s3://bucket", True),
        ("memory://", True),
        ("album/old.jpg", False),
        ("a b://c", False),
        ("://c", False),
    ],
)
def test_an_address_is_known_by_its_form(path, is_one):
    assert is_address(path) == is_one
    assert (real(path) == path) == is_one


def test_an_address_is_the_same_with_a_slash_at_its_end():
    assert real("s3://bucket/scans/") == "s3://bucket/scans"
    assert real("memory://") == "memory://"
