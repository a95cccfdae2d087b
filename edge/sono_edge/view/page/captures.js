// The frames that were captured, asked for at most once a second and only while somebody can see them.

import { troubleIn, words } from "./strings.js";

const EVERY_MS = 1000;
const ABSENT_MS = 30000; // a device without captures is asked again so rarely
const SHOWN_MOST = 3;

const by = (id) => document.getElementById(id);

export class Captures {
  available = false;
  #shown = "";
  #tell;

  // `tell` hears what the device says of the running scan, null where it keeps none.
  constructor(tell) {
    this.#tell = tell;
    by("captures-title").textContent = words.captures;
    void this.#poll();
  }

  async #poll() {
    const waitMs = document.hidden ? EVERY_MS : await this.#ask();
    setTimeout(() => void this.#poll(), waitMs);
  }

  // How long to wait before the next question.
  async #ask() {
    try {
      const answer = await fetch("/scan", { cache: "no-store" });
      if (answer.ok) this.#show(await answer.json());
      else this.#hide();
      return answer.status === 404 ? ABSENT_MS : EVERY_MS;
    } catch {
      return EVERY_MS; // what was captured stays captured: the link's loss is told elsewhere
    }
  }

  #hide() {
    this.available = false;
    by("captures").hidden = true;
    this.#tell(null);
  }

  #show(now) {
    const { captures, trouble } = now;
    this.available = true;
    this.#tell(now);
    by("captures").hidden = false;
    const newest = [...captures].sort((a, b) => b.captured_s - a.captured_s).slice(0, SHOWN_MOST);
    by("captures-count").textContent = captures.length > 0 ? String(captures.length) : "";
    by("captures-note").textContent = trouble ? troubleIn(trouble) : captures.length === 0 ? words.noCaptures : "";
    by("captures-note").dataset.trouble = String(Boolean(trouble));
    const wanted = JSON.stringify(newest.map(({ id, seen }) => [id, seen]));
    if (wanted === this.#shown) return;
    this.#shown = wanted;
    by("captures-list").replaceChildren(...newest.map(thumbnail));
  }
}

function thumbnail({ id, seen }) {
  const line = document.createElement("li");
  const picture = document.createElement("img");
  picture.src = `/scan/captures/${encodeURIComponent(id)}.png`;
  picture.alt = words.capture;
  line.dataset.seen = String(Boolean(seen));
  line.append(picture);
  return line;
}
