// The keys, as `?` shows them.

import { dialog, h, key } from "./dom.js";

const KEYS = [
  ["1 … 9", "it is this recent name"],
  ["Enter", "yes: it is whom it is taken for"],
  ["N", "not this person, and never again"],
  ["Space", "later (asking), or select (grid)"],
  ["T or /", "type a name"],
  ["Z", "undo the last word, one after the other"],
  ["M", "merge this character with another"],
  ["S", "split the selection into somebody new"],
  ["X", "reject: stays out of the set"],
  ["C", "confirm all above this line"],
  ["O", "open the still at its second"],
  ["G", "same person, whoever that is: the selection"],
  ["A", "ask me, or back to the grid"],
  ["Arrows, Shift", "move, and select a range"],
  ["Ctrl A", "select everything in this group"],
  ["Escape", "clear the selection, close"],
];

export function help() {
  return dialog("Keys", (close) => [
    h("dl", { class: "keys" }, KEYS.flatMap(([name, what]) => [h("dt", {}, key(name)), h("dd", {}, what)])),
    h("p", { class: "dim" }, "Everything is written at once, counts here at once, and in the set at the next run."),
    h("div", { class: "row" }, h("button", { class: "main", onclick: () => close() }, "Good")),
  ]);
}
