import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml

from crossmod.calibration import scans as calibration
from crossmod.calibration.scans import BODY, CONTRAST, MR, PLAIN, UNITS, compare
from crossmod.job import UserError
from crossmod.report.notebook import execute
from crossmod.report.style import MM, PAGE_MM
from crossmod.scans.files import write_mask
from crossmod.scans.scan import Scan

COARSE = {"spacing_mm": [5.0, 5.0, 6.0], "field_of_view_mm": [400.0, 320.0, 260.0], "orientation": "LPS"}
PICTURES = ("mr_points", "mr_densities", "mr_slices", "ct_points", "ct_densities", "ct_slices", "bodies")


def rows(real, simulated, group=MR, measure="kidney volume"):
    values = [("real", value) for value in real] + [("simulated", value) for value in simulated]
    table = [(group, origin, f"p{place}", measure, float(value)) for place, (origin, value) in enumerate(values)]
    return pd.DataFrame(table, columns=calibration.COLUMNS)


@pytest.fixture(scope="module")
def mr():
    return calibration.simulated("mr-fs-t2", MR, 2, COARSE)


@pytest.fixture(scope="module")
def ct():
    plain = calibration.simulated("ct-plain", PLAIN, 1, COARSE)
    return plain + calibration.simulated("ct-nephrographic", CONTRAST, 1, COARSE)


@pytest.fixture(scope="module")
def pictures(mr, ct):
    bodies = pd.concat([rows([150, 190], [120, 200, 260], BODY), rows([3], [40], BODY, "tumour volume")])
    real = [calibration.Subject("other", "real", MR, mr[1].scan, mr[1].organs)]
    return [
        calibration.points(calibration.intensities(real + mr), "mr_points", "MR"),
        calibration.densities(real + mr, "mr_densities", "MR"),
        calibration.gallery(real + mr, "mr_slices", "MR"),
        calibration.points(calibration.intensities(ct), "ct_points", "CT"),
        calibration.densities(ct, "ct_densities", "CT"),
        calibration.gallery(ct, "ct_slices", "CT"),
        calibration.ecdfs(bodies, "bodies", "Bodies"),
    ]


def ellipsoid(axes, centre, semi, lateral_deg, forward_deg):
    """A kidney whose lower pole lies to +x and to the front by these angles."""
    up = np.array([-np.tan(np.radians(lateral_deg)), -np.tan(np.radians(forward_deg)), 1.0])
    up /= np.linalg.norm(up)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) - centre
    along = (points * up).sum(axis=-1)
    across = (points**2).sum(axis=-1) - along**2
    return (along / semi[0]) ** 2 + across / semi[1] ** 2 < 1


@pytest.fixture
def maps(tmp_path):
    """Two label maps: kidneys of known place and tilt, the second with a tumour on the left."""
    folder = tmp_path / "data" / "kits23_3mm"
    folder.mkdir(parents=True)
    axes = [np.arange(n) * 3.0 - (n - 1) * 1.5 for n in (90, 60, 70)]
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    for name, tumour in (("case_00000", False), ("case_00001", True)):
        labels = np.zeros([len(axis) for axis in axes], np.uint8)
        labels[ellipsoid(axes, (70, 0, -10), (60, 28), 15, 25)] = 1
        labels[ellipsoid(axes, (-65, 0, 6), (60, 28), -15, 25)] = 1
        if tumour:
            labels[ellipsoid(axes, (-80, 10, 6), (20, 20), 0, 0)] = 2
        write_mask(folder / f"{name}.nii.gz", labels, affine)
    table = "case,tumor_ml\ncase_00000,0\ncase_00001,33.5\n"
    (folder / "cases.csv").write_text(table)
    return tmp_path / "data"


def test_the_window_is_the_study_s(root):
    study = yaml.safe_load((root / "conf/study/renal.yaml").read_text())["normalisation"]
    assert {key: tuple(value) for key, value in study.items()} == calibration.NORMALISATION


@pytest.mark.parametrize(
    ("simulated", "verdict"),
    [
        (range(1, 10), "agrees"),
        (range(3, 12), "close"),
        (range(-1, 8), "close"),
        (range(9, 18), "too high"),
        (range(-8, 1), "too low"),
    ],
)
def test_medians_are_judged_by_pairs(simulated, verdict):
    found = compare(rows(range(1, 10), simulated)).iloc[0]
    assert found["verdict"] == verdict and found["spread"] == 1
    assert found["real_median"] == 5 and (found["real_low"], found["real_high"]) == (1, 9)
    assert found["simulated_median"] == np.median(simulated) and found["simulated_n"] == 9
    shares = [(s > r) + (s == r) / 2 for s in simulated for r in range(1, 10)]
    assert found["higher"] == pytest.approx(np.mean(shares))


