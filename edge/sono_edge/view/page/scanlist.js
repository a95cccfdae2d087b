// The list of scans: where one begins, what is kept and for how long, and the page's settings.

import { button, make, Part } from "./dom.js";
import { ABSENT, driveLine, outcomeLine, saveButton } from "./drive.js";
import { press } from "./link.js";
import { say, when, words } from "./strings.js";

const TOKEN = /^[A-Za-z0-9_-]{1,64}$/; // an exam's opaque number; the device holds to the same

export class ScanList {
  node = make("div");
  #settings;
  #parts;
  #open;

  // `started`: a scan has begun. `open(scan)`: somebody wants its card. `settings`: buttons that find a place here.
  constructor({ started, open, settings }) {
    this.#open = open;
    this.#settings = settings;
    const [kept, rows] = [make("div"), make("ul", { class: "scans" })];
    this.#parts = {
      kept: new Part(kept, (lines) => lines.map((line) => make("p", {}, line))),
      rows: new Part(rows, ({ scans, drive }) => this.#rows(scans, drive)),
    };
    this.node.append(
      startForm(started),
      make("section", { class: "kept" }, make("h3", {}, words.scansTitle), kept, rows),
      make("section", { class: "settings" }, make("h3", {}, words.settings), make("div", { class: "row", id: "settings" })),
    );
  }

  settle() {
    this.node.querySelector("#settings").append(...this.#settings);
  }

  async refresh(get) {
    const [list, drive] = await Promise.all([get("/scan/list"), get("/scan/export")]);
    if (list === null) return;
    const { used_mb: used, quota_mb: quota, keep_days: days } = list.retention;
    const lines = [say.kept(Math.round(used), quota), days > 0 ? say.keptDays(days) : words.keptForRoom];
    this.#parts.kept.show([...lines, driveLine(drive ?? ABSENT)]);
    this.#parts.rows.show({ scans: list.scans, drive: drive ?? ABSENT });
  }

  #rows(scans, drive) {
    if (scans.length === 0) return [make("li", { class: "none" }, words.noScans)];
    return scans.map((scan) =>
      make(
        "li",
        { "data-unseen": String(scan.alerts_unseen > 0) },
        make(
          "div",
          { class: "facts" },
          make("b", {}, when(scan.started_at), scan.token ? ` · ${scan.token}` : ""),
          make("p", {}, factsOf(scan)),
          outcomeLine(drive, scan.id),
        ),
        button(`open-${scan.id}`, words.open, () => this.#open(scan.id), { disabled: scan.running }),
        saveButton(drive, scan.id, scan),
      ),
    );
  }
}

function factsOf(scan) {
  const state = scan.running ? words.runsNow : scan.ended_at ? say.clock(scan.scanned_s ?? 0) : words.notEnded;
  const unseen = scan.alerts_unseen > 0 ? say.notSeen(scan.alerts_unseen) : "";
  return [state, say.frames(scan.captures), say.alerts(scan.alerts), unseen].filter(Boolean).join(" · ");
}

// A reader of bar or QR codes is a keyboard here: it types the token and ends with Enter.
function startForm(started) {
  const field = make("input", {
    id: "token", type: "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false",
    "aria-describedby": "token-hint token-wrong",
  });
  const wrong = make("p", { class: "wrong", id: "token-wrong", role: "alert" });
  const refuse = (text) => {
    wrong.textContent = text;
    field.setAttribute("aria-invalid", String(text !== ""));
    if (text) field.select();
  };
  field.addEventListener("input", () => wrong.textContent && refuse(""));
  const submit = async (event) => {
    event.preventDefault();
    const token = field.value.trim();
    if (token && !TOKEN.test(token)) return refuse(words.tokenWrong);
    const status = await press("/scan/start", token ? { token } : {});
    if (status === 204) return started();
    return refuse(status === 400 ? words.tokenWrong : words.pressLost);
  };
  return make(
    "form",
    { class: "start", submit },
    make("h3", {}, words.startScan),
    make("label", { for: "token" }, words.token),
    make("div", { class: "row" }, field, make("button", { id: "start", type: "submit" }, make("b", {}, words.start))),
    wrong,
    make("p", { class: "hint", id: "token-hint" }, words.tokenHint),
  );
}
