"""The repaired Antigone: keys and messages (RA §2, §3, §5)."""

import layout
from codec import NAME, U64
from layout import ANTIGONE, REPAIRED
from suites import Aead, aead_key_length, ed25519_sign, expand, extract, mac, sha256, x25519

LABEL = b"sodality ra 1 "
KINDS = {"Clear": 0, "Integrity": 1, "Confidentiality": 2, "Both": 3}
STATUSES = {"Vouched": 0, "Unknown": 1, "BadTag": 2, "Disabled": 3, "Busy": 4}


def long_term_root(key):
    """P_X."""
    return extract(LABEL + b"long-term", key)


def of_principal(key, label, name):
    return expand(long_term_root(key), LABEL + label + NAME.put(name))


def member_tag_key(key, name):
    return of_principal(key, b"member tag", name)


def member_session_key(key, name):
    return of_principal(key, b"member session", name)


def leader_request_key(key, name):
    return of_principal(key, b"leader request", name)


def leader_reply_key(key, name):
    return of_principal(key, b"leader reply", name)


def question_digest(request):
    """h: over RA-T1 without its tag."""
    taken = layout.Frame(request)
    return sha256(taken.clear)


def session_key(member_key, member, h):
    """k."""
    return expand(member_session_key(member_key, member), LABEL + b"session" + h)


def answer_box(suite, leader_key, leader, status, h):
    """box2."""
    info = LABEL + b"t2" + bytes([STATUSES[status]]) + h
    return expand(leader_reply_key(leader_key, leader), info, aead_key_length(suite))


def channel_root(k, dh, h, clear):
    """Z, `clear` being the clear part of RA-J2."""
    return extract(sha256(h, clear), k + dh)


def keys_of_root(suite, z):
    """(k_LA, k_AL)."""
    length = aead_key_length(suite)
    return expand(z, LABEL + b"leader to member", length), expand(z, LABEL + b"member to leader", length)


def channel_keys(suite, k, dh, h, clear):
    """(k_LA, k_AL), `clear` being the clear part of RA-J2."""
    return keys_of_root(suite, channel_root(k, dh, h, clear))


def exchange(secret, share):
    return x25519(secret, share) if secret else b""


def data_base(group, common, group_key):
    return extract(sha256(group, common), group_key)


def data_key(suite, base, kind, cid):
    return expand(base, LABEL + b"data" + bytes([KINDS[kind]]) + U64.put(cid), aead_key_length(suite))


def bridged_data_key(suite, group, group_key, kind, sender, salt):
    """d of RA-Dm, where keys are distributed as published."""
    base = extract(sha256(layout.GROUP_ID.put(group)), group_key)
    info = LABEL + b"data" + bytes([KINDS[kind]]) + NAME.put(sender) + salt
    return expand(base, info, aead_key_length(suite))


def mixed_session(sigma, question, join):
    """h and k of a repaired join behind a third party as published, from AN-T1 and RA-J1."""
    h = sha256(question, join)
    return h, expand(extract(b"bridge", sigma), LABEL + b"session" + h)


def mixed_root(sigma, wish, reply, confirm):
    """Z behind a join as published, from AN-J1, AN-J2 and AN-J3."""
    return extract(sha256(wish, reply, confirm), sigma)


def mixed_group(app, instance, epoch):
    """g of a repaired epoch, for parts as published."""
    count = (int.from_bytes(instance[8:], "big") + epoch) % (1 << 64)
    return {"app": app, "nonce": instance[:8] + U64.put(count)}


def mixed_epoch(group):
    """What stands for g in the `epoch` of channel frames, where keys are distributed as published."""
    return max(1, int.from_bytes(group["nonce"][:8], "big"))


def nonce(domain, counter):
    return domain.to_bytes(4, "big") + counter.to_bytes(8, "big")


def view_digest(group, before, version, change):
    """D_v, from D_{v-1}."""
    return sha256(LABEL + b"view", group, before, U64.put(version), layout.CHANGE.put(change))


def policy_digest(policy):
    return sha256(policy)


def tagged(suite, name, key, **fields):
    covered = layout.covered(name, suite, fields)
    return covered + layout.TAG.put(mac(key, covered))


def boxed(suite, name, key, number, text, /, **fields):
    covered = layout.covered(name, suite, fields)
    sealed, tag = Aead(suite, key).seal(number, covered, text)
    return covered + layout.TEXT.put(sealed) + layout.TAG.put(tag)


def j1(suite, app, leader, member, member_key, i0, share):
    key = member_tag_key(member_key, member)
    return tagged(suite, "RA-J1", key, app=app, leader=leader, member=member, i0=i0, share=share)


