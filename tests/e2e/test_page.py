"""Pages in a real browser, opened from disk: the table, its rows, and where they lead."""

import json
import shutil
from pathlib import Path

import pytest

from fgbench.leaderboard.bundled import board_path
from fgbench.leaderboard.ranking import ranks
from fgbench.report import write_board_page, write_report
from fgbench.report.view import comparisons
from support.boards import make_run


def entries_of(board, dataset):
    return [entry for entry in board.entries if entry.dataset.name == dataset]


def count_of(board, shown=None):
    """Return the start of the status text: how many entries match, of all."""
    return f"{len(board.entries) if shown is None else shown} of {len(board.entries)} entries"


def test_page_opens_from_disk_with_all_entries(visit, quick_page, quick):
    page = visit(quick_page)
    assert page.asked == [quick_page.as_uri()]
    assert page.page.title() == "quick – fgbench board"
    assert page.status == f"{count_of(quick)}, in the board's order"
    groups = page.cells("#entries tr.group")
    assert groups[0] == "banking77 · tfidf-logreg · strict protocol · 5 seeds"
    rows = page.turned(page.rows)
    assert len(rows) == len(quick.entries)
    assert set(rows) == {entry.id for entry in quick.entries}
    titles = {*groups, *page.cells("#entries tr.group")}  # those of both pages
    assert titles == {group.title for group in comparisons(quick)}


@pytest.mark.parametrize("metric", ["ece", "accuracy"])
def test_column_click_sorts_best_worst_then_original(visit, quick_page, quick, metric):
    page = visit(quick_page)
    before = page.rows()
    entries = {entry.id: entry for entry in quick.entries}
    sign = -1 if metric == "accuracy" else 1

    def costs_by_dataset():
        costs = {}
        for name in page.turned(page.rows):
            entry = entries[name]
            cost = sign * round(entry.metrics[metric].estimate, 6)
            costs.setdefault(entry.dataset.name, []).append(cost)
        return costs

    head = page.page.locator("th", has=page.page.locator(f'button[data-key="{metric}"]'))
    page.sort(metric)
    assert page.status == f"{count_of(quick)}, sorted by {metric}, best first"
    assert head.get_attribute("aria-sort") == ("descending" if sign < 0 else "ascending")
    first = len(entries_of(quick, "banking77"))
    assert {entries[name].dataset.name for name in page.rows()[:first]} == {"banking77"}
    best_first = costs_by_dataset()
    assert best_first == {name: sorted(costs) for name, costs in best_first.items()}
    page.sort(metric)
    assert head.get_attribute("aria-sort") == ("ascending" if sign < 0 else "descending")
    assert costs_by_dataset() == {name: costs[::-1] for name, costs in best_first.items()}
    page.sort(metric)
    assert page.rows() == before


def test_sorting_without_comparisons_puts_best_first(visit, quick_page, quick):
    page = visit(quick_page)
    page.sort("ece")
    page.page.uncheck("#grouped")
    entries = {entry.id: entry for entry in quick.entries}
    assert not page.cells("#entries tr.group")
    assert "banking77 · tfidf-logreg" in page.cells("#entries tr.entry th")[0]
    rows = page.turned(page.rows)
    means = [round(entries[name].metrics["ece"].estimate, 6) for name in rows]
    assert len(means) == len(entries)
    assert means == sorted(means)


def test_name_columns_sort_by_arm_and_alphabet(visit, quick_page, quick):
    page = visit(quick_page)
    page.page.uncheck("#grouped")
    page.sort("calibrator")
    assert page.status.endswith("sorted by calibrator, A to Z")
    found = page.turned(lambda: page.cells("#entries tr.entry td:nth-child(2)"))
    assert len(found) == len(quick.entries)
    assert found == sorted(found)
    page.sort("arm")
    assert page.status.endswith("sorted by arm, controls first")
    heads = page.turned(lambda: page.cells("#entries tr.entry th"))
    arms = [text.split("\n")[0].strip("▸ ") for text in heads]
    order = ["baseline", "real", "resample", "other-bins", "no-shift", "synthesis", "synthesis+"]
    assert list(dict.fromkeys(arms)) == order
    assert arms == sorted(arms, key=order.index)


