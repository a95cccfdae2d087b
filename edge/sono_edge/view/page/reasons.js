// Why an alert was seen, for who wants to say it: a number key just after Seen, or a button on the card at the end.

import { press } from "./link.js";
import { words } from "./strings.js";

export const REASONS = ["looked-again", "known-finding", "artefact", "other"];
const OFFERED_MS = 10000;

export class Reasons {
  #note;
  #alert = null;
  #untilMs = -Infinity;

  constructor(note) {
    this.#note = note;
    document.addEventListener("keydown", (event) => {
      if (event.target instanceof HTMLInputElement || event.repeat) return;
      const reason = REASONS[Number(event.key) - 1];
      if (reason !== undefined && performance.now() < this.#untilMs) void this.#say(reason);
    });
  }

  // Nothing asks for it, and nothing waits for it: a line under Seen says which key means what.
  offer(alert) {
    this.#alert = alert;
    this.#untilMs = performance.now() + OFFERED_MS;
    this.#note(words.reasonKeys, OFFERED_MS);
  }

  async #say(reason) {
    this.#untilMs = -Infinity;
    const arrived = (await press("/seen", { alert: this.#alert, reason })) === 204;
    this.#note(arrived ? words.reasons[reason] : words.pressLost);
  }
}
