"""Simulated patients beside real scans: what agrees, what does not, and by how much."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import LineStyleType
from scipy import ndimage

from crossmod.anatomy.kidneys import KIDNEY
from crossmod.anatomy.units import Unit, units_of
from crossmod.job import UserError
from crossmod.phantom import LABELS, Population, Recipe, Tissue, draw_recipe, simulate
from crossmod.phantom.tissue import VALUES
from crossmod.prepare.normalise import body_mask, fit_window
from crossmod.report.slices import CT_WINDOW_HU, cut, draw
from crossmod.report.style import BLUE, PAGE_MM, VERMILION, Picture, panels, styled
from crossmod.scans.files import read_scan
from crossmod.scans.scan import Scan
from crossmod.tables import read_own

# As the study normalises (conf/study/renal.yaml).
NORMALISATION: dict[str, Any] = {"ct_window_hu": (-200.0, 300.0), "mr_percentiles": (0.5, 99.5)}
MR, PLAIN, CONTRAST, BODY = "MR, fs-T2", "CT, plain", "CT, contrast", "Anatomy"
ORIGINS = ("real", "simulated")
LINES: dict[str, LineStyleType] = {"real": "-", "simulated": (0, (4, 1.5))}
COLOURS, MARKERS = {"real": VERMILION, "simulated": BLUE}, {"real": "s", "simulated": "o"}
FOLDERS = ("chaos_t2spir", "chaos_ct", "totalsegmentator", "kits23_3mm")
ORGANS = {"right kidney": 1, "left kidney": 2, "liver": 3, "spleen": 4, "muscle": 5}
# What is measured, with its unit, in the order of tables and figures.
UNITS = dict.fromkeys(
    ("liver / kidney signal", "spleen / kidney signal", "brightest / kidney signal", "kidney z-score"), ""
)
UNITS |= dict.fromkeys(("liver variation", "spleen variation", "kidney variation"), "SD/mean")
UNITS |= {f"{organ} attenuation": "HU" for organ in ("kidney", "liver", "spleen", "muscle")}
UNITS |= {"fat attenuation, mode": "HU", "liver grain, SD": "HU", "body at −80 to 0 HU": "share"}
UNITS |= {"kidney volume": "ml", "tumour volume": "ml", "height, right − left": "mm", "distance between kidneys": "mm"}
UNITS |= {"lower pole lateral": "°", "lower pole forward": "°"}
COLUMNS, SIDES = ["group", "origin", "subject", "measure", "value"], ("right", "left")
EDGE_MM = 4.0  # ASSUME: voxels nearer to an organ's edge mix it with its neighbours.
FEW = 5  # ASSUME: fewer real patients say nothing about the spread between them.
SEED = 20_000  # of the first simulated patient, far from those of a study's cohorts
BINS = {"MR": np.linspace(-1.5, 5.0, 66), "CT": np.linspace(-200.0, 300.0, 101)}


@dataclass(frozen=True, eq=False)
class Subject:
    """One scan; ``group`` begins with its modality, ``organs`` (the scan's shape) has the values of `ORGANS`."""

    name: str
    origin: str
    group: str
    scan: Scan
    organs: np.ndarray


def availability(data: str | Path) -> str:
    """Which real scans there are, as a sentence."""
    missing = [name for name in FOLDERS if not (Path(data) / name).is_dir()]
    if len(missing) == len(FOLDERS):
        return f"There are no real scans at `{data}`: what follows is the simulated side alone."
    return f"Real scans and label maps are those of `{data}`" + (f", without {', '.join(missing)}." if missing else ".")


def real_mr(data: str | Path) -> list[Subject]:
    """The fat-suppressed T2 MR of CHAOS; empty where there are none."""
    names = {1: "liver", 2: "right kidney", 3: "left kidney", 4: "spleen"}
    found = []
    for path in sorted((Path(data) / "chaos_t2spir").glob("image_*.nii.gz"), key=lambda path: (len(path.name), path)):
        organs = _recoded(read_scan(path.with_name(path.name.replace("image", "label"))).array, names)
        found.append(Subject(path.name.split(".")[0], "real", MR, read_scan(path), organs))
    return found


def real_ct(data: str | Path) -> list[Subject]:
    """The real CT scans that are there.

    One is plain with a model's outlines (muscle: the psoas), and one has contrast and a drawn liver.
    """
    names = {1: "spleen", 2: "right kidney", 3: "left kidney", 5: "liver", 88: "muscle", 89: "muscle"}
    known = [("totalsegmentator/example_ct", "totalsegmentator/example_seg_fast_force_split", PLAIN, names)]
    known += [("chaos_ct/CT_SET_3_ct_1p45mm", "chaos_ct/CT_SET_3_liver_1p45mm", CONTRAST, {1: "liver"})]
    found = []
    for image, label, group, structures in known:
        if (path := Path(data) / f"{image}.nii.gz").is_file():
            organs = _recoded(read_scan(Path(data) / f"{label}.nii.gz").array, structures)
            found.append(Subject(path.parent.name, "real", group, read_scan(path), organs))
    return found


def simulated(protocol: str, group: str, patients: int = 12, fixed: dict[str, Any] | None = None) -> list[Subject]:
    """Patients without a tumour, scanned by a protocol; ``fixed`` overrides keys of its recipe.

    Fewer than one patient is refused.
    """
    names = {Tissue.LIVER: "liver", Tissue.LIVER_VESSEL: "liver", Tissue.SPLEEN: "spleen", Tissue.MUSCLE: "muscle"}
    found = []
    for seed in range(SEED, SEED + _count("patients", patients)):
        recipe = draw_recipe(protocol, np.random.default_rng([seed, 1]), fixed)
        patient = simulate(seed, recipe, Population(tumour=0.0))
        organs = _recoded(patient.tissues, names)
        for side in SIDES:
            organs[_kidney_tissue(patient.labels, patient.tissues, side)] = ORGANS[f"{side} kidney"]
        found.append(Subject(f"simulated {seed}", "simulated", group, Scan(patient.image, patient.affine), organs))
    return found


def intensities(subjects: Iterable[Subject]) -> pd.DataFrame:
    """Group, origin, subject, measure and value of what is measured on scans, inside eroded outlines.

    What cannot be measured has no row.
    """
    rows: list[tuple] = []
    for subject in subjects:
        found = _signals(subject) if subject.group[:2] == "MR" else _attenuations(subject)
        rows += [(subject.group, subject.origin, subject.name, *pair) for pair in found]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"value": float})


