"""What every test can ask for; each kind of fixture has its file in ``tests/fixtures``."""

pytest_plugins = [
    "tests.fixtures.loop",
    "tests.fixtures.server",
    "tests.fixtures.database",
    "tests.fixtures.embedded",
    "tests.fixtures.stack",
    "tests.fixtures.commands",
    "tests.fixtures.s3",
    "tests.fixtures.browser",
    "tests.fixtures.site",
]
