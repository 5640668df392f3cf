"""Read the tensors of whole modules that torch.save pickled, without their classes.

An object of an unknown class becomes a Module, which holds what the pickle says of it and can do
nothing. The names of the tensors are in what PyTorch's own modules keep: `_parameters`, `_buffers`
and `_modules`. Objects beside the weights in a checkpoint, such as a run's options, become Modules
as well.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from cic.weights.files import unpickle

# Modules, and tensors in them: a file may hold one within itself, or each twice in the next.
MOST, DEEPEST = 100_000, 100
_PARTS = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")
# No class of a network lives there; what PyTorch pickles of its own is known by name.
_NO_CLASSES = frozenset(
    [*sys.stdlib_module_names, "numpy", "torch", "paddle", "nt", "posix", "__builtin__"]
)  # fmt: skip
_TORCHS = ("torch.nn.modules.", "torch.nn.parallel.", "torch.optim.")
_OPTIONS = {"argparse.Namespace", "types.SimpleNamespace"}


class Module:
    """An object of an unknown class, `name` in full.

    `state` is its __dict__, `items` its entries if it is a kind of dict.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.state: dict[Any, Any] = {}
        self.items: dict[Any, Any] = {}

    def build(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)  # with that of __slots__
        self.state = next((part for part in parts if isinstance(part, dict)), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def extend(self, items: Any) -> None:
        """What a kind of list has concerns no network."""


def stand_in(name: str) -> Callable[..., Module] | None:
    """Return what makes a Module of the full name of a class of networks, None for any other."""
    known = name.startswith(_TORCHS) or name.partition(".")[0] not in _NO_CLASSES
    return partial(Module, name) if known else stand_in_for_options(name)


def stand_in_for_options(name: str) -> Callable[..., Module] | None:
    """Return the same of a class that holds the options of a run, in the files of Paddle as
    well.
    """
    return partial(Module, name) if name in _OPTIONS else None


def reconstruct(kind: unpickle.Global, *_: object) -> Any:
    """Return the object whose class copyreg gives, before protocol 2."""
    if not kind.is_class:
        raise ValueError(f"{kind.name} is no class of a network")
    return kind.value()


KNOWN: dict[str, Any] = {
    "copyreg._reconstructor": reconstruct,
    "copy_reg._reconstructor": reconstruct,
    "builtins.object": None,
    "__builtin__.object": None,
    "builtins.set": unpickle.sequence,
    "__builtin__.set": unpickle.sequence,
    "torch.device": lambda *_: None,
    # Until PyTorch 1.1 every module had it.
    "torch.nn.backends.thnn._get_thnn_function_backend": lambda: None,
}


def class_name(module: Module) -> str:
    """Return the name of a Module's class, of that inside a DataParallel."""
    inner = _part(module.state, "_modules").get("module")
    parallel = module.name.startswith("torch.nn.parallel.") and isinstance(inner, Module)
    return (inner if parallel else module).name.rpartition(".")[2]  # type: ignore[union-attr]


def tensors(module: Module) -> dict[str, Any]:
    """Return {dotted name: tensor} of a Module, as its state_dict would have them.

    Raises ValueError if these are no names and values, or too many.
    """
    found: dict[str, Any] = {}
    count, todo = 0, [("", module, 0)]
    while todo:
        prefix, one, depth = todo.pop()
        count += 1 + sum(len(one.state.get(part) or ()) for part in _PARTS)
        if count > MOST or depth > DEEPEST:
            raise ValueError(f"more than {MOST:,} modules, or {DEEPEST} inside each other")
        held, inner = _held(one), _part(one.state, "_modules")
        found |= {prefix + name: value for name, value in held.items()}
        parts = [
            (f"{prefix}{name}.", part, depth + 1)
            for name, part in inner.items()
            if isinstance(part, Module)
        ]
        todo += reversed(parts)
    return found


def _held(module: Module) -> dict[str, Any]:
    """Return {name: tensor} of a Module's own that its state_dict has."""
    left_out = module.state.get("_non_persistent_buffers_set", ())
    left_out = set(unpickle.texts_in(left_out))
    buffers = _part(module.state, "_buffers").items()
    held = _part(module.state, "_parameters") | {n: one for n, one in buffers if n not in left_out}
    return {name: value for name, value in held.items() if value is not None}


def _part(state: dict[Any, Any], name: str) -> dict[str, Any]:
    part = state.get(name) or {}
    if not isinstance(part, dict) or not all(isinstance(key, str) for key in part):
        raise ValueError(f"a module whose {name} are no names and values")
    return part
