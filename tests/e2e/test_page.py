"""Pages in a real browser, opened from disk: what a reader sees, does, and is kept safe from."""

import io
import json
import re
import shutil
from pathlib import Path

import pypdf
import pytest

from browsing import Visit, chromium
from fgbench.leaderboard.bundled import board_path
from fgbench.leaderboard.files import read_board
from fgbench.leaderboard.ranking import ranks
from fgbench.leaderboard.view import comparisons
from fgbench.report import write_board_page, write_report
from synthetic_run import make_run

EVIL = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>\"'&"
FORMULA = '=HYPERLINK("http://x.test","y")'


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def quick():
    return read_board(board_path(Path("quick")))


@pytest.fixture(scope="module")
def quick_page(tmp_path_factory):
    return write_board_page(board_path(Path("quick")), tmp_path_factory.mktemp("quick")).file


@pytest.fixture
def visit(browser):
    """Open pages; at the end of the test, hold that they said nothing and asked for nothing."""
    visits = []

    def open_page(file, **options):
        visits.append(Visit(browser, file, **options))
        return visits[-1]

    yield open_page
    for each in visits:
        each.close()
    assert [each.said for each in visits] == [[]] * len(visits)
    assert [each.dialogs for each in visits] == [[]] * len(visits)
    assert all(url.startswith("file:") for each in visits for url in each.asked)


def entries_of(board, dataset):
    return [entry for entry in board.entries if entry.dataset.name == dataset]


def test_it_opens_from_disk_with_all_entries(visit, quick_page, quick):
    page = visit(quick_page)
    assert page.asked == [quick_page.as_uri()]
    assert page.page.title() == "quick – fgbench board"
    assert page.status == "72 of 72 entries, in the board's order"
    assert set(page.rows()) == {entry.id for entry in quick.entries}
    groups = page.cells("#entries tr.group")
    assert groups[0] == "banking77 · tfidf-logreg · strict protocol · 3 seeds"
    assert len(groups) == 4


@pytest.mark.parametrize("metric", ["ece", "accuracy"])
def test_it_sorts_best_first_then_worst_then_as_before(visit, quick_page, quick, metric):
    page = visit(quick_page)
    before = page.rows()
    entries = {entry.id: entry for entry in quick.entries}
    sign = -1 if metric == "accuracy" else 1

    def costs(dataset):
        return [
            sign * round(entries[name].metrics[metric].mean, 4)
            for name in page.rows()
            if entries[name].dataset.name == dataset
        ]

    head = page.page.locator("th", has=page.page.locator(f'button[data-key="{metric}"]'))
    page.sort(metric)
    assert page.status == f"72 of 72 entries, sorted by {metric}, best first"
    assert head.get_attribute("aria-sort") == ("descending" if sign < 0 else "ascending")
    assert costs("tc") == sorted(costs("tc"))
    assert costs("subj") == sorted(costs("subj"))
    assert [entries[name].dataset.name for name in page.rows()[:18]] == ["banking77"] * 18
    page.sort(metric)
    assert head.get_attribute("aria-sort") == ("ascending" if sign < 0 else "descending")
    assert costs("subj") == sorted(costs("subj"), reverse=True)
    page.sort(metric)
    assert page.rows() == before


def test_without_comparisons_the_best_of_all_is_first(visit, quick_page, quick):
    page = visit(quick_page)
    page.sort("ece")
    page.page.uncheck("#grouped")
    entries = {entry.id: entry for entry in quick.entries}
    means = [round(entries[name].metrics["ece"].mean, 4) for name in page.rows()]
    assert means == sorted(means)
    assert not page.cells("#entries tr.group")
    assert "banking77 · tfidf-logreg" in page.cells("#entries tr.entry th")[0]


