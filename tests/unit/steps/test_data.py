"""`opened`: a version's rows, divided by its window into parts that share nothing."""

from tests.unit.steps.small import Place, spec
from tidemill.api.documents.bundle import Feature
from tidemill.api.documents.profile import ValueType
from tidemill.steps.data import opened
from tidemill.steps.objects import Store
from tidemill.steps.windows import Portion


def test_fit_validation_and_test_are_all_rows_and_share_none(stocked: Place) -> None:
    made = stocked.snapshot()

    with opened(
        Store(), made.manifest, made.window, spec(stocked.uri), stocked.scratch()
    ) as version:
        fitted = version.rows(Portion.FIT)
        validation = version.rows(Portion.VALIDATION)
        test = version.rows(Portion.TEST)
        everything = version.rows()

    assert [len(rows) for rows in (fitted, validation, test)] == [720, 180, 300]
    assert fitted.seconds.max() < validation.seconds.min()
    assert validation.seconds.max() < test.seconds.min()
    assert len(everything) == 1200


def test_a_model_may_ask_for_its_own_features(stocked: Place) -> None:
    made = stocked.snapshot()
    wanted = (Feature(name="grade", type=ValueType.NUMBER),)

    with opened(
        Store(), made.manifest, made.window, spec(stocked.uri), stocked.scratch()
    ) as version:
        rows = version.rows(features=wanted)

    assert rows.numbers.shape == (1200, 1)
    assert rows.texts.shape == (1200, 0)
