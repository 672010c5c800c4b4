"""What cannot be read of a data set."""

from convkit import UserError


class ReadError(UserError):
    """A file of the data set is missing or damaged; one line, wherever it was raised.

    Torch raises a worker's exception anew in the fit, its traceback as the message; what was said ends it.
    """

    def __init__(self, said: str) -> None:
        super().__init__(said.rstrip().rpartition(f"{type(self).__name__}: ")[2])


class SampleError(ReadError):
    """Of one sample alone: the others can be read."""
