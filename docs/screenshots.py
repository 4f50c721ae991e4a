"""Screenshots of an experiment in NNI's web UI: ``python docs/screenshots.py http://127.0.0.1:8080 docs/images``.

The experiment runs, or is looked at with ``nnictl view``. It needs Chromium, its driver and selenium.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import closing
from io import BytesIO
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SIZE = (1280, 900)
COLOURS = 64
TABS = {
    "default-metric": "Default metric",
    "hyper-parameter": "Hyper-parameter",
    "duration": "Duration",
    "intermediate-result": "Intermediate result",
}
"""Name of the picture of each tab of "Trials detail", and what is written on the tab."""
DRAWN = {"hyper-parameter": ".parcoords svg text"}
"""An element by which one sees that a tab has been drawn, where it is not a canvas."""


def main() -> None:
    """Take all of them."""
    address, folder = sys.argv[1].rstrip("/"), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with closing(_Browser()) as browser:
        browser.open(f"{address}/oview", "canvas")
        browser.save(folder / "nni-overview.png")
        browser.open(f"{address}/detail", "canvas")
        for name, label in TABS.items():
            browser.click(label)
            browser.wait_for(DRAWN.get(name, "canvas"))
            browser.save(folder / f"nni-{name}.png")


class _Browser:
    """Chromium without a window."""

    def __init__(self) -> None:
        options = webdriver.ChromeOptions()
        for argument in ("--headless", "--no-sandbox", "--disable-gpu", f"--window-size={SIZE[0]},{SIZE[1]}"):
            options.add_argument(argument)
        self._driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        self._wait = WebDriverWait(self._driver, 60, ignored_exceptions=[WebDriverException])

    def open(self, address: str, element: str) -> None:
        """Go to a page and wait for an element of it."""
        self._driver.get(address)
        self.wait_for(element)

    def click(self, label: str) -> None:
        """Click on what says ``label``."""
        self._wait.until(lambda d: d.find_element(By.XPATH, f"//*[text()='{label}']").click() or True)

    def wait_for(self, element: str) -> None:
        """Wait until a CSS selector finds something."""
        self._wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, element))

    def save(self, path: Path) -> None:
        """Save the page when it has stopped to move, in few colours."""
        last, now = b"", self._driver.get_screenshot_as_png()
        while last != now:
            last = now
            self._driver.execute_async_script("setTimeout(arguments[0], 700)")
            now = self._driver.get_screenshot_as_png()
        Image.open(BytesIO(now)).convert("RGB").quantize(COLOURS).save(path, optimize=True)

    def close(self) -> None:
        """End it."""
        self._driver.quit()


if __name__ == "__main__":
    main()
