# -*- test-case-name: tests.test_demo -*-
"""
The page of the demo: C{index.html} at C{/}, and what it is made of below C{/demo}.
"""

from __future__ import annotations

import html
from importlib.resources import files
from urllib.parse import urlsplit

from txsockjs.iframe import sourceOf
from txsockjs.options import Options
from txsockjs.pages import Page
from txsockjs.transports.answers import HTML, FixedHeaders, confined

__all__ = ["FILES", "index"]

FILES = files(__package__).joinpath("static")

_SCHEMES = {"http": ("http", "ws"), "https": ("https", "wss"), "": ("http", "https", "ws", "wss")}
"""What the client uses where it is told to connect to a URL of a scheme, or of that of the page, whichever it is."""


def _elsewhere(options: Options) -> str:
    """
    @return: where the page may connect besides its own origin, in the words of a Content-Security-Policy.
    """
    if options.base_url is None:
        return ""
    if callable(options.base_url):
        return "".join(f" {scheme}:" for scheme in _SCHEMES[""])
    parts = urlsplit(options.base_url.format(process=options.process_name, service=""))
    if not parts.netloc:
        return ""
    schemes = _SCHEMES.get(parts.scheme, (parts.scheme,))
    _, isNamed, host = sourceOf(f"http://{parts.netloc}").partition("://")
    return "".join(f" {scheme}://{host}" if isNamed else f" {scheme}:" for scheme in schemes)


def _policy(options: Options) -> FixedHeaders:
    """
    @return: headers by which the page can do what the client needs, and no more: scripts for jsonp-polling and forms
        for its messages, frames for htmlfile and the transports with an iframe. All of it is of the page's own origin,
        unless the client is told to connect elsewhere.
    """
    places = f"'self'{_elsewhere(options)}"
    return (
        *confined(
            "'none'",
            f"script-src {' '.join(dict.fromkeys([*places.split(), sourceOf(options.sockjs_url)]))}",
            "style-src 'self'",
            "img-src 'self'",
            f"connect-src {places}",
            f"frame-src {places}",
            f"form-action {places}",
            "base-uri 'none'",
        ),
        (b"Referrer-Policy", (b"same-origin",)),
    )


def index(options: Options) -> Page:
    """
    @return: the page, which loads the client from where the services' iframe pages do.
    """
    page = FILES.joinpath("index.html").read_text("utf-8")
    page = page.replace("{{sockjs_url}}", html.escape(options.sockjs_url))
    return Page(page.encode("utf-8"), HTML, _policy(options))
