// map.js: the map: tiles of features and rasters, the graticule, the object that is selected.

import { formatParameters } from "./api.js";
import { debounce } from "./dom.js";
import { makeGraticule } from "./graticule.js";
import { drawCount, drawDot, drawText, shortenNumber } from "./marks.js";

const EMPTY = { type: "FeatureCollection", features: [] };
const SUBJECTS = ["rasters", "features"];
const NUMBER = ["get", "number"];
const REST = 4;
const LINES = [0, 1, 2, 3, REST].map((place) => `line-${place}`);
const PARTS = ["fill", ...LINES, "density", "marks", "dots", "cells"];
const REST_DASH = [7, 2, 1.5, 2];
const ORDER = [
  "rasters-fill", "features-fill", ...LINES.map((part) => `rasters-${part}`), ...LINES.map((part) => `features-${part}`), "rasters-density", "features-density", "rasters-marks", "features-marks",
  "rasters-dots", "features-dots", "rasters-cells", "features-cells", "selected-halo", "selected-line", "selected-dot", "labels-left", "labels-bottom",
];
const STEPS = [1000, 10_000, 100_000, 1_000_000];

/** The map, or, without WebGL, nothing that asks for it. */
export class MapView {
  constructor(container, { position, onPick, onMove }) {
    this.hasPlace = Boolean(position);
    this.firstPosition = "";
    this.onPick = onPick;
    this.kinds = { features: [], rasters: [] };
    this.addresses = {};
    this.hidden = "";
    this.map = new globalThis.maplibregl.Map({
      container,
      style: makeBaseStyle(),
      ...(position ? { center: position.center, zoom: position.zoom } : { bounds: [-170, -60, 170, 75] }),
      attributionControl: false,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      maxZoom: 21,
      fadeDuration: 0,
      reduceMotion: matchMedia("(prefers-reduced-motion: reduce)").matches,
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.keyboard.disableRotation();
    this.map.addControl(new globalThis.maplibregl.NavigationControl({ showCompass: false }), "bottom-right");
    this.map.addControl(new globalThis.maplibregl.ScaleControl({ maxWidth: 100 }), "bottom-right");
    this.map.on("styleimagemissing", (event) => this.addMark(event.id));
    this.map.on("error", (event) => console.info(`map: ${event.error?.message ?? event}`));
    this.loaded = new Promise((resolve) => this.map.on("load", resolve)).then(() => this.addLayers());
    const updateGraticule = () => this.map.getSource("graticule")?.setData(makeGraticule(this.map.getBounds()));
    this.loaded.then(updateGraticule);
    this.map.on("moveend", updateGraticule);
    this.map.on("moveend", debounce(() => this.readPosition() !== this.firstPosition && onMove(this.readPosition()), 150));
    this.map.on("click", (event) => this.pickObjects(event));
    this.map.on("mousemove", debounce((event) => this.showCursor(event), 30));
  }

  /** Begin at a box, unless the address had a place. */
  beginAtBox(box) {
    if (this.hasPlace || !box) return;
    this.showAll(box, { animate: false });
    this.firstPosition = this.readPosition();
  }

  /** Show a box as a whole. */
  showAll([west, south, east, north], options = {}) {
    this.map.fitBounds([west, Math.max(south, -85), east, Math.min(north, 85)], { padding: 40, maxZoom: 15, ...options });
  }

  /** Return where the map is, as `zoom/latitude/longitude`. */
  readPosition() {
    const { lng, lat } = this.map.getCenter();
    return `${this.map.getZoom().toFixed(2)}/${lat.toFixed(5)}/${lng.toFixed(5)}`;
  }

  /** Return the box that the map shows, as `west,south,east,north` in degrees. */
  readBox() {
    const bounds = this.map.getBounds();
    const wrap = (longitude) => ((((longitude + 180) % 360) + 360) % 360) - 180;
    const isWhole = bounds.getEast() - bounds.getWest() >= 360;
    const [west, east] = isWhole ? [-180, 180] : [wrap(bounds.getWest()), wrap(bounds.getEast())];
    return [west, Math.max(bounds.getSouth(), -90), east, Math.min(bounds.getNorth(), 90)].map((n) => n.toFixed(6)).join(",");
  }

  addLayers() {
    this.map.addSource("graticule", { type: "geojson", data: EMPTY });
    this.map.addLayer({ id: "graticule", type: "line", source: "graticule", filter: ["==", ["geometry-type"], "LineString"], paint: { "line-color": "#d5dce3", "line-width": 1 } });
    for (const side of ["left", "bottom"]) this.addLabels(side);
    for (const subject of SUBJECTS) this.addSubject(subject);
    this.map.addSource("selected", { type: "geojson", data: EMPTY });
    const selected = { source: "selected" };
    this.map.addLayer({ ...selected, id: "selected-halo", type: "line", paint: { "line-color": "#ffffff", "line-width": 6 } });
    this.map.addLayer({ ...selected, id: "selected-line", type: "line", paint: { "line-color": "#1a1a1a", "line-width": 2.5, "line-dasharray": [2, 1] } });
    this.map.addLayer({ ...selected, id: "selected-dot", type: "circle", filter: ["==", ["geometry-type"], "Point"], paint: { "circle-radius": 11, "circle-color": "rgba(0,0,0,0)", "circle-stroke-color": "#1a1a1a", "circle-stroke-width": 2.5 } });
  }

  addLabels(side) {
    this.map.addLayer({
      id: `labels-${side}`, type: "symbol", source: "graticule", filter: ["==", ["get", "side"], side],
      layout: { "icon-image": ["concat", "text|", ["get", "text"]], "icon-allow-overlap": true, "icon-ignore-placement": true, "icon-anchor": side, "icon-offset": side === "left" ? [6, 0] : [0, -4] },
    });
  }

  addSubject(subject) {
    const isRaster = subject === "rasters";
    const source = { type: "vector", tiles: [this.addresses[subject] ?? makeAddress({ subject, at: 1 })], minzoom: 0, maxzoom: 18 };
    if (!this.addresses[subject]) return;
    this.map.addSource(subject, source);
    const shapes = { source: subject, "source-layer": "shapes" };
    const add = (layer) => this.map.addLayer(layer);
    add({ ...shapes, id: `${subject}-fill`, type: "fill", filter: ["==", ["geometry-type"], "Polygon"], paint: { "fill-opacity": isRaster ? 0.04 : 0.3 } });
    for (const part of LINES) add({ ...shapes, id: `${subject}-${part}`, type: "line", paint: { "line-width": isRaster ? 2.2 : 1.3 } });
    const density = { "circle-radius": ["interpolate", ["linear"], ["log10", NUMBER], 0, 1.6, 4, 5], "circle-opacity": 0.55 };
    add({ source: subject, "source-layer": "density", id: `${subject}-density`, type: "circle", paint: density });
    const dots = { source: subject, "source-layer": "dots", type: "symbol" };
    const isLarge = ["boolean", ["get", "is_large"], false];
    add({ ...dots, id: `${subject}-marks`, filter: isRaster ? false : ["all", isLarge, ["boolean", ["get", "has_mark"], false]], layout: { "icon-padding": 6 } });
    const symbols = { "icon-allow-overlap": true, "icon-ignore-placement": true };
    add({ ...dots, id: `${subject}-dots`, filter: ["!", isLarge], layout: symbols });
    add({ source: subject, "source-layer": "cells", id: `${subject}-cells`, type: "symbol", layout: { ...symbols, "symbol-sort-key": NUMBER } });
    this.paintSubject(subject);
    ORDER.filter((id) => this.map.getLayer(id)).forEach((id) => this.map.moveLayer(id));
  }

  /** Show the tiles of a selection; `kinds` are the styles of its kinds. */
  showSubject(subject, selection, kinds, isHidden) {
    const address = makeAddress(selection);
    this.kinds[subject] = kinds;
    const isNew = this.addresses[subject] !== address;
    this.addresses[subject] = address;
    this.loaded.then(() => {
      if (!this.map.getSource(subject)) this.addSubject(subject);
      else if (isNew) this.map.getSource(subject).setTiles([address]);
      this.paintSubject(subject);
      for (const part of PARTS) {
        this.map.setLayoutProperty(`${subject}-${part}`, "visibility", isHidden ? "none" : "visible");
      }
    });
  }

  paintSubject(subject) {
    const kinds = this.kinds[subject];
    const colour = chooseByKind(kinds.map(({ name, colour }) => [name, colour]), this.otherColour ?? "#767676");
    const index = chooseByKind(kinds.map(({ name }, place) => [name, String(place)]), "x");
    this.map.setPaintProperty(`${subject}-fill`, "fill-color", colour);
    this.paintLines(subject, colour);
    this.map.setPaintProperty(`${subject}-density`, "circle-color", colour);
    for (const part of ["dots", "marks"]) this.map.setLayoutProperty(`${subject}-${part}`, "icon-image", ["concat", `dot|${subject}|`, index]);
    const weight = ["to-string", ["floor", ["log10", NUMBER]]];
    this.map.setLayoutProperty(`${subject}-cells`, "icon-image", [
      "case", ["==", NUMBER, 1], ["concat", `dot|${subject}|`, index],
      ["concat", `cell|${subject}|`, index, "|", weight, "|", makeNumberText()],
    ]);
    for (const id of this.map.listImages().filter((name) => name.startsWith(`dot|${subject}|`) || name.startsWith(`cell|${subject}|`))) {
      this.map.removeImage(id);
    }
  }

  /** Give outlines the colours and dashes of their kinds: a layer has one pattern of dashes. */
  paintLines(subject, colour) {
    const groups = new Map();
    for (const { name, dash } of this.kinds[subject]) groups.set(String(dash), { dash, names: [...(groups.get(String(dash))?.names ?? []), name] });
    const known = this.kinds[subject].map(({ name }) => name);
    const patterns = [...groups.values()].slice(0, REST);
    LINES.forEach((part, place) => {
      const { dash, names } = patterns[place] ?? { dash: [], names: [] };
      const isKnown = (list) => ["in", ["get", "kind"], ["literal", list]];
      const layer = `${subject}-${part}`;
      this.map.setFilter(layer, place === REST ? ["!", isKnown(known)] : isKnown(names));
      this.map.setPaintProperty(layer, "line-dasharray", place === REST ? REST_DASH : dash.length ? dash : undefined);
      this.map.setPaintProperty(layer, "line-color", colour);
    });
  }

  addMark(id) {
    const [type, ...parts] = id.split("|");
    const style = this.kinds[parts[0]]?.[Number(parts[1])] ?? { colour: "#767676", marker: "circle" };
    const draw = {
      text: () => drawText(parts.join("|")),
      dot: () => drawDot(style.colour, style.marker, 4.5, parts[0] === "rasters"),
      cell: () => drawCount(shortenNumber(Number(parts[3])), style, parts[0] === "rasters", Number(parts[2])),
    }[type];
    if (!draw || this.map.hasImage(id)) return;
    const { image, pixelRatio } = draw();
    this.map.addImage(id, image, { pixelRatio });
  }

  /** Mark an object by its geometry (GeoJSON), or none. */
  markObject(geometry) {
    const data = geometry ? { type: "Feature", properties: {}, geometry } : EMPTY;
    this.loaded.then(() => this.map.getSource("selected").setData(data));
  }

  /** Move to a box in degrees; to `place` in it, if the box is that of something on both sides of the antimeridian. */
  showBox([west, south, east, north], place = null) {
    if (place && east - west > 180) {
      this.map.easeTo({ center: place, zoom: Math.max(this.map.getZoom(), 5) });
      return;
    }
    const isPoint = east - west < 1e-9 && north - south < 1e-9;
    if (isPoint) this.map.easeTo({ center: [west, south], zoom: Math.max(this.map.getZoom(), 13) });
    else this.map.fitBounds([west, Math.max(south, -85), east, Math.min(north, 85)], { padding: 60, maxZoom: 17 });
  }

  findAt(point) {
    const layers = SUBJECTS.toReversed().flatMap((subject) => ["dots", "marks", "cells", "fill", ...LINES].map((part) => `${subject}-${part}`));
    const known = layers.filter((id) => this.map.getLayer(id));
    const reach = 6;
    return this.map.queryRenderedFeatures([[point.x - reach, point.y - reach], [point.x + reach, point.y + reach]], { layers: known });
  }

  pickObjects(event) {
    const found = this.findAt(event.point);
    const cell = found.find((feature) => feature.properties.number > 1);
    const objects = [...new Map(found.filter((feature) => !feature.properties.number || feature.properties.number === 1)
      .map((feature) => [`${feature.source.slice(0, -1)}:${feature.properties.id}`, feature])).keys()];
    if (objects.length) this.onPick(objects);
    else if (cell) this.map.easeTo({ center: cell.geometry.coordinates, zoom: this.map.getZoom() + 2 });
  }

  showCursor(event) {
    this.map.getCanvas().style.cursor = this.findAt(event.point).length ? "pointer" : "";
  }
}

function makeBaseStyle() {
  return { version: 8, sources: {}, layers: [{ id: "background", type: "background", paint: { "background-color": "#f7f9fb" } }] };
}

function makeAddress(selection) {
  const { subject, ...parameters } = selection;
  return `${new URL(".", location.href.split("#")[0]).href}tiles/${subject}/{z}/{x}/{y}?${formatParameters(parameters)}`;
}

function chooseByKind(pairs, other) {
  return pairs.length ? ["match", ["get", "kind"], ...pairs.flat(), other] : other;
}

/** Return an expression for a number rounded as it is shown, so that few pictures serve many cells. */
function makeNumberText() {
  const round = (unit) => ["to-string", ["*", unit, ["round", ["/", NUMBER, unit]]]];
  return ["case", ["<", NUMBER, STEPS[0]], ["to-string", NUMBER], ["<", NUMBER, STEPS[1]], round(100), ["<", NUMBER, STEPS[3]], round(1000), round(100_000)];
}
