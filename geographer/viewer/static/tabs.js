// tabs.js: the views of the side panel; the arrow keys move between them.

import { findElement } from "./dom.js";
import { changeState } from "./state.js";

export const TABS = ["layers", "list", "chips", "object", "changes", "components"];

/** Connect the tabs with the state. */
export function startTabs() {
  for (const name of TABS) findElement(`tab-${name}`).addEventListener("click", () => changeState({ tab: name }));
  findElement("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const now = TABS.findIndex((name) => findElement(`tab-${name}`) === document.activeElement);
    if (!step || now < 0) return;
    const next = TABS[(now + step + TABS.length) % TABS.length];
    findElement(`tab-${next}`).focus();
    changeState({ tab: next }, false);
  });
}

/** Show the view of the state. */
export function showTab(state) {
  for (const name of TABS) {
    const isShown = name === (state.tab ?? "layers");
    findElement(`tab-${name}`).setAttribute("aria-selected", isShown ? "true" : "false");
    findElement(`tab-${name}`).tabIndex = isShown ? 0 : -1;
    findElement(`panel-${name}`).hidden = !isShown;
  }
}
