"""Traces: clients read the family of a run, as a tree, in pages, or one span of it.

Source: wire contract §4.4.
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

from oncue.api import access, named_runs, query_values
from oncue.api.calls import Answer, Call
from oncue.api.routing import Route
from oncue.engine import tracing
from oncue.protocol import ids
from oncue.protocol.errors import BadRequest, NotFound
from oncue.protocol.traces import FlatSpan, Span, SpanDetail, Trace, TracePages, TraceView

_SIZE: Final = "page[size]"
_AFTER: Final = "page[after]"
_LARGEST_PAGE: Final = 10_000


@named_runs.by_any_name
async def read(call: Call, _: None) -> Answer:
    """Show the family of a run: whole, or a page of it where one is asked for."""
    query = call.query
    size = query_values.number(query, _SIZE, default=_LARGEST_PAGE, largest=_LARGEST_PAGE)
    trace = await _trace(call)
    return Answer(_page(trace, query.get(_AFTER), size) if _SIZE in query else TraceView(trace=trace))


@named_runs.by_any_name
async def span(call: Call, _: None) -> Answer:
    """Show one span."""
    wanted = call.parameters["span"]
    found = next((each for each in _flat((await _trace(call)).root_span) if each.id == wanted), None)
    if found is None:
        raise NotFound(f"no span {wanted[:60]!r} in the trace of this run")
    return Answer(
        SpanDetail(
            span_id=found.id,
            parent_id=found.parent_id,
            run_id=found.run_id,
            message=found.data.message,
            is_error=found.data.is_error,
            is_partial=found.data.is_partial,
            is_cancelled=found.data.is_cancelled,
            level=found.data.level,
            start_time=found.data.start_time,
            duration_ms=found.data.duration,
            properties=found.data.properties,
        )
    )


async def _trace(call: Call) -> Trace:
    """Return the family of a run; to who may read some runs only, the run and what it has led to."""
    run, whole = call.id_of(ids.RUN, "run"), access.may_read_any_run(call)
    return await call.services.read(lambda tx: tracing.read(tx, call.environment, run, whole=whole))


def _page(trace: Trace, after: str | None, size: int) -> TraceView:
    spans = list(_flat(trace.root_span))
    first = 0
    if after:
        first = next((at for at, each in enumerate(spans, 1) if each.id == after), 0)
        if not first:
            raise BadRequest(f"{_AFTER}: found {after[:60]!r}; expected next of the page before")
    page = spans[first : first + size]
    more = first + size < len(spans)
    pages = TracePages(page[-1].id if more else None, trace.truncated and not more)
    return TraceView(data=[_shown(each) for each in page], attempt_failures=[], pagination=pages)


def _flat(top: Span) -> Iterator[Span]:
    """Yield a span and those below it, each before its own."""
    left = [top]
    while left:
        each = left.pop()
        yield each
        left.extend(reversed(each.children))


def _shown(each: Span) -> FlatSpan:
    return FlatSpan(
        id=each.id,
        parent_id=each.parent_id,
        run_id=each.run_id,
        message=each.data.message,
        start_time=each.data.start_time,
        duration=each.data.duration,
        is_error=each.data.is_error,
        is_partial=each.data.is_partial,
        is_cancelled=each.data.is_cancelled,
        level=each.data.level,
    )


_PATH: Final = "/api/v1/runs/{run}/trace"

ROUTES = (
    Route(
        method="GET",
        path=_PATH,
        handle=read,
        summary="Show the family that a run belongs to as a tree of spans, or in pages, with what they have logged",
        answer=TraceView,
        needs=access.run_reading,
        errors=(HTTPStatus.NOT_FOUND,),
        query=(_SIZE, _AFTER),
    ),
    Route(
        method="GET",
        path="/api/v1/runs/{run}/spans/{span}",
        handle=span,
        summary="Show a span of a trace",
        answer=SpanDetail,
        needs=access.run_reading,
        errors=(HTTPStatus.NOT_FOUND,),
    ),
)
