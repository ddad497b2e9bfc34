"""The charts of a page in a real browser: they draw what the board holds."""

import json
import re

import pytest

from fgbench.numbers import number as text_of
from fgbench.report import write_board_page, write_report
from fgbench.report.view import comparisons
from support.boards import make_run


def test_pareto_front_holds_undominated_entries(visit, quick_page, quick):
    page = visit(quick_page)
    said = page.descriptions("planes")
    for group, text in zip(comparisons(quick), said, strict=True):
        points = [
            (e.metrics["accuracy"].estimate, e.metrics["ece"].estimate) for e in group.entries
        ]
        best = [
            f"({text_of(x)}, {text_of(y)})"
            for x, y in sorted(points)
            if not any(a >= x and b <= y and (a, b) != (x, y) for a, b in points)
        ]
        front = text.partition("front: ")[2].rstrip(".").split("; ")
        assert [each[each.rindex("(") :] for each in front] == best  # ties are on it together


def test_each_arm_has_its_own_color(visit, quick_page, quick):
    page = visit(quick_page)
    page.descriptions("planes")
    arms = {entry.arm for entry in quick.entries}
    for box in ("planes", "costs"):
        swatches = page.page.eval_on_selector_all(
            f"#{box} .legend > :first-child svg[fill]",
            "all => all.map(each => getComputedStyle(each).fill)",
        )
        assert len(swatches) == len(set(swatches)) == len(arms)


def test_click_on_point_opens_its_row(visit, quick_page):
    page = visit(quick_page)
    for place in ("planes", "costs"):
        page.descriptions(place)
        for number in (2, 5, 9):
            page.page.locator(f"#{place} h3").scroll_into_view_if_needed()
            point = page.page.locator(f"#{place} figure").nth(3).locator("g[data-mark=dot] path")
            point.nth(number).hover(force=True)
            page.page.locator(f"#{place} figure g[aria-label=tip] text").wait_for()
            tip = page.page.text_content(f"#{place} g[aria-label=tip] text")
            point.nth(number).click(force=True)
            opened = page.page.evaluate(
                "document.activeElement.getAttribute('aria-label')"
                " + document.activeElement.getAttribute('aria-expanded')"
            )
            assert opened.endswith("true")
            assert tip.lstrip("\u200b").startswith(opened.removesuffix("true"))


@pytest.mark.parametrize("control", ["baseline", "real"])
def test_gain_is_error_reduction_from_control(visit, quick_page, quick, control):
    page = visit(quick_page)
    page.descriptions("costs")
    page.page.select_option("#cost-error", "nll")
    page.page.select_option("#cost-against", control)
    page.page.wait_for_selector(f'#costs [aria-label*="in nll over {control}"]')
    said = page.descriptions("costs")
    minus = str.maketrans("−", "-")
    for group, text in zip(comparisons(quick), said, strict=True):
        compared = [entry for entry in group.entries if entry.contrast(control, "nll")]
        gain = f"requests against the gain in nll over {control} of {len(compared)} entries."
        assert text.startswith(gain)
        expected = []
        for entry in group.entries:
            record = entry.contrast(control, "nll")
            if record is not None and record.word in ("better", "worse"):
                expected.append((entry.usage.requests, record.difference, *record.interval))
        sure = text.partition("zero: ")[2].rstrip(".")
        found = re.findall(r"\(([\d,]+) requests, difference (\S+) \[(\S+),\s(\S+)\]\)", sure)
        assert len(found) == len(expected)
        for (cost, *numbers), (requests, *values) in zip(found, expected, strict=True):
            assert int(cost.replace(",", "")) == requests
            read = [float(each.translate(minus)) for each in numbers]
            assert read == pytest.approx(values, abs=6e-4)


def test_cost_axis_offers_recorded_costs_only(visit, quick_page):
    page = visit(quick_page)
    page.descriptions("costs")
    options = page.cells("#cost option")
    assert options == ["requests", "synthetic inputs", "compute seconds"]  # no tokens, no dollars
    page.page.select_option("#cost", "compute seconds")
    page.page.wait_for_selector('#costs [aria-label^="compute seconds against"]')


def test_charts_follow_the_filters(visit, quick_page, quick):
    page = visit(quick_page)
    assert len(page.descriptions("diagrams")) == 24
    page.page.select_option("#diagram-calibrator", "all")
    page.page.wait_for_selector(f"text=Showing the first 24 of {len(quick.entries)}")
    of_tc = [entry for entry in quick.entries if entry.dataset.name == "tc"]
    page.choose("dataset", "tc")
    for place, figures in {"planes": 1, "costs": 1, "diagrams": len(of_tc)}.items():
        page.page.locator(f"#{place} h3").scroll_into_view_if_needed()
        others = page.page.locator(f"#{place} figcaption", has_not_text="tc · ")
        others.first.wait_for(state="detached")
        assert page.page.locator(f"#{place} figure").count() == figures
    with_band = page.page.locator("#diagrams figure", has=page.page.locator("[data-mark=area]"))
    titles = with_band.locator("figcaption").all_inner_texts()
    aiming = [entry for entry in of_tc if entry.arm not in ("baseline", "real")]
    assert len(titles) == len(aiming)  # only arms that aim at gaps have a threshold
    assert all("ngram, 15 bins" in title for title in titles)


