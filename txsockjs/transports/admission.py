# -*- test-case-name: tests.test_admission -*-
"""
Before a session is opened: whether there is room for it, and whether the application lets its client in.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import FORBIDDEN, INTERNAL_SERVER_ERROR, SERVICE_UNAVAILABLE
from twisted.web.server import NOT_DONE_YET, Request

from txsockjs.service import Refusal, Service
from txsockjs.stats import RefusalCause
from txsockjs.transports.answers import Answer, finishWith, plainText

__all__ = ["admit", "refuse"]

_RETRY_AFTER = 5

_FAILED = Refusal(INTERNAL_SERVER_ERROR, RefusalCause.AUTHORIZE_FAILED, "This can't be decided\n")
_TOO_LATE = Refusal(SERVICE_UNAVAILABLE, RefusalCause.AUTHORIZE_LATE, "It took too long to decide this\n")
_REFUSED = Refusal(FORBIDDEN, RefusalCause.UNAUTHORIZED, "You may not use this service\n")

_log = Logger()


def admit(service: Service, request: Request, begin: Callable[[], Answer]) -> Answer:
    """
    Answer a request that would open a session.

    @param begin: opens the session, or joins it if another request was faster; called when the client may come in.

    @return: what C{begin} returned, or the body of a refusal, or C{NOT_DONE_YET}.
    """
    refusal = service.refusal(request)
    if refusal is not None:
        return refuse(service, request, refusal)
    if service.options.authorize is None:
        return begin()
    verdict = service.authorize(request)
    if verdict.called and not isinstance(verdict.result, Deferred):
        answers: list[Answer] = []
        verdict.addBoth(lambda result: answers.append(_decide(service, request, result, begin)))
        if answers:
            return answers[0]
    _Wait(service, request, verdict, begin)
    return NOT_DONE_YET


class _Wait:
    """
    A request that waits for the application to decide.
    """

    def __init__(
        self, service: Service, request: Request, verdict: Deferred[object], begin: Callable[[], Answer]
    ) -> None:
        self._service = service
        self._request = request
        self._verdict = verdict
        self._begin = begin
        self._gone = self._late = False
        self._deadline: IDelayedCall = service.clock.callLater(service.options.authorize_timeout, self._giveUp)
        request.notifyFinish().addErrback(self._lost)
        verdict.addBoth(self._decided)

    def _lost(self, reason: Failure) -> None:
        self._gone = True
        self._verdict.cancel()

    def _giveUp(self) -> None:
        self._late = True
        self._verdict.cancel()

    def _decided(self, result: object) -> None:
        if self._deadline.active():
            self._deadline.cancel()
        if self._gone:
            return
        if self._late:
            answer: Answer = refuse(self._service, self._request, _TOO_LATE)
        else:
            # While it was asked, the last place may have been taken.
            refusal = self._service.refusal(self._request)
            if refusal is not None:
                answer = refuse(self._service, self._request, refusal)
            else:
                answer = _decide(self._service, self._request, result, self._begin)
        if isinstance(answer, bytes):
            finishWith(self._request, answer)


def _decide(service: Service, request: Request, result: object, begin: Callable[[], Answer]) -> Answer:
    if result is None or result is True:
        return begin()
    if result is False:
        return refuse(service, request, _REFUSED)
    if not isinstance(result, Failure):
        try:
            raise TypeError(f"it has to return True, None or False, or a Deferred of these, not {result!r}")
        except TypeError:
            result = Failure()
    if not result.check(CancelledError):
        _log.failure("the callable of the option authorize failed", result)
    return refuse(service, request, _FAILED)


def refuse(service: Service, request: Request, refusal: Refusal) -> bytes:
    """
    Answer a request that is refused, and count it.

    @return: the body.
    """
    service.registry.stats.refused[refusal.cause] += 1
    if refusal.passes:
        request.setHeader(b"retry-after", b"%d" % _RETRY_AFTER)
    return plainText(request, refusal.status, refusal.text)
