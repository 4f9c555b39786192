"""Items whose answer hangs on where patients come from: what holds of simulated ones seldom holds of real ones."""

from crossmod.anatomy.structures import split_side
from crossmod.cohort.table import Cohort
from crossmod.report import provenance
from crossmod.report.claim.items import AUTHORS, NOT_APPLICABLE, PARTLY, REPORTED, Answer, answers
from crossmod.report.claim.run import Run, span, union, values
from crossmod.report.methods import PARTS, SOURCES

SIMULATED = answers(
    {
        REPORTED: {
            7: "made by crossmod {version}, from no data of any person.",
            13: "names as in the recipe, spreads (sd) are between patients.",
            14: "exact by construction; image and label map come from one known geometry, up to the voxel grid.",
            15: "the geometry is known, so the reference has no observer's error; nor can it show how far observers "
            "would disagree on patients.",
            35: "none was excluded after it was drawn.",
            43: "scans and references can be made again from the seeds in the config.",
        },
        PARTLY: {
            33: "no set is trained on them, but the scanner is simulated too. They test other settings of a scanner, "
            "no other hospital: the authors must test on patients.",
        },
        AUTHORS: {41: "they support no statement about practice; the authors must say what follows for methods."},
        NOT_APPLICABLE: {
            5: "drawn by the computer; nothing was collected from anyone.",
            8: "nobody was selected; sex, age, build, tumour and cysts are drawn at random, and none was discarded.",
            11: "there is no identity to remove.",
            16: "no one annotated; see item 14.",
            17: "references come about as in training, by no annotator.",
            18: "there are no annotators who could vary.",
            34: "no patient took part.",
        },
    }
)
FOLDER = answers(
    {
        REPORTED: {32: "their cohorts also train; no patient trains and validates the same set."},
        PARTLY: {
            7: "the authors must name hospitals, dates and earlier papers on the same patients, or cite a public set.",
            8: "scans with a reference that passed the check of the cohort. The authors must give the criteria by "
            "which patients entered the table: setting, dates, consecutive or not.",
            11: "patients' numbers of the table became pseudonyms; the images were used as given. The authors must say "
            "how these were de-identified.",
            13: "the authors must add scanners, contrast agent and its timing, and parameters of the sequence or tube.",
            14: "label maps as given. The authors must say how they were made: by hand or corrected, protocol, "
            "software.",
            33: "no set is trained on them. The authors must confirm that they come from another institution.",
            35: "the authors must add who was excluded before, best as a flow diagram.",
        },
        AUTHORS: {
            5: "the authors must say whether the scans were acquired for this study (prospective) or existed before "
            "(retrospective), and name ethics approval and consent or its waiver.",
            15: "the authors must say why these outlines are fit as a reference, and what else existed.",
            16: "the authors must give number, qualification and training of the annotators, instructions and "
            "software.",
            17: "the authors must say who outlined these cases, how many readers each, how they settled differences, "
            "and that they did not see the predictions.",
            18: "the authors must give the agreement between and within annotators, or say that it was not measured; "
            "the run holds one reference per scan.",
            34: "the authors must give the registration, or say that a retrospective study needs none.",
            41: "the authors must give intended use and clinical role, and say what the results change in practice.",
            43: "the authors must say whether and how others may have the scans.",
        },
    }
)
# What holds of a folder holds of a public set, but for this.
PUBLIC = answers(
    {
        REPORTED: {5: "existing scans analysed again: retrospective.", 33: "no set is trained on them."},
        PARTLY: {
            7: "the authors must cite the set, its version and its licence.",
            14: "label maps as published. The authors must cite how they were made.",
        },
        AUTHORS: {
            11: "the authors must cite how the set was de-identified by those who published it.",
            16: "the authors must cite who annotated the set, and with which qualification.",
        },
        NOT_APPLICABLE: {34: "secondary analysis of published data."},
    }
)
# Scans of another cohort, whose labels were composed anew; nobody is validated on them.
COMPOSED = answers(
    {
        REPORTED: {
            14: "label maps composed of the other cohort's reference and of what a teacher predicted for patients that "
            "it had not learned from; cohort.json names the source of each structure.",
            16: "a teacher, which is a network of this run, and whoever made the reference of the other cohort.",
            35: "cases whose composed structure has an impossible volume are left out; cohort.json lists them.",
        },
        NOT_APPLICABLE: {
            15: "the composed labels train and are no reference.",
            17: "nothing is tested on composed labels.",
            18: "one teacher labels each structure; its variability is not measured.",
        },
    }
)
NOBODY = {
    32: Answer(NOT_APPLICABLE, "No site shares its cohort with a training set."),
    33: Answer(AUTHORS, "Every site's cohort trains a set: external data must be added, or their absence stated."),
}
ANSWERS = {
    "Simulated patients": FOLDER | SIMULATED,
    "Real scans": FOLDER,
    "Scans of a public set": FOLDER | PUBLIC,
    "Simulated patients with composed labels": FOLDER | SIMULATED | COMPOSED,
    "Scans with composed labels": FOLDER | COMPOSED,
}


