"""The vectors of Enclaves: 2.0 as published, and repaired."""

import enclaves as en
import enclaves_published as ep
import layout
import repaired as ra
import suites
from book import APP, INSTANCE, LEADER, MEMBER, MODERN, OTHER, PAYLOADS, POLICY, Book, filler
from codec import U64
from suites import DES_MD5_RSA, published_suite, sha256
from vectors_antigone import data_of_kind

KINDS = ("Clear", "Integrity", "Confidentiality", "Both")


def version_2(vectors, suite_id):
    suite, book = published_suite(suite_id), Book(vectors, "enclaves 2.0", suite_id)
    iv = lambda label: filler("iv " + label, suite.iv_length)
    key = lambda label: filler(label, suite.key_length)
    vector = lambda label: ep.Vector(key(label), filler("vector of " + label, suite.vector_length))
    number = lambda label: filler("number " + label, suite.nonce_length)
    user, n1, n2 = key("P_a"), number("N1"), number("N2")
    if suite_id == DES_MD5_RSA:
        user = book.add("P_a", ep.des_key_of_password(b"correct horse"), {"password": b"correct horse"})
    group, newer = vector("K_g"), vector("K_g'")
    # K_a has the vector of the first K_g (D5).
    session, other = ep.Vector(key("K_a"), group.iv), ep.Vector(key("K_b"), group.iv)
    under_group = {"key": group.key, "key_iv": group.iv}
    under_session = {"key": session.key, "key_iv": session.iv}
    book.add("number", U64.put(ep.key_number(suite, group.key)), {"key": group.key})

    book.add("EN-P1", ep.p1(suite, MEMBER), {"member": MEMBER})
    for answer in ("Accepted", "Denied"):
        book.add("EN-P2", ep.p2(suite, LEADER, answer), {"leader": LEADER, "accepted": answer == "Accepted"})
    parties = {"member": MEMBER, "leader": LEADER, "user": user}
    text = layout.AUTH_REQUEST_TEXT.put({"member": MEMBER, "leader": LEADER, "n1": n1})
    frame = ep.a1(suite, MEMBER, LEADER, user, iv("a1"), n1)
    book.add("EN-A1", frame, parties | {"iv": iv("a1"), "n1": n1}, {"text": text})
    fields = {"n1": n1, "n2": n2, "session": session.key}
    inside = {"iv": group.iv, "group": group.key}
    text = layout.AUTH_REPLY_TEXT.put({"leader": LEADER, "member": MEMBER} | fields | inside)
    frame = ep.a2(suite, LEADER, MEMBER, user, iv("a2"), group, **fields)
    inputs = parties | {"iv": iv("a2")} | fields | {"group": group.key, "group_iv": group.iv}
    book.add("EN-A2", frame, inputs, {"text": text})
    text = layout.AUTH_CONFIRM_TEXT.put({"n2": n2})
    book.add("EN-A3", ep.a3(suite, MEMBER, session, n2), under_session | {"member": MEMBER, "n2": n2}, {"text": text})
    for name in ("EN-M+", "EN-M-"):
        text = layout.MEMBER_TEXT_2.put({"name": OTHER})
        inputs = under_group | {"leader": LEADER, "who": OTHER}
        book.add(name, ep.notice(suite, name, LEADER, group, OTHER), inputs, {"text": text})
    text = layout.NEW_KEY_TEXT.put({"group": newer.key, "iv": newer.iv})
    inputs = under_session | {"leader": LEADER, "group": newer.key, "group_iv": newer.iv}
    book.add("EN-NK", ep.nk(suite, LEADER, session, newer), inputs, {"text": text})
    text = layout.NEW_KEY_ACK_TEXT.put({"group": newer.key})
    inputs = {"member": MEMBER, "key": newer.key, "key_iv": newer.iv}
    book.add("EN-NKA", ep.nka(suite, MEMBER, newer), inputs, {"text": text})
    book.add("EN-C1", ep.c1(suite, MEMBER), {"member": MEMBER})
    book.add("EN-C2", ep.c2(suite, LEADER), {"leader": LEADER})

    one_use = key("K'")
    for port, payload in PAYLOADS:
        said = {"port": port, "payload": payload}
        text = {"text": layout.SAID.put({"port": port, "text": payload})}
        for name in ("EN-D1", "EN-D2"):
            frame = ep.data(suite, name, MEMBER, group, port, payload)
            book.add(name, frame, under_group | {"sender": MEMBER} | said, text)
        for recipients in ([OTHER], [LEADER, OTHER]):
            frame = ep.g1(suite, MEMBER, session, recipients, port, payload)
            text_of = {"recipients": recipients, "port": port, "text": payload}
            inputs = under_session | {"sender": MEMBER, "recipients": recipients} | said
            book.add("EN-G1", frame, inputs, {"text": layout.GOSSIP_TEXT.put(text_of)})
        frame = ep.g2(suite, MEMBER, OTHER, other, one_use, iv("g2"), port, payload)
        inputs = {"sender": MEMBER, "recipient": OTHER, "key": other.key, "key_iv": other.iv}
        derived = {"for_one": layout.GOSSIP_KEY_TEXT.put({"recipient": OTHER, "key": one_use})} | text
        book.add("EN-G2", frame, inputs | {"one_use": one_use, "iv": iv("g2")} | said, derived)


