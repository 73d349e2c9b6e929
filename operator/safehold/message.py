"""The base of all that controller and worker say to each other."""

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """A frozen record that refuses fields it does not know: what is asked must not be half understood."""

    model_config = ConfigDict(extra="forbid", frozen=True)
