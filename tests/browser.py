"""A headless Chromium for tests of pages: what is installed is used, nothing is downloaded.

Without a browser the tests skip, or fail where the environment variable BTLIB_REQUIRE_BROWSER is 1 (as on CI).
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.chrome.webdriver import WebDriver

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DRIVERS = ("chromedriver", "chromium.chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # containers run tests as root
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing outside this machine can be reached
    "--hide-scrollbars",
    "--use-angle=swiftshader",  # WebGL without a graphics card
    "--enable-unsafe-swiftshader",
)


@contextmanager
def chromium(width: int, height: int, dark: bool = False) -> Iterator[WebDriver]:
    """A browser whose page is width × height CSS pixels, in the light or the dark colour scheme.

    See `console_errors` and `requested_urls` for what its pages did.
    """
    browser, driver = (_found(names) for names in (BROWSERS, DRIVERS))
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))  # both paths given: Selenium fetches neither
    try:
        # a window has a least width, a page has none
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        started.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        started.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield started
    finally:
        started.quit()


def console_errors(driver: WebDriver) -> list[str]:
    """What went wrong since the last call: exceptions, failed requests, `console.error`."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def requested_urls(driver: WebDriver) -> list[str]:
    """Every address that pages asked for since the last call, `data:` addresses left out."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [params["request"]["url"] for params in sent if not params["request"]["url"].startswith("data:")]


def _found(names: tuple[str, ...]) -> str:
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        message = f"needs a browser: none of {', '.join(names)} is installed (Debian: apt install chromium-driver)"
        if os.environ.get("BTLIB_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return path
