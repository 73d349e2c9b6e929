"""What can go wrong with a guest.

GuestError
├── ImageError       the guest's kernel and initramfs cannot be built on this machine
├── AgentError       the guest agent answered with an error
└── AgentSilentError the guest agent does not answer: absent, stopped, or still in a slow hook
"""


class GuestError(Exception):
    """A guest cannot be built, started or talked to."""


class ImageError(GuestError):
    """A part of the image is missing; the message says which package brings it."""


class AgentError(GuestError):
    """The agent refused a command; the message is the agent's own."""


class AgentSilentError(GuestError):
    """No answer from the agent in time."""
