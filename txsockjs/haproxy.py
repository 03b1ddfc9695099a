# -*- test-case-name: tests.test_haproxy -*-
# ruff: noqa: E501, the text of the configuration is as wide as it is
"""
The configuration of HAProxy that goes with a command line of C{twistd sockjs}. The one in C{examples/deploy} is what
comes of the command that is named there.
"""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from string import Template
from urllib.parse import urlsplit

from txsockjs.options import Options
from txsockjs.ports import MOST_PORT, Place, placeOf

__all__ = ["configuration"]

_TEXT = r"""$head#
# Edit what is marked EDIT, then:
#
#     haproxy -c -f /etc/haproxy/haproxy.cfg && systemctl reload haproxy
#
# How it works:
#
$sticking# - New sessions go to the process with the fewest connections.
# - A process that is told to stop answers /health with 503, and is given no new sessions. It still gets the requests of
#   those that it has, until they have ended (option persist).
# - The requests of a process that has died go to another one (option redispatch), which does not know their sessions:
#   clients see that, and connect again.

global
    log /dev/log local0
    user haproxy
    group haproxy
$chroot    stats socket /run/haproxy/admin.sock mode 660 level admin expose-fd listeners
    # Each session is one connection of a client, two while it sends, and as many to the processes.
    maxconn 8000
    # The name of this HAProxy among its peers, see there.
    localpeer balancer
    # After a reload the old HAProxy keeps its open connections for as long as this.
    hard-stop-after ${old}m
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets

defaults
    mode http
    log global
    option httplog
    # Sessions that poll make many requests; log what goes wrong.
    option dontlog-normal
    option dontlognull
    # Pass on what comes as it comes: frames are small, and each is waited for.
    option http-no-delay
    # A client that goes away while it waits for an answer is gone; the process shall know at once.
    option abortonclose
    timeout connect 2s
    # How long it takes a client to send the head of a request, and how long it may keep a connection without one.
    timeout http-request 30s
    timeout http-keep-alive 60s
    timeout queue 10s
$silence    # For clients that vanish while a connection is being closed.
    timeout client-fin 10s
    timeout server-fin 10s

# By a reload the new HAProxy gets the stick table from the old one, over this address. Nothing else uses it. Where there
# are two HAProxys, name both on both, by addresses that they can reach; localpeer says which of them one is.
peers balancers
    peer balancer 127.0.0.1:10000

# Whatever comes without TLS is told to come again with it.
frontend plain
    bind :80
    http-request redirect scheme https code 301

frontend public
    # EDIT: the certificate with its key, in one file. WebSockets come by HTTP/1.1 and by HTTP/2, as browsers like.
    bind :443 ssl crt /etc/haproxy/sockjs.pem alpn h2,http/1.1
    # For this machine alone, without TLS: to try it by hand.
    bind 127.0.0.1:8080
$forwarding    http-request set-header X-Forwarded-Proto https if { ssl_fc }
    default_backend sockjs

backend sockjs
    balance leastconn
$prefix
    # -- sessions stay where they are ------------------------------------------------------------------------------------
$stickiness
    # -- processes come and go -------------------------------------------------------------------------------------------
    # A session stays with its process while that is DOWN by its health, as it is while it stops ...
    option persist
    # ... and leaves it when it does not answer at all.
    option redispatch 1
    retries 3
    # A process that is about to stop, or is full, answers 503 to whatever would open a session: another one may have
    # room. So it may when a connection is closed without an answer, as in the moment in which a process ends. This is not
    # for requests of a session that there is: no other process knows it. To a send 503 means that too much waits for the
    # application, and no answer means that it may have been taken.
    retry-on conn-failure empty-response 503
    option httpchk
    http-check send meth GET uri /health ver HTTP/1.1 hdr Host localhost
    http-check expect status 200
    default-server check inter 1s fall 2 rise 1

    # EDIT: the processes, by the names that they have themselves.
$servers
# ---------------------------------------------------------------------------------------------------------------------
# By hand: $first gets no new sessions, but keeps those that it has; later it gets new ones again. Its clients notice nothing.
#
#     echo "set server sockjs/$first state drain" | socat stdio /run/haproxy/admin.sock
#     echo "set server sockjs/$first state ready" | socat stdio /run/haproxy/admin.sock
#     echo "show servers state sockjs" | socat stdio /run/haproxy/admin.sock
#     echo "show table sockjs" | socat stdio /run/haproxy/admin.sock
"""

