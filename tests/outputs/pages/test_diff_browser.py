"""The page of a difference in a real browser: links between flags, table, map and chips; keyboard; print; no request."""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from geographer import Dataset
from tests.browser import list_console_errors, list_requests
from tests.outputs.pages.diff_pages import create_hostile_dataset
from tests.sample_history import SampleHistory

WAIT_S = 30
MAP = "geographer.page.map"


@pytest.fixture(scope="module")
def addresses(sample_history: SampleHistory, tmp_path_factory) -> dict[str, str]:
    """The addresses of the pages: of the sample history, of hostile names, and of no changes."""
    folder = tmp_path_factory.mktemp("pages")
    sample = Dataset.open(shutil.copytree(sample_history.root, folder / "sample"))
    hostile = create_hostile_dataset(folder / "hostile", folder)
    written = {
        "sample": sample.write_diff_page("v1", "v2", folder / "sample.html"),
        "empty": sample.write_diff_page("v2", "v2", folder / "empty.html"),
        "hostile": hostile.write_diff_page(1, None, folder / "hostile.html"),
    }
    return {name: page.path.as_uri() for name, page in written.items()}


def open_page(browser: Chrome, address: str) -> Chrome:
    browser.get(address)
    wait_until(browser, "document.documentElement.dataset.drawn")
    return browser


def wait_until(browser: Chrome, script: str) -> Any:
    return WebDriverWait(browser, WAIT_S, poll_frequency=0.05).until(
        lambda driver: driver.execute_script(f"return {script}")
    )


@pytest.fixture
def page(browser: Chrome, addresses: dict[str, str]) -> Iterator[Chrome]:
    """The page of the sample history, just opened; nothing but it is asked for, and it reports no errors."""
    list_requests(browser)
    list_console_errors(browser)
    yield open_page(browser, addresses["sample"])
    assert list_requests(browser) == [addresses["sample"]]
    assert list_console_errors(browser) == []


def read_span(page: Chrome) -> list[float]:
    return page.execute_script(f"return {MAP}.getSpan()")


def read_current(page: Chrome) -> str:
    return page.execute_script("return document.querySelector('#objects tr[aria-current] button').textContent")


def find_on_screen(page: Chrome, name: str) -> tuple[float, float]:
    """Return the point of the window in which the map shows the middle of an object."""
    page.execute_script(f"{MAP}.element.scrollIntoView({{block: 'center'}})")
    return tuple(
        page.execute_script(
            f"""const map = {MAP}, row = geographer.page.rows.find((item) => item.name === arguments[0]);
            const [xmin, ymin, xmax, ymax] = map.shapesOfPlace.get(row.place)[0].bounds;
            const box = map.element.getBoundingClientRect(), frame = map.view.frame.bbox;
            const x = map.view.frame.x_scale.compute((xmin + xmax) / 2);
            const y = map.view.frame.y_scale.compute((ymin + ymax) / 2);
            return [box.x + x, box.y + y];""",
            name,
        )
    )


def click_at(page: Chrome, x: float, y: float) -> None:
    for kind in ("mousePressed", "mouseReleased"):
        event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
        page.execute_cdp_cmd("Input.dispatchMouseEvent", event)


def test_flag_selects_row_and_zooms(page: Chrome):
    before = read_span(page)
    page.find_element(By.XPATH, "//table[@id='flags']//button[text()='p1']").click()
    assert read_current(page) == "p1"
    assert page.find_element(By.ID, "details-title").text == "feature p1"
    assert "@13" in page.find_element(By.ID, "details-body").text
    after = read_span(page)
    assert after[2] - after[0] < (before[2] - before[0]) / 2
    assert page.execute_script("return document.activeElement.textContent") == "p1"


def test_flag_of_a_class_filters(page: Chrome):
    page.find_element(By.CSS_SELECTOR, "#flags button[data-filter]").click()
    assert Select(page.find_element(By.NAME, "class")).first_selected_option.text == "quarry"
    assert "1 of 41 objects" in page.find_element(By.ID, "shown").text


