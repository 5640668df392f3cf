"""The reader of pickles: no code runs, whatever the file; what is wrong is one line naming it."""

import contextlib
import io
import os
import pickle
import pickletools
import struct
import time
import tracemalloc
import zipfile
from collections import OrderedDict

import numpy as np
import paddle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cic import pickles
from cic.checkpoint import CheckpointError
from cic.formats import frameworks

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**300), 2**300)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner)
    ),
    max_leaves=20,
)


@given(value=PLAIN, protocol=st.integers(3, 5))
def test_plain_objects_come_as_pickle_wrote_them(value, protocol):
    file = io.BytesIO(b"ahead" + pickle.dumps(value, protocol) + b"behind")
    file.seek(5)
    assert pickles.load(file, {}) == value
    assert file.read() == b"behind"


@settings(max_examples=300)
@given(data=st.data())
def test_damage_is_a_value_error_and_nothing_else(data, tmp_path_factory):
    whole = data.draw(st.sampled_from([torch_pickle(), paddle_pickle(2), paddle_pickle(4)]))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        pickles.load(io.BytesIO(bytes(damaged)), frameworks.KNOWN, lambda _: None)
    except ValueError as error:
        assert "\n" not in str(error)


def torch_pickle():
    file = io.BytesIO()
    torch.save(state(), file)
    with zipfile.ZipFile(file) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        return archive.read(name)


def paddle_pickle(protocol):
    arrays = {name: array.numpy() for name, array in state().items()}
    return pickle.dumps(arrays, protocol)


def state():
    return {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4)}


class Calls:
    """Its pickle calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def evil(marker):
    """{name: (the global that runs, object whose pickle runs it)}; each would make a file."""
    code = f"open({str(marker)!r}, 'w').close()"
    return {
        "system": (f"{os.system.__module__}.system", Calls(os.system, f"touch {marker}")),
        "eval": ("builtins.eval", Calls(eval, code)),
        "exec": ("builtins.exec", Calls(exec, code)),
        "nested": ("builtins.exec", OrderedDict(a=[1, (2, {"b": Calls(exec, code)})])),
        "getattr": ("builtins.getattr", Calls(getattr, Calls(__import__, "os"), "system")),
        "open": ("io.open", Calls(open, str(marker), "w")),
        "class": (f"{__name__}.Calls", Calls(Calls, "exec", code)),
        "torch": ("torch.serialization.load", Calls(torch.load, str(marker))),
        "numpy": ("numpy.load", Calls(np.load, str(marker))),
    }


@pytest.mark.parametrize("name", evil("x"))
@pytest.mark.parametrize("write", ["pickle", "zip", "old", "paddle", "protocol 2"])
def test_code_does_not_run_and_is_named(tmp_path, name, write):
    """Such files do run it when they are unpickled, as the last line shows for some."""
    marker, path = tmp_path / "ran", tmp_path / "evil.pth"
    offender, thing = evil(marker)[name]
    thing = {"weight": thing}
    if write in ("zip", "old"):
        torch.save(thing, path, _use_new_zipfile_serialization=write == "zip")
    elif write == "paddle":
        paddle.save(thing, str(path))
    else:
        path.write_bytes(pickle.dumps(thing, int(write[-1]) if write[-1].isdigit() else None))
    with pytest.raises(CheckpointError) as caught:
        frameworks.read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "evil.pth" in message
    python_2 = offender.replace("builtins.", "__builtin__.")  # as protocol 2 names it
    assert f" {offender}," in message or f" {python_2}," in message
    assert not marker.exists()
    if name in ("system", "eval", "exec") and write == "pickle":
        pickle.loads(path.read_bytes())
        assert marker.exists()


@pytest.mark.parametrize(
    "code",
    [
        b"\x80\x02(cos\nsystem\nX\x01\x00\x00\x00:o.",  # OBJ
        b"(ios\nsystem\n.",  # INST
        b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00:\x85\x81.",  # NEWOBJ
        b"\x80\x04\x8c\x02os\x8c\x06system\x93)}\x92.",  # NEWOBJ_EX
        b"\x80\x02\x8c\x05posix\x8c\x06system\x93\x8c\x01:\x85R.",
        b"\x80\x04\x8c\x05posix\x8c\x0asystem.pop\x93.",
    ],
)
def test_every_way_to_name_a_global_is_closed(code):
    with pytest.raises(pickles.Refused, match=r"(os|posix)\.system"):
        pickles.load(io.BytesIO(code), frameworks.KNOWN)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "makes a numpy.ndarray"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "calls numpy.ndarray"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "calls torch.FloatStorage"),
        (b"\x80\x02K\x01)R.", "calls what is no function"),
        (b"\x80\x02K\x01Q.", "outside of it"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
    ],
)
def test_other_operations_are_refused(code, message):
    with pytest.raises(pickles.Refused, match=message):
        pickles.load(io.BytesIO(code), frameworks.KNOWN)


@pytest.mark.parametrize(
    "code",
    [
        b"",
        b"\x80\x02",
        b".",
        b"\x80\x02}",
        b"\x80\x02R.",
        b"\x80\x02t.",
        b"\x80\x02}K\x01s.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02}(X\xff\xff\xff\xffu.",
        b"\x80\x02h\x07.",
        b"\x80\x02r\xff\xff\xff\xff.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\x00\x00.",  # bytes of 2^48
        b"\x80\x02K\x01K\x02a.",
        b"\x80\x02}()K\x01u.",  # a tuple as a key
        b"\xff\xff",
        b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.",
    ],
)
def test_nonsense_is_damage(code):
    with pytest.raises(ValueError, match=r"^a damaged pickle: "):
        pickles.load(io.BytesIO(code), frameworks.KNOWN)


def test_absurd_lengths_and_memo_keys_take_no_memory(tmp_path):
    """A memo of 2^32 places, bytes of 2^32: the C unpickler and a file's read allot them."""
    for code in (b"}r\xff\xff\xff\xfe.", b"\x8e\0\0\0\0\1\0\0\0."):
        (tmp_path / "x").write_bytes(b"\x80\x04" + code)
        tracemalloc.start()
        with contextlib.suppress(ValueError), open(tmp_path / "x", "rb") as file:
            pickles.load(file, {})
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20


