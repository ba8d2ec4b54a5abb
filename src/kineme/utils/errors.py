"""The one exception for bad input, and its wording."""

from __future__ import annotations


class InputError(ValueError):
    """Something from outside (a file, an argument, a store) cannot be used.

    The message is one paragraph: what is at fault, what was found, what was expected, how to mend it.
    The command line prints it as it is and leaves with exit code 2.

    Args:
        where: the file, argument or place at fault, e.g. ``"walk.bvh, line 12"`` or ``"--split"``.
        found: what stands there.
        expected: what would have been right.
        hint: what the reader of the message can do about it.

    Examples:
        >>> raise kineme.InputError("walk.bvh, line 3", "no channels", "a number", "Export it again")
        Traceback (most recent call last):
            ...
        kineme.utils.errors.InputError: walk.bvh, line 3: no channels. Expected a number. Export it again.
    """

    def __init__(self, where: object, found: str, expected: str = "", hint: str = ""):
        self.where, self.found, self.expected, self.hint = str(where), found, expected, hint
        text = f"{where}: {found.rstrip('.')}."
        if expected:
            text += f" Expected {expected.rstrip('.')}."
        if hint:
            text += f" {hint}" if hint.endswith(("?", "!")) else f" {hint.rstrip('.')}."
        super().__init__(text)

    def __reduce__(self) -> tuple:  # exceptions travel between prepare's processes
        return (InputError, (self.where, self.found, self.expected, self.hint))
