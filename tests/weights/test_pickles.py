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

from cic.weights.checkpoint import CheckpointError
from cic.weights.files import read_frameworks, unpickle

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


PROTOCOL_5 = st.recursive(
    PLAIN | st.binary().map(bytearray),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.slow
@settings(max_examples=30)
@given(value=PROTOCOL_5)
def test_what_only_protocol_5_has_comes_as_pickle_wrote_it(value):
    found = unpickle.load(io.BytesIO(pickle.dumps(value, 5)), {})
    assert found == value
    assert repr(found) == repr(value)  # bytes and bytearray are equal


@given(value=PLAIN, protocol=st.integers(3, 5))
def test_plain_objects_come_as_pickle_wrote_them(value, protocol):
    file = io.BytesIO(b"ahead" + pickle.dumps(value, protocol) + b"behind")
    file.seek(5)
    assert unpickle.load(file, {}) == value
    assert file.read() == b"behind"


def test_a_name_that_has_lines_is_refused_in_one():
    damaged = pickle.dumps(OrderedDict()).replace(b"collections", b"collect\nons")
    with pytest.raises(ValueError, match=r"it names collect\\nons.OrderedDict, which no") as caught:
        unpickle.load(io.BytesIO(damaged), read_frameworks.KNOWN, lambda _: None)
    assert "\n" not in str(caught.value)


@settings(max_examples=300)
@given(data=st.data())
def test_damage_is_a_value_error_and_nothing_else(data, tmp_path_factory):
    whole = data.draw(st.sampled_from([torch_pickle(), paddle_pickle(2), paddle_pickle(4)]))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        unpickle.load(io.BytesIO(bytes(damaged)), read_frameworks.KNOWN, lambda _: None)
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
        read_frameworks.read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "evil.pth" in message
    python_2 = offender.replace("builtins.", "__builtin__.")  # as protocol 2 names it
    python_3_13 = offender.replace("io.open", "_io.open")
    assert any(f" {name}," in message for name in (offender, python_2, python_3_13))
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
    with pytest.raises(unpickle.Refused, match=r"(os|posix)\.system"):
        unpickle.load(io.BytesIO(code), read_frameworks.KNOWN)


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
    with pytest.raises(unpickle.Refused, match=message):
        unpickle.load(io.BytesIO(code), read_frameworks.KNOWN)


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
        unpickle.load(io.BytesIO(code), read_frameworks.KNOWN)


def test_damage_is_not_quoted_at_length():
    with pytest.raises(ValueError, match=r"^a damaged pickle: could not convert") as caught:
        unpickle.load(io.BytesIO(b"F" + b"x" * 60_000 + b"\n."), read_frameworks.KNOWN)
    assert len(str(caught.value)) < 300


def test_absurd_lengths_and_memo_keys_take_no_memory(tmp_path):
    """A memo of 2^32 places, bytes of 2^32: the C unpickler and a file's read allot them."""
    for code in (b"}r\xff\xff\xff\xfe.", b"\x8e\0\0\0\0\1\0\0\0."):
        (tmp_path / "x").write_bytes(b"\x80\x04" + code)
        tracemalloc.start()
        with contextlib.suppress(ValueError), open(tmp_path / "x", "rb") as file:
            unpickle.load(file, {})
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20


def plain(value):
    """The operations that make a value."""
    return pickle.dumps(value, 2)[2:-1]


@pytest.mark.parametrize("older", [False, True])
def test_arrays_in_the_buffers_of_protocol_5(tmp_path, older):
    """Of any order of axes, writable or not, and views; as NumPy 2 and 1 pickle them."""
    base = np.arange(24.0, dtype="f4").reshape(2, 3, 4)
    fixed = base.copy()
    fixed.flags.writeable = False
    arrays = {
        "C": base,
        "F": np.asfortranarray(base),
        "K": base.transpose(1, 0, 2),
        "read only": fixed,
        "view": base[:, ::2],
        "swapped": base.astype(">f4"),
        "empty": base[:0],
        "scalar": np.array(3.0),
        "int": np.arange(3),
        "bool": base[0] > 3,
    }
    code = pickle.dumps(arrays, 5)
    assert b"_frombuffer" in code
    assert b"\x96" in code  # BYTEARRAY8
    if older:
        named = b"\x8c\x13numpy._core.numeric", b"\x8c\x12numpy.core.numeric"
        code = code[:2] + code[11:].replace(*named)  # without the frame's length
        assert named[1] in code
    (tmp_path / "x.pdparams").write_bytes(code)
    found = read_frameworks.read(tmp_path / "x.pdparams")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (("aaaa", "f4", (2,), "C"), "cannot reshape"),
        (("aaa", "f4", (1,), "C"), "multiple of element size"),
        (("aaaa", "f4", (1,), "K", (5,)), "axis 5"),
        (("aaaa", "f4", (2**62, 2**62), "C"), "too big|cannot reshape|Maximum"),
        (("aaaa", "f4", [1], "C"), "an array without a shape"),
        (("aaaa", "f4", 1, "C"), "an array without a shape"),
        (("aaaa", "O", (1,), "C"), "an array of 'O'"),
        (("aaaa", "(1000000000,)f4", (1,), "C"), "an array of"),
        (("aaaa", "f4,f4", (1,), "C"), "an array of 'f4,f4'"),
        ((7, "f4", (1,), "C"), "bytes-like"),
    ],
    ids=str,
)
def test_buffers_that_are_none_are_named(tmp_path, parts, message):
    data, kind, *rest = parts
    code = b"\x80\x05}" + plain("a") + b"cnumpy._core.numeric\n_frombuffer\n("
    code += plain(data) + b"cnumpy\ndtype\n" + plain((kind,)) + b"R"
    path = tmp_path / "x.pdparams"
    path.write_bytes(code + b"".join(map(plain, rest)) + b"tRs.")
    with pytest.raises(CheckpointError, match=rf"x\.pdparams: not weights of .*({message})"):
        read_frameworks.read(path)


