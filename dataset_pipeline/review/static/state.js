// What the page knows, as the server told it, and what a person says. Every word goes to the server in its order;
// the tiles that it is about change at once, the others when the answer comes. Numbers of tiles and characters mean
// something in one edition of the view alone, so that every request bears that in which it was made.

import { get, post } from "./api.js";
import { note } from "./dom.js";

export const ANSWERED = 1, REFUSED = 2, REJECTED = 4;
const COLUMNS = ["owner", "near", "second", "marks", "certainty", "difference"];

export const state = { ready: false, recent: [], edition: "" };
const listeners = new Set();
let line = Promise.resolve();

export const listen = (heard) => listeners.add(heard);
export const emit = (what = {}) => listeners.forEach((heard) => heard(what));

export async function load(told = null) {
  const project = told ?? (await get("api/project"));
  const renumbered = renumbering(state.characters ?? [], project.characters);
  state.recent = state.recent.map(renumbered).filter((it) => it >= 0);
  Object.assign(state, project, { ready: true, count: project.tiles.cover.length });
  remember();
  emit({ all: true, renumbered });
}

// From a character's number in one edition to that in another, -1 where it is none there.
function renumbering(before, after) {
  const numbers = new Map(after.map((it) => [it.id, it.number]));
  return (number) => numbers.get(before[number]?.id) ?? -1;
}

// One thing after another: what is said, taken back, and read anew.
function queued(task) {
  const done = line.then(task);
  line = done.catch(() => {});
  return done;
}

export function reload() {
  return queued(() => post("api/reload").then(load));
}

// Whether the server's view is another than this tab's, or may be: then what it tells is taken in.
const isBehind = (error, edition) => (error.status === 409 || error.said) && edition === state.edition;

// Post what was said, as of the edition that was shown.
function spoken(path, body) {
  const { edition } = state;
  return queued(async () => {
    try {
      take(await post(path, { ...body, edition }));
    } catch (error) {
      if (isBehind(error, edition)) await load().catch(() => {}); // what went wrong first is told
      throw error;
    }
  });
}

// An answer that tells of tiles by their numbers, or is about such.
async function of(edition, asked) {
  try {
    return await asked;
  } catch (error) {
    if (isBehind(error, edition)) await queued(() => (edition === state.edition ? load() : null));
    throw error;
  }
}

export const ask = (path) => of(state.edition, get(`${path}&v=${encodeURIComponent(state.edition)}`));

function remember() {
  const known = state.characters.filter((it) => !it.gone && it.named).map((it) => it.number);
  const kept = state.recent.filter((number) => state.characters[number] && !state.characters[number].gone);
  const sizes = sizesOf();
  known.sort((one, other) => (sizes[other] || 0) - (sizes[one] || 0));
  state.recent = [...new Set([...kept, ...known])].slice(0, 9);
}

export function used(number) {
  if (number >= 0 && !state.recent.slice(0, 9).includes(number)) state.recent = [number, ...state.recent].slice(0, 9);
}

export function sizesOf() {
  const sizes = {};
  for (const owner of state.state.owner) sizes[owner] = (sizes[owner] || 0) + 1;
  return sizes;
}

export const person = (number) => (number >= 0 ? state.characters[number] : null);
export const nameFor = (number) => person(number)?.name ?? "nobody known";
export const byId = (id) => state.characters.find((it) => it.id === id);
export const decided = (tile) => (state.state.marks[tile] & (ANSWERED | REJECTED)) !== 0;
export const taken = (tile) => (state.state.owner[tile] >= 0 ? state.state.owner[tile] : state.state.near[tile]);

function take(told) {
  told.changed.forEach((tile, i) => COLUMNS.forEach((name) => (state.state[name][tile] = told.state[name][i])));
  const { changed, state: columns, ...rest } = told;
  Object.assign(state, rest);
  remember();
  emit({ tiles: changed });
}

// Say something. mine: what it makes of which tiles, shown before the server has answered.
export function say(action, mine = null) {
  const { edition } = state;
  const before = mine ? mine.tiles.map((tile) => [tile, COLUMNS.map((name) => state.state[name][tile])]) : [];
  if (mine) {
    for (const tile of mine.tiles) {
      if (mine.owner !== undefined) state.state.owner[tile] = mine.owner;
      state.state.marks[tile] |= mine.marks ?? ANSWERED;
    }
    emit({ tiles: mine.tiles });
  }
  return spoken("api/act", action).then(
    () => true,
    (error) => {
      note(error.message, "error");
      if (edition !== state.edition || error.said) return false; // the server told meanwhile how things stand
      for (const [tile, values] of before) COLUMNS.forEach((name, i) => (state.state[name][tile] = values[i]));
      emit({ tiles: before.map(([tile]) => tile) });
      return false;
    },
  );
}

export function undo(event = "") {
  return spoken("api/undo", event ? { event } : {}).then(() => true, (error) => (note(error.message, "error"), false));
}

export async function likeness(tiles) {
  const { edition } = state;
  return (await of(edition, post("api/like", { tiles, edition }))).difference;
}

export const settled = () => line;
