// What hands and feet do: keys, a foot switch (which is keys) and touch come to the same few presses.

import { Letters } from "./letters.js";

export const LONG_MS = 600;
const KEYS = {
  " ": "seen", pagedown: "seen", pageup: "seen", a: "ai", h: "hold", l: "theme", t: "tone", s: "scan", end: "scan", m: "scans",
};
const PEDALS = new Set(["pagedown", "pageup"]); // they type nothing: they work in a text field too

// One thing that can be pressed: short when it is let go in time, long while it is still held.
export class Pressed {
  #short;
  #long;
  #timer = null;

  #sure;

  // `sure`: what a press of Enter on the button does, since Enter is not held; else the short press.
  constructor({ short, long, sure = short }) {
    this.#short = short;
    this.#long = long;
    this.#sure = sure;
  }

  enter() {
    this.#sure();
  }

  down() {
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#long();
    }, LONG_MS);
  }

  up() {
    if (this.cancel()) this.#short();
  }

  // True when something was pressed that nothing has come of yet.
  cancel() {
    const pending = this.#timer !== null;
    clearTimeout(this.#timer);
    this.#timer = null;
    return pending;
  }
}

// Down for as long as it is pressed.
export class Held {
  #down = false;
  #tell;

  constructor(tell) {
    this.#tell = tell;
  }

  down() {
    this.#set(true);
  }

  up() {
    this.#set(false);
  }

  cancel() {
    this.#set(false);
  }

  #set(down) {
    if (this.#down === down) return;
    this.#down = down;
    this.#tell(down);
  }
}

// Something that a press turns over.
export class Tap {
  #tap;

  constructor(tap) {
    this.#tap = tap;
  }

  down() {
    this.#tap();
  }

  up() {}

  cancel() {}
}

// `parts` is {seen, ai, hold, theme, tone, scan, scans}, each one of the above; each has a button of its name.
export function listen(parts) {
  listenToKeys(parts);
  for (const [name, part] of Object.entries(parts)) listenToButton(document.getElementById(name), part);
  for (const away of ["blur", "pagehide"]) {
    addEventListener(away, () => Object.values(parts).forEach((part) => part.cancel()));
  }
}

// The keys work wherever the focus is: a gloved hand must not turn the AI off by the space bar.
function listenToKeys(parts) {
  const letters = new Letters();
  for (const kind of ["keydown", "keyup"]) {
    document.addEventListener(kind, (event) => {
      const name = event.key.toLowerCase();
      const part = parts[KEYS[name]];
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target instanceof HTMLInputElement && !PEDALS.has(name)) return; // a token is being typed or read
      if (name === "enter" && letters.burst(event.timeStamp)) event.preventDefault(); // the end of a code
      if (part) event.preventDefault();
      if (kind === "keydown" && event.repeat) return;
      if (name.length === 1 && name !== " ") kind === "keydown" ? letters.down(part, event.timeStamp) : letters.up(part);
      else if (kind === "keydown") part?.down();
      else part?.up();
    });
  }
}

function listenToButton(button, part) {
  button.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && !button.disabled) part.down();
  });
  button.addEventListener("pointerup", () => part.up());
  for (const kind of ["pointercancel", "pointerleave"]) button.addEventListener(kind, () => part.cancel());
  button.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch asks for one
  button.addEventListener("click", (event) => {
    if (event.detail !== 0) return; // the pointer's own; without it comes Enter, or a switch that reads the page out
    if (part.enter) {
      part.enter();
      return;
    }
    part.down();
    part.up();
  });
}
