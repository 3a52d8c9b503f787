"""The React example as its README runs it, in a browser: ``oncue dev``, ``uvicorn``, and the page as ``npm`` builds it.

What a person would see is asserted; what it looked like is in ``build/screenshots``.
"""

import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.fixtures.commands import REPOSITORY, Commands, Started, free_port, until
from tests.fixtures.npm import INSTALL_S
from tests.fixtures.stack import Program

EXAMPLE: Final = REPOSITORY / "examples" / "react_frontend"
README: Final = (EXAMPLE / "README.md").read_text(encoding="utf-8")
SCREENSHOTS: Final = REPOSITORY / "build" / "screenshots" / "react_frontend"
PATIENCE_MS: Final = 20_000

_EVICTION: Final = "ONCUE_EVICT_ALWAYS"
_AWAY: Final = ("net::ERR_CONNECTION_REFUSED", "net::ERR_INCOMPLETE_CHUNKED_ENCODING", "net::ERR_CONNECTION_RESET")
"""What Chromium logs while a server restarts: it is not there, or a stream broke off with it."""
_OURS: Final = ("ONCUE_", "TRIGGER_")
_TRY_TO_READ: Final = """
async ([server, token, run]) => {
  const status = async (url, init) => (await fetch(url, init)).status;
  const asking = { headers: { authorization: `Bearer ${token}` } };
  return {
    review: await status(`/api/stories/${run}/review`, { method: "POST" }),
    run: await status(`${server}/api/v3/runs/${run}`, asking),
    changes: await status(`${server}/realtime/v1/runs/${run}?offset=-1`, asking),
    words: await status(`${server}/realtime/v1/streams/${run}/story`, asking),
    everything: await status(`${server}/realtime/v1/runs?offset=-1`, asking),
  };
}
"""

_TRY_TO_DECIDE: Final = """
async ([server, token, shelf, review]) => {
  const triggered = await fetch(`${server}/api/v1/tasks/write-story/trigger`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({
      payload: { topic: "a trick" },
      options: { tags: [shelf], metadata: { review }, delay: "1h" },
    }),
  });
  const { id } = await triggered.json();
  const asked = await fetch(`/api/stories/${id}/review`, { method: "POST" });
  return { trigger: triggered.status, review: asked.status };
}
"""

# The first test on a machine fetches the packages of the page and builds it.
pytestmark = [pytest.mark.timeout(INSTALL_S + 60), pytest.mark.in_memory]
expect.set_options(timeout=PATIENCE_MS)


class Press(NamedTuple):
    """Where the example is served."""

    url: str
    key: str
    restart: Callable[[], None]
    """Stop ``oncue dev`` and start it again."""
    rotate: Callable[[], None]
    """Let no token count that was made so far."""


def _command(program: str) -> list[str]:
    """Return the arguments with which the README runs a program."""
    (line,) = re.findall(rf"^    {program} (.+)$", README, re.MULTILINE)
    return str(line).split()


@pytest.fixture(scope="module")
def press(chromium: str, tmp_path_factory: pytest.TempPathFactory, site: Path) -> Iterator[Press]:
    """The whole example; its tests share it, since each visitor has a shelf of its own."""
    folder = tmp_path_factory.mktemp("press")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS) or name == _EVICTION}
    with contextlib.ExitStack() as ending:
        oncue = Commands(folder, {**kept, "ONCUE_LOG": "warning"})
        ending.callback(oncue.close)
        (target,) = _command("oncue dev")
        port = free_port()

        def start() -> Started:
            started = oncue.start("dev", str(REPOSITORY / target), "--port", str(port))
            started.says("worker ready")
            return started

        running = [start()]

        def restart() -> None:
            running.pop().stop()
            running.append(start())

        def rotate() -> None:
            assert oncue("keys", "rotate-signing", "--at-once", "--yes").returncode == 0

        key = (folder / ".oncue" / "secret_key").read_text().strip()

        told = {"TRIGGER_SECRET_KEY": key, "TRIGGER_API_URL": f"http://127.0.0.1:{port}", "PRESS_SITE": str(site)}
        *arguments, _ = _command("uvicorn")
        backend = Program("backend", folder / "backend.log", ["-m", "uvicorn", *arguments, "0"], told)
        ending.callback(backend.end)
        listens = re.compile(r"running on (http://\S+)")
        until(lambda: bool(listens.search(backend.said)) or backend.exit_code is not None, "the backend to listen")
        found = listens.search(backend.said)
        assert found is not None, backend.said
        yield Press(found[1], key, restart, rotate)


