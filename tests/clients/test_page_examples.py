"""The examples of the trigger page that a backend runs, as they stand there."""

from typing import Any

from tests.clients.client import Client


async def ended(client: Client, *runs: str) -> list[Any]:
    return [(await client("runs.poll", run))["output"] for run in runs]


async def test_example_of_trigger_runs_as_it_stands(each_client: Client) -> None:
    handle = await each_client("page.trigger")

    assert await ended(each_client, handle["id"]) == ["to ann@example.com, dear ann"]


async def test_example_of_options_delays_the_run(each_client: Client) -> None:
    handle = await each_client("page.triggerWithOptions")

    assert (await each_client("runs.retrieve", handle["id"]))["status"] == "DELAYED"


async def test_example_of_batch_trigger_runs_for_each_user(each_client: Client) -> None:
    handle = await each_client("page.batchTrigger")

    runs = (await each_client("batches.retrieve", handle["batchId"]))["runs"]
    assert await ended(each_client, *runs) == ["to ann@example.com, dear ann", "to bob@example.com, dear bob"]


async def test_example_of_item_options_delays_each_run(client: Client) -> None:
    made = await client("page.batchTriggerWithOptions")

    assert [(run["status"], run["payload"]["name"]) for run in made] == [("DELAYED", "ann"), ("DELAYED", "bob")]


async def test_example_of_several_tasks_runs_both(each_client: Client) -> None:
    result = await each_client("page.batchOfSeveral")

    runs = (await each_client("batches.retrieve", result["batchId"]))["runs"]
    assert await ended(each_client, *runs) == ["some x", "other y"]


async def test_examples_of_delay_and_ttl_hold(each_client: Client) -> None:
    delayed = await each_client("page.options", "delay")
    lasting = await each_client("page.options", "ttl")

    assert ["delayedUntil" in run for run in delayed] == [True, True, False, True]
    assert [run["ttl"] for run in lasting] == ["1h", "1h"]


async def test_examples_of_debounce_make_one_run(client: Client) -> None:
    (first,) = await client("page.options", "debounce")
    (trailing,) = await client("page.options", "debounce-trailing")
    (limited,) = await client("page.options", "debounce-max-delay")

    assert [run["payload"] for run in (first, trailing, limited)] == [
        {"some": "data"},
        {"count": 2},
        {"conversationId": "123"},
    ]
    assert all("delayedUntil" in run for run in (first, trailing, limited))


async def test_examples_of_queues_make_them_with_limits(each_client: Client) -> None:
    await each_client("page.options", "queue")
    (keyed,) = await each_client("page.options", "concurrency-key")

    main, free = [
        await each_client("queues.retrieve", {"type": "custom", "name": name}) for name in ("main-branch", "free-users")
    ]
    assert (main["concurrencyLimit"], free["concurrencyLimit"]) == (10, 1)
    assert keyed["payload"] == {"userId": "user-7"}


async def test_examples_of_other_options_are_taken(each_client: Client) -> None:
    once, large, abroad = await each_client("page.options", "others")

    assert once["payload"] == {"some": "data"}
    assert large["payload"] == abroad["payload"] == {}
    assert abroad["region"] == "eu-central-1"
