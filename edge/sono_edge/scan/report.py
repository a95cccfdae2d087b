"""The card at the end of a scan as a PDF, from what the scan's folder has: no picture is in it that was not cleaned.

Needs the extra `report` (docs/adr/0012-the-pdf.md). The words stand in words.py, in the page's languages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Image, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from sono_edge.scan.records import AlertRecord, CaptureRecord, ScanRecord, Span, Summary
from sono_edge.scan.words import Language, Words

REPORT = "card.pdf"
PICTURES_MOST = 12
"""The first in rank; all of them are in the folder beside the PDF."""
ACROSS = 3
MARGIN = 18 * mm
WIDE = A4[0] - 2 * MARGIN - 12
"""Inside of the page's frame, which has 6 points of its own on either side."""
INK, GREY, LINE = HexColor("#14130f"), HexColor("#43403a"), HexColor("#c9c4b6")
TITLE = ParagraphStyle("title", fontName="Helvetica-Bold", fontSize=17, leading=21, textColor=INK)
HEAD = ParagraphStyle("head", fontName="Helvetica-Bold", fontSize=11, leading=14, spaceBefore=9, spaceAfter=2)
BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=9.5, leading=12.5, textColor=INK)
BOLD = ParagraphStyle("bold", parent=BODY, fontName="Helvetica-Bold")
SMALL = ParagraphStyle("small", parent=BODY, fontSize=8, leading=10, textColor=GREY)
RULED = TableStyle(
    [
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
)
GALLERY = TableStyle([("LEFTPADDING", (0, 0), (-1, -1), 0), ("VALIGN", (0, 0), (-1, -1), "TOP")])


def write_report(record: ScanRecord, folder: Path, language: Language) -> None:
    """`folder`/card.pdf; the captures' pictures lie in `folder`. Raises OSError."""
    words = Words(language)
    document = SimpleDocTemplate(
        str(folder / REPORT),
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        title=f"Scan {record.id}",
        author="SonoEdge",
        subject=words.say("disclaimer"),
        lang=language,
        invariant=1,
    )
    foot = partial(_foot, words)
    document.build(list(_story(words, record, folder)), onFirstPage=foot, onLaterPages=foot)


def _foot(words: Words, canvas: Canvas, document: SimpleDocTemplate) -> None:
    canvas.setFont("Helvetica", 8)
    canvas.setFillColor(GREY)
    canvas.drawString(MARGIN, 10 * mm, words.say("disclaimer"))
    canvas.drawRightString(A4[0] - MARGIN, 10 * mm, str(document.page))


def _story(words: Words, record: ScanRecord, folder: Path) -> Iterable[Flowable]:
    yield _text(words.say("title"), TITLE)
    yield _text(words.say("disclaimer"), BOLD)
    exam = "with_token" if record.token else "without_token"
    yield _text(words.say(exam, token=record.token, scan=record.id, at=record.started_at))
    summary = record.summary
    if summary is None:
        yield _text(words.say("not_ended"))
        ranked = tuple(one.id for one in record.captures)
    else:
        yield from _figures(words, summary)
        ranked = summary.ranked
    yield from _alerts(words, record.alerts)
    yield from _gallery(words, record, ranked, folder)
    if summary is not None:
        counts = {"judged": summary.frames_judged, "dropped": summary.frames_dropped}
        yield Spacer(0, 6)
        yield _text(words.say("judged", bundle=summary.bundle, **counts), SMALL)


def _figures(words: Words, summary: Summary) -> Iterable[Flowable]:
    yield _text(words.say("time"), HEAD)
    usable = f"{_clock(summary.usable_s)}, {words.percent(summary.usable_share)}"
    rows = [(words.say("scanned"), _clock(summary.scanned_s)), (words.say("usable"), usable)]
    yield _table([*rows, *((words.of(span.cause, span.words), _lasted(span)) for span in summary.paused)])
    yield _text(words.say("unsure"), HEAD)
    unsure = [(words.of(span.words), _lasted(span)) for span in summary.cant_say]
    yield _table(unsure) if unsure else _text(words.say("nothing_unsure"))
    yield _text(words.say("score"), HEAD)
    yield _text(_score(words, summary))
    yield _text(words.say("reader"), HEAD)
    yield _text(_reader(words, summary))


def _score(words: Words, summary: Summary) -> str:
    score = summary.score
    if score is None:
        return words.say("no_score")
    share = words.percent(score.value)
    if score.lo is not None and score.hi is not None:
        share = words.say("within", share=share, low=words.percent(score.lo), high=words.percent(score.hi))
    return words.say("scored", share=share, kind=words.of(score.kind, score.words))


def _reader(words: Words, summary: Summary) -> str:
    if summary.impression is None:
        return words.say("no_impression")
    own = words.say("impression", impression=summary.impression)
    both = summary.combined
    if both is None:
        return own
    shares = {"both": words.percent(both.value), "system": words.percent(both.system)}
    together = words.say("combined", reader=words.percent(both.reader, 1), how=words.of(both.words), **shares)
    return f"{own} {together}"


def _alerts(words: Words, alerts: tuple[AlertRecord, ...]) -> Iterable[Flowable]:
    yield _text(words.say("alerts"), HEAD)
    if not alerts:
        yield _text(words.say("no_alerts"))
        return
    yield _table([(_clock(one.raised_s), words.percent(one.score), _seen(words, one)) for one in alerts])


def _seen(words: Words, alert: AlertRecord) -> str:
    if not alert.seen:
        return words.say("unseen")
    return words.say("seen_because", reason=words.of(alert.reason)) if alert.reason else words.say("seen")


def _gallery(words: Words, record: ScanRecord, ranked: tuple[str, ...], folder: Path) -> Iterable[Flowable]:
    known = {one.id: one for one in record.captures}
    shown = [known[name] for name in ranked if name in known and (folder / f"{name}.png").is_file()]
    yield _text(words.say("frames"), HEAD)
    if not shown:
        yield _text(words.say("no_frames"))
        return
    cells: list[list[Flowable] | str] = [_picture(words, one, folder) for one in shown[:PICTURES_MOST]]
    cells += [""] * (-len(cells) % ACROSS)
    rows = [cells[start : start + ACROSS] for start in range(0, len(cells), ACROSS)]
    yield Table(rows, colWidths=[WIDE / ACROSS] * ACROSS, style=GALLERY)
    if len(shown) > PICTURES_MOST:
        yield _text(words.say("more_frames", count=len(shown) - PICTURES_MOST), SMALL)


def _picture(words: Words, capture: CaptureRecord, folder: Path) -> list[Flowable]:
    path, below = str(folder / f"{capture.id}.png"), f"{capture.id}, {_clock(capture.captured_s)}"
    wide = WIDE / ACROSS - 3 * mm
    try:
        across, down = ImageReader(path).getSize()
    except OSError:
        return [_text(words.say("unreadable", frame=below), SMALL)]
    return [Image(path, wide, wide * down / across), _text(below, SMALL)]


def _table(rows: Sequence[tuple[str, ...]]) -> Table:
    cells = [[_text(cell) for cell in row] for row in rows]
    rest = (WIDE - 75 * mm) / (len(rows[0]) - 1)
    return Table(cells, colWidths=[75 * mm, *[rest] * (len(rows[0]) - 1)], style=RULED, hAlign="LEFT")


def _text(words: str, style: ParagraphStyle = BODY) -> Paragraph:
    return Paragraph(escape(words), style)


def _lasted(span: Span) -> str:
    return "< 1 s" if span.seconds < 1 else _clock(span.seconds)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
