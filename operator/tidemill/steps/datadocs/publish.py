"""Make a snapshot's docs page and store it beside its profile."""

import logging

import duckdb
from pydantic import ValidationError

from tidemill.api.documents.arguments import Known, RefreshArguments
from tidemill.api.documents.profile import Profile
from tidemill.api.documents.results import Snapshot
from tidemill.steps.datadocs.comparison import compare
from tidemill.steps.datadocs.page import Facts, drawn, page
from tidemill.steps.datadocs.timeline import divide
from tidemill.steps.failures import StepError
from tidemill.steps.objects import Store
from tidemill.steps.profiles import Subject
from tidemill.steps.provenance import step_image
from tidemill.steps.schema import ColumnType, Schema
from tidemill.steps.windows import LabelRule

logger = logging.getLogger(__name__)

NAME = "docs.html"
_COMPARED = frozenset({"Label", "Feature"})
"""Roles whose profiles keep every value they can, so that a distance means something."""


def publish_docs(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    place: str,
    arguments: RefreshArguments,
    table: str,
    rule: LabelRule,
    schema: Schema,
    snapshot: Snapshot,
    profile: Profile,
) -> Snapshot:
    """The snapshot with its page, which is stored below `place`. `table` is SQL of its rows.

    Raises StepError if the page cannot be stored; a version before that cannot be read is only
    not compared with.
    """
    before = _profile_of(store, arguments.previous)
    compared = [item for item in drawn(snapshot.columns, {}) if item.role in _COMPARED]
    subjects = [Subject(item.name, ColumnType(item.type)) for item in compared]
    moment = arguments.spec.columns.event_time
    distances = (
        {} if before is None else compare(connection, table, moment, subjects, profile, before)
    )
    facts = Facts(
        arguments=arguments,
        snapshot=snapshot,
        profile=profile,
        timeline=divide(connection, table, arguments.spec, rule, schema, snapshot.window),
        before=before,
        image=step_image(),
        distances=distances,
    )
    stored = store.publish(place, NAME, page(facts))
    logger.info("docs page: %s", stored.uri)
    return snapshot.model_copy(update={"docs": stored})


def _profile_of(store: Store, known: Known | None) -> Profile | None:
    """The profile of the version before; None if it is not there any more or is damaged."""
    if known is None:
        return None
    try:
        return Profile.model_validate_json(store.read_document(known.profile))
    except StepError as failure:
        if failure.transient:
            raise
        logger.warning("no comparison with %s: %s", known.name, failure)
    except ValidationError:
        logger.warning("no comparison with %s: its profile is of another form", known.name)
    return None
