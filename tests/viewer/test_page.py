"""The page of the viewer in a real browser, whose only requests are to loopback."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from geographer.viewer.server import ViewerServer
from geographer.viewer.session import ViewerSession
from tests.browser import list_console_errors, list_requests
from tests.sample_history import HEAD, V1
from tests.viewer.conftest import HOSTILE_IDS, serve_session

_IS_IDLE = "return Boolean(window.viewerMap && viewerMap.getSource('features') && viewerMap.loaded() && viewerMap.areTilesLoaded())"


@pytest.fixture(scope="module")
def server(history_session: ViewerSession) -> Iterator[ViewerServer]:
    with serve_session(history_session) as server:
        yield server


@pytest.fixture(scope="module")
def world_server(world_session: ViewerSession) -> Iterator[ViewerServer]:
    with serve_session(world_session) as server:
        yield server


def wait_until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Return what a condition answers as soon as that is true."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, "the page did not get there"
        time.sleep(0.05)
    return answer


def open_page(browser: Chrome, server: ViewerServer, fragment: str = "") -> None:
    browser.get("about:blank")
    list_requests(browser)
    list_console_errors(browser)
    browser.get(f"{server.page_address}#{fragment}")
    wait_until(lambda: browser.execute_script(_IS_IDLE))


def find_element(browser: Chrome, selector: str) -> WebElement:
    return wait_until(lambda: next(iter(browser.find_elements(By.CSS_SELECTOR, selector)), None))


def read_text(browser: Chrome, selector: str) -> str:
    return str(browser.execute_script("return document.querySelector(arguments[0])?.textContent ?? ''", selector))


def _shows_object(browser: Chrome, identity: str) -> bool:
    return read_text(browser, "#object-title") == identity


def check_quiet(browser: Chrome, server: ViewerServer) -> None:
    """All requests went to the server, and nothing was written to the console."""
    requests = list_requests(browser)
    assert requests
    assert {urlsplit(url).netloc for url in requests} == {f"127.0.0.1:{server.port}"}
    assert list_console_errors(browser) == []


def test_map_shows_features_and_a_click_opens_one(browser: Chrome, server: ViewerServer) -> None:
    open_page(browser, server, f"at={V1}")
    assert "feature" in read_text(browser, "#revision-counts")
    drawn = "return viewerMap.queryRenderedFeatures({layers: ['features-dots', 'features-fill']}).map((f) => f.properties.id)"
    wait_until(lambda: "p2" in browser.execute_script(drawn))
    point = browser.execute_script(
        "const f = viewerMap.queryRenderedFeatures({layers: ['features-fill']}).find((f) => f.properties.id === 'q1');"
        "const ring = f.geometry.coordinates[0]; const middle = [0, 1].map((i) => (ring[0][i] + ring[2][i]) / 2);"
        "const p = viewerMap.project(middle); const box = viewerMap.getCanvas().getBoundingClientRect();"
        "return [p.x - box.width / 2, p.y - box.height / 2]"
    )
    from selenium.webdriver import ActionChains

    canvas = find_element(browser, "#map canvas")
    ActionChains(browser).move_to_element_with_offset(canvas, *map(round, point)).click().perform()
    wait_until(
        lambda: "q1" in read_text(browser, "#object-title") or "q1" in read_text(browser, "#panel-object details")
    )
    wait_until(
        lambda: "was added from" in read_text(browser, "#object-why") or "cut" in read_text(browser, "#object-why")
    )
    assert f"at={V1}" in browser.current_url
    check_quiet(browser, server)


def test_slider_moves_to_another_revision_and_back(browser: Chrome, server: ViewerServer) -> None:
    open_page(browser, server)
    slider = find_element(browser, "#slider")
    slider.send_keys(Keys.ARROW_LEFT)
    wait_until(lambda: f"at={HEAD - 1}" in browser.current_url)
    wait_until(lambda: "recipe removed" in read_text(browser, "#slider-event"))
    assert "of 25" in str(slider.get_attribute("aria-valuetext"))
    slider.send_keys(Keys.HOME)
    wait_until(lambda: read_text(browser, "#revision-counts") == "0 features, 0 rasters")
    browser.back()
    wait_until(lambda: f"at={HEAD - 1}" in browser.current_url)
    wait_until(lambda: not read_text(browser, "#revision-counts").startswith("0 features"))
    check_quiet(browser, server)


def test_branch_is_chosen_by_keyboard_and_left_by_back(browser: Chrome, world_server: ViewerServer) -> None:
    open_page(browser, world_server, "at=2")
    before = read_text(browser, "#revision-counts")
    find_element(browser, "#slider-branch").send_keys("survey")
    wait_until(lambda: "@4 of 4" in read_text(browser, "#slider-event"))
    assert "chain=survey" in browser.current_url
    wait_until(lambda: "features" in read_text(browser, "#revision-counts") != before)
    browser.execute_script("document.getElementById('map-legend').open = false")
    assert not find_element(browser, "#legend-parts").is_displayed()
    browser.back()
    wait_until(lambda: "@2 of 3" in read_text(browser, "#slider-event"))
    wait_until(lambda: read_text(browser, "#revision-counts") == before)
    check_quiet(browser, world_server)


def test_bookmark_of_no_branch_shows_the_first(browser: Chrome, world_server: ViewerServer) -> None:
    open_page(browser, world_server, "chain=none&at=2")
    assert "no branch 'none'" in read_text(browser, "#notice")
    wait_until(lambda: "@3 of 3" in read_text(browser, "#slider-event"))


def test_subsets_have_dashes_on_the_map(browser: Chrome, server: ViewerServer) -> None:
    open_page(browser, server, f"at={V1}")
    script = (
        "return viewerMap.getStyle().layers.filter((layer) => layer.id.startsWith('rasters-line'))"
        ".map((layer) => [String(layer.filter.flat(3)), String(layer.paint['line-dasharray'] ?? '')])"
    )
    rows = [(names, dash) for names, dash in browser.execute_script(script) if names.startswith("in,")]
    (train,), (test,) = ([dash for names, dash in rows if subset in names] for subset in ("train", "test"))
    assert train != test


def test_bookmark_of_no_revision_shows_the_start(browser: Chrome, server: ViewerServer) -> None:
    open_page(browser, server, "at=99&tab=list")
    assert "no revision @99" in read_text(browser, "#notice")
    wait_until(lambda: f"@{HEAD}" in read_text(browser, "#slider-event"))


def test_wrong_filter_is_said_at_its_field(browser: Chrome, server: ViewerServer) -> None:
    open_page(browser, server, f"at={V1}")
    field = find_element(browser, "#where-features")
    field.send_keys("colour = 'red'" + Keys.ENTER)
    wait_until(lambda: "no column 'colour'" in read_text(browser, "#where-features-error"))
    assert field.get_attribute("aria-invalid") == "true"
    list_console_errors(browser)  # The browser writes that the server refused the filter.
    field.clear()
    field.send_keys("class = 'pond'" + Keys.ENTER)
    wait_until(lambda: "of 4 features" in read_text(browser, "#total-features"))
    assert read_text(browser, "#where-features-error") == ""
    assert "where=class" in browser.current_url
    check_quiet(browser, server)


def test_everything_is_reached_by_keyboard(browser: Chrome, server: ViewerServer) -> None:
    open_page(browser, server, f"at={V1}")
    browser.execute_script("document.getElementById('tab-layers').focus()")
    browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    wait_until(lambda: "feature" in read_text(browser, "#panel-list caption"))
    browser.execute_script("document.querySelector('#list-object-0').focus()")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    wait_until(lambda: read_text(browser, "#object-title"))
    browser.execute_script("location.hash = arguments[0]", f"at={V1}&tab=list&sub=rasters")
    wait_until(lambda: "around" in read_text(browser, "#panel-list tbody tr:nth-child(4) td:nth-child(2)"))
    search = find_element(browser, "#search-text")
    search.send_keys("around/a_p1")
    wait_until(lambda: "around/a_p1" in read_text(browser, "#search-results"))
    search.send_keys(Keys.ARROW_DOWN + Keys.ENTER)
    wait_until(lambda: read_text(browser, "#object-title") == "around/a_p1")
    wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, "#panel-object .layers img.overlay"))
    focused = "const s = getComputedStyle(document.activeElement); return s.outlineStyle + ' ' + s.outlineWidth"
    browser.execute_script("document.getElementById('slider-next').focus({focusVisible: true})")
    assert browser.execute_script(focused) == "solid 3px"
    check_quiet(browser, server)


def test_views_of_a_revision(browser: Chrome, server: ViewerServer) -> None:
    open_page(browser, server, f"tab=changes&since={V1}&at={HEAD}")
    wait_until(lambda: "removed" in read_text(browser, "#panel-changes .diff"))
    assert "--html diff.html" in read_text(browser, "#panel-changes .command")
    find_element(browser, "#tab-chips").click()
    wait_until(lambda: len(browser.find_elements(By.CSS_SELECTOR, "#panel-chips figure img")) > 3)
    browser.execute_script("location.hash = arguments[0]", f"at={V1}&tab=components")
    component = find_element(browser, "#component-0")
    component.click()
    wait_until(lambda: "component=0" in browser.current_url)
    wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, "#component-0[aria-pressed=true]"))
    check_quiet(browser, server)


def test_hostile_texts_stay_text(browser: Chrome, world_server: ViewerServer) -> None:
    open_page(browser, world_server, "at=3&tab=list")
    wait_until(lambda: HOSTILE_IDS[0] in read_text(browser, "#panel-list"))
    assert "<script>alert(2)</script>" in read_text(browser, "#slider-event")
    for identity in HOSTILE_IDS[:4]:
        browser.execute_script(
            "location.hash = 'at=3&tab=object&obj=' + encodeURIComponent(arguments[0])", f"feature:{identity}"
        )
        wait_until(partial(_shows_object, browser, identity))
        wait_until(lambda: "was added from" in read_text(browser, "#object-why"))
    assert browser.execute_script("return document.querySelectorAll('aside img, aside script, aside b').length") == 0
    check_quiet(browser, world_server)


def test_lists_serve_without_webgl(browser: Chrome, world_server: ViewerServer) -> None:
    browser.get("about:blank")
    script = "HTMLCanvasElement.prototype.getContext = ((old) => function (kind, ...more) { return kind.startsWith('webgl') ? null : old.call(this, kind, ...more) })(HTMLCanvasElement.prototype.getContext)"
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    try:
        browser.get(f"{world_server.page_address}#tab=list")
        wait_until(lambda: "WebGL" in read_text(browser, "#map-problem"))
        wait_until(lambda: HOSTILE_IDS[0] in read_text(browser, "#panel-list"))
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": added["identifier"]})
    assert json.loads(json.dumps(browser.get_log("browser"))) is not None
