"""The page in a real browser: uploads are answered, and errors are explained."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from btlib.app.serve.app import app_for
from btlib.app.serve.predictors import Predictors
from tests.app.serve import fakes
from tests.app.serve.live import served
from tests.browser import chromium, console_errors, requested_urls

PATIENCE = 60  # seconds; the viewer has no graphics card here


@pytest.fixture(scope="module")
def address():
    with served(app_for(fakes.Inline(fakes.load()))) as found:
        yield found


@pytest.fixture(scope="module")
def outlining():
    """The address of a page whose model has a lesion head."""
    models = Predictors(fakes.slice_model(fakes.lesion_answer), None)
    with served(app_for(fakes.Inline(models))) as found:
        yield found


@pytest.fixture(scope="module")
def desktop():
    with chromium(1200, 900) as driver:
        yield driver


@pytest.fixture(scope="module")
def phone():
    with chromium(390, 844, dark=True) as driver:
        yield driver


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.png"
    path.write_bytes(fakes.png())
    return path


def opened(driver, address):
    driver.get(address)
    WebDriverWait(driver, PATIENCE).until(lambda page: "phantom data" in text(page, "#models"))
    return driver


def send(page, *paths):
    """Chooses files, and waits for the answer or the error."""
    page.find_element(By.ID, "files").send_keys("\n".join(map(str, paths)))
    wait_for_an_answer(page)


def wait_for_an_answer(page):
    WebDriverWait(page, PATIENCE).until(
        lambda page: text(page, "#status").startswith("Answered") or text(page, "#error")
    )


def text(page, selector):
    return page.find_element(By.CSS_SELECTOR, selector).text


def change(page, selector, value):
    """Moves a slider."""
    page.execute_script(
        "const slider = document.querySelector(arguments[0]); slider.value = arguments[1];"
        "slider.dispatchEvent(new Event('input'))",
        selector,
        value,
    )


def canvas(page):
    """Pixels shown by the viewer, float [H, W, 3]."""
    return pixels(page.find_element(By.TAG_NAME, "canvas"))


def pixels(element):
    """A part of the page as it is shown, float [H, W, 3]."""
    return np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB"), float)


def colored(pixels):
    """The share of pixels that are not grey."""
    return np.mean(pixels.max(axis=2) - pixels.min(axis=2) > 30)


def width(page):
    """Required and available width of the page."""
    return page.execute_script("return [document.documentElement.scrollWidth, innerWidth]")


def test_an_image_is_answered(desktop, address, scan):
    page = opened(desktop, address)
    send(page, scan)
    assert text(page, "h2") == "Unsure; most likely glioma (62.5%)"
    assert text(page, ".name") == "scan.png"
    assert text(page, ".doubts").startswith("Unsure: 62.5% is less than 70.0%")
    bars = [bar.text for bar in page.find_elements(By.CSS_SELECTOR, ".bars > *")]
    assert bars == ["glioma", "62.5%", "meningioma", "25.0%", "no tumor", "12.5%", "pituitary", "0.0%"]
    for name in ("picture", "overlay"):
        assert page.execute_script(f"return document.querySelector('.{name}').naturalWidth") == 64
    change(page, "figure input", 25)
    assert page.find_elements(By.CSS_SELECTOR, ".of-lesion") == [], "no lesion head"
    assert page.find_element(By.CSS_SELECTOR, ".overlay").value_of_css_property("opacity") == "0.25"
    assert page.execute_script("return document.activeElement.id") == "answer"
    assert text(page, "#error") == ""
    assert console_errors(page) == []


def test_the_outline_stays_without_the_heat_and_can_be_hidden(desktop, outlining, scan):
    page = opened(desktop, outlining)
    send(page, scan)
    assert text(page, ".share") == "Outlined: 50.0% of the image"
    change(page, "figure input[type=range]", 0)
    outline, box = (page.find_element(By.CSS_SELECTOR, name) for name in (".outline", "figure input[type=checkbox]"))
    stack = page.find_element(By.CSS_SELECTOR, ".stack")
    assert box.accessible_name == "Outlined: 50.0% of the image"
    assert outline.size == stack.size == page.find_element(By.CSS_SELECTOR, ".picture").size
    assert colored(pixels(stack)) > 0.005
    box.click()
    assert not outline.is_displayed()
    assert colored(pixels(stack)) == 0
    box.click()
    assert outline.is_displayed()
    assert console_errors(page) == []


def test_nothing_outlined_is_said(desktop, outlining, tmp_path):
    page = opened(desktop, outlining)
    (tmp_path / "scan.png").write_bytes(fakes.png(height=32))
    send(page, tmp_path / "scan.png")
    assert text(page, ".share") == "Outlined: nothing"
    assert page.find_elements(By.CSS_SELECTOR, "figure input[type=checkbox]") == []


def test_invalid_file_is_refused_without_side_effects(desktop, address, scan, tmp_path):
    rubbish = tmp_path / "<img src=x onerror=alert(1)>.png"
    rubbish.write_bytes(b"no image")
    page = opened(desktop, address)
    send(page, scan)
    send(page, rubbish)
    said, why = text(page, "#error").split("\n")
    assert said == "That did not work:"
    assert why.startswith("_img src=x onerror=alert(1)_.png: not a supported JPEG, PNG, TIFF, BMP or WebP image")
    assert page.find_element(By.ID, "error").get_attribute("role") == "alert"
    assert not page.find_element(By.ID, "answer").is_displayed()
    send(page, scan)
    assert text(page, "#error") == ""
    assert page.find_element(By.ID, "answer").is_displayed()
    (refused,) = console_errors(page)
    assert "422" in refused


def test_too_many_files_are_not_sent(desktop, address, tmp_path):
    page = opened(desktop, address)
    paths = [tmp_path / f"{number}.dcm" for number in range(17)]
    for path in paths:
        path.write_bytes(b"slice")
    requested_urls(page)
    send(page, *paths)
    assert (
        text(page, "#error").split("\n")[1]
        == "17 files; at most 16 are accepted. Pack a study of many files into one .zip."
    )
    assert requested_urls(page) == []


def test_the_folder_of_a_case_can_be_dropped(desktop, address, tmp_path):
    page = opened(desktop, address)
    fakes.case_files(tmp_path / "case")
    data = {"items": [], "files": [str(tmp_path / "case")]}
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": 600, "y": 300, "data": data | {"dragOperationsMask": 1}}
        page.execute_cdp_cmd("Input.dispatchDragEvent", event)
    wait_for_an_answer(page)
    assert text(page, "h2") == "High-grade glioma, 87.5%"


def test_a_case_is_shown_in_slices(desktop, address, tmp_path):
    page = opened(desktop, address)
    send(page, *fakes.case_files(tmp_path))
    assert text(page, "h2") == "High-grade glioma, 87.5%"
    assert text(page, ".volumes table").split("\n") == [
        "whole tumour 0.5 ml",
        "tumour core 0.1 ml",
        "enhancing tumour 0.0 ml",
    ]
    with_tumor = canvas(page)
    assert colored(with_tumor) > 0.01
    change(page, "[data-is=overlays] label:nth-of-type(1) input", 0)
    without = canvas(page)
    assert colored(without) == 0
    assert np.mean(without.max(axis=2) > 60) > 0.05  # the scan is still visible
    page.find_element(By.CSS_SELECTOR, "input[value=flair]").click()
    assert np.mean(np.abs(canvas(page) - without) > 5) > 0.05
    change(page, "[data-is=overlays] label:nth-of-type(2) input", 100)
    assert colored(canvas(page)) > 0.01
    assert console_errors(page) == []


def test_answer_lists_the_scans_used(desktop, address, tmp_path):
    page = opened(desktop, address)
    send(page, *fakes.case_files(tmp_path))
    assert text(page, ".sources table") == "T1 case_t1.nii.gz its name"
    assert not page.find_element(By.CSS_SELECTOR, "#menu details").get_property("open")
    assert page.find_element(By.CSS_SELECTOR, "#menu select[name=t1ce]").get_property("value") == "case_t1ce.nii.gz"


def test_uninformative_names_are_assigned_by_the_menu(desktop, address, tmp_path):
    page = opened(desktop, address)
    files = [file.rename(tmp_path / f"{number}.nii.gz") for number, file in enumerate(fakes.case_files(tmp_path))]
    send(page, *files)
    assert text(page, "#error").startswith("That did not work:")
    selects = page.find_elements(By.CSS_SELECTOR, "#menu select")
    assert [select.accessible_name for select in selects] == ["T1", "T1ce", "T2", "FLAIR"]
    for select, file in zip(selects, files, strict=True):
        select.send_keys(file.name)
    page.find_element(By.CSS_SELECTOR, "#menu button").send_keys(Keys.ENTER)
    WebDriverWait(page, PATIENCE).until(lambda page: text(page, "#status").startswith("Answered"))
    assert text(page, "h2") == "High-grade glioma, 87.5%"
    assert page.find_element(By.CSS_SELECTOR, "#menu select[name=flair]").get_property("value") == "3.nii.gz"
    console_errors(page)


def test_sliders_move_through_the_slices(desktop, address, tmp_path):
    page = opened(desktop, address)
    send(page, *fakes.case_files(tmp_path))
    page.find_element(By.CSS_SELECTOR, "input[value=AXIAL]").click()
    assert colored(canvas(page)) > 0.01
    change(page, "[data-is=slices] label:nth-of-type(3) input", 17)  # above the tumour
    assert colored(canvas(page)) == 0


def test_a_browser_without_webgl_still_gets_the_numbers(desktop, address, tmp_path):
    page = opened(desktop, address)
    page.execute_script("HTMLCanvasElement.prototype.getContext = () => null")
    send(page, *fakes.case_files(tmp_path))
    assert text(page, "h2") == "High-grade glioma, 87.5%"
    assert "WebGL 2" in text(page, ".shown")


def test_a_phone_in_the_dark(phone, address, scan, tmp_path):
    page = opened(phone, address)
    assert width(page) == [390, 390]
    send(page, scan)
    assert width(page) == [390, 390]
    send(page, *fakes.case_files(tmp_path))
    assert width(page) == [390, 390]
    assert colored(canvas(page)) > 0.005
    background = page.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
    assert max(json.loads(f"[{background.split('(')[1].rstrip(')')}]")[:3]) < 60


def test_the_keyboard_reaches_the_files_and_every_control_has_a_name(desktop, address, tmp_path):
    page = opened(desktop, address)
    page.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert page.execute_script("return document.activeElement.id") == "files"
    send(page, *fakes.case_files(tmp_path))
    inputs = page.find_elements(By.TAG_NAME, "input")
    assert len(inputs) == 1 + 4 + 4 + 3 + 3
    assert [one.get_attribute("outerHTML") for one in inputs if not one.accessible_name] == []


def test_nothing_is_loaded_from_other_hosts(desktop, address, scan, tmp_path):
    requested_urls(desktop)
    page = opened(desktop, address)
    send(page, scan)
    send(page, *fakes.case_files(tmp_path))
    asked = requested_urls(page)
    assert any(url.endswith("niivue.umd.js") for url in asked)
    assert [url for url in asked if not url.startswith(f"{address}/")] == []
