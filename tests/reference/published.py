"""Antigone as published: each message from its fields (antigone-published.md §3 and §9).

Functions that build give the frame; `iv` is what stands in front of a ciphertext: the IV of DES-CBC, the nonce of an AEAD.
"""

import layout
from codec import NAME, U64, Malformed, decode
from layout import HEADER
from repaired import LABEL, long_term_root
from suites import Forged, expand, same, xor


def long_term(suite, key, name):
    """K_X of this edition, from the K_X of the repaired one (RA §2, I-8): the edition never sees that one."""
    info = LABEL + b"as published" + bytes([suite.id]) + NAME.put(name)
    return expand(long_term_root(key), info)[: suite.key_length]


def bridged(suite, root, label):
    """A key for parts as published, from a secret of a repaired one (RA §2, mixed editions)."""
    return expand(root, LABEL + label + bytes([suite.id]))[: suite.key_length]


def mixed_sigma(suite, z):
    """σ of one session behind a repaired join."""
    return bridged(suite, z, b"sigma")


def mixed_group_key(suite, base):
    """K_g for data as published where keys are distributed repaired."""
    return bridged(suite, base, b"published data")


def sigma(suite, member_key, leader, member):
    """σ_{SL,A} = {SL}_{K_A}."""
    return suite.name_under(member_key, leader, member)


def pair_key(suite, leader_key, member_key, leader, member):
    """π_{SL,A} = {A}_{K_SL} ⊕ {SL}_{K_A}."""
    return xor(suite.name_under(leader_key, member, leader), sigma(suite, member_key, leader, member))


def frame(suite, name, **fields):
    return layout.covered(name, suite.id, fields)


def digested(suite, name, key, **fields):
    """A message that ends in the digest of all its other fields, under `key`."""
    before = frame(suite, name, **fields, digest=b"")[HEADER:-2]
    return frame(suite, name, **fields, digest=suite.mac(key, before))


def seal(suite, under, iv, encoding, **fields):
    return suite.encrypt(under, iv, encoding.put(fields))


def t1(suite, leader, member, i1):
    return frame(suite, "AN-T1", leader=leader, member=member, i1=i1)


def t2(suite, leader_key, pair, i1, iv):
    return frame(suite, "AN-T2", sealed=seal(suite, leader_key, iv, layout.PAIR_TEXT, pair=pair, i1=i1))


def t2s(suite, leader_key, sigma_, member, i1, iv):
    sealed = seal(suite, leader_key, iv, layout.STRONG_TEXT, key=sigma_, member=member, i1=i1)
    return frame(suite, "AN-T2s", sealed=sealed)


def j1(suite, member, i0):
    return frame(suite, "AN-J1", member=member, i0=i0)


def j2(suite, leader, member, sigma_, iv, group, i0, i2, more, public_key):
    sealed = seal(
        suite, sigma_, iv, layout.REPLY_TEXT, group=group, member=member, i0=i0, i2=i2, more=more, key=public_key)
    return frame(suite, "AN-J2", leader=leader, member=member, sealed=sealed)


def j3(suite, member, sigma_, iv, i2):
    return frame(suite, "AN-J3", member=member, sealed=seal(suite, sigma_, iv, layout.CONFIRM_TEXT, member=member, i2=i2))


def je(suite, leader, member, reason):
    return frame(suite, "AN-JE", leader=leader, member=member, reason=reason)


def k(suite, group, sequence, member, sigma_, iv, group_key, members):
    sealed = seal(suite, sigma_, iv, layout.KEY_TEXT, group=group, key=group_key)
    return digested(
        suite, "AN-K", group_key, group=group, sequence=sequence, member=member, sealed=sealed, members=members)


def r(suite, group, sequence, group_key, blocks):
    """`blocks`: (member, σ, IV) for each member, in order."""
    sealed = [
        {"member": member, "sealed": seal(suite, sigma_, iv, layout.KEY_TEXT, group=group, key=group_key)}
        for member, sigma_, iv in blocks
    ]
    return digested(suite, "AN-R", group_key, group=group, sequence=sequence, blocks=sealed)


def leave(suite, group, member, sigma_, group_key, target, inner_iv, iv):
    """AN-L if `target` is the member itself, AN-E if it is another."""
    inner = seal(suite, group_key, inner_iv, layout.TARGET_TEXT, group=group, target=target)
    sealed = seal(suite, sigma_, iv, layout.REMOVAL_TEXT, group=group, member=member, inner=inner)
    return frame(suite, "AN-L", member=member, sealed=sealed)


def beat_text(group, sequence):
    return layout.GROUP_ID.put(group) + U64.put(sequence)


def hl(suite, group, leader, sequence, secret):
    signature = suite.sign(secret, beat_text(group, sequence))
    return frame(suite, "AN-HL", group=group, leader=leader, sequence=sequence, signature=signature)


def hm(suite, group, member, sequence, sigma_):
    tag = suite.mac(sigma_, beat_text(group, sequence))
    return frame(suite, "AN-HM", group=group, member=member, sequence=sequence, mac=tag)


def q(suite, group, member):
    return frame(suite, "AN-Q", group=group, member=member)


def di(suite, group, sender, group_key, port, payload):
    return digested(suite, "AN-Di", group_key, group=group, sender=sender, text=bytes([port]) + payload)


def data_box(suite, sender, group_key, iv, port, payload):
    return seal(suite, group_key, iv, layout.DATA_TEXT, sender=sender, text=bytes([port]) + payload)


def dc(suite, group, sender, group_key, iv, port, payload):
    return frame(suite, "AN-Dc", group=group, sealed=data_box(suite, sender, group_key, iv, port, payload))


def db(suite, group, sender, group_key, iv, port, payload):
    sealed = data_box(suite, sender, group_key, iv, port, payload)
    return digested(suite, "AN-Db", group_key, group=group, sealed=sealed)


def dn(suite, group, sender, port, payload):
    return frame(suite, "AN-Dn", group=group, sender=sender, text=bytes([port]) + payload)


def open_text(suite, key, sealed, encoding):
    """The text in {…}. Under DES a wrong key may leave a good padding, so what does not parse is forged too (D6)."""
    try:
        return decode(encoding, suite.decrypt(key, sealed))
    except Malformed:
        raise Forged("a text") from None


def check_digest(suite, key, taken):
    """The digest at the end of a frame covers the frame after its header, up to it."""
    digest = taken.fields["digest"]
    before = taken.data[HEADER : len(taken.data) - len(digest) - 2]
    if not same(digest, suite.mac(key, before)):
        raise Forged("a digest")
