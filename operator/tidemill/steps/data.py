"""What train and evaluate do alike: bring a version's parts here and know what its columns mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from tidemill.api.documents.bundle import Feature
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import DataWindow, StoredDocument
from tidemill.steps.engine import connect
from tidemill.steps.objects import Store
from tidemill.steps.parts import fetch_parts, read_manifest, scan_parts, schema_of_part
from tidemill.steps.predicates import Predicate
from tidemill.steps.schema import Schema, check_columns
from tidemill.steps.tables import Rows, features_of, load
from tidemill.steps.windows import LabelRule, Portion, label_rule, where_portion


@dataclass(frozen=True, slots=True)
class Version:
    """A DatasetVersion's rows, ready to be asked for."""

    connection: duckdb.DuckDBPyConnection
    table: str
    """SQL of all rows."""
    spec: DatasetSpec
    window: DataWindow
    schema: Schema
    rule: LabelRule
    features: tuple[Feature, ...]

    def where(self, portion: Portion) -> str:
        """SQL: the rows of a portion whose label is final."""
        return where_portion(self.spec, self.window, self.schema, portion)

    def rows(
        self,
        portion: Portion = Portion.ALL,
        features: tuple[Feature, ...] | None = None,
        slices: tuple[Predicate, ...] = (),
    ) -> Rows:
        """The rows of a portion whose label is final."""
        where = self.where(portion)
        wanted = self.features if features is None else features
        return load(self.connection, self.table, self.spec, self.rule, wanted, where, slices)


@contextmanager
def opened(
    store: Store, manifest: StoredDocument, window: DataWindow, spec: DatasetSpec, scratch: Path
) -> Iterator[Version]:
    """Bring a version here. Raises StepError if it cannot be had, or lacks what the spec names."""
    parts = [part for part in read_manifest(store, manifest).parts if part.rows]
    files = fetch_parts(store, parts, scratch)
    schema = schema_of_part(store, parts[0])
    check_columns(spec, schema, None)
    table = scan_parts(files)
    with connect(scratch) as connection:
        rule = label_rule(connection, table, spec, schema[spec.columns.label.name])
        features = features_of(spec, schema)
        yield Version(connection, table, spec, window, schema, rule, features)
