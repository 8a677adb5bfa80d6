"""How far a version may lie from an earlier one."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tidemill.api.base import SET_LIST, Model, rules
from tidemill.api.scalars import ColumnName, Name

DriftProfileName = Literal["default", "evidently", "vertex", "tfdv", "sagemaker", "psi"]
"""A named way to measure drift: see core/driftprofiles.py for each one's numbers and sources."""

Threshold = Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,9})?$", max_length=16)]
"""A distance above which a column has drifted, such as "0.1"."""


class DataDrift(Model):
    """What counts as a distribution that has moved since an earlier version."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(self.against == 'Version') == has(self.version)",
                "against: Version needs version, the name of a DatasetVersion; Previous has none",
            ),
            (
                "self.profile != 'tfdv' || has(self.threshold)",
                'profile tfdv has no threshold of its own; give one, such as "0.1"',
            ),
        )
    )

    against: Literal["Previous", "Version"] = "Previous"
    """Previous: the newest accepted version of other content. Version: the one named."""
    version: Name | None = None
    """The DatasetVersion to compare with; it is kept as long as it is named here."""
    profile: DriftProfileName = "default"
    """What is measured, and the threshold where none is given. default: Jensen-Shannon distance
    (natural logarithm) over the earlier version's bins, 0.1, never below that version's own noise
    floor. evidently: the same for categories, the Wasserstein distance in standard deviations for
    numbers, 0.1. vertex: largest difference of a share for categories, Jensen-Shannon divergence
    (base 2) for numbers, 0.3. tfdv: as vertex, with a threshold of yours. sagemaker: largest
    difference of a share, or of cumulative shares for numbers, less what chance explains, 0.1.
    psi: population stability index, 0.1."""
    threshold: Threshold | None = None
    """The distance above which a column has drifted; left out, the profile's own."""
    columns: Annotated[
        tuple[ColumnName, ...], Field(max_length=64, json_schema_extra=SET_LIST)
    ] = ()
    """Which columns are compared; left out, all features."""
    severity: Literal["Fail", "Warn"] = "Warn"
    """Warn: a drifted version is accepted and says so. Fail: it is not accepted."""