def real_bodies(data: str | Path, maps: int = 80) -> pd.DataFrame:
    """Volumes and poses of KiTS23's kidneys, of about as many maps as asked for.

    Tumour volumes are those of all patients.
    """
    paths = sorted((Path(data) / "kits23_3mm").glob("case_*.nii.gz"))
    rows: list[tuple] = []
    for place in np.unique(np.linspace(0, len(paths) - 1, min(_count("maps", maps), len(paths))).astype(int)):
        scan = read_scan(paths[place])
        kidneys = units_of(scan.array, {1: "kidney", 2: "tumour", 3: "cyst"}, scan.affine, KIDNEY)
        rows += _poses("real", paths[place].name.split(".")[0], kidneys, scan.array == 1, scan)
    if paths:
        cases = read_own(paths[0].with_name("cases.csv"), ["case"]).query("tumor_ml > 0")
        rows += [(BODY, "real", row.case, "tumour volume", row.tumor_ml) for row in cases.itertuples()]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"value": float})


def simulated_bodies(patients: int = 80) -> pd.DataFrame:
    """Volumes and poses of simulated kidney-cancer patients, as `real_bodies`."""
    recipe = Recipe(spacing_mm=(3.0, 3.0, 3.0), field_of_view_mm=(420.0, 330.0, 390.0))
    rows: list[tuple] = []
    for seed in range(SEED, SEED + _count("patients", patients)):
        patient, name = simulate(seed, recipe), f"simulated {seed}"
        tissue = np.any([_kidney_tissue(patient.labels, patient.tissues, side) for side in SIDES], axis=0)
        scan = Scan(patient.labels, patient.affine)
        rows += _poses("simulated", name, units_of(scan.array, LABELS, scan.affine, KIDNEY), tissue, scan)
        rows.append((BODY, "simulated", name, "tumour volume", patient.facts["tumour_volume_ml"]))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"value": float})


