"""A page of a long list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class Page:
    number: int
    total: int
    per_page: int = PER_PAGE

    @property
    def last(self) -> int:
        return max(1, -(-self.total // self.per_page))

    @property
    def first_row(self) -> int:
        return min(self.total, (self.number - 1) * self.per_page + 1)

    @property
    def last_row(self) -> int:
        return min(self.total, self.number * self.per_page)


def page_of(connection: sa.Connection, query: sa.Select[Any], number: int) -> tuple[Page, list[dict[str, Any]]]:
    """So many rows of an ordered query, and how many there are in all. A number beyond the end is the last page."""
    total = int(
        connection.execute(sa.select(sa.func.count()).select_from(query.order_by(None).subquery())).scalar_one()
    )
    page = Page(max(1, min(number, Page(1, total).last)), total)
    rows = connection.execute(query.limit(page.per_page).offset((page.number - 1) * page.per_page)).mappings()
    return page, [dict(row) for row in rows]
