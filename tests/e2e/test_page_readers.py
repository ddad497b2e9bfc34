"""Pages in light and dark, checked by axe, on narrow screens, printed, and without scripts."""

import io

import pypdf
import pytest

from fgbench.report import write_report
from support.boards import make_run


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_theme_follows_system_until_switched(visit, quick_page, scheme):
    page = visit(quick_page, color_scheme=scheme)
    page.descriptions("diagrams")

    def colours():
        return page.page.evaluate(
            "[document.body, document.querySelector('#diagrams g[data-mark=line] path')]"
            ".map(each => getComputedStyle(each))"
            ".map(style => [style.backgroundColor, style.stroke])"
        )

    def is_dark():
        (red, green, blue) = map(int, colours()[0][0].strip("rgb()").split(","))
        return red + green + blue < 380

    before = colours()
    assert is_dark() == (scheme == "dark")
    page.page.click("#theme")
    assert is_dark() == (scheme == "light")
    assert colours()[1] != before[1]  # the charts follow without being drawn again
    page.page.click("#theme")
    assert colours() == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_accessibility_violations(visit, quick_page, tmp_path, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    make_run(tmp_path / "run")
    write_report(tmp_path / "run", tmp_path / "report.html")
    for file in (quick_page, tmp_path / "report.html"):
        page = visit(file, color_scheme=scheme)
        for place in ("planes", "costs", "diagrams"):
            page.descriptions(place)
        page.sort("ece")
        page.page.locator("button.open").nth(1).click()
        page.page.click('details[data-facet="arm"] summary')
        found = axe.run(page.page)
        assert found.violations_count == 0, found.generate_report()


@pytest.fixture
def report(tmp_path):
    make_run(tmp_path / "run")
    write_report(tmp_path / "run", tmp_path / "report.html")
    return tmp_path / "report.html"


def test_fidelity_charts_follow_the_theme_and_fit_a_narrow_screen(visit, report):
    page = visit(report, viewport={"width": 390, "height": 800}, color_scheme="light")
    line = page.page.locator(".fidelity svg [data-mark=line]").first
    page.page.locator(".fidelity").scroll_into_view_if_needed()
    line.wait_for()
    stroke = "element => getComputedStyle(element).stroke"
    light = line.evaluate(stroke)
    page.page.click("#theme")
    assert line.evaluate(stroke) != light
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    for chart in page.page.locator(".fidelity svg").all():
        assert chart.bounding_box()["width"] <= 350


def test_fidelity_charts_are_printed_without_scrolling_to_them(visit, report):
    page = visit(report)
    assert page.page.locator(".fidelity svg").count() == 0
    sheets = pypdf.PdfReader(io.BytesIO(page.page.pdf(prefer_css_page_size=True))).pages
    assert "mean absolute error .050, n = 6" in "".join(sheet.extract_text() for sheet in sheets)


def test_without_scripts_fidelity_is_a_table(visit, report):
    page = visit(report, java_script_enabled=False)
    assert page.page.locator(".fidelity").inner_text() == ""
    table = page.page.locator("section[aria-labelledby=samples] table")
    assert table.locator("tbody tr").all_inner_texts() == [
        "0.5–0.6\t0.560 (n = 6)\t0.600 (n = 6)",
        "mean absolute error\t0.010 (n = 6)\t0.050 (n = 6)",
    ]


def test_only_tables_scroll_on_narrow_screen(visit, quick_page):
    page = visit(quick_page, viewport={"width": 390, "height": 800})
    page.page.locator("button.open").first.click()
    for place in ("planes", "costs", "diagrams"):
        page.descriptions(place)
    for name in ("dataset", "arm", "calibrator"):
        page.page.click(f'details[data-facet="{name}"] summary')
        assert page.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_printed_page_has_no_controls(visit, quick_page):
    page = visit(quick_page)
    page.sort("ece")
    reader = pypdf.PdfReader(io.BytesIO(page.page.pdf(prefer_css_page_size=True)))
    sheets = [sheet.extract_text() for sheet in reader.pages]
    # The head is on each sheet of the table, and the last column is not cut off.
    with_head = [s for s in sheets if "calibrator" in s and "accuracy" in s and "nll" in s]
    assert len(with_head) >= 2
    assert "group by comparison" not in "".join(sheets)
    page.page.emulate_media(media="print", color_scheme="dark")
    assert not page.page.locator("#controls").is_visible()
    assert page.page.locator("#entries").is_visible()
    assert (
        page.page.evaluate("getComputedStyle(document.body).backgroundColor")
        == "rgb(255, 255, 255)"
    )


def test_page_without_scripts_shows_plain_tables(visit, quick_page):
    page = visit(quick_page, java_script_enabled=False)
    text = page.page.inner_text("main")
    assert "On the test split" in text
    assert ".777" in text
    assert not page.page.locator("#explorer").is_visible()
