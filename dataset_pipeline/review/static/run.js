// Starting a run and watching it.

import { get, post } from "./api.js";
import { count, h, note } from "./dom.js";
import { reload } from "./state.js";

export class RunButton {
  constructor() {
    this.text = h("span", {}, "Run");
    this.fill = h("span", { class: "fill" });
    this.root = h("button", { class: "run", onclick: () => this.start(), title: "Bring what was said into the set" },
      this.fill, this.text);
  }

  async start() {
    if (this.watching) return;
    try {
      this.told(await post("api/run"));
      this.watch();
    } catch (error) {
      note(error.message, "error");
    }
  }

  watch() {
    this.watching = true;
    setTimeout(() => this.look(), 1000);
  }

  async look() {
    let run;
    try {
      run = await get("api/run");
    } catch (error) {
      this.root.title = error.message;
      return this.watch();
    }
    this.told(run);
    if (run.state === "running") return this.watch();
    this.watching = false;
    if (run.state === "failed") return note(run.lines?.at(-1) || "The run failed.", "error");
    await reload();
    note(run.state === "done" ? "The run is done; this is what it came to." : "The run is done, but not everything went well.");
  }

  told(run) {
    const graph = run.graph ?? {}, running = run.state === "running";
    this.root.classList.toggle("running", running);
    this.text.textContent = running ? graph.what ? `${graph.done} / ${graph.total}` : `starting ${count(run.seconds, "second")}` : "Run";
    this.fill.style.width = running && graph.total ? `${(100 * graph.done) / graph.total}%` : "0";
    this.root.title = running ? [graph.what, run.asset?.what].filter(Boolean).join(" · ") : "Bring what was said into the set";
    if (running && !this.watching) this.watch();
  }
}
