"""
The directives C{txsockjs-options}, every option of a service, and C{txsockjs-client-options}, every option of the
client, and the role C{limit}, the name, default and unit of one of a service, so that no table goes stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from docutils import nodes
from docutils.nodes import Node
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from txsockjs.client.options import CLIENT_OPTIONS
from txsockjs.options import OPTIONS, OptionInfo


def literal(text: str) -> str:
    """
    @return: reStructuredText that shows C{text} as it is typed.
    """
    return f"``{text}``" if text else "not set"


def default(option: OptionInfo) -> str:
    """
    @return: the default; lists with a space after each comma, so that lines can be broken there.
    """
    return ", ".join(map(literal, option.defaultText.split(",")))


def lines(options: Iterable[OptionInfo]) -> Iterator[str]:
    """
    @return: the options as a definition list in reStructuredText.
    """
    for option in options:
        yield f"``{option.name}``"
        yield f"    {option.help[:1].upper()}{option.help[1:]}."
        yield ""
        yield f"    *{option.unit}*; default: {default(option)}"
        yield ""


class OptionsDirective(SphinxDirective):
    """
    Stands for the list of all options.
    """

    options = OPTIONS
    source = "txsockjs.options"

    def run(self) -> list[Node]:
        self.content = StringList(list(lines(self.options)), source=self.source)
        return self.parse_content_to_nodes()


class ClientOptionsDirective(OptionsDirective):
    """
    The same for the client.
    """

    options = CLIENT_OPTIONS
    source = "txsockjs.client.options"


class LimitRole(SphinxRole):
    """
    Stands for an option that is a limit.
    """

    def run(self) -> tuple[list[Node], list[nodes.system_message]]:
        option = next((option for option in OPTIONS if option.name == self.text), None)
        if option is None:
            return [], [self.inliner.reporter.error(f"there is no option {self.text!r}", line=self.lineno)]
        return [nodes.literal(text=option.name), nodes.Text(f" {option.defaultText} {option.unit}")], []


def setup(app: Sphinx) -> dict[str, bool]:
    """
    Called by Sphinx.
    """
    app.add_directive("txsockjs-options", OptionsDirective)
    app.add_directive("txsockjs-client-options", ClientOptionsDirective)
    app.add_role("limit", LimitRole())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