def by_origin(run: Run) -> dict[int, Answer]:
    """For each item the answers of all origins, joined; its status is what they agree on, or ``partly``."""
    return {number: _joined(run, number) for number in ANSWERS["Real scans"]}


def _joined(run: Run, number: int) -> Answer:
    groups: dict[str, list[Cohort]] = {}
    for cohort in run.cohorts:
        if _concerned(run, cohort, number):
            groups.setdefault(_origin(cohort), []).append(cohort)
    if not groups:
        return NOBODY[number]
    found = {origin: ANSWERS[origin][number] for origin in groups}
    texts = []
    for origin, members in groups.items():
        who = "; ".join(DESCRIBE[number](run, c) if number in DESCRIBE else c.name for c in members)
        texts.append(f"{origin} ({who}): {found[origin].text.format(version=dict(provenance.versions())['crossmod'])}")
    statuses = {answer.status for answer in found.values()}
    # What does not apply to some patients leaves open what the others need.
    open_ones = statuses - {NOT_APPLICABLE} or statuses
    return Answer(open_ones.pop() if len(open_ones) == 1 else PARTLY, " ".join(texts))


def _origin(cohort: Cohort) -> str:
    simulated, folder, public, simulated_composed, composed = ANSWERS
    if cohort.source == "derived":
        return simulated_composed if cohort.simulated else composed
    if cohort.simulated:
        return simulated
    return folder if cohort.source == "folder" else public


def _concerned(run: Run, cohort: Cohort, number: int) -> bool:
    """Items on testing ask only of cohorts with sites: of all, of internal or of external ones."""
    if number not in (17, 32, 33):
        return True
    trains = any(cohort.name == name for name, _ in union(run.trained.values()))
    return bool(run.sites_of(cohort)) and (number == 17 or trains == (number == 32))


def _source(run: Run, cohort: Cohort) -> str:
    simulated = cohort.source == "simulated"
    drawn = f"seed {run.study['cohorts'][cohort.name]['seed']}" if simulated else SOURCES[cohort.source]
    return f"{cohort.name}, {cohort.cases['patient'].nunique()} patients, {drawn}"


def _acquisition(run: Run, cohort: Cohort) -> str:
    """How the images of a cohort came about, as far as the run knows."""
    kinds = cohort.cases[["modality", "sequence"]].drop_duplicates()
    text = f"{cohort.name}: {', '.join(f'{row.modality} {row.sequence}' for row in kinds.itertuples())}"
    if cohort.source == "simulated":
        from crossmod.phantom import parse_recipe

        full = parse_recipe(run.study["cohorts"][cohort.name]["recipe"]).model_dump()
        return f"{text}, {values(full | full[full['modality'].lower()], without=('modality', 'sequence', 'ct', 'mr'))}"
    facts = run.table_if_any(f"cohort/{cohort.name}/facts.csv")
    if facts is None:
        return f"{text}, voxel sizes not on record"
    return f"{text}, voxels of {' × '.join(span(facts[f'spacing_{axis}_mm'].round(3)) for axis in 'xyz')} mm"


def _structures(run: Run, cohort: Cohort) -> str:
    return f"{cohort.name}: {', '.join(dict.fromkeys(split_side(name)[1] for name in cohort.labels.values()))}"


def _sites(run: Run, cohort: Cohort) -> str:
    sites = run.study["sites"]
    return "; ".join(f"{run.sizes(site)}, {PARTS[sites[site]['part']]}" for site in run.sites_of(cohort))


def _flow(run: Run, cohort: Cohort) -> str:
    patients, cases = cohort.cases["patient"].nunique(), len(cohort.cases)
    labelled = int((cohort.cases["label"] != "").sum())
    return f"{cohort.name}: {patients} patients, {cases} cases, {labelled} with a reference, {run.used(cohort)} used"


# What is said of each cohort, where its name is not enough.
DESCRIBE = {7: _source, 13: _acquisition, 14: _structures, 17: _sites, 32: _sites, 33: _sites, 35: _flow}
