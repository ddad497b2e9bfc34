"""Pages are safe from markup and formulas in every field, and from foreign scripts."""

import json

import pytest

from fgbench.report import write_board_page, write_report
from support.boards import make_run
from support.browser import Visit

EVIL = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>\"'&"
FORMULA = '=HYPERLINK("http://x.test","y")'


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
        for against in entry["contrasts"].values():
            against["metrics"][EVIL] = {"difference": 0.1, "p_value": 0.001}
            against["reasons"] = {EVIL: EVIL}
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
        line |= {"dataset": EVIL, "generator": FORMULA}
    samples.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def test_markup_and_formulas_are_shown_as_text(visit, evil_run, tmp_path):
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


def test_foreign_script_does_not_run(browser, quick_page):
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
