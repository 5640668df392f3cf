"""Find the groups of arrays in a checkpoint: weights, beside an epoch, an optimizer, an average.

A group is a dict of arrays by name, wherever it lies in dicts, lists and objects. The outermost is
called "", another "state_dict" or "model.net". It is one network, or its names begin with the parts
of a program: "module.", "net.".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

MOST = 100_000  # dicts, lists and objects in a file
DEEPEST = 20  # inside each other
LONGEST = 100  # letters that are kept of the name of each
SHOWN = 5  # groups that a message names
# What a file holds, of whatever kind: the tree's dicts, lists, objects and numbers.
Thing: TypeAlias = Any
# {name: array}, class or None, and what else is in it; None of what is no such thing
TakenApart: TypeAlias = tuple[dict[str, Any], str | None, dict[Any, Any]] | None
_SIMPLE = (str, bytes, bytearray, int, float, type(None))
COMPILED = "_orig_mod."  # torch.compile puts it where the compiled module is


@dataclass(frozen=True)
class Group:
    """`arrays` {name: array} of a group called `name`; `kind` is the class if it was an object."""

    name: str
    arrays: dict[str, Any]  # of NumPy, or that become so
    kind: str | None = None

    def __str__(self) -> str:
        return f"{self.name or 'at the top'} ({len(self.arrays)} arrays)"


def find(
    tree: Thing, is_array: Callable[[Thing], bool], taken_apart: Callable[[Thing], TakenApart]
) -> list[Group]:
    """Return the groups in a tree of dicts, lists, tuples and others, each once, the outer first.

    `is_array(value)` tells what an array is; `taken_apart(thing)` gives what is left of others:
    ({name: array}, class, dict of what else is in it), or None. What is deeper than DEEPEST is not
    looked at. Raises ValueError if the tree is too large.
    """
    found: list[Group] = []
    seen: dict[int, Thing] = {}
    todo: list[tuple[str, Thing, int]] = [("", tree, 0)]
    while todo:
        name, thing, depth = todo.pop()
        if id(thing) in seen:
            continue
        seen[id(thing)] = thing
        if len(seen) > MOST:
            raise ValueError(f"more than {MOST:,} parts")
        kind, arrays, inner = _parts(thing, is_array, taken_apart)
        if arrays:
            found.append(Group(name, arrays, kind))
        if depth < DEEPEST:
            parts = [(_joined(name, str(key)[:LONGEST]), part, depth + 1) for key, part in inner]
            todo += reversed(parts)
    return found


def _parts(
    thing: Thing, is_array: Callable[[Thing], bool], taken_apart: Callable[[Thing], TakenApart]
) -> tuple[str | None, dict[str, Any], list[tuple[Any, Thing]]]:
    """Return (class, {name: array}, [(key, thing inside it)]) of a thing."""
    if isinstance(thing, dict):
        items = list(thing.items())
    elif isinstance(thing, list | tuple):
        items = list(enumerate(thing))
    else:
        arrays, kind, further = taken_apart(thing) or ({}, None, {})
        return kind, arrays, [*further.items()]
    arrays = {}
    for key, value in items:
        # Paddle has (its own name, array).
        array = value[1] if isinstance(value, tuple) and len(value) == 2 else value
        if isinstance(key, str) and is_array(array):
            arrays[key] = array
    inner = [
        (key, value)
        for key, value in items
        if key not in arrays and not isinstance(value, _SIMPLE) and not is_array(value)
    ]
    return None, arrays, inner


def _joined(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part


def uncompiled(group: Group) -> Group:
    """Return the Group with names as they are before a module is compiled."""
    arrays = {name.replace(COMPILED, ""): array for name, array in group.arrays.items()}
    return replace(group, arrays=arrays) if len(arrays) == len(group.arrays) else group


def parts(group: Group) -> list[Group]:
    """Return the groups of a Group's arrays whose names begin alike, up to the first dot, without
    that.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, array in group.arrays.items():
        first, _, rest = name.partition(".")
        if rest:
            found.setdefault(first, {})[rest] = array
    return [
        replace(group, name=_joined(group.name, first), arrays=arrays)
        for first, arrays in found.items()
    ]


def listed(found: Sequence[Group]) -> str:
    """Return the groups in words: those with the most arrays, and how many more there are."""
    largest = sorted(found, key=lambda group: -len(group.arrays))
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(map(str, largest[:SHOWN])) + more
