"""Real kidneys: their volumes, sides and places after planting, and what is refused."""

import pickle

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from crossmod.job import UserError
from crossmod.phantom import Tissue, draw_anatomy
from crossmod.phantom.canvas import Canvas, Pose
from crossmod.phantom.field import random_field
from crossmod.phantom.kidney import paint_fat
from crossmod.phantom.shapes import draw_shapes, paint_real_kidney, read_shapes, shape_facts
from crossmod.phantom.tissue import VALUES
from crossmod.scans.files import write_mask

SPACING_MM, STEP_MM = 3.0, 2.0
AXES = tuple(np.arange(-reach, reach + 1, STEP_MM) for reach in (150.0, 100.0, 130.0))
CELL_ML = STEP_MM**3 / 1000
SIGN = {"right": 1, "left": -1}


@pytest.fixture(scope="module")
def kidneys():
    """Places to plant in: the invented kidneys of a body."""
    return draw_anatomy(0).kidneys


def phantom_map(shift=(0.0, 0.0, 0.0), size=(1.0, 1.0), bridge=False):
    """Two beans with a notch, a tumour on the right one, a cyst on the left one; 3 mm, axes along R, A, S."""
    axes = [np.arange(n) * SPACING_MM - (n - 1) / 2 * SPACING_MM - s for n, s in zip((110, 60, 70), shift, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    labels = np.zeros(x.shape, np.uint8)
    for sign, grown in zip((1, -1), size, strict=True):
        bean = ((x - sign * 70) / 30) ** 2 + (y / 24) ** 2 + (z / 55) ** 2 < grown**2
        notch = ((x - sign * 42) / 16) ** 2 + (y / 9) ** 2 + (z / 20) ** 2 < 1
        labels[bean & ~notch] = 1
    if bridge:
        labels[(np.abs(x) < 70) & (np.abs(y) < 8) & (np.abs(z + 40) < 10)] = 1
    labels[(x - 92) ** 2 + (y - 12) ** 2 + (z - 20) ** 2 < 20**2] = 2
    labels[((x + 85) ** 2 + (y + 16) ** 2 + (z + 25) ** 2 < 10**2) & (x < 0)] = 3
    return labels


def save(folder, labels, name="case_00007", spacing_mm=SPACING_MM):
    folder.mkdir(parents=True, exist_ok=True)
    write_mask(folder / f"{name}.nii.gz", labels, np.diag([*np.broadcast_to(spacing_mm, 3), 1.0]))
    return folder


def planted(folder, kidneys, seed=3):
    return draw_shapes(np.random.default_rng(seed), read_shapes(folder), kidneys)


def still_canvas():
    """Fat everywhere, and body coordinates that are the scanner's."""
    rest = random_field(np.random.default_rng(0), 70.0, 0.0)
    canvas = Canvas.blank(AXES, Pose(np.eye(3), (rest,) * 3, *np.zeros((2, 3, 27, 27, 27))))
    canvas.tissue[:] = Tissue.VISCERAL_FAT
    return canvas


def painted(reals):
    canvas = still_canvas()
    for real in reals.values():
        paint_real_kidney(canvas, real)
    return canvas


def source_on_canvas(labels, side, kidney, midline):
    """The map's own labels of a side, and these at the canvas' points, centred on the kidney."""
    here = (np.arange(labels.shape[0]) - midline) * SIGN[side] > 0
    own = np.where(here[:, None, None], labels, 0)
    middle = np.argwhere(own).mean(axis=0)
    at = [(axis - c) / SPACING_MM + m for axis, c, m in zip(AXES, kidney.centre_mm, middle, strict=True)]
    return own, ndimage.map_coordinates(own, np.meshgrid(*at, indexing="ij"), order=0, mode="constant")


def named(canvas, side, *parts):
    return np.isin(canvas.label, [VALUES[f"{side}_{part}"] for part in parts])


def agreement(canvas, labels, side, kidney, midline=54.5):
    """Planted over true volume of kidney, tumour and cyst (NaN without), and overlap (Dice) of all of it.

    Fat of the sinus where the map holds nothing is no part of the map's kidney.
    """
    own, source = source_on_canvas(labels, side, kidney, midline)
    ratios = []
    for value, parts in ((1, ("parenchyma", "sinus")), (2, ("tumour",)), (3, ("cyst",))):
        mask = named(canvas, side, *parts) & ~(named(canvas, side, "sinus") & (source == 0))
        true_ml = np.count_nonzero(own == value) * SPACING_MM**3 / 1000
        ratios.append(np.count_nonzero(mask) * CELL_ML / true_ml if true_ml else np.nan)
    whole = named(canvas, side, "parenchyma", "sinus", "tumour", "cyst")
    dice = 2 * np.count_nonzero(whole & (source > 0)) / (np.count_nonzero(whole) + np.count_nonzero(source))
    return *ratios, dice


@pytest.fixture(scope="module")
def beans(tmp_path_factory, kidneys):
    """The synthetic patient, planted."""
    return planted(save(tmp_path_factory.mktemp("beans"), phantom_map()), kidneys)


@pytest.fixture(scope="module")
def canvas(beans):
    return painted(beans)


def test_volumes_and_places_are_those_of_the_label_map(canvas, kidneys):
    for side in SIGN:
        kidney, tumour, cyst, dice = agreement(canvas, phantom_map(), side, kidneys[side])
        assert kidney == pytest.approx(1, abs=0.05)
        assert dice > 0.93
        assert (tumour if side == "right" else cyst) == pytest.approx(1, abs=0.05)
        assert np.isnan(cyst if side == "right" else tumour)


def test_sides_are_the_patients_own(canvas, beans):
    assert list(beans) == ["right", "left"]
    assert (beans["right"].tumour, beans["left"].tumour) == (True, False)
    for side, sign in SIGN.items():
        x = AXES[0][np.nonzero(named(canvas, side, "parenchyma", "sinus", "tumour", "cyst"))[0]]
        assert np.all(x * sign > 0)
        # The tumour of the map lies on the kidney's outer side, and the notch on the inner one.
        assert -beans[side].frame.turn[1][0] * sign > 0.9
    outer = [AXES[0][np.nonzero(named(canvas, "right", part))[0]].mean() for part in ("tumour", "parenchyma", "sinus")]
    assert outer[0] > outer[1] + 10 > outer[2] + 20


def test_frame_fits_the_bean(beans):
    frame = beans["left"].frame
    np.testing.assert_allclose(frame.semi_mm, [55, 30, 24], rtol=0.1)
    np.testing.assert_allclose(frame.turn @ frame.turn.T, np.eye(3), atol=1e-9)
    assert frame.turn[0][2] > 0.98
    assert frame.cysts == ()


def test_inner_parts_are_those_of_a_kidney(canvas):
    kinds = {
        "parenchyma": {Tissue.CORTEX, Tissue.MEDULLA},
        "sinus": {Tissue.SINUS_FAT, Tissue.URINE, Tissue.VEIN, Tissue.ARTERY},
        "tumour": {Tissue.TUMOUR, Tissue.NECROSIS},
        "cyst": {Tissue.CYST},
    }
    for side in SIGN:
        for part, tissues in kinds.items():
            assert set(np.unique(canvas.tissue[named(canvas, side, part)])) <= tissues
        parenchyma, sinus = named(canvas, side, "parenchyma"), named(canvas, side, "sinus")
        assert 0.06 < sinus.sum() / (sinus | parenchyma).sum() < 0.22
        medulla = parenchyma & (canvas.tissue == Tissue.MEDULLA)
        assert 0.18 < medulla.sum() / parenchyma.sum() < 0.4
        assert 0.04 < (sinus & (canvas.tissue == Tissue.URINE)).sum() / sinus.sum() < 0.6
        # Cortex lies outside medulla.
        depth = ndimage.distance_transform_edt(named(canvas, side, "parenchyma", "sinus", "tumour", "cyst"))
        assert depth[medulla].mean() > 1.5 * depth[parenchyma & (canvas.tissue == Tissue.CORTEX)].mean()
    assert np.all(
        np.isin(canvas.tissue[canvas.label == 0], (Tissue.VISCERAL_FAT, Tissue.VEIN, Tissue.ARTERY, Tissue.URINE))
    )


def test_mass_effect_is_that_of_the_part_outside(beans, kidneys):
    push = beans["right"].push
    assert beans["left"].push is None
    assert 12 < push.radius_mm < 20
    assert push.centre_mm[0] > kidneys["right"].centre_mm[0] + 15
    assert (beans["right"].growth, beans["left"].growth) == ("exophytic", "")


def test_facts_name_the_patient_and_the_side_of_the_tumour(beans):
    assert shape_facts(beans) == {"shape_source": "case_00007", "shape_sides": "both", "shape_tumour": "right"}
    left = {"left": beans["left"]}
    assert shape_facts(left) == {"shape_source": "case_00007", "shape_sides": "left", "shape_tumour": "none"}
    assert shape_facts({}) == {"shape_source": "none", "shape_sides": "none", "shape_tumour": "none"}


def test_same_generator_gives_the_same_bytes(tmp_path, kidneys, beans, canvas):
    again = planted(save(tmp_path, phantom_map()), kidneys)
    for side, real in again.items():
        assert real.levels.keys() == beans[side].levels.keys()
        for name, level in real.levels.items():
            assert level.dtype == np.float32
            assert level.tobytes() == beans[side].levels[name].tobytes()
    twice = painted(again)
    assert twice.tissue.tobytes() == canvas.tissue.tobytes()
    assert twice.label.tobytes() == canvas.label.tobytes()
    other = planted(save(tmp_path, phantom_map()), kidneys, seed=4)
    assert other["right"].levels["necrosis"].tobytes() != again["right"].levels["necrosis"].tobytes()


@pytest.mark.parametrize("code", ["LPS", "IPL", "ASR"])
def test_orientation_of_the_file_does_not_matter(code, tmp_path, kidneys, beans):
    scan = nib.Nifti1Image(phantom_map(), np.diag([SPACING_MM] * 3 + [1.0]))
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(tuple(code))
    )
    nib.save(scan.as_reoriented(turn), tmp_path / "case_00007.nii.gz")
    for side, real in planted(tmp_path, kidneys).items():
        for name, level in real.levels.items():
            np.testing.assert_allclose(level, beans[side].levels[name], atol=1e-4)


@pytest.mark.parametrize("finer", [(3, 3, 3), (4, 4, 1), (2, 2, 4)])
def test_finer_maps_give_the_same_kidneys(finer, tmp_path, kidneys):
    labels = phantom_map()
    fine = labels.repeat(finer[0], 0).repeat(finer[1], 1).repeat(finer[2], 2)
    canvas = painted(planted(save(tmp_path, fine, spacing_mm=SPACING_MM / np.array(finer)), kidneys))
    for side, place in (("right", 1), ("left", 2)):
        kidney, *masses, dice = agreement(canvas, labels, side, kidneys[side])
        assert kidney == pytest.approx(1, abs=0.05)
        assert masses[place - 1] == pytest.approx(1, abs=0.05)
        assert dice > 0.93


@pytest.mark.parametrize(
    ("change", "sides"),
    [
        ({"shift": (65.0, 0.0, 0.0)}, ["left"]),
        ({"shift": (-66.0, 0.0, 0.0)}, ["right"]),
        ({"shift": (0.0, 0.0, 51.0)}, []),
        ({"size": (0.5, 1.0)}, ["left"]),
        ({"size": (1.0, 0.0)}, ["right"]),
        ({"bridge": True}, []),
    ],
    ids=["right cut", "left cut", "both cut", "right small", "left absent", "grown together"],
)
def test_kidneys_that_are_cut_small_absent_or_joined_are_refused(change, sides, tmp_path, kidneys):
    labels = phantom_map(**change)
    if change.get("size") == (1.0, 0.0):
        labels[:50] = 0
    assert list(planted(save(tmp_path, labels), kidneys)) == sides


def test_an_empty_map_plants_nothing(tmp_path, kidneys):
    assert planted(save(tmp_path, np.zeros((20, 20, 20), np.uint8)), kidneys) == {}


def test_only_sides_with_a_place_are_planted(tmp_path, kidneys):
    folder = save(tmp_path, phantom_map())
    assert list(planted(folder, {"left": kidneys["left"]})) == ["left"]


def test_bone_skin_arteries_and_the_other_kidney_stay(beans):
    kept = (Tissue.BONE_MARROW, Tissue.SKIN, Tissue.ARTERY)
    canvas = still_canvas()
    middle = canvas.box(beans["right"].frame.centre_mm, 8.0)
    whole = np.zeros(canvas.tissue.shape, bool)
    whole[middle] = True
    canvas.tissue[whole] = np.resize(kept, whole.sum())
    edge = np.zeros_like(whole)
    edge[canvas.box(beans["right"].frame.centre_mm + np.array([0, 0, 40]), 6.0)] = True
    canvas.label[edge] = VALUES["left_tumour"]
    canvas.tissue[edge] = Tissue.TUMOUR
    before = canvas.tissue.copy()
    paint_real_kidney(canvas, beans["right"])
    # The renal vessels are painted by the rules of the invented kidney, through all but bone and skin.
    here = canvas.tissue[whole]
    solid = np.isin(before[whole], (Tissue.BONE_MARROW, Tissue.SKIN))
    np.testing.assert_array_equal(here[solid], before[whole][solid])
    assert np.all(np.isin(here[~solid], (Tissue.ARTERY, Tissue.VEIN)))
    assert np.all(canvas.label[whole] == 0)
    assert np.all(canvas.label[edge] == VALUES["left_tumour"])
    assert np.all(np.isin(canvas.tissue[edge], (Tissue.TUMOUR, Tissue.ARTERY, Tissue.VEIN)))


def test_fat_around_the_frame_clears_the_place(beans):
    canvas = still_canvas()
    canvas.tissue[:] = Tissue.LIVER
    paint_fat(canvas, beans["left"].frame)
    paint_real_kidney(canvas, beans["left"])
    kidney = named(canvas, "left", "parenchyma", "sinus", "cyst")
    rim = ndimage.binary_dilation(kidney, iterations=1) & ~kidney
    assert (canvas.tissue[rim] == Tissue.VISCERAL_FAT).mean() > 0.5


def test_a_kidney_out_of_view_leaves_no_label(beans):
    canvas = still_canvas()
    canvas = Canvas.blank((AXES[0], AXES[1], AXES[2] + 700), canvas.pose)
    paint_real_kidney(canvas, beans["right"])
    assert not canvas.label.any()


def test_all_layouts_list_the_same_patients(tmp_path):
    cases = ["case_00002", "case_00010", "case_00588"]
    for case in reversed(cases):
        (tmp_path / "flat").mkdir(exist_ok=True)
        (tmp_path / "flat" / f"{case}.nii.gz").write_bytes(b"")  # nothing is read
        (tmp_path / "kits23" / "dataset" / case).mkdir(parents=True)
        (tmp_path / "kits23" / "dataset" / case / "segmentation.nii.gz").write_bytes(b"")
    for folder in (tmp_path / "flat", tmp_path / "kits23", tmp_path / "kits23" / "dataset"):
        shapes = read_shapes(folder)
        assert [shapes.case(index) for index in range(len(shapes))] == cases
        assert all((shapes.folder / file).is_file() for file in shapes.files)
        assert pickle.loads(pickle.dumps(shapes)) == shapes


def test_every_patient_may_be_drawn(tmp_path, kidneys):
    for name in ("case_00000", "case_00001", "case_00002"):
        save(tmp_path, phantom_map(), name)
    sources = {planted(tmp_path, kidneys, seed)["left"].source for seed in range(12)}
    assert sources == {"case_00000", "case_00001", "case_00002"}


@pytest.mark.parametrize("content", ["nothing", "other files", "no folder"])
def test_folders_without_label_maps_are_refused(content, tmp_path):
    folder = tmp_path / "shapes"
    if content != "no folder":
        folder.mkdir()
    if content == "other files":
        save(folder, phantom_map(), "patient_1")
        (folder / "case_00001").mkdir()
    with pytest.raises(UserError) as caught:
        read_shapes(folder)
    words = "is no folder" if content == "no folder" else "holds no label map of KiTS23"
    assert str(folder) in str(caught.value) and words in str(caught.value)
    assert "case_XXXXX.nii.gz" in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("value", "label value 5 is none of KiTS23's"),
        ("fraction", "whole numbers"),
        ("broken", "cannot be read"),
        ("orientation", "states no orientation"),
    ],
)
def test_files_that_are_no_label_maps_are_refused(fault, words, tmp_path, kidneys):
    path, labels = tmp_path / "case_00001.nii.gz", phantom_map().astype(np.float32)
    labels[0, 0, 0] = {"value": 5, "fraction": 0.5}.get(fault, 0)
    image = nib.Nifti1Image(labels, np.diag([SPACING_MM] * 3 + [1.0]))
    if fault == "orientation":
        image.set_sform(None, 0)
        image.set_qform(None, 0)
    nib.save(image, path)
    if fault == "broken":
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=words) as caught:
        planted(tmp_path, kidneys)
    assert "case_00001" in str(caught.value)


