"""What is simulated: a recipe says how patients are scanned, a population who they are; the seed draws one of them."""

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import nibabel as nib
import numpy as np
from pydantic import Field, ValidationError, model_validator

from crossmod.job import UserError
from crossmod.phantom.closed import Closed
from crossmod.phantom.spine_patients import SpinePatients
from crossmod.scans.box import three

if TYPE_CHECKING:
    Tesla = float  # Python's typing knows no literal numbers with a point; pydantic does
else:
    Tesla = Literal[1.5, 3.0]
Positive3 = tuple[float, float, float]
SPACING_MM, EXTENT_MM, CENTRE_MM, MOST_VOXELS = (0.5, 12.0), (48.0, 520.0), (-300.0, 300.0), 64_000_000
TUMOUR_ML = (0.1, 2500.0)


class CTSettings(Closed):
    """Scanner and contrast of a CT."""

    kernel_fwhm_mm: float = Field(
        1.8, ge=0.0, le=6.0, description="in-plane blur of the kernel, full width at half maximum"
    )
    sharpening: float = Field(0.0, ge=0.0, le=1.5, description="edge enhancement of the kernel (0 none)")
    noise_hu: float = Field(11.0, ge=0.0, le=80.0, description="mean noise standard deviation in the body's middle")
    noise_fwhm_mm: float = Field(3.0, ge=0.0, le=8.0, description="in-plane grain of the noise; 0 is white")
    enhancement: float = Field(
        1.0, ge=0.0, le=1.6, description="contrast uptake relative to a usual nephrographic phase"
    )
    enhancement_sd: float = Field(0.14, ge=0.0, le=0.4, description="between-patient spread of the uptake (log scale)")
    uptake_sd: float = Field(
        0.0,
        ge=0.0,
        le=0.6,
        description="between-patient spread of the uptake of every single tissue (log scale), as by age and disease",
    )
    phase: float = Field(
        0.9,
        ge=0.0,
        le=1.0,
        description="0 corticomedullary (cortex alone enhances) to 1 nephrographic (cortex = medulla)",
    )
    phase_sd: float = Field(0.07, ge=0.0, le=0.4, description="between-patient spread of the phase")
    excretion: float = Field(
        0.15, ge=0.0, le=1.0, description="share of patients with contrast in the collecting system"
    )
    oral_contrast: float = Field(
        0.2, ge=0.0, le=1.0, description="share of patients with positive contrast in the bowel"
    )
    table: bool = Field(True, description="whether the patient's table is in the picture")
    streaks_hu: float = Field(
        0.0,
        ge=0.0,
        le=200.0,
        description="strength of streaks: from the arms where they are down, else from metal in the spine",
    )