def test_nested_tuples_as_a_key_do_not_hang():
    """Each holds the one before twice: hashing the last would take 2^60 steps."""
    code = b"\x80\x02}K\x01" + b"q\x00h\x00\x86" * 60 + b"K\x01s."
    begin = time.process_time()
    with pytest.raises(ValueError, match="a key that is a tuple"):
        pickles.load(io.BytesIO(code), {})
    assert time.process_time() - begin < 1


def test_pickletools_agrees_on_the_operations():
    """Every operation that is read here is one of pickle's."""
    names = {operation.name for operation in pickletools.opcodes}
    known = set(pickles._OPERATIONS) | pickles._VALUES | set(pickles._CONSTANTS)
    assert known <= names


@pytest.fixture
def saved(tmp_path):
    """A file of each format."""
    torch.save(state(), tmp_path / "zip.pth")
    torch.save(state(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    arrays = {name: paddle.to_tensor(array.numpy()) for name, array in state().items()}
    paddle.save(arrays, str(tmp_path / "paddle.pdparams"))
    return tmp_path


@pytest.mark.parametrize("name", ["zip.pth", "old.pth", "paddle.pdparams"])
def test_a_file_that_is_cut_off_anywhere_is_named(saved, name):
    path = saved / name
    whole = path.read_bytes()
    frameworks.read(path)
    for end in range(0, len(whole), 7 if len(whole) < 2000 else 41):
        path.write_bytes(whole[:end])
        with pytest.raises(CheckpointError, match=rf"{name}: not weights of .*: \S") as caught:
            frameworks.read(path)
        assert "\n" not in str(caught.value)


def rewritten(path, change=lambda name, data: data, **options):
    """Write an archive anew, each entry changed."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in entries.items():
            archive.writestr(name, change(name, data))


def test_bombs_and_archives_of_other_kinds_are_refused(saved):
    path = saved / "zip.pth"
    rewritten(path)
    assert sorted(frameworks.read(path)) == ["a", "b"]
    huge = lambda name, data: b"\0" * 10**7 if name.endswith("data/0") else data  # noqa: E731
    rewritten(path, huge, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match=r"zip\.pth: .*: compressed"):
        frameworks.read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other/readme.txt", "text")
    with pytest.raises(CheckpointError, match=r"zip\.pth: .*: an archive without data\.pkl"):
        frameworks.read(path)


def test_parts_that_overlap_are_refused(saved):
    """One storage, named ten times in the archive's directory."""
    path = saved / "zip.pth"
    torch.save({"a": torch.zeros(100_000)}, path)
    with zipfile.ZipFile(path) as archive:
        entry = next(e for e in archive.infolist() if e.filename.endswith("data/0"))
        for number in range(10):
            twin = zipfile.ZipInfo(f"zip/data/{number + 10}")
            for part in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(twin, part, getattr(entry, part))
            archive.filelist.append(twin)
        size = os.path.getsize(path)
        assert sum(e.file_size for e in archive.filelist) > size
        buffer = io.BytesIO(path.read_bytes())
        directory = zipfile.ZipFile(buffer, "a")
        directory.filelist, directory._didModify = archive.filelist, True
        directory.close()
    path.write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError, match=r"its parts are larger than it is"):
        frameworks.read(path)


def test_a_flipped_bit_in_an_archive_is_found(saved):
    path = saved / "zip.pth"
    data = bytearray(path.read_bytes())
    place = data.index(struct.pack("<6f", *range(6)))
    data[place + 6] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"zip\.pth: .*CRC"):
        frameworks.read(path)


