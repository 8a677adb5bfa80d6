"""What an operator is given to do while it is disturbed, in two moves of a user."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.stage import Stage

QUIET_SECONDS = 0.3


@dataclass(frozen=True, kw_only=True)
class Workload:
    """All that has to be known to run it; every function is given the stage and a namespace."""

    kinds: tuple[str, ...]
    """What it leaves behind."""
    surround: Callable[[Stage], None]
    """Play what it leans on besides the engine, before the operator starts."""
    begin: Callable[[Stage, str], None]
    """The user's first move."""
    may_go_on: Callable[[Stage, str], bool]
    """Whether it is time for the second."""
    go_on: Callable[[Stage, str], None]
    is_over: Callable[[Stage, str], bool]

    def is_settled(self, stage: Stage, namespace: str) -> bool:
        """Whether it is over and the operator has nothing more to write."""
        stage.background.check()
        if not self.is_over(stage, namespace):
            return False
        last, operator = stage.proxy.writes()[-1], stage.started[-1]
        quiet = time.monotonic() - last.at > QUIET_SECONDS
        idle = operator.metric("tidemill_operator_queue_depth") == 0.0
        return quiet and idle and operator.alive  # asked last: a dead one seems idle
