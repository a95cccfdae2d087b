// Scans on the page: the button that begins and ends one, and the view beside the live picture, which is either the
// list of scans or the card of one. It opens when somebody presses for it, never by itself; the picture stays.

import { EndCard } from "./endcard.js";
import { press } from "./link.js";
import { Look } from "./look.js";
import { ScanList } from "./scanlist.js";
import { say, words } from "./strings.js";

const EVERY_MS = 1000;
const END_MS = 30000; // writing what waits can take so long on a slow disk

const by = (id) => document.getElementById(id);

async function get(path) {
  try {
    const answer = await fetch(path, { cache: "no-store" });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null; // the link's loss is told elsewhere
  }
}

export class Scans {
  #note;
  #now = null;
  #open = null; // what the view shows: a ScanList or an EndCard
  #look = new Look();
  #turn = 0;

  constructor(note) {
    this.#note = note;
    by("close").addEventListener("click", () => this.close());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#open !== null) this.close();
    });
    if (location.hash === "#card") void this.#openLast();
  }

  // What the device says of the running scan; null where it keeps none.
  running(now) {
    this.#now = now;
    const keeps = now !== null;
    for (const id of ["scan", "scans"]) by(id).hidden = !keeps;
    document.body.toggleAttribute("data-keeps", keeps);
    if (!keeps) return this.#restoreSettings();
    by("scan-words").textContent = now.running ? words.endScan : words.startScan;
    by("scan-note").textContent = now.running ? say.holdToEnd(say.clock(now.elapsed_s ?? 0)) : "";
  }

  tapped() {
    if (this.#now === null) return;
    if (this.#now?.running) this.#note(words.holdToEnd);
    else this.#showList("token");
  }

  entered() {
    if (this.#now === null) return;
    if (this.#now?.running) void this.end();
    else this.#showList("token");
  }

  async end() {
    const scan = this.#now?.running ? this.#now.id : null;
    if (scan === null) return;
    if ((await press("/scan/end", { scan })) !== 204) return this.#note(words.pressLost);
    this.#note(words.ending);
    for (const untilMs = performance.now() + END_MS; performance.now() < untilMs; ) {
      const record = await get(`/scan/records/${encodeURIComponent(scan)}`);
      if (record?.summary) return this.#showCard(record);
      await new Promise((done) => setTimeout(done, 200));
    }
    this.#note(words.endLost);
  }

  toggle() {
    if (this.#now === null) return;
    if (this.#open instanceof ScanList) this.close();
    else this.#showList(null);
  }

  close() {
    this.#turn += 1;
    this.#open = null;
    this.#look.hide();
    this.#restoreSettings();
    by("side").hidden = true;
    by("side-body").replaceChildren();
    delete document.body.dataset.view;
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  }

  async #openLast() {
    const record = await get("/scan/ended");
    if (record?.summary) this.#showCard(record);
  }

  #showList(focus) {
    const list = new ScanList({
      started: () => this.close(),
      open: (scan) => void this.#openCard(scan),
      settings: [by("theme"), by("tone")],
    });
    this.#show(list, words.scansTitle, focus);
  }

  async #openCard(scan) {
    const record = await get(`/scan/records/${encodeURIComponent(scan)}`);
    if (record === null) this.#note(words.pressLost);
    else this.#showCard(record);
  }

  #showCard(record) {
    const card = new EndCard(record, { look: this.#look, next: () => this.#showList("token") });
    this.#show(card, words.cardTitle, null);
  }

  #show(view, title, focus) {
    this.#restoreSettings();
    this.#open = view;
    this.#look.hide();
    by("side-title").textContent = title;
    by("side-body").replaceChildren(view.node);
    by("side-body").scrollTop = 0;
    by("side").hidden = false;
    document.body.dataset.view = view instanceof ScanList ? "list" : "card";
    view.settle?.();
    by(focus ?? "side-title").focus({ preventScroll: true });
    void this.#follow(view, (this.#turn += 1));
  }

  // What is open is asked for again while it can be seen.
  async #follow(view, turn) {
    while (turn === this.#turn) {
      if (!document.hidden) await view.refresh(get);
      await new Promise((done) => setTimeout(done, EVERY_MS));
    }
  }

  // Theme and tone stand in the list where there is one; without it they have their places among the buttons.
  #restoreSettings() {
    for (const id of ["theme", "tone"]) document.querySelector(".actions").append(by(id));
  }
}