class Join:
    """EN-R1 to EN-R3 of one way of authentication, with fixed numbers."""

    def __init__(self, book, suite):
        self.book, self.suite = book, suite
        self.where = en.scene(suite, APP, LEADER, MEMBER)
        self.n1, self.n2 = filler("N1", 16), filler("N2", 16)
        self.parties = {"app": APP, "leader": LEADER, "member": MEMBER}

    def run(self, own, peer, request, answer, agreed, steps, trusted=None):
        """`own` and `peer` are what the user's and the leader's way needs; `steps` what is derived on the way, `trusted` the
        key that the user wants to see a signature of."""
        asked = self.parties | {"n1": self.n1} | own
        frame = en.r1(self.suite, APP, LEADER, MEMBER, self.n1, request)
        self.book.add("EN-R1", frame, asked, {"scene": self.where} | steps[0])
        session = en.session_key(self.where, self.n1, self.n2, request, answer, agreed)
        leader, member = en.direction_keys(self.suite, session)
        derived = steps[1] | {"transcript": en.transcript(self.where, self.n1, self.n2, request, answer)}
        derived |= {"agreed": agreed, "K_a": session, "leader_key": leader, "member_key": member}
        accept = {
            "group": INSTANCE, "cid": 3, "leader_key": suites.ed25519_public(filler("signing key", 32)),
            "policy_version": 1, "policy": POLICY,
        }
        opening = {"asked": asked, "K_a": session} | ({"trusted": trusted} if trusted else {})
        for offer in (("Accept", accept), ("Refuse", "Denied"), ("Refuse", "Busy")):
            clear = {"n1": self.n1, "n2": self.n2, "answer": answer}
            reply = en.boxed(self.suite, "EN-R2", session, offer, **clear)
            inputs = {"request": frame, "n2": self.n2, "offer": offer} | peer
            self.book.add("EN-R2", reply, inputs, derived, opening)
        return session


def shared_key(book, suite):
    """By shared key, without the exchange and with it. Gives the last K_a."""
    join, session = Join(book, suite), None
    way, user_key = en.SharedKey(suite, join.where, filler("P_a", 32)), filler("P_a", 32)
    for x_a, x_l in ((b"", b""), (filler("x_A", 32), filler("x_L", 32))):
        fresh = filler("fresh", 32)
        request = way.request(join.n1, x_a)
        answer = way.answer(join.n1, join.n2, request, x_l, fresh)
        agreed = way.agreed(fresh, x_l, en.share_of(x_a))
        own, peer = {"user_key": user_key, "x": x_a}, {"user_key": user_key, "x": x_l, "fresh": fresh}
        steps = (
            {"part_key": way.part_key(b"request", join.n1), "share": en.share_of(x_a)},
            {"part_key": way.part_key(b"answer", join.n1, join.n2), "share": en.share_of(x_l)},
        )
        session = join.run(own, peer, request, answer, agreed, steps)
    return session


