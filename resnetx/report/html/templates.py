"""The templates of the pages: what they may call, and that every text is made readable and escaped."""

from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from resnetx.base.text import shorten
from resnetx.report.html.markup import legible, number

NOTHING = Markup('<span class="dim">–</span>')


def render(
    template: str, *, functions: tuple[Callable[..., object], ...] = (), script: bool = True, **values: object
) -> str:
    """Fill a template; it may call `functions` by their names. The same values give the same page, byte for byte."""
    return ENVIRONMENT.get_template(template).render(
        style=_resource("page.css"),
        script=_resource("page.js") if script else None,
        **{function.__name__: function for function in functions},
        **values,
    )


def _resource(name: str) -> Markup:
    """A file of this folder, which is inserted as it is."""
    return Markup(files("resnetx.report.html").joinpath(name).read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


def moment(text: str) -> str:
    """`2026-01-31T12:00:00+00:00` as `2026-01-31 12:00 UTC`; anything else is returned unchanged."""
    try:
        found = datetime.fromisoformat(text)
        return f"{found.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if found.tzinfo is not None else text
    except (ValueError, OverflowError):
        return text


def _number(value: object) -> object:
    """Format a number; anything else is returned unchanged."""
    return number(value) if isinstance(value, int | float) else value


ENVIRONMENT = Environment(
    loader=PackageLoader("resnetx.report.html", ""),
    autoescape=True,
    finalize=lambda value: NOTHING if value is None else legible(value),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
ENVIRONMENT.filters.update(shorten=shorten, digest=_digest, number=_number, moment=moment)
