"""What every error that is wrong for good has in common."""


class PermanentError(Exception):
    """Trying again would change nothing: a person has to act, and the message says how."""
