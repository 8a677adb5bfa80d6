"""Users' ConfigMaps: one live GET each, never cached, never watched."""

from tidemill.adapters.apiserver import ApiServer
from tidemill.adapters.resources import TYPES


class LiveConfigMaps:
    """ports.ConfigMaps over the API server."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api

    async def read(self, namespace: str, name: str) -> dict[str, str] | None:
        """Its data, or None if there is no such ConfigMap. Raises what ApiServer.get raises."""
        found = await self._api.get(TYPES["ConfigMap"], namespace, name)
        return None if found is None else dict(found.get("data") or {})
