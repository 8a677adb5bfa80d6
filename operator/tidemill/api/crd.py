"""Kinds to CustomResourceDefinitions: names, columns, subresources, rules and schema.

    python -m tidemill.api.crd crds/

writes `<plural>.tidemill.dev.yaml` for every kind and the field reference `README.md`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel

from tidemill.api.base import GROUP, VERSION, Column, KindNames, Resource
from tidemill.api.openapi import Schema, structural
from tidemill.api.reference import reference
from tidemill.api.v1alpha1 import KINDS

CATEGORY = "tidemill"
"""`kubectl get tidemill` lists all our kinds."""
MAX_BYTES = 200 * 1024
"""A CRD above 256 KiB cannot be applied by clients that keep it in an annotation."""
HEADER = "# Generated from operator/tidemill/api by `make crds`. Do not edit.\n"

_ORDER = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
    "properties",
    "items",
    "additionalProperties",
)


class _Dumper(yaml.SafeDumper):
    """YAML without anchors: a schema that is used twice stands there twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_DNS_1035 = "^[a-z]([-a-z0-9]*[a-z0-9])?$"


def crd(kind: type[Resource]) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind. Raises openapi.SchemaError for a model that has no
    structural schema.
    """
    names = kind.names
    subresources: dict[str, Any] = {"status": {}}
    if names.scale:
        subresources["scale"] = dict(names.scale)
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": subresources,
        "additionalPrinterColumns": [_printer_column(column) for column in names.columns],
        "schema": {"openAPIV3Schema": _ordered(root_schema(kind))},
    }
    if names.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in names.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{names.plural}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "tidemill", "app.kubernetes.io/part-of": GROUP},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.kind,
                "listKind": f"{names.kind}List",
                "plural": names.plural,
                "singular": names.kind.lower(),
                "shortNames": [names.short],
                "categories": [CATEGORY],
            },
            "versions": [version],
        },
    }


def root_schema(kind: type[Resource]) -> Schema:
    """The schema of the whole object.

    `status` begins as {observedGeneration: -1}, so that a new object is never taken for one that
    was already looked at. Nothing else in status, and nothing in a record, has a default: the
    operator writes both whole.
    """
    spec, status = (
        cast(type[BaseModel], kind.model_fields[part].annotation) for part in ("spec", "status")
    )
    return {
        "description": " ".join((kind.__doc__ or "").split()),
        "type": "object",
        "required": ["spec"],
        "x-kubernetes-validations": _name_rules(kind.names),
        "properties": {
            "apiVersion": {
                "description": f"{GROUP}/{VERSION}.",
                "type": "string",
            },
            "kind": {"description": f"{kind.names.kind}.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(spec, defaults=not kind.names.record),
            "status": {
                **structural(status, defaults=False),
                "default": {"observedGeneration": -1},
            },
        },
    }


def to_yaml(document: dict[str, Any]) -> str:
    """A CRD as the file we commit."""
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
    return f"{HEADER}{text}"


def write(directory: Path) -> list[Path]:
    """Write every CRD and the reference into a directory; return what was written."""
    written = []
    for kind in KINDS:
        text = to_yaml(crd(kind))
        if len(text.encode()) > MAX_BYTES:
            raise ValueError(f"the CRD of {kind.names.kind} is larger than {MAX_BYTES} bytes")
        path = directory / f"{kind.names.plural}.{GROUP}.yaml"
        path.write_text(text)
        written.append(path)
    page = directory / "README.md"
    page.write_text(reference([(kind.names, root_schema(kind)) for kind in KINDS]))
    return [*written, page]


def _name_rules(names: KindNames) -> list[dict[str, str]]:
    """Names of children are made from the object's name, so it is a DNS-1035 label and short."""
    what = f"metadata.name of a {names.kind}"
    return [
        {
            "rule": f"self.metadata.name.size() <= {names.max_name}",
            "message": f"{what} may have at most {names.max_name} characters",
        },
        {
            "rule": f"self.metadata.name.matches('{_DNS_1035}')",
            "message": f"{what} must begin with a letter and hold only a-z, 0-9 and -",
        },
    ]


def _printer_column(column: Column) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**shown, "priority": 1} if column.wide else shown


def _ordered(schema: Schema) -> Schema:
    """The same schema with its keywords in reading order: what it is, its bounds, its parts."""
    out: Schema = {}
    for key in sorted(schema, key=_ORDER.index):
        value = schema[key]
        match key:
            case "properties":
                out[key] = {name: _ordered(one) for name, one in value.items()}
            case "items" | "additionalProperties":
                out[key] = _ordered(value)
            case "x-kubernetes-validations":
                out[key] = [dict(sorted(rule.items(), reverse=True)) for rule in value]
            case _:
                out[key] = value
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m tidemill.api.crd DIRECTORY`."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if len(given) != 1 or not Path(given[0]).is_dir():
        sys.stderr.write("usage: python -m tidemill.api.crd DIRECTORY (an existing one)\n")
        return 2
    for path in write(Path(given[0])):
        sys.stdout.write(f"{path}  {path.stat().st_size / 1024:.1f} KiB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
