"""The card at the end of a scan as a PDF, from what the scan's folder has: no picture is in it that was not cleaned.

Needs the extra `report` (docs/adr/0012-the-pdf.md). The words are English whatever the page speaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from sono_models import DISCLAIMER

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
REASONS = {"looked-again": "looked again", "known-finding": "known finding", "artefact": "artefact", "other": "other"}


def write_report(record: ScanRecord, folder: Path) -> None:
    """`folder`/card.pdf; the captures' pictures lie in `folder`. Raises OSError."""
    document = SimpleDocTemplate(
        str(folder / REPORT),
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        title=f"Scan {record.id}",
        author="SonoEdge",
        subject=DISCLAIMER,
        invariant=1,
    )
    document.build(list(_story(record, folder)), onFirstPage=_foot, onLaterPages=_foot)


def _foot(canvas: Canvas, document: SimpleDocTemplate) -> None:
    canvas.setFont("Helvetica", 8)
    canvas.setFillColor(GREY)
    canvas.drawString(MARGIN, 10 * mm, DISCLAIMER)
    canvas.drawRightString(A4[0] - MARGIN, 10 * mm, str(document.page))


def _story(record: ScanRecord, folder: Path) -> Iterable[Flowable]:
    yield Paragraph("End of scan", TITLE)
    yield Paragraph(f"<b>{escape(DISCLAIMER)}</b>", BODY)
    exam = f"Exam token {escape(record.token)}" if record.token else "No exam token"
    yield Paragraph(f"{exam}. Scan {escape(record.id)}, begun {escape(record.started_at)}.", BODY)
    summary = record.summary
    if summary is None:
        yield Paragraph("The scan did not end in the ordinary way: there is no card, only what was captured.", BODY)
        ranked = tuple(one.id for one in record.captures)
    else:
        yield from _figures(summary)
        ranked = summary.ranked
    yield from _alerts(record.alerts)
    yield from _gallery(record, ranked, folder)
    if summary is not None:
        words = f"Judged by {summary.bundle}; its model card is on the device. Frames judged {summary.frames_judged}"
        yield Spacer(0, 6)
        yield Paragraph(f"{escape(words)}, left out because the disk was behind {summary.frames_dropped}.", SMALL)


def _figures(summary: Summary) -> Iterable[Flowable]:
    yield Paragraph("Time", HEAD)
    usable = f"{_clock(summary.usable_s)}, {round(100 * summary.usable_share)} %"
    rows = [("Scanned", _clock(summary.scanned_s)), ("Usable: the AI judged", usable)]
    yield _table([*rows, *_spans(summary.paused)])
    yield Paragraph("What the AI could not judge", HEAD)
    unsure = _spans(summary.cant_say)
    yield _table(unsure) if unsure else Paragraph("Within the usable time: nothing. Outside of it: everything.", BODY)
    yield Paragraph("Score", HEAD)
    yield Paragraph(escape(_score(summary)), BODY)
    yield Paragraph("Reader", HEAD)
    yield Paragraph(escape(_reader(summary)), BODY)


def _spans(spans: Iterable[Span]) -> list[tuple[str, str]]:
    return [(span.words, "< 1 s" if span.seconds < 1 else _clock(span.seconds)) for span in spans]


def _score(summary: Summary) -> str:
    score = summary.score
    if score is None:
        return "None: no frame was judged."
    between = "" if score.lo is None or score.hi is None else f", between {_percent(score.lo)} and {_percent(score.hi)}"
    return f"{_percent(score.value)}{between}: {score.words}. Not a probability of disease."


def _reader(summary: Summary) -> str:
    if summary.impression is None:
        return "No impression was entered."
    own = f"The reader's own impression: BI-RADS {summary.impression}."
    both = summary.combined
    if both is None:
        return own
    return f"{own} Reader and system together: {_percent(both.value)} ({both.words})."


def _alerts(alerts: tuple[AlertRecord, ...]) -> Iterable[Flowable]:
    yield Paragraph("To look at again", HEAD)
    if not alerts:
        yield Paragraph("None.", BODY)
        return
    yield _table([(_clock(one.raised_s), _percent(one.score), _seen(one)) for one in alerts])


def _seen(alert: AlertRecord) -> str:
    if not alert.seen:
        return "not seen"
    return f"seen: {REASONS[alert.reason]}" if alert.reason in REASONS else "seen"


def _gallery(record: ScanRecord, ranked: tuple[str, ...], folder: Path) -> Iterable[Flowable]:
    known = {one.id: one for one in record.captures}
    shown = [known[name] for name in ranked if name in known and (folder / f"{name}.png").is_file()]
    yield Paragraph("Captured frames, what to look at first first", HEAD)
    if not shown:
        yield Paragraph("None.", BODY)
        return
    cells: list[list[Flowable] | str] = [_picture(one, folder) for one in shown[:PICTURES_MOST]]
    cells += [""] * (-len(cells) % ACROSS)
    rows = [cells[start : start + ACROSS] for start in range(0, len(cells), ACROSS)]
    yield Table(rows, colWidths=[WIDE / ACROSS] * ACROSS, style=GALLERY)
    if len(shown) > PICTURES_MOST:
        yield Paragraph(f"{len(shown) - PICTURES_MOST} more are in the folder.", SMALL)


def _picture(capture: CaptureRecord, folder: Path) -> list[Flowable]:
    path, below = str(folder / f"{capture.id}.png"), f"{capture.id}, {_clock(capture.captured_s)}"
    wide = WIDE / ACROSS - 3 * mm
    try:
        across, down = ImageReader(path).getSize()
    except OSError:
        return [Paragraph(f"{below}: the picture cannot be read", SMALL)]
    return [Image(path, wide, wide * down / across), Paragraph(below, SMALL)]


def _table(rows: Sequence[tuple[str, ...]]) -> Table:
    cells = [[Paragraph(escape(cell), BODY) for cell in row] for row in rows]
    rest = (WIDE - 75 * mm) / (len(rows[0]) - 1)
    return Table(cells, colWidths=[75 * mm, *[rest] * (len(rows[0]) - 1)], style=RULED, hAlign="LEFT")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
