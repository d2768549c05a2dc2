// map.js: fill Bokeh's map with the shapes of the page, and move, filter and select in it.
(function () {
  "use strict";

  const RADIUS = 6378137;
  const HIT_PIXELS = 6;
  const SETTLE_MS = 120;
  const RING_PIXELS = 60;
  const PAN_SHARE = 0.25;
  const MIN_SPAN_M = 40;
  const MAX_SPAN_M = 4.2e7;
  const DETAILED_SHAPES = 1500;
  const NICE_DEGREES = [1, 2, 5, 10, 15, 30, 45, 60, 90];

  // Let canvases of this page be drawn by the CPU: without a graphics card, an accelerated canvas takes seconds to draw
  // thousands of outlines; with one, both are fast.
  function preferSoftwareCanvas() {
    const getContext = HTMLCanvasElement.prototype.getContext;
    HTMLCanvasElement.prototype.getContext = function (type, settings) {
      return getContext.call(this, type, type === "2d" ? { ...settings, willReadFrequently: true } : settings);
    };
  }

  function decodeIntegers(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let index = 0; index < text.length; index += 1) bytes[index] = text.charCodeAt(index);
    return new Int32Array(bytes.buffer);
  }

  function makeBounds() {
    return [Infinity, Infinity, -Infinity, -Infinity];
  }

  function extendBounds(bounds, x, y) {
    if (x < bounds[0]) bounds[0] = x;
    if (y < bounds[1]) bounds[1] = y;
    if (x > bounds[2]) bounds[2] = x;
    if (y > bounds[3]) bounds[3] = y;
  }

  function mergeBounds(list) {
    const bounds = makeBounds();
    for (const item of list) {
      extendBounds(bounds, item[0], item[1]);
      extendBounds(bounds, item[2], item[3]);
    }
    return bounds;
  }

  // Return the shapes of a packed item; a NaN ends each ring but the last.
  function unpackShapes(item, unit, layer, source) {
    const numbers = decodeIntegers(item.xy);
    const shapes = [];
    let ring = 0;
    let next = 0;
    item.places.forEach((place, index) => {
      const lengths = item.lengths.slice(ring, ring + item.rings[index]);
      ring += lengths.length;
      const size = lengths.reduce((sum, length) => sum + length, lengths.length - 1);
      const shape = { place, layer, source, mark: item.mark, bounds: makeBounds(), xs: new Float64Array(size), ys: new Float64Array(size) };
      let at = 0;
      lengths.forEach((length, number) => {
        if (number > 0) {
          shape.xs[at] = shape.ys[at] = NaN;
          at += 1;
        }
        for (const end = at + length; at < end; at += 1, next += 2) {
          shape.xs[at] = numbers[next] * unit;
          shape.ys[at] = numbers[next + 1] * unit;
          extendBounds(shape.bounds, shape.xs[at], shape.ys[at]);
        }
      });
      shapes.push(shape);
    });
    return shapes;
  }

  function isInside(shape, x, y) {
    let inside = false;
    for (let index = 1; index < shape.xs.length; index += 1) {
      const [x0, y0, x1, y1] = [shape.xs[index - 1], shape.ys[index - 1], shape.xs[index], shape.ys[index]];
      if (y0 > y !== y1 > y && x < ((x1 - x0) * (y - y0)) / (y1 - y0) + x0) inside = !inside;
    }
    return inside;
  }

  function measureDistance(shape, x, y) {
    let nearest = Infinity;
    const last = shape.xs.length - 1;
    for (let index = 0; index <= last; index += 1) {
      const x0 = shape.xs[index];
      const y0 = shape.ys[index];
      const joins = shape.mark !== "point" && index < last && !Number.isNaN(shape.xs[index + 1]);
      const dx = joins ? shape.xs[index + 1] - x0 : 0;
      const dy = joins ? shape.ys[index + 1] - y0 : 0;
      const along = dx || dy ? Math.max(0, Math.min(1, ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy))) : 0;
      const distance = Math.hypot(x - x0 - along * dx, y - y0 - along * dy);
      if (distance < nearest) nearest = distance;
    }
    return nearest;
  }

  // Return how well a point hits a shape, the lower the better; null if it does not.
  function rateHit(shape, x, y, tolerance) {
    const [xmin, ymin, xmax, ymax] = shape.bounds;
    if (x < xmin - tolerance || x > xmax + tolerance || y < ymin - tolerance || y > ymax + tolerance) return null;
    if (shape.mark === "area") {
      const isSmall = xmax - xmin < 2 * tolerance && ymax - ymin < 2 * tolerance;
      if (!isSmall && !isInside(shape, x, y) && measureDistance(shape, x, y) > tolerance / 2) return null;
      return 2 + (xmax - xmin) * (ymax - ymin);
    }
    const distance = measureDistance(shape, x, y);
    if (distance > tolerance) return null;
    return (shape.mark === "point" ? 0 : 1) + distance / (tolerance * 2);
  }

  function chooseDegreeStep(degrees, ticks) {
    const wanted = degrees / ticks;
    if (wanted >= 1) return NICE_DEGREES.find((step) => step >= wanted) || 90;
    const power = 10 ** Math.floor(Math.log10(wanted));
    return [1, 2, 5, 10].find((factor) => factor * power >= wanted * 0.999) * power;
  }

  function formatDegrees(value, step, letters) {
    const decimals = Math.max(0, Math.min(7, Math.ceil(-Math.log10(step) - 1e-9)));
    const text = Math.abs(value).toFixed(decimals);
    return Number(text) === 0 ? "0°" : `${text}°${value < 0 ? letters[1] : letters[0]}`;
  }

  function wrapLongitude(degrees) {
    return ((((degrees + 180) % 360) + 360) % 360) - 180;
  }

  function listTicks(low, high, step) {
    const ticks = [];
    for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9 && ticks.length < 200; index += 1) {
      ticks.push(index * step);
    }
    return ticks;
  }

  function formatLength(metres) {
    if (metres >= 1000) return `${(metres / 1000).toLocaleString("en")} km`;
    return metres >= 1 ? `${metres} m` : `${Math.round(metres * 100)} cm`;
  }

  function chooseLength(most) {
    const power = 10 ** Math.floor(Math.log10(most));
    return [5, 2, 1].find((factor) => factor * power <= most * 1.0001) * power;
  }

  class PageMap {
    constructor(element, data, options) {
      this.element = element;
      this.data = data;
      this.options = options;
      this.shapes = [];
      this.shapesOfPlace = new Map();
      this.shownPlaces = null;
      this.selected = null;
      this.visible = new Map();
      this.hits = { key: "", next: 0 };
      this.timer = 0;
    }

    async draw() {
      this.unpack();
      // Shapes are filled in before the first layout, so that they are drawn once.
      const content = window.Bokeh.require("document").Document.from_json(this.data.item.doc);
      this.plot = content.get_model_by_id(this.data.item.root_id);
      this.readLayers();
      this.setDetail(false);
      this.fillSources();
      const views = await window.Bokeh.embed.add_document_standalone(content, this.element);
      this.view = views.roots[0];
      await this.waitForLayout();
      this.fitAll();
      this.update();
      this.listen();
      await this.waitForPaint();
    }

    unpack() {
      for (const layer of this.data.layers) {
        layer.parts.forEach((items, index) => {
          for (const item of items) {
            const source = `${layer.key}/${index}/${item.mark}`;
            this.shapes.push(...unpackShapes(item, this.data.frame.unit, layer.key, source));
          }
        });
      }
      for (const shape of this.shapes) {
        if (!this.shapesOfPlace.has(shape.place)) this.shapesOfPlace.set(shape.place, []);
        this.shapesOfPlace.get(shape.place).push(shape);
      }
    }

    readLayers() {
      this.renderers = new Map();
      for (const renderer of this.plot.renderers) this.renderers.set(renderer.name.slice("layer:".length), renderer);
      for (const [name, renderer] of this.renderers) this.visible.set(name.split("/")[0], renderer.visible);
      const isOwn = (name) => name.includes("/") && !name.startsWith("selection/");
      this.ownRenderers = [...this.renderers].filter(([name]) => isOwn(name)).map(([, renderer]) => renderer);
      this.details = new Map(this.ownRenderers.map(({ glyph }) => [glyph, { dash: glyph.line_dash, hatch: glyph.hatch_pattern }]));
    }

    // Dashes and hatches take most of the time of drawing, and are not seen while thousands of shapes are in view.
    setDetail(isDetailed) {
      if (this.isDetailed === isDetailed) return;
      this.isDetailed = isDetailed;
      for (const { glyph } of this.ownRenderers) {
        const { dash, hatch } = this.details.get(glyph);
        if (dash) glyph.line_dash = isDetailed ? dash : { value: [] };
        if (hatch) glyph.hatch_pattern = isDetailed ? hatch : { value: null };
      }
    }

    updateDetail() {
      const [xmin, ymin, xmax, ymax] = this.getSpan();
      let seen = 0;
      for (const { bounds, layer } of this.shapes) {
        if (bounds[2] >= xmin && bounds[0] <= xmax && bounds[3] >= ymin && bounds[1] <= ymax && this.visible.get(layer)) seen += 1;
      }
      this.setDetail(seen <= DETAILED_SHAPES);
    }

    findSource(name) {
      const renderer = this.renderers.get(name);
      return renderer && renderer.data_source;
    }

    waitForLayout() {
      return new Promise((resolve) => {
        const check = () => (this.plot.inner_width > 0 && this.plot.inner_height > 0 ? resolve() : requestAnimationFrame(check));
        check();
      });
    }

    waitForPaint() {
      return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    }

    // Give each source the shapes that are not filtered out.
    fillSources() {
      const bySource = new Map();
      for (const shape of this.shapes) {
        if (!bySource.has(shape.source)) bySource.set(shape.source, []);
        if (!this.shownPlaces || this.shownPlaces.has(shape.place)) bySource.get(shape.source).push(shape);
      }
      for (const [name, shapes] of bySource) this.fillSource(name, shapes);
    }

    fillSource(name, shapes) {
      const source = this.findSource(name);
      if (name.endsWith("/point")) {
        source.data = { x: shapes.flatMap((shape) => [...shape.xs]), y: shapes.flatMap((shape) => [...shape.ys]) };
      } else {
        source.data = { xs: shapes.map((shape) => shape.xs), ys: shapes.map((shape) => shape.ys) };
      }
    }

    // Show only these places; null shows all.
    filter(places) {
      this.shownPlaces = places;
      if (this.renderers) this.fillSources();
    }

    countShown(layer) {
      const places = new Set();
      for (const shape of this.shapes) {
        if (shape.layer === layer && (!this.shownPlaces || this.shownPlaces.has(shape.place))) places.add(shape.place);
      }
      return places.size;
    }

    setVisible(layer, isVisible) {
      this.visible.set(layer, isVisible);
      for (const [name, renderer] of this.renderers) if (name.split("/")[0] === layer) renderer.visible = isVisible;
    }

    isDensity(layer) {
      return this.data.densities.some(([key]) => key === layer);
    }

    hasPlace(place) {
      return this.shapesOfPlace.has(place);
    }

    getSpan() {
      const { x_range: x, y_range: y } = this.plot;
      return [x.start, y.start, x.end, y.end];
    }

    setSpan(x, y, height) {
      const limited = Math.max(MIN_SPAN_M / 20, Math.min(MAX_SPAN_M, height));
      const width = (limited * this.plot.inner_width) / this.plot.inner_height;
      this.plot.x_range.setv({ start: x - width / 2, end: x + width / 2 });
      this.plot.y_range.setv({ start: y - limited / 2, end: y + limited / 2 });
    }

    fit(bounds, padding = 1.12, least = MIN_SPAN_M) {
      const aspect = this.plot.inner_height / this.plot.inner_width;
      const height = Math.max((bounds[2] - bounds[0]) * aspect, bounds[3] - bounds[1], least) * padding;
      this.setSpan((bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2, height);
    }

    fitAll() {
      this.fit(this.data.frame.bounds);
    }

    zoom(factor) {
      const [xmin, ymin, xmax, ymax] = this.getSpan();
      this.setSpan((xmin + xmax) / 2, (ymin + ymax) / 2, (ymax - ymin) / factor);
    }

    pan(right, up) {
      const [xmin, ymin, xmax, ymax] = this.getSpan();
      const [dx, dy] = [right * PAN_SHARE * (xmax - xmin), up * PAN_SHARE * (ymax - ymin)];
      this.setSpan((xmin + xmax) / 2 + dx, (ymin + ymax) / 2 + dy, ymax - ymin);
    }

    zoomTo(place) {
      const shapes = this.shapesOfPlace.get(place);
      if (shapes) this.fit(mergeBounds(shapes.map((shape) => shape.bounds)), 2.5);
    }

    select(place) {
      this.selected = place;
      const shapes = this.shapesOfPlace.get(place) || [];
      const outlines = shapes.filter((shape) => shape.mark !== "point");
      const data = { xs: outlines.map((shape) => shape.xs), ys: outlines.map((shape) => shape.ys) };
      this.setSelectionData("selection/outline/", data);
      this.drawRing();
    }

    setSelectionData(prefix, data) {
      const renderer = [...this.renderers].find(([name]) => name.startsWith(prefix))[1];
      renderer.data_source.data = data;
    }

    // A ring marks the selected place unless its outline is large enough to be seen.
    drawRing() {
      const shapes = this.shapesOfPlace.get(this.selected) || [];
      const bounds = mergeBounds(shapes.map((shape) => shape.bounds));
      const size = Math.max(bounds[2] - bounds[0], bounds[3] - bounds[1]) / this.metresPerPixel();
      const isShown = shapes.length > 0 && size < RING_PIXELS;
      const data = isShown ? { x: [(bounds[0] + bounds[2]) / 2], y: [(bounds[1] + bounds[3]) / 2] } : { x: [], y: [] };
      this.setSelectionData("selection/middle/", data);
    }

    metresPerPixel() {
      const [xmin, , xmax] = this.getSpan();
      return (xmax - xmin) / this.plot.inner_width;
    }

    toLonLat(x, y) {
      const lon = wrapLongitude((((x + this.data.frame.x) / RADIUS) * 180) / Math.PI);
      return [lon, (Math.atan(Math.sinh((y + this.data.frame.y) / RADIUS)) * 180) / Math.PI];
    }

    findHits(x, y) {
      const tolerance = HIT_PIXELS * this.metresPerPixel();
      const rated = [];
      for (const shape of this.shapes) {
        if (!this.visible.get(shape.layer) || (this.shownPlaces && !this.shownPlaces.has(shape.place))) continue;
        const rating = rateHit(shape, x, y, tolerance);
        if (rating !== null) rated.push([rating, shape.place]);
      }
      rated.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      return [...new Set(rated.map(([, place]) => place))];
    }

    // A tap selects the smallest object there; another tap at the same point selects the next one.
    handleTap(event) {
      const hits = this.findHits(event.x, event.y);
      const key = hits.join(",");
      this.hits = { key, next: key === this.hits.key ? this.hits.next + 1 : 0 };
      if (hits.length && this.options.onTap) this.options.onTap(hits[this.hits.next % hits.length]);
    }

    handleMove(event) {
      if (this.moveFrame) return;
      this.moveFrame = requestAnimationFrame(() => {
        this.moveFrame = 0;
        this.showPointer(event.x, event.y);
      });
    }

    showPointer(x, y) {
      const [lon, lat] = this.toLonLat(x, y);
      const step = (this.metresPerPixel() / RADIUS) * (180 / Math.PI);
      const texts = [`${formatDegrees(lat, step, "NS")} ${formatDegrees(lon, step, "EW")}`];
      const hits = this.findHits(x, y);
      if (hits.length && this.options.describe) texts.push(this.options.describe(hits[0]));
      const cell = this.describeCell(x, y);
      if (cell) texts.push(cell);
      document.getElementById("map-pointer").textContent = texts.join(" · ");
    }

    describeCell(x, y) {
      const texts = [];
      for (const [key, title] of this.data.densities) {
        const data = this.findSource(key).data;
        const get = (name, index) => (data.get ? data.get(name) : data[name])[index];
        const count = (data.get ? data.get("count") : data.count).length;
        for (let index = 0; index < count; index += 1) {
          if (x >= get("left", index) && x < get("right", index) && y >= get("bottom", index) && y < get("top", index)) {
            texts.push(`${get("count", index).toLocaleString("en")} ${title}`);
          }
        }
      }
      return texts.length ? `in this cell: ${texts.join(", ")}` : "";
    }

    // Call `update` when the map has not moved for a moment: ticks and scale need a layout, which takes time.
    schedule() {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.update(), SETTLE_MS);
    }

    update() {
      this.updateAspect();
      this.updateDetail();
      this.updateTicks();
      this.updateScale();
      if (this.selected !== null) this.drawRing();
    }

    updateAspect() {
      const [xmin, ymin, xmax, ymax] = this.getSpan();
      const width = ((ymax - ymin) * this.plot.inner_width) / this.plot.inner_height;
      if (Math.abs(width / (xmax - xmin) - 1) > 0.002) this.setSpan((xmin + xmax) / 2, (ymin + ymax) / 2, ymax - ymin);
    }

    // Ticks are set beyond the visible part, so that they are there while the map is dragged.
    updateTicks() {
      const { frame } = this.data;
      const [xmin, ymin, xmax, ymax] = this.getSpan();
      const toDegrees = 180 / Math.PI / RADIUS;
      const [west, east] = [(xmin + frame.x) * toDegrees, (xmax + frame.x) * toDegrees];
      const stepX = chooseDegreeStep(east - west, Math.max(2, this.plot.inner_width / 130));
      const lons = listTicks(west - (east - west), east + (east - west), stepX);
      const xs = lons.map((lon) => lon / toDegrees - frame.x);
      this.setTicks(this.plot.below[0], xs, lons.map((lon) => formatDegrees(wrapLongitude(lon), stepX, "EW")));
      const [south, north] = [this.toLonLat(0, ymin)[1], this.toLonLat(0, ymax)[1]];
      const stepY = chooseDegreeStep(north - south, Math.max(2, this.plot.inner_height / 90));
      const lats = listTicks(Math.max(-89, 2 * south - north), Math.min(89, 2 * north - south), stepY);
      const ys = lats.map((lat) => RADIUS * Math.asinh(Math.tan((lat * Math.PI) / 180)) - frame.y);
      this.setTicks(this.plot.left[0], ys, lats.map((lat) => formatDegrees(lat, stepY, "NS")));
    }

    setTicks(axis, ticks, labels) {
      axis.setv({ major_label_overrides: new Map(ticks.map((tick, index) => [tick, labels[index]])) });
      axis.ticker.ticks = ticks;
    }

    updateScale() {
      const [, ymin, , ymax] = this.getSpan();
      const latitude = (this.toLonLat(0, (ymin + ymax) / 2)[1] * Math.PI) / 180;
      const metres = this.metresPerPixel() * Math.cos(latitude);
      const length = chooseLength(metres * 140);
      document.querySelector("#map-scale .scale-bar").style.width = `${length / metres}px`;
      document.querySelector("#map-scale .scale-text").textContent = formatLength(length);
    }

    listen() {
      for (const range of [this.plot.x_range, this.plot.y_range]) range.change.connect(() => this.schedule());
      this.plot.properties.inner_width.change.connect(() => this.schedule());
      this.plot.properties.inner_height.change.connect(() => this.schedule());
      this.plot.on_event("tap", (event) => this.handleTap(event));
      this.plot.on_event("mousemove", (event) => this.handleMove(event));
      this.element.addEventListener("keydown", (event) => this.handleKey(event));
      window.addEventListener("beforeprint", () => this.preparePrint());
    }

    handleKey(event) {
      const actions = {
        ArrowLeft: () => this.pan(-1, 0), ArrowRight: () => this.pan(1, 0), ArrowUp: () => this.pan(0, 1), ArrowDown: () => this.pan(0, -1),
        "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.fitAll(),
      };
      const action = !event.ctrlKey && !event.metaKey && !event.altKey && actions[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    }

    // A canvas keeps the width of the screen: print a picture of it instead.
    preparePrint() {
      const image = document.getElementById("map-print");
      image.src = this.view.export("png").canvas.toDataURL();
      image.hidden = false;
    }
  }

  function connectButtons(map) {
    const actions = {
      "zoom-in": () => map.zoom(1.5), "zoom-out": () => map.zoom(1 / 1.5), west: () => map.pan(-1, 0), east: () => map.pan(1, 0),
      north: () => map.pan(0, 1), south: () => map.pan(0, -1), reset: () => map.fitAll(), selection: () => map.zoomTo(map.selected),
    };
    for (const button of document.querySelectorAll("button[data-map]")) button.addEventListener("click", actions[button.dataset.map]);
    for (const box of document.querySelectorAll("input[data-layer]")) {
      // A browser may keep the state of boxes when a page is loaded again.
      map.setVisible(box.dataset.layer, box.checked);
      box.addEventListener("change", () => map.setVisible(box.dataset.layer, box.checked));
    }
  }

  // Draw the map of the page; `options` are onTap(place), and describe(place), which returns a text.
  async function createMap(options) {
    preferSoftwareCanvas();
    const data = JSON.parse(document.getElementById("map-data").textContent);
    const map = new PageMap(document.getElementById("map"), data, options);
    await map.draw();
    connectButtons(map);
    return map;
  }

  window.geographer = Object.assign(window.geographer || {}, { createMap });
})();
