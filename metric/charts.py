"""Charts by matplotlib, which is slow to import: an empty figure, its legend, its PNG."""

import io

DPI = 110


def figure(width, height):
    """An empty figure, inches, that draws itself and opens no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    empty = Figure((width, height), layout="constrained")
    FigureCanvasAgg(empty)
    return empty


def legend(axes, lines, labels, **where):
    """A legend of `lines` whose labels are shown as they are, "$" and "_" included."""
    made = axes.legend(lines, ["label"] * len(lines), **where)
    for text, label in zip(made.get_texts(), labels):
        text.set(text=label, parse_math=False)


def png(drawn, dpi=DPI):
    """Bytes of a PNG of a figure."""
    file = io.BytesIO()
    drawn.savefig(file, format="png", dpi=dpi)
    return file.getvalue()
