// table.js: a table in pages, sorted by any column, whose rows can be selected.
(function () {
  "use strict";

  const PAGE_SIZE = 50;
  const collator = new Intl.Collator("en", { numeric: true });

  // Return an element with text and attributes; text is never parsed as HTML.
  function makeElement(name, text, attributes) {
    const element = document.createElement(name);
    if (text !== undefined && text !== null) element.textContent = text;
    for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
    return element;
  }

  function compareValues(a, b) {
    if (a === null || b === null) return (a === null) - (b === null);
    return typeof a === "number" && typeof b === "number" ? a - b : collator.compare(String(a), String(b));
  }

  // `columns` have title, read(row) for sorting, and show(row), which returns a text or an element; `rows` are numbers.
  class PagedTable {
    constructor(table, pager, columns, onSelect) {
      this.columns = columns;
      this.onSelect = onSelect;
      this.rows = [];
      this.page = 0;
      this.sorted = { column: -1, isRising: true };
      this.selected = null;
      this.head = table.querySelector("thead");
      this.body = table.querySelector("tbody");
      this.pager = pager;
      this.buildHead();
      this.buildPager();
      this.body.addEventListener("click", (event) => this.handleClick(event));
      this.body.addEventListener("keydown", (event) => this.handleKey(event));
    }

    buildHead() {
      const line = makeElement("tr");
      this.columns.forEach((column, index) => {
        const cell = makeElement("th", null, { scope: "col" });
        const button = makeElement("button", column.title, { type: "button", class: "sort" });
        button.addEventListener("click", () => this.sortBy(index));
        cell.append(button);
        line.append(cell);
      });
      this.head.replaceChildren(line);
    }

    buildPager() {
      this.buttons = {};
      const moves = { First: () => 0, Previous: () => this.page - 1, Next: () => this.page + 1, Last: () => this.countPages() - 1 };
      for (const [name, find] of Object.entries(moves)) {
        const button = makeElement("button", name, { type: "button" });
        button.addEventListener("click", () => this.showPage(find()));
        this.buttons[name] = button;
        this.pager.append(button);
      }
      this.position = makeElement("span");
      this.pager.insertBefore(this.position, this.buttons.Next);
    }

    countPages() {
      return Math.max(1, Math.ceil(this.rows.length / PAGE_SIZE));
    }

    // Show these rows, in the given order unless a column is sorted.
    setRows(rows) {
      this.given = rows;
      this.rows = this.sortRows(rows);
      this.showPage(0);
    }

    sortRows(rows) {
      if (this.sorted.column < 0) return rows;
      const { read } = this.columns[this.sorted.column];
      const sign = this.sorted.isRising ? 1 : -1;
      return [...rows].sort((a, b) => sign * compareValues(read(a), read(b)) || a - b);
    }

    sortBy(index) {
      const isSame = this.sorted.column === index;
      // A third click restores the first order.
      if (isSame && !this.sorted.isRising) this.sorted = { column: -1, isRising: true };
      else this.sorted = { column: index, isRising: !isSame };
      [...this.head.querySelectorAll("th")].forEach((cell, column) => {
        const order = this.sorted.isRising ? "ascending" : "descending";
        if (column === this.sorted.column) cell.setAttribute("aria-sort", order);
        else cell.removeAttribute("aria-sort");
      });
      this.setRows(this.given);
    }

    showPage(page) {
      this.page = Math.max(0, Math.min(this.countPages() - 1, page));
      const start = this.page * PAGE_SIZE;
      this.body.replaceChildren(...this.rows.slice(start, start + PAGE_SIZE).map((row) => this.makeRow(row)));
      const last = this.countPages() - 1;
      this.position.textContent = `Page ${(this.page + 1).toLocaleString("en")} of ${(last + 1).toLocaleString("en")}`;
      for (const name of ["First", "Previous"]) this.buttons[name].disabled = this.page === 0;
      for (const name of ["Next", "Last"]) this.buttons[name].disabled = this.page === last;
    }

    makeRow(row) {
      const line = makeElement("tr", null, { "data-row": row });
      if (row === this.selected) line.setAttribute("aria-current", "true");
      this.columns.forEach((column) => {
        const cell = makeElement(column.isHead ? "th" : "td", null, column.isHead ? { scope: "row" } : {});
        cell.append(column.show(row));
        line.append(cell);
      });
      return line;
    }

    handleClick(event) {
      const line = event.target.closest("tr");
      if (line && this.onSelect) this.onSelect(Number(line.dataset.row));
    }

    // Arrow keys go from row to row.
    handleKey(event) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const line = step && event.target.closest("tr");
      if (!line) return;
      const next = step > 0 ? line.nextElementSibling : line.previousElementSibling;
      const button = next && next.querySelector("button");
      if (button) {
        event.preventDefault();
        button.focus();
      }
    }

    // Show the page that has a row and mark it; return whether it is among the rows.
    select(row, takesFocus) {
      this.selected = row;
      const index = this.rows.indexOf(row);
      if (index >= 0 && Math.floor(index / PAGE_SIZE) !== this.page) this.showPage(Math.floor(index / PAGE_SIZE));
      for (const line of this.body.children) {
        if (Number(line.dataset.row) === row) line.setAttribute("aria-current", "true");
        else line.removeAttribute("aria-current");
      }
      const button = this.body.querySelector("tr[aria-current] button");
      if (takesFocus && button) button.focus();
      return index >= 0;
    }
  }

  window.geographer = Object.assign(window.geographer || {}, { PagedTable, makeElement });
})();
