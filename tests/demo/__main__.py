"""`python -m tests.demo`: brings up what is needed, tells the story, says how to clean up."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.demo.console import Narrator, StoryError
from tests.demo.stage import set_stage
from tests.demo.story import CHAPTERS


def main() -> int:
    """Tell the story; 0 if it went as told."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--kubeconfig", default="", help="use this cluster, not one of our own")
    parser.add_argument("--context", default="", help="the kubeconfig's context to use")
    arguments = parser.parse_args()
    out = Narrator()
    story = None
    with tempfile.TemporaryDirectory(prefix="tidemill-flights-") as scratch:
        try:
            story = set_stage(
                out, Path(scratch), kubeconfig=arguments.kubeconfig, context=arguments.context
            )
            for chapter in CHAPTERS:
                chapter(story)
        except (StoryError, KeyboardInterrupt) as problem:
            out.console.print(f"\n[bold red]{out.clock()}  {problem or 'interrupted'}[/]")
            if story is not None:
                out.show(story.kubectl.run("get", "datasets,tj,md,dsv,mv,pex,pods", check=False))
                out.show(story.kubectl.run("describe", "datasets,tj,md", check=False))
            return 1
        finally:
            if story is not None and story.traffic is not None:
                story.traffic.stop()
    out.say(
        f"done in {int(time.monotonic() - out.started) // 60} minutes; clean up: make cluster-down"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
