"""What turns a scan into label maps: the study's own networks, or an outside command."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crossmod.job import Job, Plain, UserError
from crossmod.predict.cascade import Corners, segment
from crossmod.predict.command import Command
from crossmod.predict.network import Ensemble, TrainedStage
from crossmod.predict.on_grid import OnGrid, on_grids
from crossmod.predict.record import record_of
from crossmod.predict.stages import refuse_impossible
from crossmod.prepare.stored import Prepared, read_prepared
from crossmod.scans.box import box_between
from crossmod.scans.files import read_scan, read_space
from crossmod.scans.grid import Grid, carried
from crossmod.scans.scan import Scan


@dataclass(frozen=True)
class Case:
    """One case of a site.

    Attributes:
        cohort: its name.
        name: of the case.
        image: its scan.
        modality: ``CT`` or ``MR``.
        folds: numbers of the folds whose networks have not seen it.
    """

    cohort: str
    name: str
    image: Path
    modality: str
    folds: list[int]


@dataclass(frozen=True)
class Treatment:
    """What happens to a scan before a segmenter sees it.

    Attributes:
        operations: see :mod:`crossmod.prepare.treatments`; empty for none.
        normalise_as: the modality that intensities are normalised as; None for the scan's own.
    """

    operations: list[Plain]
    normalise_as: str | None

    def changes(self, case: Case) -> bool:
        """Whether a case looks otherwise than in the arrays of the prepare step."""
        return bool(self.operations) or self.modality(case) != case.modality

    def modality(self, case: Case) -> str:
        """What a case is normalised as."""
        return self.normalise_as or case.modality

    def scan(self, case: Case) -> Scan:
        """The treated scan of a case.

        Raises:
            UserError: if the scan cannot be read or treated.
        """
        scan = read_scan(case.image)
        if not self.operations:
            return scan
        from crossmod.prepare.treatments import treated

        return treated(scan, self.operations)


class Segmenter(Protocol):
    """Turns cases into label maps.

    Attributes:
        columns: kinds of masks, in the order of the index; a case may lack some.
        known: stage → classes that it can find, where these are not all; None where they are.
        record: what is known of a program from outside; None of the study's own networks.
    """

    @property
    def columns(self) -> list[str]:
        """See above."""
        ...

    @property
    def known(self) -> dict[str, list[str]] | None:
        """See above."""
        ...

    @property
    def record(self) -> Plain | None:
        """See above."""
        ...

    def masks(self, case: Case) -> dict[str, NDArray[np.uint8]]:
        """Kind of mask → uint8 (X, Y, Z) in the scan's own space."""
        ...


@dataclass(frozen=True)
class Networks:
    """The study's own networks, as a cascade.

    Attributes:
        stages: name → one network per fold, in order.
        prepared: cohort → folder of its arrays.
        treatment: of the scans.
        normalisation: config of the intensity normalisation, for scans that are treated.
    """

    stages: dict[str, tuple[TrainedStage, ...]]
    prepared: dict[str, Path]
    treatment: Treatment
    normalisation: Plain
    known: None = None
    record: None = None

    @classmethod
    def load(cls, job: Job, treatment: Treatment) -> "Networks":
        """Load the weights of every stage and fold.

        Raises:
            UserError: if weights are missing or do not fit, or the stages make no cascade.
        """
        settings = job.settings
        stages = {name: settings["stages"][name] for name in settings["cascade"]}
        refuse_impossible(stages)
        networks = {
            name: tuple(
                TrainedStage.load(Path(file), stage, settings["models"][name], settings["precision"])
                for file in job.inputs["weights"][name]
            )
            for name, stage in stages.items()
        }
        prepared = {Path(folder).name: Path(folder) for folder in job.inputs["prepared"]}
        return cls(networks, prepared, treatment, settings["normalisation"])

    @property
    def columns(self) -> list[str]:
        """See :class:`Segmenter`."""
        return columns_of({name: one.stage for name, (one, *_) in self.stages.items()})

    def masks(self, case: Case) -> dict[str, NDArray[np.uint8]]:
        """See :class:`Segmenter`.

        Raises:
            UserError: if the case is not prepared, its scan cannot be treated, or no network may predict it.
        """
        stages = {name: self._unbiased(name, case) for name in self.stages}
        arrays = {name: read_prepared(self.prepared[case.cohort], name, [case.name])[0] for name in stages}
        space = read_space(case.image)
        scan = self._treated(case) if self.treatment.changes(case) else _as_prepared(arrays)
        reference = {name: _boxes_on(scan.grids[name], prepared) for name, prepared in arrays.items()}
        return segment(scan, stages, Grid(space.shape, space.affine), reference)

    def _unbiased(self, name: str, case: Case) -> Ensemble:
        """The networks of a stage that have not seen a case."""
        folds = self.stages[name]
        if not case.folds:
            raise UserError(
                f"cohort {case.cohort}, case {case.name}: no fold of stage '{name}' may predict it, for all have seen "
                "it. Leave the case out of the site, or train in folds."
            )
        missing = [fold for fold in case.folds if not 0 <= fold < len(folds)]
        if missing:
            raise UserError(
                f"cohort {case.cohort}, case {case.name}: fold {missing[0]} is to predict it, but stage '{name}' has "
                f"weights of {len(folds)} folds, from 0 on. Draw the site again, or give the weights of every fold."
            )
        return Ensemble(tuple(folds[fold] for fold in case.folds))

    def _treated(self, case: Case) -> OnGrid:
        settings = {name: one.stage for name, (one, *_) in self.stages.items()}
        try:
            return on_grids(self.treatment.scan(case), self.treatment.modality(case), settings, self.normalisation)
        except UserError as error:
            raise UserError(f"cohort {case.cohort}, case {case.name}, treated: {error}") from error


