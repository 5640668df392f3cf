"""ONNX files of this project: a network as other programs run it, and weights to read back.

A file has the network's graph for pictures of any size, the weights under their neutral names in
their own precision, and the metadata of our checkpoint. So reading gives it back bit by bit. The
graph itself follows from the network. It is hashed, not compared with what is written now, so that
files of other versions are read.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

import cic
from cic import networks
from cic.colour import spaces
from cic.colour.bins import AB
from cic.networks import BINS, Network
from cic.networks.forward import forward
from cic.system import bounded_json
from cic.system.arrays import Array, State
from cic.system.typing import Json, StrPath
from cic.weights import checkpoint
from cic.weights.checkpoint import CheckpointError
from cic.weights.files import onnx_file, others
from cic.weights.files.onnx_file import Graph
from cic.weights.files.onnx_terms import Term
from cic.weights.formats import onnx_layers, onnx_pictures, verify
from cic.weights.formats.layout import Layout, MappedWeights

META, HASH, META_HASH = "cic", "weights_sha256", "metadata_sha256"  # keys of the metadata
GRAPH_HASH = "graph_sha256"  # of what the operators do: see `graph_hash`
# Keys of what META_HASH covers; other programs may add theirs.
HASHED = (
    META,
    HASH,
    GRAPH_HASH,
    "network",
    "options",
    "version",
    "licence",
    "bins",
    "decoding",
    "sizes",
)
COLOURS = "ab"  # the output of a network with its decoding
KEPT = (*checkpoint.RELEASED, "colorize", "classes", "ported")  # of a checkpoint's meta
LICENCE = "Apache-2.0 for the graph; the weights are under that of their source"


class Logits(Layout):
    """The network alone: the values of its space -> its output."""

    name = "onnx-logits"
    about = "ONNX: what the network itself puts out, of a picture of any size"
    suffixes = (".onnx",)
    networks = networks.names()

    def theirs(self, network: Network) -> Network:
        return network

    @property
    def writes(self) -> bool:
        return True

    def read(self, path: StrPath) -> MappedWeights:
        """Read a file that any of these formats wrote; raises CheckpointError, naming it."""
        try:
            contents = onnx_file.read(path, META)
            meta = bounded_json.loads(contents.texts.get(META, "{}"))
            checkpoint.check_meta(meta)
        except (OSError, ValueError, MemoryError) as error:
            raise CheckpointError(
                f"{path}: not a whole ONNX file: {error or 'too large'}"
            ) from None
        if not meta:
            raise CheckpointError(
                f"{path}: an ONNX file of another program ({contents}), {others.EXPORT}"
            )
        network = checkpoint.network_of(meta, path)
        arrays = contents.arrays
        state = {n: arrays[n].copy() for n in network.state_shapes if n in arrays}
        checkpoint.check(network, state, path)
        if fingerprint(state) != contents.texts.get(HASH):
            raise CheckpointError(f"{path}: damaged: its weights are not those that were written")
        texts = contents.texts
        if GRAPH_HASH not in texts or metadata_hash(texts) != texts.get(META_HASH):
            raise CheckpointError(
                f"{path}: its metadata were changed: set them in the weights that it was made "
                "from, and export these again"
            )
        if graph_hash(contents, state) != texts[GRAPH_HASH]:
            raise CheckpointError(
                f"{path}: its graph was changed: it does not do what these weights do here: "
                "take the file as it was exported, or the weights that it was made from"
            )
        checkpoint.check_numbers(state, path)
        form = DECODED if contents.outputs == [COLOURS] else FORMAT
        return MappedWeights(form, state, network, network, state, meta, {n: n for n in state}, {})

    def save(self, path: StrPath, network: Network, state: State, meta: dict[str, Json]) -> None:
        self.check_holds(network)
        kept = {key: meta[key] for key in KEPT if key in meta} | checkpoint.network_meta(network)
        graph = self.graph(network, state, kept)
        texts = facts(network, state, kept) | self.facts(kept)
        outline = onnx_file.model(graph.without(state), network.name, texts)
        texts[GRAPH_HASH] = graph_hash(onnx_file.parsed(outline, META), state)
        texts[META_HASH] = metadata_hash(texts)
        onnx_file.write(path, onnx_file.model(graph, network.name, texts, self.about))

    def runs(
        self, path: StrPath, found: MappedWeights, backends: Iterable[Any]
    ) -> Iterator[tuple[str, Array, Array]]:
        photo = verify.golden_photo(found.network)
        values = np.moveaxis(spaces.READ[found.network.space](photo), -1, 0)[None]
        for backend in backends:
            if hasattr(backend, "run_file"):
                output = backend.run_file(path, values.astype(np.float32))
                yield f"the file itself, {backend.NAME}", output, self.wanted(found)

    def wanted(self, found: MappedWeights) -> Array:
        """Return what a file with these weights puts out for the photo of `verify`, by NumPy."""
        network = found.network
        return forward(network, found.state, verify.golden(network))

    def facts(self, meta: Mapping[str, Json]) -> dict[str, str]:
        """Return {key: text} of what the graph does behind the network, for people."""
        return {"decoding": "none"}

    def graph(self, network: Network, state: State, meta: Mapping[str, Json]) -> Graph:
        """Return the Graph of a file."""
        graph = Graph()
        output = self.output(graph, network, state)
        name = "logits" if network.predicts != networks.AB else "output"
        graph("Identity", output.name, called=name)
        graph.give(name, onnx_layers.output_shape(network))
        return graph

    def output(self, graph: Graph, network: Network, state: State) -> Term:
        """Add a network to a Graph, from its input on: what it puts out, of a picture its cells."""
        x = onnx_pictures.prepared_input(graph, network)
        if network.is_classifier:
            return Term(graph, onnx_layers.add_network(graph, network, state, x.name))
        rows, columns = (
            onnx_pictures.cell_count(s, network.stride) for s in onnx_pictures.sides(x)
        )
        x = onnx_pictures.padded(x, network.multiple)
        output = Term(graph, onnx_layers.add_network(graph, network, state, x.name))
        return onnx_pictures.cropped(output, rows, columns)


class Decoded(Logits):
    """The network with its decoding, to be read: `cic.colorize.export` writes it."""

    name = "onnx"
    about = "ONNX: L in, ab of the same size out"

    def graph(self, network: Network, state: State, meta: Mapping[str, Json]) -> Graph:
        raise NotImplementedError


def facts(network: Network, state: State, meta: Mapping[str, Json]) -> dict[str, str]:
    """Return {key: text} of a file's metadata: META for us, the rest for other programs and for
    people.
    """
    found = {
        META: json.dumps(meta),
        "network": network.name,
        "options": json.dumps(network.options),
        "version": cic.__version__,
        "licence": LICENCE,
        HASH: fingerprint(state),
    }
    if network.predicts == BINS:
        found["bins"] = json.dumps(AB.astype(int).tolist())
    return found


def graph_hash(model: onnx_file.Model, weights: Collection[str]) -> str:
    """Return the SHA-256, hexadecimal, of what a graph does with arrays called `weights`.

    These may hold anything: it is of the operators, the other arrays, and the names of what goes in
    and comes out.
    """
    others = {name: array for name, array in model.arrays.items() if name not in weights}
    names = model.inputs, model.outputs
    found = json.dumps([model.opset, *names, model.work, fingerprint(others)])
    return hashlib.sha256(found.encode("ascii")).hexdigest()


def metadata_hash(texts: Mapping[str, str]) -> str:
    """Return the SHA-256 of the metadata that are HASHED, hexadecimal."""
    hashed = {key: texts[key] for key in HASHED if key in texts}
    return hashlib.sha256(json.dumps(hashed).encode("ascii")).hexdigest()


def fingerprint(state: Mapping[str, Array]) -> str:
    """Return the SHA-256 of arrays, hexadecimal: their names, types, shapes and numbers."""
    digest = hashlib.sha256()
    for name, array in sorted(state.items()):
        array = np.require(array, requirements="C")
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


FORMAT, DECODED = Logits(), Decoded()
