// The rail beside the picture. Text is touched only when it changes: screen readers hear changes, not frames.

import { opacityAt } from "./pulse.js";
import { judges } from "./states.js";
import { adviceFor, ago, language, say, words } from "./strings.js";
import { Strip } from "./strip.js";

const POINTS_MOST = 5;
const NUMBERS_MS = 500; // digits that change faster cannot be read
const NOTE_MS = 2500; // so long an answer to a press stays
const GOOD = 0.6; // quality from which there is nothing to do

const TITLES = {
  "attention-title": words.attention,
  "quality-title": words.quality,
  "points-title": words.points,
  "seen-words": words.seen,
  "ai-words": words.turnOff,
  "hold-words": words.hold,
  "hold-note": words.holdNote,
  "scans-words": words.scans,
  "scans-note": words.scansNote,
  close: words.backToLive,
  "tone-words": words.toneOff,
  simulated: words.simulated,
  note: words.note,
  "band-words": words.notRunning,
  words: words.notRunning,
  "band-reason": words.starting,
  reason: words.starting,
};

const by = (id) => document.getElementById(id);
const percent = (value) => Math.round(value * 100);

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export class Rail {
  #strip = new Strip(by("strip"));
  #numbersMs = -NUMBERS_MS;
  #note = { text: "", untilMs: -Infinity };

  constructor() {
    for (const [id, text] of Object.entries(TITLES)) set(by(id), text);
    by("stage").setAttribute("aria-label", words.picture);
    by("numbers").setAttribute("aria-label", words.numbers);
  }

  // `state` is {family, words, reason}.
  state(state) {
    document.body.dataset.family = state.family;
    set(by("words"), state.words);
    set(by("reason"), state.reason);
    set(by("band-words"), state.words);
    set(by("band-reason"), state.reason);
  }

  scene(scene, family, nowMs, canCapture) {
    const judging = judges(family);
    this.#attention(judging ? scene : null, scene.threshold, family);
    this.#quality(family === "off" ? null : scene.quality, scene.reason);
    this.#strip.draw(scene.strip, scene.threshold);
    this.#points(scene.alerts, nowMs, canCapture);
    by("pulse").style.opacity = judging ? opacityAt(nowMs) : 1;
    by("simulated").hidden = !scene.simulated;
    set(by("ai-words"), scene.state === "AI_OFF" ? words.turnOn : words.turnOff);
    for (const id of ["seen", "ai", "hold"]) by(id).disabled = false;
    if (nowMs - this.#numbersMs < NUMBERS_MS) return;
    this.#numbersMs = nowMs;
    this.#numbers(scene);
  }

  // Nothing the rail knows is true any more: say so rather than show the last of it.
  blank() {
    this.#attention(null, null, "off");
    this.#quality(null, "");
    this.#strip.draw([], null);
    for (const id of ["seen", "ai", "hold"]) by(id).disabled = true;
    for (const id of ["fps", "latency", "dropped", "outbox", "trouble", "seen-note"]) set(by(id), "");
    set(by("ai-words"), words.turnOff);
    this.#numbersMs = -NUMBERS_MS;
  }

  // What came of a press.
  note(text, shownMs = NOTE_MS) {
    this.#note = { text, untilMs: performance.now() + shownMs };
    set(by("seen-note"), text);
  }

  tone(on) {
    set(by("tone-words"), on ? words.toneOn : words.toneOff);
    by("tone").setAttribute("aria-pressed", String(on));
  }

  theme(theme) {
    set(by("theme-words"), theme === "light" ? words.dark : words.light);
    this.#strip.recolour();
  }

  #attention(scene, threshold, family) {
    const paused = scene === null;
    const why = family === "off" ? words.off : words.paused;
    const value = paused ? 0 : scene.attention;
    const text = paused ? why : shareOf(scene);
    by("attention").dataset.paused = String(paused);
    set(by("attention-note"), text);
    by("bar").setAttribute("aria-valuenow", String(percent(value)));
    by("bar").setAttribute("aria-valuetext", text);
    by("fill").style.width = `${value * 100}%`;
    by("fill").dataset.high = String(!paused && threshold !== null && value >= threshold);
    by("mark").hidden = threshold === null;
    if (threshold !== null) by("mark").style.left = `${threshold * 100}%`;
    const known = !paused && scene.attention_lo !== null;
    by("interval").hidden = !known;
    if (!known) return;
    by("interval").style.left = `${scene.attention_lo * 100}%`;
    by("interval").style.width = `${(scene.attention_hi - scene.attention_lo) * 100}%`;
  }

  // One line: what to do, and why.
  #quality(value, reason) {
    const known = value !== null && value !== undefined;
    by("quality").dataset.paused = String(!known);
    by("quality-fill").style.width = `${known ? value * 100 : 0}%`;
    by("quality-bar").setAttribute("aria-valuenow", String(known ? percent(value) : 0));
    const advice = known ? adviceFor(reason) : null;
    const [what, why] = advice ?? [known ? (value >= GOOD ? words.fine : words.poor) : "", ""];
    set(by("advice"), why ? `${what} (${why})` : what);
  }

  #points(alerts, nowMs, canCapture) {
    const unseen = alerts.filter((line) => !line.seen).length;
    by("seen").dataset.idle = String(unseen === 0);
    if (nowMs >= this.#note.untilMs) {
      const waits = unseen > 1 ? say.notSeen(unseen) : unseen === 1 ? words.seenNote : words.nothingToSee;
      set(by("seen-note"), canCapture ? `${waits} · ${words.holdToCapture}` : waits);
    }
    const lines = [...alerts].sort((a, b) => a.ago_s - b.ago_s).slice(0, POINTS_MOST);
    const list = by("points");
    while (list.children.length > Math.max(lines.length, 1)) list.lastChild.remove();
    while (list.children.length < Math.max(lines.length, 1)) list.append(pointLine());
    if (lines.length === 0) return fillLine(list.firstChild, { mark: "none", when: words.noPoints, what: "" });
    lines.forEach((line, i) =>
      fillLine(list.children[i], { mark: line.seen ? "seen" : "unseen", when: ago(line.ago_s), what: standing(line) }),
    );
  }

  #numbers(scene) {
    const ms = scene.latency_ms;
    const latency = ms.toLocaleString(language, { maximumFractionDigits: ms < 10 ? 1 : 0 });
    set(by("fps"), say.fps(Math.round(scene.fps_scored), Math.round(scene.fps_in)));
    set(by("latency"), say.latency(latency));
    set(by("dropped"), say.dropped(scene.dropped));
    set(by("outbox"), scene.outbox_depth === 0 ? words.allSent : say.waiting(scene.outbox_depth));
    set(by("model"), [scene.bundle, scene.runtime].filter(Boolean).join(" · "));
    set(by("trouble"), scene.uplink);
  }
}

function shareOf({ attention, attention_lo: low, attention_hi: high }) {
  if (low === null) return say.share(percent(attention));
  return say.shareWithin(percent(attention), percent(low), percent(high));
}

function standing({ active, seen }) {
  if (seen) return active ? words.inViewSeen : words.seenBefore;
  return active ? words.inViewUnseen : words.unseen;
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
