"""Read a pickle as data: whoever wrote it, none of its code runs and nothing is imported for it.

`pickletools` splits it into operations, and this module carries them out on a stack of plain
objects. It looks globals up in a table and nowhere else, and refuses operations that no file of
weights needs. A few bytes may ask for a large object, over and over, so the size of all objects is
counted and bounded.
"""

import os
import pickletools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from cic.system.text import printable, shortened

_VALUES = {  # operations that push their argument
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",  # the last in protocol 5
}  # fmt: skip
# Operations, and members of what is passed to functions: a tensor takes about 40 of them.
MOST = 2_000_000
# An object of a pickle, of whatever kind: what a file says of it is not known before.
Thing: TypeAlias = Any
Persistent: TypeAlias = Callable[[Thing], Thing]
StandIn: TypeAlias = Callable[[str], Thing]
LONGEST_LINE = 1 << 16  # bytes: a global's name
FRAME = 9  # bytes of the operation that says how many bytes until the next, or the end
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_SMALL_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


class Refused(ValueError):
    """A pickle that asks for something unknown here; the message names it."""


class Global(NamedTuple):
    """A global that a pickle names, and its substitute here."""

    name: str
    value: Any
    is_class: bool = False


def load(
    file: BinaryIO,
    known: Mapping[str, Thing],
    persistent: Persistent | None = None,
    stand_in: StandIn | None = None,
) -> Thing:
    """Return the object of the pickle that starts where the binary `file` stands; leave it at its
    end.

    `known`, {"module.name": value}, are the globals that it may name: a callable takes the
    arguments that the pickle has for it. An object's `build` takes its state, if it has one;
    `persistent` makes an object of what the pickle says of one that is kept outside. For a class
    that is not known, `stand_in(name)` gives one that its objects are of here instead, or None.
    Raises Refused for any other global or operation, ValueError for what is no pickle, or one of
    more than MOST steps.
    """
    machine, bounded, end = _Machine(known, persistent, stand_in), _Bounded(file), None
    try:
        for operation, argument, place in pickletools.genops(bounded):  # type: ignore[arg-type]
            machine.spend(1)
            if operation.name == "FRAME":
                end = place + FRAME + argument  # type: ignore[operator]
            if end is not None and end > bounded.size:
                raise ValueError("cut off")
            if operation.name == "STOP":
                if end not in (None, file.tell()):
                    raise ValueError("its end is not that of its last frame")
                return machine.stack.pop()
            machine.run(operation.name, argument)
    except Refused:
        raise
    except _DAMAGE as error:
        raise ValueError(f"a damaged pickle: {shortened(str(error))}") from None


def dictionary(items: Iterable[tuple[Thing, Thing]] = ()) -> dict[Thing, Thing]:
    """Return a dict of (key, value) pairs, as the pickle of an OrderedDict has them."""
    return _fill({}, items)


def sequence(items: Thing = ()) -> tuple[Thing, ...]:
    """Return a tuple of the members of a list or tuple."""
    if not isinstance(items, list | tuple):
        raise TypeError(f"the members of a {type(items).__name__}")
    return tuple(items)


def texts_in(items: Thing) -> Sequence[str]:
    """Return the texts among the members of a list or tuple; () of anything else."""
    return [one for one in items if isinstance(one, str)] if isinstance(items, list | tuple) else ()


def _fill(target: Thing, items: Iterable[tuple[Thing, Thing]]) -> Thing:
    """Add pairs to a dict. Only plain keys: the hash of nested tuples can take for ever."""
    for key, value in items:
        by_identity = type(key).__hash__ is object.__hash__  # type: ignore[comparison-overlap]  # of tensors, in an optimizer
        if not by_identity and not isinstance(key, str | int | float | None):
            raise TypeError(f"a key that is a {type(key).__name__}")
        target[key] = value
    return target


