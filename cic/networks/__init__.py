"""Named networks as data, made of layers; all backends build from them."""

from collections.abc import Callable
from typing import Any

from cic.networks.colorizers import cic, regression
from cic.networks.efficientnet import efficientnet_lite, fpn
from cic.networks.network import AB, BINS, CLASSES, Network
from cic.networks.resnet import gated_resnet18, resnet, special_resnet
from cic.networks.vgg import special_vgg16, vgg16
from cic.system.errors import SettingError

__all__ = ["AB", "BINS", "CLASSES", "Network", "get", "names"]

_NETWORKS: dict[str, Callable[..., Network]] = {
    function.__name__: function
    for function in (
        cic,
        regression,
        vgg16,
        special_vgg16,
        resnet,
        special_resnet,
        gated_resnet18,
        efficientnet_lite,
        fpn,
    )
}


def names() -> tuple[str, ...]:
    """Return the names that `get` knows."""
    return tuple(_NETWORKS)


def get(name: str, **options: Any) -> Network:
    """Return the Network by name, with its options; raise ValueError for an unknown name or option.

    >>> network = get("cic", width=0.25)
    >>> network.parameter_count, network.output((1, 256, 256))
    (2032585, (313, 64, 64))
    """
    if name not in _NETWORKS:
        raise SettingError(f"no network is called {name!r}; there are {', '.join(names())}")
    try:
        return _NETWORKS[name](**options)
    except TypeError as error:
        raise SettingError(f"network {name!r}: {error}") from None
