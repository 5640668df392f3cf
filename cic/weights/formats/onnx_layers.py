"""A network's layers as operators of ONNX, each what `cic.networks.forward` computes of it."""

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any

import numpy as np

from cic.networks import Network, layers
from cic.networks.forward import BICUBIC
from cic.system.arrays import Array, State
from cic.system.errors import SettingError
from cic.weights.files.onnx_file import FLOAT, Graph

INPUT, OUTPUT = "input", "output"  # of a `network_graph`


def network_graph(network: Network, state: State) -> Graph:
    """A Graph of the network alone: INPUT as `Network.prepare` gives it -> OUTPUT, of any batch."""
    graph = Graph()
    sides = [network.size or "height", network.size or "width"]
    graph.take(INPUT, ["batch", network.channels, *sides])
    graph("Identity", add_network(graph, network, state, INPUT), called=OUTPUT)
    graph.give(OUTPUT, output_shape(network))
    return graph


def output_shape(network: Network) -> list[int | str]:
    """Return the shape of a network's output, with names of the sizes that the input decides."""
    side = network.size or network.multiple
    channels, *picture = network.output((network.channels, side, side))
    return ["batch", channels, *(["rows", "columns"] if picture else [])]


def add_network(graph: Graph, network: Network, state: State, x: str) -> str:
    """Add a network's layers on a prepared value (N, C, H, W); the name of the output.

    The weights keep their names and their precision; the graph computes in float32. Raises
    SettingError for a layer that has no operator here.
    """
    for layer in network.flat:
        if type(layer) not in _ADD and type(layer) not in _COMBINE:
            kind = type(layer).__name__
            raise SettingError(f"no ONNX file holds {network}: it has a layer {kind}")
    return _sequence(_Weights(graph, state), network.layers, x)


class _Weights:
    """The weights of a network on their way into a Graph."""

    def __init__(self, graph: Graph, state: Mapping[str, Array]) -> None:
        self.graph, self.state = graph, state

    def __call__(self, name: str) -> str:
        """Add an array of the state; the name of its float32 value."""
        array = self.state[name]
        self.graph.array(name, array)
        return name if array.dtype == np.float32 else self.graph("Cast", name, to=FLOAT)

    def of(self, layer: layers.Layer, *parts: str) -> list[str]:
        """Return those of a layer whose names end so, as far as it has them."""
        names = [f"{layer.name}.{part}" for part in parts]
        return [self(name) for name in names if name in layer.parameters | layer.statistics]


# Any: each function takes its own kind of layer.
Add = Callable[[_Weights, Any, str], str]


def _sequence(weights: _Weights, sequence: Iterable[layers.Layer], x: str) -> str:
    for layer in sequence:
        if isinstance(layer, layers.Branches):
            outputs = [_sequence(weights, branch, x) for branch in layer.branches]
            operator = _COMBINE[type(layer)]
            x = reduce(lambda one, other: weights.graph(operator, one, other), outputs)
        else:
            x = _ADD[type(layer)](weights, layer, x)
    return x


def _convolution(weights: _Weights, layer: layers.Conv, x: str) -> str:
    weight, *bias = weights.of(layer, "weight", "bias")
    if layer.spectral:
        weight = _normalised(weights, layer, weight)
    before, after = layer.sides
    return weights.graph(
        "Conv",
        *(x, weight, *bias),
        kernel_shape=[layer.kernel] * 2,
        strides=[layer.stride] * 2,
        pads=[before, before, after, after],
        dilations=[layer.dilation] * 2,
        group=layer.groups,
    )


def _normalised(weights: _Weights, layer: layers.Conv, weight: str) -> str:
    """Return the kernel divided by its spectral norm: see `spectral.normalised`."""
    graph = weights.graph
    u, v = weights.of(layer, "weight_u", "weight_v")
    matrix = graph("Reshape", weight, graph.whole(layer.outputs, -1))
    return graph("Div", weight, graph("MatMul", u, graph("MatMul", matrix, v)))


