"""bounded_json: what json reads, and a bound instead of a stack or memory that runs out."""

import json
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cic.system import bounded_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.slow
@given(value=VALUES, ascii=st.booleans())
def test_it_reads_what_json_writes(value, ascii):
    text = json.dumps(value, ensure_ascii=ascii)
    assert bounded_json.loads(text) == value
    assert bounded_json.loads(text.encode()) == value


@given(text=st.text(alphabet='[]{}",\\:a1 ', max_size=60))
def test_brackets_in_texts_count_for_nothing(text):
    """The bound is that of the same JSON, in which other letters stand for those in texts."""
    value = {text: [text] * 70}
    data = json.dumps(value).encode()
    bare = bytes(bounded_json._without_texts(data))
    assert bare.replace(b'"', b"") == b"{: [" + b", " * 69 + b"]}"
    assert bounded_json.loads(data) == value


def test_depth_is_bounded_exactly():
    most = bounded_json.DEEPEST
    deep = "[" * most + "]" * most
    assert str(bounded_json.loads(deep)) == deep
    for text in (f"[{deep}]", '{"a":' * (most + 1) + "1" + "}" * (most + 1), "[" * 100_000):
        with pytest.raises(ValueError, match="brackets inside each other"):
            bounded_json.loads(text)
    wide = "[" + ",".join(["[]"] * 1000) + "]"  # many, none deep
    assert len(bounded_json.loads(wide)) == 1000


def test_many_values_are_refused_before_they_take_memory():
    text = "[" + "[]," * bounded_json.MOST + "[]]"
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"JSON of 4,000,002 values"):
        bounded_json.loads(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * len(text)  # as objects they would take 21 times as much


@pytest.mark.parametrize("text", ['"' + '\\"' * 10**6, '"' * 10**6, "\\" * 10**6, "}" * 10**6])
def test_no_text_takes_long(text):
    begin = time.process_time()
    with pytest.raises(ValueError):
        bounded_json.loads("[" * 65 + text)
    assert time.process_time() - begin < 1


def test_other_nonsense_is_a_value_error():
    for text in ("", "{", b"\xff", '{"a": 1, "a": 2}', "1" * 5000, '"\ud800"', "[1]x"):
        with pytest.raises(ValueError):
            bounded_json.loads(text)
    with pytest.raises(ValueError, match="one key twice"):
        bounded_json.loads('{"a": {"b": 1, "b": 1}}')
    with pytest.raises(ValueError, match="5,000 digits"):
        bounded_json.loads("1" * 5000)


def test_a_file_that_is_too_long_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, 2]}')
    assert bounded_json.load(path) == {"a": [1, 2]}
    monkeypatch.setattr(bounded_json, "LONGEST", 5)
    with pytest.raises(ValueError, match="JSON of more than"):
        bounded_json.load(path)
    with pytest.raises(OSError, match=str(tmp_path)):
        bounded_json.load(tmp_path)


def test_a_line_without_an_end_comes_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(bounded_json, "LINE", 10)
    (tmp_path / "log").write_bytes(b"[1]\n" + b"x" * 25 + b"\n[2]")
    with open(tmp_path / "log", "rb") as file:
        lines = list(bounded_json.lines(file))
    assert lines[0] == b"[1]\n"
    assert lines[-1] == b"[2]"
    assert max(map(len, lines)) == 10
