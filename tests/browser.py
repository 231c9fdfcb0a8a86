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
def pages():
    """What `page` may use again."""
    return []


SIZE = {"width": 1280, "height": 720}
THE_TIME_IS_REAL = "() => Date.now() > 1e12"


@pytest.fixture
def page(browser, pages):
    """The page of the test before, empty again: a new one costs four times as much.

    What a test asks for with `emulate_media` and `set_viewport_size` is taken back.
    """
    page = pages.pop() if pages else browser.new_context(viewport=SIZE).new_page()
    heard, listen = [], page.on
    page.on = lambda event, f: (heard.append((event, f)), listen(event, f))
    yield page
    del page.on
    for event, f in heard:
        page.remove_listener(event, f)
    if not page.is_closed() and page.evaluate(THE_TIME_IS_REAL):
        page.goto("about:blank")
        page.emulate_media(media="null", color_scheme="null", reduced_motion="null")
        page.set_viewport_size(SIZE)
        pages.append(page)
    else:
        page.context.close()


def serious_problems(page):
    """What axe finds that would keep somebody from using the page, as it is now."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    return [
        (found["id"], [node["html"][:200] for node in found["nodes"]])
        for found in axe.Axe().run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]
