"""What the files of likely mistakes share."""


def changed(body: str, old: str, new: str) -> str:
    """Return a body with one part exchanged, which must be there."""
    assert old in body, old
    return body.replace(old, new)
