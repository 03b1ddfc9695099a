# -*- test-case-name: tests.test_options -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
L{txsockjs.options}: every setting of a service.
"""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import FrozenInstanceError, fields

from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txsockjs.options import OPTIONS, TRANSPORTS, OptionInfo, Options
from txsockjs.resource import SockJSResource

HTTP_TRANSPORTS = ("xhr-streaming", "xhr-polling", "eventsource", "htmlfile", "jsonp-polling")

BY_NAME = {info.name: info for info in OPTIONS}


class OptionsCase(SynchronousTestCase):
    """
    What tests of options have in common.
    """

    def assertRefused(self, name, right, function, *args, **settings):
        """
        Assert that a call raises a L{ValueError} whose text begins with C{name} and says what would be
        C{right}.
        """
        error = self.assertRaises(ValueError, function, *args, **settings)
        self.assertTrue(str(error).startswith(f"{name} "), error)
        self.assertIn(right, str(error))

    def assertDeprecated(self, texts, function, *args, **settings):
        """
        Assert that a call warns of the use of old names, once for each of C{texts}, at this line of the
        caller's.

        @return: what the call returns.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = function(*args, **settings)
        self.assertEqual([warning.category for warning in caught], [DeprecationWarning] * len(texts))
        self.assertEqual({warning.filename for warning in caught}, {__file__})
        for warning, text in zip(caught, texts):
            self.assertIn(text, str(warning.message))
        return result


class DefaultTests(OptionsCase):
    """
    What holds when nothing is said.
    """

    def test_defaults(self):
        """
        The defaults are those that clients expect.
        """
        options = Options()
        self.assertEqual(options.transports, ("websocket", "websocket-raw", *HTTP_TRANSPORTS))
        self.assertEqual(options.origins, "*")
        self.assertIs(options.disable_cors, False)
        self.assertIs(options.restricted, False)
        self.assertIs(options.iframe, True)
        self.assertEqual(options.heartbeat_delay, 25)
        self.assertEqual(options.disconnect_delay, 5)
        self.assertEqual(options.response_limit, 131072)
        self.assertIs(options.cookie_needed, False)
        self.assertEqual(options.sockjs_url, "https://cdn.jsdelivr.net/npm/sockjs-client@1/dist/sockjs.min.js")
        self.assertIsNone(options.base_url)
        self.assertEqual(options.encoding, "utf-8")
        self.assertIn("user-agent", options.exposed_headers)
        self.assertEqual(options.max_body_size, 1048576)
        self.assertEqual(options.max_sessions, 0)
        self.assertEqual(options.max_session_id_length, 128)
        self.assertEqual(options.close_timeout, 5)
        self.assertIsNone(options.proxy_header)

    def test_noSecrets(self):
        """
        By default the application is shown no header that holds a secret.
        """
        self.assertEqual(set(Options().exposed_headers) & {"authorization", "cookie", "proxy-authorization"}, set())

    def test_defaultsOfLimits(self):
        """
        What may be dangerous is bounded by default, and what may hurt a client that does nothing wrong is off.
        """
        options = Options()
        self.assertIsNone(options.authorize)
        self.assertEqual(options.authorize_timeout, 30)
        self.assertEqual(options.max_message_size, 131072)
        self.assertEqual(options.max_sessions_per_host, 0)
        self.assertEqual((options.ping_interval, options.pong_timeout), (25, 20))
        self.assertEqual(options.request_timeout, 30)
        self.assertEqual(options.drain_notice, 0)
        self.assertEqual((options.drain_timeout, options.drain_code, options.drain_reason), (10, 3000, "Go away!"))
        self.assertIs(options.bind_sessions, False)
        self.assertIsNone(options.trusted_proxies)

    def test_all(self):
        """
        L{OPTIONS} lists every field, in order, and every default passes its own check unchanged, and is the value, save
        that C{transports} depend on C{origins}.
        """
        self.assertEqual([info.name for info in OPTIONS], [item.name for item in fields(Options)])
        for info in OPTIONS:
            self.assertEqual(info.checked(info.default), info.default)
            if info.name != "transports":
                self.assertEqual(getattr(Options(), info.name), info.default)
            self.assertTrue(info.unit and info.help, info.name)
            self.assertFalse(info.help.endswith("."), info.name)

    def test_frozen(self):
        """
        Options don't change, take no positional values, and are equal when all settings are.
        """
        options = Options()
        self.assertRaises(FrozenInstanceError, setattr, options, "response_limit", 1)
        self.assertRaises(TypeError, Options, ("websocket",))
        self.assertEqual(options, Options(heartbeat_delay=25))
        self.assertEqual(hash(options), hash(Options()))
        self.assertNotEqual(options, Options(heartbeat_delay=26))


