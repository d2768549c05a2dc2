// dom.js: elements whose text is never parsed as HTML, and texts for numbers and times.

/** Make an element with properties (on… are listeners, aria-…/data-… attributes) and children (elements or text). */
export function makeElement(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Return the element with an id. */
export const findElement = (id) => document.getElementById(id);

/** Return a number with separators of thousands. */
export const formatNumber = (value) => Number(value).toLocaleString("en-US");

/** Return a count with its noun. */
export const formatCount = (value, noun) => `${formatNumber(value)} ${noun}${value === 1 ? "" : "s"}`;

/** Return a time in UTC up to the minute. */
export const formatTime = (text) => `${String(text).slice(0, 16).replace("T", " ")} UTC`;

/** Return longitude and latitude as text. */
export function formatPlace([longitude, latitude]) {
  const lon = `${Math.abs(longitude).toFixed(4)}° ${longitude < 0 ? "W" : "E"}`;
  return `${Math.abs(latitude).toFixed(4)}° ${latitude < 0 ? "S" : "N"}, ${lon}`;
}

/** Return a function that waits until calls pause, and then makes the last one. */
export function debounce(run, milliseconds) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...values), milliseconds);
  };
}

/** Return a table with a caption, heads and rows of cells (text or elements). */
export function makeTable(caption, heads, rows) {
  const head = makeElement("tr", {}, heads.map((text) => makeElement("th", { scope: "col" }, text)));
  const body = rows.map((cells) => makeElement("tr", {}, cells.map((cell) => makeElement("td", {}, cell ?? ""))));
  return makeElement(
    "table", {}, makeElement("caption", {}, caption), makeElement("thead", {}, head), makeElement("tbody", {}, body),
  );
}
