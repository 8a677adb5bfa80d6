"""evaluate: candidate and champion on the same unseen rows, then the refit, then the bundle.

The test rows are those neither learned from. A champion that has may be stood in for by its
twin, the model that was judged before it was refitted; if that has seen them too, there is no
comparison, and the result says so. What serves is the candidate's settings fitted on all rows
with a final label, and the baseline profile is of exactly these rows.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from tidemill.api.documents.arguments import Champion, EvaluateArguments
from tidemill.api.documents.bundle import Bundle, Feature, GoldenExample, HeldOut, StoredFile
from tidemill.api.documents.profile import Profile
from tidemill.api.documents.results import Candidate, Evaluation
from tidemill.api.v1alpha1.datasetversion import DataWindow, StoredDocument
from tidemill.api.v1alpha1.modelversion import Measured
from tidemill.api.v1alpha1.trainingjob import MetricName
from tidemill.steps import predicates
from tidemill.steps.data import Version, opened
from tidemill.steps.failures import StepError, listing
from tidemill.steps.metrics import Scored, change_interval, measure
from tidemill.steps.models import export, fit, from_text, prepare
from tidemill.steps.objects import Store, join
from tidemill.steps.onnxmodel import OnnxModel
from tidemill.steps.profiles import Subject, predictions_profile, profile
from tidemill.steps.refresh import as_document
from tidemill.steps.schema import value_type
from tidemill.steps.tables import Rows, newest, oldest
from tidemill.steps.windows import Portion, naive, rfc3339

logger = logging.getLogger(__name__)

GOLDEN = 20
_MOST_MEASURED = 300


@dataclass(frozen=True, slots=True)
class _Rival:
    """The champion on the test rows."""

    name: str
    scored: Scored | None
    saw_test_rows: bool


@dataclass(frozen=True, slots=True)
class _Serving:
    """The model that is to serve, and the rows it learned from."""

    onnx: OnnxModel
    rows: Rows
    parity: float
    refitted: bool


@dataclass(frozen=True, slots=True)
class _Judgement:
    """All that is found out while the data are at hand."""

    judged: OnnxModel
    rival: _Rival | None
    metrics: tuple[Measured, ...]
    serving: _Serving
    baseline: Profile
    golden: tuple[GoldenExample, ...]


def evaluate(arguments: EvaluateArguments, scratch: Path) -> Evaluation:
    """Judge a candidate and write its bundle. Raises StepError."""
    store = Store()
    candidate = _candidate(store, arguments.candidate)
    spec, window = arguments.dataset_spec, arguments.window
    with opened(store, arguments.manifest, window, spec, scratch) as version:
        found = _judge(store, version, arguments, candidate)
    for item in found.metrics:
        logger.info("%s %s: %s on %d rows", item.metric, item.slice, item.value, item.samples)
    bundle, model = _publish(store, arguments, candidate, found)
    return Evaluation(
        bundle=store.publish(arguments.output, "bundle.json", as_document(bundle)),
        model=model,
        algorithm=candidate.algorithm,
        parameters=candidate.parameters,
        feature_count=candidate.feature_count,
        metrics=found.metrics,
        champion=None if found.rival is None else found.rival.name,
        champion_saw_test_rows=found.rival is not None and found.rival.saw_test_rows,
        parity=found.serving.parity,
        seed=candidate.seed,
        data_start=bundle.data_start,
        data_end=bundle.data_end,
    )


def _judge(
    store: Store, version: Version, arguments: EvaluateArguments, candidate: Candidate
) -> _Judgement:
    """Score both models on the test rows, and make the one that is to serve."""
    features = candidate.signature.features
    _check_features(version, features, arguments.candidate.uri)
    model = OnnxModel.load(store.read_document(candidate.model), features, candidate.model.uri)
    wanted = {item.name: item for item in (*arguments.dataset_spec.slices, *arguments.slices)}
    slices = tuple(predicates.parse(item, version.schema) for item in wanted.values())
    test = version.rows(Portion.TEST, features=features, slices=slices)
    if len(test) == 0:
        said = f"no test rows with a final label{_from(arguments.window.test_start)}; raise"
        raise StepError("TooFewRows", f"{said} split.testShare, or wait for labels to mature")
    threshold = candidate.signature.threshold
    challenger = Scored(test.labels, model.probabilities(test), threshold, test.weights)
    rival = _rival(store, version, arguments.champion)
    serving = _serving(version, candidate, model, arguments.refit)
    return _Judgement(
        judged=model,
        rival=rival,
        metrics=tuple(_measured(arguments, candidate, challenger, rival, test)),
        serving=serving,
        baseline=_baseline(version, serving),
        golden=_golden(serving.onnx, test),
    )


def _publish(
    store: Store, arguments: EvaluateArguments, candidate: Candidate, found: _Judgement
) -> tuple[Bundle, StoredDocument]:
    """Write the bundle's files; return the bundle, not yet written, and where the model lies."""
    output, serving = arguments.output, found.serving
    model = store.publish(output, "model.onnx", serving.onnx.data)
    profiled = store.publish(output, "profile.json", as_document(found.baseline))
    twin = store.publish(output, "twin.onnx", found.judged.data) if serving.refitted else None
    bundle = Bundle(
        model=_beside(model),
        twin=None if twin is None else _beside(twin),
        profile=_beside(profiled),
        signature=candidate.signature,
        golden=found.golden,
        metrics=tuple(item.to_wire() for item in found.metrics),
        data_start=rfc3339(oldest(serving.rows)) if serving.refitted else candidate.data_start,
        data_end=rfc3339(newest(serving.rows)) if serving.refitted else candidate.data_end,
        twin_data_end=candidate.data_end,
        held_out=_held_out(arguments.window),
        algorithm=candidate.algorithm,
        parameters=candidate.parameters,
        seed=candidate.seed,
        dataset_digest=arguments.dataset_digest,
        parity=serving.parity,
        created_at=arguments.now,
    )
    return bundle, model


