"""The page's words as the device's tests read them, and what no words of ours may say."""

from __future__ import annotations

import re

from sono_edge.view.routes import read_page

FORBIDDEN = (
    r"cancer|malign|benign|tumou?r|bi-?rads|suspicious|diagnos|"
    r"krebs|karzinom|carcinom|bösartig|gutartig|verdächtig|befund"
)


def strings() -> dict[str, str]:
    """What stands between `const xx = {` and its `};` in the page's file of words, by language."""
    text = read_page()["strings.js"].body.decode()
    return {
        found[1]: found[2] for found in re.finditer(r"^const (\w\w) = \{\n(.*?)^\};", text, re.MULTILINE | re.DOTALL)
    }


def texts(body: str) -> dict[str, str]:
    """One language's single texts by key, a function's parameters as `{name}`."""
    plain = {named or quoted: text for named, quoted, text in re.findall(r'(?:\b(\w+)|"([^"]+)"): "([^"]*)"', body)}
    filled = re.findall(r"^    (\w+): \([\w, ]+\) => `([^`]*)`,$", body, re.MULTILINE)
    return plain | {name: text.replace("${", "{") for name, text in filled}