def t1(suite, leader, leader_key, i1, join):
    return tagged(suite, "RA-T1", leader_request_key(leader_key, leader), i1=i1, join=join)


def t1m(suite, leader, leader_key, i1, join):
    """RA-T1m: the question about a join as published."""
    return tagged(suite, "RA-T1m", leader_request_key(leader_key, leader), leader=leader, i1=i1, join=join)


def t2(suite, leader, leader_key, h, i1, status, k):
    key = answer_box(suite, leader_key, leader, status, h)
    return boxed(suite, "RA-T2", key, nonce(0, 0), k, i1=i1, status=status)


def j2(suite, k, dh, h, offer, **clear):
    """`clear`: i0, i1, share."""
    key, _ = channel_keys(suite, k, dh, h, layout.covered("RA-J2", suite, clear))
    return boxed(suite, "RA-J2", key, nonce(0, 0), layout.OFFER.put(offer), **clear)


def channel(suite, name, key, text, **clear):
    """RA-CL or RA-CM. `clear`: group, cid, n."""
    encoded = layout.BY_ID[name].body.put(text)
    return boxed(suite, name, key, nonce(0, clear["n"]), encoded, **clear)


def block(suite, key, group, common, cid, epoch, group_key):
    """The box of one member in RA-R. `common` is encoded, without the length in front of it."""
    sealed, tag = Aead(suite, key).seal(nonce(1, epoch), block_ad(suite, group, common, cid, epoch), group_key)
    return {"cid": cid, "key": sealed, "tag": tag}


def block_ad(suite, group, common, cid, epoch):
    header = layout.header(ANTIGONE, REPAIRED, suite, layout.BY_ID["RA-R"].code)
    return header + group + U64.put(epoch) + layout.DIGEST.put(sha256(common)) + U64.put(cid)


def rekey(suite, group, common, group_key, members):
    """RA-R: `members` are pairs of a member number and the k_LA of that member."""
    encoded = layout.COMMON.put(common)
    blocks = [block(suite, key, group, encoded, cid, common["epoch"], group_key) for cid, key in members]
    return layout.covered("RA-R", suite, {"group": group, "common": common, "blocks": blocks})


def heartbeat(suite, secret, **fields):
    covered = layout.covered("RA-H", suite, fields)
    return covered + layout.SIGNATURE.put(ed25519_sign(secret, LABEL + b"heartbeat" + covered))


def data(suite, name, key, origin_secret, port, payload, **clear):
    """RA-D or RA-Dm, by kind (RA §5). `clear`: the clear fields. `key` is d, unused for the kind Clear."""
    covered = layout.covered(name, suite, clear)
    spoken = bytes([port]) + payload
    origin = ed25519_sign(origin_secret, LABEL + b"origin" + covered + spoken) if origin_secret else b""
    text = layout.CONTENT.put({"origin": origin, "port": port, "payload": payload})
    readable, number = covered + layout.TEXT.put(text), nonce(0, clear["counter"])
    if clear["kind"] == "Clear":
        return readable + layout.TAG.put(b"")
    if clear["kind"] == "Integrity":
        return readable + layout.TAG.put(Aead(suite, key).seal(number, readable, b"")[1])
    sealed, tag = Aead(suite, key).seal(number, covered, text)
    return covered + layout.TEXT.put(sealed) + layout.TAG.put(tag)


def word_key(suite, key, group, cid, number):
    """The key of the one box under K'."""
    info = LABEL + b"private" + group + U64.put(cid) + U64.put(number)
    return expand(extract(LABEL, key), info, aead_key_length(suite))


def private_word(suite, key, port, payload, **clear):
    """RA-P. `clear`: group, cid, number."""
    sealing = word_key(suite, key, clear["group"], clear["cid"], clear["number"])
    text = layout.PRIVATE.put({"port": port, "payload": payload})
    return boxed(suite, "RA-P", sealing, nonce(0, 0), text, **clear)


def open_private_word(suite, key, taken):
    """The text of an RA-P, encoded."""
    opening = word_key(suite, key, taken.fields["group"], taken.fields["cid"], taken.fields["number"])
    return Aead(suite, opening).open(nonce(0, 0), taken.clear, taken.sealed, taken.tag)


def open_data(suite, key, taken):
    """The content of an RA-D or RA-Dm."""
    number = nonce(0, taken.fields["counter"])
    kind = taken.fields["kind"]
    if kind == "Clear":
        return taken.sealed
    if kind == "Integrity":
        Aead(suite, key).open(number, taken.before_tag, b"", taken.tag)
        return taken.sealed
    return Aead(suite, key).open(number, taken.clear, taken.sealed, taken.tag)