@pytest.mark.real
def test_real_patients_keep_their_volumes(real_data, kidneys):
    folder = real_data / "kits23_3mm"
    if not folder.is_dir():
        pytest.skip("no label maps of KiTS23 (kits23_3mm) among the real scans")
    shapes, tumours = read_shapes(folder), 0
    for seed in range(10):
        reals = draw_shapes(np.random.default_rng(seed), shapes, kidneys)
        labels = np.asarray(nib.load(folder / f"{reals['right'].source}.nii.gz").dataobj)
        # These ten patients have two kidneys, and no tissue on the midline.
        x = np.flatnonzero((labels > 0).any(axis=(1, 2)))
        empty = np.flatnonzero(~(labels > 0).any(axis=(1, 2))[x[0] : x[-1]])
        canvas = painted(reals)
        for side in SIGN:
            kidney, tumour, _, dice = agreement(canvas, labels, side, kidneys[side], x[0] + empty.mean())
            assert kidney == pytest.approx(1, abs=0.06)
            assert dice > 0.85
            assert np.isfinite(tumour) == reals[side].tumour
            if reals[side].tumour:
                tumours += 1
                # The body's warp swells or shrinks a small part more than a whole kidney.
                assert tumour == pytest.approx(1, abs=0.1)
    assert tumours >= 10