@pytest.mark.parametrize(("real", "verdict"), [(30, "agrees"), (5, "close"), (0, "too high"), (101, "too low")])
def test_one_real_scan_may_lie_where_patients_do(real, verdict):
    found = compare(rows([real], range(1, 101), PLAIN)).iloc[0]
    assert found["verdict"] == verdict
    assert np.isnan(found["spread"]), "one scan has no spread"


def test_a_side_without_patients_is_said():
    compared = compare(pd.concat([rows([], [1, 2]), rows([3], [], measure="tumour volume")]))
    assert compared["verdict"].tolist() == ["one side alone"] * 2
    assert "*one side alone*: kidney volume; tumour volume." in calibration.sentences(compared)


def test_sentences_are_made_from_the_numbers():
    words = calibration.sentences(compare(rows([10, 11, 12, 13, 14], [-30, -20, -10, 0, 50])))
    assert "*too low*: kidney volume (−10, real 12)" in words
    assert "vary more than real ones in kidney volume (10 times)" in words
    narrow = calibration.sentences(compare(rows([10, 20, 30, 40, 50], [30, 30, 31, 31, 31])))
    assert "vary less than real ones in kidney volume" in narrow


def test_measures_come_in_one_order():
    table = pd.concat([rows([1], [1], BODY), rows([1], [1], MR), rows([1], [1], MR, "liver / kidney signal")])
    order = [(MR, "liver / kidney signal"), (MR, "kidney volume"), (BODY, "kidney volume")]
    assert compare(table).index.tolist() == order


def test_known_organs_are_measured():
    image, organs = np.full((40, 40, 20), 10.0, np.float32), np.zeros((40, 40, 20), np.uint8)
    for value, level, part in ((1, 100, slice(4, 12)), (2, 100, slice(14, 22)), (3, 40, slice(24, 34))):
        organs[part, 8:30, 4:16], image[part, 8:30, 4:16] = value, level
    image[part, 8, 4:16] = 4000  # the organ's edge
    subject = calibration.Subject("made", "real", MR, Scan(image, np.diag([2.0, 2.0, 2.5, 1.0])), organs)
    table = calibration.intensities([subject])
    found = table.groupby("measure")["value"].first()
    assert found["liver / kidney signal"] == pytest.approx(0.4)
    assert found["liver variation"] == found["kidney variation"] == 0
    assert (table["measure"] == "kidney volume").sum() == 2
    assert found["kidney volume"] == pytest.approx(8 * 22 * 12 * 0.01)
    cut = calibration.Subject("cut", "real", MR, subject.scan, np.roll(organs, 4, axis=2))
    assert "kidney volume" not in set(calibration.intensities([cut])["measure"])


def test_simulated_organs_are_measured(mr, ct):
    table = calibration.intensities(mr + ct)
    expected = {"liver / kidney signal", "kidney z-score", "kidney attenuation", "muscle attenuation", "kidney volume"}
    assert expected <= set(table["measure"]) <= set(UNITS)
    medians = table.groupby(["group", "measure"])["value"].median()
    assert medians[CONTRAST, "kidney attenuation"] > medians[PLAIN, "kidney attenuation"] + 40
    assert -125 < medians[PLAIN, "fat attenuation, mode"] < -85
    assert medians[MR, "kidney z-score"] > 0
    again = calibration.simulated("mr-fs-t2", MR, 1, COARSE)[0]
    assert again.scan.array.tobytes() == mr[0].scan.array.tobytes(), "the same patients each time"


def test_places_and_angles_are_those_of_the_map(maps):
    table = calibration.real_bodies(maps, 2)
    first = table[table["subject"] == "case_00000"]
    values = first.groupby("measure")["value"].apply(list)
    np.testing.assert_allclose(values["lower pole lateral"], [15, 15], atol=0.7)
    np.testing.assert_allclose(values["lower pole forward"], [25, 25], atol=0.7)
    np.testing.assert_allclose(values["kidney volume"], 4 / 3 * np.pi * 60 * 28**2 / 1000, rtol=0.02)
    assert values["height, right − left"] == [pytest.approx(-16, abs=0.5)]
    assert values["distance between kidneys"] == [pytest.approx(135, abs=0.5)]
    second = table[table["subject"] == "case_00001"]
    assert (second["measure"] == "kidney volume").sum() == 1, "a kidney with a tumour has no volume"
    assert second.set_index("measure")["value"]["tumour volume"] == 33.5
    assert calibration.real_bodies(maps, 1)["subject"].nunique() == 2, "one map, and the tumours of all"


def test_simulated_bodies_have_both_kidneys():
    table = calibration.simulated_bodies(1)
    assert set(table["measure"]) == {measure for measure in list(UNITS)[-6:]}
    assert len(table) == 6 and np.isfinite(table["value"]).all()


