"""What every list answers."""

from __future__ import annotations

import marshmallow as ma


def page_of(schema: type[ma.Schema], name: str) -> type[ma.Schema]:
    """The schema of one page of a list."""
    return ma.Schema.from_dict(
        {
            "items": ma.fields.List(ma.fields.Nested(schema), required=True),
            "next": ma.fields.String(required=True, allow_none=True),
        },
        name=name,
    )
