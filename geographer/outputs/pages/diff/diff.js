// diff.js: join the table, the map, the flags and the chips of a difference.
(function () {
  "use strict";

  const { PagedTable, createMap, makeElement } = window.geographer;
  const SIGNS = { added: "+", removed: "−", changed: "~" };
  const BLINK_MS = 700;
  const TEXT_DELAY_MS = 150;
  const NONE = "(none)";
  const ANY = "";

  function readData(id) {
    return JSON.parse(document.getElementById(id).textContent);
  }

  function listSides(value) {
    return Array.isArray(value) ? value : [value];
  }

  // Return one value, or old → new.
  function formatSides(value) {
    return listSides(value).map((side) => side ?? "–").join(" → ");
  }

  function readRow(data, item) {
    const [kind, name, change, classes, collection, subsets, event, flags, place, values] = item;
    const joinText = () => {
      const texts = [name, formatSides(classes), collection, ...values.flat(), ...(data.events[event] || [])];
      return [...texts, ...flags.map((flag) => data.flags[flag][1])].join(" ").toLowerCase();
    };
    return { kind, name, change, classes, collection, subsets, event, flags, place, values, joinText };
  }

  class Filters {
    constructor(form, rows, flags, onChange) {
      this.form = form;
      this.rows = rows;
      this.flags = flags;
      this.fill();
      form.addEventListener("change", onChange);
      form.addEventListener("submit", (event) => event.preventDefault());
      form.addEventListener("reset", () => setTimeout(onChange));
      form.elements.text.addEventListener("input", () => {
        clearTimeout(this.timer);
        this.timer = setTimeout(onChange, TEXT_DELAY_MS);
      });
    }

    fill() {
      const { rows } = this;
      this.fillSelect("kind", rows.map((row) => row.kind));
      this.fillSelect("change", rows.map((row) => row.change));
      this.fillSelect("class", rows.flatMap((row) => listSides(row.classes)));
      this.fillSelect("collection", rows.map((row) => row.collection));
      this.fillSelect("subset", rows.flatMap((row) => listSides(row.subsets)));
      const codes = rows.flatMap((row) => row.flags.flatMap((flag) => this.flags[flag][0]));
      this.fillSelect("flag", codes, [["flagged", "any flag"], ["plain", "no flag"]]);
    }

    fillSelect(name, values, special = []) {
      const select = this.form.elements[name];
      const known = [...new Set(values)];
      const options = [[ANY, "all"], ...special];
      for (const value of known.filter((item) => item !== null).sort()) options.push([`=${value}`, value]);
      if (known.includes(null)) options.push(["null", NONE]);
      select.replaceChildren(...options.map(([value, text]) => {
        const option = makeElement("option", text);
        option.value = value;
        return option;
      }));
      select.disabled = options.length <= 2 && !special.length;
    }

    read(name) {
      return this.form.elements[name].value;
    }

    set(name, value) {
      this.form.elements[name].value = value;
    }

    isAny() {
      return ["kind", "change", "class", "collection", "subset", "flag", "text"].every((name) => this.read(name).trim() === ANY);
    }

    // Return the rows that all filters accept; each filter is read once.
    choose() {
      this.readWanted();
      const chosen = [];
      this.rows.forEach((row, number) => {
        if (this.acceptsWanted(row)) chosen.push(number);
      });
      return chosen;
    }

    accepts(row) {
      this.readWanted();
      return this.acceptsWanted(row);
    }

    readWanted() {
      const names = ["kind", "change", "class", "collection", "subset", "flag"];
      this.wanted = Object.fromEntries(names.map((name) => [name, this.read(name)]));
      this.words = this.read("text").toLowerCase().split(/\s+/).filter(Boolean);
    }

    acceptsWanted(row) {
      const has = (name, value) => {
        const wanted = this.wanted[name];
        return wanted === ANY || listSides(value).some((side) => (side === null ? wanted === "null" : wanted === `=${side}`));
      };
      return has("kind", row.kind) && has("change", row.change) && has("class", row.classes) && has("collection", row.collection) &&
        has("subset", row.subsets) && this.acceptsFlags(row) && this.words.every((word) => this.getText(row).includes(word));
    }

    acceptsFlags(row) {
      const wanted = this.wanted.flag;
      if (wanted === "flagged") return row.flags.length > 0;
      if (wanted === "plain") return row.flags.length === 0;
      return wanted === ANY || row.flags.some((flag) => this.flags[flag][0].includes(wanted.slice(1)));
    }

    // The text of a row is joined when it is first searched.
    getText(row) {
      row.text ??= row.joinText();
      return row.text;
    }
  }

  // Pictures are decoded when they are first shown.
  class Chips {
    constructor() {
      this.data = readData("chip-data");
      this.pairs = new Map(this.data.pairs);
      this.places = [...this.pairs.keys()];
      this.names = new Map(this.places.map((place, index) => [place, this.data.names[index]]));
      this.select = document.getElementById("chip");
      this.showsNew = true;
      if (this.select) this.connect();
    }

    connect() {
      this.select.replaceChildren(...this.places.map((place) => {
        const option = makeElement("option", this.names.get(place));
        option.value = place;
        return option;
      }));
      const on = (id, event, action) => document.getElementById(id).addEventListener(event, action);
      on("chip", "change", () => this.choose(Number(this.select.value)));
      on("chip-previous", "click", () => this.step(-1));
      on("chip-next", "click", () => this.step(1));
      on("chip-labels", "change", () => this.show(this.place));
      on("chip-blink", "click", () => this.toggleBlink());
      on("chip-fade", "input", () => this.fade());
      const motion = matchMedia("(prefers-reduced-motion: reduce)");
      motion.addEventListener("change", () => this.adaptMotion(motion.matches));
      this.adaptMotion(motion.matches);
      this.show(this.places.find((place) => this.looksChanged(place)) ?? this.places[0]);
    }

    // Without motion, the button swaps the two pictures once.
    adaptMotion(isReduced) {
      this.stopBlink();
      this.isReduced = isReduced;
      const button = document.getElementById("chip-blink");
      button.textContent = isReduced ? "Swap" : "Blink";
    }

    // Return whether both sides have pictures, and they differ.
    looksChanged(place) {
      const [old, fresh] = this.pairs.get(place);
      return Boolean(old && fresh) && JSON.stringify(old) !== JSON.stringify(fresh);
    }

    has(place) {
      return this.places.includes(place);
    }

    choose(place) {
      this.show(place);
      if (this.onChoose) this.onChoose(place);
    }

    step(by) {
      const index = (this.places.indexOf(this.place) + by + this.places.length) % this.places.length;
      this.choose(this.places[index]);
    }

    show(place) {
      this.place = place;
      this.select.value = place;
      const [old, fresh] = this.pairs.get(place);
      this.shape = `${(old || fresh).width} / ${(old || fresh).height}`;
      this.fillSide("chip-old", old);
      this.fillSide("chip-new", fresh);
      document.getElementById("chip-both").replaceChildren(this.makePicture(old, "old"), this.makePicture(fresh, "new"));
      this.showClasses();
      this.fade();
    }

    fillSide(id, picture) {
      document.getElementById(id).replaceChildren(this.makePicture(picture, id));
      const note = picture ? picture.problem || "" : "Not in this revision.";
      document.getElementById(`${id}-note`).textContent = note;
    }

    // Return the image with its labels above it, or an empty box.
    makePicture(picture, side) {
      const box = makeElement("div", null, { class: `chip-layers ${side}` });
      box.style.aspectRatio = picture ? `${picture.width} / ${picture.height}` : this.shape;
      if (!picture) {
        box.append(makeElement("p", "Not in this revision.", { class: "chip-empty" }));
        return box;
      }
      if (picture.image === null) box.append(makeElement("p", picture.problem || "No pixels here.", { class: "chip-empty" }));
      else box.append(this.makeImage(picture.image, `Pixels of the chip, ${side}`));
      if (document.getElementById("chip-labels").checked) {
        for (const [name, image] of Object.entries(picture.overlays)) box.append(this.makeImage(image, `Label ${name}`));
        for (const boxes of Object.values(picture.boxes)) for (const item of boxes) box.append(this.makeBox(item, picture));
      }
      return box;
    }

    makeImage(number, alt) {
      return makeElement("img", null, { src: `data:image/png;base64,${this.data.images[number]}`, alt, decoding: "async" });
    }

    makeBox([xmin, ymin, xmax, ymax, className, text], picture) {
      const element = makeElement("span", null, { class: "chip-box", title: text || className });
      const { style } = element;
      style.left = `${(100 * xmin) / picture.width}%`;
      style.top = `${(100 * ymin) / picture.height}%`;
      style.width = `${(100 * (xmax - xmin)) / picture.width}%`;
      style.height = `${(100 * (ymax - ymin)) / picture.height}%`;
      style.borderColor = this.data.classes[className] || "#000000";
      element.append(makeElement("span", text || className));
      return element;
    }

    showClasses() {
      const items = Object.entries(this.data.classes).map(([name, colour]) => {
        const item = makeElement("li");
        const square = makeElement("span", null, { class: "class-colour", "aria-hidden": "true" });
        square.style.backgroundColor = colour;
        item.append(square, document.createTextNode(name));
        return item;
      });
      document.getElementById("chip-classes").replaceChildren(...items);
    }

    fade() {
      const share = Number(document.getElementById("chip-fade").value) / 100;
      this.showOpacity(share, `${Math.round(share * 100)} % of the new one over the old one`);
    }

    showOpacity(share, note) {
      const layer = document.querySelector("#chip-both .chip-layers.new");
      if (layer) layer.style.opacity = share;
      document.getElementById("chip-both-note").textContent = note;
    }

    swap() {
      this.showsNew = !this.showsNew;
      this.showOpacity(this.showsNew ? 1 : 0, this.showsNew ? "new" : "old");
    }

    toggleBlink() {
      if (this.isReduced) {
        this.swap();
      } else if (this.blinking) {
        this.stopBlink();
        this.fade();
      } else {
        this.blinking = setInterval(() => this.swap(), BLINK_MS);
        document.getElementById("chip-blink").setAttribute("aria-pressed", "true");
        this.swap();
      }
    }

    stopBlink() {
      clearInterval(this.blinking);
      this.blinking = 0;
      document.getElementById("chip-blink").setAttribute("aria-pressed", "false");
    }
  }

  class DiffPage {
    constructor() {
      this.data = readData("diff-data");
      this.rows = this.data.rows.map((item) => readRow(this.data, item));
      this.rowsOfPlace = new Map();
      this.numbersOfPlace = new Map();
      this.rows.forEach((row, number) => {
        if (!this.rowsOfPlace.has(row.place)) this.rowsOfPlace.set(row.place, row);
        if (!this.numbersOfPlace.has(row.place)) this.numbersOfPlace.set(row.place, []);
        this.numbersOfPlace.get(row.place).push(number);
      });
      this.nameRasters();
      this.table = new PagedTable(document.getElementById("objects"), document.getElementById("pager"), this.makeColumns(), (row) => this.select(row));
      this.filters = new Filters(document.getElementById("filters"), this.rows, this.data.flags, () => this.applyFilters());
      this.chips = new Chips();
      this.chips.onChoose = (place) => this.selectPlace(place, false);
      for (const button of document.querySelectorAll("button[data-filter]")) {
        button.addEventListener("click", () => this.followName(button.dataset.filter, button.dataset.value));
      }
      for (const button of document.querySelectorAll("button[data-row]")) {
        button.addEventListener("click", () => this.followFlag(Number(button.dataset.row), Number(button.dataset.place)));
      }
    }

    // The row of a raster names it; those of its labels and splits have its id at their end.
    nameRasters() {
      for (const [place, row] of this.rowsOfPlace) {
        const own = this.numbersOfPlace.get(place).map((number) => this.rows[number]).find((item) => ["feature", "raster", "chip"].includes(item.kind));
        this.rowsOfPlace.set(place, own || row);
      }
    }

    makeColumns() {
      const read = (name) => (row) => this.rows[row][name];
      const sides = (name) => (row) => (this.rows[row][name] === null ? null : formatSides(this.rows[row][name]));
      const text = (find) => (row) => String(find(row) ?? "");
      return [
        { title: "Id", read: read("name"), show: (row) => this.makeLink(row), isHead: true },
        { title: "Kind", read: read("kind"), show: text(read("kind")) },
        { title: "Change", read: read("change"), show: (row) => `${SIGNS[this.rows[row].change]} ${this.rows[row].change}` },
        { title: "Class", read: sides("classes"), show: text(sides("classes")) },
        { title: "Collection", read: read("collection"), show: text(read("collection")) },
        { title: "Subset", read: sides("subsets"), show: text(sides("subsets")) },
        { title: "Flags", read: (row) => this.rows[row].flags[0] ?? null, show: (row) => this.listCodes(row) },
        { title: "Event", read: read("event"), show: (row) => (this.rows[row].event ? `@${this.rows[row].event}` : "") },
      ];
    }

    makeLink(row) {
      return makeElement("button", this.rows[row].name, { type: "button", class: "link" });
    }

    listCodes(row) {
      const codes = this.rows[row].flags.flatMap((flag) => this.data.flags[flag][0]);
      return codes.length ? `▲ ${[...new Set(codes)].join(", ")}` : "";
    }

    async start() {
      this.applyFilters();
      this.map = await createMap({ onTap: (place) => this.selectPlace(place, true), describe: (place) => this.describePlace(place) });
      if (!this.filters.isAny()) this.applyFilters();
      if (this.selected !== undefined) this.showOnMap(this.rows[this.selected].place);
      document.documentElement.dataset.drawn = String(Math.round(performance.now()));
    }

    describePlace(place) {
      const row = this.rowsOfPlace.get(place);
      return row ? `${row.kind} ${row.name} (${row.change})` : "";
    }

    applyFilters() {
      const shown = this.filters.choose();
      this.table.setRows(shown);
      this.showCounts(shown);
      if (!this.map) return;
      this.map.filter(this.filters.isAny() ? null : new Set(shown.map((row) => this.rows[row].place)));
      for (const cell of document.querySelectorAll("[data-count]")) {
        if (!this.map.isDensity(cell.dataset.count)) cell.textContent = this.map.countShown(cell.dataset.count).toLocaleString("en");
      }
    }

    showCounts(shown) {
      const counts = { added: 0, removed: 0, changed: 0 };
      for (const row of shown) counts[this.rows[row].change] += 1;
      const parts = Object.entries(counts).map(([change, number]) => `${number.toLocaleString("en")} ${change}`);
      const all = this.rows.length === shown.length ? "" : ` of ${this.rows.length.toLocaleString("en")}`;
      document.getElementById("shown").textContent = `${shown.length.toLocaleString("en")}${all} objects: ${parts.join(", ")}.`;
    }

    select(row, takesFocus = false) {
      if (!this.filters.accepts(this.rows[row])) {
        this.filters.form.reset();
        this.applyFilters();
      }
      this.selected = row;
      this.table.select(row, takesFocus);
      const { place } = this.rows[row];
      this.showOnMap(place);
      this.showDetails(row);
      if (this.chips.has(place) && this.chips.place !== place) this.chips.show(place);
    }

    showOnMap(place) {
      if (!this.map) return;
      this.map.select(place);
      if (this.map.hasPlace(place)) this.map.zoomTo(place);
      document.querySelector("[data-map=selection]").disabled = !this.map.hasPlace(place);
    }

    // Select the first row of what was tapped; the map does not move under the pointer.
    selectPlace(place, takesFocus) {
      const row = (this.numbersOfPlace.get(place) || []).find((number) => this.filters.accepts(this.rows[number]));
      const first = row ?? (this.numbersOfPlace.get(place) || [])[0];
      if (first === undefined) return;
      const span = this.map && this.map.getSpan();
      this.select(first, takesFocus);
      if (span && takesFocus) this.map.setSpan((span[0] + span[2]) / 2, (span[1] + span[3]) / 2, span[3] - span[1]);
    }

    followFlag(row, place) {
      if (row >= 0) this.select(row, true);
      else this.selectPlace(place, false);
      document.getElementById("map-title").scrollIntoView({ block: "start" });
    }

    // Show the objects that have the name of a class, or the assignments of a split.
    followName(filter, name) {
      this.filters.form.reset();
      if (filter === "class") this.filters.set("class", `=${name}`);
      else {
        this.filters.set("kind", "=split");
        this.filters.set("text", `${name}/`);
      }
      this.applyFilters();
      document.getElementById("objects-title").scrollIntoView({ block: "start" });
      document.getElementById("filters").elements[filter === "class" ? "class" : "text"].focus();
    }

    showDetails(number) {
      const row = this.rows[number];
      document.getElementById("details-title").textContent = `${row.kind} ${row.name}`;
      const facts = makeElement("dl", null, { class: "facts" });
      const addFact = (name, value) => facts.append(makeElement("dt", name), makeElement("dd", value));
      addFact("Change", `${SIGNS[row.change]} ${row.change}`);
      if (row.classes !== null) addFact("Class", formatSides(row.classes));
      if (row.collection !== null) addFact("Collection", row.collection);
      if (row.subsets !== null) addFact("Subset", formatSides(row.subsets));
      if (row.event) addFact("Event", this.describeEvent(row.event));
      const body = document.getElementById("details-body");
      body.replaceChildren(facts, ...this.makeFlagList(row), this.makeValues(row), ...this.makeRelated(number));
      if (!this.map || !this.map.hasPlace(row.place)) body.append(makeElement("p", "The map does not show it.", { class: "muted" }));
    }

    describeEvent(position) {
      const [kind, time, author, message] = this.data.events[position] || [];
      const parts = [kind, author && `by ${author}`, time && `${time.slice(0, 19)} UTC`].filter(Boolean).join(", ");
      return `@${position} ${parts}${message ? `: ${message}` : ""}`;
    }

    makeFlagList(row) {
      if (!row.flags.length) return [];
      const list = makeElement("ul", null, { class: "plain" });
      for (const flag of row.flags) list.append(makeElement("li", `▲ ${this.data.flags[flag][1]}`));
      return [list];
    }

    makeValues(row) {
      if (!row.values.length) return makeElement("p", "No values to show.", { class: "muted" });
      const table = makeElement("table");
      const head = makeElement("thead");
      const title = makeElement("tr");
      for (const name of ["Value", "Old", "New"]) title.append(makeElement("th", name, { scope: "col" }));
      head.append(title);
      const body = makeElement("tbody");
      for (const [name, ...values] of row.values) body.append(this.makeValue(row, name, values));
      table.append(makeElement("caption", "Values"), head, body);
      const box = makeElement("div", null, { class: "scroll" });
      box.append(table);
      return box;
    }

    makeValue(row, name, values) {
      const line = makeElement("tr");
      line.append(makeElement("th", name, { scope: "row" }));
      if (values.length === 1) line.append(makeElement("td", values[0], { colspan: 2 }));
      else for (const value of values) line.append(makeElement("td", value ?? "–", value === null ? { class: "muted" } : {}));
      return line;
    }

    // The other objects of the same place: labels and split assignments of a chip.
    makeRelated(number) {
      const { place } = this.rows[number];
      const others = place < 0 ? [] : (this.numbersOfPlace.get(place) || []).filter((other) => other !== number).slice(0, 20);
      if (!others.length) return [];
      const list = makeElement("ul", null, { class: "plain" });
      for (const other of others) {
        const item = makeElement("li");
        const row = this.rows[other];
        const button = makeElement("button", `${SIGNS[row.change]} ${row.kind} ${row.name}`, { type: "button", class: "link" });
        button.addEventListener("click", () => this.select(other, true));
        item.append(button);
        list.append(item);
      }
      return [makeElement("h4", "Also of this place"), list];
    }
  }

  if (document.getElementById("objects")) {
    const page = new DiffPage();
    window.geographer.page = page;
    page.start();
  } else {
    document.documentElement.dataset.drawn = String(Math.round(performance.now()));
  }
})();
