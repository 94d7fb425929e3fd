// What is no grid: near-duplicates, doubtful panoramas and plates, corrections that found nothing, and what was said.

import { picture, unknown } from "./api.js";
import { clock, count, h } from "./dom.js";
import { say, state, undo } from "./state.js";

const AT_ONCE = 20;

export class Lookalikes {
  constructor(open) {
    this.open = open;
    this.shown = AT_ONCE;
    this.root = h("div", { class: "lists-view" });
  }

  draw() {
    const groups = state.lookalikes.slice(0, this.shown);
    this.root.replaceChildren(
      h("p", { class: "dim" }, "Frames that look alike: the marked one goes into the set. Take another, or keep several."),
      ...groups.map((group) => this.group(group)),
      this.shown < state.lookalikes.length
        ? h("button", { class: "more", onclick: () => { this.shown += AT_ONCE; this.draw(); } }, "More") : "");
  }

  group(group) {
    const stands = (it) => (state.frames[it.id] ? state.frames[it.id] === "stands" : it.stands && !group.frames.some((other) => state.frames[other.id] === "stands"));
    const first = group.frames.find(stands) ?? group.frames[0];
    return h("div", { class: "group" }, h("div", { class: "row" },
      h("h3", {}, `${state.titles[first.id.split("/")[0]] || ""} · ${clock(first.pts_s)} · ${count(group.frames.length, "frame")}`)),
      h("div", { class: "frames" }, group.frames.map((it) => {
        const chosen = stands(it), stays = state.frames[it.id] === "stays";
        return h("figure", { class: chosen || stays ? "chosen" : "" },
          h("img", { src: picture(it.id, 320), alt: "", loading: "lazy", onclick: () => this.open(it.id) }),
          h("figcaption", {}, clock(it.pts_s), chosen ? h("strong", {}, "in the set") : stays ? h("strong", {}, "kept too")
            : [h("button", { onclick: () => say({ do: "swap", image: it.id, instead_of: first.id }) }, "Take this"),
              h("button", { onclick: () => say({ do: "keep_both", images: [first.id, it.id] }) }, "Keep both")]));
      })));
  }
}

const WHY = {
  parallax: "a layer of the place moves otherwise than the rest", content_moves: "things move of which no frame shows the place behind",
  too_much_unknown: "parts of the place were never seen", badly_placed: "the frames do not quite agree about where they lie",
  no_boxes: "nobody looked for people who stand still: [tracks] are off", kept_by_hand: "you kept it", rejected_by_hand: "you refused it",
};

export class Doubtful {
  constructor(open) {
    this.open = open;
    this.shown = AT_ONCE;
    this.root = h("div", { class: "lists-view" });
  }

  draw() {
    this.root.replaceChildren(
      h("p", { class: "dim" }, "Made of many frames, and not certain. The bright part is the picture; what is tinted was never seen for sure. ",
        "Kept ones are in the set from the next run on."),
      ...state.doubtful.slice(0, this.shown).map((it) => this.one(it)),
      this.shown < state.doubtful.length
        ? h("button", { class: "more", onclick: () => { this.shown += AT_ONCE; this.draw(); } }, "More") : "");
  }

  one(it) {
    const [width, height, x, y] = it.whole_px, said = state.judged[it.id] ?? "";
    const share = (part, whole) => `${100 * part / whole}%`;
    const words = it.kind.replaceAll("_", " ");
    const layers = it.layers.map((layer) => `${Math.round(100 * layer.share)} % of it goes ${layer.ratio.toFixed(2)} times as far`);
    const act = (what) => () => say({ do: what, images: [it.id] });
    return h("div", { class: "group" },
      h("h3", {}, `${state.titles[it.id.split("/")[0]] || ""} · ${words} · ${clock(it.start_s)} to ${clock(it.end_s)}`),
      h("p", { class: "dim" }, [WHY[it.reason] ?? it.reason, `${(100 * it.known_share).toFixed(1)} % known`, ...layers].join(" · ")),
      h("div", { class: "whole", style: { aspectRatio: `${width} / ${height}` } },
        h("img", { class: "part", src: picture(it.id), alt: words, loading: "lazy", onclick: () => this.open(it.id),
          style: { left: share(x, width), top: share(y, height), width: share(it.width_px, width), height: share(it.height_px, height) } }),
        h("img", { class: "unknown", src: unknown(it.id), alt: "what is unknown" })),
      h("div", { class: "row" },
        h("button", { class: said.startsWith("kept") ? "on" : "", onclick: act("keep") }, "Keep"),
        h("button", { class: said.startsWith("rejected") ? "on" : "", onclick: act("reject") }, "Refuse"),
        h("span", { class: "dim" }, `${it.width_px} × ${it.height_px}`)));
  }
}

export class Said {
  constructor() {
    this.root = h("div", { class: "lists-view" });
  }

  draw() {
    this.root.replaceChildren(
      h("p", { class: "dim" }, `${count(state.holding, "correction")} of ${state.said} hold. The newest:`),
      h("table", {}, state.events.map((it) => h("tr", {}, h("td", {}, when(it.when)), h("td", {}, it.do.replaceAll("_", " ")),
        h("td", {}, h("bdi", {}, it.what)), h("td", {}, h("button", { onclick: () => undo(it.id) }, "Take back"))))));
  }
}

export class Unmatched {
  constructor() {
    this.root = h("div", { class: "lists-view" });
  }

  draw() {
    this.root.replaceChildren(
      h("p", { class: "dim" }, "What these speak of is not there today. They stay, and hold again when it comes back."),
      h("table", {}, state.unmatched.map((it) => h("tr", {}, h("td", {}, it.do.replaceAll("_", " ")),
        h("td", {}, it.what.join(", ")), h("td", {}, h("button", { onclick: () => undo(it.event) }, "Take back"))))),
      ...Object.entries(state.faults).map(([file, why]) => h("p", { class: "fault" }, `${file}: ${why}`)));
  }
}

function when(text) {
  const found = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)/.exec(text);
  return found ? new Date(Date.UTC(found[1], found[2] - 1, found[3], found[4], found[5])).toLocaleString() : text;
}
