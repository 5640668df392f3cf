"""Whole modules that torch.save pickled: their tensors, without the classes, which nobody has.

An object of an unknown class becomes a Module, which holds what the pickle says of it and can do
nothing. What PyTorch's own modules keep, `_parameters`, `_buffers` and `_modules`, has the names.
"""

import sys
from functools import partial

MOST = 100_000  # modules in a file: it may hold one within itself, or each twice in the next
# No class of a network lives there; what PyTorch pickles of its own is known by name.
_NO_CLASSES = frozenset(
    [*sys.stdlib_module_names, *("numpy", "torch", "paddle", "nt", "posix", "__builtin__")]
)
_TORCHS = ("torch.nn.modules.", "torch.nn.parallel.")


class Module:
    """An object of an unknown class, `name` in full: `state` is what its __dict__ was."""

    def __init__(self, name):
        self.name, self.state = name, {}

    def build(self, state):
        if not isinstance(state, dict):
            raise ValueError("a module whose state is no dict")
        self.state = state


def stand_in(name):
    """What makes a Module of the full name of a class of networks, None for any other."""
    known = name.startswith(_TORCHS) or name.partition(".")[0] not in _NO_CLASSES
    return partial(Module, name) if known else None


def reconstruct(kind, *_):
    """The object of which copyreg, before protocol 2, gives the class."""
    if not kind.is_class:
        raise ValueError(f"{kind.name} is no class of a network")
    return kind.value()


KNOWN = {
    "copyreg._reconstructor": reconstruct,
    "copy_reg._reconstructor": reconstruct,
    "builtins.object": None,
    "__builtin__.object": None,
    "builtins.set": list,
    "__builtin__.set": list,
    "torch.device": lambda *_: None,
    # Until PyTorch 1.1 every module had it.
    "torch.nn.backends.thnn._get_thnn_function_backend": lambda: None,
}


def class_of(module):
    """The name of a Module's class, of that inside a DataParallel."""
    inner = _part(module.state, "_modules").get("module")
    parallel = module.name.startswith("torch.nn.parallel.") and isinstance(inner, Module)
    return (inner if parallel else module).name.rpartition(".")[2]


def tensors(module):
    """{dotted name: tensor} of a Module, as its state_dict would have them."""
    found, count, todo = {}, 0, [("", module)]
    while todo:
        prefix, one = todo.pop()
        if (count := count + 1) > MOST:
            raise ValueError(f"more than {MOST:,} modules")
        parts = partial(_part, one.state)
        left_out = one.state.get("_non_persistent_buffers_set", ())
        held = parts("_parameters") | {
            name: value for name, value in parts("_buffers").items() if name not in left_out
        }
        found |= {prefix + name: value for name, value in held.items() if value is not None}
        inner = [(f"{prefix}{name}.", part) for name, part in parts("_modules").items()]
        todo += reversed([(name, part) for name, part in inner if isinstance(part, Module)])
    return found


def _part(state, name):
    part = state.get(name) or {}
    if not isinstance(part, dict) or not all(isinstance(key, str) for key in part):
        raise ValueError(f"a module whose {name} are no names and values")
    return part
