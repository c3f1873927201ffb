"""What a figure says of the model that it shows."""


def label(model: str) -> str:
    """The name on an explorer: `tiny` says what it is, all others are as the reader typed them."""
    return "tiny (trained, bundled)" if model == "tiny" else model
