"""Users' ConfigMaps, read one at a time."""

from tidemill.adapters.apiserver import ApiServer
from tidemill.adapters.resources import TYPES


class LiveConfigMaps:
    """Fills ports.ConfigMaps: each read is a request."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api

    async def read(self, namespace: str, name: str) -> dict[str, str] | None:
        """Its data, or None if there is no such ConfigMap."""
        body = await self._api.get(TYPES["ConfigMap"], namespace, name)
        return None if body is None else dict(body.get("data") or {})
