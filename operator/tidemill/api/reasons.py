"""Condition types and reasons: what each means, and its polarity.

The table in the reference is made from this file; a law test refuses a reason that is used and
not listed here.
"""

from enum import StrEnum


class ConditionType(StrEnum):
    """What a condition is about. All but Reconciling and Stalled are positive: True is good."""

    READY = "Ready"
    """The object does its work."""
    RECONCILING = "Reconciling"
    """A change of spec is being carried out; there only while True."""
    STALLED = "Stalled"
    """It cannot go on by itself; there only while True."""
    SOURCE_AVAILABLE = "SourceAvailable"
    """Dataset: the source could be read."""
    FRESH = "Fresh"
    """Dataset: the source has changed within freshWithinSeconds."""
    ACCEPTED = "Accepted"
    """DatasetVersion and Dataset: the contract is kept. TrainingJob: the spec can be acted on."""
    TRAINED = "Trained"
    """TrainingJob: the last run made a model."""
    APPROVED = "Approved"
    """ModelVersion and TrainingJob: all blocking gates are Successful."""
    AVAILABLE = "Available"
    """ModelDeployment: stable has ready pods."""
    ROLLOUT_COMPLETE = "RolloutComplete"
    """ModelDeployment: no rollout is under way, and the last one was not refused."""
    MONITORED = "Monitored"
    """ModelDeployment: live input is being compared with the baseline."""
    ROUTED = "Routed"
    """ModelDeployment: the Gateway has accepted the route."""
