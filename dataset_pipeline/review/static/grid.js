// The grid of tiles. Only what is on the screen is in the document, at most MOST tiles; a list keeps its order while it
// is open, so that nothing jumps when tiles are decided.

import { sheet } from "./api.js";
import { count, h, nameOf } from "./dom.js";
import { ANSWERED, REFUSED, REJECTED, decided, likeness, nameFor, person, state } from "./state.js";

const MOST = 190, GAP = 10, LABEL_PX = 22, LEAST_PX = 124;

export const ORDERS = {
  doubt: "doubt",
  time: "time",
  quality: "quality",
  likeness: "likeness",
};

export class Grid {
  constructor(opened) {
    this.opened = opened; // called with a tile to look at closely
    this.tiles = [];
    this.order = "doubt";
    this.cursor = 0;
    this.anchor = 0;
    this.selected = new Set();
    this.nodes = new Map();
    this.space = h("div", { class: "space" });
    this.root = h("div", { class: "grid", tabIndex: 0, onscroll: () => this.later() }, this.space);
    this.root.addEventListener("click", (event) => this.clicked(event));
    this.root.addEventListener("dblclick", (event) => {
      const place = this.placeOf(event.target);
      if (place !== null) this.opened(this.tiles[place]);
    });
    this.onchange = () => {};
    new ResizeObserver(() => this.measure()).observe(this.root);
  }

  // Show these tiles, sorted anew.
  async show(tiles, order = this.order) {
    this.order = order;
    this.tiles = await this.sorted([...tiles], order);
    this.selected.clear();
    this.cursor = this.anchor = 0;
    this.root.scrollTop = 0;
    this.forget();
    this.measure();
    this.onchange();
  }

