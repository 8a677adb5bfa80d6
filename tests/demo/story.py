"""The story, chapter by chapter: from three months of flights to a model replaced by itself."""

import json
import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import obstore
import yaml
from obstore.store import S3Store

from tests.demo import bad_models, samples
from tests.demo.console import Narrator, StoryError, wait_for
from tests.demo.kubectl import Kubectl, condition
from tests.demo.traffic import Answer, Target, Traffic, request_of, rows_of, shares
from tests.demo.weights import agrees

DATASET, JOB, DEPLOYMENT = "flights", "delays", "delays"
RATE = 100.0


@dataclass
class Span:
    """A time in which the candidate had one weight."""

    rollout: str
    revision: str
    weight: int
    start: float
    end: float = 0.0


@dataclass
class Story:
    """What the chapters share."""

    out: Narrator
    kubectl: Kubectl
    tides: S3Store
    artifacts: S3Store
    months: dict[str, Path]
    gateway: str
    host: str
    traffic: Traffic | None = None
    spans: list[Span] = field(default_factory=list)
    rollouts: list[tuple[str, float, float]] = field(default_factory=list)

    # -- looking ---------------------------------------------------------------------------

    def dataset(self) -> dict[str, Any]:
        """The Dataset as it is now."""
        return self.kubectl.get("dataset", DATASET) or {}

    def job(self) -> dict[str, Any]:
        """The TrainingJob as it is now."""
        return self.kubectl.get("trainingjob", JOB) or {}

    def deployment(self) -> dict[str, Any]:
        """The ModelDeployment as it is now."""
        return self.kubectl.get("modeldeployment", DEPLOYMENT) or {}

    def status(self, body: dict[str, Any], *path: str) -> Any:
        """Something in a status; None if any part of the way is missing."""
        here: Any = body.get("status") or {}
        for key in path:
            here = (here or {}).get(key)
        return here

    def wait(
        self,
        what: str,
        look: Callable[[], Any],
        seconds: float,
        note: Callable[[], str] | None = None,
    ) -> Any:
        """Wait for something to be seen, showing what is going on meanwhile."""
        with self.out.working(what) as update:
            return wait_for(
                look, what, seconds, on_wait=(lambda: update(note(), None)) if note else None
            )

    def features(self) -> list[str]:
        """The features the Dataset names."""
        return list(samples.read()["Dataset"]["spec"]["columns"]["features"])

    def event_time(self) -> str:
        """The event time column."""
        return str(samples.read()["Dataset"]["spec"]["columns"]["eventTime"])

    # -- doing -----------------------------------------------------------------------------

    def upload(self, *months: str) -> None:
        """Put months of flights into the bucket."""
        for month in months:
            path = self.months[month]
            obstore.put(self.tides, f"flights/{path.name}", path)
        self.out.say(f"uploaded to s3://tides/flights/: {', '.join(months)}")

    def refresh(self) -> None:
        """Ask for the refresh that the schedule would bring at five in the morning."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        request = f"tidemill.dev/request=refresh@{now}"
        self.out.say("rather than wait for five in the morning:")
        self.out.show(f"kubectl annotate dataset {DATASET} --overwrite {request}")
        self.kubectl.run("annotate", "dataset", DATASET, "--overwrite", request)

    def running(self) -> str:
        """What the newest unfinished execution is doing, in a few words."""
        for body in reversed(self.kubectl.list("pipelineexecutions")):
            status = body.get("status") or {}
            if status.get("state") in ("Pending", "Running"):
                tasks = [
                    f"{task['name']} {task['state'].lower()}" for task in status.get("tasks", ())
                ]
                doing = ", ".join(tasks) or str(status.get("state", "")).lower()
                return f"{body['metadata']['name']}: {doing}"
        return ""

    # -- chapters --------------------------------------------------------------------------

    def first_data(self) -> None:
        """January to March are checked and versioned."""
        self.out.chapter("January to March arrive; the Dataset checks and versions them")
        self.upload("2013-01", "2013-02", "2013-03")
        self.out.say(
            "the samples in manifests/samples/ are applied with these times, no other change:"
        )
        patches = {kind: patch for kind, patch in samples.PATCHES.items() if patch}
        self.out.show(yaml.safe_dump(patches, sort_keys=False, default_flow_style=None))
        for body in samples.patched().values():
            self.out.show(self.kubectl.apply(body, "--server-side", "--field-manager=demo"))
        version = self.wait(
            "reading, profiling and checking",
            lambda: self.status(self.dataset(), "accepted", "name"),
            300,
            self.running,
        )
        record = self.kubectl.get("datasetversion", version) or {}
        spec = record["spec"]
        self.out.say(
            f"{version}: {spec['rows']:,} rows, {spec['window']['start'][:10]} to "
            f"{spec['window']['end'][:10]}, {len(spec['columns'])} columns, "
            f"{spec['positiveRows'] / max(1, spec['labelledRows']):.1%} late; "
            f"{condition(record, 'Accepted').get('message', '')}"
        )

    def first_model(self) -> None:
        """A model is trained and judged."""
        self.out.chapter("A first model is trained and must pass its gates")
        name = self.wait(
            "training and judging",
            lambda: self.status(self.job(), "approved", "name"),
            600,
            self.running,
        )
        self.tell_model(name)

    def tell_model(self, name: str) -> None:
        """What a ModelVersion's record says."""
        record = self.kubectl.get("modelversion", name) or {}
        spec = record["spec"]
        rows = []
        for item in spec["metrics"]:
            rows.append(
                [
                    item["metric"],
                    item.get("slice") or "all",
                    f"{item['samples']:,}",
                    item.get("value", "-"),
                    item.get("champion", "-"),
                    f"{item.get('changeLow', '')} .. {item.get('changeHigh', '')}",
                    item.get("trivial", "-"),
                ]
            )
        self.out.table(
            f"{name}: {spec['algorithm']}, {spec['featureCount']} features, judged on unseen rows",
            ["metric", "slice", "rows", "model", "champion", "change (95 %)", "trivial"],
            rows,
        )
        for gate in (record.get("status") or {}).get("gates", ()):
            self.out.say(f"gate {gate['name']}: {gate['verdict']}: {gate['message']}")
        approved = condition(record, "Approved")
        self.out.say(f"Approved={approved.get('status')}: {approved.get('message', '')}")

    def first_prediction(self) -> None:
        """It is served and asked."""
        self.out.chapter("The model is served behind the gateway")

        def ready() -> bool | None:
            body = self.deployment()
            good = condition(body, "Ready").get("status") == "True"
            return True if good and self.status(body, "stable", "weight") == 100 else None

        self.wait("model server starting", ready, 300, self.rollout_note)
        row = next(rows_of([self.months["2013-04"]], self.features(), self.event_time()))
        body = request_of(row, self.event_time(), 0)
        address = f"{self.gateway}/v2/models/{DEPLOYMENT}/infer"
        heads = ["-H", f"Host: {self.host}", "-H", "Content-Type: application/json"]
        command = ["curl", "-sS", *heads, "-d", json.dumps(body), address]

        def answered() -> str | None:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            return done.stdout if '"probability"' in done.stdout else None

        answer = self.wait("first prediction", answered, 60)
        self.out.show(shlex.join(command))
        self.out.show(answer)

    def rollout_note(self) -> str:
        """Where the rollout stands, in a few words."""
        body = self.deployment()
        rollout = self.status(body, "rollout")
        candidate = self.status(body, "candidate")
        if rollout and candidate:
            return (
                f"{candidate['modelVersion']} at {candidate['weight']} %, step "
                f"{rollout.get('step', 0) + 1}: {rollout.get('verdict') or rollout.get('phase')} "
                f"{rollout.get('message', '')}"
            )
        return str(condition(body, "Ready").get("message", ""))

    def start_traffic(self) -> None:
        """Flights of the same season first: nothing drifts."""
        self.out.chapter(f"Live traffic: {RATE:.0f} requests a second through the gateway")
        winter = [self.months[name] for name in ("2013-01", "2013-02", "2013-03")]
        self.traffic = Traffic(
            Target(self.gateway, self.host, DEPLOYMENT),
            RATE,
            winter,
            self.features(),
            self.event_time(),
        )
        self.out.say("flights of January to March, as the model knows them")
        judged = self.wait(
            "one window of the season the model knows",
            lambda: (
                (found := self.status(self.deployment(), "monitor", "verdict"))
                not in (None, "", "NoData")
                and found
                or None
            ),
            300,
        )
        self.out.say(f"monitor: {judged}")
        self.tell_drift()
        if judged != "Successful":
            raise StoryError(f"the model's own season was judged {judged}, not Successful")

    def tell_drift(self) -> None:
        """The monitor's last window as a table."""
        monitor = self.status(self.deployment(), "monitor") or {}
        rows = [
            [item["feature"], item["distance"], item["bound"], "yes" if item["drifted"] else ""]
            for item in monitor.get("features", ())
        ]
        self.out.table(
            f"Jensen-Shannon distance to the training data, {monitor.get('samples', 0):,} requests",
            ["feature", "distance", "bound", "drifted"],
            rows,
        )

    def drift(self) -> None:
        """The season changes."""
        self.out.chapter("The season changes: flights of April, May and June")
        if self.traffic is None:
            raise StoryError("no traffic is running")
        self.traffic.switch([self.months[name] for name in ("2013-04", "2013-05", "2013-06")])
        episode = self.wait(
            "watching the input",
            lambda: self.status(self.deployment(), "episode"),
            600,
            lambda: (
                f"{self.status(self.deployment(), 'monitor', 'consecutive') or 0} drifted windows"
            ),
        )
        self.tell_drift()
        self.out.say(
            f"drift is confirmed: {', '.join(episode['features'])}; wanted are labelled flights "
            f"after {episode['dataAfter']}"
        )
        pending = self.wait(
            "the TrainingJob takes it up", lambda: self.status(self.job(), "pending"), 60
        )
        for item in pending:
            self.out.say(f"TrainingJob: {item['cause']} is {item['reason']} since {item['since']}")

    def retrain(self) -> None:
        """The labels of those months arrive; the rest happens by itself."""
        self.out.chapter("The labels of April to June arrive; the model is trained again by itself")
        before = self.status(self.deployment(), "stable", "modelVersion")
        self.upload("2013-04", "2013-05", "2013-06")
        self.refresh()
        run = self.wait(
            "a new run",
            lambda: self.status(self.job(), "active") or None,
            240,
            self.running,
        )
        self.out.say(f"run {run['name']}: cause {run['cause']}, data {run['datasetVersion']}")
        name = self.wait(
            "training, and judging both models on the same unseen rows",
            lambda: (
                (found := self.status(self.job(), "approved", "name")) != before and found or None
            ),
            600,
            self.running,
        )
        self.tell_model(name)
        self.canary(name)

    def canary(self, model: str) -> None:
        """A model takes over step by step while its traffic is judged."""
        self.out.chapter(f"{model} takes over by canary")
        ended = self.follow_rollout(model, 900)
        self.out.say(f"{ended['outcome']} ({ended['reason']}): {ended.get('message', '')}")
        self.tell_spans()
        if ended["outcome"] != "Promoted":
            raise StoryError(f"{model} was not promoted: {ended['message']}")

    def follow_rollout(self, model: str, seconds: float) -> dict[str, Any]:
        """Watch one rollout to its end, writing down when which weight was in force."""
        began = time.time()
        open_span: Span | None = None
        said = ""

        def look() -> dict[str, Any] | None:
            nonlocal open_span, said
            body = self.deployment()
            candidate, rollout = self.status(body, "candidate"), self.status(body, "rollout")
            weight = candidate["weight"] if candidate and rollout else 0
            settled = weight if rollout and rollout.get("weightSince") else 0
            if open_span and settled != open_span.weight:
                open_span.end = time.time() - 1
                open_span = None
            if settled and open_span is None:
                open_span = Span(model, candidate["revision"], settled, time.time() + 2)
                self.spans.append(open_span)
            note = (
                rollout and f"{weight} %: {rollout.get('verdict', '')} {rollout.get('message', '')}"
            )
            if note and note != said and rollout.get("message"):
                said = note
                self.out.say(note)
            last = self.status(body, "lastRollout")
            done = last and last["modelVersion"] == model and not rollout
            return last if done else None

        with self.out.working("rollout") as update:
            ended = wait_for(
                look,
                f"the rollout of {model}",
                seconds,
                pause=0.5,
                on_wait=lambda: update(said, None),
            )
        if open_span is not None:
            open_span.end = time.time() - 1
        self.rollouts.append((model, began, time.time()))
        return ended

    def tell_spans(self) -> None:
        """Wanted and measured weights of the last rollout, and what failed meanwhile."""
        if self.traffic is None or not self.rollouts:
            raise StoryError("no rollout was watched under traffic")
        model, began, ended = self.rollouts[-1]
        spans = [span for span in self.spans if span.rollout == model and span.end > span.start]
        rows = []
        for span in spans:
            answers = self.traffic.between(span.start, span.end)
            hits = shares(answers)[span.revision]
            good, low, high = agrees(hits, len(answers), span.weight, len(spans))
            rows.append(
                [
                    f"{span.weight} %",
                    f"{100 * hits / max(1, len(answers)):.2f} %",
                    f"{len(answers):,}",
                    f"{low:.1f} .. {high:.1f} %",
                    "yes" if good else "NO",
                ]
            )
        self.out.table(
            "share of requests the candidate answered, as the clients saw it",
            ["wanted", "measured", "requests", "99 % bounds", "agrees"],
            rows,
        )
        everything = self.traffic.between(began, ended)
        failed = self.traffic.failed(began, ended)
        rate = len(everything) / max(1.0, ended - began)
        self.out.say(
            f"{len(everything):,} requests at {rate:.0f} a second meanwhile, {len(failed)} failed, "
            f"p99 {quantile(everything, 0.99) * 1000:.0f} ms"
        )
        if failed:
            raise StoryError(f"{len(failed)} requests failed during the rollout: {failed[:3]}")
        if any(row[-1] == "NO" for row in rows):
            raise StoryError("a measured weight does not agree with the wanted one")

    def losing_challenger(self) -> None:
        """A challenger that is no better is refused by its gate."""
        self.out.chapter("July to September arrive; a challenger that is no better is refused")
        champion = self.status(self.deployment(), "stable", "modelVersion")
        runs = len(self.status(self.job(), "history") or ())
        newest = (self.status(self.job(), "history") or [{}])[0].get("name")
        self.upload("2013-07", "2013-08", "2013-09")
        self.refresh()
        past = self.wait(
            "a run on July to September",
            lambda: (
                (found := (self.status(self.job(), "history") or [{}])[0]).get("name") != newest
                and found
                or None
            ),
            600,
            self.running,
        )
        self.tell_model(past["name"])
        self.out.say(f"{past['outcome']}: {past.get('message', '')} ({runs + 1} runs so far)")
        now = self.status(self.deployment(), "stable", "modelVersion")
        if past["outcome"] != "Refused" or now != champion:
            raise StoryError(f"the challenger was {past['outcome']}; {now} serves")
        ready = condition(self.job(), "Ready")
        self.out.say(f"{champion} keeps serving; the TrainingJob stays Ready={ready.get('status')}")

    def corrupted_month(self) -> None:
        """A corrupted month is quarantined and causes no retrain."""
        self.out.chapter(
            "A corrupted month arrives; it is quarantined and nothing is trained on it"
        )
        newest = self.kubectl.list("datasetversions")[-1]["metadata"]["name"]
        good = self.status(self.dataset(), "accepted", "name")
        runs = [past["name"] for past in self.status(self.job(), "history") or ()]
        self.upload("2014-01-corrupted")
        self.refresh()
        latest = self.wait(
            "the month is read and checked",
            lambda: (
                (found := self.status(self.dataset(), "latest", "name")) not in (newest, good)
                and found
                or None
            ),
            300,
            self.running,
        )
        record = self.wait(
            "its verdict",
            lambda: (
                (found := self.kubectl.get("datasetversion", latest))
                and condition(found, "Accepted")
                and found
                or None
            ),
            60,
        )
        for violation in record["spec"].get("violations", ()):
            self.out.say(f"{violation['severity']} {violation['name']}: {violation['message']}")
        accepted = condition(record, "Accepted")
        self.out.say(f"{latest}: Accepted={accepted['status']} ({accepted['reason']})")
        body = self.wait(
            "the TrainingJob has looked",
            lambda: self.job() if not self.status(self.job(), "active") else None,
            120,
        )
        after = [past["name"] for past in self.status(body, "history") or ()]
        if accepted["status"] != "False" or after != runs:
            raise StoryError("a corrupted month was accepted or trained on")
        if self.status(self.dataset(), "accepted", "name") != good:
            raise StoryError("the last good version is not in use any more")
        self.out.say(f"{good} stays in use; no run was started")

    def bad_model(self) -> None:
        """A bad model, deployed by apply, is rolled back while clients see no failed request."""
        self.out.chapter("Somebody deploys a model that is far too slow")
        stable = self.status(self.deployment(), "stable")
        record = self.kubectl.get("modelversion", stable["modelVersion"]) or {}
        bundle = bad_models.slow_bundle(self.artifacts, record["spec"]["bundle"]["uri"])
        patch = {"model": {"trainingJobRef": None, "bundle": bundle}}
        self.out.show(
            f"kubectl patch md {DEPLOYMENT} --type=merge -p '{json.dumps({'spec': patch})}'"
        )
        self.kubectl.patch("modeldeployment", DEPLOYMENT, {"spec": patch})
        candidate = self.wait(
            "the candidate",
            lambda: self.status(self.deployment(), "candidate", "modelVersion"),
            180,
        )
        ended = self.follow_rollout(candidate, 600)
        self.out.say(f"{ended['outcome']} ({ended['reason']}): {ended['message']}")
        self.tell_spans()
        body = self.deployment()
        if ended["outcome"] != "RolledBack":
            raise StoryError(f"the slow model ended {ended['outcome']}")
        if self.status(body, "stable", "revision") != stable["revision"]:
            raise StoryError("the stable revision changed")
        self.out.say("back to what Git said before:")
        source = {"model": {"bundle": None, "trainingJobRef": {"name": JOB}}}
        self.kubectl.patch("modeldeployment", DEPLOYMENT, {"spec": source})
        self.wait(
            "Ready again",
            lambda: (
                (now := self.deployment())
                and condition(now, "Ready").get("status") == "True"
                and not condition(now, "Stalled")
                and self.status(now, "stable", "revision") == stable["revision"]
                or None
            ),
            120,
        )

    def ending(self) -> None:
        """What there is now, and where to look further."""
        self.out.chapter("What there is now")
        if self.traffic is not None:
            self.traffic.stop()
        for kinds in ("datasets,tj,md", "dsv,mv,pex"):
            self.out.show(self.kubectl.run("get", kinds))
        self.out.say("look further:")
        self.out.show(
            f"export KUBECONFIG={self.kubectl.kubeconfig}\n"
            f"kubectl -n {self.kubectl.namespace} describe md {DEPLOYMENT}\n"
            "kubectl explain modeldeployment.spec.rollout"
        )


def quantile(answers: list[Answer], share: float) -> float:
    """A quantile of the time to answer, in seconds."""
    times = sorted(answer.seconds for answer in answers)
    return times[int(share * (len(times) - 1))] if times else 0.0


CHAPTERS: tuple[Callable[[Story], None], ...] = (
    Story.first_data,
    Story.first_model,
    Story.first_prediction,
    Story.start_traffic,
    Story.drift,
    Story.retrain,
    Story.losing_challenger,
    Story.corrupted_month,
    Story.bad_model,
    Story.ending,
)
"""In the order they are told."""
