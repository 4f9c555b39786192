import json
import sys
from pathlib import Path

import nbformat
import pytest

from crossmod import report
from crossmod.job import Job, UserError
from crossmod.report.notebook import execute

NAMES = ["01_cohort", "02_scores", "03_comparison", "04_volumes", "05_overlays"]
FIGURES = {
    "01_cohort": {"cohort_volumes", "split_matrix"},
    "02_scores": {"dsc_by_arm", "hd95_mm_by_arm", "surface_dsc_by_arm"},
    "03_comparison": {"learning_curves", "subgroup_forest"},
    "04_volumes": {"bland_altman", "volume_scatter"},
    "05_overlays": {"overlays_kidney", "overlays_parenchyma_with_tumour", "overlays_parenchyma_without_tumour"},
}


def run(root: Path, name: str, folder: Path, study: dict, out: Path) -> tuple[Path, Path]:
    outputs = {"notebook": str(out / f"{name}.ipynb"), "figures": str(out / name)}
    inputs = {"notebook": str(root / "notebooks" / f"{name}.ipynb"), "results": str(folder)}
    report.run_notebook(Job("report.notebook", inputs, outputs, {"study": study}))
    return out / f"{name}.ipynb", out / name


def write(path: Path, code: str) -> Path:
    cell = nbformat.v4.new_code_cell('figures = ""', metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell(code)]), path)
    return path


def test_all_notebooks_are_known(root):
    known = [*NAMES, "06_calibration", "07_treatments"]
    assert sorted(path.stem for path in (root / "notebooks").glob("*.ipynb")) == known


@pytest.mark.parametrize("name", [*NAMES, "07_treatments"])
def test_notebooks_are_committed_clean(root, name):
    notebook = nbformat.read(root / "notebooks" / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.language_info.name == "python"
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    (tagged,) = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert 'results = "results/renal/laptop"' in tagged.source


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_run_on_a_small_study(root, name, folder, study, tmp_path):
    notebook, figures = run(root, name, folder, study, tmp_path)
    assert {path.stem for path in figures.iterdir()} == FIGURES[name]
    executed = json.loads(notebook.read_text())
    outputs = [out for cell in executed["cells"] for out in cell.get("outputs", [])]
    assert sum("image/png" in out.get("data", {}) for out in outputs) == len(FIGURES[name])
    assert not [out for out in outputs if out["output_type"] in ("error", "stream")], "no warnings, no errors"
    assert "papermill" not in executed["metadata"]
    assert "start_time" not in notebook.read_text() and ".partial-" not in notebook.read_text()


def test_equal_runs_leave_equal_files(root, folder, study, tmp_path, monkeypatch):
    name = "03_comparison"
    monkeypatch.chdir(folder.parents[2])
    folder = Path("results/renal_real/smoke")  # relative to the working folder, as in a study
    notebook, figures = run(root, name, folder, study, tmp_path)
    before = {path: path.read_bytes() for path in (notebook, *figures.iterdir())}
    run(root, name, folder, study, tmp_path)
    assert {path: path.read_bytes() for path in (notebook, *figures.iterdir())} == before


def test_the_kernel_is_this_interpreter(tmp_path, monkeypatch):
    spec = tmp_path / "elsewhere" / "kernels" / "python3"
    spec.mkdir(parents=True)
    about = {"argv": ["/bin/false", "{connection_file}"], "display_name": "wrong", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(about))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "elsewhere"))
    source = write(tmp_path / "which.ipynb", "import sys; print(sys.executable)")
    execute(source, tmp_path / "done.ipynb", tmp_path / "figures", {})
    (output,) = nbformat.read(tmp_path / "done.ipynb", as_version=4).cells[-1].outputs
    assert output.text.strip() == sys.executable


def test_a_failing_cell_leaves_nothing(tmp_path):
    source = write(tmp_path / "bad.ipynb", "raise ValueError('no such arm')")
    with pytest.raises(UserError, match=r"bad\.ipynb.*ValueError: no such arm"):
        execute(source, tmp_path / "done.ipynb", tmp_path / "figures", {})
    assert not (tmp_path / "done.ipynb").exists() and not (tmp_path / "figures").exists()
    with pytest.raises(UserError, match="no such notebook"):
        execute(tmp_path / "none.ipynb", tmp_path / "done.ipynb", tmp_path / "figures", {})
