"""The model's card as a page of its own: its Markdown without any HTML of its own, and the way back."""

from __future__ import annotations

from functools import lru_cache

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
<main tabindex="0" aria-label="Model card">
{text}
</main>
</body>
</html>
"""


@lru_cache(maxsize=1)
def card_page(text: str) -> bytes | None:
    """The page's bytes; None where there is no card. HTML in the card is shown as it is written.

    Rendered when somebody first asks for it: an agent whose card nobody reads loads no Markdown.
    """
    if not text:
        return None
    from markdown_it import MarkdownIt  # noqa: PLC0415

    rendered = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image").render(text)
    return PAGE.format(text=rendered).encode()
