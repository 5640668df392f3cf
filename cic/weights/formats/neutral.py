"""This project's own checkpoints: safetensors with neutral names and their network's name."""

from cic import networks
from cic.networks import Network
from cic.system.arrays import State
from cic.system.typing import Json, StrPath
from cic.weights import checkpoint
from cic.weights.averaging import PREFIX, averaged
from cic.weights.formats.layout import Layout, MappedWeights


class Neutral(Layout):
    """Neutral names; the metadata say the rest."""

    name = "neutral"
    about = "a checkpoint of this project"
    suffixes = (".safetensors",)
    networks = networks.names()

    def theirs(self, network: Network) -> Network:
        return network

    def read(self, path: StrPath) -> MappedWeights:
        """Read a file, its average rather than the last weights; raises CheckpointError.

        What the optimizer kept is left away.
        """
        state, meta = checkpoint.load_own(path)
        network = checkpoint.network_of(meta, path)
        last, kept = checkpoint.split(state)
        weights = averaged(last, kept)
        checkpoint.check(network, weights, path)
        checkpoint.check_numbers(weights, path)
        own = {name: checkpoint.OPTIMIZER + PREFIX + name for name in weights}
        names = {name: average if average in state else name for name, average in own.items()}
        taken = set(names.values())
        dropped = {
            name: "its average is taken" if name in weights else "the optimizer's, for training"
            for name in state
            if name not in taken
        }
        return MappedWeights(self, weights, network, network, weights, meta, names, dropped)

    @property
    def writes(self) -> bool:
        return True

    def save(self, path: StrPath, network: Network, state: State, meta: dict[str, Json]) -> None:
        checkpoint.save(path, state, meta | checkpoint.network_meta(network))


FORMAT = Neutral()
