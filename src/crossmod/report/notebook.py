"""Notebooks executed headless, by this very interpreter, so that equal runs leave equal files."""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossmod.job import UserError, whole

KERNEL = "python3"
TIMEOUT_S = 600


def execute(source: Path, target: Path, figures: Path, parameters: dict[str, Any]) -> None:
    """Execute a notebook in the current working folder; notebook and figures appear whole or not at all.

    Args:
        source: the notebook, with a cell tagged ``parameters``.
        target: the executed notebook to write.
        figures: folder that its figures go to; the notebook gets it as the parameter ``figures``.
        parameters: further plain values that replace those of the tagged cell.

    Raises:
        UserError: if there is no such notebook, or a cell fails (with the cell's own message).
    """
    import nbformat
    from papermill import PapermillExecutionError, execute_notebook

    if not source.is_file():
        raise UserError(f"{source}: no such notebook.")
    with whole(figures) as partial, whole(target) as written, _own_kernel():
        partial.mkdir()
        try:
            executed = execute_notebook(
                str(source),
                None,
                parameters={**parameters, "figures": str(partial)},
                kernel_name=KERNEL,
                language="python",
                progress_bar=False,
                execution_timeout=TIMEOUT_S,
            )
        except PapermillExecutionError as error:
            raise UserError(f"{source.name}, cell {error.cell_index}: {error.ename}: {error.evalue}") from error
        for cell in executed.cells:
            cell["source"] = cell["source"].replace(str(partial), str(figures))
        nbformat.write(_without_times(executed), written)


def _without_times(notebook: Any) -> Any:
    """Drop what differs between two equal runs: times, durations and random ids."""
    notebook.metadata.pop("papermill", None)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
    return notebook


@contextlib.contextmanager
def _own_kernel() -> Iterator[None]:
    """A kernel of the running interpreter, whatever kernels and profiles the machine has installed."""
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "kernels" / KERNEL
        spec.mkdir(parents=True)
        launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        launch.append("--log-level=CRITICAL")
        about = {"argv": launch, "display_name": "Python 3", "language": "python"}
        (spec / "kernel.json").write_text(json.dumps(about))
        own = {
            "JUPYTER_PATH": folder,
            "JUPYTER_CONFIG_DIR": folder,
            "JUPYTER_RUNTIME_DIR": folder,
            "IPYTHONDIR": folder,
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        before = {name: os.environ.get(name) for name in own}
        os.environ.update(own)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