def _held_out(window: DataWindow) -> HeldOut | None:
    """By hash: what the judged model has not learned from."""
    if window.hash is None:
        return None
    return HeldOut(columns=window.hash.columns, share=window.hash.test_share)


def _from(start: str | None) -> str:
    return "" if start is None else f" from {start} on"


def _beside(document: StoredDocument) -> StoredFile:
    return StoredFile(name=document.uri.rpartition("/")[2], digest=document.digest)


def _candidate(store: Store, document: StoredDocument) -> Candidate:
    try:
        return Candidate.model_validate_json(store.read_document(document))
    except ValidationError as error:
        said = f"{document.uri} is not a candidate: {error.errors()[0]['msg']}; train again"
        raise StepError("ModelUnreadable", said) from error


def _check_features(version: Version, features: tuple[Feature, ...], whose: str) -> None:
    """Raise MissingColumn or TypeMismatch if the data lack what a model takes."""
    for item in features:
        if item.name not in version.schema:
            said = f"{whose} takes {item.name}, which the data do not have; they have"
            raise StepError("MissingColumn", f"{said} {listing(list(version.schema))}")
        if value_type(version.schema[item.name]) is not item.type:
            said = f"{whose} takes {item.name} as a {item.type}, and the data have it as a"
            raise StepError("TypeMismatch", f"{said} {version.schema[item.name]}")


def _rival(store: Store, version: Version, champion: Champion | None) -> _Rival | None:
    """Score the champion, or its twin where it has seen the test rows itself."""
    if champion is None:
        return None
    try:
        bundle = Bundle.model_validate_json(store.read_document(champion.bundle))
    except ValidationError as error:
        said = f"{champion.bundle.uri} is not a bundle: {error.errors()[0]['msg']}"
        raise StepError("ModelUnreadable", said) from error
    file = _unspoilt(bundle, version.window)
    if file is None:
        logger.info("champion %s has learned from test rows: no comparison", champion.name)
        return _Rival(champion.name, None, saw_test_rows=True)
    features = bundle.signature.features
    try:
        _check_features(version, features, f"champion {champion.name}")
    except StepError as lacking:
        # The data have changed so that the champion cannot be asked: there is no comparison, and
        # the gate that wants one gets no data.
        logger.warning("no comparison: %s", lacking)
        return _Rival(champion.name, None, saw_test_rows=False)
    uri = join(champion.bundle.uri.rpartition("/")[0], file.name)
    data = store.read_document(StoredDocument(uri=uri, digest=file.digest))
    model = OnnxModel.load(data, features, f"champion {champion.name}")
    rows = version.rows(Portion.TEST, features=features)
    threshold = bundle.signature.threshold
    scored = Scored(rows.labels, model.probabilities(rows), threshold, rows.weights)
    return _Rival(champion.name, scored, saw_test_rows=False)


def _unspoilt(bundle: Bundle, window: DataWindow) -> StoredFile | None:
    """The champion, or its twin, that has not learned from the test rows; None if both have.

    By time that is one whose data end before the test begins. By hash it is one that held out
    the same groups, or more, for its own test: a group's place never changes.
    """
    first = naive(window.start if window.test_start is None else window.test_start)
    if naive(bundle.data_end) < first:
        return bundle.model
    if bundle.twin is not None and naive(bundle.twin_data_end) < first:
        return bundle.twin
    held, ours = bundle.held_out, window.hash
    if held is None or ours is None or held.columns != ours.columns:
        return None
    covers = Decimal(held.share) >= Decimal(ours.test_share)
    return (bundle.twin or bundle.model) if covers else None


