"""The vectors of Enclaves 1.0."""

import enclaves_first as first
from book import LEADER, MEMBER, MODERN, OTHER, PAYLOADS, Book, filler
from suites import DES_MD5_RSA, published_suite


def messages(key):
    """Each message: its id, the key that it is under, who says it to whom, and its fields."""
    to_leader, to_member, across = (MEMBER, LEADER), (LEADER, MEMBER), (MEMBER, OTHER)
    hint = b"over there"
    yield "EN-1J", "P_a", to_leader, {}
    yield "EN-1K", "P_a", to_member, {"answers": 7, "session": key("K_a"), "epoch": 3, "group": key("K_g")}
    for why in ("Denied", "Busy"):
        yield "EN-1E", "P_a", to_member, {"answers": 7, "why": why}
    for words in (b"", hint):
        yield "EN-1A", "K_a", to_leader, {"hint": words}
    yield "EN-1L", "K_a", to_leader, {}
    yield "EN-1LA", "K_a", to_member, {"answers": 7}
    for why in ("Ejected", "TakenOver", "Closing"):
        yield "EN-1C", "K_a", to_member, {"why": why}
    yield "EN-1N", "K_a", to_member, {"epoch": 4, "causes": ["Join", "Leave"], "group": key("K_g'")}
    yield "EN-1NA", "K_a", to_leader, {"answers": 7}
    changes = [{"name": MEMBER, "presence": "Here"}, {"name": OTHER, "presence": "Gone"}]
    yield "EN-1M", "K_a", to_member, {"changes": changes}
    for port, payload in PAYLOADS:
        said = {"port": port, "text": payload}
        yield "EN-1D", "K_g", (MEMBER, None), said
        yield "EN-1P", "K_a", to_leader, {"other": OTHER} | said
        yield "EN-1PD", "K_b", (LEADER, OTHER), {"other": MEMBER} | said
        yield "EN-1XP", "K_ab", across, said
    yield "EN-1XR", "K_a", to_leader, {"peer": OTHER}
    for side in ("Dials", "Waits"):
        yield "EN-1XK", "K_a", to_member, {"peer": OTHER, "side": side, "direct": key("K_ab"), "hint": hint}
    yield "EN-1XD", "K_a", to_member, {"peer": OTHER}
    yield "EN-1XH", "K_ab", across, {}
    yield "EN-1XW", "K_ab", across[::-1], {"answers": 7}
    yield "EN-1XA", "K_ab", across, {}
    yield "EN-1XE", "K_ab", across, {}


def version_1(vectors, suite_id):
    suite, book = published_suite(suite_id), Book(vectors, "enclaves 1.0", suite_id)
    key = lambda label: filler(label, suite.key_length)
    for at, (name, under, (sender, recipient), fields) in enumerate(messages(key)):
        head = {"sender": sender, "recipient": recipient, "sequence": 8 + at, "timestamp": 1_000_000 + at}
        keyed = {"key": key(under), "iv": filler(f"iv {name} {at}", suite.iv_length)}
        frame = first.message(suite, name, **keyed, head=head, **fields)
        book.add(name, frame, keyed | head | fields, {"text": first.text_of(name, head, fields)}, note=f"under {under}")


def vectors():
    made = []
    for suite in (DES_MD5_RSA, *MODERN):
        version_1(made, suite)
    return made
