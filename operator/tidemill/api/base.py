"""What every kind is built from: the model base, metadata, conditions and references.

Models are frozen, camelCase on the wire, and each field's docstring is its `kubectl explain`
text. A kind carries its Kubernetes names in `Kind`; `crd.py` turns both into a CRD.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tidemill.api.scalars import Name, Timestamp

GROUP = "tidemill.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

REQUEST_ANNOTATION = f"{GROUP}/request"
"""Where a person or a tool asks for something once: `<verb>[/<target>]@<time>`."""


def map_list(*keys: str) -> dict[str, Any]:
    """Schema of a list that server-side apply merges item by item, by these keys."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


SET_LIST: dict[str, Any] = {"x-kubernetes-list-type": "set"}
ATOMIC_LIST: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """CEL rules of a model, each with the message a user reads when it is broken."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": said} for rule, said in pairs]}


MIN_BELOW_MAX = (
    "!has(self.min) || !has(self.max) || double(self.min) <= double(self.max)",
    "min may not be above max",
)
"""A rule of models with an inclusive range of decimal strings."""


class Model(BaseModel):
    """Base of everything on the wire: frozen, camelCase, documented by docstrings."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    def to_wire(self) -> dict[str, Any]:
        """The JSON object the API server stores: camelCase, without absent fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Metadata(Model):
    """The part of ObjectMeta that decisions may look at."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[dict[str, Any], ...] = ()


class ConditionStatus(StrEnum):
    """The three values of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One metav1.Condition."""

    model_config = ConfigDict(
        json_schema_extra={
            # As metav1 has it: those we fill in by default must be written all the same.
            "required": ["lastTransitionTime", "message", "reason", "status", "type"]
        }
    )

    type: Annotated[str, Field(max_length=316, pattern=r"^[A-Za-z]([A-Za-z0-9]*)$")]
    """What this condition is about."""
    status: ConditionStatus
    """True, False or Unknown."""
    reason: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z]([A-Za-z0-9]*)$")]
    """Why, as one CamelCase word."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """Why, as a sentence for a person."""
    observed_generation: int = 0
    """The metadata.generation this was decided on."""
    last_transition_time: Timestamp = ""
    """When the status last changed."""


Conditions = Annotated[
    tuple[Condition, ...], Field(max_length=16, json_schema_extra=map_list("type"))
]


class Status(Model):
    """What every kind's status begins with."""

    observed_generation: int = -1
    """The metadata.generation the whole status was decided on; -1 before the first look."""
    conditions: Conditions = ()
    """What is true of this object now; see the conditions table in the reference."""


class Ref(Model):
    """A reference to an object of a known kind in the same namespace."""

    name: Name
    """Its metadata.name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KindNames:
    """How a kind is called, and what `kubectl get` shows of it."""

    kind: str
    plural: str
    short: str
    columns: tuple[Column, ...]
    max_name: int = 63
    scale: dict[str, str] = field(default_factory=dict)
    selectable: tuple[str, ...] = ()
    """Paths that `kubectl get --field-selector` may name."""
    record: bool = False
    """Written once by the operator and never changed."""


class Resource(Model):
    """A whole object of one of our kinds."""

    names: ClassVar[KindNames]

    api_version: str = API_VERSION
    kind: str = ""
    metadata: Metadata

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Self:
        """Read a stored object. Raises pydantic.ValidationError on one our schema would refuse."""
        return cls.model_validate(body)
