// lists.js: the objects that the map shows, as a table in pages, so that nothing is on the map only.

import { fetchAnswer, takeLatest } from "./api.js";
import { findElement, formatCount, formatNumber, makeElement, makeTable } from "./dom.js";
import { keepFocus, makeSelect } from "./filters.js";
import { changeState, makeSelection } from "./state.js";

const PAGE = 50;
const fetchPage = takeLatest((signal, parameters) => fetchAnswer("list", parameters, signal));

/** Show the list for the state; `page` has the map and `onPlace`. */
export async function showList(state, page) {
  const subject = state.sub ?? "features";
  const inView = state.inview === "1";
  const offset = Number(state.off ?? 0);
  const selection = makeSelection(state, subject);
  const answer = await fetchPage({ ...selection, colour: null, offset, limit: PAGE, box: inView && page.map ? page.map.readBox() : null });
  if (!answer) return;
  const box = makeElement("input", { type: "checkbox", id: "list-view", checked: inView, disabled: !page.map, onchange: () => changeState({ inview: inView ? null : "1", off: null }) });
  const controls = makeElement("p", { className: "row" },
    ...makeSelect("list-subject", "List", [["features", "features"], ["rasters", "rasters and chips"]], subject, (value) => changeState({ sub: value, off: null })),
    makeElement("span", { className: "pair" }, box, makeElement("label", { htmlFor: "list-view" }, "Only in the map's view")));
  keepFocus(findElement("panel-list"), [
    controls, makeObjectTable(answer, subject, page, "list"), makePager("list", answer.number, offset, PAGE, (value) => changeState({ off: value || null })),
  ]);
}

/** Return a table of objects: the id opens the object, a button shows where it is. */
export function makeObjectTable(answer, subject, page, name) {
  const noun = subject === "features" ? "feature" : "raster";
  const hasSubset = subject === "rasters" && name !== "changes";
  const rows = answer.rows.map((row, index) => [
    makeObjectButton(noun, row.id, `${name}-object-${index}`), row.kind, ...(hasSubset ? [row.subset ?? ""] : []),
    row.box && page.map ? makeElement("button", { type: "button", className: "plain", id: `${name}-place-${index}`, "aria-label": `Show ${row.id} on the map`, onclick: () => page.map.showBox(row.box, row.place) }, "Map") : row.box ? "" : "beyond the map",
  ]);
  const heads = ["Id", name === "changes" ? "Change" : subject === "features" ? "Class" : "Collection", ...(hasSubset ? ["Subset"] : []), "Place"];
  return makeTable(formatCount(answer.number, noun), heads, rows);
}

/** Return a button that opens an object. */
export function makeObjectButton(noun, id, elementId = undefined) {
  return makeElement("button", { type: "button", className: "link", id: elementId, onclick: () => changeState({ obj: `${noun}:${id}`, tab: "object" }) }, id);
}

/** Return buttons for the pages of a list. */
export function makePager(name, number, offset, size, goTo) {
  if (number <= size) return makeElement("p", { className: "pager" });
  const last = Math.floor((number - 1) / size) * size;
  const button = (id, text, target, isDisabled) => makeElement("button", { type: "button", id: `${name}-${id}`, disabled: isDisabled, onclick: () => goTo(target) }, text);
  return makeElement("nav", { className: "pager", "aria-label": "Pages" },
    button("first", "First", 0, offset === 0), button("before", "Previous", Math.max(offset - size, 0), offset === 0),
    makeElement("span", {}, `${formatNumber(offset + 1)}–${formatNumber(Math.min(offset + size, number))} of ${formatNumber(number)}`),
    button("after", "Next", offset + size, offset + size >= number), button("last", "Last", last, offset >= last));
}
