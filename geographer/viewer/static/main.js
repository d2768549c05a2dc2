// main.js: begin the page, and let each part follow the state and the revision.

import { fetchAnswer, takeLatest } from "./api.js";
import { showChanges } from "./changes.js";
import { showComponents } from "./components.js";
import { findElement, formatCount, formatNumber, makeElement } from "./dom.js";
import { showError, showFilters, showTotal } from "./filters.js";
import { showList } from "./lists.js";
import { MapView } from "./map.js";
import { makeSwatch } from "./marks.js";
import { showObject } from "./panel.js";
import { showGallery } from "./pictures.js";
import { startSearch } from "./search.js";
import { describePosition, extendSlider, startSlider } from "./slider.js";
import { changeState, listenToState, loadState, makeSelection, readState } from "./state.js";
import { showTab, startTabs } from "./tabs.js";

const POLL_MILLISECONDS = 5000;
const page = { dataset: null, revision: null, map: null, alsoHere: [] };
const fetchRevision = takeLatest((signal, at) => fetchAnswer("revision", { at }, signal));
const countFeatures = takeLatest((signal, selection) => fetchAnswer("count", selection, signal));
const countRasters = takeLatest((signal, selection) => fetchAnswer("count", selection, signal));
const VIEWS = { list: showList, chips: showGallery, object: showObject, changes: showChanges, components: showComponents };

async function startPage() {
  showNote("Reading the dataset …");
  globalThis.maplibregl?.prewarm();
  loadState({});
  page.map = openMap(readState());
  const first = fetchRevision(readState().at ?? "");
  first.catch(() => {}); // An error is shown when the dataset is known.
  page.dataset = await fetchAnswer("dataset").catch((error) => beginAtFirstChain(error));
  document.title = `${page.dataset.name} – geographer view`;
  findElement("dataset-name").textContent = page.dataset.name;
  findElement("dataset-name").title = page.dataset.folder;
  loadState({ at: String(page.dataset.start) });
  startSlider(page);
  startTabs();
  findElement("map-all").addEventListener("click", showAll);
  addEventListener("keydown", (event) => event.key === "0" && !event.target.closest("input, textarea, select") && showAll());
  findElement("map-legend").open = !matchMedia("(max-width: 820px)").matches;
  startSearch();
  showTab(readState());
  page.revision = await first.catch((error) => beginAtStart(error));
  page.map?.beginAtBox(page.revision?.box);
  listenToState(followState);
  addEventListener("popstate", () => loadState({}));
  document.addEventListener("object-found", () => { page.look = true; });
  findElement("skip-link").addEventListener("click", (event) => { event.preventDefault(); findElement("side-panel").focus(); });
  await showRevision(readState());
  showMap(readState());
  await showView(readState());
  setInterval(watchHead, POLL_MILLISECONDS);
}

/** Show the revision at which the viewer began, because there is none as the address has it. */
async function beginAtStart(error) {
  showProblem(error);
  changeState({ at: page.dataset.start }, false);
  return loadRevision(readState());
}

/** Show the chain at which the viewer began, because there is none as the address has it. */
async function beginAtFirstChain(error) {
  if (!readState().chain) throw error;
  showProblem(error);
  changeState({ chain: null, at: null }, false);
  return fetchAnswer("dataset");
}

function openMap(state) {
  const position = parsePosition(state.pos);
  try {
    if (!globalThis.maplibregl) throw new Error("the file of MapLibre cannot be read");
    const map = new MapView("map", { position, onPick: pickObjects, onMove: moveMap });
    globalThis.viewerMap = map.map;
    return map;
  } catch (error) {
    const problem = findElement("map-problem");
    problem.textContent = `This browser cannot draw the map: it needs WebGL (${readReason(error)}). The lists, pictures and filters beside show everything.`;
    problem.hidden = false;
    findElement("map").hidden = true;
    return null;
  }
}

