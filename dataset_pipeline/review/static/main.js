// The page: what is open, the keys, and the bars above and below.

import { Ask } from "./ask.js";
import { count, h, key, nameOf, note } from "./dom.js";
import { Grid, ORDERS } from "./grid.js";
import { help } from "./help.js";
import { Doubtful, Lookalikes, Said, Unmatched } from "./lists.js";
import { RunButton } from "./run.js";
import { Side, face, membersOf } from "./side.js";
import { Still } from "./still.js";
import { decided, emit, listen, load, nameFor, person, say, settled, sizesOf, state, taken, undo } from "./state.js";
import * as verbs from "./verbs.js";

const main = document.getElementById("main"), bar = document.getElementById("bar"), foot = document.getElementById("foot");
const still = new Still();
const look = (tile) => still.open(state.tiles.cover[tile], tile).catch((error) => note(error.message, "error"));
const grid = new Grid(look), ask = new Ask(look);
const lists = { lookalikes: new Lookalikes((image) => still.open(image)), doubtful: new Doubtful((image) => still.open(image)),
  said: new Said(), unmatched: new Unmatched() };
const side = new Side(document.getElementById("side"), open);
const run = new RunButton();
const title = h("h1"), tools = h("div", { class: "tools" }), undoing = h("button", { onclick: () => undo() });
const order = h("select", { title: "sorted by; likeness is that to the selection", onchange: () => grid.show(grid.tiles, order.value).catch((error) => note(error.message, "error")) },
  Object.entries(ORDERS).map(([value, text]) => h("option", { value }, text)));
const above = h("button", { onclick: () => verbs.confirm(grid.above()), title: "all open tiles in the rows above the marked one",
  onmouseenter: () => grid.root.classList.add("telling"), onmouseleave: () => grid.root.classList.remove("telling") });
const typed = h("input", { type: "text", class: "whose", maxLength: 300, placeholder: "name the selection", dir: "auto",
  onkeydown: (event) => { if (event.key === "Escape") grid.root.focus(); } });
const naming = h("form", { onsubmit: (event) => {
  event.preventDefault();
  const tiles = grid.chosen(), name = typed.value;
  typed.value = "";
  grid.root.focus();
  if (name.trim()) verbs.named(tiles, name).then((well) => well && grid.advance());
} }, typed);

let current = { kind: "all" };
let before = null; // the grid that ask mode goes back to

function open(what) {
  if (what.kind !== "ask") before = what;
  current = what;
  if (what.kind === "ask") {
    main.replaceChildren(ask.root);
    ask.next();
    ask.root.focus();
  } else if (lists[what.kind]) {
    main.replaceChildren(lists[what.kind].root);
    lists[what.kind].draw();
  } else {
    main.replaceChildren(grid.root);
    grid.show(membersOf(what), order.value === "likeness" ? "doubt" : order.value);
    grid.root.focus();
  }
  heads();
  side.draw(current);
}

const isGrid = () => !lists[current.kind] && current.kind !== "ask";
const targets = () => (current.kind === "ask" ? (ask.tile < 0 ? [] : [ask.tile]) : isGrid() ? grid.chosen() : []);

function heads() {
  const who = current.kind === "character" ? person(current.number) : null;
  const texts = { ask: "Ask me", all: "Everybody", noise: "Noise", unknown: "Unknown group", said: "What was said",
    lookalikes: "Near-duplicates", doubtful: "Doubtful panoramas and plates", unmatched: "Unmatched corrections" };
  title.replaceChildren(who ? nameOf(who.name) : texts[current.kind] ?? "");
  const open_tiles = isGrid() ? grid.tiles.filter((tile) => !decided(tile)).length : 0;
  tools.replaceChildren(...[
    who ? h("button", { onclick: () => verbs.rename(current.number) }, who.named ? "Rename" : "Name") : null,
    who ? h("button", { onclick: () => verbs.merge(current.number) }, "Merge ", key("M")) : null,
    who?.aliases.length ? h("span", { class: "dim" }, "also ", nameOf(who.aliases.join(", "))) : null,
    isGrid() ? h("span", { class: "dim" }, `${count(grid.tiles.length, "tile")}, ${open_tiles.toLocaleString()} open`) : null,
    isGrid() ? h("label", { class: "dim" }, "by ", order) : null,
    isGrid() ? above : null, isGrid() ? naming : null].filter(Boolean));
  aboveTold();
  undoing.replaceChildren("Undo ", key("Z"), state.undo ? h("span", { class: "dim" }, ` ${state.undo.toLocaleString()}`) : "");
  undoing.disabled = !state.undo;
  undoing.title = state.undo ? `takes back: ${state.last.replaceAll("_", " ")}` : "nothing was said here yet";
  bar.replaceChildren(title, tools, h("div", { class: "end" }, undoing,
    h("button", { onclick: () => toggleAsk(), class: current.kind === "ask" ? "on" : "" }, "Ask me ", key("A")),
    run.root, h("button", { onclick: help, title: "keys" }, "?")));
  const picked = grid.selected.size;
  foot.replaceChildren(...[isGrid() && picked > 1 ? h("strong", {}, `${picked.toLocaleString()} selected`) : null,
    ...state.recent.map((number, i) => h("button", { class: "recent", onclick: () => press(String(i + 1)) }, key(i + 1), nameOf(nameFor(number)))),
    isGrid() ? h("span", { class: "hints dim" }, key("Enter"), " yes ", key("N"), " not ", key("X"), " reject ", key("S"), " split ", key("O"), " open") : null].filter(Boolean));
}