def test_nested_tuples_as_a_key_do_not_hang():
    """Each holds the one before twice: hashing the last would take 2^60 steps."""
    code = b"\x80\x02}K\x01" + b"q\x00h\x00\x86" * 60 + b"K\x01s."
    begin = time.process_time()
    with pytest.raises(ValueError, match="a key that is a tuple"):
        unpickle.load(io.BytesIO(code), {})
    assert time.process_time() - begin < 1


def test_pickletools_agrees_on_the_operations():
    """Every operation that is read here is one of pickle's."""
    names = {operation.name for operation in pickletools.opcodes}
    known = set(unpickle._OPERATIONS) | unpickle._VALUES | set(unpickle._CONSTANTS)
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
    read_frameworks.read(path)
    for end in range(0, len(whole), 7 if len(whole) < 2000 else 41):
        path.write_bytes(whole[:end])
        with pytest.raises(CheckpointError, match=rf"{name}: not weights of .*: \S") as caught:
            read_frameworks.read(path)
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
    assert sorted(read_frameworks.read(path)) == ["a", "b"]
    huge = lambda name, data: b"\0" * 10**7 if name.endswith("data/0") else data  # noqa: E731
    rewritten(path, huge, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match=r"zip\.pth: .*: compressed"):
        read_frameworks.read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other/readme.txt", "text")
    with pytest.raises(CheckpointError, match=r"zip\.pth: .*: an archive without data\.pkl"):
        read_frameworks.read(path)


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
        read_frameworks.read(path)


def test_a_flipped_bit_in_an_archive_is_found(saved):
    path = saved / "zip.pth"
    data = bytearray(path.read_bytes())
    place = data.index(struct.pack("<6f", *range(6)))
    data[place + 6] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"zip\.pth: .*CRC"):
        read_frameworks.read(path)


def tensor(
    storage="0", count=6, offset=0, shape=(2, 3), strides=(3, 1), kind=b"torch\nFloatStorage"
):
    """Pickle of {"a": a tensor}, the parts as they are told."""

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
    return read_frameworks.read(path)


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
        read_frameworks.read(path)


