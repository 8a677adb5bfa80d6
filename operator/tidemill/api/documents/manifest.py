"""The manifest of a snapshot: its immutable parts, each named by its hash."""

from tidemill.api.base import Model


class Part(Model):
    """One parquet file."""

    uri: str
    digest: str
    rows: int
    bytes: int


class Manifest(Model):
    """manifest.json of a DatasetVersion."""

    version: int = 1
    digest: str
    """The version's content digest."""
    parts: tuple[Part, ...]
    rows: int