def test_tap_on_the_map_selects_the_row(page: Chrome):
    page.execute_script("geographer.page.map.zoomTo(geographer.page.rows.find((row) => row.name === 'w1').place)")
    time.sleep(0.3)
    span = read_span(page)
    click_at(page, *find_on_screen(page, "w1"))
    wait_until(page, "document.querySelector('#objects tr[aria-current]')")
    assert read_current(page) == "w1"
    assert read_span(page) == pytest.approx(span)


def test_filters_agree_with_counts_map_and_table(page: Chrome):
    Select(page.find_element(By.NAME, "kind")).select_by_visible_text("feature")
    Select(page.find_element(By.NAME, "change")).select_by_visible_text("added")
    assert page.find_element(By.ID, "shown").text == "2 of 41 objects: 2 added, 0 removed, 0 changed."
    names = [button.text for button in page.find_elements(By.CSS_SELECTOR, "#objects tbody button")]
    assert names == ["p3", "w1"]
    assert page.find_element(By.CSS_SELECTOR, "[data-count='features-added']").text == "2"
    assert page.find_element(By.CSS_SELECTOR, "[data-count='features-removed']").text == "0"
    drawn = page.execute_script(
        f"return [...{MAP}.renderers].filter(([name]) => name.startsWith('features-'))"
        ".map(([name, item]) => item.data_source.get_length())"
    )
    assert sum(drawn) == 2
    page.find_element(By.CSS_SELECTOR, "#filters button[type=reset]").click()
    wait_until(page, "document.getElementById('shown').textContent.startsWith('41 objects')")
    page.find_element(By.NAME, "text").send_keys("became an area")
    wait_until(page, "document.getElementById('shown').textContent.startsWith('1 of 41')")


def test_columns_sort(page: Chrome):
    header = page.find_element(By.XPATH, "//table[@id='objects']//button[text()='Change']")
    header.click()
    cells = "#objects tbody td:nth-child(3)"
    changes = [cell.text.split()[1] for cell in page.find_elements(By.CSS_SELECTOR, cells)]
    assert changes == sorted(changes)
    assert header.find_element(By.XPATH, "..").get_attribute("aria-sort") == "ascending"
    header.click()
    assert [cell.text.split()[1] for cell in page.find_elements(By.CSS_SELECTOR, cells)] == changes[::-1]


def test_layers_are_hidden_and_not_hit(page: Chrome):
    for box in page.find_elements(By.CSS_SELECTOR, "input[data-layer]"):
        if str(box.get_attribute("data-layer")).startswith("chips"):
            box.click()
    hidden = page.execute_script(
        f"return [...{MAP}.renderers].filter(([name]) => name.startsWith('chips')).map(([, item]) => item.visible)"
    )
    assert hidden
    assert not any(hidden)
    page.execute_script(f"{MAP}.fitAll()")
    assert page.execute_script(
        f"const map = {MAP}; const place = geographer.page.rows.find((row) => row.kind === 'chip').place;"
        "const bounds = map.shapesOfPlace.get(place)[0].bounds;"
        "return map.findHits((bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2).includes(place)"
    ) is False  # fmt: skip


def test_blink_swaps_old_and_new(page: Chrome):
    layer = "document.querySelector('#chip-both .chip-layers.new').style.opacity"
    button = page.find_element(By.ID, "chip-blink")
    button.click()
    seen = {wait_until(page, f"{layer} === '{value}' && '{value}'") for value in ("0", "1", "0")}
    assert seen == {"0", "1"}
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert page.execute_script(f"return {layer}") == "0.5"


def test_reduced_motion_does_not_blink(page: Chrome):
    reduce = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", reduce)
    button = page.find_element(By.ID, "chip-blink")
    assert wait_until(page, "document.getElementById('chip-blink').textContent === 'Swap'")
    layer = "return document.querySelector('#chip-both .chip-layers.new').style.opacity"
    button.click()
    first = page.execute_script(layer)
    time.sleep(1)
    assert page.execute_script(layer) == first
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_first_chip_differs_on_both_sides(page: Chrome):
    assert wait_until(
        page, "document.querySelectorAll('#chip-old img').length && document.querySelectorAll('#chip-new img').length"
    )
    assert "Not in this revision" not in page.find_element(By.ID, "chip-pair").text
    assert Select(page.find_element(By.ID, "chip")).first_selected_option.text.count("/") == 1


