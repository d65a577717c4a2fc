"""Enclaves 2.0 as published: each message from its fields (enclaves.md §3).

A `Vector` is a key with the initialization vector that belongs to it (D5): all that the key encrypts begins with it. `iv`
is what stands in front of a ciphertext under a key without one: the IV of DES-CBC, the nonce of an AEAD.
"""

import hashlib
from typing import NamedTuple

import layout
from codec import Malformed, decode
from suites import Forged


class Vector(NamedTuple):
    key: bytes
    iv: bytes


def des_key_of_password(password):
    """P_a under the suite of 1996 (D26)."""
    return hashlib.md5(password).digest()[:8]


def key_number(suite, group_key):
    """What stands for K_g in events."""
    number = int.from_bytes(suite.mac(group_key, b"number of a group key")[:8], "big")
    return max(1, number)


def frame(suite, name, **fields):
    return layout.covered(name, suite.id, fields)


def seal(suite, under, encoding, **fields):
    """`{…}_K` under the vector that belongs to K."""
    return suite.encrypt_fixed(under.key, under.iv, encoding.put(fields))


def open_text(suite, under, sealed, encoding):
    return parsed(suite.decrypt_fixed(under.key, under.iv, sealed), encoding)


def open_with_iv(suite, key, sealed, encoding):
    """The same where the vector stands in front."""
    return parsed(suite.decrypt(key, sealed), encoding)


def parsed(text, encoding):
    """Under DES a wrong key may leave a good padding, so what does not parse is forged too (D6)."""
    try:
        return decode(encoding, text)
    except Malformed:
        raise Forged("a text") from None


def p1(suite, member):
    return frame(suite, "EN-P1", member=member)


def p2(suite, leader, answer):
    return frame(suite, "EN-P2", leader=leader, answer=answer)


def a1(suite, member, leader, user, iv, n1):
    text = layout.AUTH_REQUEST_TEXT.put({"member": member, "leader": leader, "n1": n1})
    return frame(suite, "EN-A1", member=member, sealed=suite.encrypt(user, iv, text))


def a2(suite, leader, member, user, iv, group, **fields):
    """`group` is K_g, whose vector K_a has too; `fields`: n1, n2, session (K_a)."""
    text = {"leader": leader, "member": member, "iv": group.iv, "group": group.key} | fields
    return frame(suite, "EN-A2", leader=leader, sealed=suite.encrypt(user, iv, layout.AUTH_REPLY_TEXT.put(text)))


def a3(suite, member, session, n2):
    return frame(suite, "EN-A3", member=member, sealed=seal(suite, session, layout.AUTH_CONFIRM_TEXT, n2=n2))


def notice(suite, name, leader, group, who):
    """EN-M+ or EN-M-."""
    return frame(suite, name, leader=leader, sealed=seal(suite, group, layout.MEMBER_TEXT_2, name=who))


def nk(suite, leader, session, group):
    sealed = seal(suite, session, layout.NEW_KEY_TEXT, group=group.key, iv=group.iv)
    return frame(suite, "EN-NK", leader=leader, sealed=sealed)


def nka(suite, member, group):
    return frame(suite, "EN-NKA", member=member, sealed=seal(suite, group, layout.NEW_KEY_ACK_TEXT, group=group.key))


def c1(suite, member):
    return frame(suite, "EN-C1", member=member)


def c2(suite, leader):
    return frame(suite, "EN-C2", leader=leader)


def data(suite, name, sender, group, port, payload):
    """EN-D1 or EN-D2."""
    return frame(suite, name, sender=sender, sealed=seal(suite, group, layout.SAID, port=port, text=payload))


def g1(suite, sender, session, recipients, port, payload):
    sealed = seal(suite, session, layout.GOSSIP_TEXT, recipients=recipients, port=port, text=payload)
    return frame(suite, "EN-G1", sender=sender, sealed=sealed)


def g2(suite, sender, recipient, session, key, iv, port, payload):
    """`session` is the recipient's, `key` K', and `iv` stands in front of what K' encrypts."""
    for_one = seal(suite, session, layout.GOSSIP_KEY_TEXT, recipient=recipient, key=key)
    for_all = suite.encrypt(key, iv, layout.SAID.put({"port": port, "text": payload}))
    return frame(suite, "EN-G2", sender=sender, key=for_one, sealed=for_all)