@dataclass(frozen=True)
class Outside:
    """An outside command that is given treated scans.

    Attributes:
        command: what is run.
        treatment: of the scans; the command normalises them itself.
        settings: the config of the command.
    """

    command: Command
    treatment: Treatment
    settings: Plain = field(default_factory=dict)

    @property
    def record(self) -> Plain:
        """What is known of the program; see :func:`crossmod.predict.record.record_of`."""
        return record_of(self.settings)

    @property
    def known(self) -> dict[str, list[str]]:
        """Stage → classes that the command can find."""
        return self.command.known

    @property
    def columns(self) -> list[str]:
        """See :class:`Segmenter`; masks of unknown stages, and those in the reference's boxes, are absent."""
        return columns_of(self.command.stages)

    def masks(self, case: Case) -> dict[str, NDArray[np.uint8]]:
        """See :class:`Segmenter`.

        Raises:
            UserError: if the command fails, takes too long, or does not write a label map of the scan.
        """
        try:
            return self.command.masks(self.treatment.scan(case))
        except UserError as error:
            raise UserError(f"cohort {case.cohort}, case {case.name}: {error}") from error


def columns_of(stages: dict[str, Plain]) -> list[str]:
    """Every stage end to end, and those that look into a region also in that of the reference."""
    return [
        column
        for name, stage in stages.items()
        for column in (name, *([f"{name}_reference_box"] if stage["region"] != "image" else []))
    ]


def segmenter_of(job: Job) -> Segmenter:
    """The segmenter of a predict job; see :func:`crossmod.predict.run` for its settings."""
    settings = job.settings
    treatment = Treatment(settings["treat"] or [], settings["normalise_as"])
    if settings["segmenter"]:
        stages = {name: settings["stages"][name] for name in settings["cascade"]}
        return Outside(Command.of(settings["segmenter"], stages), treatment, settings["segmenter"])
    return Networks.load(job, treatment)


def _as_prepared(arrays: dict[str, Prepared]) -> OnGrid:
    return OnGrid(
        {name: case.image for name, case in arrays.items()},
        {name: case.grid for name, case in arrays.items()},
        next(iter(arrays.values())).background,
    )


def _boxes_on(grid: Grid, prepared: Prepared) -> dict[str, Corners]:
    """The reference's boxes on a grid, which is another than the prepared one where a scan is treated."""
    boxes = {side: (np.array(low), np.array(high)) for side, (low, high) in prepared.boxes.items()}
    if np.allclose(grid.affine, prepared.grid.affine):
        return boxes
    return {side: carried(box_between(low, high), prepared.grid, grid) for side, (low, high) in boxes.items()}
