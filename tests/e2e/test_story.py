"""The demo's story, told while the operator is killed at ten random moments, changes in nothing.

Each chapter is a test and raises StoryError when what it tells did not happen; no request may
fail and no measured weight may leave its bounds while it is told.
"""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.demo import samples
from tests.demo.disruption import OperatorKiller
from tests.demo.story import CHAPTERS, Story


def test_the_demo_changes_nothing_but_times_in_the_samples() -> None:
    before, after = samples.read(), samples.patched()

    assert {kind: samples.only_times(before[kind], after[kind]) for kind in after} == {
        "Dataset": [],
        "TrainingJob": [],
        "ModelDeployment": [],
    }


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.__name__)
def test_chapter(chapter: Callable[[Story], None], story: Story, killer: OperatorKiller) -> None:
    chapter(story)


def test_the_operator_was_killed_while_it_was_told(killer: OperatorKiller) -> None:
    assert len(killer.killed) >= 10


def test_no_run_was_started_twice(story: Story) -> None:
    history = story.status(story.job(), "history")

    causes = Counter(past["cause"] for past in history)
    assert causes == {"Spec": 1, "Drift": 1, "NewData": 1}, history


def test_every_execution_was_tried_once(story: Story) -> None:
    executions = story.kubectl.list("pipelineexecutions")

    attempts = {
        body["metadata"]["name"]: body["status"]["attempt"]["number"] for body in executions
    }
    assert set(attempts.values()) == {1}, attempts
    jobs = [body["metadata"]["name"] for body in story.kubectl.list("jobs")]
    assert sorted(jobs) == sorted(f"{name}-1" for name in attempts)


def test_nobody_was_answered_with_an_error_in_all_the_time(story: Story) -> None:
    # That none failed for any reason during the rollouts, the chapters have checked. Here a
    # gateway that could not be connected to (status 0) is the node's affair, not a model's.
    assert story.traffic is not None
    errors = [answer for answer in story.traffic.answers if answer.status not in (0, 200)]

    assert not errors, f"{len(errors)} of {len(story.traffic.answers)}: {errors[:5]}"