class MRSettings(Closed):
    """Scanner and sequence of an MR."""

    field_t: Tesla = Field(1.5, description="main field, tesla")
    readout: Literal["spin-echo", "gradient-echo", "inversion-recovery", "balanced", "single-shot"] = Field(
        "spin-echo",
        description="spin echo (T2-weighted, or T1-weighted by a short TR and TE), spoiled gradient echo (T1-weighted, "
        "in or opposed phase by TE), gradient echoes after an inversion (MPRAGE), balanced steady state (TE is half of "
        "TR, also where it is left out), or one train of spin echoes a slice (HASTE)",
    )
    repetition_time_ms: float = Field(2000.0, ge=2.0, le=20000.0, description="TR")
    echo_time_ms: float = Field(72.0, ge=0.5, le=300.0, description="effective TE")
    flip_deg: float = Field(90.0, ge=1.0, le=90.0, description="flip angle of a gradient echo; balanced: 10 to 80")
    inversion_ms: float = Field(
        0.0,
        ge=0.0,
        le=5000.0,
        description="TI, from the inversion to the middle of the echoes; 0, as of all other readouts, is none",
    )
    echo_train: int = Field(
        1, ge=1, le=512, description="echoes after one inversion, or after one excitation of a single-shot"
    )
    echo_spacing_ms: float = Field(5.0, ge=1.0, le=30.0, description="time from one echo of a train to the next")
    gadolinium: float = Field(
        0.0, ge=0.0, le=2.0, description="dose of contrast agent relative to 0.1 mmol/kg; 0 is without"
    )
    phase: float = Field(
        0.9, ge=0.0, le=1.0, description="0 corticomedullary to 1 nephrographic, where there is contrast agent"
    )
    timing_sd: float = Field(0.1, ge=0.0, le=0.5, description="between-patient spread of TR and TE (log scale)")
    fat_suppression: float = Field(
        0.93, ge=0.0, le=1.0, description="share of the fat signal removed; 0 leaves fat alone"
    )
    fat_failure: float = Field(
        0.35, ge=0.0, le=1.0, description="how strongly suppression fails where the field is uneven"
    )
    bias: float = Field(0.22, ge=0.0, le=0.8, description="spread of the receive field across the picture (log scale)")
    coil_mm: float = Field(
        0.0,
        ge=0.0,
        le=400.0,
        description="radius of surface coils in a row under the back: the smaller, the faster the picture darkens "
        "to the front; 0 is none",
    )
    saturation: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="share of the signal that a band in front of the spine takes away, lest belly and vessels disturb "
        "the picture; 0 is no band",
    )
    saturation_from_mm: float = Field(
        45.0,
        ge=-100.0,
        le=200.0,
        description="where the band begins, from back to front; lumbar bodies end between 12 and 31 mm",
    )
    noise: float = Field(
        0.025,
        ge=0.0,
        le=0.3,
        description="Rician noise per channel relative to the renal cortex, or to fat after an inversion, which may "
        "leave the cortex dark",
    )
    noise_sd: float = Field(0.3, ge=0.0, le=1.0, description="between-patient spread of the noise (log scale)")
    psf_fwhm_mm: float = Field(1.8, ge=0.0, le=6.0, description="in-plane blur, full width at half maximum")
    truncation: float = Field(
        1.0,
        ge=0.4,
        le=1.0,
        description="share of k-space sampled along the phase-encoding axis; below 1 edges ring (Gibbs)",
    )
    ghosts: float = Field(
        0.0, ge=0.0, le=0.4, description="strength of the ghosts of breathing along the phase-encoding axis"
    )
    breathing_mm: float = Field(
        0.0, ge=0.0, le=6.0, description="standard deviation of a slice's displacement across the slices"
    )
    slice_gain_sd: float = Field(
        0.0, ge=0.0, le=0.3, description="spread of brightness from slice to slice (log scale)"
    )
    relaxation_sd: float = Field(0.08, ge=0.0, le=0.3, description="between-patient spread of T1, T2, PD (log scale)")

    @model_validator(mode="before")
    @classmethod
    def _balanced_echo(cls, settings: Any) -> Any:
        """A balanced readout echoes at half of its TR, where nothing else is said."""
        if not isinstance(settings, Mapping) or settings.get("readout") != "balanced" or "echo_time_ms" in settings:
            return settings
        tr = settings.get("repetition_time_ms")
        return {**settings, "echo_time_ms": tr / 2} if isinstance(tr, int | float) else settings

    @model_validator(mode="after")
    def _timing(self) -> Self:
        if self.inversion_ms and self.readout != "inversion-recovery":
            raise ValueError(
                f"mr.inversion_ms = {self.inversion_ms:g}: readout '{self.readout}' has no inversion; leave the key "
                "out, or set mr.readout to inversion-recovery"
            )
        if self.echo_train > 1 and self.readout not in ("inversion-recovery", "single-shot"):
            raise ValueError(
                f"mr.echo_train = {self.echo_train}: readout '{self.readout}' is computed without a train; leave the "
                "key out, or set mr.readout to inversion-recovery or single-shot"
            )
        check = {"inversion-recovery": self._inversion, "balanced": self._steady, "single-shot": self._one_train}
        check.get(self.readout, lambda: None)()
        return self

    def _inversion(self) -> None:
        half = self.train_ms / 2
        if not self.inversion_ms:
            raise ValueError("mr.inversion_ms = 0: an inversion-recovery needs its TI, such as 700")
        if self.inversion_ms >= self.repetition_time_ms:
            raise ValueError(
                f"mr.inversion_ms = {self.inversion_ms:g}: must lie below mr.repetition_time_ms = "
                f"{self.repetition_time_ms:g}, the time between two inversions"
            )
        if not half <= self.inversion_ms <= self.repetition_time_ms - half:
            raise ValueError(
                f"mr.echo_train = {self.echo_train}: with mr.echo_spacing_ms = {self.echo_spacing_ms:g} the echoes "
                f"take {2 * half:g} ms around mr.inversion_ms = {self.inversion_ms:g} and overlap with an inversion; "
                "fewer echoes or a longer TI and TR"
            )
        if self.echo_train > 1 and self.echo_time_ms >= self.echo_spacing_ms:
            raise ValueError(
                f"mr.echo_time_ms = {self.echo_time_ms:g}: must lie below mr.echo_spacing_ms = {self.echo_spacing_ms:g}"
            )

    def _steady(self) -> None:
        if not 10 <= self.flip_deg <= 80:
            raise ValueError(f"mr.flip_deg = {self.flip_deg:g}: a balanced readout needs 10 to 80, usually 40 to 70")
        if self.repetition_time_ms > 20:
            raise ValueError(
                f"mr.repetition_time_ms = {self.repetition_time_ms:g}: a balanced readout needs at most 20, usually 3 "
                "to 6"
            )
        if abs(self.echo_time_ms - self.repetition_time_ms / 2) > 0.01 * self.repetition_time_ms:
            raise ValueError(
                f"mr.echo_time_ms = {self.echo_time_ms:g}: a balanced readout echoes at half of mr.repetition_time_ms "
                f"= {self.repetition_time_ms:g}; leave the key out"
            )

    def _one_train(self) -> None:
        if not self.echo_time_ms <= self.train_ms <= self.repetition_time_ms:
            raise ValueError(
                f"mr.echo_train = {self.echo_train}: with mr.echo_spacing_ms = {self.echo_spacing_ms:g} the train "
                f"takes {self.train_ms:g} ms: it must hold mr.echo_time_ms = {self.echo_time_ms:g} and fit into "
                f"mr.repetition_time_ms = {self.repetition_time_ms:g}"
            )

    @property
    def train_ms(self) -> float:
        """How long a train of echoes takes; 0 of a single one."""
        return self.echo_train * self.echo_spacing_ms if self.echo_train > 1 else 0.0


