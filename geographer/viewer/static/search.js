// search.js: find objects by their ids; the arrow keys move through what was found.

import { fetchAnswer, takeLatest } from "./api.js";
import { debounce, findElement, makeElement } from "./dom.js";
import { changeState, readState } from "./state.js";

const searchIds = takeLatest((signal, parameters) => fetchAnswer("search", parameters, signal));

/** Connect the field with its results. */
export function startSearch() {
  const input = findElement("search-text");
  const search = debounce(async () => {
    const text = input.value.trim();
    if (!text) return showResults([]);
    const found = await searchIds({ at: readState().at, text }).catch(() => []);
    return found && showResults(found, text);
  }, 150);
  input.addEventListener("input", search);
  input.addEventListener("keydown", (event) => moveChoice(event, input));
  findElement("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    (findElement("search-results").querySelector("[aria-selected=true]") ?? findElement("search-results").querySelector("[data-name]"))?.click();
  });
  document.addEventListener("click", (event) => {
    if (!findElement("search-form").contains(event.target)) showResults([]);
  });
}

function showResults(found, text = "") {
  const list = findElement("search-results");
  const input = findElement("search-text");
  const items = found.map(({ subject, id, kind }, index) => makeElement("li", { role: "option", id: `found-${index}`, "aria-selected": "false", "data-name": `${subject}:${id}`, onclick: () => openResult(`${subject}:${id}`) }, makeElement("span", {}, id), makeElement("small", {}, ` ${subject}, ${kind}`)));
  if (!items.length && text) items.push(makeElement("li", { role: "option", "aria-disabled": "true" }, `No id of this revision has “${text}”.`));
  list.replaceChildren(...items);
  list.hidden = !items.length;
  input.setAttribute("aria-expanded", items.length ? "true" : "false");
  input.removeAttribute("aria-activedescendant");
}

function openResult(name) {
  showResults([]);
  findElement("search-text").value = "";
  changeState({ obj: name, tab: "object", look: null });
  document.dispatchEvent(new CustomEvent("object-found"));
}

function moveChoice(event, input) {
  const items = [...findElement("search-results").querySelectorAll("[data-name]")];
  if (event.key === "Escape") showResults([]);
  if (!items.length || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
  event.preventDefault();
  const now = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
  const next = (now + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length;
  items.forEach((item, index) => item.setAttribute("aria-selected", index === next ? "true" : "false"));
  items[next].scrollIntoView({ block: "nearest" });
  input.setAttribute("aria-activedescendant", items[next].id);
}