def test_arrays_that_are_one_text_again_and_again_are_refused(tmp_path):
    """Each would be encoded anew: 1,000 of a megabyte from a file of one."""

    path, text = tmp_path / "x.pdparams", "\0" * (1 << 20)
    code = b"\x80\x02}(" + plain("its text") + b"X" + struct.pack("<I", len(text))
    code += text.encode() + b"q\xff"
    one = b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01" + plain((len(text) // 4,))
    one += b"cnumpy\ndtype\n" + plain(("f4",)) + b"R\x89h\xfftb"
    path.write_bytes(code + plain("a") + one + b"u.")
    assert read_frameworks.read(path)["a"].shape == (len(text) // 4,)
    path.write_bytes(code + b"".join(plain(str(n)) + one for n in range(1000)) + b"u.")
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="its arrays are larger than it is"):
        read_frameworks.read(path)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def doubled(count):
    """A tuple of the one before twice, and so on: to hash it takes 2^count steps."""
    return b")" + b"q\x00h\x00\x86" * count


def doubled_lists(count):
    """The same of lists: to show it takes as many."""
    return b"]" + b"q\x00]h\x00ah\x00a" * count


LONG_LIST = b"\x80\x02(]q\x00(" + b"N" * 20_000 + b"e"
ENDLESS = {
    "dicts": b"\x80\x02" + b"}" * 1_000_000 + b".",
    "marks": b"\x80\x02" + b"(" * 1_000_000 + b".",
    "tuples": LONG_LIST + b"cbuiltins\ntuple\nh\x00\x85R" * 20_000 + b"t.",
    "sizes": LONG_LIST + b"ctorch\nSize\nh\x00\x85R" * 20_000 + b"t.",
    "sets": LONG_LIST + b"cbuiltins\nset\nh\x00\x85R" * 20_000 + b"t.",
    "pairs": LONG_LIST.replace(b"N", b"K\x01K\x02\x86")
    + b"ccollections\nOrderedDict\nh\x00\x85R" * 20_000
    + b"t.",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDLESS)
def test_what_is_made_of_a_few_bytes_is_bounded(monkeypatch, name):
    """Of one list of 20,000 the last four would make 3 to 40 GB each."""
    monkeypatch.setattr(unpickle, "MOST", 150_000)  # faster
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than 150,000 steps"):
        unpickle.load(io.BytesIO(ENDLESS[name]), read_frameworks._MODULES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20


@pytest.mark.parametrize(
    "code",
    [
        b"\x80\x02cbuiltins\ntuple\n" + plain("x" * 1000) + b"\x85R.",
        b"\x80\x02c" + b"a" * 10**6 + b"\n" + b"b" * 10**6 + b"\n.",
        b"\x80\x02I" + b"9" * 10**6 + b"\n.",
        b"\x80\x04" + doubled_lists(60) + doubled_lists(60) + b"\x93.",  # a global
        b"\x80\x05\x96" + b"\xff" * 6 + b"\0\0.",  # a bytearray of 2^48
    ],
    ids=["tuple of a text", "long name", "long number", "global of lists", "bytearray"],
)
def test_long_things_are_damage_at_once(code):
    begin = time.process_time()
    with pytest.raises(ValueError, match="a damaged pickle"):
        unpickle.load(io.BytesIO(code), read_frameworks.KNOWN)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    "parts",
    [
        {"shape": (10**9,), "strides": ("x",)},  # a text of 10^9 letters
        {"shape": (10**9,), "strides": ([1],)},
        {"shape": (1,) * 10**5, "strides": (1,) * 10**5},
        {"shape": (2**2000,) * 30, "strides": (0,) * 30},
        {"shape": (True, True), "strides": (1, 1)},
        {"offset": [0]},
        {"count": [6]},
        {"storage": (1,)},
    ],
    ids=lambda parts: str(parts)[:60],
)
def test_tensors_of_other_things_than_numbers_are_named(saved, parts):
    begin = time.process_time()
    with pytest.raises(CheckpointError, match=r"zip\.pth: not weights of") as caught:
        read_with(saved, tensor(**parts))
    assert len(str(caught.value)) < 1100
    assert time.process_time() - begin < 1


STORAGE = {
    "first": plain("storage"),
    "kind": b"ctorch\nFloatStorage\n",
    "key": plain("0"),
    "place": plain("cpu"),
    "count": plain(6),
}


