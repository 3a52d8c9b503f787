"""A welcome e-mail now, a second one later: the sequence that every product sends."""

from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from oncue import AbortRun, Retry, queue, task

OUTBOX = Path("outbox.jsonl")
"""Stands for your mail provider: one line for each e-mail that was sent."""


@dataclass(frozen=True)
class EmailSequence:
    to: str
    name: str


@dataclass(frozen=True)
class Email:
    to: str
    subject: str
    body: str


@dataclass(frozen=True)
class Receipt:
    to: str
    emails_sent: int


@task(
    id="email-sequence",
    queue=queue("emails", concurrency_limit=10),
    retry=Retry(max_attempts=4, factor=2, min_timeout="1s", max_timeout="60s", randomize=True),
)
async def email_sequence(payload: EmailSequence) -> Receipt:
    welcome = Email(payload.to, f"Welcome, {payload.name}", "Good to have you here.")
    await send_email.trigger_and_wait(welcome).unwrap()
    tips = Email(payload.to, "Three things to try first", f"{payload.name}, here is where others began.")
    await send_email.trigger_and_wait(tips, delay="2s").unwrap()
    return Receipt(payload.to, emails_sent=2)


@task(id="send-email", retry=Retry(max_attempts=3))
def send_email(email: Email) -> None:
    if "@" not in email.to:
        # Trying again would not help: fail at once.
        raise AbortRun(f"{email.to!r} is no address")
    with OUTBOX.open("ab") as outbox:
        outbox.write(msgspec.json.encode(asdict(email)) + b"\n")