def test_page_marks_entries_not_separable_from_best(visit, quick_page, quick):
    page = visit(quick_page)
    page.sort("ece")
    expected = {}
    for group in comparisons(quick):
        expected |= {key: str(rank) for key, rank in ranks(group.entries, "ece").items()}

    def ranks_shown():
        names, texts = page.rows(), page.cells("#entries tr.entry td.rank")
        marked = page.page.eval_on_selector_all(
            "#entries tr.entry", "rows => rows.map(row => row.classList.contains('first'))"
        )
        return zip(names, texts, marked, strict=True)

    rows = page.turned(ranks_shown)
    assert len(rows) == len(quick.entries)
    for name, text, is_marked in rows:
        rank, *tie = text.split()
        assert rank == expected[name]
        assert tie == (["≈", "best"] if rank.startswith("1–") else ["best"] if rank == "1" else [])
        assert is_marked == bool(tie)
    assert 0 < sum(is_marked for _, _, is_marked in rows) < len(rows)


def test_ring_marks_errors_at_noise_floor(visit, quick_page, quick):
    page = visit(quick_page)
    column = page.cells("#entries thead th").index("ece ↕") + 1
    found = page.turned(
        lambda: zip(
            page.rows(), page.cells(f"#entries tr.entry > :nth-child({column})"), strict=True
        )
    )
    entries = {entry.id: entry for entry in quick.entries}
    for name, text in found:
        record = entries[name].metrics["ece"]
        assert ("°" in text) == record.is_chance
    assert 0 < sum("°" in text for _, text in found) < len(entries) == len(found)


def test_filters_keep_controls_and_reset_restores_all(visit, quick_page, quick):
    page = visit(quick_page)
    page.choose("dataset", "tc")
    of_tc = entries_of(quick, "tc")
    assert page.status.startswith(count_of(quick, len(of_tc)))
    assert set(page.rows()) == {entry.id for entry in of_tc}
    page.choose("arm", "synthesis", "baseline")
    chosen = [entry for entry in of_tc if entry.arm in ("synthesis", "baseline")]
    assert page.status.startswith(count_of(quick, len(chosen)))
    datasets = {entry.dataset.name for entry in quick.entries}
    summary = page.page.inner_text('details[data-facet="dataset"] summary')
    assert f"1 of {len(datasets)}" in summary
    page.page.fill("#search", "SYNTH isoton")
    page.page.wait_for_selector(f"text={count_of(quick, 1)}")
    page.page.fill("#search", "nothing like it")
    page.page.wait_for_selector("text=No entry matches.")
    page.page.click("#reset")
    assert page.status.startswith(count_of(quick))
    assert page.page.input_value("#search") == ""


def test_bins_filter_keeps_entries_without_generator(visit, tmp_path):
    page = visit(write_board_page(board_path(Path("paper-table4")), tmp_path).file)
    page.choose("bins", "20")
    arms = {text.strip("▸ ") for text in page.cells("#entries tr.entry th")}
    assert arms == {"baseline", "synthesis", "synthesis+"}
    assert set(page.cells("#entries tr.entry td:nth-child(3)")) == {"–", "llama2-vllm, 20 bins"}


def test_columns_and_differences_can_be_selected(visit, quick_page, quick):
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
    # Nothing else could undo the order.
    assert page.status == f"{count_of(quick)}, in the board's order"
    page.page.keyboard.press("Escape")
    assert page.page.evaluate("document.activeElement.localName") == "summary"


def test_row_opens_by_keyboard_and_shows_details(visit, quick_page, quick):
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
    assert "Its baseline: of" in said
    assert details.locator("figure g[data-mark=rect]").count() == 3  # the band, counts, theirs
    bands = details.locator("figure g[data-mark=rect]").first.locator("rect").count()
    assert f"of {bands} non-empty bins" in said
    assert page.page.evaluate("document.activeElement.dataset.entry") == entry.id
    page.page.keyboard.press("Enter")
    assert page.page.locator("tr.details").count() == 0


