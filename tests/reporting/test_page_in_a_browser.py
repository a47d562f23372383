"""The page opened in a real browser without a network: nothing runs, nothing is fetched, and pictures of it are kept."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from finished_run import ATTACK, SIX, Run

from teacherlm.stages.report import STAGE, ReportConfig

ARTEFACTS = Path(__file__).resolve().parent.parent.parent / "artefacts"
pytestmark = [pytest.mark.slow, pytest.mark.real]
LOOKS = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "device_scale_factor": 2},
}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    STAGE.run(ReportConfig(input=Run(root).write(), output=root / "report", title="Word problems"))
    return root / "report" / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def grid_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 tasks x 6 students x 3 seeds, of stored results."""
    root = tmp_path_factory.mktemp("grid")
    outputs = Run(root, SIX, (0, 1, 2), 150, ("creak", "ecqa", "strategyqa"), lettered=True).write()
    STAGE.run(ReportConfig(input=outputs, output=root / "report", title="Three tasks, six students, three seeds"))
    return root / "report" / "report.html"


def looked_at(browser: Any, file: Path, look: str, picture: str) -> None:
    """Nothing runs, nothing is fetched, model text is text, and the page does not scroll sideways; leaves a picture."""
    context = browser.new_context(offline=True, **LOOKS[look])
    page = context.new_page()
    events: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: events.append(message.text))
    page.on("pageerror", lambda error: events.append(str(error)))
    page.on("dialog", lambda dialog: (events.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    for section in ("#examples", "#data", "#disagreements"):
        assert ATTACK in page.inner_text(section)
    opened = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = one.matches('#examples > details:first-of-type'))")
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{picture}_{look}.png", full_page=True)
    closed = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    context.close()
    assert events == []
    assert requests == [file.as_uri()]
    assert all(width <= inner for width, inner in (opened, closed)), "the page itself must not scroll sideways"


@pytest.mark.parametrize("look", LOOKS)
def test_the_page_shows_model_text_as_text_and_asks_the_network_for_nothing(browser: Any, page_file: Path, look: str) -> None:
    looked_at(browser, page_file, look, "report")


@pytest.mark.parametrize("look", LOOKS)
def test_so_does_one_of_three_tasks_six_students_and_three_seeds(browser: Any, grid_file: Path, look: str) -> None:
    looked_at(browser, grid_file, look, "grid")
    assert grid_file.stat().st_size < 5_000_000


def test_the_page_can_be_used_with_the_keyboard_alone(browser: Any, page_file: Path) -> None:
    page = browser.new_page(offline=True)
    page.goto(page_file.as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the tables"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    second = page.locator("#examples details").nth(1)
    second.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert second.get_attribute("open") is not None
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(browser: Any, page_file: Path, scheme: str) -> None:
    """WCAG AA: 4.5 to 1 for text, 3 to 1 for the colours of series, on cards."""
    page = browser.new_page(offline=True, color_scheme=scheme)
    page.goto(page_file.as_uri())
    colours = page.evaluate(
        """() => Object.fromEntries(['card', 'ink', 'muted', 'accent', 'good', 'bad', 'good-sunk', 'bad-sunk', 's0', 's1', 's2', 's3', 's4',
        's5', 's6'].map(name => [name, getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim()]))"""
    )
    page.close()
    for name in ("ink", "muted", "accent"):
        assert contrast(colours[name], colours["card"]) >= 4.5, name
    for name in ("good", "bad"):
        assert contrast(colours[name], colours[f"{name}-sunk"]) >= 4.5, name
    for place in range(7):
        assert contrast(colours[f"s{place}"], colours["card"]) >= 3, f"s{place}"


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