def test_words_of_the_table_do_not_break(page: Chrome):
    size = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert page.execute_script(LIST_BROKEN_WORDS) == []
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


LIST_BROKEN_WORDS = """
    const broken = [];
    for (const cell of document.querySelectorAll("#objects td")) {
      const node = cell.firstChild;
      if (!node) continue;
      for (const word of node.data.matchAll(/[^\\s]+/g)) {
        const range = document.createRange();
        range.setStart(node, word.index);
        range.setEnd(node, word.index + word[0].length);
        if (new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1) broken.push(word[0]);
      }
    }
    return broken;
"""
"""Words of cells that are on two lines."""


def test_chips_show_labels_and_select_rows(page: Chrome):
    select = Select(page.find_element(By.ID, "chip"))
    select.select_by_visible_text("around/a_q2")
    assert read_current(page) in ("around/a_q2", "parts/around/a_q2")
    assert "Not in this revision." in page.find_element(By.ID, "chip-new-note").text
    images = page.find_elements(By.CSS_SELECTOR, "#chip-old img")
    assert [image.get_attribute("alt") for image in images] == ["Pixels of the chip, chip-old", "Label mask"]
    assert wait_until(page, "[...document.querySelectorAll('#chip-old img')].every((image) => image.naturalWidth > 0)")
    page.find_element(By.ID, "chip-labels").click()
    assert len(page.find_elements(By.CSS_SELECTOR, "#chip-old img")) == 1


def test_map_and_table_by_keyboard(page: Chrome):
    page.execute_script("document.getElementById('map').focus()")
    before = read_span(page)
    press_keys(page, Keys.ARROW_RIGHT, "+", "+")
    moved = read_span(page)
    assert moved[0] + moved[2] > before[0] + before[2]
    assert moved[2] - moved[0] == pytest.approx((before[2] - before[0]) / 2.25)
    press_keys(page, "0")
    assert read_span(page) == pytest.approx(before)
    page.execute_script("document.querySelector('#objects tbody button').focus()")
    press_keys(page, Keys.ARROW_DOWN, Keys.ENTER)
    assert read_current(page) == page.find_elements(By.CSS_SELECTOR, "#objects tbody button")[1].text
    outline = page.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def press_keys(page: Chrome, *keys: str) -> None:
    for key in keys:
        ActionChains(page).send_keys(key).perform()


@pytest.mark.parametrize("width", [320, 1280])
def test_page_fits_the_window(page: Chrome, width: int):
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert wait_until(page, "document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_page_prints_with_the_map(page: Chrome):
    document = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert base64.b64decode(document).startswith(b"%PDF")
    assert page.execute_script("return document.getElementById('map-print').naturalWidth") > 100


@pytest.mark.parametrize("name", ["hostile", "empty"])
def test_other_pages_run_nothing_foreign(browser: Chrome, addresses: dict[str, str], name: str):
    list_requests(browser)
    list_console_errors(browser)
    open_page(browser, addresses[name])
    for button in browser.find_elements(By.CSS_SELECTOR, "#objects tbody button, #flags button"):
        button.click()
    assert browser.execute_script("return document.querySelectorAll('img[src=x], u').length") == 0
    assert list_requests(browser) == [addresses[name]]
    assert list_console_errors(browser) == []
    if name == "hostile":
        ticks = browser.execute_script(f"return [...{MAP}.plot.below[0].major_label_overrides.values()].join(' ')")
        assert "°E" in ticks
        assert browser.execute_script("return geographer.page.rows.length") == 14


def test_without_scripts_flags_and_counts_remain(browser: Chrome, addresses: dict[str, str]):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(addresses["sample"])
        shown = {title.get_attribute("id"): title.is_displayed() for title in browser.find_elements(By.TAG_NAME, "h2")}
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert shown["flags-title"]
    assert shown["counts-title"]
    assert not any(shown[f"{name}-title"] for name in ("map", "objects", "chips"))
