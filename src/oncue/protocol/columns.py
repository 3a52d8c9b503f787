"""Columns: what a subscription shows of a run, as far as it can be left out.

Official clients fail without the others: id, status, task and the moments of creation and last change. Source: wire
contract §6.3.
"""

from typing import Final

OPTIONAL: Final = (
    "startedAt",
    "delayUntil",
    "queuedAt",
    "expiredAt",
    "completedAt",
    "number",
    "usageDurationMs",
    "costInCents",
    "baseCostInCents",
    "isTest",
    "ttl",
    "payload",
    "payloadType",
    "metadata",
    "metadataType",
    "output",
    "outputType",
    "runTags",
    "realtimeStreams",
    "error",
    "idempotencyKey",
    "leftOut",
)