def public_keys(book, suite):
    """By public keys that are known, and by certificates."""
    join = Join(book, suite)
    way = en.PublicKeys(join.where)
    x_a, x_l, wall = filler("x_A", 32), filler("x_L", 32), 1_000_000
    issuer, member, leader = (filler(f"signing key of {who}", 32) for who in ("an issuer", MEMBER, LEADER))
    certificates = {}
    for name, holder in ((MEMBER, member), (LEADER, leader)):
        fields = {"issuer": issuer, "name": name, "holder": holder, "not_before": wall, "not_after": 2 * wall}
        certificates[name] = en.certificate(**fields)
        book.add("certificate", layout.CERTIFICATE.put(certificates[name]), fields)
    for certified in (False, True):
        evidence = {name: ("Certified", own) if certified else "Known" for name, own in certificates.items()}
        encoded = {name: layout.CERTIFICATE.put(own) if certified else b"" for name, own in certificates.items()}
        request = way.request(member, join.n1, x_a, evidence[MEMBER])
        answer = way.answer(leader, join.n1, join.n2, request, x_l, evidence[LEADER])
        trusted = {MEMBER: member, LEADER: leader}
        trusted = {name: suites.ed25519_public(issuer if certified else key) for name, key in trusted.items()}
        own = {"signing": member, "x": x_a, "certificate": encoded[MEMBER]}
        # The leader trusts the user's key, or the issuer of its certificate, as long as the wall clock says so.
        peer = {"signing": leader, "x": x_l, "certificate": encoded[LEADER], "trusted": trusted[MEMBER]}
        agreed = suites.x25519(x_l, en.share_of(x_a))
        steps = ({"share": en.share_of(x_a)}, {"share": en.share_of(x_l)})
        join.run(own, peer, request, answer, agreed, steps, trusted[LEADER])


def facts_of(delta):
    return {
        "epoch": 7, "floor": 5, "causes": ["Join", "Eject"], "view": 3, "view_digest": filler("view digest", 32),
        "policy": 1, "policy_digest": ra.policy_digest(POLICY), "delta": delta,
    }


def payloads():
    """What an AdminMsg can tell."""
    add = ("Add", {"cid": 3, "name": MEMBER, "origin_key": b""})
    remove = ("Remove", {"cid": 2, "cause": "Eject", "by": 0})
    yield "Ping"
    for delta in ("Hidden", "Fetch", ("Changes", {"from": 1, "changes": [add, remove]})):
        yield "Key", {"common": facts_of(delta), "key": filler("group key", 32)}
    page = {"from": 1, "to": 3, "digest": filler("view digest", 32), "first": True, "last": True}
    yield "View", page | {"changes": [add, remove]}
    yield "Policy", {"version": 2, "policy": POLICY}
    yield "Ejection", {"rseq": 2, "verdict": "NotAllowed"}
    yield "GossipKey", {"from": 2, "number": 4, "key": filler("K'", 32), "digest": filler("digest of a word", 32)}
    yield "GossipGrant", {"number": 4, "key": filler("K'", 32)}
    yield "Gossiped", {"number": 4, "missed": [2, 9]}
    rights = (("map", "Change", 8192), ("plan", "Read", 4096), ("diary", "None", 0))
    yield "Object", ("Rights", {"rights": [{"object": of, "right": may, "size": size} for of, may, size in rights]})
    piece = {"object": "map", "version": 7, "by": 3, "size": 60, "offset": 20, "bytes": filler("contents", 40)}
    yield "Object", ("Piece", piece)
    for verdict in (("Taken", 7), ("Refused", {"why": "Conflict", "version": 6})):
        yield "Object", ("Answer", {"number": 2, "verdict": verdict})


