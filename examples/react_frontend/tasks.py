"""What a small press does: stories that are read while they are written, and poems by eight hands."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

from oncue import Completed, Context, metadata, queue, step, streams, task, wait

WORD_S = 0.035
"""What your language model would take for each word."""

OPENINGS = [
    "Nobody in the village could say when {topic} had first been noticed, only that one winter it was there.",
    "The post brought three letters that morning, and all of them were about {topic}.",
    "My grandmother kept two secrets. The second one was {topic}.",
    "It was the quietest hour of the night, and {topic} was wide awake.",
]
MIDDLES = [
    "The baker claimed it was luck. The teacher wrote it on the blackboard and asked the children to draw it.",
    "People began to leave small things beside it: a button, a ticket, a spoon that had belonged to somebody's father.",
    "For a week nobody spoke of anything else, and then, as these things go, nobody spoke of it at all.",
]
TURNS = [
    "Then the river froze, and the only light left on the far bank was that one.",
    "On the eighth day a stranger came, asked for it by name, and would not say how she knew.",
    "And one evening, between the soup and the bread, somebody laughed and meant it.",
]
ENDINGS = [
    "If you ask there today, they shrug and put another cup on the table. You will want to stay for that.",
    "What became of it is in the ledger at the station, in pencil, so that it can still be changed.",
    "I have told it as it was told to me. The rest I keep for the walk home.",
]
VERSES = [
    "Before the kettle and before the birds: {theme}.",
    "It has no hands, and yet it moves the curtains.",
    "We set a place for it and do not say so.",
    "A child could draw it with a single pencil.",
    "All afternoon it leans against the gate.",
    "Somebody hums, and somebody else remembers.",
    "The lamps come on as though it had been asked.",
    "Good night, {theme}. The door is on the latch.",
]


@dataclass(frozen=True)
class Order:
    topic: str


@dataclass(frozen=True)
class Draft:
    title: str
    text: str


@dataclass(frozen=True)
class Story:
    title: str
    text: str
    published: bool


@dataclass(frozen=True)
class Verse:
    theme: str
    line: int


@task(id="write-story")
async def write_story(order: Order, ctx: Context) -> Story:
    # A step, so that a run which starts again while it waits for its editor does not write another draft.
    draft = await step("draft", lambda: write_draft(order), returns=Draft)

    # Tagged, so that the backend knows whose it is: what the run says of itself, a page can say of its own run too.
    token = await wait.create_token(timeout="1h", tags=f"story:{ctx.run.id}")
    metadata.set("review", token.id)
    await metadata.flush()  # the page offers its two buttons when it sees this
    match await wait.for_token(token):
        case Completed(output={"publish": True}):
            return Story(draft.title, draft.text, published=True)
        case _:
            return Story(draft.title, draft.text, published=False)


async def write_draft(order: Order) -> Draft:
    title = order.topic.strip().capitalize()
    metadata.set("title", title)
    words: list[str] = []

    async def kept() -> AsyncIterator[str]:
        async for word in words_of(order.topic.strip()):
            words.append(word)
            metadata.set("words", len(words))
            yield f"{word} "

    await streams.pipe("story", kept())
    return Draft(title, " ".join(words))


async def words_of(topic: str) -> AsyncIterator[str]:
    """Stands for your language model: tells one word after the other."""
    chance = random.Random(topic)  # noqa: S311 - the same topic is the same story
    sentences = [chance.choice(sentences) for sentences in (OPENINGS, MIDDLES, TURNS, ENDINGS)]
    for word in " ".join(sentences).format(topic=topic).split():
        await asyncio.sleep(WORD_S)
        yield word


@task(id="write-verse", queue=queue("verses", concurrency_limit=3))
async def write_verse(verse: Verse) -> str:
    await asyncio.sleep(random.uniform(0.4, 1.2))  # noqa: S311 - some hands are slower
    return VERSES[verse.line].format(theme=verse.theme.strip())
