# -*- test-case-name: tests.test_mounting,tests.test_factory -*-
"""
Hanging resources into a tree by their paths.
"""

from __future__ import annotations

from typing import Any

from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from txsockjs.transports.answers import Answer, NotFound

__all__ = ["Way", "mount", "segmentsOf"]


class Way(Resource):
    """
    A place where nothing is mounted, on the way to something that is.
    """

    def render(self, request: Request) -> Answer:
        """
        @return: that it is not found.
        """
        return NotFound().render(request)


def mount(root: IResource, prefix: str | bytes, resource: IResource) -> IResource:
    """
    Hang a resource into a tree.

    @param root: the resource of C{/}.

    @param prefix: the path, such as C{echo}, C{/echo}, C{/a/b} or C{/}; what is missing on the way is made.

    @return: the resource of C{/}, which is C{resource} itself if it was mounted there.

    @raise ValueError: when the path is taken.
    """
    parent: Any = None
    place: Any = root
    for segment in segmentsOf(prefix):
        parent, place = place, place.children.get(segment)
        if place is None:
            place = Way()
            parent.putChild(segment, place)
    if not isinstance(place, Way):
        path = b"/".join(segmentsOf(prefix)).decode("utf-8", "replace")
        raise ValueError(f"there is something else at /{path}")
    for name, child in place.children.items():
        resource.putChild(name, child)
    if parent is None:
        return resource
    parent.putChild(segment, resource)
    return root


def segmentsOf(prefix: str | bytes) -> tuple[bytes, ...]:
    """
    @param prefix: a path; slashes at both ends make no difference.

    @return: what is between its slashes; nothing for C{/}.
    """
    path = (prefix.encode("utf-8") if isinstance(prefix, str) else prefix).strip(b"/")
    return tuple(path.split(b"/")) if path else ()
