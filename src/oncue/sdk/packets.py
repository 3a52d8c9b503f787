"""Packets: payloads and outputs that are too large to travel with a call, on their way to the object store and back.

What is small goes as it is, at no cost. What is large is stored first, at an address that the server gives, and the
call names it; whoever gets such a name fetches what it stands for.

Life of a run, this module's part::

    sdk/triggering -> packets.lightened -> object store; requests.trigger
    ChildSucceeded, Run -> packets.opened, fetched -> value
"""

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from oncue.protocol import codec, packets
from oncue.protocol.errors import BadRequest, ConnectionFailed, ServerError
from oncue.protocol.packets import Kind
from oncue.protocol.triggers import BatchItem, TriggerRequest
from oncue.protocol.work import ChildResult, ChildSucceeded
from oncue.sdk import flows, requests, settings
from oncue.sdk.answers import Answer
from oncue.sdk.flows import Flow, Together
from oncue.sdk.requests import HttpRequest

Asked = TypeVar("Asked", TriggerRequest, BatchItem)

PATIENCE_S: Final = 300.0
"""How long a parent waits for a store that is away."""


def is_large(document: msgspec.Raw) -> bool:
    """Whether a document goes to the object store.

    Raises:
        SettingsError: The variable that says from which size on makes no sense.
    """
    return len(document) > settings.offload_bytes()


def stored(document: msgspec.Raw, type_: str, kind: Kind, name: str | None = None) -> Flow[str]:
    """Store a document, and return its path.

    Args:
        document: JSON text.
        type_: Of the document.
        kind: Of what the server's limit is to be asked.
        name: What it is called; None: by its content.

    Raises:
        PayloadTooLarge: It is larger than the server takes; names both sizes.
        ApiError: It could not be stored.
    """
    content = bytes(document)
    named = name or packets.name(content, type_)
    address = yield from flows.exchange(requests.packet_upload(named, len(content), kind))
    put = HttpRequest("PUT", address.presigned_url, {"Content-Type": type_}, content)
    article = "an" if kind == "output" else "a"
    yield from flows.transfer(put, f"{article} {kind} of {len(content):,} bytes was being stored")
    return address.storage_path


def lightened(asked: Asked) -> Flow[Asked]:
    """Store the payload of a call where it is large, and return the call that names it; errors as for ``stored``."""
    if not is_large(asked.payload):
        return asked
    path = yield from stored(asked.payload, asked.options.payload_type or codec.JSON, "payload")
    size = len(asked.payload)
    options = msgspec.structs.replace(asked.options, payload_type=codec.STORE, payload_size=size)
    return msgspec.structs.replace(asked, payload=packets.reference(path), options=options)


def all_lightened(items: Sequence[BatchItem]) -> Flow[Sequence[BatchItem]]:
    """Store the payloads of the large items, several at once, and return the items that name them."""
    threshold = settings.offload_bytes()
    places = [place for place, item in enumerate(items) if len(item.payload) > threshold]
    if not places:
        return items
    light: list[BatchItem] = yield Together([lightened(items[place]) for place in places])
    made = list(items)
    for place, item in zip(places, light, strict=True):
        made[place] = item
    return made


def fetched(reference_: msgspec.Raw) -> Flow[tuple[msgspec.Raw, str]]:
    """Fetch the document that a reference stands for, and return it with its type.

    Raises:
        ApiError: It could not be fetched.
    """
    path = packets.path_of(reference_)
    address = yield from flows.exchange(requests.packet_download(path))
    return (yield from fetched_from(address.presigned_url))


def fetched_from(address: str) -> Flow[tuple[msgspec.Raw, str]]:
    """Fetch a document from an address that the server gave; as for ``fetched``."""
    answer: Answer = yield from flows.transfer(HttpRequest("GET", address, {}, None), "a document was being fetched")
    type_ = answer.headers.get("content-type", "").partition(";")[0].strip()
    if type_ in (codec.JSON, codec.SUPER_JSON):
        return msgspec.Raw(answer.body), type_
    # Text, or what nobody knows: the string itself (wire contract §1.8).
    try:
        text = answer.body.decode()
    except UnicodeDecodeError:
        raise BadRequest(
            f"the stored document has the type {type_ or 'unknown'} and is no UTF-8 text; store JSON, with the "
            f"Content-Type {codec.JSON}"
        ) from None
    return msgspec.Raw(msgspec.json.encode(text)), codec.JSON


def opened(children: Sequence[ChildResult]) -> Flow[Sequence[ChildResult]]:
    """Fetch the large outputs of children, several at once; errors as for ``fetched``.

    A store that is away is asked again for some minutes: the parent must not fail where its children succeeded.
    """
    large = [
        (place, child)
        for place, child in enumerate(children)
        if isinstance(child, ChildSucceeded) and child.output_type == codec.STORE
    ]
    if not large:
        return children
    documents: list[tuple[msgspec.Raw, str]] = yield Together([_patiently(child.output) for _, child in large])
    made = list(children)
    for (place, child), (output, type_) in zip(large, documents, strict=True):
        made[place] = msgspec.structs.replace(child, output=output, output_type=type_)
    return made


def _patiently(reference_: msgspec.Raw) -> Flow[tuple[msgspec.Raw, str]]:
    until = (yield from flows.now()) + PATIENCE_S
    while True:
        try:
            return (yield from fetched(reference_))
        except (ConnectionFailed, ServerError):
            if (yield from flows.now()) >= until:
                raise
