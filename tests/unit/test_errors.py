from __future__ import annotations

from labkit import errors


def test_each_class_has_its_documented_status() -> None:
    statuses = {
        "LabkitError": 1,
        "UsageError": 2,
        "ConfigError": 3,
        "NotFoundError": 4,
        "ConflictError": 5,
        "MissingToolError": 6,
        "InfrastructureError": 7,
        "BuildError": 8,
        "KernelError": 9,
    }
    classes = {name: one for name, one in vars(errors).items() if isinstance(one, type)}
    assert {name: one.exit_status for name, one in classes.items()} == statuses
    assert all(issubclass(one, errors.LabkitError) and one.__doc__ for one in classes.values())


def test_sentence_and_hint_are_kept() -> None:
    error = errors.ConflictError("The port 80 is in use.", "Take another.")
    assert (str(error), error.message, error.hint) == ("The port 80 is in use.",) * 2 + ("Take another.",)
    assert errors.UsageError("No.").hint == ""
