// slider.js: choose a revision: a slider with the tags marked, buttons, and the event that made the revision.

import { debounce, findElement, formatTime, makeElement } from "./dom.js";
import { changeState, readState } from "./state.js";

const MAX_MARKS = 150;

/** Connect the slider with the state; `page.dataset` has `branches`, `head` and `tags`. */
export function startSlider(page) {
  const slider = findElement("slider");
  const goTo = debounce((position) => changeState({ at: position }), 180);
  slider.addEventListener("input", () => {
    describePosition(Number(slider.value), page.dataset, null);
    goTo(slider.value);
  });
  const step = (by) => changeState({ at: Math.min(Math.max(Number(readState().at) + by, 1), page.dataset.head) });
  findElement("slider-previous").addEventListener("click", () => step(-1));
  findElement("slider-next").addEventListener("click", () => step(1));
  const number = findElement("slider-number");
  number.addEventListener("change", () => {
    if (number.checkValidity() && number.value) return changeState({ at: number.value });
    number.reportValidity();
    number.value = readState().at;
    return undefined;
  });
  const select = findElement("slider-tag");
  select.addEventListener("change", () => select.value && changeState({ at: select.value }));
  const branch = findElement("slider-branch");
  branch.addEventListener("change", () => chooseBranch(branch.value));
  extendSlider(page.dataset);
}

/** Show the head of another chain; what the address has of the old one's revisions is left out. */
function chooseBranch(chain) {
  changeState({ chain, at: null, since: null, change: null, component: null, split: null, subset: null, off: null, goff: null, coff: null });
}

/** List the chains that can be shown. */
function listBranches({ branch, branches }) {
  const names = branches.includes(branch) ? branches : [branch, ...branches];
  const options = names.map((name) => makeElement("option", { value: name, selected: name === branch }, name));
  findElement("slider-branch").replaceChildren(...options);
}

/** Let the slider reach the head of the dataset, and mark its tags. */
export function extendSlider(dataset) {
  listBranches(dataset);
  const slider = findElement("slider");
  slider.max = dataset.head;
  findElement("slider-number").max = dataset.head;
  slider.disabled = dataset.head === 1;
  const share = (position) => (dataset.head === 1 ? 0 : (position - 1) / (dataset.head - 1));
  const marks = dataset.tags.slice(0, MAX_MARKS).map(({ tag, position }) => {
    const mark = makeElement("span", { className: "mark", title: tag });
    mark.style.left = `calc(8px + ${share(position)} * (100% - 16px))`;
    return mark;
  });
  findElement("slider-marks").replaceChildren(...marks);
  const options = dataset.tags.map(({ tag, position }) => makeElement("option", { value: position }, `${tag} (@${position})`));
  findElement("slider-tag").replaceChildren(makeElement("option", { value: "" }, dataset.tags.length ? "choose …" : "none"), ...options);
}

/** Show a position: at once where it is, and the event as soon as it is known. */
export function describePosition(position, dataset, event) {
  const slider = findElement("slider");
  slider.value = position;
  findElement("slider-number").value = position;
  const tags = dataset.tags.filter((tag) => tag.position === position).map(({ tag }) => tag);
  const name = `@${position} of ${dataset.head}${tags.length ? `, tag ${tags.join(", ")}` : ""}`;
  slider.setAttribute("aria-valuetext", event ? `${name}: ${event.kind.replaceAll("_", " ")}` : name);
  findElement("slider-tag").value = tags.length ? position : "";
  findElement("slider-previous").disabled = position <= 1;
  findElement("slider-next").disabled = position >= dataset.head;
  const parts = [makeElement("strong", {}, `@${position}`), ` of ${dataset.head}`];
  for (const tag of tags) parts.push(" ", makeElement("span", { className: "tag" }, tag));
  if (event) {
    parts.push(` · ${event.kind.replaceAll("_", " ")} · ${formatTime(event.recorded_at)} · ${event.author}`);
    if (event.message) parts.push(makeElement("q", {}, event.message));
    parts.push(makeElement("code", { title: event.digest }, event.digest.slice(0, 12)));
  }
  findElement("slider-event").replaceChildren(...parts);
}
