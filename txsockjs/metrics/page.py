# -*- test-case-name: tests.test_metrics -*-
"""
The status page: live charts for those who have no Prometheus at hand.
"""

from __future__ import annotations

from importlib.resources import files

from txsockjs.pages import Page, assets
from txsockjs.transports.answers import HTML, FixedHeaders, confined

__all__ = ["page", "pageFiles"]

_FILES = files(__package__).joinpath("static")

_CONFINED: FixedHeaders = (
    *confined(
        "'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    ),
    (b"Referrer-Policy", (b"same-origin",)),
)
"""The page loads its own files and asks its own server, and does nothing else."""


def page() -> Page:
    """
    @return: the page itself, which finds all else by relative URLs, so that a proxy may serve it below a path.
    """
    return Page(_FILES.joinpath("index.html").read_bytes(), HTML, _CONFINED)


def pageFiles() -> dict[str, Page]:
    """
    @return: what it is made of, by path.
    """
    return dict(assets(_FILES, "status"))