def _transposed(weights: _Weights, layer: layers.ConvTranspose, x: str) -> str:
    return weights.graph(
        "ConvTranspose",
        *(x, *weights.of(layer, "weight", "bias")),
        kernel_shape=[layer.kernel] * 2,
        strides=[layer.stride] * 2,
        pads=[layer.padding] * 4,
    )


def _batch_norm(weights: _Weights, layer: layers.BatchNorm, x: str) -> str:
    arrays = weights.of(layer, "weight", "bias", "running_mean", "running_var")
    return weights.graph("BatchNormalization", x, *arrays, epsilon=layer.epsilon)


def _instance_norm(weights: _Weights, layer: layers.InstanceNorm, x: str) -> str:
    graph = weights.graph
    centred = graph("Sub", x, graph("ReduceMean", x, axes=[2, 3]))
    variance = graph("ReduceMean", graph("Mul", centred, centred), axes=[2, 3])
    deviation = graph("Sqrt", graph("Add", variance, graph.constant(layer.epsilon)))
    return graph("Div", centred, deviation)


def _relu6(weights: _Weights, layer: layers.ReLU6, x: str) -> str:
    return weights.graph("Clip", x, weights.graph.constant(0), weights.graph.constant(6))


def _pool(weights: _Weights, layer: layers.MaxPool, x: str) -> str:
    is_mean = isinstance(layer, layers.AveragePool)
    counts: dict[str, Any] = {"count_include_pad": 1} if is_mean else {}
    return weights.graph(
        "AveragePool" if is_mean else "MaxPool",
        x,
        kernel_shape=[layer.kernel] * 2,
        strides=[layer.stride] * 2,
        pads=[layer.padding] * 4,
        **counts,
    )


def _global_average(weights: _Weights, layer: layers.GlobalAverage, x: str) -> str:
    return weights.graph("Flatten", weights.graph("GlobalAveragePool", x), axis=1)


def _global_context(weights: _Weights, layer: layers.GlobalContext, x: str) -> str:
    graph = weights.graph
    return graph("Expand", graph("GlobalAveragePool", x), graph("Shape", x))


def _upsample(weights: _Weights, layer: layers.Upsample, x: str) -> str:
    kernels: dict[str, dict[str, Any]] = {
        "bicubic": {"mode": "cubic", "cubic_coeff_a": BICUBIC},
        "bilinear": {"mode": "linear"},
    }
    return weights.graph(
        "Resize",
        *(x, "", weights.graph.constant([1, 1, layer.scale, layer.scale])),
        coordinate_transformation_mode="half_pixel",
        **kernels[layer.mode],
    )


def _linear(weights: _Weights, layer: layers.Linear, x: str) -> str:
    return weights.graph("Gemm", x, *weights.of(layer, "weight", "bias"), transB=1)


_ADD: dict[type[layers.Layer], Add] = {
    layers.Conv: _convolution,
    layers.ConvTranspose: _transposed,
    layers.BatchNorm: _batch_norm,
    layers.InstanceNorm: _instance_norm,
    layers.ReLU: lambda weights, layer, x: weights.graph("Relu", x),
    layers.ReLU6: _relu6,
    layers.LeakyReLU: lambda weights, layer, x: weights.graph("LeakyRelu", x, alpha=layer.slope),
    layers.Sigmoid: lambda weights, layer, x: weights.graph("Sigmoid", x),
    layers.Dropout: lambda weights, layer, x: x,
    layers.MaxPool: _pool,
    layers.AveragePool: _pool,
    layers.GlobalAverage: _global_average,
    layers.GlobalContext: _global_context,
    layers.Upsample: _upsample,
    layers.Flatten: lambda weights, layer, x: weights.graph("Flatten", x, axis=1),
    layers.Linear: _linear,
}
_COMBINE: dict[type[layers.Layer], str] = {layers.Sum: "Add", layers.Product: "Mul"}
