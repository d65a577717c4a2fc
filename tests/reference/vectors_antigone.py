"""The vectors of Antigone: as published, repaired, and what stands between the two."""

import layout
import published as an
import repaired as ra
import suites
from book import APP, HELLO, INSTANCE, LEADER, MEMBER, MODERN, ORIGIN_SECRET, OTHER, PAYLOADS, POLICY, RSA_SECRET, Book
from book import filler
from codec import U64
from suites import AES_128_GCM, DES_MD5_RSA, published_suite, sha256


def as_published(vectors, suite_id):
    suite, book = published_suite(suite_id), Book(vectors, "published", suite_id)
    iv = lambda label: filler("iv " + label, suite.iv_length)
    number = lambda label: filler("number " + label, suite.nonce_length)
    keys = {}
    for name in (LEADER, MEMBER, OTHER):
        long = filler("long-term key of " + name, 32)
        keys[name] = book.add("I-8", an.long_term(suite, long, name), {"long_term": long, "name": name})
    sigma = {name: an.sigma(suite, keys[name], LEADER, name) for name in (MEMBER, OTHER)}
    for name in (MEMBER, OTHER):
        # Under DES it is the leader's name that is encrypted, and the member's has no part in it.
        whose = {} if suite_id == DES_MD5_RSA else {"member": name}
        book.add("sigma", sigma[name], {"member_key": keys[name], "leader": LEADER} | whose)
    parties, one = {"leader": LEADER, "member": MEMBER}, sigma[MEMBER]
    pair = an.pair_key(suite, keys[LEADER], keys[MEMBER], LEADER, MEMBER)
    book.add("pi", pair, parties | {"leader_key": keys[LEADER], "member_key": keys[MEMBER]}, {"sigma": one})

    i0, i1, i2 = number("i0"), number("i1"), number("i2")
    book.add("AN-T1", an.t1(suite, LEADER, MEMBER, i1), parties | {"i1": i1})
    both = parties | {"leader_key": keys[LEADER], "member_key": keys[MEMBER], "i1": i1}
    text = layout.PAIR_TEXT.put({"pair": pair, "i1": i1})
    book.add(
        "AN-T2", an.t2(suite, keys[LEADER], pair, i1, iv("t2")), both | {"iv": iv("t2")},
        {"sigma": one, "pi": pair, "text": text})
    text = layout.STRONG_TEXT.put({"key": one, "member": MEMBER, "i1": i1})
    frame = an.t2s(suite, keys[LEADER], one, MEMBER, i1, iv("t2s"))
    book.add("AN-T2s", frame, both | {"iv": iv("t2s")}, {"sigma": one, "text": text})

    group = {"app": APP, "nonce": filler("g", 16)}
    book.add("AN-J1", an.j1(suite, MEMBER, i0), {"member": MEMBER, "i0": i0})
    secret = RSA_SECRET if suite_id == DES_MD5_RSA else filler("signing key", 32)
    public = suite.public(secret)
    for leader_key in (b"", filler("key of repaired heartbeats", 32)):
        more = {
            "instance": INSTANCE, "cid": 3, "policy_version": 1, "policy": POLICY, "sequence": 4,
            "leader_key": leader_key,
        }
        fields = {"group": group, "i0": i0, "i2": i2, "more": more, "public_key": public}
        frame = an.j2(suite, LEADER, MEMBER, one, iv("j2"), **fields)
        text = {"group": group, "member": MEMBER, "i0": i0, "i2": i2, "more": more, "key": public}
        text = layout.REPLY_TEXT.put(text)
        book.add("AN-J2", frame, parties | {"sigma": one, "iv": iv("j2")} | fields, {"text": text})
    frame = an.j3(suite, MEMBER, one, iv("j3"), i2)
    text = layout.CONFIRM_TEXT.put({"member": MEMBER, "i2": i2})
    book.add("AN-J3", frame, {"member": MEMBER, "sigma": one, "iv": iv("j3"), "i2": i2}, {"text": text})
    for reason in ("Denied", "Busy"):
        book.add("AN-JE", an.je(suite, LEADER, MEMBER, reason), parties | {"reason": reason})

    group_key = filler("group key", suite.key_length)
    for members in ([], [LEADER, OTHER, MEMBER]):
        frame = an.k(suite, group, 4, MEMBER, one, iv("k"), group_key, members)
        taken = layout.Frame(frame).fields
        inputs = {"group": group, "sequence": 4, "member": MEMBER, "sigma": one, "iv": iv("k")}
        inputs |= {"group_key": group_key, "members": members}
        text = layout.KEY_TEXT.put({"group": group, "key": group_key})
        book.add("AN-K", frame, inputs, {"text": text, "digest": taken["digest"]})
    later, later_key = {"app": APP, "nonce": filler("g'", 16)}, filler("group key'", suite.key_length)
    blocks = [(name, sigma[name], iv("r " + name)) for name in (MEMBER, OTHER)]
    frame = an.r(suite, later, 5, later_key, blocks)
    inputs = {"group": later, "sequence": 5, "group_key": later_key}
    inputs["blocks"] = [{"member": name, "sigma": key, "iv": iv_} for name, key, iv_ in blocks]
    book.add("AN-R", frame, inputs, {"digest": layout.Frame(frame).fields["digest"]})
    for target, note in ((MEMBER, "AN-L: a leave"), (OTHER, "AN-E: a request to eject")):
        frame = an.leave(suite, group, MEMBER, one, group_key, target, iv("inner"), iv("l"))
        inputs = {"group": group, "member": MEMBER, "sigma": one, "group_key": group_key, "target": target}
        inner = layout.TARGET_TEXT.put({"group": group, "target": target})
        sealed = suite.encrypt(group_key, iv("inner"), inner)
        text = layout.REMOVAL_TEXT.put({"group": group, "member": MEMBER, "inner": sealed})
        ivs = {"inner_iv": iv("inner"), "iv": iv("l")}
        book.add("AN-L", frame, inputs | ivs, {"inner_text": inner, "text": text}, note=note)
    covered = an.beat_text(group, 6)
    inputs = {"group": group, "leader": LEADER, "sequence": 6, "secret": secret}
    book.add("AN-HL", an.hl(suite, group, LEADER, 6, secret), inputs, {"covered": covered}, {"public_key": public})
    inputs = {"group": group, "member": MEMBER, "sequence": 2, "sigma": one}
    book.add("AN-HM", an.hm(suite, group, MEMBER, 2, one), inputs, {"covered": an.beat_text(group, 2)})
    book.add("AN-Q", an.q(suite, group, MEMBER), {"group": group, "member": MEMBER})

    for port, payload in PAYLOADS:
        said = {"group": group, "sender": MEMBER, "port": port, "payload": payload}
        keyed = said | {"group_key": group_key}
        sealed = keyed | {"iv": iv("d")}
        frame = an.di(suite, group, MEMBER, group_key, port, payload)
        book.add("AN-Di", frame, keyed, {"digest": layout.Frame(frame).fields["digest"]})
        text = layout.DATA_TEXT.put({"sender": MEMBER, "text": bytes([port]) + payload})
        book.add("AN-Dc", an.dc(suite, **sealed), sealed, {"text": text})
        frame = an.db(suite, **sealed)
        book.add("AN-Db", frame, sealed, {"text": text, "digest": layout.Frame(frame).fields["digest"]})
        book.add("AN-Dn", an.dn(suite, **said), said)


