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


@pytest.fixture(scope="session")
def browser():
    """One browser for all: starting it takes longer than most tests.

    As long as it is open an event loop runs in this thread: `asyncio.run` needs another one.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    executable = chromium()
    with playwright.sync_playwright() as p:
        found = p.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def contexts():
    """What `page` may use again."""
    return []


@pytest.fixture
def page(browser, contexts):
    """A new page in the context of the page before: a context of its own costs twice as much."""
    context = contexts.pop() if contexts else browser.new_context()
    page = context.new_page()
    yield page
    if page.is_closed() or page.evaluate("() => Date.now()") < 1e12:
        context.close()  # a clock that was set is the context's
    else:
        page.close()
        contexts.append(context)


def serious_problems(page):
    """What axe finds that would keep somebody from using the page, as it is now."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    return [
        (found["id"], [node["html"][:200] for node in found["nodes"]])
        for found in axe.Axe().run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]
