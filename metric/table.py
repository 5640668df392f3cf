"""Figures as a table of text: {row name: {figure's name: number}}."""

COLUMNS = {  # figure's name: (title, format)
    "raw": ("AuC raw %", ".2f"),
    "rebalanced": ("rebalanced %", ".2f"),
    "auc_raw": ("AuC raw %", ".2f"),
    "auc_rebalanced": ("rebalanced %", ".2f"),
    "top1": ("top-1 %", ".1f"),
    "top5": ("top-5 %", ".1f"),
    "rmse_ab": ("RMSE ab", ".3f"),
    "psnr": ("PSNR dB", ".2f"),
    "identical": ("identical", "d"),
    "ssim": ("SSIM", ".4f"),
    "colourfulness": ("colourfulness", ".2f"),
    "colourfulness_truth": ("of the truth", ".2f"),
    "colourfulness_mean_difference": ("mean |diff.|", ".2f"),
    "colourfulness_difference_of_means": ("|diff. of means|", ".2f"),
    "chroma": ("chroma", ".2f"),
    "true_chroma": ("of the truth", ".2f"),
    "nll": ("bits a cell", ".2f"),
    "ece": ("calibration error", ".3f"),
}


def cells(rows):
    """[[cell, ...], ...]: the titles of the columns, then the rows in their order.

    Figures that COLUMNS does not know come last, by their own names; "-" is what a row has not.
    "top1 (VGG-16)", of which there may be several, is a top1 whose title is "top-1 (VGG-16)".
    """
    seen = dict.fromkeys(name for figures in rows.values() for name in figures)
    place = {name: number for number, name in enumerate(COLUMNS)}
    names = sorted(seen, key=lambda name: place.get(name.partition(" (")[0], len(place)))
    known = [_column(name) for name in names]
    table = [["", *(title for title, _ in known)]]
    for row, figures in rows.items():
        found = zip((figures.get(name) for name in names), known)
        table.append(
            [row, *("-" if cell is None else format(cell, form) for cell, (_, form) in found)]
        )
    return table


def _column(name):
    """(title, format) of a figure."""
    kind, bracket, rest = name.partition(" (")
    if kind not in COLUMNS:
        return name, ".2f"
    title, form = COLUMNS[kind]
    return (f"{title.removesuffix(' %')} ({rest}" if bracket else title), form


def text(rows):
    """The same as lines of text, the last one ended."""
    columns = [_padded(column, i > 0) for i, column in enumerate(zip(*cells(rows)))]
    return "".join("  ".join(line).rstrip() + "\n" for line in zip(*columns))


def _padded(column, right):
    width = max(map(len, column))
    return [cell.rjust(width) if right else cell.ljust(width) for cell in column]
