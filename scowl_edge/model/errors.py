"""The root of all errors that are ours."""


class ScowlError(Exception):
    """Something a caller can do something about; the text says what was tried, what came back and what to do."""