def tensor(
    storage="0", count=6, offset=0, shape=(2, 3), strides=(3, 1), kind=b"torch\nFloatStorage"
):
    """Pickle of {"a": a tensor}, the parts as they are told."""

    def plain(value):
        return pickle.dumps(value, 2)[2:-1]

    head = b"\x80\x02}" + plain("a") + b"ctorch._utils\n_rebuild_tensor_v2\n(("
    storage = plain("storage") + b"c" + kind + b"\n" + plain(storage) + plain("cpu") + plain(count)
    tail = plain(False) + b"N" + b"tRs."
    return head + storage + b"tQ" + plain(offset) + plain(shape) + plain(strides) + tail


def test_such_a_pickle_is_read(saved):
    assert read_with(saved, tensor())["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read_with(saved, tensor(offset=1, shape=(5,), strides=(1,)))["a"].tolist() == [
        1,
        2,
        3,
        4,
        5,
    ]


def read_with(saved, code):
    path = saved / "zip.pth"
    rewritten(path, lambda name, data: code if name.endswith("data.pkl") else data)
    return frameworks.read(path)


@pytest.mark.parametrize(
    "parts",
    [
        {"shape": (10**9, 10**9), "strides": (0, 0)},  # one number, again and again
        {"shape": (7,), "strides": (1,)},
        {"shape": (2, 3), "strides": (4, 1)},
        {"offset": 1},
        {"offset": -1},
        {"shape": (-2, -3)},
        {"strides": (-3, 1)},
        {"shape": (2,)},
        {"shape": (2.0, 3)},
        {"shape": None},
        {"offset": 2**70},
        {"shape": (1,) * 100, "strides": (1,) * 100},
        {"count": 5},
        {"count": 5, "shape": (5,), "strides": (1,)},
        {"count": 2**62},
        {"count": -6},
        {"count": None},
        {"storage": "7"},
        {"storage": "../version"},
        {"storage": None},
        {"kind": b"torch\nDoubleStorage"},
        {"kind": b"builtins\ntuple"},
        {"kind": b"numpy\nndarray"},
    ],
    ids=str,
)
def test_absurd_tensors_are_named(saved, parts):
    with pytest.raises(CheckpointError, match=r"zip\.pth: not weights of") as caught:
        read_with(saved, tensor(**parts))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "thing",
    [
        [1, 2],
        {"epoch": 3},
        {1: np.zeros(3)},
        {"a": np.array(["text"])},
        {"a": np.array([None])},
        {"a": np.zeros(3, np.complex64)},
        {"a": np.zeros(3, [("x", "f4")])},
    ],
    ids=str,
)
def test_what_is_no_state_dict_is_named(tmp_path, thing):
    path = tmp_path / "x.pdparams"
    path.write_bytes(pickle.dumps(thing, 4))
    with pytest.raises(CheckpointError, match=r"x\.pdparams: not weights of .*: \S"):
        frameworks.read(path)


def test_arrays_that_are_one_text_again_and_again_are_refused(tmp_path):
    """Each would be encoded anew: 1,000 of a megabyte from a file of one."""

    def plain(value):
        return pickle.dumps(value, 2)[2:-1]

    path, text = tmp_path / "x.pdparams", "\0" * (1 << 20)
    code = b"\x80\x02}(" + plain("its text") + b"X" + struct.pack("<I", len(text))
    code += text.encode() + b"q\xff"
    one = b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01" + plain((len(text) // 4,))
    one += b"cnumpy\ndtype\n" + plain(("f4",)) + b"R\x89h\xfftb"
    path.write_bytes(code + plain("a") + one + b"u.")
    assert frameworks.read(path)["a"].shape == (len(text) // 4,)
    path.write_bytes(code + b"".join(plain(str(n)) + one for n in range(1000)) + b"u.")
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="its arrays are larger than it is"):
        frameworks.read(path)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()
