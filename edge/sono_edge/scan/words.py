"""Every word of the card's PDF, in each of the page's languages, one beside the other.

The device speaks English: its causes and reasons are keys here, as they are in view/page/strings.js, whose wording a
test holds these to. Letters are those of Latin-1, which the PDF's built-in font has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from sono_models import DISCLAIMER

Language = Literal["en", "de"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


class Both(NamedTuple):
    """The same words in each language."""

    en: str
    de: str


SENTENCES = {
    "disclaimer": Both(DISCLAIMER, "Forschungsprototyp, kein Medizinprodukt."),
    "title": Both("End of scan", "Scan beendet"),
    "with_token": Both(
        "Exam token {token}. Scan {scan}, begun {at}.", "Auftragskennung {token}. Scan {scan}, begonnen {at}."
    ),
    "without_token": Both(
        "No exam token. Scan {scan}, begun {at}.", "Ohne Auftragskennung. Scan {scan}, begonnen {at}."
    ),
    "not_ended": Both(
        "The scan did not end in the ordinary way: there is no card, only what was captured.",
        "Der Scan wurde nicht ordentlich beendet: es gibt keine Zusammenfassung, nur was aufgenommen wurde.",
    ),
    "time": Both("Time", "Zeit"),
    "scanned": Both("Scanned", "Gescannt"),
    "usable": Both("Usable: the AI judged", "Nutzbar: von der KI beurteilt"),
    "unsure": Both("What the AI could not judge", "Was die KI nicht beurteilen konnte"),
    "nothing_unsure": Both(
        "Within the usable time: nothing. Outside of it: everything.",
        "In der nutzbaren Zeit: nichts. Außerhalb davon: alles.",
    ),
    "score": Both("Score of the scan", "Wert des Scans"),
    "no_score": Both("No score: no frame was judged.", "Kein Wert: kein Bild wurde beurteilt."),
    "within": Both("{share}, between {low} and {high}", "{share}, zwischen {low} und {high}"),
    "scored": Both(
        "{share}. {kind}. Not a probability of disease.", "{share}. {kind}. Keine Krankheitswahrscheinlichkeit."
    ),
    "reader": Both("Reader", "Eigene Einschätzung"),
    "no_impression": Both("No impression was entered.", "Es wurde keine Einschätzung eingegeben."),
    "impression": Both(
        "Entered by the reader, not by the AI: BI-RADS {impression}.",
        "Vom Menschen eingegeben, nicht von der KI: BI-RADS {impression}.",
    ),
    "combined": Both(
        "Reader and system together: {both} (reader {reader}, system {system}). {how}",
        "Mensch und System zusammen: {both} (Mensch {reader}, System {system}). {how}",
    ),
    "alerts": Both("To look at again", "Nochmals ansehen"),
    "no_alerts": Both("None.", "Nichts."),
    "seen": Both("seen", "gesehen"),
    "seen_because": Both("seen: {reason}", "gesehen: {reason}"),
    "unseen": Both("not seen", "nicht gesehen"),
    "frames": Both("Captured frames, what to look at first first", "Aufnahmen: zuerst, was zuerst anzusehen ist"),
    "no_frames": Both("None was captured.", "Es wurde nichts aufgenommen."),
    "more_frames": Both("In the folder beside this: {count} more.", "Im Ordner daneben: {count} weitere."),
    "unreadable": Both("{frame}: the picture cannot be read", "{frame}: das Bild ist nicht lesbar"),
    "judged": Both(
        "Judged by {bundle}; its model card is on the device. Frames judged {judged}, left out because the disk was "
        "behind {dropped}.",
        "Beurteilt von {bundle}; die Modellkarte ist auf dem Gerät. Beurteilte Bilder {judged}, ausgelassen, weil der "
        "Speicher nicht nachkam, {dropped}.",
    ),
}
DECIMAL_POINT = Both(".", ",")

SAID = {
    # why it was paused: a state's name
    "NO_SIGNAL": Both("No picture, AI waiting", "Kein Bild, KI wartet"),
    "NO_CONTACT": Both("No contact", "Kein Kontakt"),
    "LOW_QUALITY": Both("Picture too poor for AI", "Bild zu schwach für KI"),
    "FROZEN": Both("Frozen, AI paused", "Standbild, KI pausiert"),
    "GATED_DOPPLER": Both("Doppler, AI paused", "Doppler, KI pausiert"),
    "GATED_DUAL": Both("Two pictures, AI paused", "Zwei Bilder, KI pausiert"),
    "GATED_CALIPERS": Both("Calipers or text, AI paused", "Text im Bild, KI pausiert"),
    "GATED_NOT_BREAST": Both("Not breast, AI paused", "Keine Brust, KI pausiert"),
    "AI_OFF": Both("AI is off", "KI ist aus"),
    "DEGRADED": Both("AI not running", "KI läuft nicht"),
    # why it could not judge
    "too near the threshold for what is known of the score": Both(
        "the score is too near the threshold", "der Wert liegt zu nah an der Schwelle"
    ),
    "signs of two kinds stand out at once": Both(
        "signs of two kinds stand out at once", "Zeichen zweier Arten zugleich"
    ),
    "unlike the pictures it learned from": Both(
        "unlike the pictures it learned from", "anders als die gelernten Bilder"
    ),
    "Can't say": Both("the evidence was thin", "zu wenig Anhalt"),
    # which score it is
    "sweep": Both(
        "The sweep's score; interval over this scan's own frames (block bootstrap, 95 %)",
        "Der Wert des Durchgangs; Bereich über die Bilder dieses Scans (Block-Bootstrap, 95 %)",
    ),
    "greatest-frame": Both(
        "The greatest score of a frame: this model has no score for a whole sweep",
        "Der größte Wert eines Bildes: dieses Modell hat keinen für einen ganzen Durchgang",
    ),
    # how reader and system were combined
    "average of the system's score and the reader's: 1 and 2 as 0, 3 as 0.01, 4 as 0.485, 5 as 0.975; research": Both(
        "Plain average, research only: categories 1 and 2 count as 0 %, 3 as 1 %, 4 as 48.5 %, 5 as 97.5 %.",
        "Einfacher Mittelwert, nur Forschung: Kategorie 1 und 2 zählen 0 %, 3 zählt 1 %, 4 zählt 48,5 %, "
        "5 zählt 97,5 %.",
    ),
    # why an alert was seen
    "looked-again": Both("looked again", "nochmals angesehen"),
    "known-finding": Both("known finding", "schon bekannt"),
    "artefact": Both("artefact", "Artefakt"),
    "other": Both("other", "anderes"),
}


@dataclass(frozen=True, slots=True)
class Words:
    """The tables read in one language."""

    language: Language

    def say(self, name: str, **values: object) -> str:
        return self._in(SENTENCES[name]).format(**values)

    def of(self, key: str, otherwise: str = "") -> str:
        """What the device said; where it is not known here, as the device says it."""
        both = SAID.get(key)
        return (otherwise or key) if both is None else self._in(both)

    def percent(self, share: float, digits: int = 0) -> str:
        number = f"{round(100 * share, digits):g}"
        return f"{number.replace('.', self._in(DECIMAL_POINT))} %"

    def _in(self, both: Both) -> str:
        return both.de if self.language == "de" else both.en


def language_named(name: str) -> Language | None:
    """None for one that is not spoken here."""
    return next((known for known in LANGUAGES if known == name), None)
