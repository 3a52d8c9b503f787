"""The page's backend: it keeps the secret key, and gives the browser tokens that are good for one visitor's own runs.

uvicorn --app-dir examples/react_frontend backend:app --port 8000
"""

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Cookie, FastAPI, HTTPException, Response
from fastapi.staticfiles import StaticFiles

from oncue import NotFound, auth, item, runs, tasks, wait

API_URL = os.environ.get("TRIGGER_API_URL", "http://127.0.0.1:3030")
"""Where browsers find the oncue server; here it is where this backend finds it too."""
SITE = Path(os.environ.get("PRESS_SITE", Path(__file__).parent / "web" / "dist"))
"""What ``npm run build`` made."""
LINES = 8
VISIT = "1h"

app = FastAPI(title="Small Hours Press")


@dataclass(frozen=True)
class Visit:
    api_url: str
    shelf: str
    """The tag of this visitor's stories."""
    read_token: str
    write_token: str


@dataclass(frozen=True)
class PoemOrder:
    theme: str


@dataclass(frozen=True)
class Access:
    """Something of the server's, and a token that is good for this alone."""

    id: str
    token: str


@app.post("/api/visit")
async def visit(response: Response, visitor: Annotated[str | None, Cookie()] = None) -> Visit:
    # A cookie that scripts cannot read stands for your users' sessions.
    visitor = visitor or secrets.token_hex(16)
    response.set_cookie("visitor", visitor, httponly=True, samesite="lax")
    shelf = shelf_of(visitor)
    return Visit(
        API_URL,
        shelf,
        read_token=await auth.create_public_token(scopes={"read": {"tags": [shelf]}}, expiration_time=VISIT),
        write_token=await auth.create_trigger_public_token("write-story", multiple_use=True, expiration_time=VISIT),
    )


@app.post("/api/poems")
async def order_poem(order: PoemOrder) -> Access:
    verses = [item({"theme": order.theme, "line": line}) for line in range(LINES)]
    batch = await tasks.batch_trigger("write-verse", verses)
    return Access(batch.id, await auth.create_public_token(scopes={"read": {"batch": [batch.id]}}))


@app.post("/api/stories/{run_id}/review")
async def review(run_id: str, visitor: Annotated[str, Cookie()]) -> Access:
    """Let a visitor decide on a story of theirs, and on nobody else's."""
    try:
        story = await runs.retrieve(run_id)
        # Who triggers a run chooses its metadata. A token of another story is told by its own tags.
        token = await wait.retrieve_token(str((story.metadata or {}).get("review")))
    except NotFound as error:
        raise HTTPException(404) from error
    if shelf_of(visitor) not in story.tags or f"story:{story.id}" not in token.tags:
        raise HTTPException(404)
    return Access(token.id, await auth.create_public_token(scopes={"write": {"waitpoints": [token.id]}}))


def shelf_of(visitor: str) -> str:
    # Scripts see it, and must not see the cookie.
    return f"shelf:{hashlib.sha256(visitor.encode()).hexdigest()[:32]}"


# Last, because it answers every path that is not above.
app.mount("/", StaticFiles(directory=SITE, html=True, check_dir=False))
