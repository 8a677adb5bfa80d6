"""Events: the story `kubectl describe` tells of an object.

The same line about the same object is told once in ten minutes, however often it happens.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from tidemill.adapters.apiserver import ApiServer
from tidemill.api.base import GROUP
from tidemill.core.identity import stable_hash
from tidemill.core.plan import Body, Event
from tidemill.errors import TidemillError

logger = logging.getLogger(__name__)

REPORTING_CONTROLLER = f"{GROUP}/operator"
QUIET_SECONDS = 600.0
_REMEMBERED = 5_000
_MAX_NOTE = 1024
_MAX_NAME = 253


class Storyteller:
    """Writes Events. A line that cannot be written is lost: the status says it all."""

    def __init__(
        self,
        api: ApiServer,
        instance: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._instance = instance[:128]
        self._clock = clock
        self._told: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    async def tell(self, body: Body, event: Event) -> None:
        """Write one Event about an object, unless it was told a short while ago."""
        line = (body["metadata"]["uid"], event.reason, stable_hash(event.message, 16))
        now = self._clock()
        if now - self._told.get(line, -QUIET_SECONDS) < QUIET_SECONDS:
            return
        self._told.pop(line, None)
        self._told[line] = now
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        try:
            await self._api.create(to_body(body, event, self._instance, datetime.now(UTC)))
        except TidemillError as error:
            logger.info("an Event could not be written: %s", error)


def to_body(about: Body, event: Event, instance: str, now: datetime) -> Body:
    """An events.k8s.io/v1 Event about an object."""
    metadata = about["metadata"]
    stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    suffix = stable_hash([metadata["uid"], event.reason, event.message, stamp], 16)
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][: _MAX_NAME - 17]}.{suffix}",
            "namespace": metadata["namespace"],
        },
        "eventTime": stamp,
        "reportingController": REPORTING_CONTROLLER,
        "reportingInstance": instance,
        "action": "Reconcile",
        "reason": event.reason,
        "note": event.message[:_MAX_NOTE],
        "type": "Warning" if event.warning else "Normal",
        "regarding": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
    }