def _asked(arguments: EvaluateArguments) -> Iterator[tuple[MetricName, str]]:
    """The pipeline's metric on all rows first, then what the gates ask, then it on every slice."""
    declared = {item.name for item in (*arguments.slices, *arguments.dataset_spec.slices)}
    yield arguments.pipeline.metric, ""
    for gate in arguments.gates:
        if gate.slice is not None and gate.slice not in declared:
            said = f"gate {gate.name} asks for slice {gate.slice}, which the Dataset does not have"
            raise StepError("InvalidSlice", f"{said}; it has {listing(sorted(declared)) or 'none'}")
        yield gate.metric, gate.slice or ""
    for name in sorted(declared):
        yield arguments.pipeline.metric, name


def _measured(
    arguments: EvaluateArguments,
    candidate: Candidate,
    challenger: Scored,
    rival: _Rival | None,
    test: Rows,
) -> Iterator[Measured]:
    constant = np.full(len(test), candidate.trivial)
    trivial = Scored(test.labels, constant, candidate.signature.threshold, test.weights)
    for metric, name in list(dict.fromkeys(_asked(arguments)))[:_MOST_MEASURED]:
        inside = test.slices[name] if name else np.ones(len(test), dtype=np.bool_)
        ours = challenger.select(inside)
        theirs = rival.scored.select(inside) if rival and rival.scored else None
        value = measure(metric, ours)
        other = None if theirs is None else measure(metric, theirs)
        change = None if value is None or other is None else value - other
        interval = None
        if change is not None and theirs is not None:
            interval = change_interval(metric, ours, theirs, candidate.seed)
        yield Measured(
            metric=metric.value,
            slice=name,
            samples=len(ours.labels),
            value=_decimal(value),
            champion=_decimal(other),
            change=_decimal(change),
            change_low=_decimal(interval[0] if interval else None),
            change_high=_decimal(interval[1] if interval else None),
            trivial=_decimal(measure(metric, trivial.select(inside))),
        )


def _decimal(value: float | None) -> str | None:
    """Six digits after the point."""
    return None if value is None else f"{value:.6f}"


def _serving(version: Version, candidate: Candidate, judged: OnnxModel, refit: bool) -> _Serving:
    """The judged model, or its settings fitted on all rows with a final label."""
    features = candidate.signature.features
    if not refit:
        rows = version.rows(Portion.FIT, features=features)
        return _Serving(judged, rows, candidate.parity, refitted=False)
    rows = version.rows(features=features)
    preparation = prepare(rows)
    parameters = from_text(candidate.parameters, list(candidate.parameters))
    matrix, weights = preparation.matrix(rows), (rows.weights, None)
    model = fit(matrix, rows.labels, parameters, candidate.seed, weights=weights)
    exported = export(preparation, model, rows)
    return _Serving(exported.onnx, rows, exported.parity, refitted=True)


def _baseline(version: Version, serving: _Serving) -> Profile:
    """The profile of the rows the serving model learned from, and of its answers to them."""
    where = version.where(Portion.ALL if serving.refitted else Portion.FIT)
    table = f"(SELECT * FROM {version.table} WHERE {where} AND ({version.rule.sql}) IS NOT NULL)"  # noqa: S608
    subjects = [Subject(item.name, version.schema[item.name]) for item in serving.onnx.features]
    predictions = predictions_profile(
        serving.onnx.probabilities(serving.rows), serving.rows.seconds.astype(np.int64)
    )
    moment = version.spec.columns.event_time
    return profile(version.connection, table, moment, subjects, predictions)


def _golden(model: OnnxModel, test: Rows) -> tuple[GoldenExample, ...]:
    """Up to 20 rows spread over the test, with the serving model's probabilities."""
    places = np.unique(np.linspace(0, len(test) - 1, num=min(GOLDEN, len(test))).astype(np.int64))
    rows = test.take(places)
    answers = model.probabilities(rows)
    return tuple(
        GoldenExample(
            inputs={item.name: _plain(rows.column(item.name)[place]) for item in model.features},
            probability=float(answers[place]),
        )
        for place in range(len(rows))
    )


def _plain(value: object) -> str | float | None:
    """A value as JSON holds it; missing ones as null."""
    if isinstance(value, str):
        return value or None
    # The shortest text that is this float32 again: 39.02, not 39.020000457763672.
    number = float(str(np.float32(value)))  # type: ignore[arg-type]
    return None if np.isnan(number) else number