@pytest.fixture
def errors() -> list[str]:
    """What the page has logged as errors."""
    return []


@pytest.fixture
async def page(press: Press, browser: Browser, errors: list[str]) -> AsyncIterator[Page]:
    """The page, as a new visitor opens it; whatever it logs as an error fails the test."""
    context = await browser.new_context(viewport={"width": 1180, "height": 900})
    page = await context.new_page()
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(press.url)
    await expect(page.get_by_role("region", name="The shelf")).to_be_visible()
    yield page
    await context.close()
    assert errors == []


async def _shot(page: Page, name: str) -> None:
    """Keep what the page looks like."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def _story(page: Page) -> Locator:
    return page.get_by_role("region", name="Story")


def _stage(page: Page) -> Locator:
    return _story(page).locator("[aria-current=step]")


def _text(page: Page) -> Locator:
    return _story(page).locator(".text")


def _shelf(page: Page) -> Locator:
    return page.get_by_role("region", name="The shelf").get_by_role("listitem")


async def _order(page: Page, topic: str, button: str) -> None:
    await page.get_by_label("A story about").fill(topic)
    await page.get_by_role("button", name=button).click()


async def test_story_appears_while_it_is_written_and_is_published(page: Page) -> None:
    await _shot(page, "1-empty")

    await _order(page, "a clock that ran backwards", "Write a story")
    await expect(_stage(page)).to_have_text("Writing")
    await expect(_text(page)).to_have_text(re.compile(r"(\S+\s+){12}"))
    early = (await _text(page).inner_text()).strip()
    await _shot(page, "2-writing")
    await expect(_story(page)).to_contain_text("Shall it go to print?")
    whole = (await _text(page).inner_text()).strip()
    await expect(_stage(page)).to_have_text("Your word")
    await expect(page.locator("form [role=status]")).to_have_text(f"waits for you, {len(whole.split())} words")
    await _shot(page, "3-waiting")
    await _story(page).get_by_role("button", name="Publish").click()

    await expect(_story(page).locator(".colophon strong")).to_have_text("Published")
    await expect(_story(page).locator(".colophon")).to_contain_text("attempts1")
    await expect(_stage(page)).to_have_text("Done")
    await expect(_text(page)).to_have_text(whole)
    await expect(_shelf(page)).to_have_count(1)
    await expect(_shelf(page)).to_contain_text("A clock that ran backwards")
    await expect(_shelf(page)).to_contain_text("published")
    await _shot(page, "4-published")
    await page.set_viewport_size({"width": 400, "height": 800})
    await _shot(page, "8-narrow")
    assert whole.startswith(early)
    assert len(early) < len(whole)
    assert "a clock that ran backwards" in whole


async def test_story_from_the_shelf_is_put_away(page: Page) -> None:
    await _order(page, "the last ferry", "Put one on the shelf")
    await expect(_shelf(page)).to_contain_text("waits for you")
    await expect(_story(page)).to_contain_text("An empty page")

    await _shelf(page).get_by_role("button").click()
    # It was written before anybody looked.
    await expect(_text(page)).to_contain_text("the last ferry")
    await _story(page).get_by_role("button", name="Put it away").click()

    await expect(_story(page).locator(".colophon strong")).to_have_text("Put away")
    await expect(_shelf(page)).to_contain_text("put away")


async def test_poem_fills_line_by_line_until_it_is_whole(page: Page) -> None:
    poem = page.get_by_role("region", name="A poem by eight hands")
    await poem.get_by_label("Theme").fill("an old radio")
    await poem.get_by_role("button", name="Begin").click()

    await expect(poem).to_contain_text(re.compile(r"[1-7] of 8"))
    await _shot(page, "5-poem-begun")
    await expect(poem).to_contain_text("8 of 8")
    lines = poem.get_by_role("listitem")
    await expect(lines).to_have_count(8)
    await expect(lines.first).to_have_text("Before the kettle and before the birds: an old radio.")
    await expect(lines.last).to_have_text("Good night, an old radio. The door is on the latch.")
    await _shot(page, "6-poem")


async def test_shelf_is_live_in_two_windows_and_outlasts_reloads(page: Page) -> None:
    other = await page.context.new_page()
    await other.goto(page.url)
    topics = ["the stairs", "a borrowed coat", "fog"]
    for topic in topics:
        await _order(page, topic, "Put one on the shelf")
        await expect(_shelf(page).filter(has_text=topic.capitalize())).to_have_count(1)

    await expect(_shelf(other)).to_have_count(3)
    await expect(_shelf(other).filter(has_text="waits for you")).to_have_count(3)
    await _shelf(other).filter(has_text="Fog").get_by_role("button").click()
    await _story(other).get_by_role("button", name="Publish").click()

    await expect(_shelf(page).filter(has_text="published")).to_have_count(1)
    await page.reload()
    await expect(_shelf(page).locator(".title")).to_have_text(["Fog", "A borrowed coat", "The stairs"])
    await _shot(page, "7-shelf")


async def test_story_that_waits_outlasts_a_restart_of_everything(press: Press, page: Page, errors: list[str]) -> None:
    await _order(page, "an unposted letter", "Write a story")
    await expect(_story(page)).to_contain_text("Shall it go to print?")
    written = await _text(page).inner_text()

    press.restart()
    await _story(page).get_by_role("button", name="Publish").click()

    await expect(_story(page).locator(".colophon strong")).to_have_text("Published")
    await page.reload()
    await _shelf(page).get_by_role("button").click()
    await expect(_story(page).locator(".colophon strong")).to_have_text("Published")
    await expect(_text(page)).to_have_text(written)
    # The browser says so itself when the server is away.
    errors[:] = [error for error in errors if not any(away in error for away in _AWAY)]


async def test_page_asks_for_new_tokens_when_its_own_are_refused(press: Press, page: Page, errors: list[str]) -> None:
    await page.clock.install()
    await page.reload()
    await expect(_shelf(page)).to_have_count(0)
    await page.clock.fast_forward(20_000)
    press.rotate()
    async with page.expect_response("**/api/visit"):
        await _order(page, "a door in the sea", "Write a story")
    await expect(page.get_by_text("The lamps went out for a moment")).to_be_visible()

    await page.get_by_role("button", name="Write a story").click()
    await expect(page.get_by_text("The lamps went out for a moment")).not_to_be_visible()
    await page.clock.resume()
    await expect(_story(page)).to_contain_text("Shall it go to print?")
    errors[:] = [error for error in errors if "401" not in error and "signed here" not in error]


async def test_nobody_decides_on_the_story_of_another_visitor(press: Press, page: Page, browser: Browser) -> None:
    async with page.expect_response("**/api/stories/*/review") as reviewing:
        await _order(page, "a letter for one", "Write a story")
    review = (await (await reviewing.value).json())["id"]

    other = await (await browser.new_context()).new_page()
    async with other.expect_response("**/api/visit") as visiting:
        await other.goto(press.url)
    visit = await (await visiting.value).json()
    done = await other.evaluate(_TRY_TO_DECIDE, [visit["api_url"], visit["write_token"], visit["shelf"], review])

    assert done == {"trigger": 200, "review": 404}


async def test_visitors_see_their_own_stories_and_no_key(press: Press, page: Page, browser: Browser) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.headers} {request.post_data or ''}"))
    await page.reload()
    await _order(page, "a secret door", "Write a story")
    await expect(_story(page)).to_contain_text("Shall it go to print?")
    run_id = await _shelf(page).get_by_role("button").get_attribute("data-run")

    other = await (await browser.new_context()).new_page()
    async with other.expect_response("**/api/visit") as visiting:
        await other.goto(press.url)
    visit = await (await visiting.value).json()
    await expect(other.get_by_role("region", name="The shelf")).to_contain_text("Nothing on it yet")
    refused = await other.evaluate(_TRY_TO_READ, [visit["api_url"], visit["read_token"], run_id])

    assert refused == {"review": 404, "run": 403, "changes": 403, "words": 403, "everything": 403}
    assert any("Bearer ey" in line for line in sent)
    assert [line for line in sent if press.key in line] == []
    assert press.key not in str(visit)


def test_readme_names_what_is_there_and_every_hook() -> None:
    files = re.findall(r"^\| `([\w./]+)` \|", README, re.MULTILINE)
    scripts = json.loads((EXAMPLE / "web" / "package.json").read_text(encoding="utf-8"))["scripts"]
    page = "".join(path.read_text(encoding="utf-8") for path in (EXAMPLE / "web" / "src").glob("*.tsx"))

    assert files
    assert [name for name in files if not (EXAMPLE / name).exists()] == []
    assert set(re.findall(r"npm run (\w+)", README)) == set(scripts)
    assert set(re.findall(r"`(use\w+)`", README)) == set(re.findall(r"\b(use\w+)[(<]", page)) - {
        "useCallback",
        "useEffect",
        "useRef",
        "useState",
    }