def test_names_sort_by_arm_and_alphabet(visit, quick_page):
    page = visit(quick_page)
    page.page.uncheck("#grouped")
    page.sort("calibrator")
    assert page.status.endswith("sorted by calibrator, A to Z")
    found = page.cells("#entries tr.entry td:nth-child(2)")
    assert found == sorted(found)
    page.sort("arm")
    assert page.status.endswith("sorted by arm, controls first")
    arms = [text.split("\n")[0].strip("▸ ") for text in page.cells("#entries tr.entry th")]
    order = ["baseline", "real", "resample", "random-bins", "synthesis", "synthesis+"]
    assert arms == sorted(arms, key=order.index)


def test_it_shows_who_cannot_be_told_from_the_best(visit, quick_page, quick):
    page = visit(quick_page)
    page.sort("ece_positive")
    expected = {}
    for group in comparisons(quick):
        expected |= {key: str(rank) for key, rank in ranks(group.entries, "ece_positive").items()}
    shown = [text.split()[0] for text in page.cells("#entries tr.entry td.rank")]
    assert shown == [expected[name] for name in page.rows()]
    ties = [" ".join(text.split()[1:]) for text in page.cells("#entries tr.entry td.rank")]
    for rank, tie in zip(shown, ties, strict=True):
        assert tie == ("≈ best" if rank.startswith("1–") else "best" if rank == "1" else "")
    first = page.page.eval_on_selector_all(
        "#entries tr.first", "rows => rows.map(row => row.dataset.id)"
    )
    assert set(first) == {name for name, rank in expected.items() if rank.startswith("1–")}
    assert 0 < len(first) < 72


def test_a_ring_marks_what_chance_alone_gives(visit, quick_page, quick):
    page = visit(quick_page)
    column = page.cells("#entries thead th").index("ece_positive ↕") + 1
    found = page.cells(f"#entries tr.entry > :nth-child({column})")
    entries = {entry.id: entry for entry in quick.entries}
    for name, text in zip(page.rows(), found, strict=True):
        record = entries[name].metrics["ece_positive"]
        assert ("°" in text) == (record.mean <= record.noise_floor)
    assert 0 < sum("°" in text for text in found) < 72


def test_filters_keep_the_controls_and_reset_gives_all_back(visit, quick_page, quick):
    page = visit(quick_page)
    page.choose("dataset", "tc")
    assert page.status.startswith("18 of 72")
    assert set(page.rows()) == {entry.id for entry in entries_of(quick, "tc")}
    page.choose("arm", "synthesis", "baseline")
    assert page.status.startswith("6 of 72")
    assert "1 of 4" in page.page.inner_text('details[data-facet="dataset"] summary')
    page.page.fill("#search", "SYNTH isoton")
    page.page.wait_for_selector("text=1 of 72 entries")
    page.page.fill("#search", "nothing like it")
    page.page.wait_for_selector("text=No entry matches.")
    page.page.click("#reset")
    assert page.status.startswith("72 of 72")
    assert page.page.input_value("#search") == ""


def test_a_filter_by_bins_keeps_the_entries_without_generator(visit, tmp_path):
    page = visit(write_board_page(board_path(Path("paper-table4")), tmp_path).file)
    page.choose("bins", "20")
    arms = {text.strip("▸ ") for text in page.cells("#entries tr.entry th")}
    assert arms == {"baseline", "synthesis", "synthesis+"}
    assert set(page.cells("#entries tr.entry td:nth-child(3)")) == {"—", "llama2-vllm, 20 bins"}


def test_columns_and_differences_are_chosen(visit, quick_page):
    page = visit(quick_page)
    assert "auroc" not in page.page.inner_text("#entries thead")
    page.page.click("#metric-choice summary")
    page.page.get_by_label("auroc", exact=True).check()
    assert "auroc" in page.page.inner_text("#entries thead")
    cell = page.page.locator("#entries tr.entry").nth(1).locator("td.n").first
    assert cell.inner_text().count("\n") == 2  # mean, interval, difference
    page.page.select_option("#against", "none")
    assert cell.inner_text().count("\n") == 1
    page.sort("auroc")
    page.page.click("#metric-choice summary")
    page.page.get_by_label("auroc", exact=True).uncheck()
    assert page.status == "72 of 72 entries, in the board's order"  # nothing else could undo it
    page.page.keyboard.press("Escape")
    assert page.page.evaluate("document.activeElement.localName") == "summary"


