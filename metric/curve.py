"""Picture of AuC's curves."""

import io


def png(curves):
    """Bytes of a PNG of {row name: {"raw": (151,), "rebalanced": (151,), ...}}, shares of 1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(next(iter(curves.values())))
    figure = Figure((5.5 * len(names), 5), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, len(names), sharey=True), names):
        lines = [axes.plot(100 * shares[name])[0] for shares in curves.values()]
        axes.set(title=name, xlabel="ab error, CIELAB units", xlim=(0, 150), ylim=(0, 101))
        axes.grid(alpha=0.3)
        legend = axes.legend(lines, ["row"] * len(lines), loc="lower right")
        for text, row in zip(legend.get_texts(), curves):
            text.set(text=row, parse_math=False)  # names as they are, $ and _ included
    figure.axes[0].set_ylabel("pixels within the error, %")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()
