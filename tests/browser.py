"""A headless Chromium for tests of pages: what it shows, says and fetches. Skips visibly where there is none.

Screenshots stay in the folder that ``LOWBIT_ARTIFACTS`` names, else in ``build/pages``.
"""

import base64
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

ARTIFACTS = Path(os.environ.get("LOWBIT_ARTIFACTS") or Path(__file__).parents[1] / "build" / "pages")

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
)

# Contrast (WCAG 2) of every element that has text of its own, on whatever is painted behind it.
_CONTRAST = """
const parse = text => { const n = text.match(/[\\d.]+/g).map(Number);
  return n.length < 4 ? [...n.slice(0, 3), 1] : n; };
const over = (top, ground) => [0, 1, 2].map(i => top[3] * top[i] + (1 - top[3]) * ground[i]);
const light = c => {
  const f = c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
const painted = element => { const style = getComputedStyle(element);
  if (!(element instanceof SVGElement)) return parse(style.backgroundColor);
  if (!['rect', 'circle', 'path'].includes(element.tagName) || style.fill === 'none') return [0, 0, 0, 0];
  const fill = parse(style.fill); return [...fill.slice(0, 3), fill[3] * parseFloat(style.fillOpacity)]; };
const result = [];
for (const element of document.querySelectorAll('body *')) {
  const text = [...element.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join('');
  const box = element.getBoundingClientRect();
  if (!text || !box.width || ['STYLE', 'TITLE'].includes(element.tagName)) continue;
  const x = box.x + box.width / 2, y = box.y + box.height / 2;
  if (x < 0 || x >= innerWidth) continue;
  let ground = parse(getComputedStyle(document.documentElement).backgroundColor).slice(0, 3);
  for (const below of document.elementsFromPoint(x, y).reverse())
    if (below !== element || !(element instanceof SVGElement)) ground = over(painted(below), ground);
  const style = getComputedStyle(element);
  const ink = over(parse(element instanceof SVGElement ? style.fill : style.color), ground);
  const [dark, bright] = [light(ink), light(ground)].sort((a, b) => a - b);
  result.push({text, contrast: (bright + 0.05) / (dark + 0.05), height: box.height});
}
return result;
"""

# Elements that stick out to the right, but for those inside what scrolls by itself.
_OUTSIDE = """
return [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') || e.matches('.scroll'))
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 120));
"""


class Browser:
    """One window."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def open(self, page: Path, *, width: int = 1100, dark: bool = False) -> None:
        """Show a page, all of it inside the window."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        self._resize(width, 900)
        self._driver.get(page.absolute().as_uri())
        self._resize(width, self.run("return document.documentElement.scrollHeight"))

    def run(self, script: str) -> Any:
        """Return what a script returns; the page itself has none."""
        return self._driver.execute_script(script)

    def run_async(self, script: str) -> Any:
        """Return what a script gives to ``done``."""
        return self._driver.execute_async_script(f"const done = arguments[arguments.length - 1]; {script}")

    def draw(self, selector: str, places: Sequence[tuple[float, float]]) -> None:
        """Draw a line with the mouse, through places from (0, 0), an element's upper left, to (1, 1)."""
        box = self.run(
            f"const b = document.querySelector({selector!r}).getBoundingClientRect();"
            "return [b.x, b.y, b.width, b.height]"
        )
        for number, (x, y) in enumerate((*places, places[-1])):
            kind = "Pressed" if number == 0 else "Released" if number == len(places) else "Moved"
            place = {"x": box[0] + x * box[2], "y": box[1] + y * box[3], "button": "left", "clickCount": 1}
            event = {"type": f"mouse{kind}", "buttons": 1, **place}
            self._driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    def choose(self, selector: str, file: Path) -> None:
        """Choose a file, as somebody would in the window that an input opens."""
        self._driver.find_element("css selector", selector).send_keys(str(file.absolute()))

    def keep(self, name: str) -> Path:
        """Keep a screenshot of the whole page and return its file."""
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        shot = self._driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        (ARTIFACTS / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))
        return ARTIFACTS / f"{name}.png"

    def check(self, least: float = 4.5) -> None:
        """Check that the console is empty, nothing was fetched or sticks out, and all text is legible."""
        assert self._driver.get_log("browser") == []
        assert self.run("return performance.getEntriesByType('resource').map(e => e.name)") == []
        assert self.run(_OUTSIDE) == []
        assert self.run("return document.documentElement.scrollWidth <= innerWidth")
        texts = self.run(_CONTRAST)
        assert len(texts) > 10
        assert [text for text in texts if text["contrast"] < least] == []
        assert [text for text in texts if text["height"] < 9] == []

    def print(self) -> bytes:
        """Return the page as PDF."""
        made = self._driver.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
        return base64.b64decode(made["data"])

    def _resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@contextmanager
def browser() -> Iterator[Browser]:
    """Yield a window of a browser with an empty profile."""
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    program = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*_FLAGS.split(), f"--user-data-dir={profile}"):
            options.add_argument(flag)
        window = webdriver.Chrome(options=options, service=Service(driver))
        try:
            yield Browser(window)
        finally:
            window.quit()