def test_a_row_opens_by_keyboard_and_shows_its_diagram_and_every_metric(visit, quick_page, quick):
    page = visit(quick_page)
    (entry,) = [
        entry
        for entry in entries_of(quick, "tc")
        if entry.arm == "synthesis+" and entry.calibrator.name == "none"
    ]
    button = page.page.locator(f'button.open[data-entry="{entry.id}"]')
    button.focus()
    page.page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    details = page.page.locator("tr.details")
    text = details.inner_text()
    for name in entry.metrics:
        assert name in text
    assert f"{entry.synthetic.accepted} of {entry.synthetic.requested} accepted" in text
    assert details.locator("figure svg").count() == 2  # the curves, and the counts
    said = details.locator("[role=img]").get_attribute("aria-label")
    assert "Reliability diagram of synthesis+" in said
    assert "Of its baseline" in said
    assert details.locator("figure g[data-mark=rect]").count() == 3  # the band, counts, theirs
    bands = details.locator("figure g[data-mark=rect]").first.locator("rect").count()
    assert f"of {bands} bins that hold predictions" in said
    assert page.page.evaluate("document.activeElement.dataset.entry") == entry.id
    page.page.keyboard.press("Enter")
    assert page.page.locator("tr.details").count() == 0


def test_a_filter_closes_when_the_focus_leaves_it(visit, quick_page):
    page = visit(quick_page)
    filters = page.page.locator("details.facet")
    filters.first.locator("summary").focus()
    page.page.keyboard.press("Enter")
    assert filters.first.get_attribute("open") == ""
    for _ in range(5):  # four boxes, and on
        page.page.keyboard.press("Tab")
    assert filters.first.get_attribute("open") is None
    assert page.page.evaluate("document.activeElement.localName") == "summary"


def test_a_control_and_an_address_lead_to_an_entry(visit, quick_page, quick):
    entry = next(entry for entry in quick.entries if entry.real and entry.versus_real)
    page = visit(quick_page, address=f"#{entry.id}")
    assert page.page.locator(f'button.open[data-entry="{entry.id}"]').is_visible()
    assert page.page.locator("tr.details").count() == 1
    page.sort("ece")
    page.choose("arm", entry.arm)
    page.page.locator("tr.details a.control").last.click()
    control = page.page.locator(f'button.open[data-entry="{entry.real}"]')
    assert control.get_attribute("aria-expanded") == "true"
    assert page.status.startswith("72 of 72")  # the filter hid it
    assert page.status.endswith("sorted by ece, best first")  # and the rest stays as it was


def test_the_pareto_front_is_what_none_betters(visit, quick_page, quick):
    page = visit(quick_page)
    said = page.descriptions("planes")
    assert len(said) == 4
    for group, text in zip(comparisons(quick), said, strict=True):
        points = [
            (round(e.metrics["accuracy"].mean, 4), round(e.metrics["ece_positive"].mean, 4))
            for e in group.entries
        ]
        best = [
            f"({x:.3f}, {y:.3f})"
            for x, y in sorted(points)
            if not any(a >= x and b <= y and (a, b) != (x, y) for a, b in points)
        ]
        front = text.partition("front: ")[2].rstrip(".").split("; ")
        assert [each[each.rindex("(") :] for each in front] == best  # ties are on it together