def wishes():
    """What a member can ask for."""
    yield "Here"
    yield "Eject", {"cid": 2, "name": OTHER}
    for port, payload in PAYLOADS:
        yield "Gossip", {"to": [0, 2], "text": {"port": port, "payload": payload}}
    yield "GossipKey", {"to": [0, 2]}
    yield "GossipWrap", {"to": [2], "key": filler("K'", 32)}
    for expected in ("Any", ("Exactly", 6)):
        piece = {"number": 2, "object": "map", "expected": expected, "size": 40, "offset": 0}
        yield "Put", piece | {"bytes": filler("contents", 40)}


def chain(book, suite, session):
    """EN-R3 to EN-R8 under one K_a."""
    n3, n4, n5 = (filler(label, 16) for label in ("N3", "N4", "N5"))
    for origin_key in (b"", suites.ed25519_public(filler("origin key", 32))):
        text = {"n3": n3, "proof": b"", "origin_key": origin_key}
        frame = en.boxed(suite, "EN-R3", session, text, n2=filler("N2", 16))
        inputs = {"session": session, "n2": filler("N2", 16)} | text
        book.add("EN-R3", frame, inputs, {"text": layout.CONFIRM.put(text)})
    place = {"group": INSTANCE, "cid": 3}
    keyed = {"session": session} | place
    for at, payload in enumerate(payloads()):
        seq, taken = 1 + at, at // 2
        text = {"last": n3, "next": n4, "epoch": 2, "view": 3, "policy": 1, "taken": taken, "payload": payload}
        told = en.boxed(suite, "EN-R4", session, text, **place, seq=seq)
        book.add("EN-R4", told, keyed | {"seq": seq} | text, {"text": layout.ADMIN.put(text)})
        if payload == "Ping" or payload[0] == "View":
            answer = {"last": n4, "next": n5}
            frame = en.boxed(suite, "EN-R5", session, answer, **place, seq=seq)
            inputs = keyed | {"last": n3, "told": told, "next": n5}
            opening = {"seq": seq, "n4": n4}
            book.add("EN-R5", frame, inputs, {"text": layout.ACK.put(answer)}, opening)
    names = {"member": MEMBER, "leader": LEADER}
    book.add("EN-R6", en.boxed(suite, "EN-R6", session, names, **place), keyed | names, {"text": layout.CLOSE.put(names)})
    for reason, by in (("Left", 3), ("Ejected", 2), ("Closing", 0)):
        text = {"reason": reason, "by": by}
        book.add("EN-R7", en.boxed(suite, "EN-R7", session, text, **place), keyed | text, {"text": layout.END.put(text)})
    for count, wish in enumerate(wishes(), 1):
        frame = en.boxed(suite, "EN-R8", session, wish, **place, number=count)
        book.add("EN-R8", frame, keyed | {"number": count, "wish": wish}, {"text": layout.REQUEST.put(wish)})


def private(book, suite):
    """EN-R10 under its K'."""
    for port, payload in PAYLOADS:
        clear = {"group": INSTANCE, "cid": 3, "number": 4}
        said = {"key": filler("K'", 32), "port": port, "payload": payload}
        frame = en.r10(suite, **said, **clear)
        derived = {"box_key": en.gossip_key(suite, said["key"], INSTANCE, 3, 4)}
        book.add("EN-R10", frame, clear | said, derived, {"digest": sha256(frame)})


def repaired(vectors, suite):
    book = Book(vectors, "enclaves", suite)
    session = shared_key(book, suite)
    public_keys(book, suite)
    chain(book, suite, session)
    private(book, suite)
    for kind in KINDS:
        data_of_kind(book, suite, "EN-R9", kind, facts_of("Hidden"), filler("group key", 32))


def vectors():
    made = []
    for suite in (DES_MD5_RSA, *MODERN):
        version_2(made, suite)
    for suite in MODERN:
        repaired(made, suite)
    return made
