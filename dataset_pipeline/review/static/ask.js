// Ask mode: one person after the other, the least certain first, beside three pictures of whom they are taken for.

import { picture } from "./api.js";
import { clock, h, key, nameOf } from "./dom.js";
import { ANSWERED, nameFor, person, state, taken } from "./state.js";
import { named } from "./verbs.js";
import { face } from "./side.js";

const REFERENCES = 3, APART_S = 4;

export class Ask {
  constructor(open) {
    this.open = open;
    this.later = new Set();
    this.tile = -1;
    this.name = h("input", { type: "text", maxLength: 300, placeholder: "who is it? a name", dir: "auto", class: "whose",
      onkeydown: (event) => { if (event.key === "Escape") this.root.focus(); } });
    this.form = h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); this.give(); } }, this.name,
      h("button", {}, "Name"));
    this.root = h("div", { class: "ask", tabIndex: -1 });
  }

  give() {
    const text = this.name.value, near = person(taken(this.tile));
    this.name.value = "";
    this.name.blur();
    if (!text.trim()) return;
    named([this.tile], text, near && !near.named && state.state.owner[this.tile] >= 0 ? near.id : null);
    this.next();
  }

  // The server's order first, then the same by what is known here.
  pick() {
    const open = (tile) => state.state.marks[tile] === 0 && !this.later.has(tile);
    const told = state.ask.find((tile) => open(tile) && tile !== this.tile);
    if (told !== undefined) return told;
    let best = -1;
    for (let tile = 0; tile < state.count; tile++) {
      if (open(tile) && tile !== this.tile && (best < 0 || state.state.certainty[tile] < state.state.certainty[best])) best = tile;
    }
    if (best < 0 && this.later.size) {
      this.later.clear();
      return this.pick();
    }
    return best;
  }

  next() {
    this.tile = this.pick();
    this.draw();
  }

  put(tile) {
    this.tile = tile;
    this.draw();
  }

  skip() {
    this.later.add(this.tile);
    this.next();
  }

  // Three tiles that show a character best: those that a person confirmed, then the most typical, apart in time.
  references(number) {
    const { owner, marks, difference } = state.state, own = [];
    for (let tile = 0; tile < state.count; tile++) if (owner[tile] === number && tile !== this.tile) own.push(tile);
    const rank = (tile) => ((marks[tile] & ANSWERED) ? -1 : 0) + (difference[tile] ?? 9);
    own.sort((one, other) => rank(one) - rank(other) || one - other);
    const episode = (tile) => state.tiles.cover[tile].split("/")[0];
    const chosen = [];
    for (const tile of own) {
      const apart = chosen.every((it) => episode(it) !== episode(tile) || Math.abs(state.tiles.time[it] - state.tiles.time[tile]) > APART_S);
      if (apart && chosen.push(tile) === REFERENCES) break;
    }
    return [...chosen, ...own.filter((tile) => !chosen.includes(tile))].slice(0, REFERENCES);
  }

  draw() {
    const tile = this.tile;
    if (tile < 0) {
      this.root.replaceChildren(h("div", { class: "empty" }, h("h2", {}, "Nobody is left to ask about"),
        h("p", {}, "Everybody here was decided on. Run brings the answers into the set.")));
      return;
    }
    const number = taken(tile), who = person(number), cover = state.tiles.cover[tile];
    const second = state.state.second[tile];
    this.root.replaceChildren(
      h("div", { class: "asked" },
        h("div", { class: "pane" }, h("h2", {}, "Who is this?"),
          h("div", { class: "framed" }, h("img", { class: "subject", src: picture(cover), alt: "the person in question" })),
          this.form),
        h("div", { class: "pane" }, who ? [h("h2", {}, "Is it ", nameOf(who.name), "?"),
          h("div", { class: "references" }, this.references(number).map((it) =>
            h("img", { src: picture(state.tiles.cover[it], 320), alt: who.name, onclick: () => this.open(it) }))),
          h("div", { class: "row answers" },
            h("button", { class: "main", onclick: () => this.press("Enter") }, "Yes ", key("Enter")),
            h("button", { onclick: () => this.press("n") }, "Not this person ", key("N")),
            h("button", { onclick: () => this.press(" ") }, "Later ", key("Space"))),
          second >= 0 ? h("p", { class: "dim" }, "or maybe ", nameOf(nameFor(second))) : null]
          : [h("h2", {}, "Nobody like this is known yet"), h("p", {}, "Type a name, or leave it for later with Space.")]),
      ),
      this.still(tile));
  }

  still(tile) {
    const cover = state.tiles.cover[tile], still = cover.split("#")[0];
    const [x, y, w, hgt] = cover.split("#")[1].split("-").slice(1).map((it) => it / 10);
    const img = h("img", { src: picture(still), alt: "the whole still", onclick: () => this.open(tile) });
    const box = h("div", { class: "outline", style: { left: `${x}%`, top: `${y}%`, width: `${w}%`, height: `${hgt}%` } });
    const episode = still.split("/")[0];
    return h("div", { class: "context" }, h("div", { class: "stage" }, img, box),
      h("p", { class: "dim" }, `${state.titles[episode] || episode} · ${clock(state.tiles.time[tile])}`));
  }
}
