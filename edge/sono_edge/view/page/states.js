// What a state looks like, and how calmly the page goes from one to the next.

const FAMILIES = {
  SCANNING: "watch",
  COOLDOWN: "watch",
  CANDIDATE: "closer",
  ALERT: "look",
  HELD: "look",
  NO_CONTACT: "wait",
  LOW_QUALITY: "wait",
  CANT_SAY: "wait",
  FROZEN: "pause",
  GATED_DOPPLER: "pause",
  GATED_DUAL: "pause",
  GATED_CALIPERS: "pause",
  GATED_NOT_BREAST: "pause",
  NO_SIGNAL: "off",
  AI_OFF: "off",
  DEGRADED: "off",
};

// "watch" "closer" "look": the AI judges. "wait" "pause": it holds back for a while. "off": it does not run.
// A state that this page does not know is "off": it must not pass for "nothing found".
export const familyOf = (state) => FAMILIES[state] ?? "off";
export const judges = (family) => family === "watch" || family === "closer" || family === "look";

const SETTLE_MS = 300;
const CALM = new Set(["watch", "closer", "wait"]);

// Between calm families a change must last before it shows, so that nothing flickers; all else shows at once.
export class Settled {
  #shown = null;
  #next = null;
  #sinceMs = 0;

  // `state` is {family, words, reason}; gives the one to show at this time.
  take(state, nowMs) {
    const calm = this.#shown !== null && CALM.has(this.#shown.family) && CALM.has(state.family);
    if (!calm || state.family === this.#shown.family) {
      this.#next = null;
      this.#shown = state;
    } else if (this.#next !== state.family) {
      this.#next = state.family;
      this.#sinceMs = nowMs;
    } else if (nowMs - this.#sinceMs >= SETTLE_MS) {
      this.#next = null;
      this.#shown = state;
    }
    return this.#shown;
  }
}
