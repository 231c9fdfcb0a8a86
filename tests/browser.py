"""本物のブラウザ (Chromium) でのテストの準備。ブラウザがなければ飛ばすが、CI では失敗する。"""

import os
import shutil

import pytest


def chromium():
    """Where the browser is. CI installs one: there, a test that is skipped would hide that it
    could not.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found:
        return found
    why = "Chromium がありません (no browser): apt install chromium"
    if os.environ.get("CI"):
        pytest.fail(why)
    return pytest.skip(why)


@pytest.fixture(scope="module")
def browser():
    """One browser per file: starting it takes longer than most tests."""
    playwright = pytest.importorskip("playwright.sync_api")
    executable = chromium()
    with playwright.sync_playwright() as p:
        found = p.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser):
    page = browser.new_page()
    yield page
    page.close()


def serious_problems(page):
    """What axe finds that would keep somebody from using the page, as it is now."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    return [
        (found["id"], [node["html"][:200] for node in found["nodes"]])
        for found in axe.Axe().run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]