def compare(table: pd.DataFrame) -> pd.DataFrame:
    """Real against simulated, one row per group and measure of the tables of the functions above, stacked.

    Returns:
        unit; n, median, low and high (the range) of both; ``higher``: share of all pairs of a real and a simulated
        patient in which the simulated value is higher (0.5: no difference); ``spread``: interquartile range of
        simulated over real patients, NaN where either are fewer than 5; ``verdict``.
    """
    rows = []
    for (group, measure), cell in table.groupby(["group", "measure"], sort=False):
        values = {origin: cell.loc[cell["origin"] == origin, "value"].to_numpy() for origin in ORIGINS}
        row: dict[str, Any] = {"group": group, "measure": measure, "unit": UNITS[str(measure)]}
        for origin, found in values.items():
            low, median, high = np.percentile(found, [0, 50, 100]) if len(found) else (np.nan,) * 3
            row |= {f"{origin}_n": len(found), f"{origin}_median": median, f"{origin}_low": low, f"{origin}_high": high}
        step = np.sign(values["simulated"][:, None] - values["real"])
        row["higher"] = (1 + step.mean()) / 2 if step.size else np.nan
        wide = [np.subtract(*np.percentile(v, [75, 25])) if len(v) >= FEW else np.nan for v in values.values()]
        row["spread"] = wide[1] / wide[0] if wide[0] > 0 else np.nan
        rows.append(row | {"verdict": _verdict(row)})
    order = [*(MR, PLAIN, CONTRAST, BODY), *UNITS]
    rows.sort(key=lambda row: (order.index(row["group"]), order.index(row["measure"])))
    return pd.DataFrame(rows).set_index(["group", "measure"])


def sentences(compared: pd.DataFrame) -> str:
    """What agrees and what does not, in words (Markdown), from the table of `compare`."""
    lines = []
    for group, cell in compared.groupby(level="group", sort=False):
        parts = []
        for verdict, rows in cell.groupby("verdict", sort=False):
            known = rows.dropna(subset="higher").reset_index()
            medians = [f" ({row.simulated_median:.3g}, real {row.real_median:.3g})" for row in known.itertuples()]
            measures = rows.index.get_level_values("measure") + (pd.Index(medians) if medians else "")
            parts.append(f"*{verdict}*: {'; '.join(measures)}")
        lines.append(f"- **{group}**: {'. '.join(parts)}.")
        for word, rows in (("less", cell[cell["spread"] < 0.5]), ("more", cell[cell["spread"] > 2])):
            named = [f"{row.measure} ({row.spread:.2g} times)" for row in rows.reset_index().itertuples()]
            if named:
                lines.append(f"- **{group}**: simulated patients vary {word} than real ones in {', '.join(named)}.")
    return "\n".join(lines).replace(" (-", " (−").replace("real -", "real −")


@styled
def points(table: pd.DataFrame, name: str, title: str) -> Picture:
    """One dot per patient (or kidney) and measure, real above simulated, with medians."""
    groups = list(dict.fromkeys(table["group"]))
    places = [(group, origin) for group in groups for origin in ORIGINS]
    figure, axes = _measure_panels(table, 16 + 6 * len(places))
    for measure, axis in axes.items():
        for place, (group, origin) in enumerate(places):
            here = table[(table["measure"] == measure) & (table["group"] == group) & (table["origin"] == origin)]
            shift = np.random.default_rng(place).uniform(-0.2, 0.2, len(here))
            dot: dict[str, Any] = {"s": 11, "c": COLOURS[origin], "marker": MARKERS[origin]}
            axis.scatter(here["value"], place + shift, **dot, alpha=0.6, linewidths=0)
            axis.plot([here["value"].median()] * 2, [place - 0.36, place + 0.36], color=COLOURS[origin], linewidth=1.6)
        labels = [f"{group[4:]}, {origin}" if len(groups) > 1 else origin for group, origin in places]
        axis.set_yticks(range(len(places)), labels)
        axis.set_ylim(len(places) - 0.5, -0.5)
    words = "One dot per patient (volumes: per kidney); bars: medians. Organs are eroded by 4 mm for all but volumes."
    return _picture(name, title, words, table, figure)