class Recipe(Closed):
    """How one cohort of simulated patients is scanned. Defaults: the internal nephrographic CT."""

    modality: Literal["CT", "MR"] = Field("CT", description="what kind of scanner")
    sequence: str = Field(
        "",
        pattern=r"^[a-z0-9-]*$",
        description="phase or sequence, as cases.csv states it; empty means nephrographic (CT) or fs-t2 (MR)",
    )
    spacing_mm: Positive3 = Field((2.0, 2.0, 2.5), description="voxel spacing along the three native axes, 0.5 to 12")
    field_of_view_mm: Positive3 = Field((400.0, 320.0, 240.0), description="extent along the native axes, 48 to 520")
    orientation: str = Field(
        "LPS", description="where the native axes point, e.g. LPS or RAS; the third axis is across slices"
    )
    slice_thickness_mm: float | None = Field(
        None, gt=0.0, le=15.0, description="excited or reconstructed thickness; empty means the third spacing"
    )
    position_sd_mm: float = Field(
        6.0, ge=0.0, le=25.0, description="spread of the patient's place in the field of view"
    )
    centre_mm: Positive3 = Field(
        (0.0, 20.0, 8.0),
        description="where the field of view is centred, R-A-S, from a vertebral body between the kidneys; -300 to 300",
    )
    arms: Literal["up", "down"] = Field("up", description="whether the arms lie beside the trunk")
    randomisation: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="domain randomisation: 0 contrast by physics alone, 1 every tissue also brighter or darker by "
        "chance",
    )
    ct: CTSettings = Field(default_factory=CTSettings, description="used when modality is CT")
    mr: MRSettings = Field(default_factory=MRSettings, description="used when modality is MR")

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for axis, (spacing, extent) in enumerate(zip(self.spacing_mm, self.field_of_view_mm, strict=True)):
            _inside(f"spacing_mm[{axis}]", spacing, SPACING_MM)
            _inside(f"field_of_view_mm[{axis}]", extent, EXTENT_MM)
        for axis, place in enumerate(self.centre_mm):
            _inside(f"centre_mm[{axis}]", place, CENTRE_MM)
        if np.prod(self.shape) > MOST_VOXELS:
            raise ValueError(
                f"field_of_view_mm / spacing_mm = {self.shape} voxels: at most {MOST_VOXELS} in all; widen spacing_mm"
            )
        pairs = ({"L", "R"}, {"P", "A"}, {"I", "S"})
        if len(self.orientation) != 3 or any(len(pair & set(self.orientation)) != 1 for pair in pairs):
            raise ValueError(f"orientation = {self.orientation!r}: three letters, one each of L/R, P/A and I/S")
        return self

    @property
    def name(self) -> str:
        """The sequence, or what is usual for the modality where none is named."""
        return self.sequence or {"CT": "nephrographic", "MR": "fs-t2"}[self.modality]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Native grid size in voxels."""
        return three(max(1, round(f / s)) for f, s in zip(self.field_of_view_mm, self.spacing_mm, strict=True))

    @property
    def ras_axes(self) -> tuple[int, int, int]:
        """World axis (0 x, 1 y, 2 z) of each native axis."""
        return three(int(axis) for axis, _ in nib.orientations.axcodes2ornt(tuple(self.orientation)))


class Population(Closed):
    """Who is scanned: one cohort's patients. Defaults: kidney-cancer patients, as KiTS23's."""

    tumour: float = Field(1.0, ge=0.0, le=1.0, description="share of patients with a renal-cell carcinoma")
    tumour_ml: float = Field(35.0, ge=2.0, le=200.0, description="median volume of the carcinomas")
    tumour_spread: float = Field(
        1.6, ge=0.0, le=3.0, description="spread of their volumes: standard deviation of its natural logarithm"
    )
    tumour_range_ml: tuple[float, float] = Field(
        (0.8, 900.0), description="least and greatest volume of a carcinoma, 0.1 to 2500 ml; others are drawn again"
    )
    bmi: float = Field(27.5, ge=19.0, le=38.0, description="mean body mass index, kg/m2")
    bmi_sd: float = Field(4.6, ge=0.0, le=8.0, description="its standard deviation")
    age: float = Field(61.0, ge=20.0, le=85.0, description="mean age, years")
    age_sd: float = Field(12.0, ge=0.0, le=25.0, description="its standard deviation")
    hydronephrosis: float = Field(0.0, ge=0.0, le=1.0, description="share of kidneys with a widened collecting system")
    shapes: str | None = Field(
        None,
        description="folder of KiTS23 label maps, whose kidneys, tumours and cysts are planted; empty: invented ones "
        "alone",
    )
    shapes_share: float = Field(
        1.0, ge=0.0, le=1.0, description="share of patients with planted kidneys, where there are shapes"
    )
    liver_lesions: float = Field(
        0.0, ge=0.0, le=1.0, description="share of patients with tumours or cysts of the liver"
    )
    spine_lesions: float = Field(0.0, ge=0.0, le=1.0, description="share of patients with tumours of the spine")
    organs: bool = Field(
        False,
        strict=True,
        description="whether label maps hold the organs of the trunk too, from spleen to iliopsoas muscle; their "
        "anatomy is then drawn in more detail, so that images differ from those without",
    )
    spine: SpinePatients | None = Field(
        None,
        description="patients of the spine, `{}` or with keys of its own: the spine is drawn in detail and label maps "
        "hold its structures alone; nobody has a renal tumour. Empty: patients of the kidneys",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        low, high = self.tumour_range_ml
        key = f"tumour_range_ml = [{low:g}, {high:g}]"
        if not TUMOUR_ML[0] <= low < high <= TUMOUR_ML[1]:
            raise ValueError(f"{key}: two rising numbers, in {TUMOUR_ML[0]:g} to {TUMOUR_ML[1]:g} ml")
        if not low <= self.tumour_ml <= high:
            raise ValueError(f"{key}: must hold the median, tumour_ml = {self.tumour_ml:g}")
        if self.spine is not None and (self.organs or self.shapes or self.spine_lesions or self.liver_lesions):
            raise ValueError(
                "spine: leaves no room for organs, shapes, liver_lesions and spine_lesions, which belong to patients "
                "of the kidneys; leave these out, or spine"
            )
        return self


def parse_recipe(settings: dict[str, Any]) -> Recipe:
    """Read a recipe from plain settings.

    Raises:
        UserError: naming every bad key, its value, and the range it must keep.
    """
    return _parsed(Recipe, "recipe", settings)


def parse_population(settings: dict[str, Any]) -> Population:
    """Read a population from plain settings; raises as `parse_recipe`."""
    return _parsed(Population, "population", settings)


def _parsed(model: type[Closed], word: str, settings: dict[str, Any]) -> Any:
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        lines = "\n  ".join(_sentence(model, word, fault) for fault in error.errors())
        raise UserError(f"This {word} cannot be simulated:\n  {lines}") from error


def _inside(key: str, value: float, bounds: tuple[float, float]) -> None:
    if not bounds[0] <= value <= bounds[1]:
        raise ValueError(f"{key} = {value}: must lie in {bounds[0]:g} to {bounds[1]:g} mm")


def _sentence(model: type[Closed], word: str, fault: Mapping[str, Any]) -> str:
    """One fault of some settings: its full key, the value, and the range or the nearest key."""
    key = ".".join([word, *(str(part) for part in fault["loc"])])
    if fault["type"] == "value_error":  # already says key, value and range
        return f"{word}.{fault['msg'].removeprefix('Value error, ')}"
    *above, last = fault["loc"] or ("",)
    section = model
    sections: dict[str, type[Closed]] = {"ct": CTSettings, "mr": MRSettings, "spine": SpinePatients}
    for part in above:
        section = sections.get(str(part), section)
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(last), section.model_fields, n=1)
        return f"{key}: no such key" + (f"; did you mean {near[0]}?" if near else "")
    field = section.model_fields.get(str(last))
    limits = [] if field is None else [limit for item in field.metadata for limit in _limits(item)]
    return f"{key} = {fault['input']!r}: {fault['msg']}" + (f" (allowed: {', '.join(limits)})" if limits else "")


def _limits(item: object) -> list[str]:
    """The bounds in one piece of a field's metadata, as text."""
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    return [f"{word} {getattr(item, name):g}" for name, word in words.items() if hasattr(item, name)]