def test_filter_menu_closes_on_focus_loss(visit, quick_page):
    page = visit(quick_page)
    filters = page.page.locator("details.facet")
    filters.first.locator("summary").focus()
    page.page.keyboard.press("Enter")
    assert filters.first.get_attribute("open") == ""
    for _ in range(filters.first.locator("input").count()):
        page.page.keyboard.press("Tab")
        assert filters.first.get_attribute("open") == ""
    page.page.keyboard.press("Tab")
    assert filters.first.get_attribute("open") is None
    assert page.page.evaluate("document.activeElement.localName") == "summary"


def test_control_link_and_url_fragment_open_entry(visit, quick_page, quick):
    entry = next(entry for entry in quick.entries if entry.contrast("real", "ece"))
    page = visit(quick_page, address=f"#{entry.id}")
    assert page.page.locator(f'button.open[data-entry="{entry.id}"]').is_visible()
    assert page.page.locator("tr.details").count() == 1
    page.sort("ece")
    page.choose("arm", entry.arm)
    page.page.locator("tr.details a.control").last.click()
    control_id = [*entry.contrasts.values()][-1].entry
    control = page.page.locator(f'button.open[data-entry="{control_id}"]')
    assert control.get_attribute("aria-expanded") == "true"
    assert page.status.startswith(count_of(quick))  # the filter hid it
    assert page.status.endswith("sorted by ece, best first")  # and the rest stays as it was


def test_large_board_is_paginated(visit, tmp_path):
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
    size, rest = len(copies), len(copies) % 100
    assert f"rows 1–100 of {size}" in page.page.inner_text("#pages")
    page.page.get_by_role("button", name="Last").click()
    assert len(page.rows()) == rest
    assert page.page.get_by_role("button", name="Next").is_disabled()
    assert page.page.evaluate("document.activeElement.dataset.turn") == "First"
    page.page.pdf()  # which prints from the first row on, and gives the page back
    assert len(page.rows()) == rest
    page.page.get_by_role("button", name="Previous").click()
    before = size - rest
    assert f"rows {before - 99}–{before} of {size}" in page.page.inner_text("#pages")
    assert page.page.evaluate("document.activeElement.dataset.turn") == "Previous"
    page.sort("ece")
    assert f"rows 1–100 of {size}" in page.page.inner_text("#pages")
    page.page.locator("button.open").first.click()
    assert (
        "No reliability diagram: no predictions are stored with the board."
        in page.page.inner_text("tr.details")
    )


def test_report_links_entry_to_its_bins_and_texts(visit, tmp_path):
    make_run(tmp_path / "run")
    write_report(tmp_path / "run", tmp_path / "run" / "report.html")
    page = visit(tmp_path / "run" / "report.html")
    page.page.locator("tr.entry", has_text="synthesis+").first.locator("button.open").click()
    page.page.get_by_role("link", name="targeted bins, source and synthetic texts").click()
    section = page.page.locator("section[aria-labelledby=samples]")
    assert page.page.url.endswith("#samples-0")
    pair = section.locator(".pair").first
    assert pair.locator("p").count() == 2
    assert "source 0: plain text" in pair.inner_text()
    assert "synthetic 0: plain text" in pair.inner_text()


def test_board_page_includes_samples_on_request(visit, tmp_path):
    make_run(tmp_path / "run")
    shutil.copytree(tmp_path / "run" / "predictions", tmp_path / "predictions")
    shutil.copyfile(tmp_path / "run" / "leaderboard.json", tmp_path / "board.json")
    plain = visit(write_board_page(tmp_path / "board.json", tmp_path / "plain").file)
    assert "plain text" not in plain.page.inner_text("main")
    both = write_board_page(tmp_path / "board.json", tmp_path / "with", [tmp_path / "run"])
    page = visit(both.file)
    assert "source 0: plain text" in page.page.inner_text("main")