@pytest.mark.parametrize("count", [0, -3, True, 1.5, "2", None])
def test_impossible_counts_are_refused(count, tmp_path):
    for name, call in (
        ("patients", lambda: calibration.simulated("ct-plain", PLAIN, count)),
        ("patients", lambda: calibration.simulated_bodies(count)),
        ("maps", lambda: calibration.real_bodies(tmp_path, count)),
    ):
        with pytest.raises(UserError, match=f"{name} = .*whole number of 1 or more"):
            call()


def test_an_unknown_protocol_is_refused():
    with pytest.raises(UserError, match="mr-fs-t3"):
        calibration.simulated("mr-fs-t3", MR, 1)


def test_absent_scans_are_said(maps):
    nowhere = maps / "nowhere"
    assert calibration.real_mr(nowhere) == calibration.real_ct(nowhere) == []
    assert calibration.real_bodies(nowhere).empty
    assert "no real scans" in calibration.availability(nowhere)
    assert "without chaos_t2spir, chaos_ct, totalsegmentator, btcv_3mm." in calibration.availability(maps)
    for name in calibration.FOLDERS:
        (maps / name).mkdir(exist_ok=True)
    assert "without" not in calibration.availability(maps)


@pytest.mark.parametrize("place", range(len(PICTURES)), ids=PICTURES)
def test_every_figure_is_fit_to_print(place, pictures):
    picture = pictures[place]
    assert picture.name == PICTURES[place] and len(picture.alt) > 20
    assert "Real / simulated patients: " in picture.caption and any(c.isdigit() for c in picture.caption)
    assert picture.figure.get_size_inches()[0] / MM <= PAGE_MM + 1e-6
    shown = [axis for axis in picture.figure.axes if axis.get_visible()]
    texts = [text for axis in shown for text in [*axis.texts, axis.title, axis.xaxis.label, *axis.get_xticklabels()]]
    assert all(text.get_fontsize() >= 6 for text in texts if text.get_text())
    if "slices" not in picture.name:
        assert all(axis.get_xlabel() for axis in shown)
    assert picture.png().startswith(b"\x89PNG")


def test_axes_have_units(pictures):
    labels = {axis.get_xlabel() for place in (0, 3, 6) for axis in pictures[place].figure.axes}
    assert {"Kidney volume (ml)", "Liver attenuation (HU)", "Kidney z-score", "Tumour volume (ml)"} <= labels


def test_densities_are_shares_of_the_body(pictures):
    lines = [line for line in pictures[4].figure.axes[0].lines if len(line.get_xdata()) > 2]
    step = np.diff(lines[0].get_xdata())[0]
    assert all(0.7 < np.sum(line.get_ydata()) * step <= 1 + 1e-9 for line in lines)


def test_the_gallery_shows_what_there_is(pictures):
    mr, ct = ([axis for axis in pictures[place].figure.axes if axis.get_visible()] for place in (2, 5))
    assert len(mr) == 2 * (1 + 2), "one real and two simulated patients, two slices each"
    assert len(ct) == 2 * 2 and {axis.get_title() for axis in ct[:2]} == {"plain", "contrast"}


def test_real_scans_are_read(real_data):
    mr, ct = calibration.real_mr(real_data), calibration.real_ct(real_data)
    assert len(mr) == 9 and {subject.group for subject in ct} == {PLAIN, CONTRAST}
    medians = calibration.intensities([*mr[:3], *ct]).groupby(["group", "measure"])["value"].median()
    assert 0.3 < medians[MR, "liver / kidney signal"] < 0.6
    assert 0.8 < medians[MR, "spleen / kidney signal"] < 1.1
    assert 40 < medians[PLAIN, "liver attenuation"] < 55
    assert medians[CONTRAST, "liver attenuation"] > 120


def test_the_notebook_is_committed_clean(root):
    notebook = nbformat.read(root / "notebooks" / "06_calibration.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    (tagged,) = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert all(f"{name} = " in tagged.source for name in ("data", "patients", "maps", "figures"))


def test_the_notebook_runs_without_real_scans(root, tmp_path):
    source, done = root / "notebooks" / "06_calibration.ipynb", tmp_path / "done.ipynb"
    execute(
        source, done, tmp_path / "figures", {"data": str(tmp_path / "nowhere"), "patients": 1, "maps": 1, "whole": 1}
    )
    outputs = [out for cell in nbformat.read(done, as_version=4).cells for out in cell.get("outputs", [])]
    assert not [out for out in outputs if out["output_type"] in ("error", "stream")], "no warnings, no errors"
    shown = {f"calibration_{name}" for name in (*PICTURES, "kidney_weightings", "spines")}
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == shown
    assert any("no real scans" in out.get("data", {}).get("text/markdown", "") for out in outputs)
