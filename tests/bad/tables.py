"""Tables of scores, plans and tables of cases that no result may come from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

PLAN = """title: does mixed help
outcome: dsc
subject: [case]
cluster: patient
levels: {arm: [pure, mixed]}
hypotheses:
  - {name: paired, test: pairwise, within: arm}
  - {name: not-worse, test: noninferiority, within: arm, a: mixed, b: pure, margin: 0.01}
"""


@dataclass(frozen=True)
class BadTable:
    """What a user hands over: the bytes of a table, and a plan."""

    name: str
    table: bytes
    plan: str = PLAN


def scores(n: int = 24) -> pd.DataFrame:
    """A good table: DSC of ``n`` cases of two each, by two arms."""
    rng = np.random.default_rng(0)
    pure = 0.9 + 0.03 * rng.standard_normal(n)
    mixed = pure + 0.012 + 0.01 * rng.standard_normal(n)
    return pd.DataFrame(
        [
            {"case": f"{i + 1:03d}", "patient": f"P{i // 2 + 1:02d}", "arm": arm, "dsc": round(float(values[i]), 4)}
            for i in range(n)
            for arm, values in (("pure", pure), ("mixed", mixed))
        ]
    )


def csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False).encode()


def all_tables() -> list[BadTable]:
    """Every bad pair of table and plan, by name."""
    tables = [*_cells(), *_columns(), *_rows(), *_files(), *_plans()]
    assert len({table.name for table in tables}) == len(tables)
    return tables


def _cells() -> Iterator[BadTable]:
    wrong = (
        "#DIV/0!",
        "-",
        "−0.01",
        "91.2%",
        "n/a",
        "0,9.1",
        "1.234,5",
        "inf",
        "-inf",
        "1e999",
        "=A1",
        "[/]",
        "é",
        "0.9 0.8",
    )
    for number, text in enumerate(wrong):
        for row in (0, 25, 47):
            table = scores().astype(object)
            table.loc[row, "dsc"] = text
            yield BadTable(f"cell-{number}-in-row-{row}", csv(table))
    for column in ("case", "patient", "arm"):
        for row in (0, 47):
            table = scores()
            table.loc[row, column] = ""
            yield BadTable(f"empty-{column}-in-row-{row}", csv(table))


def _columns() -> Iterator[BadTable]:
    table = scores()
    for column in table.columns:
        yield BadTable(f"without-{column}", csv(table.drop(columns=column)))
        twice = table.copy()
        twice["again"] = twice[column]
        text = csv(twice).decode()
        yield BadTable(f"{column}-twice", text.replace("again", column, 1).encode())
        yield BadTable(f"{column}-twice-with-a-blank", text.replace("again", f"{column} ", 1).encode())
    yield BadTable("no-header", csv(table).split(b"\n", 1)[1])
    yield BadTable("names-without-values", b"case,patient,arm,dsc\n")
    yield BadTable("dsc-of-text", csv(table.assign(dsc="good")))
    yield BadTable("no-values-at-all", csv(table.assign(dsc="")))


def _rows() -> Iterator[BadTable]:
    table = scores()
    for name in ("mean", "Mean", "total", "std"):
        end = pd.DataFrame([{"case": name, "patient": "", "arm": arm, "dsc": 0.9} for arm in ("pure", "mixed")])
        yield BadTable(f"ends-with-{name}", csv(pd.concat([table, end])))
    yield BadTable("rows-twice", csv(pd.concat([table, table])))
    yield BadTable("one-row-twice-with-another-value", csv(pd.concat([table, table.head(1).assign(dsc=0.5)])))
    lines = csv(table).decode().splitlines()
    yield BadTable("a-cell-too-many", "\n".join([*lines[:9], lines[9] + ",7", *lines[10:]]).encode())
    yield BadTable("a-cell-too-many-everywhere", "\n".join([lines[0], *(f"x,{line}" for line in lines[1:])]).encode())
    yield BadTable("a-cell-too-few", "\n".join([*lines[:9], lines[9].rsplit(",", 1)[0], *lines[10:]]).encode())
    yield BadTable("open-quote", "\n".join([*lines[:9], '"' + lines[9], *lines[10:]]).encode())
    yield BadTable("one-arm", csv(table[table["arm"] == "pure"]))
    yield BadTable("one-case", csv(table.head(2)))
    yield BadTable("unknown-arm", csv(table.replace("mixed", "mix")))
    yield BadTable("patients-of-a-case-differ", csv(table.assign(patient=[f"P{i}" for i in range(48)])))


def _files() -> Iterator[BadTable]:
    good = csv(scores())
    yield BadTable("empty-file", b"")
    yield BadTable("blank-file", b" \n\n")
    yield BadTable("mark-only", b"\xef\xbb\xbf")
    yield BadTable("zip", b"PK\x03\x04" + bytes(2000))
    yield BadTable("old-excel", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000))
    yield BadTable("zeros", bytes(5000))
    yield BadTable("nul-in-a-cell", good.replace(b"P03", b"P\x003"))
    yield BadTable("random", np.random.default_rng(0).bytes(4000))
    yield BadTable("html", b"<html><body>404</body></html>")
    yield BadTable("json", b'{"case": ["001"], "dsc": [0.9]}')


def _plans() -> Iterator[BadTable]:
    good = csv(scores())

    def plan(name: str, change: Callable[[str], str]) -> BadTable:
        return BadTable(f"plan-{name}", good, change(PLAN))

    yield plan("empty", lambda _: "")
    yield plan("a-list", lambda _: "- a\n- b\n")
    yield plan("text", lambda _: "dsc")
    yield plan("not-yaml", lambda p: p + "  : : [")
    yield plan("python-tag", lambda p: p + "x: !!python/object/apply:os.system ['touch canary']\n")
    yield plan("unknown-key", lambda p: p + "outcom: dsc\n")
    yield plan("unknown-test", lambda p: p.replace("pairwise", "t-test"))
    yield plan("unknown-outcome", lambda p: p.replace("outcome: dsc", "outcome: dice"))
    yield plan("unknown-cluster", lambda p: p.replace("cluster: patient", "cluster: hospital"))
    yield plan("levels-of-numbers", lambda p: p.replace("[pure, mixed]", "[1, 2]"))
    yield plan("levels-missing-one", lambda p: p.replace("[pure, mixed]", "[pure]"))
    yield plan("levels-twice", lambda p: p.replace("[pure, mixed]", "[pure, pure, mixed]"))
    yield plan("levels-of-lists", lambda p: p.replace("[pure, mixed]", "[[pure], [mixed]]"))
    yield plan("levels-null", lambda p: p.replace("{arm: [pure, mixed]}", "{arm: null}"))
    yield plan("margin-negative", lambda p: p.replace("0.01", "-0.01"))
    yield plan("margin-nan", lambda p: p.replace("0.01", ".nan"))
    yield plan("margin-text", lambda p: p.replace("0.01", "small"))
    yield plan("where-unknown-column", lambda p: p.replace("within: arm}", "within: arm, where: {site: [a]}}", 1))
    yield plan("where-unknown-level", lambda p: p.replace("within: arm}", "within: arm, where: {arm: [none]}}", 1))
    yield plan("where-a-list", lambda p: p.replace("within: arm}", "within: arm, where: [a]}", 1))
    yield plan("where-a-dict", lambda p: p.replace("within: arm}", "within: arm, where: {arm: {a: b}}}", 1))
    yield plan("each-unknown", lambda p: p.replace("within: arm}", "within: arm, each: [site]}", 1))
    yield plan("name-twice", lambda p: p.replace("not-worse", "paired"))
    yield plan("name-leaves", lambda p: p.replace("not-worse", "../../out"))
    yield plan("name-markup", lambda p: p.replace("not-worse", "[/red]"))
    alone = "test: noninferiority, within: arm, a: pure, b: pure, margin: 0.01"
    yield plan("same-arm-twice", lambda p: p.split("  - ")[0] + f"  - {{name: not-worse, {alone}}}\n")
    yield plan("no-hypothesis", lambda p: p.split("hypotheses")[0] + "hypotheses: []\n")
    yield plan("alpha-2", lambda p: p + "alpha: 2\n")


def write(bad: BadTable, folder: Path) -> tuple[Path, Path]:
    """The files of a bad pair: table and plan."""
    table, plan = folder / "scores.csv", folder / "plan.yaml"
    table.write_bytes(bad.table)
    plan.write_text(bad.plan, encoding="utf-8")
    return table, plan
