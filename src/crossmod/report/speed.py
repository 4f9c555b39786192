"""The table of throughput: what a network takes for a slice, and on which machine that was measured."""

import pandas as pd

from crossmod.report.results import Results
from crossmod.report.rows import rows_of
from crossmod.report.tables import Cell, Table, number
from crossmod.report.words import as_words
from crossmod.tables import read_own

FILE = "throughput.csv"
TEXT = ("model", "slice", "device", "processor", "precision", "torch", "real_time", "note")
OWN = "model"  # what the table calls the study's own network


def throughput(results: Results) -> Table | None:
    """Every network that was timed; None where no figure lies in the results."""
    table = _measured(results)
    if table.empty:
        return None
    rows = [
        [
            Cell(_name(row.model)),
            number(row.parameters / 1e6, ".2f"),
            number(row.median_ms, ".2f"),
            number(row.p95_ms, ".2f"),
            number(row.slices_per_s, ".1f"),
            Cell("yes" if row.real_time == "True" else "no"),
            Cell("–") if pd.isna(row.waited) else Cell(f"{row.waited:.0%}", float(row.waited)),
            Cell(row.processor if row.device == "cpu" else row.device),
            Cell(f"{row.threads:.0f} of {row.cores:.0f}"),
            Cell(row.precision),
        ]
        for row in rows_of(table)
    ]
    first = table.iloc[0]
    return Table(
        name="Throughput",
        caption=f"One slice of {first['slice'].replace('x', ' × ')} pixels at a time, cut, segmented and put together "
        f"again; {first['warm_up']:.0f} calls to warm up, {first['repeats']:.0f} timed. Real time: a median of "
        f"{first['limit_ms']:g} ms or less. Waited: share of the time in which other programs had the processor. Torch "
        f"{first['torch']}; weights are random, which changes nothing. No interval, no test.",
        source=FILE,
        columns=[
            "Network",
            "Parameters (millions)",
            "Median (ms)",
            "95th percentile (ms)",
            "Slices a second",
            "Real time",
            "Waited",
            "Machine",
            "Threads of cores",
            "Precision",
        ],
        rows=rows,
    )


def sentences(results: Results) -> list[str]:
    """Which figures are not to be believed, and why."""
    return [f"Warning, {_name(row.model)}: {row.note}." for row in rows_of(_measured(results)) if row.note]


def not_measured(results: Results) -> str:
    """That there is no figure, and what makes one."""
    study, scale = (results.study.get(key, key.upper()) for key in ("study", "scale"))
    return (
        f"Not measured on this machine. Run `snakemake --cores all --config study={study} scale={scale}`: it measures, "
        "and writes the page anew."
    )


def _measured(results: Results) -> pd.DataFrame:
    """The figures of this study itself; none of another one that it adds to."""
    path = results.root / FILE
    return read_own(path, TEXT) if path.is_file() else pd.DataFrame()


def _name(model: str) -> str:
    return "the study's own" if model == OWN else as_words(model)
