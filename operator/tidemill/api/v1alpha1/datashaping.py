"""What is made of the rows that were read before they become a version."""

from typing import Annotated

from pydantic import ConfigDict, Field

from tidemill.api.base import Model, rules
from tidemill.api.scalars import Name, PositiveSeconds, Timestamp


class Prepare(Model):
    """What is made of the rows before anything else looks at them."""

    select: Annotated[str, Field(min_length=1, max_length=16384)]
    """One SELECT of the table `source` in DuckDB's SQL, such as SELECT * REPLACE (trim(carrier) AS
    carrier), distance / air_time AS speed FROM source WHERE NOT cancelled. `source` holds the
    source's columns as booleans, BIGINT, DOUBLE, VARCHAR, DATE and TIMESTAMP in UTC. It runs in a
    sandbox without files, network, extensions and settings, and may use functions only whose
    answer follows from their arguments. Rows in and out are counted."""


class Window(Model):
    """How far back a version reaches."""

    last_seconds: PositiveSeconds
    """Rows whose event is this much older than the newest one, or older still, are left out. The
    newest is that of the data, not of the clock, so that the same source gives the same version;
    events after the read do not count for it. Rows without an event time are left out, too."""


class ExcludedTime(Model):
    """A stretch of time whose rows are left out."""

    model_config = ConfigDict(json_schema_extra=rules(("self.from < self.to", "from is before to")))

    name: Name
    """What happened then, such as strike or sensor-fault."""
    from_: Annotated[Timestamp, Field(alias="from")]
    """The first event time that is left out."""
    to: Timestamp
    """The first event time after it that is kept."""
