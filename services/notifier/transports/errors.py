"""What can go wrong in a transport, named after what to do next. No message holds an address or a name."""


class NotSent(Exception):
    """A letter or email that isn't known to have gone; `reason` is a sentence for the operator."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TryAgain(NotSent):
    """It certainly hasn't gone, and may go later: send it again under the same id."""


class Refused(NotSent):
    """It certainly hasn't gone, and won't go this way: take another."""


class Unknown(NotSent):
    """It may have gone: a person looks, and it is never repeated by guess."""
