"""How long work tells what it is doing; silent unless someone listens."""


class Reporter:
    """Receives progress. This one says nothing; the command line has one that draws."""

    def step(self, done: int, total: int, what: str) -> None:
        """`done` of `total` parts of the work are finished; `what` is under way."""

    def say(self, line: str) -> None:
        """A result worth a line of its own."""

    def milestone(self, line: str) -> None:
        """Where the work stands, for those who do not see `step`."""


SILENT = Reporter()
