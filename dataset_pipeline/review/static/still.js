// A whole still: the crops on it, the tags and caption of each picture, and a box drawn by hand.

import { picture } from "./api.js";
import { clock, h, nameOf } from "./dom.js";
import { Pen } from "./pen.js";
import { ask, nameFor, person, say, state } from "./state.js";

export class Still {
  constructor() {
    this.dialog = h("dialog", { class: "still", onclose: () => { this.shown = null; } });
    document.body.append(this.dialog);
    this.shown = null;
  }

  get isOpen() {
    return this.dialog.open;
  }

  // image: of a still or a crop. tile: whose crops can be gone through.
  async open(image, tile = null) {
    this.crops = tile === null ? [] : await cropsOf(tile, image);
    await this.load(image);
    if (!this.dialog.open) this.dialog.showModal();
  }

  async load(image) {
    this.shown = await ask(`api/still?id=${encodeURIComponent(image)}`);
    this.image = image.includes("#") && this.shown.crops.some((it) => it.id === image) ? image : this.shown.still.id;
    this.draw();
  }

  async again() {
    if (this.shown) await this.load(this.image);
  }

  get row() {
    return [this.shown.still, ...this.shown.crops].find((it) => it.id === this.image);
  }

  draw() {
    const { shown } = this;
    this.stage = h("div", { class: "stage" }, h("img", { src: picture(shown.still.id), alt: "the still" }));
    for (const crop of shown.crops) {
      const [x, y, w, hgt] = crop.box;
      this.stage.append(h("button", { class: `outline ${crop.kind} ${crop.id === this.image ? "here" : ""}`,
        title: `${crop.kind}${crop.tile !== null ? `: ${nameFor(state.state.owner[crop.tile])}` : ""}`,
        style: { left: `${100 * x / shown.width_px}%`, top: `${100 * y / shown.height_px}%`,
          width: `${100 * w / shown.width_px}%`, height: `${100 * hgt / shown.height_px}%` },
        onclick: () => { this.image = crop.id === this.image ? shown.still.id : crop.id; this.draw(); } }));
    }
    this.pen = new Pen(this.stage, shown, (kind, box) => this.boxed(kind, box));
    const title = `${state.titles[shown.episode] || shown.episode} · ${clock(shown.pts_s)}`;
    this.dialog.replaceChildren(
      h("div", { class: "left" },
        h("div", { class: "row head" }, h("h2", {}, title), h("span", { class: "dim" }, `${shown.width_px} × ${shown.height_px}`),
          h("button", { class: "close", title: "Escape", onclick: () => this.dialog.close() }, "Close")),
        this.stage, this.strip()),
      h("div", { class: "right" }, this.about(), this.drawing(), this.span()));
  }

  strip() {
    return this.crops.length < 2 ? null : h("div", { class: "strip" }, this.crops.map((it) =>
      h("img", { src: picture(it, 160), alt: "", class: it === this.image ? "here" : "", onclick: () => this.load(it) })));
  }

  about() {
    const row = this.row, who = row.tile !== undefined && row.tile !== null ? person(state.state.owner[row.tile]) : null;
    const tag = h("input", { type: "text", placeholder: "add a tag", maxLength: 300, dir: "auto" });
    const text = h("textarea", { rows: 4, maxLength: 10000, value: row.caption, dir: "auto", placeholder: "the caption" });
    const set = (action) => say({ images: [row.id], ...action }).then(() => this.again());
    return h("section", {},
      h("h3", {}, row === this.shown.still ? "The whole still" : `This ${row.kind}`, who ? [": ", nameOf(who.name)] : null),
      h("div", { class: "row" },
        h("button", { class: row.chosen.startsWith("kept") ? "on" : "", onclick: () => set({ do: "keep" }) }, "Keep"),
        h("button", { class: row.chosen.startsWith("rejected") ? "on" : "", onclick: () => set({ do: "reject" }) }, "Reject"),
        row.quality !== null ? h("span", { class: "dim" }, `quality ${row.quality.toFixed(2)}`) : null),
      h("h3", {}, "Tags"),
      h("div", { class: "tags" }, row.tags.map((it) => h("span", { class: `tag ${row.added.includes(it) ? "added" : ""}` },
        h("bdi", {}, it), h("button", { title: `take ${it} away`, onclick: () => set({ do: "tags", remove: [it] }) }, "×"))),
        row.removed.map((it) => h("span", { class: "tag removed" }, h("bdi", {}, it),
          h("button", { title: `bring ${it} back`, onclick: () => set({ do: "tags", add: [it] }) }, "+")))),
      h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); if (tag.value.trim()) set({ do: "tags", add: [tag.value.trim()] }); } },
        tag, h("button", {}, "Add")),
      h("h3", {}, row.written ? "Caption, as you wrote it" : "Caption"), text,
      h("div", { class: "row" }, h("button", { onclick: () => set({ do: "caption", text: text.value.replace(/\s+/g, " ") }) }, "Set the caption"),
        row.written ? h("button", { onclick: () => set({ do: "caption", text: "" }) }, "Take the made one") : null));
  }

  drawing() {
    if (!this.shown.is_image) return null;
    const kind = h("select", {}, ["person", "halfbody", "head", "face", "hand"].map((it) => h("option", { value: it }, it)));
    const row = this.row, ofCrop = row !== this.shown.still;
    if (ofCrop) kind.value = row.kind;
    const hint = h("p", { class: "dim" }, "Drag on the still to draw a crop's box.");
    const shape = h("select", {}, h("option", { value: "" }, "any shape"),
      state.buckets.filter(([w, hgt]) => w / hgt > 0.4 && w / hgt < 2.5).map(([w, hgt]) =>
        h("option", { value: `${w}x${hgt}` }, `${w} × ${hgt}`)));
    this.pen.attach(kind, shape, hint);
    const replace = ofCrop ? h("label", { class: "row" }, this.pen.replaces = h("input", { type: "checkbox", checked: true }),
      "in place of the chosen crop") : null;
    return h("section", {}, h("h3", {}, "Draw a crop"), h("div", { class: "row" }, kind, shape), replace, hint,
      h("div", { class: "row" }, h("button", { onclick: () => this.pen.use() }, "Use this box"),
        h("button", { onclick: () => this.pen.clear() }, "Clear")));
  }

  async boxed(kind, box) {
    const replaced = this.pen.replaces?.checked ? { instead_of: this.image } : {};
    if (await say({ do: "box", image: this.shown.still.id, kind, box, ...replaced })) {
      this.pen.said("Kept. The crop is cut at the next run.");
    }
  }

  span() {
    if (this.shown.pts_s === null) return null;
    const number = (value) => h("input", { type: "number", step: "0.1", min: "0", value: value.toFixed(1), class: "second" });
    const from = number(Math.max(0, this.shown.pts_s - 0.5)), to = number(this.shown.pts_s + 0.5);
    const out = state.excluded.filter((it) => it.episode === this.shown.episode);
    return h("section", {}, h("h3", {}, "Leave a span out"),
      h("div", { class: "row" }, from, "to", to, "s",
        h("button", { onclick: () => say({ do: "exclude", episode: this.shown.episode, start_s: Number(from.value), end_s: Number(to.value) })
          .then(() => this.draw()) }, "Exclude")),
      out.map((it) => h("p", { class: "dim" }, `left out: ${clock(it.start_s)} to ${clock(it.end_s)}`)));
  }
}

// The crops of a tile's person, for the strip below the still.
async function cropsOf(tile, image) {
  const told = await ask(`api/tile?number=${tile}`);
  return told.crops.includes(image) ? told.crops : [image, ...told.crops];
}
