// Elements, and parts of the page that are drawn anew only when what they show has changed.

export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name.startsWith("aria-") && value !== null) node.setAttribute(name, String(value));
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, String(value));
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// A button that a gloved finger finds; `key` names it, so that the focus comes back to it after it was drawn anew.
export function button(key, text, click, properties = {}) {
  const { note, ...others } = properties;
  const small = note ? make("small", {}, note) : null;
  return make("button", { type: "button", "data-key": key, click, ...others }, make("b", {}, text), small);
}

export class Part {
  #node;
  #draw;
  #shown = null;

  // `draw` gives the children for a value.
  constructor(node, draw) {
    this.#node = node;
    this.#draw = draw;
  }

  show(value) {
    const wanted = JSON.stringify(value);
    if (wanted === this.#shown) return;
    this.#shown = wanted;
    const focus = this.#node.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    this.#node.replaceChildren(...this.#draw(value).filter((child) => child !== null));
    if (focus) this.#node.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus();
  }
}
