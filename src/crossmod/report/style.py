"""One look for all figures: readable at column width, safe for the colour-blind, units on every axis."""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crossmod.job import whole

MM = 1 / 25.4
COLUMN_MM, PAGE_MM = 85, 180
DPI = 300
SCREEN_DPI = 110

# Okabe & Ito 2008, https://jfly.uni-koeln.de/color: told apart with every common colour vision deficiency.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#6B6B6B", "#E4E4E4"

# Of the levels of a factor, in order; a factor of more levels begins again.
LEVEL_COLOURS = (GREY, ORANGE, BLUE, GREEN, VERMILION, PURPLE, SKY, BLACK)
LEVEL_MARKERS = ("D", "s", "o", "^", "v", "P", "X", "*")

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#EBEBEB",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "figure.facecolor": "white",
}


@dataclass(frozen=True)
class Picture:
    """A figure with the words that belong to it.

    Attributes:
        name: stem of its file.
        title: what it shows, in a few words.
        caption: how to read it, with n and where the patients come from.
        alt: its message for readers who cannot see it.
        figure: the drawing.
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure

    def png(self, dpi: int = SCREEN_DPI) -> bytes:
        """The picture as PNG; title, caption and alternative text travel inside the file."""
        buffer = BytesIO()
        words = {"Title": self.title, "Description": self.caption, "Comment": self.alt, "Software": None}
        with mpl.rc_context(STYLE):
            self.figure.savefig(buffer, format="png", dpi=dpi, metadata=words)
        return buffer.getvalue()

    def save(self, folder: str | Path) -> Path:
        """Write ``<name>.png`` at 300 dpi, whole or not at all."""
        path = Path(folder) / f"{self.name}.png"
        with whole(path) as partial:
            partial.write_bytes(self.png(DPI))
        return path


class NothingToShowError(Exception):
    """A figure does not apply to a study; the message says why, as one sentence."""


def show(draw: Callable[..., Picture], *asked: object, folder: str | Path = "") -> None:
    """Draw and publish a figure in a notebook; one that does not apply to the study leaves the reason as a sentence."""
    from IPython.display import Markdown, display

    try:
        picture = draw(*asked)
    except NothingToShowError as reason:
        display(Markdown(str(reason)))
        return
    publish(picture, folder)


def show_tables(tables: Iterable[Any], otherwise: str) -> None:
    """Show tables in a notebook, each under its name; a sentence where none has a row."""
    from IPython.display import Markdown, display

    shown = [table for table in tables if table.rows]
    for table in shown:
        display(Markdown(f"**{table.name}.** {table.caption}"), table.to_frame())
    if not shown:
        display(Markdown(otherwise))


def colours_of(levels: Sequence[str]) -> dict[str, str]:
    """Level → its colour, by the order of the levels."""
    return dict(zip(levels, cycle(LEVEL_COLOURS), strict=False))


def markers_of(levels: Sequence[str]) -> dict[str, str]:
    """Level → its marker, by the order of the levels."""
    return dict(zip(levels, cycle(LEVEL_MARKERS), strict=False))


def publish(picture: Picture, folder: str | Path = "") -> None:
    """Show a picture with its caption in a notebook, and save it if a folder is given."""
    from IPython.display import Image, Markdown, display

    if folder:
        picture.save(folder)
    display(Image(picture.png(), alt=picture.alt), Markdown(f"**{picture.title}.** {picture.caption}"))


def panels(
    rows: int, columns: int, width_mm: float, height_mm: float, **shared: Any
) -> tuple[Figure, list[list[Axes]]]:
    """A grid of axes in the house's style; ``shared`` goes to :meth:`matplotlib.figure.Figure.subplots`."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width_mm * MM, height_mm * MM), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, **shared)
    return figure, axes.tolist()


def heading(title: str) -> str:
    """A title for a narrow panel: what stands in brackets goes to a second line."""
    return title.replace(" (", "\n(")


def wrapped(title: str, columns: int) -> str:
    """A title for one of so many panels side by side on a page, in as many lines as it needs."""
    return "\n".join(textwrap.wrap(title, max(18, 100 // columns)))


def absent(axis: Axes) -> None:
    """Say in a panel that it has nothing to show."""
    axis.text(0.5, 0.5, "no reference", transform=axis.transAxes, ha="center", va="center", color=GREY)
    axis.grid(visible=False)


def styled(draw: Callable[..., Picture]) -> Callable[..., Picture]:
    """Decorate a function that draws, so that all it draws has the house's style."""

    @wraps(draw)
    def wrapped(*args: object, **kwargs: object) -> Picture:
        with mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapped
