"""Every message, from docs/wire-layout.md, docs/wire-layout-published.md and docs/specification/."""

from codec import NAME, NAME_OR_NONE, U8, U32, U64, YES_NO, Bytes, Choice, Fixed, List, Malformed, Nested, Number
from codec import Reader, Rest, Set16, Struct

VERSION = 1
ANTIGONE, ENCLAVES, FIRST_ENCLAVES = 1, 2, 3
PUBLISHED, REPAIRED = 1, 2
HEADER = 5
MAX_TEXT = 1 << 20

NONCE, TAG, DIGEST, SHARE = Bytes(8, 32), Bytes(0, 32), Bytes(0, 64), Bytes(0, 64)
VERIFYING_KEY, SIGNATURE, KEY = Bytes(0, 160), Bytes(0, 128), Bytes(8, 64)
# What a way of authentication of repaired Enclaves puts into a message.
PART = Bytes(0, 1024)
INSTANCE, POLICY = Fixed(16), Bytes(1, 600)
SEALED, TEXT = Bytes(0, 2048, 4), Bytes(0, MAX_TEXT, 4)

CAUSES = ("Open", "Join", "Leave", "Eject", "Failure", "Takeover", "Policy", "Period", "Messages", "Bytes", "Command")
CAUSE = Choice(dict(enumerate(CAUSES)))
REFUSAL = Choice({0: "Denied", 1: "Busy"})
KIND = Choice({0: "Clear", 1: "Integrity", 2: "Confidentiality", 3: "Both"})
STATUS = Choice({0: "Vouched", 1: "Unknown", 2: "BadTag", 3: "Disabled", 4: "Busy"})

GROUP_ID = Struct(app=NAME, nonce=NONCE)

# What stands in {…} of the published edition.
PAIR_TEXT = Struct(pair=KEY, i1=NONCE)
STRONG_TEXT = Struct(key=KEY, member=NAME, i1=NONCE)
MORE = Struct(
    instance=INSTANCE, cid=U64, policy_version=U64, policy=POLICY, sequence=U64, leader_key=VERIFYING_KEY
)
REPLY_TEXT = Struct(group=GROUP_ID, member=NAME, i0=NONCE, i2=NONCE, more=MORE, key=VERIFYING_KEY)
CONFIRM_TEXT = Struct(member=NAME, i2=NONCE)
KEY_TEXT = Struct(group=GROUP_ID, key=KEY)
REMOVAL_TEXT = Struct(group=GROUP_ID, member=NAME, inner=SEALED)
TARGET_TEXT = Struct(group=GROUP_ID, target=NAME)
DATA_TEXT = Struct(sender=NAME, text=TEXT)

# What stands in {…} of Enclaves 2.0.
AUTH_REQUEST_TEXT = Struct(member=NAME, leader=NAME, n1=NONCE)
AUTH_REPLY_TEXT = Struct(leader=NAME, member=NAME, n1=NONCE, n2=NONCE, session=KEY, iv=NONCE, group=KEY)
AUTH_CONFIRM_TEXT = Struct(n2=NONCE)
MEMBER_TEXT_2 = Struct(name=NAME)
NEW_KEY_TEXT = Struct(group=KEY, iv=NONCE)
NEW_KEY_ACK_TEXT = Struct(group=KEY)
SAID = Struct(port=U8, text=Rest(MAX_TEXT))
GOSSIP_TEXT = Struct(recipients=Nested(List(NAME, 128), 32772), port=U8, text=Rest(MAX_TEXT))
GOSSIP_KEY_TEXT = Struct(recipient=NAME, key=KEY)

# The repaired edition.
CHANGE = Choice({
    0: ("Add", Struct(cid=U64, name=NAME, origin_key=VERIFYING_KEY)),
    1: ("Remove", Struct(cid=U64, cause=CAUSE, by=U64)),
})
CHANGES = List(CHANGE, 4096)
DELTA = Choice({0: "Hidden", 1: "Fetch", 2: ("Changes", Struct(**{"from": U64, "changes": CHANGES}))})
COMMON = Struct(
    epoch=U64, floor=U64, causes=Set16(*CAUSES), view=U64, view_digest=DIGEST, policy=U64, policy_digest=DIGEST,
    delta=DELTA,
)
BLOCK = Struct(cid=U64, key=KEY, tag=TAG)
ACCEPT = Struct(group=INSTANCE, cid=U64, leader_key=VERIFYING_KEY, policy_version=U64, policy=POLICY)
ACCEPT_MIXED = Struct(accept=ACCEPT, group=GROUP_ID, sequence=U64, published_key=VERIFYING_KEY)
OFFER = Choice({0: ("Accept", ACCEPT), 1: ("Refuse", REFUSAL), 2: ("AcceptMixed", ACCEPT_MIXED)})
# 1: "answer this"; 2, in RA-CM only: the member hears the leader over a shared link.
FLAGS = Number(1, 3)
CHANNEL_STATUS = Struct(seen=U64, ack=U64, epoch=U64, view=U64, policy=U64, flags=FLAGS, rseq=U64)
REASONS = ("Left", "Ejected", "Failed", "TakenOver", "Policy", "Closing", "Protocol", "Busy", "Exhausted")
END = Struct(reason=Choice(dict(enumerate(REASONS))), by=U64)
VERDICTS = ("Ejected", "NotAllowed", "NoSuchMember", "Denied", "Busy")
VIEW_PAGE = Struct(**{"from": U64, "to": U64, "digest": DIGEST, "first": YES_NO, "last": YES_NO, "changes": CHANGES})
RECIPIENTS = List(U64, 64, rising=True)
LEADER_RECORD = Choice({
    1: ("View", VIEW_PAGE),
    2: ("Policy", Struct(version=U64, policy=POLICY)),
    3: ("Answer", Struct(rseq=U64, verdict=Choice(dict(enumerate(VERDICTS))))),
    4: ("Wrapped", Struct(**{"from": U64, "number": U64, "key": KEY, "digest": DIGEST})),
    5: ("Passed", Struct(number=U64, missed=RECIPIENTS)),
})
MEMBER_RECORD = Choice({
    1: ("Hello", Struct(origin_key=VERIFYING_KEY)),
    2: ("Eject", Struct(cid=U64, name=NAME)),
    3: ("Wrap", Struct(to=RECIPIENTS, key=KEY, digest=DIGEST)),
})


def channel_text(record):
    body = Choice({0: "Nothing", 1: ("Record", record), 2: ("End", END)})
    return Struct(status=CHANNEL_STATUS, body=body)


LEADER_TEXT, MEMBER_TEXT = channel_text(LEADER_RECORD), channel_text(MEMBER_RECORD)
CONTENT = Struct(origin=SIGNATURE, port=U8, payload=Rest(MAX_TEXT))
PRIVATE = Struct(port=U8, payload=Rest(MAX_TEXT))

# What stands in the one {…} of each message of Enclaves 1.0.
HEAD = Struct(sender=NAME, recipient=NAME_OR_NONE, sequence=U64, timestamp=U64, kind=U8)
PRESENCE = Choice({0: "Here", 1: "Gone"})
SIDE = Choice({0: "Dials", 1: "Waits"})


def first_texts(**texts):
    return {"EN-" + name[1:]: Struct(head=HEAD, **fields) for name, fields in texts.items()}


FIRST_TEXTS = first_texts(
    _1J={},
    _1K=dict(answers=U64, session=KEY, epoch=U64, group=KEY),
    _1E=dict(answers=U64, why=REFUSAL),
    _1A=dict(hint=Bytes(0, 64)),
    _1L={},
    _1LA=dict(answers=U64),
    _1C=dict(why=END.fields["reason"]),
    _1N=dict(epoch=U64, causes=Set16(*CAUSES), group=KEY),
    _1NA=dict(answers=U64),
    _1M=dict(changes=List(Struct(name=NAME, presence=PRESENCE), 32)),
    _1D=dict(port=U8, text=Rest(MAX_TEXT)),
    _1P=dict(other=NAME, port=U8, text=Rest(MAX_TEXT)),
    _1PD=dict(other=NAME, port=U8, text=Rest(MAX_TEXT)),
    _1XR=dict(peer=NAME),
    _1XK=dict(peer=NAME, side=SIDE, direct=KEY, hint=Bytes(0, 64)),
    _1XD=dict(peer=NAME),
    _1XH={},
    _1XW=dict(answers=U64),
    _1XP=dict(port=U8, text=Rest(MAX_TEXT)),
    _1XA={},
    _1XE={},
)

# Repaired Enclaves: what ways of authentication put into EN-R1 and EN-R2.
SEALED_PART = Struct(tag=TAG, text=Rest(256))
SHARED_ASK = Struct(share=SHARE)
SHARED_ANSWER = Struct(share=SHARE, fresh=KEY)
CERTIFICATE = Struct(name=NAME, key=VERIFYING_KEY, not_before=U64, not_after=U64, signature=SIGNATURE)
EVIDENCE = Choice({0: "Known", 1: ("Certified", CERTIFICATE)})
SIGNED = Struct(share=SHARE, evidence=EVIDENCE, signature=SIGNATURE)

# Repaired Enclaves: what is in the boxes.
ENCLAVE_OFFER = Choice({0: ("Accept", ACCEPT), 1: ("Refuse", REFUSAL)})
CONFIRM = Struct(n3=NONCE, proof=PART, origin_key=VERIFYING_KEY)
# Shared objects, inside AdminMsgs and requests.
PIECE = Bytes(0, 1 << 20, 4)
OBJECT_RIGHT = Struct(object=NAME, right=Choice({0: "None", 1: "Read", 2: "Change"}), size=U32)
WHY_NOT_PUT = Choice({0: "NotAllowed", 1: "NoSuchObject", 2: "TooLong", 3: "Conflict", 4: "Busy"})
PUT_VERDICT = Choice({0: ("Taken", U64), 1: ("Refused", Struct(why=WHY_NOT_PUT, version=U64))})
OBJECT_NEWS = Choice({
    0: ("Rights", Struct(rights=List(OBJECT_RIGHT, 64))),
    1: ("Piece", Struct(object=NAME, version=U64, by=U64, size=U32, offset=U32, bytes=PIECE)),
    2: ("Answer", Struct(number=U64, verdict=PUT_VERDICT)),
})
EXPECTED = Choice({0: "Any", 1: ("Exactly", U64)})
PUT_PIECE = Struct(number=U64, object=NAME, expected=EXPECTED, size=U32, offset=U32, bytes=PIECE)
POLICY_CHANGE = LEADER_RECORD.by_name["Policy"][1]
ADMIN_PAYLOAD = Choice({
    0: "Ping",
    1: ("Key", Struct(common=Nested(COMMON, 512), key=KEY)),
    2: ("View", VIEW_PAGE),
    3: ("Policy", POLICY_CHANGE),
    4: ("Ejection", LEADER_RECORD.by_name["Answer"][1]),
    5: ("GossipKey", Struct(**{"from": U64, "number": U64, "key": KEY, "digest": DIGEST})),
    6: ("GossipGrant", Struct(number=U64, key=KEY)),
    7: ("Gossiped", Struct(number=U64, missed=RECIPIENTS)),
    16: ("Object", OBJECT_NEWS),
})
ADMIN = Struct(last=NONCE, next=NONCE, epoch=U64, view=U64, policy=U64, taken=U64, payload=ADMIN_PAYLOAD)
ACK = Struct(last=NONCE, next=NONCE)
CLOSE = Struct(member=NAME, leader=NAME)
REQUEST = Choice({
    0: "Here",
    1: ("Eject", MEMBER_RECORD.by_name["Eject"][1]),
    2: ("Gossip", Struct(to=RECIPIENTS, text=PRIVATE)),
    3: ("GossipKey", Struct(to=RECIPIENTS)),
    4: ("GossipWrap", Struct(to=RECIPIENTS, key=KEY)),
    16: ("Put", PUT_PIECE),
})

POLICY_FORM = Struct(
    form=U8, ephemeral=YES_NO, rekey_on=Set16(*CAUSES), grace=U32, settle=U32, key_lifetime=U32, key_messages=U64,
    key_bytes=U64, protection=KIND, origin=YES_NO,
    views=Choice({0: "Hidden", 1: "WithEachKey", 2: "BestEffort", 3: "Exact"}), detection=YES_NO, period=U32, misses=U8,
    remove_silent=YES_NO, eject_requests=Choice({0: "Refused", 1: "Asked", 2: "Granted"}), takeover=YES_NO,
    frame_limit=U32, hint=Bytes(0, 64), communication=Choice({0: "Relay", 1: "Mixed", 2: "Symmetric"}),
    mix=Choice({0: "AllRepaired", 1: ("Mix", Struct(
        published=U8, suite=U8, strong_reply=YES_NO, per_heartbeat=YES_NO))}),
)


class Message:
    def __init__(self, system, edition, code, name, guard, clear, body=None):
        self.system, self.edition, self.code, self.id = system, edition, code, name
        self.guard, self.clear, self.body = guard, clear, body


def published(code, name, **clear):
    return Message(ANTIGONE, PUBLISHED, code, name, "Open", Struct(**clear))


def repaired(code, name, guard, body=None, **clear):
    return Message(ANTIGONE, REPAIRED, code, name, guard, Struct(**clear), body)


def version_1(code, name, sealed=SEALED, **clear):
    return Message(FIRST_ENCLAVES, PUBLISHED, code, name, "Open", Struct(**clear, sealed=sealed))


def version_2(code, name, **clear):
    return Message(ENCLAVES, PUBLISHED, code, name, "Open", Struct(**clear))


def enclave(code, name, guard, body=None, **clear):
    return Message(ENCLAVES, REPAIRED, code, name, guard, Struct(**clear), body)


NAMES = List(NAME, 16384)
KEY_BLOCK = Struct(member=NAME, sealed=SEALED)

MESSAGES = {(message.system, message.edition, message.code): message for message in (
    published(0x01, "AN-T1", leader=NAME, member=NAME, i1=NONCE),
    published(0x02, "AN-T2", sealed=SEALED),
    published(0x03, "AN-T2s", sealed=SEALED),
    published(0x04, "AN-J1", member=NAME, i0=NONCE),
    published(0x05, "AN-J2", leader=NAME, member=NAME, sealed=SEALED),
    published(0x06, "AN-J3", member=NAME, sealed=SEALED),
    published(0x07, "AN-JE", leader=NAME, member=NAME, reason=REFUSAL),
    published(0x08, "AN-K", group=GROUP_ID, sequence=U64, member=NAME, sealed=SEALED, members=NAMES, digest=TAG),
    published(0x09, "AN-R", group=GROUP_ID, sequence=U64, blocks=List(KEY_BLOCK, 16384), digest=TAG),
    published(0x0A, "AN-L", member=NAME, sealed=SEALED),
    published(0x0B, "AN-HL", group=GROUP_ID, leader=NAME, sequence=U64, signature=SIGNATURE),
    published(0x0C, "AN-HM", group=GROUP_ID, member=NAME, sequence=U64, mac=TAG),
    published(0x0D, "AN-Q", group=GROUP_ID, member=NAME),
    published(0x0E, "AN-Di", group=GROUP_ID, sender=NAME, text=TEXT, digest=TAG),
    published(0x0F, "AN-Dc", group=GROUP_ID, sealed=TEXT),
    published(0x10, "AN-Db", group=GROUP_ID, sealed=TEXT, digest=TAG),
    published(0x11, "AN-Dn", group=GROUP_ID, sender=NAME, text=TEXT),
    repaired(0x01, "RA-J1", "Tagged", app=NAME, leader=NAME, member=NAME, i0=NONCE, share=SHARE),
    repaired(0x02, "RA-T1", "Tagged", i1=NONCE, join=Bytes(1, 960)),
    repaired(0x03, "RA-T2", "Boxed", Rest(64), i1=NONCE, status=STATUS),
    repaired(0x04, "RA-J2", "Boxed", OFFER, i0=NONCE, i1=NONCE, share=SHARE),
    repaired(0x05, "RA-CL", "Boxed", LEADER_TEXT, group=INSTANCE, cid=U64, n=U64),
    repaired(0x06, "RA-CM", "Boxed", MEMBER_TEXT, group=INSTANCE, cid=U64, n=U64),
    repaired(0x07, "RA-R", "Open", group=INSTANCE, common=Nested(COMMON, 512), blocks=List(BLOCK, 16384, rising=True)),
    repaired(
        0x08, "RA-H", "Signed", group=INSTANCE, beat=U64, epoch=U64, view=U64, view_digest=DIGEST, delta=DELTA),
    repaired(
        0x09, "RA-D", "Boxed", CONTENT, group=INSTANCE, epoch=U64, cid=U64, counter=U64, kind=KIND, label=NAME_OR_NONE),
    repaired(0x0A, "RA-T1m", "Tagged", leader=NAME, i1=NONCE, join=Bytes(1, 320)),
    repaired(0x0B, "RA-Dm", "Boxed", CONTENT, group=GROUP_ID, sender=NAME, salt=NONCE, counter=U64, kind=KIND),
    repaired(0x0C, "RA-P", "Boxed", PRIVATE, group=INSTANCE, cid=U64, number=U64),
    version_1(0x01, "EN-1J", member=NAME),
    version_1(0x02, "EN-1K"),
    version_1(0x03, "EN-1E"),
    version_1(0x04, "EN-1A"),
    version_1(0x05, "EN-1L"),
    version_1(0x06, "EN-1LA"),
    version_1(0x07, "EN-1C"),
    version_1(0x08, "EN-1N"),
    version_1(0x09, "EN-1NA"),
    version_1(0x0A, "EN-1M", Bytes(0, 9248, 4)),
    version_1(0x0B, "EN-1D", TEXT),
    version_1(0x0C, "EN-1P", TEXT),
    version_1(0x0D, "EN-1PD", TEXT),
    version_1(0x0E, "EN-1XR"),
    version_1(0x0F, "EN-1XK"),
    version_1(0x10, "EN-1XD"),
    version_1(0x11, "EN-1XH"),
    version_1(0x12, "EN-1XW"),
    version_1(0x13, "EN-1XP", TEXT),
    version_1(0x14, "EN-1XA"),
    version_1(0x15, "EN-1XE"),
    version_2(0x01, "EN-P1", member=NAME),
    version_2(0x02, "EN-P2", leader=NAME, answer=Choice({0: "Accepted", 1: "Denied"})),
    version_2(0x03, "EN-A1", member=NAME, sealed=SEALED),
    version_2(0x04, "EN-A2", leader=NAME, sealed=SEALED),
    version_2(0x05, "EN-A3", member=NAME, sealed=SEALED),
    version_2(0x06, "EN-M+", leader=NAME, sealed=SEALED),
    version_2(0x07, "EN-M-", leader=NAME, sealed=SEALED),
    version_2(0x08, "EN-NK", leader=NAME, sealed=SEALED),
    version_2(0x09, "EN-NKA", member=NAME, sealed=SEALED),
    version_2(0x0A, "EN-C1", member=NAME),
    version_2(0x0B, "EN-C2", leader=NAME),
    version_2(0x0C, "EN-D1", sender=NAME, sealed=TEXT),
    version_2(0x0D, "EN-D2", sender=NAME, sealed=TEXT),
    version_2(0x0E, "EN-G1", sender=NAME, sealed=TEXT),
    version_2(0x0F, "EN-G2", sender=NAME, key=SEALED, sealed=TEXT),
    enclave(0x01, "EN-R1", "Open", app=NAME, leader=NAME, member=NAME, n1=NONCE, request=PART),
    enclave(0x02, "EN-R2", "Boxed", ENCLAVE_OFFER, n1=NONCE, n2=NONCE, answer=PART),
    enclave(0x03, "EN-R3", "Boxed", CONFIRM, n2=NONCE),
    enclave(0x04, "EN-R4", "Boxed", ADMIN, group=INSTANCE, cid=U64, seq=U64),
    enclave(0x05, "EN-R5", "Boxed", ACK, group=INSTANCE, cid=U64, seq=U64),
    enclave(0x06, "EN-R6", "Boxed", CLOSE, group=INSTANCE, cid=U64),
    enclave(0x07, "EN-R7", "Boxed", END, group=INSTANCE, cid=U64),
    enclave(0x08, "EN-R8", "Boxed", REQUEST, group=INSTANCE, cid=U64, number=U64),
    enclave(
        0x09, "EN-R9", "Boxed", CONTENT, group=INSTANCE, epoch=U64, cid=U64, counter=U64, kind=KIND, label=NAME_OR_NONE),
    enclave(0x0A, "EN-R10", "Boxed", PRIVATE, group=INSTANCE, cid=U64, number=U64),
)}
BY_ID = {message.id: message for message in MESSAGES.values()}


def header(system, edition, suite, code):
    return bytes([VERSION, system, edition, suite, code])


def covered(name, suite, fields):
    """Header and clear fields."""
    message = BY_ID[name]
    return header(message.system, message.edition, suite, message.code) + message.clear.put(fields)


class Frame:
    """A frame taken apart, without keys."""

    def __init__(self, data):
        data = bytes(data)
        if len(data) < HEADER:
            raise Malformed("no header")
        version, system, edition, self.suite, code = data[:HEADER]
        if version != VERSION or (system, edition, code) not in MESSAGES:
            raise Malformed(f"header {data[:HEADER].hex()}")
        self.message = MESSAGES[system, edition, code]
        self.id, self.data = self.message.id, data
        reader = Reader(data)
        reader.bytes(HEADER)
        self.fields = self.message.clear.take(reader)
        self.clear = data[: reader.at]
        guard = self.message.guard
        self.sealed = TEXT.take(reader) if guard == "Boxed" else b""
        self.before_tag = data[: reader.at]
        self.tag = b"" if guard == "Open" else (SIGNATURE if guard == "Signed" else TAG).take(reader)
        reader.finish()
