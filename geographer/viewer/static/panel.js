// panel.js: one object: its columns, where it comes from, what it is related to, and its history.

import { fetchAnswer, takeLatest } from "./api.js";
import { findElement, formatPlace, formatTime, makeElement, makeTable } from "./dom.js";
import { makeObjectButton } from "./lists.js";
import { makeLabelToggle, makePicture } from "./pictures.js";
import { changeState } from "./state.js";

const fetchObject = takeLatest((signal, parameters) => fetchAnswer("object", parameters, signal));

/** Show the object of the state; `page` has the map. */
export async function showObject(state, page) {
  const panel = findElement("panel-object");
  if (!state.obj) {
    panel.replaceChildren(makeElement("p", { className: "hint" }, "Choose an object on the map, in a list, or by its id."));
    page.map?.markObject(null);
    return;
  }
  const [subject, id] = splitName(state.obj);
  const parameters = { at: state.at, subject, id };
  try {
    const object = await fetchObject(parameters);
    if (!object) return;
    panel.replaceChildren(...makeSections(object, state, page));
    page.map?.markObject(object.place ? object.geometry : null);
    fillSection("object-why", fetchAnswer("why", parameters), showSentences);
    fillSection("object-history", fetchAnswer("history", parameters), showHistory);
  } catch (error) {
    panel.replaceChildren(makeElement("h2", {}, id), makeElement("p", { className: "problem", role: "status" }, error.message), makeElement("section", { id: "object-history" }));
    page.map?.markObject(null);
    fillSection("object-history", fetchAnswer("history", parameters), showHistory);
  }
}

function splitName(name) {
  const colon = name.indexOf(":");
  return [name.slice(0, colon), name.slice(colon + 1)];
}

function makeSections(object, state, page) {
  const { subject, id, columns, place, relations } = object;
  const title = makeElement("h2", { tabIndex: -1, id: "object-title" }, id);
  const kind = columns.class ?? columns.collection;
  const noun = relations.parent ? "chip" : subject;
  const lead = makeElement("p", { className: "row" }, `${noun}, ${kind}`, place?.place ? ` · ${formatPlace(place.place)} ` : " · beyond the map ",
    place?.box && page.map ? makeElement("button", { type: "button", onclick: () => page.map.showBox(place.box, place.place) }, "Show on the map") : null);
  return [
    title, lead, ...makeAlsoHere(state, page), ...makePictureSection(object, state, page),
    makeElement("section", { id: "object-why" }, makeElement("h3", {}, "Why it is here"), makeElement("p", { className: "hint" }, "…")),
    makeRelations(object), makeColumns(columns),
    makeElement("section", { id: "object-history" }, makeElement("h3", {}, "History"), makeElement("p", { className: "hint" }, "…")),
  ];
}

function makeAlsoHere(state, page) {
  const others = (page.alsoHere ?? []).filter((name) => name !== state.obj);
  if (!others.length || !page.alsoHere.includes(state.obj)) return [];
  const items = others.slice(0, 12).map((name) => makeElement("li", {}, makeObjectButton(...splitName(name))));
  return [makeElement("details", { open: others.length < 4 }, makeElement("summary", {}, `${others.length} more at this place`), makeElement("ul", {}, items))];
}

function makePictureSection(object, state, page) {
  if (object.subject !== "raster" || object.relations.storage === "catalogue") return [];
  const picture = makePicture(state, object.id, { fetch: object.fetch });
  return [makeElement("section", { className: "one-picture" }, picture, makeElement("p", { className: "row" }, ...makeLabelToggle(state, "object")))];
}

function makeRelations({ subject, relations }) {
  const section = makeElement("section", {}, makeElement("h3", {}, "Related"));
  if (relations.parent) section.append(makeLine("Cut from", [makeObjectButton("raster", relations.parent)]));
  if (subject === "raster") {
    section.append(makeLine("Labels", [relations.labels.join(", ") || "none"]));
    const subsets = Object.entries(relations.subsets).map(([split, subset]) => `${split}: ${subset ?? "excluded"}`);
    section.append(makeLine("Subsets", [subsets.join(", ") || "none"]));
    section.append(makeGroup("Features that it shows", relations.features, (row) => [makeObjectButton("feature", String(row.feature_id)), ` ${row.class}, ${row.contains ? "contained" : "in part"}`]));
    section.append(makeGroup("Chips cut from it", relations.chips, (row) => [makeObjectButton("raster", row.raster_id)]));
  } else {
    section.append(makeGroup("Rasters and chips that show it", relations.rasters, (row) => [makeObjectButton("raster", row.raster_id), ` ${row.collection}, ${row.contains ? "contains it" : "in part"}`]));
  }
  return section;
}

const makeLine = (name, parts) => makeElement("p", {}, makeElement("strong", {}, `${name}: `), ...parts);

function makeGroup(title, { rows, hasMore }, makeParts) {
  if (!rows.length) return makeLine(title, ["none"]);
  const number = hasMore ? `more than ${rows.length}` : rows.length;
  return makeElement("details", { open: rows.length <= 8 }, makeElement("summary", {}, `${title}: ${number}`),
    makeElement("ul", {}, rows.map((row) => makeElement("li", {}, makeParts(row)))));
}

function makeColumns(columns) {
  const rows = Object.entries(columns).filter(([, value]) => value !== null).map(([name, value]) =>
    makeElement("tr", {}, makeElement("th", { scope: "row" }, name), makeElement("td", {}, typeof value === "object" ? JSON.stringify(value) : String(value))));
  const empty = Object.entries(columns).filter(([, value]) => value === null).map(([name]) => name);
  return makeElement("section", {}, makeElement("table", { className: "columns" }, makeElement("caption", {}, "Columns"), makeElement("tbody", {}, rows)),
    empty.length ? makeElement("p", { className: "hint" }, `Without a value: ${empty.join(", ")}.`) : null);
}

async function fillSection(id, answer, show) {
  try {
    const value = await answer;
    const section = findElement(id);
    if (section) show(section, value);
  } catch (error) {
    const section = findElement(id);
    section?.querySelector(".hint")?.replaceWith(makeElement("p", { className: "problem" }, error.message));
  }
}

function showSentences(section, { sentences }) {
  section.replaceChildren(makeElement("h3", {}, "Why it is here"), ...sentences.map((text) => makeElement("p", {}, text)));
}

function showHistory(section, { number, rows }) {
  const shown = rows.map((row) => [
    makeElement("button", { type: "button", className: "link", onclick: () => changeState({ at: row.position }) }, `@${row.position}`),
    formatTime(row.recorded_at).slice(0, 16), `${row.kind.replaceAll("_", " ")}: ${row.change}${row.detail ? ` (${row.detail})` : ""}${row.parent ? `, by ${row.parent}` : ""}`,
    `${row.author}${row.message ? `: ${row.message}` : ""}`,
  ]);
  section.replaceChildren(makeElement("h3", {}, "History"), makeTable(`${number} event${number === 1 ? "" : "s"}, newest first`, ["At", "UTC", "What", "Who"], shown));
}
