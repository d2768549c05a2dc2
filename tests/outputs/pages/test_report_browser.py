"""Reports in a real browser: no request, no error, all by keyboard, copy buttons, and readable without JavaScript."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from geographer.outputs.pages.report.write import ReportResult
from tests.browser import list_console_errors, list_requests

WAIT_S = 10
SECTIONS = 12


@pytest.fixture(scope="module")
def address(report_result: ReportResult) -> str:
    return report_result.path.as_uri()


@pytest.fixture
def page(browser: Chrome, address: str) -> Iterator[Chrome]:
    list_requests(browser)
    list_console_errors(browser)
    browser.get(address)
    yield browser
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def press_key(page: Chrome, key: str) -> None:
    ActionChains(page).send_keys(key).perform()


def test_page_needs_nothing_else(page: Chrome, address: str) -> None:
    images = page.find_elements(By.TAG_NAME, "img")
    assert images
    assert all(page.execute_script("return arguments[0].naturalWidth", image) for image in images)
    assert list_requests(page) == [address]
    assert list_console_errors(page) == []
    width = page.execute_script("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert width[0] <= width[1]


def test_contents_are_reached_by_keyboard(page: Chrome) -> None:
    links = [link.get_attribute("href") for link in page.find_elements(By.CSS_SELECTOR, "nav.contents a")]
    assert len(links) == SECTIONS
    reached = []
    for _ in range(60):
        press_key(page, Keys.TAB)
        reached.append(page.switch_to.active_element.get_attribute("href"))
        if reached[-1] == links[-1]:
            break
    assert [link for link in reached if link in links][-SECTIONS:] == links
    outline = page.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    press_key(page, Keys.ENTER)
    assert page.current_url.endswith("#check")
    top = page.execute_script("return document.getElementById('check').getBoundingClientRect().top")
    assert top < page.execute_script("return innerHeight")


def test_copy_button_copies(page: Chrome) -> None:
    text = page.find_element(By.ID, "bibtex").text
    button = page.find_element(By.CSS_SELECTOR, "#bibtex + .copy-line button")
    assert button.accessible_name == "Copy: BibTeX"
    page.execute_script(
        "addEventListener('copy', event => { window.copied = String(getSelection()) });"
        "const write = navigator.clipboard.writeText.bind(navigator.clipboard);"
        "navigator.clipboard.writeText = async text => { window.copied = text; await write(text); };"
    )
    button.send_keys(Keys.ENTER)
    status = page.find_element(By.CSS_SELECTOR, "#bibtex + .copy-line [role=status]")
    WebDriverWait(page, WAIT_S).until(lambda _: status.text == "copied")
    assert page.execute_script("return window.copied") == text


def test_page_is_whole_without_scripts(page: Chrome) -> None:
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    page.refresh()
    assert page.find_elements(By.TAG_NAME, "button") == []
    commands = page.find_elements(By.CSS_SELECTOR, "#check pre")
    assert len(commands) > SECTIONS // 3
    assert all(command.is_displayed() and command.text.startswith("geographer ") for command in commands)
    assert len(page.find_elements(By.CSS_SELECTOR, "figure.plot svg")) >= SECTIONS // 4


def test_print_has_all_on_a4(page: Chrome) -> None:
    printed = page.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
    content = base64.b64decode(printed["data"])
    boxes = {box.split(b"]")[0] for box in content.split(b"/MediaBox [")[1:]}
    assert [[round(float(value)) for value in box.split()] for box in boxes] == [[0, 0, 595, 842]]
    # Chromium shrinks what is wider than the paper, so nothing may be.
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    page.set_window_size(760, 900)
    width = page.execute_script("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    page.set_window_size(1280, 900)
    assert width[0] <= width[1]
