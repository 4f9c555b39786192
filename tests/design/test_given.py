"""Tables and the files they list are looked at before anything runs; all faults at once."""

import pytest

from crossmod.design.compose import compose
from crossmod.design.given import look
from crossmod.job import UserError

HEADER = "case,patient,modality,image,label\n"


@pytest.fixture
def folder(tmp_path):
    """A folder, blanks and umlauts in its name, with a faultless table of two cases."""
    place = tmp_path / "my Größe data"
    place.mkdir()
    for name in ("a.nii.gz", "b.nii.gz", "label.nii.gz"):
        (place / name).write_bytes(b"")
    (place / "cases.csv").write_text(f"{HEADER}a,p1,MR,a.nii.gz,label.nii.gz\nb,p2,MR,b.nii.gz,\n")
    return place


def study(folder, *overrides, table="cases.csv"):
    """The renal study with a further site of that table."""
    given = [
        f"cohorts.mr_real.table={folder / table}",
        "cohorts.mr_real.title=mine",
        "cohorts.mr_real.labels={1: kidney}",
    ]
    return compose(["study=renal_real", "scale=smoke", *given, *overrides])


def test_a_faultless_table_says_what_it_lists(folder):
    (found,) = look(study(folder)).values()
    assert found.files == [str(folder / name) for name in ("cases.csv", "a.nii.gz", "b.nii.gz", "label.nii.gz")]
    assert found.patients == 1, "who has no label validates nothing"
    assert look(compose([])) == {}


def refused(folder, text, *overrides):
    (folder / "cases.csv").write_text(text)
    with pytest.raises(UserError) as error:
        look(study(folder, *overrides))
    assert f"cohorts.mr_real.table={folder / 'cases.csv'}" in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,patient,modality,image\na,p1,MR,a.nii.gz\n", "'label' is missing"),
        ("", ""),
        (HEADER, "has no rows"),
        (f"{HEADER}a,p1,PET,a.nii.gz,\n", "PET"),
        (f"{HEADER}a,,MR,a.nii.gz,\n", "patient is empty"),
        (f"{HEADER}a,p1,MR,a.nii.gz,\na,p2,MR,b.nii.gz,\n", "case 'a'"),
        (f"{HEADER}a,p1,MR,c.nii.gz,label.nii.gz\n", "c.nii.gz' does not exist"),
        (f"{HEADER}a,p1,MR,a.nii.gz,gone.nii.gz\n", "gone.nii.gz' does not exist"),
        (f"{HEADER}a,p1,MR,../../a.nii.gz,\n", "leads out"),
        (f"{HEADER}a,p1,CT,a.nii.gz,\n", "modality is CT, the cohort's is MR"),
    ],
)
def test_a_faulty_table_stops_with_file_and_fault(folder, text, message):
    assert message in refused(folder, text)


def test_a_table_of_ct_or_of_both_is_read_where_it_is_meant(folder):
    text = f"{HEADER}a,p1,CT,a.nii.gz,label.nii.gz\n"
    (folder / "cases.csv").write_text(text)
    assert look(study(folder, "cohorts.mr_real.modality=CT"))
    assert look(study(folder, "cohorts.mr_real.modality=null"))


def test_a_wrong_path_or_root_stops(folder):
    with pytest.raises(UserError, match=r"case\.csv"):
        look(study(folder, table="case.csv"))
    with pytest.raises(UserError, match="nowhere"):
        look(study(folder, "cohorts.mr_real.root=/nowhere"))


def test_many_missing_files_are_counted(folder):
    rows = "".join(f"c{n},p{n},MR,scan{n}.nii.gz,\n" for n in range(30))
    said = refused(folder, HEADER + rows)
    assert "30 files are missing" in said
    assert "and 20 more" in said
    assert "cohorts.mr_real.root" in said


def test_all_tables_and_sets_are_told_at_once(folder):
    overrides = ["+cohorts.other={source: folder, title: other, labels: {1: kidney}, table: /gone/cases.csv}"]
    overrides += ["+cohorts.public={source: kits23, title: public, root: /gone/kits23}"]
    said = refused(folder, HEADER, *overrides)
    assert "/gone/cases.csv" in said
    assert "cohorts.public.root: '/gone/kits23' is no folder" in said


def test_a_pool_larger_than_its_table_stops(folder):
    values = study(folder)
    values["pools"]["ct"] |= {"cohort": "mr_real", "patients": 2}
    with pytest.raises(UserError, match=r"pools\.ct\.patients: 2, but cohort 'mr_real' has 1 patients"):
        look(values)
