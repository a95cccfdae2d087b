// A held picture: it stands, and the device is asked where the model looked in it. Let go, it is gone.

import { OWN_HEADER, Splitter } from "./link.js";
import { words } from "./strings.js";

const by = (id) => document.getElementById(id);

export class Hold {
  on = false;
  #picture;
  #turn = 0; // an answer to an earlier hold comes too late

  constructor(picture) {
    this.#picture = picture;
  }

  set(on) {
    if (this.on === on) return;
    this.on = on;
    this.#turn += 1;
    by("hold").setAttribute("aria-pressed", String(on));
    by("held").hidden = !on;
    by("held-words").textContent = words.heldAlone;
    this.#picture.point(null);
    if (on) void this.#ask(this.#turn);
  }

  async #ask(turn) {
    const record = await fetchHeld().catch(() => null);
    const bitmap = record && (await createImageBitmap(new Blob([record.jpeg])));
    if (turn === this.#turn && this.on) {
      by("held-words").textContent = record === null ? words.heldNothing : words.held;
      if (record !== null) this.#picture.hold(bitmap, record.values);
    }
    bitmap?.close();
  }
}

async function fetchHeld() {
  const answer = await fetch("/held", { headers: OWN_HEADER, cache: "no-store" });
  if (!answer.ok) return null;
  return new Splitter().push(new Uint8Array(await answer.arrayBuffer()))[0] ?? null;
}
