"""``crossmod analyse scores.csv --plan plan.yaml``: anyone's table of scores, tested by a plan.

The plan is checked against a closed schema and against the table's columns, every hypothesis is tested in every one of
its cells, each family of p-values is corrected, and one CSV per hypothesis and a record with the hashes of plan and
table are written.
"""

from pathlib import Path

import pandas as pd

from crossmod.analyse.folder import RECORD, check_folder, write_folder
from crossmod.analyse.plan import digest_of, families_of, read_plan, run_plan
from crossmod.analyse.user_table import read_table
from crossmod.job import UserError, file_digest, read_json


def analyse_table(scores: Path, plan_file: Path, folder: Path) -> dict[str, pd.DataFrame]:
    """Test every hypothesis of a plan; the folder of results appears whole or not at all.

    Written: ``<hypothesis>.csv`` and ``rows/…csv`` (see :class:`crossmod.analyse.plan.Tested`), ``record.json`` (hashes
    of plan, table and files, families, rows).

    Returns:
        Hypothesis → its table.

    Raises:
        UserError: if plan or table are at fault, or the folder holds something else, or cannot be written.
    """
    plan = read_plan(plan_file)
    table = read_table(scores, plan)
    folder = check_folder(folder)
    tested = run_plan(plan, table, "rows")
    record = {
        "title": plan.title,
        "plan_sha256": digest_of([plan]),
        "table_sha256": file_digest(scores),
        "rows": len(table),
        "families": families_of(tested.tables),
        "correction": plan.correction,
        "alpha": plan.alpha,
    }
    write_folder(folder, tested, record)
    return tested.tables


def show(found: dict[str, pd.DataFrame], folder: Path) -> None:
    """Print how many tests of each hypothesis came out which way, what was left out, and what could not be tested.

    Raises:
        UserError: after all is printed, if nothing could be tested.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    summary = Table(title="Hypotheses")
    for column in ("hypothesis", "tests", "significant", "not tested", "smallest corrected p"):
        summary.add_column(column, justify="left" if column == "hypothesis" else "right")
    for name, rows in found.items():
        tested, smallest = rows["p_family"].notna(), rows["p_corrected"].min()
        counts = (int(tested.sum()), int(rows["significant"].sum()), int((rows["note"] != "").sum()))
        summary.add_row(name, *map(str, counts), f"{smallest:.2g}" if tested.any() else "–")
    console.print(summary)
    for name, rows in found.items():
        left_out = rows["n_dropped"].max() if "n_dropped" in rows else 0
        notes = [f"{left_out:.0f} units or rows without a value are left out, see n_dropped"] if left_out > 0 else []
        for note in [*notes, *rows.loc[rows["note"] != "", "note"].unique()]:
            console.print(f"[yellow]{name}:[/yellow] {escape(str(note))}", soft_wrap=True, highlight=False)
    record = read_json(folder / RECORD)
    console.print(f"plan: SHA-256 {record['plan_sha256']}", soft_wrap=True, highlight=False)
    console.print(f"tables: {escape(str(folder))}", soft_wrap=True, highlight=False)
    if all((rows["note"] != "").all() and rows["p_family"].isna().all() for rows in found.values()):
        raise UserError(f"Nothing could be tested; the tables in {folder} say why in the column 'note'.")