def mixed(vectors, suite_id):
    """What stands between unlike neighbours, with `suite_id` as the suite of the published ones."""
    suite, book = published_suite(suite_id), Book(vectors, "mixed", suite_id)
    # Of the suite of repaired parts only the number stands in what is hashed.
    modern = AES_128_GCM if suite_id == DES_MD5_RSA else suite_id
    iv = lambda label: filler("iv " + label, suite.iv_length)
    number = lambda label: filler("number " + label, suite.nonce_length)
    long = {name: filler("long-term key of " + name, 32) for name in (LEADER, MEMBER)}
    sigma = an.sigma(suite, an.long_term(suite, long[MEMBER], MEMBER), LEADER, MEMBER)

    question = an.t1(suite, LEADER, MEMBER, number("i1"))
    join = ra.j1(modern, APP, LEADER, MEMBER, long[MEMBER], filler("i0", 16), b"")
    h, k = ra.mixed_session(sigma, question, join)
    book.add("k", k, {"sigma": sigma, "question": question, "join": join}, {"h": h})

    group = {"app": APP, "nonce": filler("g", 16)}
    more = {"instance": INSTANCE, "cid": 3, "policy_version": 1, "policy": POLICY, "sequence": 4, "leader_key": b""}
    wish, i2 = an.j1(suite, MEMBER, number("i0")), number("i2")
    reply = an.j2(suite, LEADER, MEMBER, sigma, iv("j2"), group, number("i0"), i2, more, b"")
    confirm = an.j3(suite, MEMBER, sigma, iv("j3"), i2)
    z = ra.mixed_root(sigma, wish, reply, confirm)
    k_la, k_al = ra.keys_of_root(modern, z)
    inputs = {"sigma": sigma, "wish": wish, "reply": reply, "confirm": confirm}
    book.add("Z", z, inputs, {"transcript": sha256(wish, reply, confirm), "k_LA": k_la, "k_AL": k_al})

    root = filler("a root", 32)
    book.add("sigma", an.mixed_sigma(suite, root), {"z": root})
    base = filler("a base", 32)
    book.add("K_g", an.mixed_group_key(suite, base), {"base": base})
    for instance, epoch in ((INSTANCE, 7), (INSTANCE[:8] + b"\xff" * 7 + b"\xfe", 9)):
        group = ra.mixed_group(APP, instance, epoch)
        inputs = {"app": APP, "instance": instance, "epoch": epoch}
        book.add("g", layout.GROUP_ID.put(group), inputs, note="modulo 2^64" if epoch == 9 else None)
    # What is behind the first eight bytes has no part in it.
    for front in (filler("g", 16)[:8], bytes(7) + b"\x02"):
        book.add("epoch of g", U64.put(ra.mixed_epoch({"app": APP, "nonce": front + bytes(8)})), {"front": front})


