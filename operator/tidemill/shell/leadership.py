"""Leadership: at most one operator writes.

A coordination.k8s.io Lease is held for 15 seconds and renewed every 2. When 10 have passed
without a renewal nothing is written any more: 5 before anyone else may take it. If the API server
was merely away, the Lease is still ours when it is back, and work goes on; if another has taken
it, leadership is lost and the process ends.

All times are measured on this process's monotonic clock; another holder's lease is over when it
has not changed for its whole duration while we watched. The Lease makes two leaders rare; uid and
resourceVersion on every write are the fence.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from tidemill.adapters.apiserver import ApiServer
from tidemill.adapters.resources import TYPES
from tidemill.core.plan import Body
from tidemill.errors import ConflictError, TidemillError, TransientError

logger = logging.getLogger(__name__)

LEASE_SECONDS = 15
RENEW_DEADLINE = 10.0
RETRY_SECONDS = 2.0
_REQUEST_SECONDS = 5.0


class Leadership:
    """One candidate for a Lease."""

    def __init__(
        self,
        api: ApiServer,
        namespace: str,
        name: str,
        identity: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # A container that is restarted in its pod keeps its host name, so that alone is no
        # identity: the old process may still be writing its last request.
        self.identity = f"{identity}_{uuid.uuid4().hex[:8]}"
        self._api = api
        self._namespace = namespace
        self._name = name
        self._clock = clock
        self._until = float("-inf")
        self._lease: Body | None = None
        self._seen: tuple[str, float] = ("", 0.0)
        self._trouble = ""
        self._holder = ""

    @property
    def held(self) -> bool:
        """Whether we lead now."""
        return self._clock() < self._until

    def fence(self) -> None:
        """Raise TransientError unless we lead: called before every write."""
        if not self.held:
            raise TransientError("this process does not lead", RETRY_SECONDS)

    async def acquire(self) -> None:
        """Wait until we lead."""
        while not await self._attempt():
            await asyncio.sleep(RETRY_SECONDS)
        logger.info("leading as %s", self.identity)

    async def keep(self) -> None:
        """Renew until another leads; then return."""
        held = True
        while held or self._holder in ("", self.identity):
            await asyncio.sleep(RETRY_SECONDS)
            await self._attempt()
            if self.held != held:
                held = self.held
                told = "leading again" if held else f"not renewed in {RENEW_DEADLINE:.0f} s"
                logger.warning("Lease %s/%s: %s", self._namespace, self._name, told)
        logger.error("leadership is lost to %s", self._holder)

    async def release(self) -> None:
        """Let the next one in at once."""
        if not self.held or self._lease is None:
            return
        self._until = float("-inf")
        lease = self._desired("", self._lease)
        lease["spec"]["leaseDurationSeconds"] = 1
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                await self._api.replace(lease, fenced=False)
        except (TidemillError, TimeoutError) as error:
            logger.warning("the Lease was not released: %s", error)

    async def _attempt(self) -> bool:
        """Try once to take or renew the Lease."""
        begun = self._clock()
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                ours = await self._take_or_renew()
        except ConflictError:
            self._lease = None  # somebody wrote it: read it again
            return False
        except (TidemillError, TimeoutError) as error:
            self._complain(str(error) or "the API server did not answer in time")
            return False
        self._trouble = ""
        if ours:
            self._holder = self.identity
            self._until = begun + RENEW_DEADLINE
        return ours

    async def _take_or_renew(self) -> bool:
        if self.held and self._lease is not None:
            self._lease = await self._api.replace(
                self._desired(self.identity, self._lease), fenced=False
            )
            return True
        lease = await self._api.get(TYPES["Lease"], self._namespace, self._name)
        if lease is None:
            self._lease = await self._api.create(self._desired(self.identity, None), fenced=False)
            return self._lease is not None
        self._holder = (lease.get("spec") or {}).get("holderIdentity") or ""
        if not self._is_free(lease):
            self._until = float("-inf")
            return False
        self._lease = await self._api.replace(self._desired(self.identity, lease), fenced=False)
        return True

    def _is_free(self, lease: Body) -> bool:
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") in (None, "", self.identity):
            return True
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, self._clock())
        waited = self._clock() - self._seen[1]
        return waited >= float(spec.get("leaseDurationSeconds") or LEASE_SECONDS)

    def _desired(self, holder: str, before: Body | None) -> Body:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = (before or {}).get("spec") or {}
        same = spec.get("holderIdentity") == holder
        transitions = int(spec.get("leaseTransitions") or 0)
        metadata = {"namespace": self._namespace, "name": self._name}
        if before is not None:
            metadata["uid"] = before["metadata"]["uid"]
            metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": LEASE_SECONDS,
                "acquireTime": spec.get("acquireTime", now) if same else now,
                "renewTime": now,
                "leaseTransitions": transitions + (1 if holder and before and not same else 0),
            },
        }

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:  # not the same line every two seconds
            logger.warning("Lease %s/%s: %s", self._namespace, self._name, trouble)
        self._trouble = trouble
