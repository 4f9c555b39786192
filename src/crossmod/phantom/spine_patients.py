"""Who has a spine drawn in detail: what of it is worn, and which tumours it has."""

from typing import Literal, Self

from pydantic import Field, model_validator

from crossmod.phantom.closed import Closed

MOBILE = tuple(f"T{n}" for n in range(1, 13)) + tuple(f"L{n}" for n in range(1, 6))
Level = Literal[
    "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8", "T9", "T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5"
]  # fmt: skip


class SpinePatients(Closed):
    """Diseases of the spine in one cohort. A patient has metastases, a tumour within the dura, or neither."""

    metastases: float = Field(0.45, ge=0.0, le=1.0, description="share of patients with vertebral metastases")
    metastasis_mm: float = Field(24.0, ge=8.0, le=45.0, description="median diameter of the metastases")
    metastasis_spread: float = Field(
        0.35, ge=0.0, le=1.0, description="spread of the diameters: standard deviation of the natural logarithm"
    )
    # Of spinal metastases seen on MR about half reach the epidural space (ASSUME: 0.35 of single ones, as most patients
    # have several); extradural tumours are 95 % of spinal ones: Shah & Salzman, Int J Surg Oncol 2011:769753.
    epidural: float = Field(0.35, ge=0.0, le=1.0, description="share of metastases that grow into the canal")
    paravertebral: float = Field(
        0.25, ge=0.0, le=1.0, description="share of metastases that grow into the soft tissue beside the vertebra"
    )
    intradural: float = Field(0.25, ge=0.0, le=1.0, description="share of patients with one tumour within the dura")
    # Of tumours of the cord, its coverings and roots 29 % are meningiomas, 24 % of nerve sheaths and 23 % ependymomas:
    # Duong et al., Cancer 2012;118:4220.
    schwannomas: float = Field(0.32, ge=0.0, le=1.0, description="share of schwannomas among tumours within the dura")
    ependymomas: float = Field(0.30, ge=0.0, le=1.0, description="share of ependymomas; all others are meningiomas")
    # 11 % of 3829 spines at autopsy: Schmorl & Junghanns; 27 % on MR: Barzin & Maleki, Pak J Biol Sci 2009;12:1367.
    haemangiomas: float = Field(0.15, ge=0.0, le=1.0, description="share of patients with a vertebral haemangioma")
    levels: tuple[Level, Level] = Field(
        ("T12", "L5"), description="highest and lowest vertebra that may have a tumour, for the field of view"
    )
    wear: float = Field(
        1.0, ge=0.0, le=2.0, description="how worn discs are: 0 all healthy, 1 as usual for the age, 2 twice as much"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for one, other in (("metastases", "intradural"), ("schwannomas", "ependymomas")):
            total = getattr(self, one) + getattr(self, other)
            if total > 1 + 1e-9:
                raise ValueError(f"{one} + {other} = {total:g}: shares of one whole must not exceed 1")
        high, low = (MOBILE.index(level) for level in self.levels)
        if high > low:
            raise ValueError(f"levels = {list(self.levels)}: the highest vertebra comes first, such as [T12, L5]")
        return self
