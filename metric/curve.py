"""Picture of AuC's curves."""

from collections.abc import Mapping

from cic.system.arrays import Array
from metric import charts


def png(curves: Mapping[str, Mapping[str, Array]]) -> bytes:
    """Return the bytes of a PNG of {row name: {"raw": (151,), "rebalanced": (151,), ...}}, shares
    of 1.
    """
    names = list(next(iter(curves.values())))
    figure = charts.figure(5.5 * len(names), 5)
    for axes, name in zip(figure.subplots(1, len(names), sharey=True), names):
        lines = [axes.plot(100 * shares[name])[0] for shares in curves.values()]
        axes.set(title=name, xlabel="ab error, CIELAB units", xlim=(0, 150), ylim=(0, 101))
        axes.grid(alpha=0.3)
        charts.legend(axes, lines, curves, loc="lower right")
    figure.axes[0].set_ylabel("pixels within the error, %")
    return charts.png(figure)