def test_a_click_on_a_point_opens_the_row_of_its_tip(visit, quick_page):
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
def test_gain_is_what_an_error_lies_below_its_control_s(visit, quick_page, quick, control):
    page = visit(quick_page)
    page.descriptions("costs")
    page.page.select_option("#cost-error", "nll")
    page.page.select_option("#cost-against", control)
    page.page.wait_for_selector(f'#costs [aria-label*="in nll over {control}"]')
    said = page.descriptions("costs")
    assert len(said) == 4
    minus = str.maketrans("−", "-")
    for group, text in zip(comparisons(quick), said, strict=True):
        assert text.startswith(f"requests against the gain in nll over {control} of 1")
        expected = []
        for entry in group.entries:
            record = getattr(entry, f"versus_{control}").get("nll")
            if record is not None and record.p_adjusted < 0.05:
                low, high = record.ci95
                expected.append((entry.usage.requests, -record.delta, -high, -low))
        sure = text.partition("zero: ")[2].rstrip(".")
        found = re.findall(r"\(([\d,]+) requests, gain (\S+) \[(\S+), (\S+)\]\)", sure)
        assert len(found) == len(expected)
        for (cost, *numbers), (requests, *values) in zip(found, expected, strict=True):
            assert int(cost.replace(",", "")) == requests
            read = [float(each.translate(minus)) for each in numbers]
            assert read == pytest.approx(values, abs=6e-4)


def test_costs_are_what_is_asked_for(visit, quick_page):
    page = visit(quick_page)
    page.descriptions("costs")
    options = page.cells("#cost option")
    assert options == ["requests", "synthetic inputs", "seconds of work"]  # no tokens, no dollars
    page.page.select_option("#cost", "seconds of work")
    page.page.wait_for_selector('#costs [aria-label^="seconds of work against"]')


def test_charts_follow_the_filters(visit, quick_page):
    page = visit(quick_page)
    assert len(page.descriptions("diagrams")) == 24
    page.page.select_option("#diagram-calibrator", "all")
    page.page.wait_for_selector("text=The first 24 of 72 are drawn")
    page.choose("dataset", "tc")
    for place, figures in {"planes": 1, "costs": 1, "diagrams": 18}.items():
        page.page.locator(f"#{place} h3").scroll_into_view_if_needed()
        others = page.page.locator(f"#{place} figcaption", has_not_text="tc · ")
        others.first.wait_for(state="detached")
        assert page.page.locator(f"#{place} figure").count() == figures
    with_band = page.page.locator("#diagrams figure", has=page.page.locator("[data-mark=area]"))
    titles = with_band.locator("figcaption").all_inner_texts()
    assert len(titles) == 12  # of the arms that aim at gaps, what is none is shaded
    assert all("ngram, 15 bins" in title for title in titles)


def changed(tmp_path, change):
    """Return the page of a run's board after a change of its JSON."""
    make_run(tmp_path / "run")
    file = tmp_path / "run" / "leaderboard.json"
    board = json.loads(file.read_text(encoding="utf-8"))
    change(board)
    file.write_text(json.dumps(board), encoding="utf-8")
    return write_board_page(tmp_path / "run", tmp_path / "page").file


def test_an_entry_without_its_baseline_is_not_drawn_as_one(visit, tmp_path):
    def drop_baselines(board):
        board["entries"] = [each for each in board["entries"] if each["arm"] != "baseline"]

    page = visit(changed(tmp_path, drop_baselines))
    assert len(page.descriptions("diagrams")) == 3
    strokes = page.page.eval_on_selector_all(
        "#diagrams g[data-mark=line][stroke]", "all => all.map(each => each.getAttribute('stroke'))"
    )
    assert strokes.count("var(--after)") == 3
    assert "var(--before)" not in strokes


def test_diagrams_that_are_lacking_are_counted(visit, tmp_path):
    def drop_predictions(board):
        for entry in board["entries"]:
            if entry["arm"] == "real":
                entry["artifacts"]["predictions"] = []

    page = visit(changed(tmp_path, drop_predictions))
    assert len(page.descriptions("diagrams")) == 3
    note = page.page.inner_text("#diagrams .left-out")
    assert note == "1 more have none: no predictions are stored with the board."


def test_many_calibrators_share_a_last_shape(visit, tmp_path):
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


def test_tokens_and_dollars_are_costs(visit, tmp_path):
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_the_reader_s_until_switched(visit, quick_page, scheme):
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
def test_no_barrier_is_found_by_axe(visit, quick_page, tmp_path, scheme):
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