@styled
def densities(subjects: Sequence[Subject], name: str, title: str) -> Picture:
    """Distribution of the body's intensities: MR as the networks see it (z-score of the body), CT in HU."""
    groups = list(dict.fromkeys(subject.group for subject in subjects))
    figure, axes = panels(1, len(groups), PAGE_MM if len(groups) > 1 else 0.6 * PAGE_MM, 70, sharey=True)
    for axis, group in zip(axes[0], groups, strict=True):
        for origin in ORIGINS:
            bins = BINS[group[:2]]
            middle, lines = (bins[1:] + bins[:-1]) / 2, [_density(s, bins) for s in _of(subjects, group, origin)]
            for line in lines:
                axis.plot(middle, line, color=COLOURS[origin], linewidth=0.4, alpha=0.5)
            if lines:
                axis.plot(middle, np.mean(lines, axis=0), color=COLOURS[origin], linewidth=1.8, linestyle=LINES[origin])
        axis.set_title(group)
        axis.set_xlabel("Attenuation (HU)" if group[:2] == "CT" else "Intensity (z-score of the body)")
        if group[:2] == "MR":
            axis.set_yscale("log", nonpositive="mask")
            axis.set_ylim(1e-3, 5)
    axes[0][0].set_ylabel("Density of the body's voxels")
    words = "Voxels of the body as training finds it, unclipped ones alone. Thin: one patient; thick: mean of all."
    return _picture(name, title, words, _table(subjects), figure)


@styled
def ecdfs(table: pd.DataFrame, name: str, title: str) -> Picture:
    """Share of patients (or kidneys) at or below every value, real and simulated."""
    figure, axes = _measure_panels(table, 50)
    for measure, axis in axes.items():
        for origin in ORIGINS:
            values = table.loc[(table["measure"] == measure) & (table["origin"] == origin), "value"]
            if len(values):
                axis.ecdf(values, color=COLOURS[origin], linestyle=LINES[origin])
        if measure == "tumour volume":
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter("{x:g}")
    figure.supylabel("Share at or below", fontsize=7)
    words = "Kidney volumes and angles: kidneys without a tumour; height and distance: patients with two kidneys."
    return _picture(name, title, words, table, figure)


