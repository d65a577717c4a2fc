"""Repaired Enclaves: keys and messages (enclaves.md §4, enclaves-authentication.md)."""

import layout
import repaired as ra
from codec import NAME, U64
from layout import ENCLAVES, REPAIRED
from suites import Aead, aead_key_length, ed25519_public, ed25519_sign, ed25519_verify, expand, extract, sha256
from suites import x25519, x25519_public

LABEL = b"sodality enclaves 1 "
# Domains of the numbers of boxes.
CHAIN, REQUESTS, END, JOIN = range(4)


def scene(suite, app, leader, member):
    """Who authenticates to whom, and where."""
    return layout.header(ENCLAVES, REPAIRED, suite, 0) + NAME.put(app) + NAME.put(leader) + NAME.put(member)


def transcript(where, n1, n2, request, answer):
    return sha256(LABEL, where, n1, n2, sha256(request), sha256(answer))


def session_key(where, n1, n2, request, answer, agreed):
    """K_a, from what the way has agreed on."""
    return extract(transcript(where, n1, n2, request, answer), agreed)


def share_of(secret):
    return x25519_public(secret) if secret else b""


class SharedKey:
    """The way by shared key. `secret` is the own ephemeral one; empty where none are exchanged."""

    def __init__(self, suite, where, user_key):
        self.suite, self.where, self.user_key = suite, where, user_key

    def part_key(self, part, *numbers):
        info = LABEL + b"shared key " + part + b"".join(numbers)
        return expand(extract(LABEL, self.user_key), info, aead_key_length(self.suite))

    def box(self, key, ad, text):
        sealed, tag = Aead(self.suite, key).seal(ra.nonce(0, 0), ad, text)
        return layout.SEALED_PART.put({"tag": tag, "text": sealed})

    def unbox(self, key, ad, part):
        return Aead(self.suite, key).open(ra.nonce(0, 0), ad, part["text"], part["tag"])

    def answer_ad(self, request):
        return self.where + layout.DIGEST.put(sha256(request))

    def request(self, n1, secret):
        return self.box(self.part_key(b"request", n1), self.where, layout.SHARED_ASK.put({"share": share_of(secret)}))

    def answer(self, n1, n2, request, secret, fresh):
        text = layout.SHARED_ANSWER.put({"share": share_of(secret), "fresh": fresh})
        return self.box(self.part_key(b"answer", n1, n2), self.answer_ad(request), text)

    def agreed(self, fresh, secret, share):
        return fresh + (x25519(secret, share) if secret else b"")


class PublicKeys:
    """The way by public keys. Evidence is "Known", or ("Certified", a certificate)."""

    def __init__(self, where):
        self.where = where

    def covered(self, label, numbers, share, evidence, behind):
        unsigned = layout.SIGNED.put({"share": share, "evidence": evidence, "signature": b""})
        return LABEL + label + self.where + b"".join(map(layout.NONCE.put, numbers)) + unsigned + behind

    def part(self, signing, label, numbers, secret, evidence, behind=b""):
        share = x25519_public(secret)
        signature = ed25519_sign(signing, self.covered(label, numbers, share, evidence, behind))
        return layout.SIGNED.put({"share": share, "evidence": evidence, "signature": signature})

    def request(self, signing, n1, secret, evidence):
        return self.part(signing, b"request ", (n1,), secret, evidence)

    def answer(self, signing, n1, n2, request, secret, evidence):
        return self.part(signing, b"answer ", (n1, n2), secret, evidence, request)

    def check(self, key, label, numbers, part, behind=b""):
        covered = self.covered(label, numbers, part["share"], part["evidence"], behind)
        ed25519_verify(key, covered, part["signature"])


def vouched(**fields):
    """What an issuer signs. `fields`: name, key, not_before, not_after."""
    return LABEL + b"certificate " + layout.CERTIFICATE.put(fields | {"signature": b""})


def certificate(issuer, name, holder, not_before, not_after):
    fields = {"name": name, "key": ed25519_public(holder), "not_before": not_before, "not_after": not_after}
    return fields | {"signature": ed25519_sign(issuer, vouched(**fields))}


def direction_keys(suite, session):
    """The leader's and the member's key, from K_a."""
    length = aead_key_length(suite)
    return expand(session, LABEL + b"leader to member", length), expand(session, LABEL + b"member to leader", length)


def sealing_key(suite, name, session):
    leader, member = direction_keys(suite, session)
    return leader if name in ("EN-R2", "EN-R4", "EN-R7") else member


def number(name, fields):
    """The number of the box of a message."""
    match name:
        case "EN-R2" | "EN-R3":
            return ra.nonce(JOIN, 0)
        case "EN-R4" | "EN-R5":
            return ra.nonce(CHAIN, fields["seq"])
        case "EN-R8":
            return ra.nonce(REQUESTS, fields["number"])
    return ra.nonce(END, 0)


def r1(suite, app, leader, member, n1, request):
    fields = {"app": app, "leader": leader, "member": member, "n1": n1, "request": request}
    return layout.covered("EN-R1", suite, fields)


def boxed(suite, name, session, text, /, **clear):
    """EN-R2 to EN-R8. `text` is the value inside, `clear` the clear fields."""
    key, encoded = sealing_key(suite, name, session), layout.BY_ID[name].body.put(text)
    return ra.boxed(suite, name, key, number(name, clear), encoded, **clear)


def open_boxed(suite, session, taken):
    """The text of a frame of EN-R2 to EN-R8, encoded."""
    key = sealing_key(suite, taken.id, session)
    return Aead(suite, key).open(number(taken.id, taken.fields), taken.clear, taken.sealed, taken.tag)


def gossip_key(suite, key, group, cid, count):
    """The key of the one box under K'."""
    info = LABEL + b"gossip" + group + U64.put(cid) + U64.put(count)
    return expand(extract(LABEL, key), info, aead_key_length(suite))


def r10(suite, key, port, payload, **clear):
    """`clear`: group, cid, number."""
    sealing = gossip_key(suite, key, clear["group"], clear["cid"], clear["number"])
    text = layout.PRIVATE.put({"port": port, "payload": payload})
    return ra.boxed(suite, "EN-R10", sealing, ra.nonce(0, 0), text, **clear)


def open_r10(suite, key, taken):
    fields = taken.fields
    opening = gossip_key(suite, key, fields["group"], fields["cid"], fields["number"])
    return Aead(suite, opening).open(ra.nonce(0, 0), taken.clear, taken.sealed, taken.tag)


def r9(suite, key, origin_secret, port, payload, **clear):
    """EN-R9 is RA-D under another header."""
    return ra.data(suite, "EN-R9", key, origin_secret, port, payload, **clear)
