"""Text that others have chosen, as it may stand on a terminal: names in the DNS, names of files."""


def harmless(text: str) -> str:
    r"""The text with everything that moves a cursor, rings a bell or hides something written as ``\x1b``."""
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    code = ord(letter)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004  # as Python writes them
