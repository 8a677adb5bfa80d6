"""An API server in memory: versions, uids, preconditions and a log of what was asked.

Only what the shell depends on; the same is tried on the real one in tests/integration.
"""

from collections.abc import Callable

from tidemill.adapters.apiserver import ApiServer, Connection
from tidemill.adapters.resources import ResourceType
from tidemill.core.plan import Body, Delete
from tidemill.errors import ConflictError, TerminalError, TidemillError, TransientError
from tidemill.shell.store import Key


class FakeApi(ApiServer):
    """Fills the part of ApiServer that the shell uses."""

    def __init__(self) -> None:
        super().__init__(_no_login)
        self.objects: dict[Key, Body] = {}
        self.asked: list[str] = []
        """Each request: verb, kind/name, and how."""
        self.failures: list[tuple[str, TidemillError]] = []
        """Verb and error: the next request of that verb fails so."""
        self.before: Callable[[str], None] = lambda verb: None
        """Called before each request: a chance to change the world under it."""
        self.version = 100

    def put(self, body: Body) -> Body:
        """Have an object, with uid and resourceVersion filled in."""
        self.version += 1
        metadata = {"uid": f"uid-{self.version}", **body["metadata"]}
        stored = {**body, "metadata": {**metadata, "resourceVersion": str(self.version)}}
        self.objects[_key(body)] = stored
        return stored

    async def get(self, type_: ResourceType, namespace: str, name: str) -> Body | None:
        self._ask("get", Key(type_.kind, namespace, name))
        return self.objects.get(Key(type_.kind, namespace, name))

    async def list_all(
        self, type_: ResourceType, namespace: str, selector: str, each: Callable[[Body], None]
    ) -> str:
        self._ask("list", Key(type_.kind, namespace, ""))
        for key, body in self.objects.items():
            if key.kind == type_.kind and namespace in ("", key.namespace):
                each(body)
        return str(self.version)

    async def apply(self, body: Body, *, force: bool) -> Body:
        self._ask("apply", _key(body), "force" if force else "no force")
        live = self.objects.get(_key(body))
        if live is not None:
            self._check(body, live)
            return self.put({**live, **body, "metadata": {**live["metadata"], **body["metadata"]}})
        return self.put(body)

    async def create(self, body: Body, *, fenced: bool = True) -> Body | None:
        self._ask("create", _key(body))
        if _key(body) in self.objects:
            return None
        return self.put({key: value for key, value in body.items() if key != "status"})

    async def replace(self, body: Body, subresource: str = "", *, fenced: bool = True) -> Body:
        self._ask("update", _key(body), subresource)
        live = self.objects.get(_key(body))
        if live is None:
            raise TerminalError("NotFound", f"{_key(body)} not found")
        self._check(body, live)
        if subresource:
            return self.put({**live, subresource: body[subresource]})
        return self.put(body)

    async def delete(self, what: Delete) -> Body | None:
        self._ask("delete", Key(what.kind, what.namespace, what.name))
        live = self.objects.get(Key(what.kind, what.namespace, what.name))
        if live is None:
            return None
        if live["metadata"]["uid"] != what.uid:
            raise ConflictError("another uid")
        del self.objects[_key(live)]
        return None

    async def set_finalizers(self, body: Body, wanted: list[str]) -> Body:
        self._ask("patch", _key(body), ",".join(wanted))
        live = self.objects[_key(body)]
        self._check(body, live)
        return self.put({**live, "metadata": {**live["metadata"], "finalizers": wanted}})

    def _ask(self, verb: str, key: Key, how: str = "") -> None:
        self.asked.append(f"{verb} {key.kind}/{key.name} {how}".strip())
        self.before(verb)
        for index, (failing, error) in enumerate(self.failures):
            if failing == verb:
                del self.failures[index]
                raise error

    @staticmethod
    def _check(body: Body, live: Body) -> None:
        for field in ("uid", "resourceVersion"):
            given = body["metadata"].get(field)
            if given is not None and given != live["metadata"][field]:
                raise ConflictError(f"{field} is {live['metadata'][field]}, not {given}")


def _key(body: Body) -> Key:
    metadata = body["metadata"]
    return Key(body["kind"], metadata.get("namespace", ""), metadata["name"])


def _no_login() -> Connection:
    raise TransientError("a fake needs no credential")
