"""The command line: every step by itself, and what a user does without a study."""

import gc
import importlib
import shutil
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from crossmod.door import admitted
from crossmod.job import Job, UserError
from crossmod.machine import trouble
from crossmod.running.warm import elsewhere

app = typer.Typer(
    name="crossmod",
    help="Does annotated data of one modality help segment another? Reproducible CT/MR segmentation studies.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

STEPS = {
    "cohort": ("crossmod.cohort", "run", "Draw, convert or list the cases of a cohort, and check each of them."),
    "cohort.check": ("crossmod.cohort", "run_check", ""),
    "prepare": ("crossmod.prepare", "run", "Orient, resample and normalise the scans of a cohort, once."),
    "split": ("crossmod.split", "run", "Draw patient-disjoint training arms and validation sites, and audit them."),
    "split.site": ("crossmod.split", "run_site", ""),
    "split.audit": ("crossmod.split", "run_audit", ""),
    "train": ("crossmod.train", "run", "Train one stage of one arm with one seed."),
    "predict": ("crossmod.predict", "run", "Segment a site with one arm, masks in the scans' own space."),
    "evaluate": ("crossmod.evaluate", "run", "Compare masks with references: one row per case and target."),
    "analyse": ("crossmod.analyse", "run", "Test what the rows say: ANOVA, post-hoc, volume agreement."),
    "report": ("crossmod.report", "run", "Write the page that reports a study; execute its notebooks."),
    "report.notebook": ("crossmod.report", "run_notebook", ""),
    "report.audit": ("crossmod.report", "run_audit", ""),
    "track": ("crossmod.track", "run", "Add results to the runs of a training."),
    "throughput": ("crossmod.throughput", "run", "Time networks on planes of this machine, one plane at a time."),
}


NOT_FOUND = 3  # exit code of `crossmod measure` on a scan without a kidney
INTERRUPTED = 128 + signal.SIGINT  # exit code, as a shell tells it


def run_job(step: str, job: Job) -> None:
    """Run a job of a step and save its description beside its outputs.

    Raises:
        UserError: if the job is of another step, or would replace what crossmod did not make.
    """
    if job.step not in STEPS:
        raise UserError(f"No step is called {job.step!r}; there are {', '.join(STEPS)}.")
    if job.step.split(".")[0] != step:
        raise UserError(f"This job belongs to `crossmod {job.step.split('.')[0]}`, not to `crossmod {step}`.")
    module, function, _ = STEPS[job.step]
    try:
        with admitted(job):
            getattr(importlib.import_module(module), function)(job)
            if "job" in job.outputs:
                job.save(job.outputs["job"])
    except UserError:
        raise
    except Exception as error:
        problem = trouble(error, Path(str(next(iter(job.outputs.values()), "."))))
        if problem is None:
            raise
        raise UserError(problem) from error


def _command(step: str) -> None:
    def command(
        job: Annotated[str, typer.Argument(help="A job file (saved beside every output); - reads standard input.")],
        threads: Annotated[int, typer.Option(min=1, help="Processes or threads at most.")] = 1,
    ) -> None:
        run_job(step, Job.load(job, threads))

    app.command(step, help=STEPS[step][2] + " Any job of a study can be repeated by hand from its job file.")(command)


for _step in [name for name in STEPS if "." not in name and name != "analyse"]:
    _command(_step)


@app.command()
def analyse(
    source: Annotated[str, typer.Argument(help="A job file, - for standard input, or with --plan a CSV of scores.")],
    plan: Annotated[Path | None, typer.Option(help="YAML with the hypotheses, written before the scores.")] = None,
    out: Annotated[Path, typer.Option(help="With --plan: folder for the tables.")] = Path("analysis"),
    threads: Annotated[int, typer.Option(min=1, help="Processes or threads at most.")] = 1,
) -> None:
    """Test what the rows say: a study's own (any job can be repeated from its file), or any table's by a plan."""
    if plan is None:
        if source.lower().endswith((".csv", ".tsv", ".txt")):
            raise UserError(
                f"{source}: a table of scores is tested by a plan; name it with --plan, e.g. docs/plan.yaml."
            )
        run_job("analyse", Job.load(source, threads))
        return
    from crossmod.analyse.command import analyse_table, show

    show(analyse_table(Path(source), plan, out), out)


@app.command()
def scores(
    summaries: Annotated[
        list[str], typer.Argument(metavar="ARM=FILE...", help="nnU-Net's summary.json of each arm, one per fold.")
    ],
    out: Annotated[Path, typer.Option(help="CSV to write.")] = Path("scores.csv"),
    label: Annotated[
        list[str] | None, typer.Option(metavar="LABEL=NAME", help="Name of a label or region: 1=kidney, '(1, 2)=both'.")
    ] = None,
    patient: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="Its one group is the patient in a case's name; default: case = patient."),
    ] = None,
) -> None:
    """Turn nnU-Net's summary.json into the table of scores that `crossmod analyse --plan` tests."""
    from crossmod.analyse.nnunet import convert_summaries

    convert_summaries(summaries, out, label or [], patient)


