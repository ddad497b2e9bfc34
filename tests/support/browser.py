"""A browser for the tests of pages: Chromium, driven by Playwright, without network access."""

import os
import shutil
from contextlib import contextmanager

import pytest

_QUIET = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def chromium():
    """Yield a browser, or skip the test if none is installed.

    FGBENCH_TEST_BROWSER names one that must be there; else `chromium` on the path is taken.
    """
    sync_api = pytest.importorskip("playwright.sync_api")
    named = os.environ.get("FGBENCH_TEST_BROWSER")
    executable = named or shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("there is no chromium here, and FGBENCH_TEST_BROWSER names none")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(_QUIET))
        yield browser
        browser.close()


class Visit:
    """An open page, with all that it logged and requested."""

    def __init__(self, browser, file, *, address="", **context):
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, **context}
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.said, self.asked, self.refused, self.dialogs = [], [], [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("requestfailed", lambda request: self.refused.append(request.failure))
        self.page.on("dialog", self._dismiss)
        self.page.goto(file.as_uri() + address)
        if context.get("java_script_enabled", True):
            self.page.wait_for_selector("#explorer:not([hidden])")

    def _dismiss(self, dialog):
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def close(self):
        self.context.close()

    @property
    def status(self):
        return self.page.inner_text("#status")

    def rows(self):
        """Return the ids of the entries that the table shows, from above."""
        return self.page.eval_on_selector_all(
            "#entries tr.entry", "rows => rows.map(row => row.dataset.id)"
        )

    def turned(self, read):
        """Return what `read` returns on each page of the table from the shown one on, as a list."""
        found = list(read())
        following = self.page.locator('#pages button[data-turn="Next"]')
        while following.is_visible() and following.is_enabled():
            following.click()
            found += read()
        return found

    def cells(self, selector):
        return self.page.eval_on_selector_all(
            selector, "found => found.map(each => each.innerText)"
        )

    def sort(self, key):
        self.page.click(f'button.sort[data-key="{key}"]')

    def choose(self, facet, *values):
        """Check values of a filter, and fold it away."""
        box = self.page.locator(f'details[data-facet="{facet}"]')
        box.locator("summary").click()
        for value in values:
            box.get_by_label(value, exact=True).click()
        self.page.keyboard.press("Escape")

    def descriptions(self, place):
        """Scroll a section into view; return the accessible descriptions of its charts."""
        self.page.locator(f"#{place} h3").scroll_into_view_if_needed()
        self.page.locator(f"#{place} figure").first.wait_for()
        self.page.locator(f"#{place} h3").scroll_into_view_if_needed()  # what is above has grown
        return self.page.eval_on_selector_all(
            f"#{place} figure [role=img]",
            "found => found.map(each => each.getAttribute('aria-label'))",
        )
