"""The page of `fgbench evaluate --html` in a real browser."""

import numpy as np
import pytest

from fgbench import evaluate


@pytest.fixture(scope="module")
def assessment():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 1, size=300)
    return evaluate([p, p], (rng.random(300) < p).astype(int), replicates=50)


@pytest.mark.parametrize("width", [1280, 390])
def test_page_draws_the_diagram_and_shows_the_table(browser, assessment, tmp_path, width):
    title = "</script><script>alert(1)</script> & <b>ours</b>.csv"
    file = tmp_path / "page.html"
    file.write_text(assessment.page(title), "utf-8")
    page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    messages, requests = [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("dialog", lambda dialog: messages.append(dialog.message))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector("#diagram figure")

    drawn = assessment.diagram.pooled.diagram
    filled = int((drawn.counts > 0).sum())
    assert page.text_content("h1") == title
    # The curve has a dot for each bin, and the bars one bar.
    assert page.locator("#diagram g[data-mark=dot] circle").count() == filled
    assert page.locator("#diagram svg >> nth=1 >> g[data-mark=rect] rect").count() == filled
    label = page.get_attribute("#diagram [role=img]", "aria-label")
    assert f"of {filled} non-empty bins" in label and title in label
    rows = page.locator("tbody tr").all_text_contents()
    assert len(rows) == len(assessment)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert messages == []
    assert requests == [file.as_uri()]