def joins(book, suite, long_terms):
    """RA-J1 to RA-J2, with and without the ephemeral exchange. Gives the channel keys of the last one."""
    leader_key, member_key = long_terms[LEADER], long_terms[MEMBER]
    i0, i1 = filler("i0", 16), filler("i1", 16)
    accept = {
        "group": INSTANCE, "cid": 3, "leader_key": suites.ed25519_public(filler("signing key", 32)),
        "policy_version": 1, "policy": POLICY,
    }
    channel = None
    for x_a, x_l in ((b"", b""), (filler("x_A", 32), filler("x_L", 32))):
        share = suites.x25519_public(x_a) if x_a else b""
        asked = {"app": APP, "leader": LEADER, "member": MEMBER, "member_key": member_key, "i0": i0, "x_a": x_a}
        join = ra.j1(suite, APP, LEADER, MEMBER, member_key, i0, share)
        tag_key = ra.member_tag_key(member_key, MEMBER)
        book.add("RA-J1", join, asked, {"tag_key": tag_key, "share": share})
        request = ra.t1(suite, LEADER, leader_key, i1, join)
        inputs = {"leader": LEADER, "leader_key": leader_key, "i1": i1, "join": join}
        h = ra.question_digest(request)
        derived = {"request_key": ra.leader_request_key(leader_key, LEADER), "h": h}
        book.add("RA-T1", request, inputs, derived)
        k = ra.session_key(member_key, MEMBER, h)
        for status, text in (("Vouched", k), ("BadTag", b"")):
            frame = ra.t2(suite, LEADER, leader_key, h, i1, status, text)
            inputs = {"leader": LEADER, "leader_key": leader_key, "request": request, "status": status}
            if status == "Vouched":
                inputs |= {"member": MEMBER, "member_key": member_key}
            box = ra.answer_box(suite, leader_key, LEADER, status, h)
            book.add("RA-T2", frame, inputs, {"h": h, "k": text, "box2": box})
        clear = {"i0": i0, "i1": i1, "share": suites.x25519_public(x_l) if x_l else b""}
        dh = ra.exchange(x_l, share)
        channel = ra.channel_keys(suite, k, dh, h, layout.covered("RA-J2", suite, clear))
        derived = {"h": h, "k": k, "dh": dh, "k_LA": channel[0], "k_AL": channel[1]}
        for offer in (("Accept", accept), ("Refuse", "Busy")):
            frame = ra.j2(suite, k, dh, h, offer, **clear)
            inputs = {"member": MEMBER, "member_key": member_key, "request": request, "x_l": x_l, "offer": offer}
            book.add("RA-J2", frame, inputs, derived, asked)
    return channel


