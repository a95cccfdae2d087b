"""The model's card as a page of its own: its text as it is, escaped, and the way back."""

from __future__ import annotations

from html import escape

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="dark light">
<title>Model card</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/style.css">
<link rel="stylesheet" href="/static/scans.css">
<script type="module" src="/static/card.js"></script>
</head>
<body class="document">
<header>
<a class="button" id="back" href="/#card">Back</a><p id="note">Research prototype, not a medical device</p>
</header>
<main tabindex="0" aria-label="Model card"><h1>Model card</h1><pre>{text}</pre></main>
</body>
</html>
"""


def card_page(text: str) -> bytes | None:
    """The page's bytes; None where there is no card."""
    return PAGE.format(text=escape(text)).encode() if text else None
