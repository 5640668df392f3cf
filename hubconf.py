"""Entry points for torch.hub and paddle.hub; each gives a network of the framework that asks.

torch.hub.load("OWNER/REPOSITORY", "cic", pretrained=True)
paddle.hub.load("OWNER/REPOSITORY", "cic", pretrained=True)

With source="local" and a clone's path in place of the name, they take what is there.
"""

import os
import sys

from cic.system import errors

dependencies = ["numpy", "PIL", "tqdm"]

_ROOT = os.path.dirname(os.path.abspath(__file__))
_HUBS = {"torch.hub": "torch", "paddle.hapi.hub": "paddle"}


def cic(pretrained=False, weights=None, backend=None, device="cpu", **options):
    """A colorizer: `net(net.network.prepare(L))`, L (N, 1, H, W), is what it says of the colours.

    `pretrained=True` gives the bundled network with its weights, or those of `weights`: the path
    of a file in any known format, or the address of one whose name ends in the first digits of its
    SHA-256, "https://.../name-0123abcd.pth". Else it is the paper's network, untrained, with
    `options` such as width=0.25. Of these two the output is logits over the 313 bins,
    (N, 313, H/4, W/4). Their inputs differ: the paper's network takes L - 50 of sides that are
    multiples of 8, the bundled one (L - 50) / 50 of multiples of 32. `net.network` says it of any:
    `prepare(L)` makes the input, `multiple` is that of the sides. `backend` is "torch" or "paddle",
    by default the one whose hub asks.
    """
    if _ROOT not in sys.path:  # Paddle's hub takes it away before it calls
        sys.path.insert(0, _ROOT)
    import backends
    from cic import networks
    from cic.weights import download as published
    from cic.weights import reading

    if not pretrained:
        if weights is not None:
            raise errors.SettingError(f"weights={weights!r} without pretrained=True")
        network, state = networks.get("cic", **options), None
    else:
        if options:
            raise errors.SettingError(f"pretrained weights have their own options, not {options}")
        if str(weights).startswith("https://"):
            weights = published.fetch(weights)
        network, state, _ = reading.load_weights(weights)
    return backends.get(backend or _asking(), trains=True).build(network, state, device)


def _asking():
    """The framework whose hub is calling, None if neither is."""
    frame = sys._getframe()
    while frame:
        if (name := frame.f_globals.get("__name__")) in _HUBS:
            return _HUBS[name]
        frame = frame.f_back
    return None
