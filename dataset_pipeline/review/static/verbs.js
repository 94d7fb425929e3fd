// What a person can say of tiles, with what the page shows of it at once.

import { dialog, h, nameOf, note } from "./dom.js";
import { ANSWERED, REFUSED, REJECTED, person, say, sizesOf, state, taken, used } from "./state.js";

export function assign(tiles, number) {
  const who = person(number);
  if (!tiles.length || !who || who.gone) return;
  used(number);
  say({ do: "assign", tiles, character: who.id }, { tiles, owner: number });
}

export function named(tiles, name, of = null) {
  const text = name.trim();
  if (!tiles.length || !text) return Promise.resolve(false);
  const known = state.characters.find((it) => !it.gone && it.name === text && it.show === showOf(tiles[0]));
  if (known) return assign(tiles, known.number), Promise.resolve(true);
  return say({ do: "name", tiles, name: text, ...(of ? { of } : {}) }, { tiles }).then((well) => {
    const now = state.characters.find((it) => !it.gone && it.name === text);
    if (well && now) used(now.number);
    return well;
  });
}

export const showOf = (tile) => state.shows[state.tiles.show[tile]];

export function confirm(tiles) {
  const sure = tiles.filter((tile) => taken(tile) >= 0);
  if (!sure.length) return note("There is nobody to confirm here: give a name.", "error");
  sure.forEach((tile) => used(taken(tile)));
  const single = new Set(sure.map(taken));
  say({ do: "confirm", tiles: sure }, { tiles: sure, owner: single.size === 1 ? [...single][0] : undefined });
}

export function refuse(tiles) {
  const byPerson = Map.groupBy(tiles.filter((tile) => taken(tile) >= 0), taken);
  for (const [number, some] of byPerson) {
    say({ do: "not", tiles: some, character: person(number).id }, { tiles: some, owner: -1, marks: REFUSED });
  }
}

export function reject(tiles) {
  if (tiles.length) say({ do: "reject", tiles }, { tiles, marks: REJECTED });
}

export async function split(tiles) {
  if (!tiles.length) return note("Select who is somebody else, then split.", "error");
  const { edition } = state;
  const name = await dialog("Split the selection into somebody new", (close) => {
    const input = h("input", { type: "text", maxLength: 300, placeholder: "a name, or nothing for now", dir: "auto" });
    return h("form", { onsubmit: (event) => { event.preventDefault(); close(input.value); } },
      h("p", {}, `${tiles.length} tiles become a character of their own.`), input,
      h("div", { class: "row" }, h("button", { class: "main" }, "Split"),
        h("button", { type: "button", onclick: () => close(null) }, "Leave it")));
  });
  if (edition !== state.edition) return note("The project was read anew meanwhile: select the tiles once more.", "error");
  if (name !== null) say({ do: "split", tiles, name: name.trim() }, { tiles, owner: undefined });
}

export async function choose(title, show, without = -1) {
  const sizes = sizesOf();
  const everyone = state.characters.filter((it) => !it.gone && it.show === show && it.number !== without);
  everyone.sort((one, other) => other.named - one.named || (sizes[other.number] || 0) - (sizes[one.number] || 0));
  return dialog(title, (close) => {
    const list = h("div", { class: "list" });
    const fill = (text) => {
      const fitting = everyone.filter((it) => it.name.toLowerCase().includes(text.toLowerCase())).slice(0, 60);
      list.replaceChildren(...fitting.map((it) => h("button", { type: "button", class: "item", onclick: () => close(it) },
        nameOf(it.name), h("span", { class: "dim" }, String(sizes[it.number] || 0)))));
    };
    const input = h("input", { type: "search", placeholder: "find a character", oninput: () => fill(input.value), dir: "auto" });
    fill("");
    return h("form", { onsubmit: (event) => { event.preventDefault(); list.firstChild?.click(); } }, input, list);
  });
}

export async function merge(number) {
  const one = person(number);
  if (!one) return note("Open a character first, then merge it with another one.", "error");
  const other = await choose(`Who is the same as ${one.name}?`, one.show, number);
  if (!other) return;
  const [into, gone] = other.named && !one.named ? [other, one] : [one, other];
  say({ do: "merge", character: into.id, other: gone.id });
  note(`${gone.name} is part of ${into.name}. Z takes it back.`);
}

export async function rename(number) {
  const who = person(number);
  if (!who) return;
  const name = await dialog("Name", (close) => {
    const input = h("input", { type: "text", maxLength: 300, value: who.named ? who.name : "", dir: "auto",
      placeholder: "as you like to see it" });
    return h("form", { onsubmit: (event) => { event.preventDefault(); close(input.value); } }, input,
      h("p", { class: "dim" }, "Shown as typed; captions and folders get a safe form of it."),
      h("div", { class: "row" }, h("button", { class: "main" }, "Name"),
        h("button", { type: "button", onclick: () => close(null) }, "Leave it")));
  });
  if (name === null || (name.trim() === who.name && who.named)) return;
  if (await say({ do: "rename", character: who.id, name: name.trim() })) used(number);
}

export { ANSWERED, REFUSED, REJECTED };
