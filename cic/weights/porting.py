"""Convert weights of any known format to any other: read them, prove the result equal, write it."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cic import networks
from cic.networks import Network
from cic.system import files
from cic.system.arrays import Array, Floats, State
from cic.system.errors import Error, InputError
from cic.system.typing import StrPath
from cic.weights import formats
from cic.weights.formats import verify
from cic.weights.formats.layout import Layout


class DiffersError(Error, ValueError):
    """The result differs from its source; `rows` say how, each a verify.Comparison."""

    def __init__(self, rows: Sequence[verify.Comparison]) -> None:
        super().__init__("not written: what came of it differs from the source")
        self.rows = rows


class Port(NamedTuple):
    """Weights that were `found` in a file, on their way to the file `target` of format `form`."""

    target: str
    found: Any  # layout.MappedWeights
    form: Any  # one of formats.FORMATS

    @classmethod
    def of(
        cls,
        source: StrPath,
        target: str,
        *,
        to: str | None = None,
        network: str | None = None,
        group: str | None = None,
        options: Mapping[str, Any] | None = None,
        fold: bool = False,
        among: Sequence[Layout] = formats.FORMATS,
    ) -> "Port":
        """Return the Port of the file `source`, whose format follows from what is in it.

        The format of `target`, `among` these, is called `to`, or follows from its ending. Weights
        of another network than the one called `network` are refused; `group` names one of several
        in the source; `options` are the network's; `fold` divides kernels by their spectral norms.
        Raises CheckpointError or another ValueError, naming the file, OSError if the target cannot
        be written.
        """
        files.check(target)
        options = options or {}
        found = formats.read(source, options, group)
        if network not in (None, found.network.name):
            raise InputError(f"{source}: weights of {found.network}, not of {network}")
        own = found.network
        found = found.of(networks.get(own.name, **own.options | options), source)  # type: ignore[operator]
        found = found.folded() if fold else found
        suffix = os.path.splitext(target)[1].lower()
        form = formats.get(to, among) if to else formats.suited(suffix, found.network, among)
        form.check_holds(found.network)
        return cls(target, found, form)

    def write(self, backends: Iterable[Any] | None = None) -> list[verify.Comparison]:
        """Write the target; if `backends` are given, compare it with the source on each of them.

        A photo goes through the source's own network and through what was written, in NumPy, too:
        one verify.Comparison each. Raises DiffersError if they differ: then nothing is written.
        """
        rows = []
        with files.replacing(self.target) as fresh:
            self.form.save(fresh, self.found.network, self.found.state, self.found.meta)
            if backends is not None:
                backends = list(backends)
                runners = {backend.NAME: _runner(backend) for backend in backends}
                rows = verify.compare(self.found, formats.read(fresh), runners)
                rows += verify.run(self.form.runs(fresh, self.found, backends))
                if not all(row.passes for row in rows):
                    raise DiffersError(rows)
        return rows


def _runner(backend: Any) -> Callable[[Network, State, Floats], Array]:
    """Return the function of (network, state, input) that gives the network's output."""
    return lambda net, state, array: backend.forward(backend.build(net, state), array)