def changed(tmp_path, change):
    """Return the page of a run's board after a change of its JSON."""
    make_run(tmp_path / "run")
    file = tmp_path / "run" / "leaderboard.json"
    board = json.loads(file.read_text(encoding="utf-8"))
    change(board)
    file.write_text(json.dumps(board), encoding="utf-8")
    return write_board_page(tmp_path / "run", tmp_path / "page").file


def test_entry_without_baseline_is_not_drawn_as_baseline(visit, tmp_path):
    def drop_baselines(board):
        board["entries"] = [each for each in board["entries"] if each["arm"] != "baseline"]

    page = visit(changed(tmp_path, drop_baselines))
    assert len(page.descriptions("diagrams")) == 3
    strokes = page.page.eval_on_selector_all(
        "#diagrams g[data-mark=line][stroke]", "all => all.map(each => each.getAttribute('stroke'))"
    )
    assert strokes.count("var(--after)") == 3
    assert "var(--before)" not in strokes


def test_missing_diagrams_are_counted(visit, tmp_path):
    def drop_predictions(board):
        for entry in board["entries"]:
            if entry["arm"] == "real":
                entry["artifacts"]["predictions"] = []

    page = visit(changed(tmp_path, drop_predictions))
    assert len(page.descriptions("diagrams")) == 3
    note = page.page.inner_text("#diagrams .left-out")
    assert note == "Entries without a diagram: 1 (no predictions are stored with the board)."


def test_fidelity_charts_show_each_text_and_the_means_of_each_judge(visit, tmp_path):
    make_run(tmp_path / "run")
    write_report(tmp_path / "run", tmp_path / "report.html")
    page = visit(tmp_path / "report.html")
    box = page.page.locator(".fidelity")
    box.scroll_into_view_if_needed()
    box.locator("figure").first.wait_for()
    assert box.locator("figcaption").all_inner_texts() == [
        "true posterior\nmean absolute error .010, n = 6",
        "generator's claim\nmean absolute error .050, n = 6",
    ]
    for chart, judged in ((box.locator("svg").nth(0), 0.56), (box.locator("svg").nth(1), 0.6)):
        dots, means = chart.locator("g[data-mark=dot]").all()
        assert dots.locator("circle").count() == 6
        (mean,) = means.locator("circle").all()
        assert f".550 → {text_of(judged)}" in chart.get_attribute("aria-label")
        # Both axes are 0 to 1, so the mean's place between their ends is its value.
        x, y = (float(mean.get_attribute(name)) for name in ("cx", "cy"))
        left, bottom, right, top = map(
            float,
            re.findall(r"[\d.]+", chart.locator("[data-mark=line] path").first.get_attribute("d")),
        )
        assert (x - left) / (right - left) == pytest.approx(0.55, abs=0.002)
        assert (y - bottom) / (top - bottom) == pytest.approx(judged, abs=0.002)


def test_calibrators_beyond_available_shapes_share_one(visit, tmp_path):
    def name_calibrators(board):
        for number, entry in enumerate(board["entries"]):
            if entry["calibrator"]["name"] != "none":
                entry["calibrator"]["name"] = f"calibrator-{number}"
        extra = [json.loads(json.dumps(each)) for each in board["entries"] * 3]
        for number, entry in enumerate(extra):
            entry["id"] = f"{number:016x}"
            entry["calibrator"]["name"] = f"more-{number}"
        board["entries"] += extra

    page = visit(changed(tmp_path, name_calibrators))
    page.descriptions("planes")
    legend = page.page.inner_text("#planes .legend")
    assert "other calibrators" in legend
    assert "calibrator-" in legend
    assert "more-9" not in legend
    shapes = page.page.locator("#planes figure g[data-mark=dot]").first.locator("path")
    assert len(set(shapes.evaluate_all("all => all.map(each => each.getAttribute('d'))"))) == 8


def test_tokens_and_dollars_are_available_as_cost(visit, tmp_path):
    def charge(board):
        for number, entry in enumerate(board["entries"], 1):
            if entry["synthetic"]:
                entry["usage"] |= {"prompt_tokens": 900 * number, "completion_tokens": 100 * number}
                entry["usage"]["cost_usd"] = 0.001 * number**4

    page = visit(changed(tmp_path, charge))
    page.descriptions("costs")
    assert page.cells("#cost option") == ["US dollars", "tokens", "synthetic inputs"]
    assert page.page.input_value("#cost") == "US dollars"
    page.page.locator("button.open").nth(6).click()
    assert "7,000 tokens, $2.401" in page.page.inner_text("tr.details")