def test_on_a_narrow_screen_only_the_tables_scroll(visit, quick_page):
    page = visit(quick_page, viewport={"width": 390, "height": 800})
    page.page.locator("button.open").first.click()
    for place in ("planes", "costs", "diagrams"):
        page.descriptions(place)
    for name in ("dataset", "arm", "calibrator"):
        page.page.click(f'details[data-facet="{name}"] summary')
        assert page.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_it_prints_without_controls(visit, quick_page):
    page = visit(quick_page)
    page.sort("ece")
    reader = pypdf.PdfReader(io.BytesIO(page.page.pdf(prefer_css_page_size=True)))
    sheets = [sheet.extract_text() for sheet in reader.pages]
    for sheet in sheets[:2]:  # the head stands on each, and the last column is not cut off
        assert "calibrator" in sheet
        assert "ece_positive" in sheet
        assert "nll" in sheet
    assert "keep comparisons together" not in "".join(sheets)
    page.page.emulate_media(media="print", color_scheme="dark")
    assert not page.page.locator("#controls").is_visible()
    assert page.page.locator("#entries").is_visible()
    assert (
        page.page.evaluate("getComputedStyle(document.body).backgroundColor")
        == "rgb(255, 255, 255)"
    )


def test_without_scripts_there_are_plain_tables(visit, quick_page):
    page = visit(quick_page, java_script_enabled=False)
    text = page.page.inner_text("main")
    assert "On the test split" in text
    assert "0.777 ±0.000" in text
    assert not page.page.locator("#explorer").is_visible()


def test_a_large_board_has_pages(visit, tmp_path):
    board = json.loads(board_path(Path("quick")).read_bytes())
    copies = []
    for number in range(3):
        for entry in board["entries"]:
            copy = json.loads(json.dumps(entry))
            copy["id"] = f"{number:08x}{entry['id'][8:]}"
            copy["dataset"]["digest"] = f"{number:064x}"
            copy["artifacts"] = {"predictions": []}
            copies.append(copy)
    file = tmp_path / "board.json"
    file.write_text(json.dumps(board | {"entries": copies}), encoding="utf-8")
    page = visit(write_board_page(file, tmp_path / "page").file)
    assert len(page.rows()) == 100
    assert "rows 1–100 of 216" in page.page.inner_text("#pages")
    page.page.get_by_role("button", name="Last").click()
    assert len(page.rows()) == 16
    assert page.page.get_by_role("button", name="Next").is_disabled()
    assert page.page.evaluate("document.activeElement.dataset.turn") == "First"
    page.page.pdf()  # which prints from the first row on, and gives the page back
    assert len(page.rows()) == 16
    page.page.get_by_role("button", name="Previous").click()
    assert "rows 101–200 of 216" in page.page.inner_text("#pages")
    assert page.page.evaluate("document.activeElement.dataset.turn") == "Previous"
    page.sort("ece")
    assert "rows 1–100 of 216" in page.page.inner_text("#pages")
    page.page.locator("button.open").first.click()
    assert (
        "No reliability diagram: no predictions are stored with the board."
        in page.page.inner_text("tr.details")
    )


