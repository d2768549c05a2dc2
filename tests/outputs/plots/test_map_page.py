"""The page of a map in a real browser without network."""

from __future__ import annotations

import time
from pathlib import Path

from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from geographer import Dataset
from tests.browser import list_console_errors, list_requests


def wait_for_text(browser: Chrome, selector: str, text: str) -> bool:
    for _ in range(100):
        if text in browser.find_element(By.CSS_SELECTOR, selector).text:
            return True
        time.sleep(0.1)
    return False


def test_map_names_objects_and_asks_for_nothing(browser: Chrome, hostile: Dataset, tmp_path: Path) -> None:
    page = hostile.plot.map(class_="<img src=x onerror=alert(1)>").save(tmp_path / "map.html")
    list_requests(browser)
    browser.get(page.as_uri())
    assert wait_for_text(browser, "#map-scale", "km")
    middle = browser.find_element(By.ID, "map")
    ActionChains(browser).move_to_element(middle).click().perform()
    assert wait_for_text(browser, "#map-pointer", "<img src=x onerror=alert(1)>: y")
    assert browser.find_element(By.CSS_SELECTOR, "button[data-map=selection]").is_enabled()
    assert list_requests(browser) == [page.as_uri()]
    assert list_console_errors(browser) == []
