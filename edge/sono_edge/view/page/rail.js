// The rail beside the picture. Text is touched only when it changes: screen readers hear changes, not frames.

import { judges } from "./states.js";
import { say, words } from "./strings.js";
import { Strip } from "./strip.js";

const LONG = 16; // characters of a state above which its letters are smaller
const POINTS_MOST = 5;
const NUMBERS_MS = 500; // digits that change faster cannot be read

const by = (id) => document.getElementById(id);

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export class Rail {
  #strip = new Strip(by("strip"));
  #numbersMs = -NUMBERS_MS;

  constructor() {
    set(by("attention-title"), words.attention);
    set(by("axis-from"), words.ago10);
    set(by("axis-to"), words.now);
    set(by("points-title"), words.points);
    set(by("seen-words"), words.seen);
    set(by("ai-words"), words.turnOff);
    set(by("simulated"), words.simulated);
    set(by("note"), words.note);
  }

  // `state` is {family, words, reason}.
  state(state) {
    document.body.dataset.family = state.family;
    by("state").dataset.long = String(state.words.length > LONG);
    set(by("words"), state.words);
    set(by("reason"), state.reason);
    set(by("band-words"), state.words);
    set(by("band-reason"), state.reason);
  }

  scene(scene, family, nowMs) {
    this.#attention(judges(family) ? scene.attention : null, scene.threshold, family);
    this.#strip.draw(scene.strip, scene.threshold);
    this.#points(scene.alerts);
    by("simulated").hidden = !scene.simulated;
    set(by("ai-words"), scene.state === "AI_OFF" ? words.turnOn : words.turnOff);
    by("ai").disabled = false;
    if (nowMs - this.#numbersMs < NUMBERS_MS) return;
    this.#numbersMs = nowMs;
    this.#numbers(scene);
  }

  // Nothing the rail knows is true any more: say so rather than show the last of it.
  blank() {
    this.#attention(null, null, "off");
    this.#strip.draw([], null);
    by("seen").disabled = true;
    by("ai").disabled = true;
    for (const id of ["fps", "latency", "dropped", "outbox", "trouble", "seen-note"]) set(by(id), "");
    set(by("ai-words"), words.turnOff);
    this.#numbersMs = -NUMBERS_MS;
  }

  note(text) {
    set(by("seen-note"), text);
  }

  #attention(value, threshold, family) {
    const paused = value === null;
    const why = family === "off" ? words.off : words.paused;
    by("attention").dataset.paused = String(paused);
    set(by("attention-note"), paused ? why : "");
    by("bar").setAttribute("aria-valuenow", String(paused ? 0 : Math.round(value * 100)));
    by("bar").setAttribute("aria-valuetext", paused ? why : `${Math.round(value * 100)} %`);
    by("fill").style.width = `${paused ? 0 : value * 100}%`;
    by("fill").dataset.high = String(!paused && threshold !== null && value >= threshold);
    by("mark").hidden = threshold === null;
    if (threshold !== null) by("mark").style.left = `${threshold * 100}%`;
  }

  #points(alerts) {
    const unseen = alerts.filter((line) => !line.seen).length;
    by("seen").disabled = unseen === 0;
    set(by("seen-note"), unseen > 1 ? say.notSeen(unseen) : unseen === 1 ? words.seenNote : words.nothingToSee);
    const lines = [...alerts].sort((a, b) => a.ago_s - b.ago_s).slice(0, POINTS_MOST);
    const list = by("points");
    while (list.children.length > Math.max(lines.length, 1)) list.lastChild.remove();
    while (list.children.length < Math.max(lines.length, 1)) list.append(pointLine());
    if (lines.length === 0) return fillLine(list.firstChild, { mark: "none", when: words.noPoints, what: "" });
    lines.forEach((line, i) =>
      fillLine(list.children[i], {
        mark: line.seen ? "seen" : "unseen",
        when: say.ago(line.ago_s),
        what: line.seen ? say.seen(line.active) : say.unseen(line.active),
      }),
    );
  }

  #numbers(scene) {
    set(by("fps"), say.fps(scene.fps_scored, scene.fps_in));
    set(by("latency"), say.latency(scene.latency_ms));
    set(by("dropped"), say.dropped(scene.dropped));
    set(by("outbox"), say.outbox(scene.outbox_depth));
    set(by("model"), say.model(scene.bundle, scene.runtime));
    set(by("trouble"), scene.uplink);
  }
}

function pointLine() {
  const line = document.createElement("li");
  line.append(document.createElement("span"), document.createElement("span"));
  return line;
}

function fillLine(line, { mark, when, what }) {
  line.dataset.mark = mark;
  set(line.firstChild, when);
  set(line.lastChild, what);
}