@app.command()
def config(
    overrides: Annotated[list[str] | None, typer.Argument(help="Hydra overrides, e.g. scale=smoke seeds=[0,1]")] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print every key that a study may have, and what it means, instead.")
    ] = False,
    arms: Annotated[
        bool,
        typer.Option("--arms", help="Print the arms, the trainings and who needs each, sites and cohorts, instead."),
    ] = False,
) -> None:
    """Print a study's composed and validated config."""
    import yaml

    from crossmod.design.compose import compose

    if schema:
        from crossmod.design.explain import explained
        from crossmod.design.study import Study

        typer.echo(explained(Study, shutil.get_terminal_size((100, 24)).columns), nl=False)
        return
    study = compose(overrides or [])
    if arms:
        from crossmod.design.overview import overview

        width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else None
        typer.echo(overview(study, width), nl=False)
        return
    typer.echo(yaml.safe_dump(study, sort_keys=False, allow_unicode=True), nl=False)


@app.command()
def measure(
    scan: Annotated[Path, typer.Argument(help="NIfTI, NRRD or MHA file, or a folder with one DICOM series.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for mask, JSON and overlay; default: beside the scan.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder of a trained arm; default: the networks that come with crossmod.")
    ] = None,
    modality: Annotated[
        str, typer.Option(help="CT, MR, or auto (what DICOM says, else CT where the scan has values of air in HU).")
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Which training of the arm.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Measure the volumes of the renal parenchyma on a scan of your own.

    Exit codes: 0 measured, perhaps with warnings; 2 refused; 3 no kidney was found.
    """
    from crossmod.measure import measure_scan

    if measure_scan(scan, out, model, modality, seed, threads)["total_ml"] is None:
        raise typer.Exit(NOT_FOUND)


@app.command()
def treat(
    scan: Annotated[Path, typer.Argument(help="NIfTI, NRRD or MHA file, or a folder with one DICOM series.")],
    treatment: Annotated[
        str,
        typer.Option(
            help="inverted; inverted_black (black below 1 % of the range, as the authors' code does); "
            "inverted_black_percentile (black below the first percentile, as their paper says); "
            "inverted_black_rescaled (crossmod's own, not theirs: then mapped to soft tissue in HU)."
        ),
    ] = "inverted_black",
    out: Annotated[Path | None, typer.Option(help="Folder for scan and JSON; default: beside the scan.")] = None,
    modality: Annotated[
        str, typer.Option(help="CT, MR, or auto (what DICOM says, else CT where the scan has values of air in HU).")
    ] = "auto",
    fit: Annotated[
        bool, typer.Option("--fit", help="First bring a scan with values far above 3000 below that (not the paper's).")
    ] = False,
) -> None:
    """Turn an MR's intensities round (arXiv 2405.03713), so that a tool for CT may segment it.

    Writes SCAN.TREATMENT.nii.gz on the scan's own grid, and a JSON of what was done.
    """
    from crossmod.treat import treat_scan

    treat_scan(scan, treatment, out, modality, fit)


@app.command()
def ship(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Hydra overrides the networks were trained with.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write instead of the package's own.")] = None,
) -> None:
    """Put the networks of the study `measure` into the package; `make weights` trains them first."""
    from crossmod.weights import FOLDER
    from crossmod.weights.ship import ship as ship_weights

    record = ship_weights(overrides or [], folder=out or FOLDER)
    typer.echo(f"shipped: {record['name']}")


@app.command()
def phantom(
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("phantom.png"),
    seed: Annotated[int, typer.Option(min=0, help="Of the first patient.")] = 1,
) -> None:
    """Draw a contact sheet: one simulated patient of every acquisition protocol."""
    from crossmod.phantom.sheet import draw_sheet, is_sheet

    if out.exists() and not is_sheet(out):
        raise UserError(
            f"{out}: exists already, and is no sheet of crossmod's, so it is not replaced. Give another --out."
        )
    draw_sheet(out, seed)
    typer.echo(f"{out}: one simulated patient of every protocol")


@app.command()
def ui(
    study: Annotated[
        str | None, typer.Option(help="Name of the study; default: the one that conf/config.yaml names.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
) -> None:
    """Browse a study's runs in the MLflow UI, on this machine only."""
    from crossmod.design.compose import default_study
    from crossmod.runs.store import serve

    serve(Path("results") / (study or default_study()) / "mlflow", port)


def main() -> None:
    """Entry point: a user's mistake, and a trouble of the machine, is one clear message, not a traceback."""
    try:
        code = elsewhere(sys.argv[1:])
        if code is not None:
            sys.exit(code)
        # Importing torch, MONAI, Lightning and MLflow makes millions of objects, none of them garbage: with Python's
        # own threshold of 700 part of a job's start is spent looking for some (measured on a busy machine: 6.3 → 5.4
        # s).
        gc.set_threshold(50_000, 20, 100)
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except UserError as error:
        _tell(str(error))
        sys.exit(2)
    except (OSError, ValueError, MemoryError, RuntimeError) as error:
        problem = trouble(error, Path.cwd())
        if problem is None:
            raise
        _tell(problem)
        sys.exit(2)


def _tell(problem: str) -> None:
    from rich.console import Console
    from rich.markup import escape

    Console(stderr=True, soft_wrap=True).print(f"[bold red]crossmod:[/bold red] {escape(problem)}", highlight=False)


if __name__ == "__main__":
    main()
