// filters.js: choose what the map and the lists show: SQL over the columns, classes, collections, subsets.

import { fetchAnswer, takeLatest } from "./api.js";
import { findElement, formatCount, formatNumber, makeElement } from "./dom.js";
import { makeSwatch } from "./marks.js";
import { changeState, makeSelection, readState } from "./state.js";

const FIELDS = {
  features: { where: "where", kinds: "class", noun: "feature", example: "class = 'lake'" },
  rasters: { where: "rwhere", kinds: "collection", noun: "raster", example: "width > 512" },
};

/** Show the filters for the counts of a revision; `page` has dataset, styles and revision. */
export function showFilters(state, page) {
  const panel = findElement("panel-layers");
  if (!panel.children.length) panel.append(makeSubject("features", page), makeSubject("rasters", page));
  for (const subject of Object.keys(FIELDS)) updateSubject(subject, state, page);
}

function makeSubject(subject, page) {
  const { where, noun, example } = FIELDS[subject];
  const input = makeElement("textarea", { id: `where-${subject}`, rows: 2, spellcheck: false, placeholder: makeExample(subject, page) ?? example, "aria-describedby": `where-${subject}-hint where-${subject}-error` });
  const form = makeElement("form", { className: "where", onsubmit: (event) => { event.preventDefault(); applyFilter(subject); } },
    makeElement("label", { htmlFor: input.id }, `Only ${noun}s for which this SQL is true`), input,
    makeElement("p", { className: "hint", id: `where-${subject}-hint` }, describeColumns(page.dataset.columns[subject])),
    makeElement("p", { className: "error", id: `where-${subject}-error`, role: "alert" }),
    makeElement("div", { className: "buttons" },
      makeElement("button", { type: "submit" }, "Apply"),
      makeElement("button", { type: "button", className: "plain", onclick: () => clearFilter(subject) }, "Clear")));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); form.requestSubmit(); }
  });
  const shown = makeElement("input", { type: "checkbox", id: `shown-${subject}`, onchange: () => toggleSubject(subject) });
  return makeElement("fieldset", { id: `filter-${subject}` },
    makeElement("legend", {}, subject === "features" ? "Features" : "Rasters and chips"),
    makeElement("p", { className: "row" }, shown, makeElement("label", { htmlFor: shown.id }, "On the map"),
      makeElement("span", { className: "total", id: `total-${subject}`, "aria-live": "polite" })),
    form,
    subject === "rasters" ? makeElement("div", { id: "raster-colours", className: "choices" }) : null,
    makeElement("div", { id: `kinds-${subject}`, className: "choices" }),
    subject === "rasters" ? makeElement("div", { id: "raster-subsets", className: "choices" }) : null);
}

function makeExample(subject, page) {
  const [first] = page.dataset.styles.class;
  return subject === "features" && first ? `class = '${first.name.replaceAll("'", "''")}'` : null;
}

function describeColumns(columns) {
  const shown = Object.entries(columns).filter(([, type]) => !type.startsWith("GEOMETRY")).map(([name]) => name);
  return `Columns: ${shown.slice(0, 14).join(", ")}${shown.length > 14 ? ` and ${shown.length - 14} more` : ""}${"geometry" in columns ? ", and geometry, in degrees" : ""}.`;
}

function updateSubject(subject, state, page) {
  const { where, kinds } = FIELDS[subject];
  const input = findElement(`where-${subject}`);
  if (document.activeElement !== input) input.value = state[where] ?? "";
  findElement(`shown-${subject}`).checked = !(state.hidden ?? "").includes(subject);
  const counts = page.revision?.[subject].kinds ?? {};
  const styles = page.dataset.styles[kinds];
  showChoices(findElement(`kinds-${subject}`), kinds === "class" ? "Classes" : "Collections", kinds, Object.entries(counts), styles, state);
  if (subject === "rasters") showRasterChoices(state, page);
}

function showRasterChoices(state, page) {
  const splits = Object.keys(page.revision?.splits ?? {});
  const colours = [["collection", "collection"], ...(splits.length ? [["subset", "subset"], ["component", "component"]] : [])];
  const colour = makeSelect("colour-by", "Colour by", colours, state.colour ?? (splits.length ? "subset" : "collection"), (value) => changeState({ colour: value }));
  const split = splits.length ? makeSelect("split-name", "Split", splits.map((name) => [name, name]), state.split ?? splits[0], (value) => changeState({ split: value, subset: null, component: null })) : [];
  keepFocus(findElement("raster-colours"), [makeElement("p", { className: "row" }, ...colour, ...split)]);
  const counts = page.revision?.splits[state.split ?? splits[0]] ?? {};
  showChoices(findElement("raster-subsets"), "Subsets", "subset", Object.entries(counts), page.dataset.styles.subset, state);
}