def channels(book, suite, keys):
    k_la, k_al = keys
    group, cid = INSTANCE, 3
    clear = {"group": group, "cid": cid, "n": 1}
    status = {"seen": 0, "ack": 0, "epoch": 0, "view": 0, "policy": 1, "flags": 1, "rseq": 0}
    bodies = [
        ("Record", ("Hello", {"origin_key": suites.ed25519_public(filler("origin key", 32))})),
        ("Record", ("Eject", {"cid": 2, "name": OTHER})),
        ("Record", ("Wrap", {"to": [0, 2, 7], "key": filler("K'", 32), "digest": filler("digest of a word", 32)})),
        ("End", {"reason": "Left", "by": cid}),
        "Nothing",
    ]
    hello = None
    for body in bodies:
        record = body[0] == "Record"
        hears = not record
        text = {"status": status | {"rseq": 1 if record else 0, "flags": 3 if hears else 1}, "body": body}
        inputs = {"key": k_al, "group": group, "cid": cid, "epoch": 0, "view": 0, "policy": 1, "hears": hears}
        inputs["body"] = body
        frame = ra.channel(suite, "RA-CM", k_al, text, **clear)
        book.add("RA-CM", frame, inputs, {"text": layout.MEMBER_TEXT.put(text)}, {"key": k_la})
        hello = hello or frame
    change = ("Add", {"cid": cid, "name": MEMBER, "origin_key": b""})
    page = {
        "from": 1, "to": 3, "digest": filler("view digest", 32), "first": True, "last": True,
        "changes": [change, ("Remove", {"cid": 2, "cause": "Eject", "by": 0})],
    }
    bodies = [
        ("Record", ("View", page)),
        ("Record", ("Policy", {"version": 2, "policy": POLICY})),
        ("Record", ("Answer", {"rseq": 2, "verdict": "NotAllowed"})),
        ("Record", ("Wrapped", {
            "from": 2, "number": 5, "key": filler("K'", 32), "digest": filler("digest of a word", 32)})),
        ("Record", ("Passed", {"number": 2, "missed": [2, 7]})),
        ("End", {"reason": "Ejected", "by": 2}),
        "Nothing",
    ]
    status |= {"seen": 1, "ack": 1, "epoch": 2, "view": 3, "policy": 1}
    for body in bodies:
        record = body[0] == "Record"
        text = {"status": status | {"rseq": 1 if record else 0}, "body": body}
        inputs = {"key": k_la, "group": group, "cid": cid, "epoch": 2, "view": 3, "policy": 1, "body": body}
        opening = {"key": k_al, "heard": hello}
        frame = ra.channel(suite, "RA-CL", k_la, text, **clear)
        book.add("RA-CL", frame, inputs, {"text": layout.LEADER_TEXT.put(text)}, opening, "after RA-CM with Hello")


def private(book, suite):
    """RA-P under its K'; to open it one needs the digest that its sender names."""
    for port, payload in PAYLOADS:
        clear = {"group": INSTANCE, "cid": 3, "number": 4}
        said = {"key": filler("K'", 32), "port": port, "payload": payload}
        frame = ra.private_word(suite, **said, **clear)
        derived = {"box_key": ra.word_key(suite, said["key"], INSTANCE, 3, 4)}
        book.add("RA-P", frame, clear | said, derived, {"digest": sha256(frame)})