  async sorted(tiles, order) {
    const { certainty } = state.state, { time, quality, cover } = state.tiles;
    const by = (value, up = 1) => tiles.sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      return (a === b ? 0 : a === null ? 1 : b === null ? -1 : up * (a - b)) || one - other;
    });
    if (order === "doubt") return by((it) => certainty[it]);
    if (order === "quality") return by((it) => quality[it], -1);
    if (order === "time") {
      const rank = (it) => cover[it].split("#")[0];
      return tiles.sort((one, other) => (rank(one) < rank(other) ? -1 : rank(one) > rank(other) ? 1 : one - other));
    }
    const chosen = this.chosen();
    if (!chosen.length) return by((it) => certainty[it]);
    const edition = state.edition, far = await likeness(chosen);
    if (edition !== state.edition) return this.tiles; // the view was read anew meanwhile, and draws itself
    return by((it) => far[it]);
  }

  measure() {
    const width = this.root.clientWidth - GAP, height = this.root.clientHeight;
    if (width <= 0 || height <= 0) return;
    let size = LEAST_PX;
    const fits = () => Math.max(1, Math.floor(width / (size + GAP))) * (Math.ceil(height / (size + LABEL_PX + GAP)) + 2) <= MOST;
    while (!fits()) size += 8;
    this.columns = Math.max(1, Math.floor(width / (size + GAP)));
    this.size = Math.floor(width / this.columns) - GAP;
    while (this.columns * (Math.ceil(height / (this.size + LABEL_PX + GAP)) + 2) > MOST) this.size += 4;
    this.step = this.size + LABEL_PX + GAP;
    this.space.style.height = `${Math.ceil(this.tiles.length / this.columns) * this.step + GAP}px`;
    this.forget();
    this.draw();
  }

  forget() {
    for (const node of this.nodes.values()) node.remove();
    this.nodes.clear();
  }

  later() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.draw();
    });
  }

  draw() {
    if (!this.columns) return;
    const first = Math.max(0, Math.floor(this.root.scrollTop / this.step)) * this.columns;
    const rows = Math.ceil(this.root.clientHeight / this.step) + 1;
    const last = Math.min(this.tiles.length, first + rows * this.columns);
    for (const [place, node] of this.nodes) {
      if (place < first || place >= last) {
        node.remove();
        this.nodes.delete(place);
      }
    }
    const added = document.createDocumentFragment();
    for (let place = first; place < last; place++) {
      if (!this.nodes.has(place)) {
        const node = this.made(place);
        this.nodes.set(place, node);
        added.append(node);
      }
    }
    this.space.append(added);
  }

  made(place) {
    const tile = this.tiles[place], size = this.size;
    const { side } = state.sheet, number = Math.floor(tile / (side * side)), cell = tile % (side * side);
    const picture = h("div", { class: "picture", style: {
      width: `${size}px`, height: `${size}px`, backgroundImage: `url("${sheet(number, state.edition)}")`,
      backgroundSize: `${size * side}px auto`,
      backgroundPosition: `-${(cell % side) * size}px -${Math.floor(cell / side) * size}px` } });
    const node = h("div", { class: "tile", style: {
      width: `${size}px`, left: `${GAP + (place % this.columns) * (size + GAP)}px`,
      top: `${GAP + Math.floor(place / this.columns) * this.step}px` } },
      picture, h("div", { class: "label" }));
    node.dataset.place = place;
    this.dress(node, place);
    return node;
  }

  dress(node, place) {
    const tile = this.tiles[place], marks = state.state.marks[tile], owner = state.state.owner[tile];
    const near = state.state.near[tile], crops = state.tiles.crops[tile];
    node.classList.toggle("decided", decided(tile));
    node.classList.toggle("rejected", (marks & REJECTED) !== 0);
    node.classList.toggle("selected", this.selected.has(place));
    node.classList.toggle("cursor", place === this.cursor);
    node.classList.toggle("above", place < this.line() && owner >= 0 && !decided(tile));
    const sign = marks & REJECTED ? "✕" : marks & ANSWERED ? "✓" : marks & REFUSED ? "≠" : "";
    const shown = owner >= 0 ? nameOf(nameFor(owner)) : near >= 0
      ? h("span", { class: "maybe" }, "like ", nameOf(nameFor(near)), "?") : h("span", { class: "dim" }, "unknown");
    node.lastChild.replaceChildren(h("span", { class: "sign" }, sign), shown,
      crops > 1 ? h("span", { class: "crops", title: count(crops, "crop") }, String(crops)) : "");
    node.title = `${nameFor(owner)}${owner < 0 && near >= 0 ? `, most like ${nameFor(near)}` : ""}`;
  }

  // The tiles that changed look as they are by now; none moves.
  refresh(tiles) {
    const changed = tiles ? new Set(tiles) : null;
    for (const [place, node] of this.nodes) if (!changed || changed.has(this.tiles[place])) this.dress(node, place);
  }

  placeOf(target) {
    const node = target.closest(".tile");
    return node ? Number(node.dataset.place) : null;
  }

  clicked(event) {
    const place = this.placeOf(event.target);
    if (place === null) return;
    if (event.shiftKey) this.range(this.anchor, place);
    else if (event.ctrlKey || event.metaKey) this.toggle(place);
    else {
      this.selected = this.selected.size === 1 && this.selected.has(place) ? new Set() : new Set([place]);
      this.anchor = place;
    }
    this.cursor = place;
    this.refresh();
    this.onchange();
  }

  toggle(place) {
    this.selected.has(place) ? this.selected.delete(place) : this.selected.add(place);
    this.anchor = place;
  }

  range(from, to) {
    this.selected = new Set();
    for (let place = Math.min(from, to); place <= Math.max(from, to); place++) this.selected.add(place);
  }

  // Move the cursor by so many tiles; extend: the selection goes along.
  move(by, extend) {
    if (!this.tiles.length) return;
    this.cursor = Math.min(this.tiles.length - 1, Math.max(0, this.cursor + by));
    if (extend) this.range(this.anchor, this.cursor);
    else {
      this.selected.clear();
      this.anchor = this.cursor;
    }
    this.reveal();
    this.refresh();
    this.onchange();
  }

  reveal() {
    const top = Math.floor(this.cursor / this.columns) * this.step;
    if (top < this.root.scrollTop) this.root.scrollTop = top;
    else if (top + this.step + GAP > this.root.scrollTop + this.root.clientHeight) {
      this.root.scrollTop = top + this.step + GAP - this.root.clientHeight;
    }
    this.draw();
  }

  all() {
    this.range(0, this.tiles.length - 1);
    this.refresh();
    this.onchange();
  }

  clear() {
    this.selected.clear();
    this.refresh();
    this.onchange();
  }

  // The tiles that are selected, else the one under the cursor.
  chosen() {
    const places = this.selected.size ? [...this.selected].sort((one, other) => one - other) : [this.cursor];
    return places.map((place) => this.tiles[place]).filter((tile) => tile !== undefined);
  }

  // Where the row of the cursor begins.
  line() {
    return Math.floor(this.cursor / Math.max(1, this.columns)) * this.columns;
  }

  // The tiles in the rows above that of the cursor which nobody has decided on.
  above() {
    return this.tiles.slice(0, this.line()).filter((tile) => !decided(tile) && person(state.state.owner[tile]));
  }

  // After a decision: the next tile that is open, if only one was chosen.
  advance() {
    if (this.selected.size > 1) return this.clear();
    let place = this.cursor + 1;
    while (place < this.tiles.length && decided(this.tiles[place])) place++;
    if (place < this.tiles.length) this.move(place - this.cursor, false);
  }
}
