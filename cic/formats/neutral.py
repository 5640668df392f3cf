"""This project's own checkpoints: safetensors with neutral names and their network's name."""

from cic import checkpoint, networks
from cic.formats.layout import Found, Layout


class Neutral(Layout):
    """Neutral names; the metadata say the rest."""

    name = "neutral"
    about = "a checkpoint of this project"
    suffixes = (".safetensors",)
    networks = networks.names()

    def theirs(self, network):
        return network

    def read(self, path):
        """Found of a file, the optimizer's arrays left away; raises CheckpointError."""
        state, meta = checkpoint.load_own(path)
        network = checkpoint.network_of(meta, path)
        weights, _ = checkpoint.split(state)
        checkpoint.check(network, weights, path)
        checkpoint.check_numbers(weights, path)
        dropped = {name: "the optimizer's, for training" for name in state if name not in weights}
        names = {name: name for name in weights}
        return Found(self, weights, network, network, weights, meta, names, dropped)

    @property
    def writes(self):
        return True

    def save(self, path, network, state, meta):
        checkpoint.save(path, state, meta | checkpoint.network_meta(network))


FORMAT = Neutral()