@styled
def gallery(subjects: Sequence[Subject], name: str, title: str) -> Picture:
    """Axial and coronal slices in one window: four real and four simulated patients, of two groups two each."""
    groups = dict.fromkeys(subject.group for subject in subjects)
    chosen = {o: [s for group in groups for s in _of(subjects, group, o)[: 4 // len(groups)]] for o in ORIGINS}
    shown = [(origin, direction) for origin in ORIGINS for direction in (2, 1) if chosen[origin]]
    figure, axes = panels(len(shown), max(map(len, chosen.values())), PAGE_MM, 6 + 33 * len(shown))
    for row, (origin, direction) in zip(axes, shown, strict=True):
        for axis in row[len(chosen[origin]) :]:
            axis.set_visible(False)
        for axis, subject in zip(row, chosen[origin], strict=False):
            _draw_slice(axis, subject, direction)
            axis.set_title(subject.group[4:] if direction == 2 and len(groups) > 1 else "")
        row[0].set_ylabel(f"{origin}, {'axial' if direction == 2 else 'coronal'}")
    window = "z-scores −1.5 to 3.5" if subjects[0].group[:2] == "MR" else "−160 to 240 HU"
    words = f"The slice with most kidney (or else liver), {window}; bar: 50 mm."
    return _picture(name, title, words, _table([*chosen["real"], *chosen["simulated"]]), figure, legend=False)


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{name} = {value!r}: must be a whole number of 1 or more")
    return value


def _recoded(labels: np.ndarray, names: dict[Any, str]) -> np.ndarray:
    table = np.zeros(256, dtype=np.uint8)
    table[list(names)] = [ORGANS[organ] for organ in names.values()]
    return table[labels]


def _kidney_tissue(labels: np.ndarray, tissues: np.ndarray, side: str) -> np.ndarray:
    """What readers outline as kidney: parenchyma and the collecting system, not the sinus' fat."""
    return (labels == VALUES[f"{side}_parenchyma"]) | ((labels == VALUES[f"{side}_sinus"]) & (tissues == Tissue.URINE))


def _inner(subject: Subject) -> dict[str, np.ndarray]:
    """Intensities of every organ's voxels that lie away from its edge; both kidneys are one."""
    found = {}
    for organ in ("kidney", "liver", "spleen", "muscle"):
        mask = np.isin(subject.organs, [value for name, value in ORGANS.items() if organ in name])
        if mask.any():
            (place,) = ndimage.find_objects(mask.astype(np.uint8))
            depth = ndimage.distance_transform_edt(np.pad(mask[place], 1), subject.scan.spacing_mm)[1:-1, 1:-1, 1:-1]
            found[organ] = subject.scan.array[place][depth > EDGE_MM].astype(float)
    return {organ: values for organ, values in found.items() if len(values)}


def _signals(subject: Subject) -> list[tuple[str, float]]:
    inner, window = _inner(subject), fit_window(subject.scan.array, "MR", **NORMALISATION)
    inner.pop("muscle", None)  # no reader outlined it
    found = [(f"{organ} variation", values.std() / values.mean()) for organ, values in inner.items()]
    if "kidney" in inner:
        kidney = float(np.median(inner.pop("kidney")))
        found += [(f"{organ} / kidney signal", np.median(values) / kidney) for organ, values in inner.items()]
        found += [("brightest / kidney signal", window.high / kidney), ("kidney z-score", float(window.apply(kidney)))]
    voxel_ml = subject.scan.voxel_ml
    masks = [subject.organs == ORGANS[f"{side} kidney"] for side in SIDES]
    return found + [("kidney volume", mask.sum() * voxel_ml) for mask in masks if mask.any() and not _cut_off(mask)]


def _attenuations(subject: Subject) -> list[tuple[str, float]]:
    inner, array = _inner(subject), subject.scan.array
    found = [(f"{organ} attenuation", float(np.median(values))) for organ, values in inner.items()]
    found += [("liver grain, SD", float(inner["liver"].std()))] if "liver" in inner else []
    counts = ndimage.gaussian_filter1d(np.histogram(array, np.arange(-150, -49))[0].astype(float), 4.0)
    between = np.count_nonzero((array > -80) & (array < 0)) / np.count_nonzero(body_mask(array, "CT"))
    return [*found, ("fat attenuation, mode", float(np.argmax(counts) - 149.5)), ("body at −80 to 0 HU", between)]


def _cut_off(mask: np.ndarray) -> bool:
    return any(mask.take(end, axis).any() for axis in range(3) for end in (0, -1))


def _poses(origin: str, name: str, kidneys: list[Unit], tissue: np.ndarray, scan: Scan) -> list[tuple]:
    """Volume and angles of every kidney without a tumour; height and distance where there are two kidneys."""
    centres, found = {}, []
    for kidney in kidneys:
        mask = kidney.whole(tissue.shape)
        where = np.argwhere(mask & tissue) @ scan.affine[:3, :3].T + scan.affine[:3, 3]
        if len(where) < 4 or _cut_off(mask):
            continue
        centres[kidney.side] = where.mean(axis=0)
        if not kidney.facts["tumour"]:
            up = np.linalg.eigh(np.cov(where.T))[1][:, -1]
            x, y, z = up * np.sign(up[2])
            outwards = x if kidney.side == "right" else -x
            lateral, forward = np.degrees(np.arctan2([-outwards, -y], z)).tolist()
            found += [("kidney volume", len(where) * scan.voxel_ml)]
            found += [("lower pole lateral", lateral), ("lower pole forward", forward)]
    if len(centres) == 2:
        apart = centres["right"] - centres["left"]
        found += [("height, right − left", float(apart[2])), ("distance between kidneys", float(apart[0]))]
    return [(BODY, origin, name, *pair) for pair in found]


def _verdict(row: dict[str, Any]) -> str:
    # ASSUME: half and one standard deviation of normal values (shares of 0.36 and 0.24) are what agrees and what is
    # close; where real patients are few, one of them may lie among the middle 68 or 95 %.
    if np.isnan(row["higher"]):
        return "one side alone"
    agrees, close = (0.36, 0.24) if row["real_n"] >= FEW else (0.16, 0.025)
    least = min(row["higher"], 1 - row["higher"])
    apart = "too high" if row["higher"] > 0.5 else "too low"
    return "agrees" if least >= agrees else "close" if least >= close else apart


def _density(subject: Subject, bins: np.ndarray) -> np.ndarray:
    array = subject.scan.array
    body = array[body_mask(array, subject.group[:2])]
    if subject.group[:2] == "MR":
        window = fit_window(array, "MR", **NORMALISATION)
        body = window.apply(body[(body > window.low) & (body < window.high)])
    return np.histogram(body, bins)[0] / (body.size * np.diff(bins))


def _draw_slice(axis: Axes, subject: Subject, direction: int) -> None:
    array, limits, body = subject.scan.array, CT_WINDOW_HU, body_mask(subject.scan.array, subject.group[:2])
    if subject.group[:2] == "MR":
        array, limits = fit_window(array, "MR", **NORMALISATION).apply(array), (-1.5, 3.5)
    kidneys = (subject.organs == ORGANS["right kidney"]) | (subject.organs == ORGANS["left kidney"])
    shown = kidneys if kidneys.any() else subject.organs == ORGANS["liver"]
    view = cut(Scan(array, subject.scan.affine), subject.group[:2], shown, body, direction)
    nothing = np.zeros_like(view.reference)
    draw(axis, replace(view, reference=nothing, prediction=nothing, limits=limits), (270.0, 400.0))


def _of(subjects: Iterable[Subject], group: str, origin: str) -> list[Subject]:
    return [subject for subject in subjects if (subject.group, subject.origin) == (group, origin)]


def _table(subjects: Iterable[Subject]) -> pd.DataFrame:
    return pd.DataFrame([(s.group, s.origin, s.name) for s in subjects], columns=COLUMNS[:3])


def _measure_panels(table: pd.DataFrame, height_mm: float) -> tuple[Figure, dict[str, Axes]]:
    """Up to four panels a row, one per measure."""
    measures = [measure for measure in UNITS if (table["measure"] == measure).any()]
    columns = 4 if len(measures) > 6 else 3
    rows = -(-len(measures) // columns)
    figure, _ = panels(rows, columns, PAGE_MM, 12 + rows * height_mm, sharey=True)
    for place, axis in enumerate(figure.axes):
        axis.set_visible(place < len(measures))
    axes = dict(zip(measures, figure.axes, strict=False))
    for measure, axis in axes.items():
        axis.set_xlabel(measure[0].upper() + measure[1:] + f" ({UNITS[measure]})" * bool(UNITS[measure]))
    return figure, axes


def _picture(name: str, title: str, words: str, table: pd.DataFrame, figure: Figure, legend: bool = True) -> Picture:
    """Add the legend, and n to the caption."""
    if legend:
        handles = [Line2D([], [], color=COLOURS[o], linestyle=LINES[o], marker=MARKERS[o], label=o) for o in ORIGINS]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    by = "measure" if (table["group"] == BODY).all() else "group"
    counts = table.groupby([by, "origin"], sort=False)["subject"].nunique().unstack(fill_value=0)
    counts = counts.reindex(columns=ORIGINS, fill_value=0)
    sizes = "; ".join(f"{row.Index}: {row.real} / {row.simulated}" for row in counts.itertuples())
    caption = f"{words} Real / simulated patients: {sizes}."
    return Picture(name, title, caption, f"{title}, real beside simulated. {sizes} patients.", figure)
