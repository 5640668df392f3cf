"""Recognise files of weights in every known format by their content, not by their names.

`layout` defines a format; each format is a file here. The readers in `cic.weights.files`, and
`caffe`, read the frameworks' files, without them and without running any code in a file. `groups`
finds the network in a file, and `others` says what a file without weights is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType, ModuleType
from typing import Any, TypeAlias

from cic.networks import Network
from cic.system.arrays import State
from cic.system.errors import InputError, SettingError
from cic.system.invocation import named
from cic.system.regular import open_regular
from cic.system.typing import Json, StrPath
from cic.weights.checkpoint import CheckpointError
from cic.weights.files import onnx_file, others, read_frameworks, read_safetensors
from cic.weights.files.groups import Group, listed, parts, uncompiled
from cic.weights.formats import (
    caffe,
    dlimage,
    eccv16,
    efficientnet,
    features,
    neutral,
    notes,
    onnx,
    resnet,
    special_resnet,
    special_vgg,
    vgg,
)
from cic.weights.formats.layout import Layout, MappedWeights

NEUTRAL, ONNX = neutral.FORMAT, onnx.FORMAT
Recognised: TypeAlias = tuple[Group, Layout]
_PICKLED: tuple[Layout, ...] = (  # in files of PyTorch and Paddle
    eccv16.FORMAT, *features.FORMATS, dlimage.FORMAT, special_vgg.FORMAT, special_resnet.FORMAT,
    *vgg.FORMATS, *resnet.FORMATS, efficientnet.FORMAT,
)  # fmt: skip
MOST_PREFIXES = 4  # such as "model.module."
FORMATS: tuple[Layout, ...] = (NEUTRAL, ONNX, *_PICKLED, caffe.FORMAT)


def names() -> tuple[str, ...]:
    """Return the names that `get` knows."""
    return tuple(form.name for form in FORMATS)


def get(name: str, among: Sequence[Layout] = FORMATS) -> Layout:
    """Return the format of that name; raise ValueError for another."""
    for form in among:
        if form.name == name:
            return form
    names = ", ".join(form.name for form in among)
    raise SettingError(f"no format is called {name!r}; there are {names}")


def load(path: StrPath) -> tuple[Network, State]:
    """Return (network, neutral state) from a file of weights; raise CheckpointError, naming the
    file.
    """
    found = read(path)
    return found.network, found.state


def read(
    path: StrPath, options: Mapping[str, Any] = MappingProxyType({}), group: str | None = None
) -> MappedWeights:
    """Read a file in any format; raise CheckpointError, naming the file, for anything else.

    `options` of the network say what the arrays of some files do not. Of several networks in it,
    `group` names the one to take.
    """
    if is_checkpoint(path):
        return NEUTRAL.read(path)
    kind = _kind(path)
    if kind is onnx_file:
        return ONNX.read(path)
    groups, note, problem = kind.read_groups(path)
    forms: tuple[Layout, ...] = (caffe.FORMAT,) if kind is caffe else _PICKLED
    found = [one for part in groups for one in _recognised(part, forms)]
    if group is not None:
        found = [one for one in found if one[0].name == group]
    if not found:
        raise CheckpointError(f"{path}: {problem or _nothing_known(groups, group)}")
    hints = notes.options(note) | options  # type: ignore[operator]
    return _the_one(path, found, hints, note, groups)


def _recognised(
    group: Group, forms: Iterable[Layout], depth: int = MOST_PREFIXES
) -> list[Recognised]:
    """Return [(Group, its format)] of the networks in a Group, which may have prefixes of
    others.
    """
    group = uncompiled(group)
    for form in forms:
        if form.recognises(form.strip_prefix(group.arrays)):
            return [(group, form)]
    inner = parts(group) if depth else ()
    return [one for part in inner for one in _recognised(part, forms, depth - 1)]


def _nothing_known(groups: Sequence[Group], group: str | None) -> str:
    """Return why none of the Groups is a network, in words."""
    if group is not None:
        return f"no network is called {group!r} in it: it has {listed(groups)}"
    if len(groups) == 1:
        some = ", ".join(list(groups[0].arrays)[:3]) or "there are none"
        return f"weights of no known network: {some}"
    return f"weights of no known network: it has {listed(groups)}"


def _the_one(
    path: StrPath,
    found: Sequence[Recognised],
    hints: Mapping[str, Any],
    note: Json,
    groups: Sequence[Group],
) -> MappedWeights:
    """Map the weights of the only sound group among the recognised [(Group, its format)].

    Raises CheckpointError if none is sound, or several are.
    """
    sound: list[tuple[Group, MappedWeights]] = []
    errors: list[CheckpointError] = []
    for group, form in found:
        options = hints | {"class": group.kind}  # type: ignore[operator]
        place = f"{path}: {group.name}" if group.name else path
        try:
            own = note if not group.name else None  # it is about a file of ours
            sound.append((group, form.convert(group.arrays, place, own, options)))
        except CheckpointError as error:
            errors.append(error)
    if not sound:
        raise errors[0]
    if len(sound) > 1:
        raise CheckpointError(
            f"{path}: it has several networks: {listed([group for group, _ in sound])}: choose one "
            f"with {named('port')} --group NAME, and take what it writes"
        )
    [(group, one)] = sound
    others = {
        other.name or "the other arrays": f"{len(other.arrays)} arrays beside the network"
        for other in groups
        if other.name != group.name and not group.name.startswith(f"{other.name}.")
    }
    return replace(one, dropped=one.dropped | others) if group.name else one


def is_checkpoint(path: StrPath) -> bool:
    """Return whether a file is a checkpoint of this project; CheckpointError if it is no
    weights.
    """
    if _kind(path) is not read_safetensors:
        return False
    return read_safetensors.is_checkpoint(path)


def _kind(path: StrPath) -> ModuleType:
    """Return the module that reads a file; raise CheckpointError, saying what it is, if there is
    none.
    """
    try:
        with open_regular(path) as file:
            start = file.read(others.START)
            if read_safetensors.recognises(start):
                return read_safetensors
            if read_frameworks.recognises(start):
                return read_frameworks
            if onnx_file.recognises(start):
                return onnx_file
            what = others.by_sign(start)
            if not what and caffe.recognises(file):
                return caffe
    except IsADirectoryError:
        raise CheckpointError(f"{path}: a folder: name a file in it, *_model.safetensors") from None
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file") from None
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None
    raise CheckpointError(f"{path}: not a checkpoint: {what or others.by_text(start, path)}")


def suited(suffix: str, network: Network, among: Sequence[Layout] = FORMATS) -> Layout:
    """Return the format of files that end so, ".pth", which holds `network`; ValueError if none
    does.
    """
    reasons = []
    for form in among:
        if suffix in form.suffixes and network.name in form.networks:
            try:
                form.check_holds(network)
                return form
            except ValueError as error:
                reasons.append(str(error))
    raise InputError("; ".join(reasons) or f"no format of {network.name} ends in {suffix!r}")