function aboveTold() {
  const tiles = isGrid() ? grid.above() : [];
  above.replaceChildren("Confirm all above ", key("C"), h("span", { class: "dim" }, ` ${tiles.length.toLocaleString()}`));
  above.disabled = !tiles.length;
}

grid.onchange = () => {
  heads();
};

function toggleAsk() {
  open(current.kind === "ask" ? before ?? { kind: "all" } : { kind: "ask" });
}

function said() {
  current.kind === "ask" ? ask.next() : isGrid() && grid.advance();
}

// What a key does; the same for buttons.
function press(name) {
  const tiles = targets(), number = current.kind === "ask" && ask.tile >= 0 ? taken(ask.tile) : -1;
  const actions = {
    Enter: () => { verbs.confirm(tiles); said(); },
    n: () => { verbs.refuse(tiles); said(); },
    x: () => { verbs.reject(tiles); said(); },
    z: () => undo().then((well) => well && current.kind === "ask" && ask.draw()),
    m: () => verbs.merge(current.kind === "character" ? current.number : number >= 0 ? number : taken(tiles[0] ?? -1)),
    s: () => verbs.split(tiles),
    g: () => tiles.length > 1 ? say({ do: "same", tiles }) : note("Select several tiles that show one person."),
    o: () => tiles.length && look(tiles[0]),
    c: () => isGrid() && grid.above().length && verbs.confirm(grid.above()),
    a: toggleAsk,
    t: () => (current.kind === "ask" ? ask.name : typed).focus(),
    "/": () => (current.kind === "ask" ? ask.name : typed).focus(),
    "?": help,
    " ": () => { if (current.kind === "ask") ask.skip(); else if (isGrid()) { grid.toggle(grid.cursor); grid.refresh(); heads(); } },
    Escape: () => isGrid() && grid.clear(),
  };
  if (/^[1-9]$/.test(name)) {
    const chosen = state.recent[Number(name) - 1];
    if (chosen === undefined) return note(`There is no name ${name} yet: type one with T.`);
    verbs.assign(tiles, chosen);
    said();
  } else actions[name]?.();
}
ask.press = press;

const MOVES = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => -grid.columns, ArrowDown: () => grid.columns,
  PageUp: () => -grid.columns * 4, PageDown: () => grid.columns * 4, Home: () => -grid.tiles.length, End: () => grid.tiles.length };

addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, textarea, select") && event.target.type !== "checkbox";
  if (typing || !state.ready || event.altKey || document.querySelector("dialog[open]")) return;
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if ((event.ctrlKey || event.metaKey) && name === "a" && isGrid()) grid.all();
  else if ((event.ctrlKey || event.metaKey) && name === "z") press("z");
  else if (event.ctrlKey || event.metaKey) return;
  else if (isGrid() && MOVES[event.key]) grid.move(MOVES[event.key](), event.shiftKey);
  else if (name === "Enter" && event.target.matches("button, a")) return;
  else press(name);
  event.preventDefault();
});

let drawing = 0, siding = 0; // the tiles change at once, the bars with the next picture, the left column a little later
listen((what) => {
  if (what.all) {
    run.told(state.run);
    ask.later.clear();
    ask.tile = -1;
    before = before && kept(before, what.renumbered);
    still.again().catch((error) => note(error.message, "error"));
    return open(kept(current, what.renumbered));
  }
  if (isGrid()) grid.refresh(what.tiles);
  cancelAnimationFrame(drawing);
  drawing = requestAnimationFrame(() => {
    heads();
    lists[current.kind]?.draw();
  });
  siding ||= setTimeout(() => {
    siding = 0;
    side.draw(current);
  }, 150);
});

// What was open, by its number of today, unless it is gone by now.
function kept(what, renumbered) {
  if (what.kind === "unknown") return { kind: "all" }; // groups have no name by which they could be found again
  if (what.kind !== "character") return what;
  const number = renumbered(what.number);
  return !person(number) || person(number).gone ? { kind: "all" } : { kind: "character", number };
}

load().then(
  () => {},
  (error) => main.replaceChildren(h("div", { class: "empty" }, h("h2", {}, "Nothing to show"), h("p", {}, error.message))),
);

// For whoever looks into the page from outside, as its test does.
globalThis.review = { state, grid, ask, open, press, say, settled };
