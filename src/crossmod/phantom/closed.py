"""Settings that know their keys: no other key, no number that is not finite, and no change afterwards."""

from pydantic import BaseModel, ConfigDict


class Closed(BaseModel):
    """A closed schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
