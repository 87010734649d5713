"""The report in headless Chromium: nothing complains, nothing is missing, every figure is that of `report.json`."""

from dataclasses import replace

import pytest

from mtquant.evaluation.report import write_report
from tests.evaluation.browser import SCHEMES, SIZES, browser, difference, opened, problems, read_values
from tests.evaluation.made import made_whole

needs_browser = pytest.mark.skipif(browser() is None, reason="Chromium is not there: apt-get install chromium")


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """A walk-forward with everything in it, and a report on a generated market."""
    made = {"walk": replace(made_whole(), paths={}), "planted": made_whole(planted=True)}
    folders = {name: tmp_path_factory.mktemp(name) for name in made}
    for name, content in made.items():
        write_report(content, folders[name])
    return folders


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("name", ["walk", "planted"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
def test_the_page_is_whole_and_says_what_the_json_says(reports, name, size, scheme):
    with opened(reports[name] / "report.html", size, scheme) as (page, noise):
        assert problems(page, read_values(reports[name])) == []
        assert page.evaluate("document.querySelectorAll('[data-at]').length") > 300
        assert noise == []


@needs_browser
@pytest.mark.slow
def test_without_scripts_and_on_paper_the_pictures_stay(reports):
    path = reports["walk"] / "report.html"
    seen = "() => [...document.querySelectorAll('figure > svg')].map(s => s.getBoundingClientRect().height)"
    with opened(path, "desktop", "light", java_script_enabled=False) as (page, _):
        assert page.locator("figure > svg").count() == page.locator("figure > svg:visible").count() > 8
    with opened(path, "desktop", "dark") as (page, noise):
        page.wait_for_selector("html[data-live]", state="attached")
        assert min(page.evaluate(seen)) == 0.0
        page.emulate_media(media="print")
        assert min(page.evaluate(seen)) > 80.0
        assert page.locator(".live:visible").count() == 0
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.pdf()[:5] == b"%PDF-"
        assert noise == []


@needs_browser
@pytest.mark.slow
def test_a_changed_figure_is_noticed(reports):
    values = read_values(reports["walk"])
    values["phases"][0]["summary"]["turnover"] += 1.0
    values["charts"]["equity"]["traces"][0]["y"][3] += 0.01
    with opened(reports["walk"] / "report.html", "desktop", "light") as (page, _):
        found = problems(page, values)
    assert any("/phases/0/summary/turnover" in line for line in found)
    assert any(line.startswith("equity: the line") for line in found)


@pytest.mark.parametrize(
    ("text", "value", "same"),
    [
        ("12.3 %", 0.12345, True),
        ("12.4 %", 0.12345, False),
        ("−1.50", -1.5049, True),
        ("1.50", -1.5, False),
        ("n/a", None, True),
        ("0.00", None, False),
        ("1,234", 1234.4, True),
        ("0.5 to 1.5", {"low": 0.5, "high": 1.52, "value": 1.0}, True),
        ("0.5 to 1.5", {"low": 0.5, "high": 1.58, "value": 1.0}, False),
        ("as it is", "as it was", False),
    ],
)
def test_texts_and_values_are_compared_to_the_last_digit(text, value, same):
    assert (difference({"a": [value]}, "/a/0", text) is None) is same
