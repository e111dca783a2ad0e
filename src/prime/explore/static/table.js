// The table of patients, and the table of what is there and missing.

const PAGE = 50;
const shown = (value, digits, end = "") => (value === null ? "" : value.toFixed(digits) + end);

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

export class PatientTable {
  constructor(data, survival, hasModel) {
    this.data = data;
    const text = (name) => (row) => data[name].levels[data[name].codes[row]];
    this.columns = [
      { name: "patient", value: (row) => data.id[row] },
      { name: "type", value: text("type") },
      { name: "site", value: text("site") },
      { name: "has", value: text("pattern") },
    ];
    if (hasModel) {
      this.columns.push({ name: "risk of 100", number: true, value: (row) => data.risk[row], text: (v) => shown(v, 0) });
      this.columns.push({
        name: survival ? "alive at 3 years" : "probability", number: true,
        value: (row) => data.chance[row], text: (v) => (v === null ? "" : shown(100 * v, 0, " %")),
      });
      if (survival) this.columns.push({ name: "median, months", number: true, value: (row) => data.median[row], text: (v) => shown(v, 0) });
    }
    this.columns.push({ name: "followed, months", number: true, value: (row) => data.time[row], text: (v) => shown(v, 1) });
    this.columns.push({ name: "event", value: (row) => ["no", "yes"][data.event[row]] ?? "" });
    this.haystack = data.id.map((id, row) => `${id} ${text("type")(row)} ${text("site")(row)}`.toLowerCase());
    this.rows = [];
    this.found = [];
    this.page = 0;
    this.sorted = null;
    this.head = document.querySelector("#patients thead");
    this.body = document.querySelector("#patients tbody");
    const line = element("tr");
    for (const column of this.columns) {
      const cell = element("th", undefined, column.number ? { scope: "col", class: "number" } : { scope: "col" });
      const button = element("button", column.name, { type: "button" });
      button.addEventListener("click", () => this.sort(column));
      cell.append(button);
      line.append(cell);
      column.cell = cell;
    }
    this.head.append(line);
    const risk = this.columns.find((column) => column.name === "risk of 100");
    if (risk) {
      this.sorted = { column: risk, down: true };
      risk.cell.setAttribute("aria-sort", "descending");
    }
    this.search = document.getElementById("search");
    this.search.addEventListener("input", () => this.find());
    document.getElementById("before").addEventListener("click", () => this.turn(-1));
    document.getElementById("after").addEventListener("click", () => this.turn(1));
  }

  show(rows) {
    this.rows = rows;
    this.find();
  }

  find() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.found = this.rows.filter((row) => words.every((word) => this.haystack[row].includes(word)));
    this.page = 0;
    this.order();
  }

  sort(column) {
    const down = this.sorted && this.sorted.column === column ? !this.sorted.down : Boolean(column.number);
    this.sorted = { column, down };
    for (const each of this.columns) each.cell.removeAttribute("aria-sort");
    column.cell.setAttribute("aria-sort", down ? "descending" : "ascending");
    this.order();
  }

  order() {
    if (this.sorted) {
      const { column, down } = this.sorted;
      const sign = down ? -1 : 1;
      const key = new Map(this.found.map((row) => [row, column.value(row)]));
      this.found.sort((a, b) => {
        const [x, y] = [key.get(a), key.get(b)];
        if (x === null || y === null) return (x === null) - (y === null); // what is not known comes last
        return sign * (x < y ? -1 : x > y ? 1 : 0) || a - b;
      });
    }
    this.draw();
  }

  turn(by) {
    this.page += by;
    this.draw();
  }

  draw() {
    const pages = Math.max(1, Math.ceil(this.found.length / PAGE));
    this.page = Math.min(Math.max(0, this.page), pages - 1);
    const lines = this.found.slice(PAGE * this.page, PAGE * (this.page + 1)).map((row) => {
      const line = element("tr");
      this.columns.forEach((column, place) => {
        const value = column.value(row);
        if (place === 0) {
          const cell = element("th", undefined, { scope: "row" });
          cell.append(element("a", value, { href: `#patient-${row}` }));
          line.append(cell);
        } else {
          line.append(element("td", column.text ? column.text(value) : value, column.number ? { class: "number" } : {}));
        }
      });
      return line;
    });
    this.body.replaceChildren(...lines);
    document.getElementById("matches").textContent =
      `${this.found.length.toLocaleString("en")} patients; page ${this.page + 1} of ${pages}`;
    document.getElementById("before").disabled = this.page === 0;
    document.getElementById("after").disabled = this.page >= pages - 1;
  }
}

export class MissingTable {
  // A row for each set of modalities, the most frequent first; `pick(code)` selects its patients.
  constructor(data, pick) {
    this.data = data;
    const table = document.getElementById("missing");
    const codes = data.pattern.codes;
    this.whole = data.pattern.levels.map(() => 0);
    const has = data.pattern.levels.map(() => 0);
    codes.forEach((code, row) => {
      this.whole[code] += 1;
      has[code] = data.has[row];
    });
    const head = element("tr");
    for (const name of data.modalities) head.append(element("th", name, { scope: "col" }));
    head.append(element("th", "patients", { scope: "col", class: "number" }), element("th", "selected", { scope: "col", class: "number" }), element("th", "share", { scope: "col" }));
    const body = element("tbody");
    this.lines = data.pattern.levels.map((level, code) => {
      const line = element("tr");
      data.modalities.forEach((name, place) => {
        const there = (has[code] >> place) & 1;
        const cell = element("td", undefined, { class: "dot" });
        cell.append(element("span", "", { class: there ? "full" : "empty", "aria-hidden": "true" }), element("span", there ? "there" : "missing", { class: "hidden-text" }));
        line.append(cell);
      });
      const cell = element("td", undefined, { class: "number" });
      const button = element("button", this.whole[code].toLocaleString("en"), { type: "button", "aria-label": `Select the ${this.whole[code]} patients who have ${level}` });
      button.addEventListener("click", () => pick(code));
      cell.append(button);
      const mine = element("td", "", { class: "number" });
      const bar = element("td");
      const meter = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      meter.setAttribute("viewBox", "0 0 200 14");
      meter.setAttribute("class", "bar");
      meter.setAttribute("aria-hidden", "true");
      const rects = ["back", "fill c0"].map((look) => {
        const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
        rect.setAttribute("class", look);
        rect.setAttribute("y", "2");
        rect.setAttribute("height", "10");
        meter.append(rect);
        return rect;
      });
      bar.append(meter);
      line.append(cell, mine, bar);
      body.append(line);
      return { mine, rects };
    });
    const top = element("thead");
    top.append(head);
    table.replaceChildren(element("caption", "Who has what; a number selects its patients", { class: "hidden-text" }), top, body);
  }

  show(mask) {
    const mine = this.whole.map(() => 0);
    this.data.pattern.codes.forEach((code, row) => {
      if (mask[row]) mine[code] += 1;
    });
    const most = Math.max(...this.whole, 1);
    this.lines.forEach((line, code) => {
      line.mine.textContent = mine[code].toLocaleString("en");
      line.rects[0].setAttribute("width", ((200 * this.whole[code]) / most).toFixed(1));
      line.rects[1].setAttribute("width", ((200 * mine[code]) / most).toFixed(1));
    });
  }
}