class ValueTests(OptionsCase):
    """
    What each option takes and refuses.
    """

    def assertTakes(self, name, *pairs):
        for value, kept in pairs:
            result = getattr(Options(**{name: value}), name)
            self.assertEqual(result, kept)
            self.assertIs(type(result), type(kept))

    def assertRefuses(self, name, right, *values):
        for value in values:
            self.assertRefused(name, right, Options, **{name: value})
            self.assertRefused(name, right, Options.build, {name: value})

    def test_transports(self):
        """
        C{transports} takes any names of transports, at least one, and keeps them in order of preference.
        """
        self.assertTakes(
            "transports",
            (["xhr-polling", "websocket", "xhr-polling"], ("websocket", "xhr-polling")),
            (iter(TRANSPORTS[::-1]), TRANSPORTS),
            ({"websocket-raw"}, ("websocket-raw",)),
        )
        self.assertTakes("transports", (None, TRANSPORTS), (["iframe", "websocket"], ("websocket", "iframe")))
        self.assertRefuses("transports", "must be a list of names", "websocket", b"websocket", 5, [1], [b"websocket"])
        self.assertRefuses("transports", "must name at least one of websocket, ", [], (), ["iframe"])
        self.assertRefuses("transports", "(did you mean 'xhr-polling'?); there are websocket, ", ["xhr_polling"])
        self.assertRefuses("transports", "has no transport 'telnet'; there are websocket, ", ["websocket", "telnet"])

    def test_delays(self):
        """
        Times are numbers of seconds; some have a meaning for 0, the others refuse it.
        """
        free = ("heartbeat_delay", "write_timeout", "ping_interval", "drain_timeout", "drain_notice")
        positive = ("disconnect_delay", "close_timeout", "authorize_timeout", "pong_timeout", "request_timeout")
        for name in free:
            self.assertTakes(name, (0, 0), (0.5, 0.5), (3, 3))
        for name in positive:
            self.assertTakes(name, (0.5, 0.5), (3, 3))
            self.assertRefuses(name, "must be a number of seconds above 0", 0, 0.0)
        for name in (*free, *positive):
            self.assertRefuses(
                name, "must be a number of seconds", -1, -0.001, math.inf, math.nan, True, False, "5", None, 1j, [5]
            )

    def test_responseLimit(self):
        """
        C{response_limit} is a whole number of bytes.
        """
        self.assertTakes("response_limit", (1, 1), (4096, 4096))
        self.assertRefuses("response_limit", "must be a whole number, 1 or more", 0, -1, 1.0, True, "4096", None)

    def test_limits(self):
        """
        Limits are whole numbers, of which only those of sessions can be switched off by 0.
        """
        for name in ("max_sessions", "max_sessions_per_host"):
            self.assertTakes(name, (0, 0), (1, 1))
            self.assertRefuses(name, "must be a whole number, 0 or more", -1, 1.0, True, "5", None)
        for name in (
            "max_body_size",
            "max_message_size",
            "max_session_id_length",
            "max_queued_bytes",
            "max_queued_messages",
        ):
            self.assertTakes(name, (1, 1), (4096, 4096))
            self.assertRefuses(name, "must be a whole number, 1 or more", 0, -1, 1.0, True, "4096", None)

    def test_cookieNeeded(self):
        """
        C{cookie_needed} is a truth or a callable.
        """
        value = lambda request: "node1"  # noqa: E731
        self.assertTakes("cookie_needed", (True, True), (False, False), (value, value))
        self.assertRefuses("cookie_needed", "must be true, false, or a callable", 1, 0, "true", None)

    def test_urls(self):
        """
        URLs are texts without spaces or control characters; C{base_url} may be missing or a callable as well.
        """
        value = lambda request: "/x"  # noqa: E731
        self.assertTakes("sockjs_url", ("/sockjs.js", "/sockjs.js"), ("//cdn/x?a=1&b", "//cdn/x?a=1&b"))
        self.assertTakes("base_url", (None, None), (value, value), ("https://b/echo", "https://b/echo"))
        for name in ("sockjs_url", "base_url"):
            self.assertRefuses(name, "must be a URL", "", " ", "a b", "a\n", "\x7f", b"/sockjs.js", 5, False)
        self.assertRefuses("sockjs_url", "must be a URL", None, value)

    def test_baseURLIsWhole(self):
        """
        C{base_url} without a scheme would lead clients to somewhere below the page, so it is refused.
        """
        self.assertTakes("base_url", ("HTTP://b", "HTTP://b"), ("/p1/echo", "/p1/echo"))
        self.assertRefuses(
            "base_url",
            "must begin with https://, http:// or /, not",
            "example.com/p1",
            "localhost:8081",
            "wss://b",
            "p1",
        )

    def test_baseURLFields(self):
        """
        C{base_url} may have the fields C{process}, if there is a name for it, and C{service}, and no others.
        """
        both = "https://b/{process}/{service}"
        options = Options(base_url=both, process_name="p1")
        self.assertEqual(options.base_url, both)
        self.assertEqual(options.baseURLOf(None, "a/b"), "https://b/p1/a/b")
        self.assertEqual(options.baseURLOf(None, ""), "https://b/p1")
        self.assertEqual(Options(base_url="https://b/{service}").baseURLOf(None, "x"), "https://b/x")
        self.assertEqual(Options(base_url="https://b/{{x}}/").baseURLOf(None, "x"), "https://b/{x}/")
        self.assertEqual(Options(base_url=lambda request: request * 2).baseURLOf("r", "x"), "rr")
        self.assertIsNone(Options().baseURLOf(None, "x"))
        self.assertRefuses(
            "base_url",
            "; it may have {process} and {service}",
            *("/{proces}", "/{}", "/{0}", "/{process!r}", "/{process:>9}", "/{process.name}", "/{service}{x}"),
        )
        self.assertRefuses("base_url", "has a field that there is not: '/{x}'; it may have", "/{x}")
        self.assertRefuses("base_url", "has a brace by itself: '/{'; it may have {process}", "/{")
        self.assertRefuses("base_url", "has a brace by itself", "/}", "/{process")
        with self.assertRaisesRegex(ValueError, "^base_url has {process} in it, but there is no process_name$"):
            Options(base_url=both)

    def test_processName(self):
        """
        The name of a process fits into cookies and URLs.
        """
        self.assertTakes("process_name", (None, None), ("p1", "p1"), ("a-B_9", "a-B_9"), ("x" * 64, "x" * 64))
        self.assertRefuses(
            "process_name", "must be a name of letters", "", "a.b", "a b", "p1\n", "é", "x" * 65, 1, b"p"
        )

    def test_encoding(self):
        """
        C{encoding} is C{base64} or a text codec, kept by its proper name.
        """
        self.assertTakes("encoding", ("UTF8", "utf-8"), ("latin-1", "iso8859-1"), ("Base64", "base64"))
        self.assertRefuses("encoding", "must be 'base64' or a text codec of Python's, not ", "utf-9", "hex", "", "\0")
        self.assertRefuses("encoding", "must be the name of a codec", None, b"utf-8", 8)

    def test_transportsWithoutOrigin(self):
        """
        Where origins are restricted, what carries no origin is on only if it is named.
        """
        for origins in ("same", ["https://a"], len):
            options = Options(origins=origins)
            self.assertEqual(
                options.transports, ("websocket", "websocket-raw", "xhr-streaming", "xhr-polling", "eventsource")
            )
            self.assertEqual((options.restricted, options.iframe), (True, False))
            options = Options(origins=origins, transports=["iframe", *TRANSPORTS])
            self.assertEqual(options.transports, (*TRANSPORTS, "iframe"))
            self.assertEqual((options.restricted, options.iframe), (True, True))
            self.assertEqual(Options.build(Options(), origins=origins), Options(origins=origins))
            self.assertEqual(Options.build(Options(origins=origins), origins="*"), Options())
            chosen = Options(transports=["htmlfile"])
            self.assertEqual(Options.build(chosen, origins=origins).transports, ("htmlfile",))
            options = self.assertDeprecated(["'websocket'"], Options.build, websocket=False, origins=origins)
            self.assertEqual(options.transports, ("xhr-streaming", "xhr-polling", "eventsource"))

    def test_origins(self):
        """
        C{origins} is C{*}, C{same}, a list of origins with wildcards, or a callable.
        """
        self.assertTakes(
            "origins",
            ("*", "*"),
            ("same", "same"),
            (["*"], "*"),
            (len, len),
            (
                ["https://a", "*.b", "http://localhost:*", "*://c", "[::1]:80", "null", "same"],
                ("https://a", "*.b", "http://localhost:*", "*://c", "[::1]:80", "null", "same"),
            ),
        )
        self.assertRefuses(
            "origins", "must be '*', 'same', a list of origins, or a callable", "https://a", b"*", None, 5, True
        )
        self.assertRefuses("origins", "must be a list of origins, and", [None], [b"https://a"], ["same", 5])
        self.assertRefuses("origins", "has '*', which allows every origin, among others", ["*", "https://a"])
        self.assertRefuses("origins", "must name at least one origin", [], ())
        self.assertRefuses(
            "origins",
            "which is no origin; right are 'https://example.com', ",
            *(
                ["same", name]
                for name in (
                    "", "https://", "https://a/", "https://a/x", "https://a b", "a*.b", "*a.b", "**", "a.*", "https://*.*",
                    "https://a:", "https://a:x", "https://a:123456", "*.", ".a", "a.", "https://b\xfc", "a;b", "a,b",
                    "https://user@a", "[::1", "https:a", "://a", "'self'", "a\n",
                )
            ),
        )  # fmt: skip

    def test_disableCORS(self):
        """
        C{disable_cors} is a truth.
        """
        self.assertTakes("disable_cors", (True, True), (False, False))
        self.assertRefuses("disable_cors", "must be true or false", 1, 0, "true", None)

    def test_exposedHeaders(self):
        """
        C{exposed_headers} takes names of headers, in any case, save those that hold secrets.
        """
        self.assertTakes("exposed_headers", ([], ()), (["X-Tenant", "DNT"], ("x-tenant", "dnt")))
        self.assertRefuses("exposed_headers", "must be a list of names", "x-tenant", None, [b"x-tenant"], [None])
        self.assertRefuses(
            "exposed_headers", "which is no name of a header", [""], ["a b"], ["x:"], ["x\r\n"], ["\xe9"]
        )
        for name in ("Authorization", "cookie", "COO\u212aIE", "Proxy-Authorization"):
            self.assertRefuses("exposed_headers", f"must not name {name.lower()!r}", [name], ["dnt", name])

    def test_exposedSecrets(self):
        """
        Headers that hold secrets can be named where origins are restricted, on transports that carry the origin.
        """
        for name in ("authorization", "cookie", "proxy-authorization"):
            for origins in ("same", ["https://a"], len):
                settings = {"origins": origins, "exposed_headers": ["dnt", name]}
                self.assertEqual(Options(**settings).exposed_headers, ("dnt", name))
                self.assertEqual(Options(transports=["websocket"], **settings).exposed_headers, ("dnt", name))
                for risky in ("htmlfile", "jsonp-polling", "iframe"):
                    self.assertRefused(
                        "exposed_headers",
                        f"must not name {name!r} while transports has {risky}, where browsers do not tell the origin",
                        Options,
                        transports=["websocket", risky],
                        **settings,
                    )

    def test_proxyHeader(self):
        """
        C{proxy_header} is the name of a header, in any case, or missing.
        """
        self.assertTakes("proxy_header", (None, None), ("X-Forwarded-For", "x-forwarded-for"))
        self.assertRefuses("proxy_header", "must be the name of a header", "", "a b", "x:", "\xe9", b"x", 5, False)

    def test_trustedProxies(self):
        """
        C{trusted_proxies} is a number of proxies, or a list of networks and C{unix}, or missing.
        """
        self.assertTakes(
            "trusted_proxies",
            (None, None),
            (1, 1),
            (["10.0.0.0/8", "unix"], ("10.0.0.0/8", "unix")),
            (iter(["192.0.2.1", "2001:db8::/32", "::1"]), ("192.0.2.1", "2001:db8::/32", "::1")),
        )
        self.assertRefuses("trusted_proxies", "must be a number of proxies, 1 or more, or a list of networks", 0, -1)
        self.assertRefuses("trusted_proxies", "must be a number of proxies or at least one network", [], ())
        self.assertRefuses(
            "trusted_proxies", "must be a number of proxies or a list", "10.0.0.0/8", b"unix", True, False, 1.0
        )
        self.assertRefuses("trusted_proxies", "must be a list of networks, and", [b"unix"], [1], ["unix", None])
        for wrong in ("", "10.0.0.0/33", "10.0.0", "UNIX", "example.org", "*", "2001:db8::/129"):
            self.assertRefuses("trusted_proxies", f"{wrong!r} does not appear to be", ["unix", wrong])
        self.assertRefuses("trusted_proxies", "10.0.0.1/8 has host bits set; right are '10.0.0.0/8', ", ["10.0.0.1/8"])

    def test_authorize(self):
        """
        C{authorize} is a callable, or missing.
        """
        value = lambda request: True  # noqa: E731
        self.assertTakes("authorize", (None, None), (value, value))
        self.assertRefuses("authorize", "must be a callable, not ", "os.getcwd", True, 5, [value])

    def test_drainClose(self):
        """
        C{drain_code} is a code that an application may close with, C{drain_reason} a text that fits beside it.
        """
        self.assertTakes("drain_code", (1000, 1000), (3000, 3000), (4999, 4999))
        self.assertRefuses(
            "drain_code", "must be 1000, or 3000 to 4999", 0, 999, 1001, 2999, 5000, -1, True, 3000.0, "3000", None
        )
        self.assertTakes("drain_reason", ("", ""), ("\xe9" * 61, "\xe9" * 61), ("x" * 123, "x" * 123), ('a\n"', 'a\n"'))
        self.assertRefuses(
            "drain_reason", "must be a text of at most 123 bytes", "x" * 124, "\xe9" * 62, "\ud800", b"bye", None, 5
        )

    def test_bindSessions(self):
        """
        C{bind_sessions} is either on or off.
        """
        self.assertTakes("bind_sessions", (True, True), (False, False))
        self.assertRefuses("bind_sessions", "must be true or false", 1, 0, "true", None)