_BY_TABLE_BRIEFLY = r"""# - A session that is not a WebSocket is many requests, which have to reach the process that has the session. A stick
#   table remembers which one that is, by the session id in the URL. A WebSocket is one connection, and needs nothing.
"""

_BY_TABLE = r"""    # /<service>/<server>/<session>/<transport>: the last part but one names the session.
    acl receives path_reg /[^/.]+/[^/.]+/(xhr|xhr_streaming|eventsource|htmlfile|jsonp)$$
    acl sends path_reg /[^/.]+/[^/.]+/(xhr_send|jsonp_send)$$
    # An entry of the table is about 200 bytes; there has to be room for every session that is not a WebSocket. One is
    # kept while a request of its session is open (track-sc0), and for this long after. More than twice disconnect_delay,
    # which is $disconnect seconds, would do, but what an old HAProxy still has open after a reload does not count: so it is as long
    # as that may stay (hard-stop-after). Of longer ids the first 64 bytes decide.
    stick-table type string len 64 size 500k expire ${expire}m peers balancers
    # See below; by what follows here, the table has the session.
    http-request disable-l7-retry if sends
    http-request disable-l7-retry if receives { path,field(-2,/),in_table(sockjs) -m bool }
    http-request track-sc0 path,field(-2,/) if receives
    stick on path,field(-2,/) if receives or sends
    # The table of an old HAProxy is empty once the new one has it. So nothing may come by a connection on which a response
    # lasts beyond a reload, once that ends; other responses say so themselves.
    http-request set-var(txn.streams) bool(true) if { path_end /xhr_streaming /eventsource /htmlfile }
    http-response set-header Connection close if { var(txn.streams) -m bool }
"""

_BY_COOKIE_BRIEFLY = r"""# - A session that is not a WebSocket is many requests, which have to reach the process that has the session. The cookie
#   JSESSIONID, which the processes set, begins with the name of the one that a client was sent to.
"""

_BY_COOKIE = r"""    # /<service>/<server>/<session>/<transport>: what brings messages from clients.
    acl sends path_reg /[^/.]+/[^/.]+/(xhr_send|jsonp_send)$$
    # See below.
    http-request disable-l7-retry if sends
"""

_CHROOT = "    chroot /var/lib/haproxy\n"

_NO_CHROOT = "    # No chroot: from inside of it HAProxy would not find the sockets of the processes.\n"

_SPECIAL = re.compile(r"""[\s"'#\\]""")
"""What stands for something else in a word of HAProxy's."""

_PASSWORD = re.compile(r"(?<=://)([^:/?]*):[^/?]*(?=@)")
"""In the URL of a bus. Configurations are copied, and kept where others can read them."""

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

_OLD = 30
"""Minutes for which an HAProxy stays after a reload, for what it has open."""

_DAY = 24 * 60 * 60

_MOST_DAYS = 24
"""It counts 2^31 milliseconds, which is little more."""

_LONGEST_PATH = 97
"""Bytes of the path of a socket that it takes."""

_WIDTH = 96
"""Columns of the command at the beginning."""