function showAll() {
  if (page.revision?.box) page.map?.showAll(page.revision.box);
}

function readReason(error) {
  try {
    return JSON.parse(error.message).message ?? error.message;
  } catch {
    return error.message;
  }
}

function parsePosition(text) {
  const [zoom, latitude, longitude] = (text ?? "").split("/").map(Number);
  const isWhole = [zoom, latitude, longitude].every(Number.isFinite) && Math.abs(latitude) <= 90;
  return isWhole ? { zoom, center: [longitude, latitude] } : null;
}

function pickObjects(names) {
  page.alsoHere = names;
  changeState({ obj: names[0], tab: "object" });
}

function moveMap(position) {
  changeState({ pos: position }, false);
}

async function followState(state, changed) {
  try {
    if (changed.has("tab")) showTab(state);
    if (changed.has("chain")) {
      page.dataset = await fetchAnswer("dataset");
      extendSlider(page.dataset);
    }
    if (state !== readState()) return;
    if (!state.at) return changeState({ at: page.dataset.start }, false);
    if (changed.has("at") || changed.has("chain")) {
      page.revision = (await loadRevision(state)) ?? page.revision;
      if (state !== readState()) return;
      await showRevision(state);
    }
    const isMoved = [...changed].every((name) => name === "pos");
    if (!isMoved) showMap(state);
    if (isMoved && !(state.tab === "list" && state.inview)) return;
    await showView(state);
  } catch (error) {
    showProblem(error);
  }
}

async function loadRevision(state) {
  describePosition(Number(state.at), page.dataset, null);
  return fetchRevision(state.at);
}

async function showRevision(state) {
  const { revision, dataset } = page;
  if (!revision) return;
  describePosition(Number(state.at), dataset, revision.event);
  findElement("revision-counts").textContent = `${formatCount(revision.features.number, "feature")}, ${formatCount(revision.rasters.number, "raster")}`;
}

/** Complete the choices of the state by the defaults of the revision. */
function completeState(state) {
  const splits = Object.keys(page.revision?.splits ?? {});
  const split = state.split ?? splits[0];
  const colour = state.colour ?? (split ? "subset" : "collection");
  return { ...state, split, colour: split && splits.includes(split) ? colour : "collection" };
}

function showMap(state) {
  const full = completeState(state);
  const { styles } = page.dataset;
  const isDiff = Boolean(full.since) && full.tab === "changes";
  const kinds = { features: isDiff ? styles.change : styles.class, rasters: isDiff ? styles.change : styles[full.colour] ?? [] };
  for (const subject of ["features", "rasters"]) {
    const isHidden = (full.hidden ?? "").includes(subject);
    page.map?.showSubject(subject, makeSelection(full, subject), kinds[subject], isHidden);
  }
  showLegend(kinds, full, isDiff);
  showCounts(full, isDiff);
}

function showLegend(kinds, state, isDiff) {
  const titles = { features: isDiff ? `Changes since @${state.since}` : "Features by class", rasters: `Rasters by ${state.colour}` };
  const subjects = isDiff ? ["features"] : ["features", "rasters"].filter((subject) => !(state.hidden ?? "").includes(subject));
  const known = { features: page.revision?.features.kinds ?? {}, rasters: knownRasterKinds(state) };
  const parts = subjects.map((subject) => {
    const shown = kinds[subject].filter(({ name }) => isDiff || name in known[subject]);
    if (!shown.length || (state.colour === "component" && subject === "rasters")) return null;
    if (subject === "rasters" && state.colour === "subset" && countAll(known.rasters) < (page.revision?.rasters.number ?? 0)) {
      shown.push({ name: "no subset", colour: page.dataset.styles.other, marker: "circle", dash: [7, 2, 1.5, 2] });
    }
    const items = shown.slice(0, 9).map((style) => makeElement("li", {}, makeSwatch(style, subject === "rasters"), style.name));
    if (shown.length > 9) items.push(makeElement("li", {}, `and ${shown.length - 9} more`));
    return makeElement("section", {}, makeElement("h3", {}, titles[subject]), makeElement("ul", {}, items));
  });
  if (!isDiff && ["features", "rasters"].some((subject) => (page.revision?.[subject].number ?? 0) > page.dataset.maxTileObjects)) {
    parts.push(makeElement("section", {}, makeElement("p", {}, "A number counts the objects around it: click it, or zoom in, to see each. Its edge and the mark on it are those of the most frequent kind.")));
  }
  findElement("legend-parts").replaceChildren(...parts.filter(Boolean));
}

