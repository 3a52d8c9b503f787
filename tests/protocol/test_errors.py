import inspect

import pytest

from oncue.protocol import errors, failures, limits


def test_every_error_but_the_stopping_ones_is_an_oncue_error() -> None:
    classes = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if cls.__module__ == errors.__name__]

    for cls in classes:
        assert issubclass(cls, errors.OncueError) != issubclass(cls, errors.RunStopped)
        assert not issubclass(cls, errors.RunStopped) or not issubclass(cls, Exception)


def test_error_codes_are_stable_and_told_apart() -> None:
    classes = [
        cls
        for _, cls in inspect.getmembers(errors, inspect.isclass)
        if cls.__module__ == errors.__name__ and issubclass(cls, errors.OncueError)
    ]

    assert len({cls.code for cls in classes}) == len(classes)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (409, "lease_lost", errors.LeaseLost),
        (409, None, errors.Conflict),
        (404, "something_new", errors.NotFound),
        (418, None, errors.ApiError),
        (599, None, errors.ServerError),
        (503, "unavailable", errors.Unavailable),
    ],
)
def test_answer_becomes_the_class_that_the_server_raised(
    status: int, code: str | None, expected: type[errors.ApiError]
) -> None:
    error = errors.from_response(status, code, "why")

    assert type(error) is expected
    assert (error.status, str(error)) == (status, "why")


def test_long_message_keeps_its_end_and_can_be_stored() -> None:
    text = "x" * limits.MAX_ERROR_MESSAGE_CHARS + "\0 \ud800 the cause"

    clipped = failures.clipped(text)

    assert clipped.startswith("… 19 characters cut …\nxxx")
    assert clipped.endswith("\\0 \\ud800 the cause")
    assert len(clipped) < limits.MAX_ERROR_MESSAGE_CHARS + 50
