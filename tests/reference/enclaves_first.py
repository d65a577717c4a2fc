"""Enclaves 1.0: each message from its head, its fields and its key (enclaves.md §2, D30)."""

import layout
from codec import Malformed, decode
from suites import Forged


def text_of(name, head, fields):
    """The text in the `{…}` of a message. `head`: sender, recipient, sequence, timestamp."""
    whole = head | {"kind": layout.BY_ID[name].code}
    return layout.FIRST_TEXTS[name].put({"head": whole} | fields)


def message(suite, name, key, iv, head, **fields):
    """A message, with a random vector in front of what `{…}` holds."""
    clear = {"sealed": suite.encrypt(key, iv, text_of(name, head, fields))}
    if name == "EN-1J":
        clear["member"] = head["sender"]
    return layout.covered(name, suite.id, clear)


def open_message(suite, key, taken):
    """The text of a message. Its head says the type again."""
    try:
        text = decode(layout.FIRST_TEXTS[taken.id], suite.decrypt(key, taken.fields["sealed"]))
    except Malformed:
        raise Forged("a text") from None
    if text["head"]["kind"] != taken.message.code:
        raise Forged("a text of another message")
    return text