@pytest.mark.parametrize("part", ["first", "key", "place", "count"])
@pytest.mark.parametrize("make", [doubled, doubled_lists])
@pytest.mark.timeout(20)
def test_a_storage_described_by_what_is_nested_is_named(saved, part, make):
    """To hash it, or to show it, would take for ever."""
    storage = b"(" + b"".join((STORAGE | {part: make(60)}).values()) + b"tQ"
    code = b"\x80\x02}" + plain("a") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage
    code += plain(0) + plain((2, 3)) + plain((3, 1)) + plain(False) + b"NtRs."
    with pytest.raises(CheckpointError, match=r"zip\.pth: ") as caught:
        read_with(saved, code)
    assert len(str(caught.value)) < 1100


@pytest.mark.timeout(20)
def test_a_dtype_or_keys_that_are_nested_are_not_hashed(tmp_path):
    path, nested = tmp_path / "x.pth", doubled(60)
    buffer = b"cnumpy.core.numeric\n_frombuffer\n(" + plain("aaaa") + b"cnumpy\ndtype\n"
    order = plain(("f4",)) + b"R(" + plain(3) + nested + b"tb"
    tail = plain((1,)) + plain("C") + b"tRs."
    path.write_bytes(b"\x80\x02}" + plain("a") + buffer + order + tail)
    assert read_frameworks.read(path)["a"].tobytes() == b"aaaa"  # what is no order is none
    path.write_bytes(b"\x80\x02}" + plain("a") + buffer + nested + b"\x85R" + tail)
    with pytest.raises(CheckpointError, match="an array of no numbers"):
        read_frameworks.read(path)
    head = (
        plain(read_frameworks.MAGIC),
        plain(1001),
        plain({"little_endian": True}),
        plain({"a": 1}),
    )
    parts = b"".join(b"\x80\x02" + part + b"." for part in (*head, b"]" + nested + b"a"))
    path.write_bytes(parts)
    with pytest.raises(CheckpointError, match="its storages are not those of its tensors"):
        read_frameworks.read(path)


def test_a_module_in_itself_takes_no_memory_for_its_names(tmp_path):
    """Level by level they would grow to 600,000 letters each."""
    net = torch.nn.Linear(2, 2)
    vars(net)["_modules"]["again"] = net
    torch.save(net, tmp_path / "x.pth")
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="more than 100,000 modules, or 100 inside each"):
        read_frameworks.read(tmp_path / "x.pth")
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_modules_that_are_used_again_are_counted_with_what_they_hold(tmp_path):
    inner, outer = torch.nn.Module(), torch.nn.Module()
    vars(inner)["_parameters"] = {f"p{n}": None for n in range(1000)}
    vars(outer)["_modules"] = {f"m{n}": inner for n in range(1000)}
    torch.save(outer, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="more than 100,000 modules"):
        read_frameworks.read(tmp_path / "x.pth")


def test_an_archive_of_absurdly_many_parts_is_refused_before_they_are_read(tmp_path, monkeypatch):
    """Each would be an object of 700 bytes."""
    monkeypatch.setattr(read_frameworks, "DIRECTORY", 1 << 16)  # faster
    path, count = tmp_path / "x.pth", 4000
    entry = b"PK\1\2" + struct.pack("<6H3I5H2I", *(0,) * 6, *(0,) * 3, 1, *(0,) * 4, 0, 0) + b"a"
    size = count * len(entry)
    end_64 = b"PK\6\6" + struct.pack("<Q2H2I4Q", 44, 45, 45, 0, 0, count, count, size, 4)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, 4 + size, 1)
    end = b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(b"PK\3\4" + entry * count + end_64 + locator + end)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.infolist()) == count
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=rf"an archive whose directory has {size:,} bytes"):
        read_frameworks.read(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(("place", "value"), [(12, 0xFFFFFFF0), (12, 1 << 24), (16, 0xFFFFFFF0)])
def test_a_directory_that_lies_elsewhere_is_named(saved, place, value):
    path = saved / "zip.pth"
    rewritten(path)  # without the second end that PyTorch writes
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.rindex(b"PK\5\6") + place, value)
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"zip\.pth: \S") as caught:
        read_frameworks.read(path)
    assert "Invalid argument" not in str(caught.value)
