"""One stage for all end-to-end tests: a real node, the images, the chart and the data."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.console import Narrator
from tests.demo.disruption import OperatorKiller
from tests.demo.install import SYSTEM
from tests.demo.stage import set_stage
from tests.demo.story import Story

KILLS = 10


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The demo's stage, set once."""
    scratch: Path = tmp_path_factory.mktemp("flights")
    told = set_stage(Narrator(), scratch)
    yield told
    if told.traffic is not None:
        told.traffic.stop()


@pytest.fixture(scope="session")
def killer(story: Story) -> Iterator[OperatorKiller]:
    """Ends the operator by SIGKILL at ten random moments while the story is told."""
    system = story.kubectl.at(SYSTEM)
    disruption = OperatorKiller(system, times=KILLS, low=15, high=60, seed=7)
    disruption.start()
    yield disruption
    disruption.stop()
