"""Every message of Antigone, from docs/wire-layout.md and docs/wire-layout-published.md."""

from codec import NAME, NAME_OR_NONE, U8, U32, U64, YES_NO, Bytes, Choice, Fixed, List, Malformed, Nested, Number
from codec import Reader, Rest, Set16, Struct

VERSION, ANTIGONE = 1, 1
PUBLISHED, REPAIRED = 1, 2
EDITIONS = {"published": PUBLISHED, "repaired": REPAIRED}
HEADER = 5
MAX_TEXT = 1 << 20

NONCE, TAG, DIGEST, SHARE = Bytes(8, 32), Bytes(0, 32), Bytes(0, 64), Bytes(0, 64)
VERIFYING_KEY, SIGNATURE, KEY = Bytes(0, 160), Bytes(0, 128), Bytes(8, 64)
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
LEADER_RECORD = Choice({
    1: ("View", VIEW_PAGE),
    2: ("Policy", Struct(version=U64, policy=POLICY)),
    3: ("Answer", Struct(rseq=U64, verdict=Choice(dict(enumerate(VERDICTS))))),
})
MEMBER_RECORD = Choice({
    1: ("Hello", Struct(origin_key=VERIFYING_KEY)),
    2: ("Eject", Struct(cid=U64, name=NAME)),
})


def channel_text(record):
    body = Choice({0: "Nothing", 1: ("Record", record), 2: ("End", END)})
    return Struct(status=CHANNEL_STATUS, body=body)


LEADER_TEXT, MEMBER_TEXT = channel_text(LEADER_RECORD), channel_text(MEMBER_RECORD)
CONTENT = Struct(origin=SIGNATURE, port=U8, payload=Rest(MAX_TEXT))

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
    def __init__(self, edition, code, name, guard, clear, body=None):
        self.edition, self.code, self.id, self.guard, self.clear, self.body = edition, code, name, guard, clear, body


def published(code, name, **clear):
    return Message(PUBLISHED, code, name, "Open", Struct(**clear))


def repaired(code, name, guard, body=None, **clear):
    return Message(REPAIRED, code, name, guard, Struct(**clear), body)


NAMES = List(NAME, 16384)
KEY_BLOCK = Struct(member=NAME, sealed=SEALED)

MESSAGES = {(message.edition, message.code): message for message in (
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
)}
BY_ID = {message.id: message for message in MESSAGES.values()}


def header(edition, suite, code):
    return bytes([VERSION, ANTIGONE, edition, suite, code])


def covered(name, suite, fields):
    """Header and clear fields."""
    message = BY_ID[name]
    return header(message.edition, suite, message.code) + message.clear.put(fields)


class Frame:
    """A frame taken apart, without keys."""

    def __init__(self, data):
        data = bytes(data)
        if len(data) < HEADER:
            raise Malformed("no header")
        version, system, edition, self.suite, code = data[:HEADER]
        if (version, system) != (VERSION, ANTIGONE) or (edition, code) not in MESSAGES:
            raise Malformed(f"header {data[:HEADER].hex()}")
        self.message = MESSAGES[edition, code]
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