@pytest.fixture
def evil_run(tmp_path):
    """A run with markup and a formula in every text field that a board or a run has."""
    folder = tmp_path / "run"
    make_run(folder, name=EVIL, text=EVIL + FORMULA)
    file = folder / "leaderboard.json"
    board = json.loads(file.read_text(encoding="utf-8"))
    for entry in board["entries"]:
        for part in ("dataset", "classifier", "loss", "generator"):
            if entry[part]:
                entry[part] |= {"name": EVIL, "params": {FORMULA: EVIL}, "version": EVIL}
        entry["calibrator"]["name"] += EVIL
        entry["dataset"]["label_names"] = [EVIL, FORMULA]
        entry["arm"] += FORMULA
        entry["metrics"][EVIL] = entry["metrics"]["ece"]
        entry["metric_versions"][EVIL] = EVIL
        entry["versus_baseline"][EVIL] = {"delta": 0.1, "ci95": None, "p_value": 0.001}
        entry["undefined"] = {FORMULA: EVIL}
        entry["settings"] = {EVIL: FORMULA}
        entry["provenance"] |= {
            "python": EVIL, "platform": FORMULA, "packages": {EVIL: FORMULA}, "notes": [EVIL],
            "git_commit": EVIL, "model_revision": FORMULA, "started": EVIL, "fgbench": EVIL,
        }  # fmt: skip
        if entry["synthetic"]:
            entry["synthetic"] |= {"rejected_by": {EVIL: 1, FORMULA: 2}, "notes": {EVIL: 1}}
    board["entries"][0]["published"] = {
        "source": EVIL, "place": FORMULA, "url": "javascript:alert(1)", "notes": EVIL,
    }  # fmt: skip
    file.write_text(json.dumps(board), encoding="utf-8")
    (samples,) = (folder / "samples").iterdir()
    lines = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        line |= {"dataset": EVIL, "generator": EVIL, "design": FORMULA}
    samples.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def test_markup_and_formulas_in_every_field_are_text(visit, evil_run, tmp_path):
    write_report(evil_run, evil_run / "report.html")
    board = write_board_page(evil_run, tmp_path / "page").file
    for file in (evil_run / "report.html", board):
        page = visit(file)
        for place in ("planes", "costs", "diagrams"):
            page.descriptions(place)
        page.page.click("#metric-choice summary")
        page.page.get_by_label(EVIL, exact=True).check()
        page.page.keyboard.press("Escape")
        page.page.locator("button.sort").last.click()
        for number in range(3):
            page.page.locator("button.open").nth(number).click()
        assert page.page.title().startswith(EVIL)
        text = page.page.inner_text("main")
        assert EVIL in text
        assert FORMULA in text
        assert page.page.locator("img").count() == 0
        assert page.page.locator("script").count() == 4
        assert page.page.locator('a[href^="javascript"]').count() == 0


def test_a_script_that_is_not_the_page_s_own_does_not_run(browser, quick_page):
    page = Visit(browser, quick_page)
    page.page.evaluate(
        "() => { const script = document.createElement('script');"
        " script.textContent = 'window.taken = true'; document.body.append(script);"
        " const image = document.createElement('img'); image.src = 'https://x.test/a.png';"
        " document.body.append(image); }"
    )
    assert page.page.evaluate("window.taken === undefined")
    assert sum("Content Security Policy" in text for text in page.said) == 2
    assert page.refused == ["csp"]
    page.close()


def test_a_report_leads_from_an_entry_to_its_bins_and_texts(visit, tmp_path):
    make_run(tmp_path / "run")
    write_report(tmp_path / "run", tmp_path / "run" / "report.html")
    page = visit(tmp_path / "run" / "report.html")
    page.page.locator("tr.entry", has_text="synthesis+").first.locator("button.open").click()
    page.page.get_by_role("link", name="targeted bins, with sources").click()
    section = page.page.locator("section[aria-labelledby=samples]")
    assert page.page.url.endswith("#samples-0")
    pair = section.locator(".pair").first
    assert pair.locator("p").count() == 2
    assert "source 0: plain text" in pair.inner_text()
    assert "synthetic 0: plain text" in pair.inner_text()


def test_samples_of_a_run_stand_on_the_page_of_a_board_when_asked_for(visit, tmp_path):
    make_run(tmp_path / "run")
    shutil.copytree(tmp_path / "run" / "predictions", tmp_path / "predictions")
    shutil.copyfile(tmp_path / "run" / "leaderboard.json", tmp_path / "board.json")
    plain = visit(write_board_page(tmp_path / "board.json", tmp_path / "plain").file)
    assert "plain text" not in plain.page.inner_text("main")
    both = write_board_page(tmp_path / "board.json", tmp_path / "with", [tmp_path / "run"])
    page = visit(both.file)
    assert "source 0: plain text" in page.page.inner_text("main")
