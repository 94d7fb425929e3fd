// Small helpers for building the page. Text is only ever set as text, never as markup.

export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name === "style") Object.assign(node.style, value);
    else if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((it) => it !== null && it !== undefined && it !== false));
  return node;
}

export const key = (text) => h("kbd", {}, text);

// A name as a person typed it, in its own direction.
export const nameOf = (text) => h("bdi", { class: "name" }, text);

export function clock(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const tenths = Math.round(10 * seconds);
  return `${Math.floor(tenths / 600)}:${(tenths % 600 / 10).toFixed(1).padStart(4, "0")}`;
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString()} ${number === 1 ? one : many}`;
}

export function note(text, kind = "info") {
  const shown = h("p", { class: `note ${kind}` }, text);
  document.getElementById("notes").append(shown);
  setTimeout(() => shown.remove(), kind === "error" ? 9000 : 3500);
}

// A dialog over the page; resolves with what `close` was given, null for Escape.
export function dialog(title, build) {
  return new Promise((resolve) => {
    const box = h("dialog", { class: "box", onclose: () => { box.remove(); resolve(box.answer ?? null); } });
    const close = (answer = null) => { box.answer = answer; box.close(); };
    box.append(h("h2", {}, title), ...[build(close)].flat());
    document.body.append(box);
    box.showModal();
  });
}