/** Replace the children of an element; what had the focus, by its id, has it again. */
export function keepFocus(container, children) {
  const focused = container.contains(document.activeElement) ? document.activeElement.id : null;
  container.replaceChildren(...children);
  if (focused) findElement(focused)?.focus();
}

/** Return a label and a select. */
export function makeSelect(id, label, options, value, onChange) {
  const select = makeElement("select", { id, onchange: () => onChange(select.value) },
    options.map(([name, text]) => makeElement("option", { value: name, selected: name === value }, text)));
  return [makeElement("label", { htmlFor: id }, label), select];
}

function showChoices(container, title, name, counts, styles, state) {
  const chosen = state[name] ?? [];
  const byName = new Map(styles.map((style) => [style.name, style]));
  const names = [...new Set([...styles.map((style) => style.name).filter((kind) => counts.some(([known]) => known === kind)), ...counts.map(([kind]) => kind)])];
  const numbers = new Map(counts);
  const items = names.map((kind, index) => {
    const id = `choice-${name}-${index}`;
    const box = makeElement("input", { type: "checkbox", id, checked: !chosen.length || chosen.includes(kind), onchange: () => toggleChoice(name, kind, names) });
    return makeElement("li", {}, box, makeSwatch(byName.get(kind) ?? { colour: "#767676", marker: "circle", dash: [7, 2, 1.5, 2] }, name !== "class"),
      makeElement("label", { htmlFor: id }, kind || "(none)"), makeElement("span", { className: "number" }, formatNumber(numbers.get(kind) ?? 0)));
  });
  const all = chosen.length ? makeElement("button", { type: "button", className: "plain", id: `all-${name}`, onclick: () => changeState({ [name]: null }) }, "Show all") : null;
  keepFocus(container, items.length ? [makeElement("h3", {}, title, " ", all ?? ""), makeElement("ul", { className: "kinds" }, items)] : []);
}

function toggleChoice(name, kind, names) {
  const chosen = new Set(readState()[name] ?? names);
  if (chosen.has(kind)) chosen.delete(kind);
  else chosen.add(kind);
  const isAll = names.every((known) => chosen.has(known));
  changeState({ [name]: isAll ? null : chosen.size ? [...chosen] : ["\u0000"], off: null, goff: null });
}

function toggleSubject(subject) {
  const hidden = new Set((readState().hidden ?? "").split(",").filter(Boolean));
  if (hidden.has(subject)) hidden.delete(subject);
  else hidden.add(subject);
  changeState({ hidden: [...hidden].sort().join(",") });
}

const checkFilter = takeLatest((signal, selection) => fetchAnswer("count", selection, signal));

async function applyFilter(subject) {
  const { where } = FIELDS[subject];
  const text = findElement(`where-${subject}`).value.trim();
  const state = readState();
  try {
    const counts = await checkFilter({ ...makeSelection({ ...state, [where]: text, since: null }, subject) });
    if (!counts) return;
    showError(subject, "");
    changeState({ [where]: text, off: null, goff: null });
  } catch (error) {
    showError(subject, error.message.replace(/^--where:? /, ""));
  }
}

function clearFilter(subject) {
  findElement(`where-${subject}`).value = "";
  showError(subject, "");
  changeState({ [FIELDS[subject].where]: null, off: null });
}

/** Show what is wrong with the filter of a subject at its field, or nothing. */
export function showError(subject, text) {
  const input = findElement(`where-${subject}`);
  if (!input) return;
  findElement(`where-${subject}-error`).textContent = text;
  input.setAttribute("aria-invalid", text ? "true" : "false");
}

/** Show how many objects the filters leave. */
export function showTotal(subject, counts, all) {
  const element = findElement(`total-${subject}`);
  const noun = FIELDS[subject].noun;
  if (element) element.textContent = counts.number === all ? formatCount(all, noun) : `${formatNumber(counts.number)} of ${formatCount(all, noun)}`;
}
