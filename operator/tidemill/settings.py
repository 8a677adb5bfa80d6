"""Every flag and variable of the operator, frozen and documented; the sole reader of os.environ."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from tidemill import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the admin has set. Each field is the variable TIDEMILL_<FIELD>, in upper case."""

    artifact_root: str = "s3://artifacts/tidemill"
    """Prefix of the artifact store; everything lies under <root>/<cluster uid>/<namespace>/."""
    artifact_secret: str = "tidemill-artifacts"
    """Name of the Secret each namespace must have: its credential for its own prefix."""
    default_engine: str = "Job"
    """Job or Kubeflow."""
    kubeflow_url: str = ""
    """Base URL of the Kubeflow Pipelines API server; empty: only the Job engine."""
    kubeflow_namespace: str = ""
    """Namespace of experiments in multi-user Kubeflow; empty: the execution's own namespace."""
    kubeflow_ca: str = ""
    """File with the CA certificates of that server; empty: the system's."""
    prometheus_url: str = ""
    """Base URL of Prometheus; empty: analysis and monitoring answer NoData."""
    openlineage_url: str = ""
    """Base URL of an OpenLineage endpoint: refreshes are told to <url>/api/v1/lineage; empty: not
    told."""
    openlineage_token: str = field(default="", repr=False)
    """Bearer token for it; empty: none is sent."""
    scrape_seconds: int = 15
    """Prometheus' scrape interval for model servers."""
    steps_image: str = f"tidemill/steps:{__version__}"
    """Image of data and training steps."""
    serving_image: str = f"tidemill/serving:{__version__}"
    """Image of the built-in model server."""
    image_pull_policy: str = "IfNotPresent"
    """Pull policy of the pods we make."""
    namespace: str = ""
    """Watch only this namespace; empty: all."""
    lease_namespace: str = "tidemill-system"
    """Where the leader's Lease lives."""
    lease_name: str = "tidemill-operator"
    """Its name."""
    identity: str = ""
    """Who holds the Lease; the pod's name. Empty: the host name."""
    workers: int = 8
    """How many passes may run at once."""
    resync_seconds: int = 600
    """How often every object is looked at though nothing changed."""
    metrics_port: int = 8080
    """Port of /metrics, /healthz and /readyz."""
    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read the variables. Raises ValueError that names the variable and what it may be."""
        env = os.environ if environment is None else environment
        given: dict[str, str | int] = {}
        for item in fields(cls):
            name = f"TIDEMILL_{item.name.upper()}"
            if name not in env:
                continue
            value = env[name]
            if item.type in (int, "int"):
                if not value.isdigit():
                    raise ValueError(f"{name} is {value!r}; it must be a whole number")
                given[item.name] = int(value)
            else:
                given[item.name] = value
        settings = cls(**given)  # type: ignore[arg-type]
        if settings.default_engine not in ("Job", "Kubeflow"):
            raise ValueError(
                f"TIDEMILL_DEFAULT_ENGINE is {settings.default_engine!r};"
                " it must be Job or Kubeflow"
            )
        return settings
