"""The one exception type of the Python library."""


class SpinffError(ValueError):
    """Bad input, with a message that says who, what, got, expected and what to do.

    Its text has the form ``who: what is wrong, got X, expected Y; what to do``, so
    that a command-line tool can print it as it stands.
    """
