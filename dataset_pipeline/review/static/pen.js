// Drawing a box on a still, with the sizes that trainers make batches of as hints.

import { h } from "./dom.js";
import { state } from "./state.js";

const LEAST = 8, LEAST_PX = 32; // thousandths of a side, less is a slip of the hand; of the short side of a box

export class Pen {
  constructor(stage, shown, used) {
    this.stage = stage;
    this.shown = shown;
    this.used = used;
    this.box = null;
    this.node = h("div", { class: "drawn", hidden: true });
    stage.append(this.node);
    stage.addEventListener("pointerdown", (event) => this.begin(event));
    stage.addEventListener("dragstart", (event) => event.preventDefault()); // the picture itself stays where it is
  }

  attach(kind, shape, hint) {
    Object.assign(this, { kind, shape, hint });
    shape.addEventListener("change", () => { if (this.box) this.fit(); });
  }

  at(event) {
    const place = this.stage.getBoundingClientRect();
    const within = (value) => Math.min(1000, Math.max(0, Math.round(1000 * value)));
    return [within((event.clientX - place.left) / place.width), within((event.clientY - place.top) / place.height)];
  }

  begin(event) {
    if (!this.kind || event.button !== 0) return;
    const [x, y] = this.at(event);
    let drawn = false;
    const move = (moved) => {
      drawn = true;
      const [to_x, to_y] = this.at(moved);
      this.box = [Math.min(x, to_x), Math.min(y, to_y), Math.abs(to_x - x), Math.abs(to_y - y)];
      this.fit();
    };
    const end = () => {
      removeEventListener("pointermove", move);
      if (!drawn) return;
      if (this.box[2] < LEAST || this.box[3] < LEAST) return this.clear();
      const swallow = (click) => click.stopPropagation(); // a box drawn over a crop does not choose that
      addEventListener("click", swallow, { capture: true, once: true });
      setTimeout(() => removeEventListener("click", swallow, { capture: true }));
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end, { once: true });
  }

  // The box in the chosen shape, as wide as it was drawn.
  fit() {
    const { width_px, height_px } = this.shown;
    let [x, y, w, hgt] = this.box;
    if (this.shape.value) {
      const [bw, bh] = this.shape.value.split("x").map(Number);
      hgt = Math.round((w * width_px * bh) / bw / height_px);
      if (y + hgt > 1000) {
        hgt = 1000 - y;
        w = Math.min(1000 - x, Math.round((hgt * height_px * bw) / bh / width_px));
      }
      this.box = [x, y, w, hgt];
    }
    Object.assign(this.node.style, { left: `${x / 10}%`, top: `${y / 10}%`, width: `${w / 10}%`, height: `${hgt / 10}%` });
    this.node.hidden = false;
    this.tell((w * width_px) / 1000, (hgt * height_px) / 1000);
  }

  tell(width, height) {
    const aspect = width / Math.max(1, height);
    const near = state.buckets.reduce((best, it) =>
      Math.abs(Math.log(it[0] / it[1] / aspect)) < Math.abs(Math.log(best[0] / best[1] / aspect)) ? it : best);
    const cut = 1 - Math.min(aspect, near[0] / near[1]) / Math.max(aspect, near[0] / near[1]);
    const scale = Math.max(near[0] / width, near[1] / height);
    this.hint.textContent = `${Math.round(width)} × ${Math.round(height)} px · bucket ${near[0]} × ${near[1]}` +
      ` · ${(100 * cut).toFixed(0)} % cut off${scale > 1.05 ? ` · enlarged ${scale.toFixed(1)} times` : ""}`;
  }

  clear() {
    this.box = null;
    this.node.hidden = true;
    if (this.hint) this.hint.textContent = "Drag on the still to draw a crop's box.";
  }

  use() {
    const { width_px, height_px } = this.shown, [, , w, hgt] = this.box ?? [];
    const least = this.box && Math.min(Math.round((w * width_px) / 1000), Math.round((hgt * height_px) / 1000));
    if (this.box && least < LEAST_PX) this.said(`Too small: its short side is ${least} px of the still, and has to be ${LEAST_PX} px.`);
    else if (this.box) this.used(this.kind.value, this.box);
    else if (this.hint) this.hint.textContent = "There is no box yet: drag on the still.";
  }

  said(text) {
    this.hint.textContent = text;
  }
}
