// The left column: characters, unknown groups by size, noise, and what else is to be looked at.

import { sheet } from "./api.js";
import { h, nameOf } from "./dom.js";
import { decided, sizesOf, state } from "./state.js";

const SHOWN = 120; // entries of a section before somebody asks for more

export class Side {
  constructor(root, open) {
    this.root = root;
    this.open = open; // called with what to look at
    this.more = new Set();
    this.filter = "";
    this.search = h("input", { type: "search", placeholder: "Find a character", dir: "auto",
      oninput: () => { this.filter = this.search.value.toLowerCase(); this.draw(); } });
    this.lists = h("div", { class: "lists" });
    root.replaceChildren(this.search, this.lists);
  }

  draw(current = this.current) {
    this.current = current;
    const { owner, marks } = state.state, sizes = sizesOf(), left = {}, covers = {}, groups = new Map();
    let noise = 0;
    for (let tile = 0; tile < state.count; tile++) {
      if (owner[tile] >= 0) {
        covers[owner[tile]] ??= tile;
        if (!decided(tile)) left[owner[tile]] = (left[owner[tile]] || 0) + 1;
      } else if (state.tiles.group[tile] < 0) noise++;
      else {
        const group = groups.get(state.tiles.group[tile]);
        group ? group.count++ : groups.set(state.tiles.group[tile], { count: 1, cover: tile });
      }
    }
    const fits = (it) => !this.filter || [it.name, ...it.aliases].some((name) => name.toLowerCase().includes(this.filter));
    const there = state.characters.filter((it) => !it.gone && fits(it));
    const bySize = (one, other) => (sizes[other.number] || 0) - (sizes[one.number] || 0);
    const entry = (it) => this.entry({ kind: "character", number: it.number }, nameOf(it.name), sizes[it.number] || 0,
      covers[it.number], left[it.number] ? "" : "done");
    const unknown = [...groups].sort((one, other) => other[1].count - one[1].count);
    const shows = state.shows.length > 1;
    const characters = (list) => shows
      ? state.shows.flatMap((show) => list.filter((it) => it.show === show).map(entry)) : list.map(entry);
    const scroll = this.lists.scrollTop;
    this.lists.replaceChildren(...[
      this.plain({ kind: "ask" }, "Ask me", "least certain first", "asking"),
      this.plain({ kind: "all" }, "Everybody", state.count),
      this.section("Characters", characters(there.filter((it) => it.named).sort(bySize))),
      this.section("Without a name", characters(there.filter((it) => !it.named).sort(bySize))),
      this.section("Unknown groups", unknown.map(([group, it], i) =>
        this.entry({ kind: "unknown", group }, `Unknown ${i + 1}`, it.count, it.cover))),
      this.section("More", [
        this.plain({ kind: "noise" }, "Noise", noise),
        state.lookalikes.length ? this.plain({ kind: "lookalikes" }, "Near-duplicates", state.lookalikes.length) : null,
        state.doubtful.length ? this.plain({ kind: "doubtful" }, "Doubtful panoramas and plates",
          state.doubtful.filter((it) => !state.judged[it.id]).length) : null,
        state.unmatched.length || Object.keys(state.faults).length
          ? this.plain({ kind: "unmatched" }, "Unmatched corrections", state.unmatched.length + Object.keys(state.faults).length, "warn") : null,
        this.plain({ kind: "said" }, "What was said", state.holding),
      ])].filter(Boolean));
    this.lists.scrollTop = scroll;
  }

  section(title, entries) {
    const some = entries.filter(Boolean);
    if (!some.length) return null;
    const shown = this.more.has(title) ? some : some.slice(0, SHOWN);
    return h("section", {}, h("h3", {}, title), shown, shown.length < some.length
      ? h("button", { class: "entry more", onclick: () => { this.more.add(title); this.draw(); } },
        `${some.length - shown.length} more`) : null);
  }

  entry(what, label, number, cover, kind = "") {
    return h("button", { class: `entry ${kind} ${this.is(what) ? "here" : ""}`, onclick: () => this.open(what) },
      cover === undefined ? h("span", { class: "face" }) : face(cover), h("span", { class: "text" }, label),
      h("span", { class: "number" }, typeof number === "number" ? number.toLocaleString() : number));
  }

  plain(what, label, number, kind = "") {
    return h("button", { class: `entry plain ${kind} ${this.is(what) ? "here" : ""}`, onclick: () => this.open(what) },
      h("span", { class: "text" }, label),
      h("span", { class: "number" }, typeof number === "number" ? number.toLocaleString() : number));
  }

  is(what) {
    return JSON.stringify(what) === JSON.stringify(this.current);
  }
}

// A tile's picture, small.
export function face(tile, px = 30) {
  const { side } = state.sheet, cell = tile % (side * side);
  return h("span", { class: "face", style: {
    width: `${px}px`, height: `${px}px`, backgroundImage: `url("${sheet(Math.floor(tile / (side * side)), state.edition)}")`,
    backgroundSize: `${px * side}px auto`,
    backgroundPosition: `-${(cell % side) * px}px -${Math.floor(cell / side) * px}px` } });
}

export function membersOf(what) {
  const { owner } = state.state, { group } = state.tiles;
  const every = [...Array(state.count).keys()];
  if (what.kind === "character") return every.filter((tile) => owner[tile] === what.number);
  if (what.kind === "unknown") return every.filter((tile) => owner[tile] < 0 && group[tile] === what.group);
  if (what.kind === "noise") return every.filter((tile) => owner[tile] < 0 && group[tile] < 0);
  return every;
}
