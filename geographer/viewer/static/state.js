// state.js: what the page shows, kept in the fragment of its address: it can be bookmarked, and Back works.

const LISTS = ["class", "collection", "subset"];
const listeners = [];
let current = {};

/** Return what the page shows; lists are arrays, everything else is text. */
export const readState = () => current;

/** Call `listener(state, changedNames)` after each change. */
export function listenToState(listener) {
  listeners.push(listener);
}

/** Change what the page shows; `null` removes a value. `push` makes an entry that Back leads to. */
export function changeState(changes, push = true) {
  const next = { ...current };
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "" || (Array.isArray(value) && !value.length)) delete next[name];
    else next[name] = Array.isArray(value) ? value.map(String) : String(value);
  }
  const fragment = `#${formatState(next)}`;
  if (fragment === location.hash) return;
  history[push ? "pushState" : "replaceState"](null, "", fragment);
  applyState(next);
}

/** Take the state from the address, as on loading and on Back. */
export function loadState(defaults) {
  applyState({ ...defaults, ...parseState(location.hash.slice(1)) });
}

function applyState(next) {
  const names = new Set([...Object.keys(current), ...Object.keys(next)]);
  const changed = new Set([...names].filter((name) => String(current[name] ?? "") !== String(next[name] ?? "")));
  current = next;
  if (changed.size) listeners.forEach((listener) => listener(current, changed));
}

function formatState(state) {
  const search = new URLSearchParams();
  for (const name of Object.keys(state).sort()) {
    for (const value of Array.isArray(state[name]) ? state[name] : [state[name]]) search.append(name, value);
  }
  return search.toString();
}

function parseState(text) {
  const search = new URLSearchParams(text);
  return Object.fromEntries(
    [...new Set(search.keys())].map((name) => [name, LISTS.includes(name) ? search.getAll(name) : search.get(name)]),
  );
}

/** Return the parameters for the features or rasters that the page shows. */
export function makeSelection(state, subject) {
  if (state.since && state.tab === "changes") return { subject, at: state.at, since: state.since, kind: state.change ? [state.change] : [] };
  if (subject === "features") return { subject, at: state.at, where: state.where, kind: state.class };
  return {
    subject, at: state.at, where: state.rwhere, kind: state.collection, split: state.split,
    subset: state.subset, colour: state.colour, component: state.component,
  };
}
