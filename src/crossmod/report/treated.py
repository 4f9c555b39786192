"""Figure of treatments: one patient of every site as the segmenter saw it, with masks and histograms."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from crossmod.report.chosen import Patient, Shown, choose, level_of_interest
from crossmod.report.results import Results
from crossmod.report.rivals import Rivals, level_title
from crossmod.report.seen import RIGHT, WRONG, Seen, seen, subject_of
from crossmod.report.slices import REFERENCE_COLOUR, SCALE_BAR_MM
from crossmod.report.style import (
    BLACK,
    BLUE,
    GREY,
    PAGE_MM,
    PALE,
    SKY,
    VERMILION,
    NothingToShowError,
    Picture,
    heading,
    panels,
    styled,
    wrapped,
)
from crossmod.report.tables import signed
from crossmod.report.words import as_words, listed

HISTOGRAM_MM = 17.0
BELOW_MM = 36.0  # of the field, below a slice
BINS = 60
SMALLEST_SHARE = 1e-4  # of the voxels of body or air in one bin, at the lower end of a histogram
TINT = 0.5
TITLE_POINTS = 6.5  # of a title above a narrow picture
FILLS = {RIGHT: SKY, WRONG: VERMILION}


@styled
def treatments(results: Results, asked: Shown) -> Picture:
    """A slice under every treatment, with the outlines of the reference and what was found, above its histogram.

    Raises:
        NothingToShowError: if no case of a site was scored under every treatment.
        UserError: if a scan, a reference or a prediction is gone.
    """
    patients = choose(results, asked)
    if not patients:
        raise NothingToShowError("No case was scored under several treatments, so there are no pictures of them.")
    pictures = {(one.site, level): picture for one in patients for level, picture in _seen(results, asked, one).items()}
    levels = list(asked.rivals.arms)
    field_mm = _field_mm(list(pictures.values()))
    scale = (PAGE_MM - 14) / (len(levels) * field_mm[1])
    heights = [scale * field_mm[0], HISTOGRAM_MM] * len(patients)
    figure, axes = panels(
        2 * len(patients),
        len(levels),
        PAGE_MM,
        16 + sum(heights) + 12 * len(patients),
        gridspec_kw={"height_ratios": heights},
    )
    for number, patient in enumerate(patients):
        found = {level: pictures[patient.site, level] for level in patient.dsc}
        _row(axes[2 * number : 2 * number + 2], results, asked.rivals, patient, found, field_mm)
    for axis, level in zip(axes[0], levels, strict=True):
        title = level_title(results, asked.rivals, level)
        axis.set_title(f"{wrapped(title, len(levels))}\n{axis.get_title()}", fontsize=TITLE_POINTS)
    for axis in axes[-1]:
        axis.set_xlabel("Intensity")
    _legend(figure)
    return _picture(results, asked, patients, pictures, figure)


def _row(
    axes: list[list[Axes]],
    results: Results,
    rivals: Rivals,
    patient: Patient,
    found: dict[str, Seen],
    field_mm: tuple[float, float],
) -> None:
    """One patient: a slice under every treatment, and its histogram below; nothing where the site lacks a treatment."""
    bins = _bins(list(found.values()))
    for column, (above, below, level) in enumerate(zip(*axes, rivals.arms, strict=True)):
        if level not in found:
            above.set_axis_off()
            below.set_axis_off()
            continue
        _slice(above, found[level], field_mm)
        above.set_title(f"DSC {patient.dsc[level]:.2f}", fontsize=TITLE_POINTS)
        _histogram(below, found[level], bins)
        below.tick_params(labelleft=column == 0)
    axes[0][0].set_ylabel(f"{heading(results.site_title(patient.site))}\n{patient.case}", fontweight="bold")
    axes[1][0].set_ylabel("Share of voxels")


def _seen(results: Results, asked: Shown, patient: Patient) -> dict[str, Seen]:
    """Level → what its arm saw and found of a patient."""
    folders = {
        level: results.place(f"predict/{asked.rivals.arms[level]}/seed{patient.seed}/{patient.site}")
        for level in patient.dsc
    }
    subject = subject_of(results, next(iter(folders.values())), patient.case)
    return {
        level: seen(results, subject, asked.rivals.arms[level], folder, asked.stage)
        for level, folder in folders.items()
    }


def _field_mm(pictures: list[Seen]) -> tuple[float, float]:
    """Height and width of one field that holds every slice, with room for the bar below."""
    sizes = [np.array(one.view.image.shape) * one.view.spacing_mm for one in pictures]
    height, width = np.max(sizes, axis=0).tolist()
    return height + BELOW_MM, width


def _slice(axis: Axes, picture: Seen, field_mm: tuple[float, float]) -> None:
    """The treated slice with outlines of the reference and tints of what was found; sides and bar stand below it."""
    view = picture.view
    rows_mm, columns_mm = np.array(view.image.shape) * view.spacing_mm
    extent = (0, columns_mm, rows_mm, 0)
    low, high = view.limits
    axis.imshow(view.image, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="bilinear")
    tint = np.zeros((*view.prediction.shape, 4))
    for code, colour in FILLS.items():
        tint[view.prediction == code] = to_rgba(colour, TINT)
    axis.imshow(tint, extent=extent, interpolation="nearest")
    x = (np.arange(view.image.shape[1]) + 0.5) * view.spacing_mm[1]
    y = (np.arange(view.image.shape[0]) + 0.5) * view.spacing_mm[0]
    for number in np.unique(view.reference[view.reference > 0]):
        axis.contour(x, y, (view.reference == number).astype(float), [0.5], colors=REFERENCE_COLOUR, linewidths=0.6)
    # A picture may be white all over, so it has a frame, and nothing stands inside it.
    axis.add_patch(Rectangle((0, 0), columns_mm, rows_mm, fill=False, color=GREY, linewidth=0.5))
    for place, mark, align in ((0, view.marks[0], "left"), (columns_mm, view.marks[1], "right")):
        axis.text(place, rows_mm + 0.2 * BELOW_MM, mark, ha=align, va="top", fontsize=6)
    middle, below = columns_mm / 2, rows_mm + 0.6 * BELOW_MM
    axis.plot([middle - SCALE_BAR_MM / 2, middle + SCALE_BAR_MM / 2], [below, below], color=BLACK, linewidth=1.2)
    left = (columns_mm - field_mm[1]) / 2
    axis.set_xlim(left - 1, left + field_mm[1] + 1)
    axis.set_ylim(field_mm[0], -1)
    axis.set_aspect("equal")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)
    axis.set_frame_on(False)


def _bins(pictures: list[Seen]) -> np.ndarray:
    """Edges for the histograms of one patient, over all that any treatment makes of the scan."""
    ends = [np.percentile(part, [0.1, 99.9]) for one in pictures for part in (one.body, one.air) if part.size]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    low, high = (min(low, *(one.window[0] for one in pictures)), max(high, *(one.window[1] for one in pictures)))
    return np.linspace(low, high, BINS + 1)


def _histogram(axis: Axes, picture: Seen, bins: np.ndarray) -> None:
    """Shares of body and air in every bin, on a log axis, over the window."""
    axis.axvspan(*picture.window, color=PALE, linewidth=0)
    for values, colour in ((picture.air, GREY), (picture.body, BLUE)):
        counts, _ = np.histogram(np.clip(values, bins[0], bins[-1]), bins)
        axis.stairs(counts / max(1, values.size), bins, color=colour, linewidth=1.0)
    axis.set_yscale("log")
    axis.set_ylim(SMALLEST_SHARE, 1.6)
    axis.set_xlim(bins[0], bins[-1])
    axis.locator_params(axis="x", nbins=4)
    axis.grid(visible=False)
    text = f"{picture.inside:.0%} of body in window"
    axis.text(0.98, 1.02, text, transform=axis.transAxes, ha="right", va="bottom", fontsize=6, color=BLACK)


def _legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], color=REFERENCE_COLOUR, linewidth=1.0, label="reference"),
        Patch(color=SKY, alpha=TINT, label="found, as the reference has it"),
        Patch(color=VERMILION, alpha=TINT, label="found, but not there or another class"),
        Line2D([], [], color=BLUE, linewidth=1.0, label="body"),
        Line2D([], [], color=GREY, linewidth=1.0, label="air around it"),
        Patch(color=PALE, label="window of the network"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)


def _picture(
    results: Results, asked: Shown, patients: list[Patient], pictures: dict[tuple[str, str], Seen], figure: Figure
) -> Picture:
    windows = {one.window for one in pictures.values()}
    shown_in = "its own window, as the network is given it"
    if len(windows) == 1:
        low, high = (signed(end, 0, plus=False) for end in next(iter(windows)))
        shown_in = f"one window, {low} to {high}, as the networks are given it"
    by = level_title(results, asked.rivals, level_of_interest(results, asked.rivals))
    model = f", {asked.rivals.title}" if asked.rivals.title else ""
    return Picture(
        name=asked.name,
        title=f"One patient under every treatment: {as_words(asked.stage)}{model}",
        caption=f"n = 1 case per site, the middle one by mean DSC under “{by}”; seed {patients[0].seed}. The slice "
        f"with most of the reference, in {shown_in}: what lies beyond it is black or white. DSC: mean over what is "
        "compared in this case. Below: the whole scan's intensities inside the body and in the air around it (told "
        "apart before the treatment), with the window in grey. "
        f"Bar: {SCALE_BAR_MM} mm. {results.provenance}",
        alt=f"Slices of {listed(results.site_title(one.site) for one in patients)} under "
        f"{len(asked.rivals.arms)} treatments. {_sentence(results, asked.rivals, patients, pictures)}",
        figure=figure,
    )


def _sentence(results: Results, rivals: Rivals, patients: list[Patient], pictures: dict[tuple[str, str], Seen]) -> str:
    parts = [
        f"{results.site_title(one.site)}, {level_title(results, rivals, level)}: DSC {score:.2f}, "
        f"{pictures[one.site, level].inside:.0%} of the body in the window"
        for one in patients
        for level, score in one.dsc.items()
    ]
    return f"{'; '.join(parts)}."