_ANY = {None: "127.0.0.1", "": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where to reach what listens everywhere."""


def configuration(
    given: Iterable[tuple[str, str]], ports: Mapping[str, Sequence[str]], options: Options, directory: str
) -> str:
    """
    @param given: the flags that were given, each with its value, which is empty where it takes none.

    @param ports: the descriptions of the endpoints of each process, by its name. HAProxy uses the first.

    @param options: the settings of the services.

    @param directory: where the processes begin, for sockets that have a relative path.

    @return: the text of the configuration.

    @raise ValueError: when HAProxy can't reach what is described; it begins with the description.
    """
    addresses = {name: _addressOf(own[0], directory) for name, own in ports.items()}
    place = placeOf(next(iter(ports.values()))[0])
    byCookie = bool(options.cookie_needed)
    expiry = min(max(_OLD, math.ceil(options.disconnect_delay / 20)), _MOST_DAYS * _DAY // 60)
    return Template(_TEXT).substitute(
        chroot=_CHROOT if place.path is None else _NO_CHROOT,
        head=_head(given, list(addresses.values())),
        sticking=_BY_COOKIE_BRIEFLY if byCookie else _BY_TABLE_BRIEFLY,
        silence=_silence(options),
        prefix=_prefix(options, addresses),
        forwarding=_forwarding(options, place),
        old=_OLD,
        stickiness=Template(_BY_COOKIE if byCookie else _BY_TABLE).substitute(
            expire=expiry, disconnect=f"{options.disconnect_delay:g}"
        ),
        servers=_servers(addresses, place, byCookie),
        first=next(iter(addresses)),
    )


def _addressOf(description: str, directory: str) -> str:
    """
    @return: where HAProxy finds what listens there.
    """
    place = placeOf(description)
    if place.path:
        path = os.path.join(directory, place.path)
        if not path.isprintable() or "$" in path:  # in an address it stands for a variable, and nothing escapes it
            raise ValueError(f"{description}: a path with such characters can't stand in HAProxy's configuration")
        if len(os.fsencode(path)) > _LONGEST_PATH:
            raise ValueError(f"{description}: for HAProxy a path may have at most {_LONGEST_PATH} bytes")
        return f"unix@{path}"
    if place.port is None:
        raise ValueError(
            f"{description}: there is neither a port number nor a path in it by which HAProxy could connect"
        )
    if place.port == 0:
        raise ValueError(f"{description}: HAProxy has to know the port before the processes are there")
    if place.port > MOST_PORT:
        raise ValueError(f"{description}: ports end at {MOST_PORT}")
    if place.wrapped and place.kind == "ssl":
        raise ValueError(
            f"{description}: HAProxy sends the PROXY header before TLS begins, and this endpoint wants it inside; take "
            "haproxy:tcp:, or ssl: with --trusted-proxies"
        )
    host = _ANY.get(place.interface, place.interface)
    if place.kind == "tcp6" and place.interface is None:
        host = "::1"
    return f"[{host}]:{place.port}" if host is not None and ":" in host else f"{host}:{place.port}"


def _head(given: Iterable[tuple[str, str]], addresses: Sequence[str]) -> str:
    """
    @return: what this is for.
    """
    count = len(addresses)
    number = _WORDS[count] if count < len(_WORDS) else str(count)
    places = [address.removeprefix("unix@") for address in addresses]
    which = f"the {number} processes of this command, which serve" if count > 1 else "this command, which serves"
    where = places[0]
    if count > 1:
        host, _, port = places[0].rpartition(":")
        last = places[-1].removeprefix(f"{host}:") if port.isdigit() else places[-1]
        where = f"{where} to {last}"
    lines = ["#     twistd -n sockjs"]
    for name, value in given:
        if name == "--print-haproxy-config":
            continue
        shown = _PASSWORD.sub(r"\1:...", value) if name == "--bus" else value
        words = f"{name} {_quoted(shown)}" if value else name
        if len(lines[-1]) + len(words) + 3 > _WIDTH and not lines[-1].endswith("    "):
            lines[-1] += " \\"
            lines.append(f"#         {words}")
        else:
            lines[-1] += f" {words}"
    return "\n".join([f"# HAProxy (2.6 or newer) in front of {which} at {where}:", "#", *lines, ""])


def _quoted(value: str) -> str:
    """
    @return: a word for a shell, on one line whatever there is in it.
    """
    if value.isprintable():
        return shlex.quote(value)
    return "$'" + "".join(c if c.isprintable() and c not in "'\\" else f"\\U{ord(c):08x}" for c in value) + "'"


def _silence(options: Options) -> str:
    """
    @return: how long a connection may be silent.
    """
    heartbeat, ping = options.heartbeat_delay, options.ping_interval
    if heartbeat and ping:
        each = f"{heartbeat:g} seconds" if heartbeat == ping else f"{heartbeat:g} and {ping:g} seconds"
        why = f"Nothing is silent for longer than heartbeat_delay and ping_interval, which are {each}. Twice that, and some."
        seconds = 2 * max(heartbeat, ping)
        if options.authorize is not None and options.authorize_timeout > seconds:
            seconds = options.authorize_timeout
            why += f" A request waits for authorize up to {seconds:g} seconds."
        limit = f"{math.ceil(seconds) + 10}s" if seconds + 10 < _MOST_DAYS * _DAY else f"{_MOST_DAYS}d"
    else:
        why = "Without heartbeats or pings a connection may be silent for as long as nobody says anything."
        limit = "1d"
    return "".join([f"    # {why}\n", *(f"    timeout {what} {limit}\n" for what in ("client", "server", "tunnel"))])


def _forwarding(options: Options, place: Place) -> str:
    """
    @return: how processes learn who the client is.
    """
    if place.wrapped:
        return "    # The processes learn the client's address by the PROXY protocol, see the servers.\n"
    trusted = options.trusted_proxies
    if isinstance(trusted, tuple):
        why = f"The processes believe this header, since they trust {','.join(trusted)}."
    elif trusted or options.proxy_header:
        why = "The processes believe this header."
    else:
        why = "The processes believe this header only with --trusted-proxies."
    return f"    # {why} What a client has sent of it stays left of ours.\n    option forwardfor\n"


def _prefix(options: Options, names: Iterable[str]) -> str:
    """
    @return: how to get from a URL to which C{base_url} leads to one that the processes know.
    """
    url = options.base_url if isinstance(options.base_url, str) else ""
    path = urlsplit(url).path
    before, found, _ = path.partition("{service}")
    if not found:
        start, _, rest = path.rpartition("{process}")
        before = f"{start}{{process}}{rest.partition('/')[0]}/" if start else ""
    if not before.endswith("/") or before == "/":
        return ""
    parts = [re.escape(part.replace("{{", "{").replace("}}", "}")) for part in before[:-1].split("{process}")]
    pattern = f"^{('(' + '|'.join(names) + ')').join(parts)}(/.*)"
    rule = " ".join(_SPECIAL.sub(_escaped, word) for word in (pattern, f"\\{len(parts)}"))
    return f"    # Clients come by base_url, and the processes know only what comes after this.\n    http-request replace-path {rule}\n"


def _servers(addresses: Mapping[str, str], place: Place, byCookie: bool) -> str:
    """
    @return: the lines of the processes.
    """
    more = " send-proxy-v2" if place.wrapped else ""
    before = ""
    if place.kind == "ssl":
        more += " ssl verify none"
        before = "    # EDIT: with ca-file and verify required, HAProxy looks at the certificates of the processes.\n"
    lines = []
    for name, address in addresses.items():
        if byCookie:
            lines.append(f"    use-server {name} if {{ req.cook(JSESSIONID) -m beg {name}. }}\n")
        lines.append(f"    server {name} {_SPECIAL.sub(_escaped, address)}{more}\n")
    return before + "".join(lines)


def _escaped(match: re.Match[str]) -> str:
    return "\\" + match[0]
