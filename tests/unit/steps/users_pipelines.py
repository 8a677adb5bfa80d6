"""Pipelines as users write them, compiled for the tests that run them."""
# mypy: disable-error-code="untyped-decorator, no-any-return"

from pathlib import Path
from typing import Any

from kfp import compiler, dsl


def _lightweight(function: Any) -> Any:
    return dsl.component(function, base_image="python:3.11", install_kfp_package=False)


@_lightweight
def add(one: int, other: int) -> int:
    """Add."""
    return one + other


@_lightweight
def say(text: str) -> str:
    """Say something."""
    print(f"saying {text}")  # noqa: T201
    return text


@_lightweight
def fail(text: str) -> str:
    """Fail with a message."""
    raise ValueError(f"no good: {text}")


@_lightweight
def vanish() -> str:
    """End as the kernel ends what is too large."""
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
    return ""


@_lightweight
def write_result(uri: str) -> str:
    """Write something that is no result."""
    from pathlib import Path

    Path(uri.removeprefix("file://")).write_text("{}")
    return ""


@dsl.component(base_image="python:3.11")
def with_kfp(one: int) -> int:
    """As kfp compiles it by default: it installs kfp first."""
    return one


@dsl.component(base_image="python:3.11", packages_to_install=["polars==1.0", "requests"])
def with_packages(one: int) -> int:
    """Needs more than the image has."""
    return one


@dsl.container_component
def container() -> dsl.ContainerSpec:
    """Any program in any image."""
    return dsl.ContainerSpec(image="busybox", command=["true"])


@dsl.pipeline(name="sums")
def sums(one: int, text: str = "hello") -> int:
    """Two tasks, one after the other."""
    first = add(one=one, other=1)
    say(text=text)
    return add(one=first.output, other=1).output


@dsl.pipeline(name="branches")
def branches(one: int) -> None:
    """A loop, a branch that is taken and one that is not."""
    with dsl.ParallelFor([1, 2, 3]) as item:
        add(one=item, other=one)
    with dsl.If(one == 1):
        say(text="one")
    with dsl.Else():
        fail(text="never")


@dsl.pipeline(name="fails")
def fails(text: str) -> None:
    """The second task fails, the third never runs."""
    first = say(text=text)
    second = fail(text=first.output)
    say(text=second.output).set_display_name("after")


@dsl.pipeline(name="vanishes")
def vanishes() -> None:
    """A task is killed."""
    vanish()


@dsl.pipeline(name="silent")
def silent(tidemill_result_uri: str) -> None:
    """Takes the place of a result, and leaves none."""
    say(text=tidemill_result_uri)


@dsl.pipeline(name="babbles")
def babbles(tidemill_result_uri: str) -> None:
    """Leaves something else."""
    write_result(uri=tidemill_result_uri)


@dsl.pipeline(name="publishes")
def publishes(one: int, tidemill_result_uri: str) -> None:
    """Says what it measured, by our component."""
    from tidemill.pipelines.components import publish_result

    publish_result(metrics={"answer": 0.42}, tidemill_result_uri=tidemill_result_uri)


@dsl.pipeline(name="installs-kfp")
def installs_kfp(one: int) -> None:
    """As kfp compiles it by default."""
    with_kfp(one=one)


@dsl.pipeline(name="installs")
def installs(one: int) -> None:
    """Needs more than the image has."""
    with_packages(one=one)


@dsl.pipeline(name="contains")
def contains() -> None:
    """Needs a container."""
    container()


def compiled(pipeline: Any, directory: Path) -> Path:
    """A pipeline's compiled YAML."""
    file = directory / f"{pipeline.name}.yaml"
    compiler.Compiler().compile(pipeline, str(file))
    return file
