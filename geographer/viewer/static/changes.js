// changes.js: what differs between two revisions: flags, counts, the changed objects on the map and as a list.

import { fetchAnswer, takeLatest } from "./api.js";
import { findElement, formatNumber, makeElement, makeTable } from "./dom.js";
import { keepFocus, makeSelect } from "./filters.js";
import { makeObjectTable, makePager } from "./lists.js";
import { makeSwatch } from "./marks.js";
import { changeState, makeSelection } from "./state.js";

const PAGE = 50;
const fetchDiff = takeLatest((signal, parameters) => fetchAnswer("diff", parameters, signal));
const fetchPage = takeLatest((signal, parameters) => fetchAnswer("list", parameters, signal));

/** Show the changes from the revision `since` to the one that is shown. */
export async function showChanges(state, page) {
  const panel = findElement("panel-changes");
  if (!state.since) {
    keepFocus(panel, [makeForm(state, page), makeElement("p", { className: "hint" }, "Choose an older revision to see what differs from it.")]);
    return;
  }
  if (!panel.querySelector(".diff")) panel.replaceChildren(makeForm(state, page), makeElement("p", { className: "hint", role: "status" }, "Comparing …"));
  try {
    const diff = await fetchDiff({ since: state.since, at: state.at });
    if (!diff) return;
    const subject = state.sub ?? "features";
    const offset = Number(state.coff ?? 0);
    const list = await fetchPage({ ...makeSelection(state, subject), offset, limit: PAGE });
    if (!list) return;
    keepFocus(panel, [makeForm(state, page), makeElement("div", { className: "diff" }, makeFlags(diff), makeCounts(diff, page), makeList(state, page, list, subject, offset), makeCommand(diff.command))]);
  } catch (error) {
    panel.replaceChildren(makeForm(state, page), makeElement("p", { className: "problem", role: "alert" }, error.message));
  }
}

function makeForm(state, page) {
  const { head, tags } = page.dataset;
  const input = makeElement("input", { id: "since", type: "number", min: 1, max: head, value: state.since ?? Math.max(Number(state.at) - 1, 1), required: true });
  const options = [["", "tag …"], ...tags.map(({ tag, position }) => [String(position), `${tag} (@${position})`])];
  return makeElement("form", { className: "row", onsubmit: (event) => { event.preventDefault(); changeState({ since: input.value, coff: null }); } },
    makeElement("label", { htmlFor: "since" }, "Compare @"), input,
    ...makeSelect("since-tag", "or", options, "", (value) => value && changeState({ since: value, coff: null })),
    makeElement("span", {}, `with @${state.at}`), makeElement("button", { type: "submit" }, "Compare"));
}

function makeFlags({ flags, flagNumber }) {
  const items = flags.map((flag) => makeElement("li", {}, makeElement("span", {}, `${flag.text} `), flag.ids.length && ["feature", "raster", "chip"].includes(flag.object)
    ? makeElement("button", { type: "button", className: "link", onclick: () => changeState({ obj: `${flag.object === "feature" ? "feature" : "raster"}:${flag.ids[0]}`, tab: "object" }) }, "open") : ""));
  const more = flagNumber > flags.length ? makeElement("p", { className: "hint" }, `${formatNumber(flagNumber - flags.length)} more: see the command below.`) : null;
  return makeElement("section", {}, makeElement("h3", {}, flagNumber ? `Unusual changes: ${formatNumber(flagNumber)}` : "No unusual changes"), items.length ? makeElement("ul", { className: "flags" }, items) : null, more);
}

function makeCounts({ counts }, page) {
  if (!counts.length) return makeElement("p", {}, "Nothing differs.");
  const style = new Map(page.dataset.styles.change.map((item) => [item.name, item]));
  const rows = counts.map((count) => [count.object.replaceAll("_", " "), count.group, makeElement("span", { className: "change" }, makeSwatch(style.get(count.change)), count.change), formatNumber(count.number)]);
  return makeTable("Counts", ["Objects", "Group", "Change", "Number"], rows);
}

function makeList(state, page, list, subject, offset) {
  const subjects = makeSelect("change-subject", "List", [["features", "features"], ["rasters", "rasters and chips"]], subject, (value) => changeState({ sub: value, coff: null }));
  const kinds = makeSelect("change-kind", "that were", [["", "changed in any way"], ["added", "added"], ["removed", "removed"], ["changed", "changed"]], state.change ?? "", (value) => changeState({ change: value, coff: null }));
  return makeElement("section", {}, makeElement("p", { className: "row" }, ...subjects, ...kinds),
    makeZoom(state, subject, page), makeObjectTable(list, subject, page, "changes"),
    makePager("changes", list.number, offset, PAGE, (value) => changeState({ coff: value || null })));
}

function makeZoom(state, subject, page) {
  if (!page.map) return null;
  const showAll = async () => {
    const { box } = await fetchAnswer("count", makeSelection(state, subject));
    if (box) page.map.showBox(box);
  };
  return makeElement("button", { type: "button", id: "zoom-changes", onclick: showAll }, "Show these on the map");
}

function makeCommand(command) {
  const status = makeElement("span", { role: "status" });
  const copy = async () => {
    await navigator.clipboard?.writeText(command).then(() => { status.textContent = " copied"; }, () => { status.textContent = " select and copy it"; });
  };
  return makeElement("section", {}, makeElement("h3", {}, "As one file to send"), makeElement("p", { className: "command" }, makeElement("code", {}, command)),
    makeElement("button", { type: "button", onclick: copy }, "Copy the command"), status);
}
