// pictures.js: pictures of chips with their labels above them, which can be hidden; one, or a gallery of those of a filter.

import { fetchAnswer, makePictureAddress, takeLatest } from "./api.js";
import { findElement, formatCount, makeElement } from "./dom.js";
import { keepFocus, makeSelect } from "./filters.js";
import { makeObjectButton, makePager } from "./lists.js";
import { changeState, makeSelection } from "./state.js";

const PAGE = 12;
const fetchPage = takeLatest((signal, parameters) => fetchAnswer("list", parameters, signal));

/** Show the gallery of the rasters that the filters leave. */
export async function showGallery(state, page) {
  const offset = Number(state.goff ?? 0);
  const answer = await fetchPage({ ...makeSelection({ ...state, tab: "" }, "rasters"), colour: null, offset, limit: PAGE });
  if (!answer) return;
  const legend = makeElement("div", { id: "gallery-legend" });
  const figures = answer.rows.map((row) => makeFigure(state, row, { ...page, legend }));
  keepFocus(findElement("panel-chips"), [
    makeElement("p", { className: "row" }, formatCount(answer.number, "raster"), " of the filter. ", ...makeLabelToggle(state)),
    legend, makeElement("div", { className: "gallery" }, figures),
    makePager("gallery", answer.number, offset, PAGE, (value) => changeState({ goff: value || null })),
  ]);
}

/** Return the choice of what lies above the pictures. */
export function makeLabelToggle(state, name = "labels") {
  return makeSelect(`show-${name}`, "Labels", [["", "over the picture"], ["off", "hidden"]], state.labels ?? "", (value) => changeState({ labels: value }, false));
}

function makeFigure(state, row, page) {
  const caption = makeElement("figcaption", {}, makeObjectButton("raster", row.id, `figure-${row.id}`), row.subset ? ` ${row.subset}` : "");
  return makeElement("figure", {}, makePicture(state, row.id, page), caption);
}

/** Return a picture with its overlays; it is filled when the server has answered. */
export function makePicture(state, id, page) {
  const frame = makeElement("div", { className: "picture", "data-id": id }, makeElement("p", { className: "hint" }, "…"));
  fetchAnswer("picture", { at: state.at, id })
    .then((picture) => fillPicture(frame, state, picture, page))
    .catch((error) => showProblem(frame, error.message));
  return frame;
}

function fillPicture(frame, state, picture, { legend, fetch }) {
  const parts = [];
  const layers = makeElement("div", { className: "layers" });
  layers.style.aspectRatio = `${picture.width} / ${picture.height}`;
  const title = `${picture.id}, ${picture.width} by ${picture.height} pixels`;
  if (picture.hasImage) layers.append(makeElement("img", { src: makePictureAddress(state.at, picture.id), alt: `Image of ${title}`, decoding: "async" }));
  if (state.labels !== "off") {
    for (const label of picture.overlays) layers.append(makeElement("img", { src: makePictureAddress(state.at, picture.id, label), alt: `Label ${label}`, className: "overlay" }));
    for (const [label, boxes] of Object.entries(picture.boxes)) layers.append(...boxes.map((box) => makeBox(box, label, picture)));
  }
  if (layers.children.length) parts.push(layers);
  const classes = Object.entries(picture.classes);
  if (state.labels !== "off" && classes.length) {
    if (legend) extendLegend(legend, classes);
    else parts.push(makeClassLegend(classes));
  }
  if (picture.problem) parts.push(makeProblem(picture.problem));
  if (picture.problem && fetch) parts.push(makeElement("p", { className: "hint" }, "This command fetches files: ", makeElement("code", {}, fetch)));
  frame.replaceChildren(...parts);
}

/** Let the one legend of a gallery have the classes of one more picture. */
function extendLegend(legend, classes) {
  legend.classNames = new Map([...(legend.classNames ?? []), ...classes]);
  legend.replaceChildren(makeClassLegend([...legend.classNames]));
}

function makeClassLegend(classes) {
  return makeElement("ul", { className: "classes" }, classes.map(([name, colour]) => {
    const patch = makeElement("span", { className: "patch", "aria-hidden": "true" });
    patch.style.backgroundColor = colour;
    return makeElement("li", {}, patch, name);
  }));
}

function makeBox(box, label, picture) {
  const element = makeElement("span", { className: "box", title: `${label}: ${box.text || box.class_name}` }, makeElement("span", {}, box.text || box.class_name));
  element.style.left = `${(100 * box.xmin) / picture.width}%`;
  element.style.top = `${(100 * box.ymin) / picture.height}%`;
  element.style.width = `${(100 * (box.xmax - box.xmin)) / picture.width}%`;
  element.style.height = `${(100 * (box.ymax - box.ymin)) / picture.height}%`;
  const colour = picture.classes[box.class_name];
  if (colour) element.style.borderColor = colour;
  return element;
}

function makeProblem(text) {
  return makeElement("p", { className: "problem" }, text);
}

function showProblem(frame, text) {
  frame.replaceChildren(makeProblem(text));
}
