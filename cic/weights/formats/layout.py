"""The definition of a format: a project's network under its own names, renamed to ours and back."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from cic.colour.bins import AB
from cic.networks import Network, spectral
from cic.networks.layers import BatchNorm, Linear
from cic.system.arrays import Array, State
from cic.system.errors import SettingError
from cic.system.typing import Json, StrPath
from cic.weights.checkpoint import CheckpointError, check, check_numbers, network_meta
from cic.weights.formats import notes
from cic.weights.formats.compare import paired, what_differs

SHOWN = 5  # names of each kind that a message has


@dataclass(frozen=True)
class MappedWeights:
    """The weights of a file: its own arrays, and what became of each.

    `theirs` is the network as their code computes it. `state` and `meta` are those of a checkpoint
    of ours of `network`; `names` {ours: theirs}, `dropped` {theirs: why}.
    """

    form: "Layout"
    arrays: Mapping[str, Array]
    theirs: Network
    network: Network
    state: State
    meta: dict[str, Json]
    names: dict[str, str]
    dropped: dict[str, str]

    @property
    def temperature(self) -> float | None:
        """What `meta` says of decoding, None if nothing."""
        return self.meta.get("colorize", {}).get("temperature")

    def of(self, network: Network, source: object) -> "MappedWeights":
        """Return the same as weights of another `network`; raise CheckpointError unless they fit
        it.
        """
        check(network, self.state, source)
        return replace(self, network=network, meta=self.meta | network_meta(network))

    def folded(self) -> "MappedWeights":
        """Return the same without spectral norms: their kernels are divided by them."""
        network, state = spectral.folded(self.network, self.state)
        return replace(self, network=network, state=state, meta=self.meta | network_meta(network))


class Layout:
    """A format; each file beside this one defines what differs in its format.

    `name` is its name, `about` the project and its class, `suffixes` the endings of its files,
    `networks` the names of those of our networks that it holds, `parts` its names of the parts of a
    layer where they differ from ours, `temperature` that of its own decoding, None if its output is
    no logits. `write(path, arrays, note)` makes its file; a format without it is only read.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    networks: ClassVar[tuple[str, ...]]
    parts: ClassVar[Mapping[str, str]] = MappingProxyType({})
    temperature: ClassVar[float | None] = None
    write: ClassVar[Any] = None  # Any: a staticmethod, to which mypy would bind self

    def recognises(self, arrays: Mapping[str, Array]) -> bool:
        """Return whether {name: array} has the names of this format; others are asked if not."""
        raise NotImplementedError

    def strip_prefix(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return `arrays` under the names that `theirs` has, without a prefix."""
        return arrays

    def network(self, arrays: Mapping[str, Array], hints: Mapping[str, Any]) -> Network:
        """Return the network of ours that computes what theirs does, of the sizes of `arrays`.

        `hints` is what arrays may not say: options of ours, and "class", that of a whole module.
        Raises ValueError if theirs is none of ours, or may be one or another.
        """
        raise NotImplementedError

    def theirs(self, network: Network) -> Network:
        """Return their network as their code computes it, of the sizes of `network`, under their
        names.

        Raises ValueError if theirs is never like that.
        """
        raise NotImplementedError

    def ignored(self, arrays: Mapping[str, Array]) -> dict[str, str]:
        """Return {their array: why it is not needed}; raise ValueError if one says what ours
        cannot.
        """
        return {}

    def extras(self, theirs: Network, arrays: Mapping[str, Array]) -> State:
        """Return {name: array} of what a file of theirs holds besides `arrays`, those of
        `theirs`.
        """
        return {}

    def bins(self, arrays: Mapping[str, Array]) -> Array:
        """Return ab of the bins as they decode, (313, 2)."""
        return AB

    def derived(self, network: Network) -> Sequence[str]:
        """Return the arrays of `network` that reading derives from others, nearly as they were."""
        return ()

    def key(self, name: str) -> str:
        """Return their name of an array of `theirs`, which has our names of the parts of layers."""
        layer, _, part = name.rpartition(".")
        return f"{layer}.{self.parts.get(part, part)}"

    def tensors(self, theirs: Network, arrays: Mapping[str, Array]) -> State:
        """Return {array of `theirs`: array} of those that are there, turned as ours are; views."""
        found = {}
        for name in theirs.state_shapes:
            if self.key(name) in arrays:
                found[name] = arrays[self.key(name)]
        return found

    def temperature_of(self, arrays: Mapping[str, Array]) -> float | None:
        """Return the temperature of their own decoding."""
        return self.temperature

    def source(self, found: MappedWeights) -> tuple[Network, Mapping[str, Array]]:
        """Return (their network, its {name: array}): what their own code would compute."""
        return found.theirs, self.tensors(found.theirs, found.arrays)

    @np.errstate(all="ignore")  # what is no number is found, and said in one line
    def convert(
        self,
        arrays: Mapping[str, Array],
        source: object,
        note: Json = None,
        hints: Mapping[str, Any] = MappingProxyType({}),
    ) -> MappedWeights:
        """Map {name: array}; raises CheckpointError, naming `source`, unless all is well.

        `note` is what `save` left in the file, `hints` as `network` has it.
        """
        arrays = self.strip_prefix(arrays)
        try:
            network = self.network(arrays, hints)
            theirs = self.theirs(network)
            meta = self.meta(network, arrays)
            names, dropped = paired(network, theirs), self.ignored(arrays)
        except ValueError as error:
            raise CheckpointError(f"{source}: {error}") from None
        tensors = self.tensors(theirs, arrays)
        state = {ours: native(tensors[name]) for ours, name in names.items() if name in tensors}
        names = {ours: self.key(name) for ours, name in names.items()}
        known = {self.key(name) for name in theirs.state_shapes} | dropped.keys()
        if problems := _problems(network, names, state, set(arrays) - known):
            raise CheckpointError(f"{source}: not weights of {network}: {'; '.join(problems)}")
        check_numbers(state, source)
        if note is not None:
            network, state, meta = notes.applied(note, network, state, source)
        return MappedWeights(self, arrays, theirs, network, state, meta, names, dropped)

    def meta(self, network: Network, arrays: Mapping[str, Array]) -> dict[str, Json]:
        """Return the metadata of a checkpoint of ours: the network, and how theirs decodes."""
        meta = network_meta(network) | {"ported": self.name}
        if (temperature := self.temperature_of(arrays)) is not None:
            meta["colorize"] = {"temperature": temperature}
        return meta

    def check_holds(self, network: Network) -> None:
        """Raise ValueError unless their own code computes what `network` does."""
        if not self.writes:
            raise SettingError(f"{self.name} is read, not written")
        if network.name not in self.networks:
            raise SettingError(
                f"{self.name} holds no {network.name}, only {', '.join(self.networks)}"
            )
        network, _ = self.adapted(network)
        if differs := what_differs(network, self.theirs(network)):
            raise SettingError(f"{self.name} cannot hold {network}: {differs}")

    @property
    def writes(self) -> bool:
        return self.write is not None

    def adapted(self, network: Network) -> tuple[Network, dict[str, float]]:
        """Return (network with their input, {array: factor that makes it so})."""
        return network, {}

    def export(self, network: Network, state: Mapping[str, Array]) -> State:
        """Return {their name: float32 array} of a file that their code loads, of a network it
        holds.
        """
        network, factors = self.adapted(network)
        theirs = self.theirs(network)
        arrays: State = {}
        for ours, name in paired(network, theirs).items():
            array = state[ours].astype(np.float32, copy=False)  # Paddle loads nothing else
            arrays[self.key(name)] = array * np.float32(factors[ours]) if ours in factors else array
        return arrays | self.extras(theirs, arrays)

    def runs(
        self, path: StrPath, found: MappedWeights, backends: Iterable[Any]
    ) -> Iterator[tuple[str, Array, Array]]:
        """Yield (what ran, its output, the output wanted) of running a file that was written.

        Only of a format whose files are programs, on those of the backends that run them
        (`backends.base.Engine`).
        """
        return iter(())

    def save(self, path: StrPath, network: Network, state: State, meta: dict[str, Json]) -> None:
        """Write a file that their own code loads; raises ValueError if it would mean another."""
        self.check_holds(network)
        _, factors = self.adapted(network)
        derived = self.derived(network)
        note = notes.make(meta | network_meta(network), state, factors, derived)
        self.write(path, self.export(network, state), note)


def native(array: Array) -> Array:
    """Return the array in this machine's order of bytes."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def transposed(theirs: Network, tensors: Mapping[str, Array]) -> State:
    """Return `tensors` with the weights of linear layers turned, in which Paddle's are (in,
    out).
    """
    linear = {f"{one.name}.weight" for one in theirs.layers if isinstance(one, Linear)}
    return {name: array.T if name in linear else array for name, array in tensors.items()}


def _problems(
    network: Network, names: Mapping[str, str], state: State, unknown: Collection[str]
) -> list[str]:
    wrong = [
        f"{names[name]} {array.shape} instead of {network.state_shapes[name]}"
        for name, array in state.items()
        if array.shape != network.state_shapes[name]
    ]
    kinds = {
        "missing": [theirs for ours, theirs in names.items() if ours not in state],
        "not known": sorted(unknown),
        "of another shape": wrong,
    }
    return [f"{kind}: {_some(found)}" for kind, found in kinds.items() if found]


def _some(found: Sequence[str]) -> str:
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def without_prefix(arrays: Mapping[str, Array], prefix: str) -> Mapping[str, Array]:
    """Return `arrays` without a prefix that all names have, as if no DataParallel had saved
    them.
    """
    if not arrays or not all(name.startswith(prefix) for name in arrays):
        return arrays
    return {name.removeprefix(prefix): array for name, array in arrays.items()}


def batch_counters(arrays: Collection[str]) -> dict[str, str]:
    """Return {name: why} of what PyTorch's batch norm counts."""
    why = "PyTorch's count of batches, which nothing here reads"
    return {name: why for name in arrays if name.endswith(".num_batches_tracked")}


def no_counts(theirs: Network) -> State:
    """Return such counts of a network, for PyTorch to load strictly."""
    layers = [layer.name for layer in theirs.flat if isinstance(layer, BatchNorm)]
    return {f"{name}.num_batches_tracked": np.array(0, np.int64) for name in sorted(layers)}
