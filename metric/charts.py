"""Charts by matplotlib, which is slow to import: an empty figure, its legend, its PNG."""

import io
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

# Of matplotlib, which is imported when a chart is drawn and not before.
Figure: TypeAlias = Any
Axes: TypeAlias = Any
DPI = 110


def figure(width: float, height: float) -> Figure:
    """Return an empty figure, inches, that draws itself and opens no window."""
    # Half a second, for those who draw alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    empty = Figure((width, height), layout="constrained")
    FigureCanvasAgg(empty)
    return empty


def legend(axes: Axes, lines: Sequence[Any], labels: Iterable[str], **where: Any) -> None:
    """A legend of `lines` whose labels are shown as they are, "$" and "_" included."""
    made = axes.legend(lines, ["label"] * len(lines), **where)
    for text, label in zip(made.get_texts(), labels):
        text.set(text=label, parse_math=False)


def png(drawn: Figure, dpi: int = DPI) -> bytes:
    """Return the bytes of a PNG of a figure."""
    file = io.BytesIO()
    drawn.savefig(file, format="png", dpi=dpi)
    return file.getvalue()