class _Bounded:
    """A file that is never asked for more than it has: a length in a pickle may be absurd."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.tell = file, file.tell
        here = file.tell()
        self.size = file.seek(0, os.SEEK_END)
        file.seek(here)

    def read(self, count: int) -> bytes:
        return self.file.read(min(count, self.size - self.file.tell()))

    def readline(self) -> bytes:
        return self.file.readline(LONGEST_LINE)


class _Machine:
    """The stack, its marks, and the memo of objects that are used again."""

    def __init__(
        self, known: Mapping[str, Thing], persistent: Persistent | None, stand_in: StandIn | None
    ) -> None:
        self.known, self.persistent, self.stand_in = known, persistent, stand_in
        self.stack: list[Thing] = []
        self.marks: list[int] = []
        self.memo: dict[int, Thing] = {}
        self.steps = 0

    def spend(self, count: int) -> None:
        """Count steps; raises ValueError if they are more than MOST."""
        self.steps += count
        if self.steps > MOST:
            raise ValueError(f"more than {MOST:,} steps")

    def run(self, name: str, argument: Thing) -> None:
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _SMALL_TUPLES:
            self.stack.append(tuple(self._take(_SMALL_TUPLES[name])))
        elif name in _OPERATIONS:
            _OPERATIONS[name](self, argument)
        else:
            self._refuse_other(name, argument)

    def _refuse_other(self, name: str, argument: Thing) -> None:
        if name == "INST":
            self.find(*argument.split(" "))
        raise Refused(f"the pickle's operation {name} is not read here")

    def _take(self, count: int) -> list[Thing]:
        """Return the last `count` objects, off the stack."""
        if count > len(self.stack):
            raise IndexError("the stack is empty")
        start = len(self.stack) - count
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def _marked(self) -> list[Thing]:
        """Return the objects above the last mark, off the stack."""
        return self._take(len(self.stack) - self.marks.pop())

    def find(self, module: Thing, name: Thing) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("a global without a name")
        full = f"{module}.{name}"
        if full in self.known:
            self.stack.append(Global(full, self.known[full]))
        elif self.stand_in and (stand_in := self.stand_in(full)):
            self.stack.append(Global(full, stand_in, is_class=True))
        else:
            raise Refused(f"it names {printable(full)}, which no file of weights needs")

    def reduce(self) -> None:
        function, arguments = self._take(2)
        if not (isinstance(function, Global) and callable(function.value)) or function.is_class:
            name = getattr(function, "name", "what is no function")
            raise Refused(f"it calls {name}, which no file of weights does")
        self.spend(sum(len(one) for one in arguments if isinstance(one, list | tuple | dict)))
        self.stack.append(function.value(*arguments))

    def new(self) -> None:
        """An object of a class for which another stands in; its arguments are left away."""
        kind, _ = self._take(2)
        if not (isinstance(kind, Global) and kind.is_class):
            raise Refused(f"it makes a {getattr(kind, 'name', 'thing of no class')}")
        self.stack.append(kind.value())

    def build(self) -> None:
        (state,) = self._take(1)
        build = getattr(self.stack[-1], "build", None)
        if build:
            build(state)

    def append(self, items: Iterable[Thing]) -> None:
        self.stack[-1].extend(items)

    def set_items(self, items: Sequence[Thing]) -> None:
        _fill(self.stack[-1], zip(items[::2], items[1::2], strict=True))

    def persist(self) -> None:
        if self.persistent is None:
            raise Refused("it names an object outside of it")
        self.stack.append(self.persistent(*self._take(1)))

    def memoize(self, key: int | None) -> None:
        self.memo[len(self.memo) if key is None else key] = self.stack[-1]

    def recall(self, key: int) -> None:
        self.stack.append(self.memo[key])


_OPERATIONS: dict[str, Callable[[_Machine, Thing], object]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine._marked())),
    "EMPTY_SET": lambda machine, _: machine.stack.append([]),
    "APPEND": lambda machine, _: machine.append(machine._take(1)),
    "APPENDS": lambda machine, _: machine.append(machine._marked()),
    "ADDITEMS": lambda machine, _: machine.append(machine._marked()),
    "SETITEM": lambda machine, _: machine.set_items(machine._take(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine._marked()),
    "GLOBAL": lambda machine, texts_in: machine.find(*texts_in.split(" ")),
    "STACK_GLOBAL": lambda machine, _: machine.find(*machine._take(2)),
    "REDUCE": lambda machine, _: machine.reduce(),
    "NEWOBJ": lambda machine, _: machine.new(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.persist(),
    "BINPUT": _Machine.memoize,
    "LONG_BINPUT": _Machine.memoize,
    "MEMOIZE": _Machine.memoize,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
}
