"""A backend's side: it knows the task's id and where the server is, and imports none of the tasks' code.

python send.py ann@example.com:Ann bob@example.com:Bob
"""

import asyncio
import sys

from oncue import item, tasks


async def sign_up(email: str, name: str) -> str:
    """What the handler of a sign-up form does: answer at once, let the e-mails follow."""
    handle = await tasks.trigger("email-sequence", {"to": email, "name": name}, tags=[f"user:{email}"])
    return handle.id


async def import_users(users: list[tuple[str, str]]) -> list[str]:
    """What the import of a customer list does: one call for up to 1,000 of them."""
    handle = await tasks.batch_trigger(
        "email-sequence",
        [item({"to": email, "name": name}, delay="1s", tags=["import"]) for email, name in users],
    )
    return [run.id for run in handle.runs]


async def main() -> None:
    users = [(email, name) for email, _, name in (argument.partition(":") for argument in sys.argv[1:])]
    if not users:
        sys.exit("name at least one user, for instance ann@example.com:Ann")
    (email, name), *others = users
    print(await sign_up(email, name))
    if others:
        print(*await import_users(others), sep="\n")


if __name__ == "__main__":
    asyncio.run(main())