def data_of_kind(book, suite, name, kind, facts, group_key):
    """RA-D or EN-R9, which differ in their headers: without a label, with one, and signed."""
    base = ra.data_base(INSTANCE, layout.COMMON.put(facts), group_key)
    for label, origin, counter in ((None, b"", 0), (MEMBER, b"", 1), (None, ORIGIN_SECRET, 2)):
        key, epoch = ra.data_key(suite, base, kind, 3), facts["epoch"]
        clear = {"group": INSTANCE, "epoch": epoch, "cid": 3, "counter": counter, "kind": kind, "label": label}
        frame = ra.data(suite, name, key, origin, 0, HELLO, **clear)
        inputs = {"group": INSTANCE, "facts": facts, "group_key": group_key, "cid": 3, "counter": counter}
        inputs |= {"kind": kind, "label": label, "origin": origin, "port": 0, "payload": HELLO}
        if kind == "Clear":
            # The key has no part in it, and of the facts only the epoch.
            del inputs["group_key"], inputs["facts"]
            inputs["epoch"] = epoch
        derived = {} if kind == "Clear" else {"base": base, "d": key}
        public = suites.ed25519_public(origin) if origin else b""
        book.add(name, frame, inputs, derived, {"origin_key": public})


def repaired(vectors, suite):
    book = Book(vectors, "repaired", suite)
    long_terms = {name: filler("long-term key of " + name, 32) for name in (LEADER, MEMBER)}
    k_la, k_al = joins(book, suite, long_terms)
    channels(book, suite, (k_la, k_al))
    private(book, suite)

    changes = [
        ("Add", {"cid": 0, "name": LEADER, "origin_key": filler("a key", 32)}),
        ("Add", {"cid": 3, "name": MEMBER, "origin_key": b""}),
        ("Remove", {"cid": 3, "cause": "Failure", "by": 0}),
    ]
    digest = b""
    for version, change in enumerate(changes, 1):
        digest = ra.view_digest(INSTANCE, digest, version, change)
        inputs = {"group": INSTANCE, "changes": changes[:version]}
        book.add("D_v", digest, inputs)
    book.add("policy digest", ra.policy_digest(POLICY), {"policy": POLICY})

    group_key, other = filler("group key", 32), filler("k_LA of another", len(k_la))
    for delta in ("Hidden", "Fetch", ("Changes", {"from": 1, "changes": changes[1:]})):
        facts = {
            "epoch": 7, "floor": 5, "causes": ["Join", "Eject"], "view": 3, "view_digest": digest, "policy": 1,
            "policy_digest": ra.policy_digest(POLICY), "delta": delta,
        }
        common = layout.COMMON.put(facts)
        frame = ra.rekey(suite, INSTANCE, facts, group_key, [(2, other), (3, k_la)])
        inputs = {"group": INSTANCE, "facts": facts, "group_key": group_key}
        inputs["members"] = [{"cid": 2, "key": other}, {"cid": 3, "key": k_la}]
        base = ra.data_base(INSTANCE, common, group_key)
        book.add("RA-R", frame, inputs, {"common": common, "base": base})
        said = {"beat": 3, "epoch": 7, "view": 3, "view_digest": digest, "delta": delta}
        secret = filler("signing key", 32)
        frame = ra.heartbeat(suite, secret, group=INSTANCE, **said)
        opening = {"public_key": suites.ed25519_public(secret)}
        book.add("RA-H", frame, {"secret": secret, "group": INSTANCE} | said, opening=opening)

    group = {"app": APP, "nonce": filler("g", 16)}
    for kind in ("Clear", "Integrity", "Confidentiality", "Both"):
        data_of_kind(book, suite, "RA-D", kind, facts, group_key)
        salt = filler("salt", 16)
        key = ra.bridged_data_key(suite, group, group_key, kind, MEMBER, salt)
        clear = {"group": group, "sender": MEMBER, "salt": salt, "counter": 4, "kind": kind}
        frame = ra.data(suite, "RA-Dm", key, b"", 0, HELLO, **clear)
        inputs = clear | {"port": 0, "payload": HELLO}
        inputs |= {} if kind == "Clear" else {"group_key": group_key}
        book.add("RA-Dm", frame, inputs, {} if kind == "Clear" else {"d": key})
    wish = an.j1(published_suite(suite), MEMBER, filler("number i0", 16))
    inputs = {"leader": LEADER, "leader_key": long_terms[LEADER], "i1": filler("i1", 16), "join": wish}
    book.add("RA-T1m", ra.t1m(suite, **inputs), inputs)


def vectors():
    made = []
    for suite in (DES_MD5_RSA, *MODERN):
        as_published(made, suite)
    for suite in (DES_MD5_RSA, *MODERN):
        mixed(made, suite)
    for suite in MODERN:
        repaired(made, suite)
    return made
