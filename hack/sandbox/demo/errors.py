"""Why the story did not come to its end."""


class StoryError(Exception):
    """A step failed or a check did not hold; the message is what the reader of the demo sees."""
