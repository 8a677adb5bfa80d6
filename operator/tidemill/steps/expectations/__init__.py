"""What a contract expects of the data, found out in as few scans as the questions allow.

One scan through narwhals lazy frames answers all that sums, extremes and counts of different
values can; a second one counts outliers, whose bounds come from the first; each Duplicates groups
the rows once more. Only what is broken is looked at again, for examples.
"""

from tidemill.steps.expectations.check import check, values_of
from tidemill.steps.expectations.question import Scene
from tidemill.steps.expectations.types import compare

__all__ = ["Scene", "check", "compare", "values_of"]
