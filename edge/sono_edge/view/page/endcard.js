// The card at the end of a scan. Everything on it is asked of the device again each second; what changed is drawn.

import { button, make, Part } from "./dom.js";
import { ABSENT, driveLine, outcomeLine, saveButton } from "./drive.js";
import { Held } from "./hands.js";
import { press } from "./link.js";
import { REASONS } from "./reasons.js";
import { language, percentIn, reasonIn, say, states, when, words } from "./strings.js";

const IMPRESSIONS = [1, 2, 3, 4, 5];

export class EndCard {
  node = make("div", { class: "card" });
  #scan;
  #look;
  #parts = {};

  constructor(record, { look, next }) {
    this.#scan = record.id;
    this.#look = look;
    const part = (name, title, draw) => {
      const node = make("div");
      this.#parts[name] = new Part(node, draw);
      return make("section", { class: name }, title ? make("h3", {}, title) : null, node);
    };
    this.node.append(
      part("head", "", headOf),
      part("time", words.time, timeOf),
      part("unsure", words.unsure, unsureOf),
      part("score", words.score, scoreOf),
      part("frames", words.frames, (value) => this.#frames(value)),
      part("alerts", words.points, (alerts) => this.#alerts(alerts)),
      part("reader", words.reader, (value) => this.#reader(value)),
      part("drive", "", (drive) => this.#drive(drive, next)),
    );
    this.#parts.drive.show(ABSENT);
    this.#show(record);
  }

  async refresh(get) {
    const path = `/scan/records/${encodeURIComponent(this.#scan)}`;
    const [record, drive] = await Promise.all([get(path), get("/scan/export")]);
    if (record !== null) this.#show(record);
    this.#parts.drive.show(drive ?? ABSENT);
  }

  #show(record) {
    const { summary, captures, alerts } = record;
    this.#parts.head.show({ started: record.started_at, token: record.token, ended: summary !== null });
    this.#parts.frames.show({ captures, ranked: summary?.ranked ?? captures.map((one) => one.id) });
    this.#parts.alerts.show(alerts);
    for (const name of ["time", "unsure", "score", "reader"]) this.#parts[name].show(summary);
  }

  #frames({ captures, ranked }) {
    const known = new Map(captures.map((one) => [one.id, one]));
    const shown = ranked.map((id) => known.get(id)).filter(Boolean);
    if (shown.length === 0) return [make("p", {}, words.noFrames)];
    const row = make("ol", { class: "frames" }, ...shown.map((one, i) => make("li", {}, this.#frame(one, i + 1))));
    return [make("p", {}, words.framesNote), row];
  }

  #frame(capture, place) {
    const base = `/scan/records/${encodeURIComponent(this.#scan)}`;
    const held = new Held((down) => (down ? void this.#look.show(base, capture) : this.#look.hide()));
    const node = make(
      "button",
      { type: "button", class: "frame", "data-key": capture.id, "aria-label": say.frame(place, say.clock(capture.captured_s)) },
      make("img", { src: `${base}/${encodeURIComponent(capture.id)}.png`, alt: "", draggable: "false" }),
      make("small", {}, `${place} · ${say.clock(capture.captured_s)}`),
    );
    const on = (kind, then) => node.addEventListener(kind, then);
    on("pointerdown", (event) => event.button === 0 && held.down());
    for (const kind of ["pointerup", "pointercancel", "pointerleave", "blur"]) on(kind, () => held.up());
    on("keydown", (event) => event.key === "Enter" && held.down());
    on("keyup", (event) => event.key === "Enter" && held.up());
    on("contextmenu", (event) => event.preventDefault());
    return node;
  }

  #alerts(alerts) {
    if (alerts.length === 0) return [make("p", {}, words.noPoints)];
    const unseen = alerts.filter((one) => !one.seen).length;
    const rows = alerts.map((one) =>
      make(
        "li",
        { "data-mark": one.seen ? "seen" : "unseen" },
        make("p", {}, `${say.clock(one.raised_s)} · ${percentIn(one.score)} · ${one.seen ? words.seenBefore : words.unseen}`),
        make(
          "div",
          { class: "row", role: "group", "aria-label": say.reasonFor(say.clock(one.raised_s)) },
          ...REASONS.map((reason) => this.#reason(one, reason)),
        ),
      ),
    );
    const counts = say.seenUnseen(alerts.length - unseen, unseen);
    return [make("p", {}, `${counts} ${words.reasonNote}`), make("ol", { class: "alerts" }, ...rows)];
  }

  #reason(alert, reason) {
    const tell = () => void press("/seen", { alert: alert.alert, reason });
    return button(`${alert.alert}-${reason}`, words.reasons[reason], tell, { "aria-pressed": alert.reason === reason });
  }

  #reader(summary) {
    if (summary === null) return [make("p", {}, words.noCard)];
    const enter = (impression) => void press("/scan/end", { impression, scan: this.#scan });
    const row = IMPRESSIONS.map((number) =>
      button(`impression-${number}`, String(number), () => enter(number), {
        "aria-pressed": summary.impression === number, "aria-label": say.impression(number),
      }),
    );
    const both = summary.combined;
    const together = both && say.combined(percentIn(both.value), percentIn(both.reader, 1), percentIn(both.system));
    return [
      make("p", {}, words.readerNote),
      make("div", { class: "row", role: "group", "aria-label": words.reader }, ...row),
      together ? make("p", { class: "together", role: "status" }, together) : null,
      together ? make("p", { class: "hint" }, words.combinedNote) : null,
    ];
  }

  #drive(drive, next) {
    return [
      make("div", { class: "row" }, saveButton(drive, this.#scan), button("next", words.nextScan, next)),
      outcomeLine(drive, this.#scan),
      make("p", { class: "hint" }, driveLine(drive)),
    ];
  }
}

function headOf({ started, token, ended }) {
  const exam = token ? `${words.token}: ${token}` : words.noToken;
  return [
    make("p", { class: "research" }, words.note),
    make("p", {}, `${when(started)} · ${exam}${ended ? "" : ` · ${words.notEnded}`}`),
  ];
}

function table(rows) {
  const line = ([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value));
  return make("table", {}, make("tbody", {}, ...rows.map(line)));
}

function timeOf(summary) {
  if (summary === null) return [make("p", {}, words.noCard)];
  const usable = `${say.clock(summary.usable_s)} · ${percentIn(summary.usable_share)}`;
  const paused = summary.paused.map((span) => [states[span.cause] ?? span.words, say.lasted(span.seconds)]);
  return [table([[words.scanned, say.clock(summary.scanned_s)], [words.usable, usable], ...paused])];
}

function unsureOf(summary) {
  const rows = (summary?.cant_say ?? []).map((span) => [reasonIn(span.words), say.lasted(span.seconds)]);
  return [rows.length > 0 ? table(rows) : make("p", {}, words.nothingUnsure), make("p", { class: "hint" }, words.unsureNote)];
}

function scoreOf(summary) {
  const score = summary?.score ?? null;
  const link = make("a", { class: "button", href: `/card?lang=${language}` }, words.modelCard);
  if (score === null) return [make("p", {}, words.noScore), link];
  const share = percentIn(score.value);
  const within = score.lo === null ? share : say.within(share, Math.round(100 * score.lo), Math.round(100 * score.hi));
  return [
    make("p", { class: "figure" }, within),
    make("p", {}, words.scoreKinds[score.kind] ?? score.words),
    make("p", { class: "hint" }, `${words.scoreNote} ${summary.bundle}`),
    link,
  ];
}
