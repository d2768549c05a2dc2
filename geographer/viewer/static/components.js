// components.js: the split: its subsets, and the components of rasters that it keeps together, by size.

import { fetchAnswer, takeLatest } from "./api.js";
import { findElement, formatCount, makeElement, makeTable } from "./dom.js";
import { keepFocus, makeSelect } from "./filters.js";
import { makeObjectButton } from "./lists.js";
import { makeSwatch } from "./marks.js";
import { changeState } from "./state.js";

const fetchComponents = takeLatest((signal, parameters) => fetchAnswer("components", parameters, signal));

/** Show the components of the split of the state. */
export async function showComponents(state, page) {
  const panel = findElement("panel-components");
  const splits = Object.keys(page.revision?.splits ?? {});
  if (!splits.length) {
    panel.replaceChildren(makeElement("p", { className: "hint" }, `Revision @${state.at} has no split. Choose a later one.`));
    return;
  }
  const split = state.split ?? splits[0];
  try {
    const answer = await fetchComponents({ at: state.at, split });
    if (!answer) return;
    const chosen = state.component;
    const controls = makeElement("p", { className: "row" },
      ...makeSelect("component-split", "Split", splits.map((name) => [name, name]), split, (value) => changeState({ split: value, component: null })),
      makeElement("button", { type: "button", id: "colour-components", "aria-pressed": state.colour === "component" ? "true" : "false", onclick: () => changeState({ split, colour: state.colour === "component" ? null : "component" }) }, "Colour the map by component"),
      chosen !== undefined ? makeElement("button", { type: "button", id: "all-components", onclick: () => changeState({ component: null }) }, "Show all") : null);
    keepFocus(panel, [controls, makeElement("p", {}, "Rasters of one component share a feature, ground or pixels, so they must be in one subset. Excluded rasters are in none."), makeComponentTable(answer, split, page, state)]);
  } catch (error) {
    panel.replaceChildren(makeElement("p", { className: "problem", role: "alert" }, error.message));
  }
}

function makeComponentTable(answer, split, page, state) {
  const styles = page.dataset.styles.component;
  const rows = answer.rows.map((row) => [
    makeElement("span", { className: "change" }, makeSwatch(styles[row.component % styles.length], true), makeElement("button", { type: "button", className: "link", id: `component-${row.component}`, "aria-pressed": state.component === String(row.component) ? "true" : "false", onclick: () => pickComponent(row, split, page) }, String(row.component))),
    String(row.size), row.subsets.filter(Boolean).join(", ") || "none", makeElement("span", {}, ...row.members.slice(0, 2).map((id) => makeElement("span", { className: "member" }, makeObjectButton("raster", id))), row.size > 2 ? `and ${row.size - 2} more` : ""),
  ]);
  const shown = answer.number > answer.rows.length ? `, the ${answer.rows.length} largest` : "";
  return makeTable(`${formatCount(answer.number, "component")}${shown}`, ["Component", "Rasters", "Subsets", "Members"], rows);
}

function pickComponent(row, split, page) {
  changeState({ split, component: row.component, colour: "component", off: null, goff: null });
  if (row.box) page.map?.showBox(row.box);
}
