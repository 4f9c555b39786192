"""An outside command: real programs that do what they should, and programs that do not."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from crossmod.anatomy.kidneys import MASK_VALUES
from crossmod.job import UserError
from crossmod.predict.command import Command
from crossmod.predict.record import record_of
from crossmod.scans.scan import Scan
from tests.bright import KIDNEY, STAGES, dsc, patient

ORGANS = KIDNEY | {"classes": {"liver": ["liver"], "spleen": ["spleen"], "kidney": ["kidney"]}, "keep": None}
HEAD = """
import sys, time
import nibabel as nib, numpy as np
image, labels = sys.argv[1:3]
scan = nib.load(image)
bright = (np.asarray(scan.dataobj) > 150).astype(np.uint8)
def write(array, affine=scan.affine, to=labels):
    nib.save(nib.Nifti1Image(array, affine), to)
"""


@pytest.fixture
def program(tmp_path):
    """Write a program and make a command of it."""

    def make(body: str, labels: dict | None = None, stages: dict | None = None, **settings) -> Command:
        file = tmp_path / "a program.py"
        file.write_text(HEAD + body)
        command = f"'{sys.executable}' '{file}' {{image}} {{labels}}"
        labels = {"1": "kidney"} if labels is None else labels
        return Command.of({"command": command, "labels": labels, **settings}, stages or {"kidney": KIDNEY})

    return make


@pytest.mark.parametrize("codes", [("L", "P", "S"), ("P", "I", "R")])
def test_a_program_that_thresholds_finds_both_kidneys_on_their_sides(program, codes):
    scan, truth = patient(codes)
    found = program("write(bright)").masks(scan)
    assert list(found) == ["kidney"] and found["kidney"].dtype == np.uint8
    for value in MASK_VALUES.values():
        assert dsc(found["kidney"] == value, truth == value) > 0.95


def test_sides_that_labels_name_are_believed(program):
    scan, _ = patient()
    half = scan.array.shape[0] // 2
    body = f"bright[:{half}] *= 7\nbright[{half}:] *= 9\nwrite(bright)"
    mask = program(body, {"7": "left_kidney", "9": "right_kidney"}).masks(scan)["kidney"]
    assert set(np.unique(mask[:half])) == {0, MASK_VALUES["left"]}
    assert set(np.unique(mask[half:])) == {0, MASK_VALUES["right"]}


def test_structures_become_the_class_values_of_the_stage_and_the_unknown_class_is_told(program):
    scan, _ = patient()
    body = "write((bright * (1 + np.arange(bright.shape[2]) % 3)).astype(np.float32))"
    labels = {"1": "spleen", "2": "right_kidney"}
    command = program(
        body, labels, {"organs": ORGANS, "kidney": KIDNEY, "parenchyma": STAGES["parenchyma"]}, ignore=[3]
    )
    assert command.known == {"organs": ["spleen", "kidney"], "kidney": ["kidney"]}
    masks = command.masks(scan)
    assert list(masks) == ["organs", "kidney"]
    bright = scan.array > 150
    plane = np.broadcast_to(np.arange(bright.shape[2]) % 3, bright.shape)
    expected = np.where(bright & (plane == 0), 2, np.where(bright & (plane == 1), 3, 0))
    np.testing.assert_array_equal(masks["organs"], expected)


def test_values_of_no_interest_are_ignored_only_if_that_is_said(program):
    scan, _ = patient()
    body = "bright[0, 0, 0] = 77\nwrite(bright)"
    with pytest.raises(
        UserError, match=r"wrote the value 77, which segmenter\.labels does not name.*list it in segmenter\.ignore"
    ):
        program(body).masks(scan)
    for ignore in ([5, 77], "others"):
        assert program(body, ignore=ignore).masks(scan)["kidney"][0, 0, 0] == 0


def test_paths_are_filled_in_as_whole_arguments_and_inside_one(tmp_path, monkeypatch):
    folder = tmp_path / "with spaces; $HOME"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    file = tmp_path / "p.py"
    file.write_text(
        "import sys, shutil\nassert sys.argv[1] == '-i' and sys.argv[3].startswith('--out='), sys.argv\n"
        "assert sys.argv[4:] == ['{x}', '$HOME', 'a b'], sys.argv\n"
        "import nibabel as nib, numpy as np\ns = nib.load(sys.argv[2])\n"
        "nib.save(nib.Nifti1Image((np.asarray(s.dataobj) > 150).astype(np.uint8), s.affine), sys.argv[3][6:])\n"
    )
    text = f"'{sys.executable}' '{file}' -i {{image}} --out={{labels}} {{x}} $HOME 'a b'"
    scan, _ = patient()
    assert Command.of({"command": text, "labels": {"1": "kidney"}}, {"kidney": KIDNEY}).masks(scan)["kidney"].any()
    assert not list(folder.iterdir())


def test_the_scan_is_given_whole_under_a_name_of_no_patient(program):
    scan, _ = patient()
    body = "assert image.endswith('/scan.nii.gz'), image\nassert float(scan.dataobj[3, 4, 5]) == %r\nwrite(bright)"
    program(body % float(scan.array[3, 4, 5])).masks(scan)


def test_a_program_that_fails_is_told_by_its_last_words_and_all_it_said_is_in_the_log(program, capfd):
    scan, _ = patient()
    command = program("print('loading'); print('no GPU here', file=sys.stderr); sys.exit(3)")
    with pytest.raises(UserError, match="ended with code 3; its last words: .*no GPU here|loading"):
        command.masks(scan)
    said = capfd.readouterr().err
    assert "loading" in said and "no GPU here" in said


def test_a_program_that_hangs_is_stopped_with_all_that_it_started(program, tmp_path):
    scan, _ = patient()
    note = tmp_path / "child"
    body = (
        "import subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(note)!r}, 'w').write(str(child.pid))\ntime.sleep(600)"
    )
    started = time.monotonic()
    with pytest.raises(UserError, match=r"took longer than 5 s and was stopped.*raise segmenter\.limit_s"):
        program(body, limit_s=5).masks(scan)
    assert time.monotonic() - started < 60
    child = Path(f"/proc/{note.read_text()}/stat")
    for _ in range(100):
        if not child.exists() or child.read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail("the program's child still runs")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("", "ended well but wrote no file"),
        ("open(labels, 'w').write('nothing')", "wrote a file that cannot be read"),
        ("write(bright[::2], scan.affine @ np.diag([2, 1, 1, 1]))", "on another grid than the scan's"),
        ("write(bright, scan.affine + 9 * np.eye(4, k=3))", "on another grid than the scan's"),
        ("write(bright * 0.5)", "wrote no label map.*whole numbers, not 0.5"),
        ("write(bright * np.float32('nan'))", "wrote no label map.*whole numbers, not nan"),
        ("write(-bright.astype(np.int16))", "wrote no label map.*no negative numbers"),
        ("write(np.stack([bright, bright], -1))", "wrote a file that cannot be read"),
    ],
)
def test_what_is_no_label_map_of_the_scan_is_refused(program, body, problem):
    scan, _ = patient()
    with pytest.raises(UserError, match=problem):
        program(body).masks(scan)


def test_a_program_that_is_not_there_is_told():
    command = Command.of({"command": "no-such-tool {image} {labels}", "labels": {"1": "kidney"}}, {"kidney": KIDNEY})
    with pytest.raises(UserError, match=r"no-such-tool cannot be started \(No such file or directory\); install it"):
        command.masks(Scan(np.zeros((4, 4, 4), np.int16), np.eye(4)))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"command": "tool {image}"}, r"needs one of \{labels\}, .*no argument with one of them"),
        ({"command": "{image} {labels}"}, r"needs one of \{image\}, .*no argument with one of them"),
        ({"command": ""}, r"needs one of \{image\}"),
        ({"command": "tool {image} {labels} {mask_folder}"}, "has several of them"),
        ({"command": "tool {image} {mask_folder}"}, "give both, or neither"),
        ({"masks": {"kidney": "kidney"}}, "give both, or neither"),
        ({"command": "tool {image} {mask_folder}", "masks": {"../kidney": "kidney"}}, "is no name of a file"),
        ({"command": "tool {image} {mask_folder}", "masks": {"k": "kidny"}}, r"segmenter\.masks\.k: .*did you mean"),
        ({"command": "tool '{image} {labels}"}, "cannot be split into words"),
        ({"labels": {"0": "kidney"}}, "'0' is no label value"),
        ({"labels": {"-1": "kidney"}}, "'-1' is no label value"),
        ({"labels": {"1.5": "kidney"}}, "'1.5' is no label value"),
        ({"labels": {"1": "kidny"}}, "did you mean 'kidney'"),
        ({"labels": {"1": "Kidney!"}}, "did you mean 'kidney'"),
        ({"labels": {"1": "spleen"}}, "spleen is no structure of any class of the stages kidney"),
        ({"labels": {}}, "nothing is no structure"),
    ],
)
def test_a_config_that_makes_no_command_is_refused_before_anything_runs(settings, problem):
    good = {"command": "tool -i {image} -o {labels}", "labels": {"1": "kidney"}}
    with pytest.raises(UserError, match=problem):
        Command.of(good | settings, {"kidney": KIDNEY})


def test_no_shell_reads_the_command(program, tmp_path):
    scan, _ = patient()
    left = tmp_path / "left"
    command = program("write(bright)")
    words = [*command.words, ";", "touch", str(left), "&&", f"$(touch {left})", f"`touch {left}`"]
    Command(words, command.names, frozenset(), False, 60, command.stages).masks(scan)
    assert not os.path.lexists(left)


# Small programs with the command line and the layout of files of two real ones.
TOTAL = """
import argparse, pathlib
import nibabel as nib, numpy as np
parser = argparse.ArgumentParser()
parser.add_argument("-i"), parser.add_argument("-o")
for flag in ("--ml", "--fast"):
    parser.add_argument(flag, action="store_true")