class BuildTests(OptionsCase):
    """
    L{Options.build}.
    """

    def test_nothing(self):
        """
        Nothing given means the defaults.
        """
        self.assertEqual(Options.build(), Options())
        self.assertEqual(Options.build(None), Options())
        self.assertEqual(Options.build({}), Options())

    def test_ready(self):
        """
        Ready options are taken as they are, and single settings win over them without changing them.
        """
        options = Options(response_limit=1, heartbeat_delay=2)
        self.assertIs(Options.build(options), options)
        self.assertEqual(Options.build(options, response_limit=3), Options(response_limit=3, heartbeat_delay=2))
        self.assertEqual(options.response_limit, 1)

    def test_dict(self):
        """
        A dict is taken, single settings win over it, and it is left as it was.
        """
        given = {"response_limit": 1, "heartbeat_delay": 2}
        self.assertEqual(Options.build(given, response_limit=3), Options(response_limit=3, heartbeat_delay=2))
        self.assertEqual(given, {"response_limit": 1, "heartbeat_delay": 2})

    def test_else(self):
        """
        Anything else is refused.
        """
        for options in ("heartbeat_delay=5", 5, [("heartbeat_delay", 5)], Options):
            self.assertRefused("options", "must be a dict or an Options", Options.build, options)

    def test_unknown(self):
        """
        A name that does not exist is refused; the error proposes the one that is meant, and lists those that
        exist.
        """
        for settings in ({"heartbeat_dealy": 5}, {"heartbeatDelay": 5}):
            for error in (
                self.assertRaises(ValueError, Options.build, settings),
                self.assertRaises(ValueError, Options.build, None, **settings),
                self.assertRaises(ValueError, Options.build, Options(), **settings),
            ):
                (name,) = settings
                self.assertTrue(
                    str(error).startswith(f"there is no option {name!r} (did you mean 'heartbeat_delay'?); "), error
                )
        error = self.assertRaises(ValueError, Options.build, {7: 5})
        self.assertEqual(str(error), f"there is no option 7; there are {', '.join(BY_NAME)}")

    def test_noWarning(self):
        """
        Today's names are used without any warning.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Options.build({info.name: info.default for info in OPTIONS}, response_limit=5)


class OldNamesTests(OptionsCase):
    """
    What programs written for txsockjs 1.x say.
    """

    def test_renamed(self):
        """
        The old names stand for the new ones, with a warning that names both.
        """
        for old, new, value in (
            ("heartbeat", "heartbeat_delay", 7),
            ("timeout", "disconnect_delay", 8),
            ("streaming_limit", "response_limit", 9),
        ):
            for args, settings in ((({old: value},), {}), ((), {old: value}), ((Options(),), {old: value})):
                options = self.assertDeprecated(
                    [f"the option {old!r} of txsockjs 1.x is deprecated; use {new!r}"], Options.build, *args, **settings
                )
                self.assertEqual(options, Options(**{new: value}))

    def test_newNameWins(self):
        """
        Where both names are given, the new one counts, whatever their order; but single settings win over the
        dict.
        """
        for given in ({"heartbeat": 1, "heartbeat_delay": 2}, {"heartbeat_delay": 2, "heartbeat": 1}):
            options = self.assertDeprecated(["'heartbeat'"], Options.build, given)
            self.assertEqual(options.heartbeat_delay, 2)
        options = self.assertDeprecated(["'heartbeat'"], Options.build, {"heartbeat_delay": 2}, heartbeat=1)
        self.assertEqual(options.heartbeat_delay, 1)

    def test_wrongValue(self):
        """
        A wrong value is refused under the new name.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.assertRefused("heartbeat_delay", "must be a number of seconds", Options.build, {"heartbeat": "x"})

    def test_websocketOff(self):
        """
        C{websocket} false takes both WebSocket transports away from those that are on otherwise.
        """
        text = [
            "the option 'websocket' of txsockjs 1.x is deprecated; name the transports that you want in 'transports'"
        ]
        for off in (False, 0):
            self.assertEqual(self.assertDeprecated(text, Options.build, {"websocket": off}).transports, HTTP_TRANSPORTS)
        chosen = ["websocket", "xhr-polling"]
        for args, settings in (
            (({"websocket": False, "transports": chosen},), {}),
            (({"transports": chosen, "websocket": False},), {}),
            (({"transports": chosen},), {"websocket": False}),
            ((Options(transports=chosen),), {"websocket": False}),
            ((), {"websocket": False, "transports": iter(chosen)}),
        ):
            options = self.assertDeprecated(text, Options.build, *args, **settings)
            self.assertEqual(options.transports, ("xhr-polling",))

    def test_websocketOn(self):
        """
        C{websocket} true changes nothing.
        """
        for on in (True, 1):
            self.assertEqual(self.assertDeprecated(["'websocket'"], Options.build, {"websocket": on}), Options())
            options = self.assertDeprecated(["'websocket'"], Options.build, websocket=on, transports=["eventsource"])
            self.assertEqual(options.transports, ("eventsource",))

    def test_websocketWrong(self):
        """
        Neither a wrong C{websocket} nor wrong C{transports} beside it get through, nor does nothing at all.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for value in ("false", None, 2, []):
                self.assertRefused("websocket", "must be true or false", Options.build, {"websocket": value})
            for value in (None, 5, "xhr-polling", [None]):
                self.assertRefused(
                    "transports", "must be a list of names", Options.build, {"transports": value}, websocket=False
                )
            self.assertRefused("transports", "there are", Options.build, {"transports": ["telnet"]}, websocket=False)
            self.assertRefused(
                "transports", "at least one", Options.build, {"transports": ["websocket"]}, websocket=False
            )

    def test_whole(self):
        """
        The option dict that 1.x documents is understood as a whole.
        """
        options = self.assertDeprecated(
            ["'heartbeat'", "'timeout'", "'streaming_limit'", "'websocket'"],
            Options.build,
            {
                "websocket": True,
                "cookie_needed": False,
                "heartbeat": 25,
                "timeout": 5,
                "streaming_limit": 128 * 1024,
                "encoding": "cp1252",
                "sockjs_url": "https://example.org/sockjs-0.3.js",
                "proxy_header": None,
            },
        )
        self.assertEqual(options, Options(encoding="utf-8+cp1252", sockjs_url="https://example.org/sockjs-0.3.js"))

    def test_whereItWarns(self):
        """
        However deep in txsockjs the options are made, the warning points at the line of the program's own.
        """
        resource = self.assertDeprecated(["'heartbeat'"], SockJSResource, Factory(), {"heartbeat": 3}, reactor=Clock())
        self.assertEqual(resource.options.heartbeat_delay, 3)
        self.assertDeprecated(["'timeout'"], Options.fromStrings, {"timeout": "3"})

    def test_encoding(self):
        """
        Beside a name of txsockjs 1.x, an encoding is what it was there: a fallback for what is no UTF-8.
        """
        for given, kept in (
            ("cp1252", "utf-8+cp1252"),
            ("utf8", "utf-8"),
            ("base64", "base64"),
            ("utf-8+latin-1", "utf-8+iso8859-1"),
        ):
            with self.subTest(given):
                self.assertEqual(Options.build({"heartbeat": 25, "encoding": given}).encoding, kept)
        self.assertEqual(Options.build({"heartbeat_delay": 25, "encoding": "cp1252"}).encoding, "cp1252")
        self.assertRaises(ValueError, Options.build, {"timeout": 5, "encoding": "rot13"})
        self.flushWarnings()


class FromStringsTests(OptionsCase):
    """
    L{Options.fromStrings}: as on a command line, or in an endpoint string.
    """

    def test_each(self):
        """
        Each option is read from text.
        """
        for name, text, value in (
            ("transports", "xhr-polling, websocket,", ("websocket", "xhr-polling")),
            ("origins", "*", "*"),
            ("origins", "same", "same"),
            ("origins", "https://*.a,null, same", ("https://*.a", "null", "same")),
            ("disable_cors", "yes", True),
            ("heartbeat_delay", "0", 0.0),
            ("disconnect_delay", "2.5", 2.5),
            ("response_limit", "4096", 4096),
            ("sockjs_url", "/sockjs.js", "/sockjs.js"),
            ("base_url", "https://b/echo", "https://b/echo"),
            ("process_name", "p1", "p1"),
            ("encoding", "utf8", "utf-8"),
            ("exposed_headers", "X-Tenant,DNT", ("x-tenant", "dnt")),
            ("exposed_headers", "", ()),
            ("max_body_size", "4096", 4096),
            ("max_sessions", "10", 10),
            ("max_session_id_length", "16", 16),
            ("close_timeout", "1e1", 10.0),
            ("proxy_header", "X-Real-IP", "x-real-ip"),
            ("trusted_proxies", "10.0.0.0/8, 2001:db8::/32,unix", ("10.0.0.0/8", "2001:db8::/32", "unix")),
            ("trusted_proxies", "2", 2),
            ("authorize", "os.path.isdir", os.path.isdir),
            ("authorize_timeout", "2.5", 2.5),
            ("max_message_size", "4096", 4096),
            ("max_sessions_per_host", "0", 0),
            ("max_sessions_per_host", "10", 10),
            ("ping_interval", "0", 0.0),
            ("pong_timeout", "7", 7.0),
            ("request_timeout", "7.5", 7.5),
            ("drain_timeout", "0", 0.0),
            ("drain_notice", "3", 3.0),
            ("drain_code", "4001", 4001),
            ("drain_reason", "Back soon, in a minute", "Back soon, in a minute"),
            ("drain_reason", "", ""),
            ("bind_sessions", "true", True),
            *(("cookie_needed", text, True) for text in ("true", "True", "yes", "on", "1", " TRUE ")),
            *(("cookie_needed", text, False) for text in ("false", "False", "no", "off", "0")),
        ):
            self.assertEqual(Options.fromStrings({name: text}), Options(**{name: value}))

    def test_allTested(self):
        """
        The default of each option, as text, is read as the default; where there is none, the text is refused.
        """
        for info in OPTIONS:
            if info.name == "transports":
                self.assertEqual(Options.fromStrings({info.name: info.defaultText}), Options())
            elif info.default is None:
                self.assertEqual(info.defaultText, "")
                self.assertRefused(info.name, "must be", Options.fromStrings, {info.name: ""})
            else:
                self.assertEqual(Options.fromStrings({info.name: info.defaultText}), Options())

    def test_wrong(self):
        """
        Text that can't be read is refused: the error names the option and says what would be right.
        """
        for name, right, texts in (
            ("transports", "at least one of", ["", " , "]),
            ("transports", "there are", ["websocket xhr-polling"]),
            ("origins", "at least one origin", ["", ","]),
            ("origins", "which is no origin", ["https://a https://b", "https://a/,same"]),
            ("origins", "which allows every origin", ["*,https://a"]),
            ("disable_cors", "must be true or false", ["", "maybe"]),
            ("heartbeat_delay", "must be a number", ["", "x", "5s", "nan", "inf", "-1"]),
            ("disconnect_delay", "must be a number", ["", "x", "0"]),
            ("response_limit", "must be a whole number", ["", "x", "1.5", "4k", "0"]),
            ("cookie_needed", "must be true or false", ["", "maybe", "2"]),
            ("sockjs_url", "must be a URL", ["", "a b"]),
            ("encoding", "text codec", ["", "hex"]),
            ("exposed_headers", "must not name", ["cookie"]),
            ("close_timeout", "must be a number", ["never"]),
            ("proxy_header", "must be the name of a header", ["", "x y"]),
            ("trusted_proxies", "must be a number of proxies or at least one network", ["", " , "]),
            ("trusted_proxies", "must be a number of proxies, 1 or more", ["0", "00"]),
            ("trusted_proxies", "right are '10.0.0.0/8', '192.0.2.1', '2001:db8::/32' or 'unix'", ["-1", "1.5", "all"]),
            ("authorize", "must be the dotted name of a callable", ["", "nowhere", "os.nothing", "os..path", "5"]),
            ("authorize", "must be a callable, not ", ["os.path", "os.sep"]),
            ("authorize_timeout", "must be a number", ["", "0", "inf"]),
            ("max_message_size", "must be a whole number", ["", "0", "128k"]),
            ("max_sessions_per_host", "must be a whole number", ["", "-1", "x"]),
            ("ping_interval", "must be a number", ["", "-1", "nan"]),
            ("pong_timeout", "must be a number", ["", "0", "x"]),
            ("request_timeout", "must be a number", ["", "0", "x"]),
            ("drain_timeout", "must be a number", ["", "-1", "inf"]),
            ("drain_notice", "must be a number", ["", "-1", "inf"]),
            ("drain_code", "must be 1000, or 3000 to 4999", ["1001", "5000", "0"]),
            ("drain_code", "must be a whole number", ["", "3e3"]),
            ("drain_reason", "must be a text of at most 123 bytes", ["x" * 124]),
            ("bind_sessions", "must be true or false", ["", "maybe"]),
        ):
            for text in texts:
                self.assertRefused(name, right, Options.fromStrings, {name: text})

    def test_unknown(self):
        """
        A name that does not exist is refused.
        """
        error = self.assertRaises(ValueError, Options.fromStrings, {"heartbeat_dellay": "5"})
        self.assertIn("(did you mean 'heartbeat_delay'?)", str(error))

    def test_old(self):
        """
        The names of 1.x are understood, with a warning.
        """
        options = self.assertDeprecated(
            ["'heartbeat'", "'timeout'", "'streaming_limit'", "'websocket'"],
            Options.fromStrings,
            {"websocket": "False", "timeout": "7", "heartbeat": "6", "streaming_limit": "5", "encoding": "utf8"},
        )
        self.assertEqual(
            options, Options(transports=HTTP_TRANSPORTS, disconnect_delay=7, heartbeat_delay=6, response_limit=5)
        )

    def test_oldWrong(self):
        """
        Their values are checked as well.
        """
        self.assertRefused("websocket", "must be true or false", Options.fromStrings, {"websocket": "maybe"})
        self.assertRefused("response_limit", "must be a whole number", Options.fromStrings, {"streaming_limit": "x"})


class OptionInfoTests(OptionsCase):
    """
    L{OptionInfo}: what is derived from the options.
    """

    def test_flags(self):
        """
        The options that are off by default and need no value are known.
        """
        self.assertEqual(
            [info.name for info in OPTIONS if info.isFlag], ["disable_cors", "cookie_needed", "bind_sessions"]
        )

    def test_defaultText(self):
        """
        Defaults are shown as a user would write them.
        """
        texts = {info.name: info.defaultText for info in OPTIONS}
        self.assertEqual(texts["transports"], ",".join(TRANSPORTS))
        self.assertEqual(texts["heartbeat_delay"], "25")
        self.assertEqual(texts["response_limit"], "131072")
        self.assertEqual(texts["cookie_needed"], "false")
        self.assertEqual(texts["base_url"], "")
        self.assertEqual(texts["encoding"], "utf-8")
        half = OptionInfo("half", 0.5, "seconds", "", float, float)
        self.assertEqual(half.defaultText, "0.5")

    def test_checked(self):
        """
        A single value is checked as in L{Options}, from Python or from text.
        """
        info = BY_NAME["response_limit"]
        self.assertEqual((info.checked(5), info.parsed("5")), (5, 5))
        self.assertRefused("response_limit", "must be a whole number", info.checked, "5")
        self.assertRefused("response_limit", "must be a whole number", info.parsed, "0")
        self.assertRefused("response_limit", "must be a whole number, not 'x'", info.parsed, "x")
