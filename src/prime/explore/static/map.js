// The map of patients on a canvas: points, a rectangle that selects, and a cursor for the keyboard.

export const COLOURS = [
  "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
  "#7A4EAB", "#8C564B", "#3B7D23", "#B8336A", "#4E79A7", "#9C9A00",
];
export const OTHER = "#9AA0A6";
const NEAR = 10; // pixels from a point that count as on it
const PAD = 14;

export class PatientMap {
  // Handlers: `box(rows, add)` when a rectangle was drawn, `open(row)` when a patient was asked for, `say(row)` when the
  // cursor moved, `words(row)` for what is said of a patient.
  constructor(canvas, data, handlers) {
    this.canvas = canvas;
    this.data = data;
    this.handlers = handlers;
    this.context = canvas.getContext("2d");
    this.placed = [];
    this.cursor = -1;
    this.box = null;
    this.start = null;
    this.colours = null;
    this.selected = null;
    for (let row = 0; row < data.x.length; row++) if (data.x[row] !== null) this.placed.push(row);
    this.lay(data.x, data.y);
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.cancel());
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => this.draw());
    canvas.addEventListener("blur", () => this.draw());
  }

  show(colours, selected) {
    this.colours = colours;
    this.selected = selected;
    this.draw();
  }

  // Put the patients at these places, one of each patient across and up.
  lay(across, up) {
    this.x = across;
    this.y = up;
    const ends = (values) => this.placed.reduce(([low, high], row) => [Math.min(low, values[row]), Math.max(high, values[row])], [Infinity, -Infinity]);
    this.ends = [ends(across), ends(up)];
    this.draw();
  }

  place(row) {
    const [[left, right], [low, high]] = this.ends;
    return [
      this.width / 2 + (this.x[row] - (left + right) / 2) * this.scale,
      this.height / 2 - (this.y[row] - (low + high) / 2) * this.scale,
    ];
  }

  draw() {
    if (!this.colours) return;
    const box = this.canvas.parentElement.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    this.width = Math.max(200, Math.floor(box.width));
    this.height = Math.round(Math.min(this.width, 460));
    const [wide, tall] = this.ends.map(([low, high]) => Math.max(high - low, 1e-9));
    this.scale = Math.min((this.width - 2 * PAD) / wide, (this.height - 2 * PAD) / tall); // the same both ways
    if (this.canvas.width !== this.width * ratio || this.canvas.height !== this.height * ratio) {
      this.canvas.width = this.width * ratio;
      this.canvas.height = this.height * ratio;
    }
    const c = this.context;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, this.width, this.height);
    const size = this.placed.length > 3000 ? 1.6 : 3;
    const some = this.selected.count < this.data.x.length;
    for (const front of some ? [false, true] : [true]) {
      c.globalAlpha = front ? 0.85 : 0.18;
      for (const row of this.placed) {
        if (some && Boolean(this.selected.mask[row]) !== front) continue;
        const [x, y] = this.place(row);
        c.fillStyle = this.colours[row];
        c.fillRect(x - size, y - size, 2 * size, 2 * size);
      }
    }
    c.globalAlpha = 1;
    if (this.box) {
      c.strokeStyle = "#000000";
      c.setLineDash([4, 3]);
      c.strokeRect(...this.box);
      c.setLineDash([]);
    }
    if (this.cursor >= 0 && document.activeElement === this.canvas) {
      const [x, y] = this.place(this.cursor);
      c.lineWidth = 3;
      c.strokeStyle = "#ffffff";
      c.strokeRect(x - 7, y - 7, 14, 14);
      c.lineWidth = 1.5;
      c.strokeStyle = "#000000";
      c.strokeRect(x - 7, y - 7, 14, 14);
      c.lineWidth = 1;
    }
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    if (event.button !== 0) return;
    this.start = this.at(event);
    this.canvas.setPointerCapture(event.pointerId);
  }

  move(event) {
    const [x, y] = this.at(event);
    if (!this.start) {
      const row = this.nearest(x, y, NEAR);
      this.canvas.title = row < 0 ? "" : this.handlers.words(row);
      return;
    }
    this.box = [Math.min(x, this.start[0]), Math.min(y, this.start[1]), Math.abs(x - this.start[0]), Math.abs(y - this.start[1])];
    this.draw();
  }

  up(event) {
    if (!this.start) return;
    const box = this.box;
    this.cancel();
    if (!box || box[2] + box[3] < 6) {
      const row = this.nearest(...this.at(event), NEAR);
      if (row >= 0) this.handlers.open(row);
      return;
    }
    const rows = this.placed.filter((row) => {
      const [x, y] = this.place(row);
      return x >= box[0] && x <= box[0] + box[2] && y >= box[1] && y <= box[1] + box[3];
    });
    this.handlers.box(rows, event.shiftKey);
  }

  cancel() {
    this.start = null;
    this.box = null;
    this.draw();
  }

  nearest(x, y, within) {
    let best = -1;
    let least = within * within;
    for (const row of this.placed) {
      const [px, py] = this.place(row);
      const far = (px - x) ** 2 + (py - y) ** 2;
      if (far <= least) {
        least = far;
        best = row;
      }
    }
    return best;
  }

  // The nearest patient within a quarter turn of a direction.
  step(dx, dy) {
    const [x, y] = this.place(this.cursor);
    let best = this.cursor;
    let least = Infinity;
    for (const row of this.placed) {
      const [px, py] = this.place(row);
      const along = (px - x) * dx + (py - y) * dy;
      const across = Math.abs((px - x) * dy - (py - y) * dx);
      const far = along + 2 * across;
      if (along > 0.5 && across <= along && far < least) {
        least = far;
        best = row;
      }
    }
    return best;
  }

  key(event) {
    const turns = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const turn = turns[event.key];
    if (!this.placed.length) return;
    if (turn) {
      event.preventDefault();
      this.cursor = this.cursor < 0 ? this.placed[0] : this.step(...turn);
      this.draw();
      this.handlers.say(this.cursor);
    } else if (event.key === "Enter" && this.cursor >= 0) {
      this.handlers.open(this.cursor);
    } else if (event.key === " " && this.cursor >= 0) {
      event.preventDefault();
      this.handlers.box([this.cursor], true);
    }
  }
}