parser.add_argument("--task", default="total")
given = parser.parse_args()
scan = nib.load(given.i)
bright = np.asarray(scan.dataobj) > 150
half = bright.shape[0] // 2
side = np.arange(bright.shape[0])[:, None, None] < half
right = {"right": side, "left": ~side}
def save(array, path):
    nib.save(nib.Nifti1Image(array.astype(np.uint8), scan.affine), path)
if given.ml:
    save(np.where(bright & side, 3, np.where(bright, 2, 0)) + 117 * (np.indices(bright.shape).sum(0) == 0), given.o)
else:
    folder = pathlib.Path(given.o)
    folder.mkdir(exist_ok=True)
    save(bright & side, folder / "kidney_left.nii.gz"), save(bright & ~side, folder / "kidney_right.nii.gz")
    save(bright & False, folder / "liver.nii.gz")
"""
NNUNET = """
import argparse, pathlib
import nibabel as nib, numpy as np
parser = argparse.ArgumentParser()
for flag in ("-i", "-o", "-d", "-c", "-f"):
    parser.add_argument(flag)
given = parser.parse_args()
out = pathlib.Path(given.o)
files = list(pathlib.Path(given.i).iterdir())
assert [file.name for file in files] == ["scan_0000.nii.gz"], files
scan = nib.load(files[0])
labels = (np.asarray(scan.dataobj) > 150).astype(np.uint8)
nib.save(nib.Nifti1Image(labels, scan.affine), out / "scan.nii.gz")
for name in ("dataset.json", "plans.json", "predict_from_raw_data_args.json"):
    (out / name).write_text("{}")
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Put a program of a name onto the PATH."""

    def put(name: str, body: str) -> None:
        (tmp_path / "bin").mkdir(exist_ok=True)
        file = tmp_path / "bin" / name
        file.with_suffix(".py").write_text(body)
        # No first line can name an interpreter whose path has blanks.
        file.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{file.with_suffix('.py')}' \"$@\"\n")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    return put


def preset(root: Path, name: str, **changes) -> dict:
    return yaml.safe_load((root / "conf/segmenter" / f"{name}.yaml").read_text()) | changes


def test_the_preset_of_totalsegmentator_reads_its_label_map(root, installed):
    installed("TotalSegmentator", TOTAL)
    scan, _ = patient()
    half = scan.array.shape[0] // 2
    mask = Command.of(preset(root, "totalsegmentator"), {"kidney": KIDNEY}).masks(scan)["kidney"]
    assert set(np.unique(mask[:half])) == {0, MASK_VALUES["left"]}
    assert set(np.unique(mask[half:])) == {0, MASK_VALUES["right"]}


def test_the_preset_maps_all_its_ids_to_24_structures(root):
    labels = preset(root, "totalsegmentator")["labels"]
    assert len(set(labels.values())) == 24 and len(labels) == 50
    assert {value for value, name in labels.items() if name == "spine"} == set(range(27, 51))
    assert {value for value, name in labels.items() if name.endswith("lung")} == set(range(10, 15))


def test_a_folder_of_masks_is_read_as_label_map(root, installed):
    installed("TotalSegmentator", TOTAL)
    scan, _ = patient()
    settings = {
        "command": "TotalSegmentator -i {image} -o {mask_folder}",
        "masks": {"kidney_left": "left_kidney", "kidney_right": "right_kidney", "liver": "liver"},
    }
    command = Command.of(settings, {"organs": ORGANS, "kidney": KIDNEY})
    assert command.known == {"organs": ["liver", "kidney"], "kidney": ["kidney"]}
    masks, bright = command.masks(scan), scan.array > 150
    np.testing.assert_array_equal(masks["organs"], np.where(bright, 3, 0))
    assert set(np.unique(masks["kidney"])) == {0, *MASK_VALUES.values()}
    missing = Command.of(settings | {"masks": {"spleen": "spleen"}}, {"organs": ORGANS})
    with pytest.raises(UserError, match=r"wrote no mask spleen\.nii\.gz into \{mask_folder\}"):
        missing.masks(scan)


def test_the_preset_of_nnunet_gives_a_folder_and_takes_the_one_image_from_another(root, installed):
    installed("nnUNetv2_predict", NNUNET)
    scan, truth = patient()
    command = Command.of(preset(root, "nnunet", labels={"1": "kidney"}), {"kidney": KIDNEY})
    assert dsc(command.masks(scan)["kidney"] > 0, truth > 0) > 0.95
    installed("nnUNetv2_predict", NNUNET.replace('"scan.nii.gz")', '"scan.txt.nii")') + "nib.save(scan, out / 'b.nii')")
    with pytest.raises(UserError, match=r"wrote 2 images into \{label_folder\}, where one label map is expected"):
        command.masks(scan)


def test_the_last_lines_of_a_crash_are_told(program):
    scan, _ = patient()
    body = "import faulthandler, os\nprint('loading')\nprint('weights missing: run download')\nsys.stdout.flush()\n"
    with pytest.raises(UserError, match=r"ended with code -6; its last words: .*weights missing: run download"):
        program(body + "os.abort()").masks(scan)


def test_the_record_has_version_licence_and_the_hash_of_the_weights(tmp_path):
    (tmp_path / "weights/fold_0").mkdir(parents=True)
    (tmp_path / "weights/fold_0/final.pth").write_bytes(b"weights")
    settings = {
        "command": "tool {image} {labels}",
        "version_command": f"'{sys.executable}' -c 'print(1); print(\"tool 2.2.1\")'",
        "licence": "Apache-2.0",
        "weights": str(tmp_path / "weights"),
    }
    record = record_of(settings)
    assert (record["version"], record["licence"]) == ("tool 2.2.1", "Apache-2.0")
    (tmp_path / "weights/fold_0/final.pth").write_bytes(b"other")
    again = record_of(settings)
    assert len(record["weights_sha256"]) == 64 and again["weights_sha256"] != record["weights_sha256"]


def test_what_cannot_be_had_for_the_record_is_said_and_fails_nothing(tmp_path):
    settings = {"command": "tool", "version_command": "no-such-tool --version", "weights": str(tmp_path / "none")}
    record = record_of(settings)
    assert record["version"] == "not told (FileNotFoundError)" and record["weights_sha256"] == "not found"
    assert record_of({"command": "tool"}) == {
        "command": "tool",
        "version": None,
        "licence": None,
        "weights_sha256": None,
    }
    failing = record_of({"command": "tool", "version_command": f"'{sys.executable}' -c 'raise SystemExit(3)'"})
    assert failing["version"] == "not told (code 3)"
