"""Picture of accuracies."""

from collections.abc import Mapping

from metric import charts
from metric.summary import Span
from metric.table import cell


def png(
    rows: Mapping[str, Mapping[str, float]], intervals: Mapping[str, Mapping[str, Span]]
) -> bytes:
    """Return the bytes of a PNG, bars of {row name: {"top1": percent, "top5": percent}} and their
    intervals.

    `intervals` are {row name: {"top1": [low, high] or None, ...}}.
    """
    figure = charts.figure(8, 1.5 + 0.6 * len(rows))
    axes = figure.subplots()
    for name, height, colour in (("top5", 0.8, "tab:blue"), ("top1", 0.5, "tab:orange")):
        values = [row[name] for row in rows.values()]
        bars = axes.barh(range(len(rows)), values, height, color=colour, label=name)
        spans = [intervals.get(row, {}).get(name) for row in rows]
        labels = [cell(value, ".1f", span) for value, span in zip(values, spans)]
        axes.bar_label(bars, labels, padding=3)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set(xlim=(0, 118), xlabel="photos, %")
    axes.invert_yaxis()
    axes.legend(loc="lower right")
    return charts.png(figure)
