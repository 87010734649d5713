"""Looking for knowledge of the future: `assert_causal` for any environment, `leak_suite` to test the search itself."""

from mtquant.evaluation.causality.players import Access
from mtquant.evaluation.causality.search import (
    Leak,
    LeakFound,
    Search,
    assert_causal,
    assert_prefix_stable,
    find_leak,
    find_unstable,
)
from mtquant.evaluation.causality.suite import LeakTrial, leak_suite, suite_table

__all__ = [
    "Access",
    "Leak",
    "LeakFound",
    "LeakTrial",
    "Search",
    "assert_causal",
    "assert_prefix_stable",
    "find_leak",
    "find_unstable",
    "leak_suite",
    "suite_table",
]
