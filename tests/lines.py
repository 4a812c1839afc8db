"""A reporter for tests."""

from eexit_tf.reporter import Reporter


class Lines(Reporter):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)
