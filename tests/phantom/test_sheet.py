"""The contact sheet: a picture of every protocol, whole or not at all."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from crossmod.phantom import PROTOCOLS, Population, sheet
from crossmod.phantom.sheet import draw_sheet

COARSE = {"inplane_mm": 8.0, "across_mm": 8.0, "height_mm": 240.0, "width_mm": 400.0, "depth_mm": 320.0}


def few(monkeypatch, *names: str) -> None:
    """Leave only some protocols, on coarse grids."""
    chosen = {name: PROTOCOLS[name] | COARSE for name in names}
    monkeypatch.setattr("crossmod.phantom.sheet.PROTOCOLS", chosen)
    monkeypatch.setattr("crossmod.phantom.protocols.PROTOCOLS", chosen)


@pytest.fixture
def two(monkeypatch) -> None:
    few(monkeypatch, "ct-plain", "mr-t1-opposed")


@pytest.fixture
def figures(monkeypatch) -> list:
    """Figures that were drawn, still open."""
    kept, close = [], plt.close
    monkeypatch.setattr(plt, "close", kept.append)
    yield kept
    for figure in kept:
        close(figure)


def test_a_picture_of_sensible_size_appears_alone(two, tmp_path):
    draw_sheet(tmp_path / "new" / "sheet.png", 1)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sheet.png"]
    with Image.open(tmp_path / "new" / "sheet.png") as picture:
        assert picture.format == "PNG"
        assert 1000 < picture.width < 2500 and 500 < picture.height < 1500
        grey = np.asarray(picture.convert("L"))
    # Two of five columns hold pictures on black.
    assert grey[:, : picture.width * 2 // 5].std() > 25
    assert grey[:, picture.width // 2 :].max() == 0


def test_every_protocol_has_three_cuts_and_a_second_row_is_begun_after_five(monkeypatch, figures, tmp_path):
    names = list(PROTOCOLS)[:6]
    few(monkeypatch, *names)
    draw_sheet(tmp_path / "sheet.png", 1)
    (figure,) = figures
    panels = np.array(figure.axes).reshape(6, 5)
    filled = np.array([bool(panel.images) for panel in panels.flat]).reshape(6, 5)
    assert filled[:3].all() and filled[3:, 0].all() and not filled[3:, 1:].any()
    titles = [panel.get_title() for panel in (*panels[0], panels[3, 0])]
    assert [title.split("\n")[0] for title in titles] == names
    assert all(title.endswith("8.0 × 8.0 × 8.0 mm") for title in titles)
    assert [panel.texts[0].get_text() for panel in panels[:3, 0]] == ["axial", "coronal", "sagittal"]


def middle(panel) -> np.ndarray:
    """Where the bright part of a cut appears, as shares of its panel's width and height."""
    picture = np.asarray(panel.images[0].get_array(), float)
    row, column = np.argwhere(picture > picture.max() / 2).mean(axis=0)
    return panel.transAxes.inverted().transform(panel.transData.transform((column, row)))


def test_the_patients_right_is_on_the_left_of_the_picture(two, monkeypatch, figures, tmp_path):
    """Only the right kidney shines, and in the second patient only what lies in front of it."""

    def shine(seed, recipe, population):
        patient = simulate(seed, recipe, population)
        kidney = patient.labels == 1
        place = np.moveaxis(np.indices(kidney.shape), 0, -1) @ patient.affine[1, :3]
        mask = kidney if seed == 1 else place > place[kidney].max()
        return replace(patient, image=(2000 * mask).astype(np.int16))

    simulate = sheet.simulate
    monkeypatch.setattr(sheet, "simulate", shine)
    draw_sheet(tmp_path / "sheet.png", 1)
    axial, coronal, sagittal = np.array(figures[0].axes).reshape(3, 5)[:, :2]
    assert middle(axial[0])[0] < 0.45 and middle(coronal[0])[0] < 0.45
    assert middle(axial[1])[1] > 0.6 and middle(sagittal[1])[0] > 0.6


def test_the_head_is_up(two, monkeypatch, figures, tmp_path):
    def shine(seed, recipe, population):
        patient = simulate(seed, recipe, population)
        place = np.moveaxis(np.indices(patient.labels.shape), 0, -1) @ patient.affine[2, :3]
        return replace(patient, image=(2000 * (place > np.quantile(place, 0.8))).astype(np.int16))

    simulate = sheet.simulate
    monkeypatch.setattr(sheet, "simulate", shine)
    draw_sheet(tmp_path / "sheet.png", 1)
    for panel in (figures[0].axes[5], figures[0].axes[10]):
        assert middle(panel)[1] > 0.8


def test_voxels_keep_their_proportions(monkeypatch, figures, tmp_path):
    chosen = {"ct-plain": PROTOCOLS["ct-plain"] | COARSE | {"inplane_mm": 6.0, "across_mm": 12.0}}
    monkeypatch.setattr("crossmod.phantom.sheet.PROTOCOLS", chosen)
    monkeypatch.setattr("crossmod.phantom.protocols.PROTOCOLS", chosen)
    draw_sheet(tmp_path / "sheet.png", 1)
    assert [figures[0].axes[5 * row].get_aspect() for row in range(3)] == pytest.approx([1, 2, 2])


def test_tumours_are_outlined_only_where_there_are_some(two, figures, tmp_path):
    draw_sheet(tmp_path / "ill.png", 1, Population(tumour_ml=200.0))
    draw_sheet(tmp_path / "well.png", 1, Population(tumour=0.0))
    colours = [{tuple(c.get_edgecolor()[0]) for panel in f.axes for c in panel.collections} for f in figures]
    assert len(colours[0]) == 2 and len(colours[1]) == 1 and colours[1] < colours[0]


def test_the_seed_decides_the_picture(two, tmp_path):
    pictures = {}
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        draw_sheet(tmp_path / f"{name}.png", seed)
        pictures[name] = (tmp_path / f"{name}.png").read_bytes()
    assert pictures["one"] == pictures["again"] != pictures["other"]


@pytest.mark.parametrize("before", [None, b"an older picture"])
def test_what_fails_leaves_no_half_picture(two, monkeypatch, tmp_path, before):
    path = tmp_path / "sheet.png"
    if before:
        path.write_bytes(before)
    done = []

    def second_fails(seed, recipe, population):
        if done:
            raise RuntimeError("no second patient")
        done.append(seed)
        return simulate(seed, recipe, population)

    simulate = sheet.simulate
    monkeypatch.setattr(sheet, "simulate", second_fails)
    with pytest.raises(RuntimeError, match="no second patient"):
        draw_sheet(path, 1)
    plt.close("all")
    assert done == [1]
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == ([("sheet.png", before)] if before else [])


def test_an_older_picture_is_replaced(two, tmp_path):
    path = tmp_path / "sheet.png"
    path.write_bytes(b"an older picture")
    draw_sheet(path, 1)
    with Image.open(path) as picture:
        assert picture.width > 1000


def test_figures_are_closed(two, tmp_path):
    before = plt.get_fignums()
    draw_sheet(tmp_path / "sheet.png", 1)
    assert plt.get_fignums() == before
