// Letters are keys of the page, and also what a reader of codes types. It types faster than a hand: a letter waits a
// moment, and nothing that comes in a burst is a press. Otherwise a code could switch the AI off.

export const BURST_MS = 50;

export class Letters {
  #waiting = null;
  #lastMs = -Infinity;

  // True while what is typed comes as from a reader of codes.
  burst(nowMs) {
    return nowMs - this.#lastMs < BURST_MS;
  }

  // Any printable key goes down; `part` is undefined for one that means nothing here.
  down(part, nowMs) {
    const burst = this.burst(nowMs);
    this.#lastMs = nowMs;
    clearTimeout(this.#waiting?.timer);
    this.#waiting = null;
    if (burst || !part) return;
    const own = { part, up: false };
    own.timer = setTimeout(() => {
      this.#waiting = null;
      part.down();
      if (own.up) part.up();
    }, BURST_MS);
    this.#waiting = own;
  }

  up(part) {
    if (this.#waiting !== null && this.#waiting.part === part) this.#waiting.up = true;
    else part?.up();
  }
}
