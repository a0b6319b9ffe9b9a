"""The page in a real browser: no errors, no requests; it fits a phone, prints and enlarges figures."""

from base64 import b64decode

import pytest
from selenium.webdriver.common.by import By

from btlib.report.page import write_page
from tests.browser import chromium, console_errors, requested_urls
from tests.report.make import study

PHONE, DESK = (390, 844), (1360, 900)
BROKEN = "return [...document.images].filter(image => !(image.complete && image.naturalWidth > 0)).length"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_page(folder / "report.html", folder / "report.md", study(folder / "figures"))
    return (folder / "report.html").as_uri()


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_in_both_color_schemes(page, dark):
    with chromium(*PHONE, dark=dark) as browser:
        browser.get(page)
        assert browser.execute_script("return window.innerWidth") == PHONE[0]
        assert browser.execute_script("return document.scrollingElement.scrollWidth") <= PHONE[0]
        assert browser.execute_script(BROKEN) == 0
        ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") is not dark
        # figures are drawn on white
        card = "return getComputedStyle(document.querySelector('.picture')).backgroundColor"
        assert browser.execute_script(card) == "rgb(255, 255, 255)"
        assert console_errors(browser) == []
        assert requested_urls(browser) == [page]


def test_contents_stay_visible_and_a_click_enlarges_a_figure(page):
    with chromium(*DESK) as browser:
        browser.get(page)
        browser.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
        browser.find_element(By.LINK_TEXT, "Model card: intended use and limits").click()
        top = browser.execute_script("return document.querySelector('nav ol').getBoundingClientRect().top")
        assert 0 <= top < DESK[1] / 2
        picture = browser.find_element(By.CSS_SELECTOR, "figure .picture")
        browser.execute_script("arguments[0].scrollIntoView()", picture)
        picture.click()
        covered = browser.find_element(By.CSS_SELECTOR, "figure:target").rect
        assert (covered["width"], covered["height"]) == DESK
        browser.find_element(By.CSS_SELECTOR, "figure:target .back").click()
        assert browser.find_elements(By.CSS_SELECTOR, "figure:target") == []
        assert console_errors(browser) == []


def test_it_prints_with_folded_parts_open_and_without_the_contents(page):
    with chromium(*DESK) as browser:
        browser.get(page)
        pdf = b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
        assert pdf.startswith(b"%PDF-")
        folded = "return document.querySelector('details.table').getBoundingClientRect().height"
        on_screen = browser.execute_script(folded)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        assert not browser.find_element(By.TAG_NAME, "nav").is_displayed()
        assert browser.execute_script(folded) > 2 * on_screen


def test_without_a_browser_these_tests_skip_or_fail_if_one_is_required(monkeypatch):
    monkeypatch.setenv("PATH", "")
    for required, outcome in (("", pytest.skip.Exception), ("1", pytest.fail.Exception)):
        monkeypatch.setenv("BTLIB_REQUIRE_BROWSER", required)
        with pytest.raises(outcome, match="needs a browser: none of chromium"), chromium(*PHONE):
            pass
