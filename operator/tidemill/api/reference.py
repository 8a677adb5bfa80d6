"""The reference page: every field and every condition, made from the models."""


def reference() -> str:
    """The page as Markdown."""
    return ""