const countAll = (counts) => Object.values(counts).reduce((sum, number) => sum + number, 0);

function knownRasterKinds(state) {
  if (state.colour === "subset") return page.revision?.splits[state.split] ?? {};
  return page.revision?.rasters.kinds ?? {};
}

async function showCounts(state, isDiff) {
  if (isDiff) return showNote("");
  showFilters(state, page);
  const notes = [];
  const counting = { features: countFeatures(makeSelection(state, "features")), rasters: countRasters(makeSelection(state, "rasters")) };
  counting.rasters.catch(() => {}); // It is awaited below.
  for (const subject of ["features", "rasters"]) {
    try {
      const counts = await counting[subject];
      if (!counts) return undefined;
      showTotal(subject, counts, page.revision[subject].number);
      showError(subject, "");
      if (!counts.number && page.revision[subject].number) notes.push(`No ${subject.slice(0, -1)} fits the filter`);
      if (counts.beyond) notes.push(`${formatCount(counts.beyond, subject.slice(0, -1))} beyond 85° north or south, where this map ends`);
    } catch (error) {
      showError(subject, error.message.replace(/^--where:? /, ""));
      notes.push(`The filter of ${subject} does not fit this revision.`);
    }
  }
  if (!page.revision.features.number && !page.revision.rasters.number) notes.push(`There is nothing on the map at @${state.at}`);
  return showNote(notes.join("; "));
}

async function showView(state) {
  const show = VIEWS[state.tab];
  const full = completeState(state);
  if (show) await show(full, page);
  if (page.look && state.tab === "object") {
    page.look = false;
    const button = findElement("panel-object").querySelector("p.row button");
    button?.click();
    findElement("object-title")?.focus({ preventScroll: true });
  }
}

function showNote(text) {
  findElement("map-note").textContent = text;
}

function showProblem(error) {
  showNotice([makeElement("strong", {}, error.message)]);
}

function showNotice(parts) {
  const notice = findElement("notice");
  notice.replaceChildren(...parts, makeElement("button", { type: "button", className: "plain", "aria-label": "Close this notice", onclick: () => { notice.hidden = true; } }, "Close"));
  notice.hidden = false;
}

async function watchHead() {
  if (document.hidden) return;
  const status = await fetchAnswer("status").catch(() => null);
  if (!status) return showNotice(["The viewer does not answer. Is geographer view still running in its terminal?"]);
  if (status.replaced) return showNotice(["The history was replaced by a merge or a pull. Reload this page to see it."]);
  if (status.head <= page.dataset.head) return undefined;
  const tags = await fetchAnswer("dataset");
  page.dataset.head = tags.head;
  page.dataset.tags = tags.tags;
  page.dataset.styles = tags.styles;
  page.dataset.splits = tags.splits;
  extendSlider(page.dataset);
  describePosition(Number(readState().at), page.dataset, page.revision?.event);
  const { event } = status;
  const message = event.message ? `: ${event.message}` : "";
  return showNotice([
    `The dataset has changed: @${formatNumber(status.head)} ${event.kind.replaceAll("_", " ")} by ${event.author}${message} `,
    makeElement("button", { type: "button", onclick: () => { findElement("notice").hidden = true; changeState({ at: status.head }); } }, "Show it"),
  ]);
}

startPage().catch(showProblem);
