"""What a step knows of itself: the image it runs in, and the code in that."""

import os

_LONGEST = 128


def step_image() -> str:
    """The image, as the Job that made the pod was told; empty where nobody says."""
    return os.environ.get("TIDEMILL_STEP_IMAGE", "")


def code_revision() -> str | None:
    """The revision of the code the image was built from (org.opencontainers.image.revision)."""
    return os.environ.get("TIDEMILL_REVISION", "")[:_LONGEST] or None
