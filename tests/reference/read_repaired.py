"""The repaired edition, read with the long-term keys alone: as far as no ephemeral exchange stands in between."""

import layout
import repaired as ra
from codec import U8, decode
from suites import Aead, Forged, ed25519_verify, mac, same, sha256


class RepairedSession:
    """What an eavesdropper with everybody's K_X has learnt so far."""

    def __init__(self, long_term, shut):
        self.long_term, self.shut = long_term, shut
        self.questions = {}  # I1: (leader, member, h)
        self.shut_joins = set()  # I1 of joins with an ephemeral exchange; their (G, cid) cannot be known
        self.channels = {}  # (G, cid): (k_LA, k_AL)
        self.names = {}  # (G, cid): name
        self.origin = {}  # (G, cid): public origin key; 0 is the leader
        self.bases = {}  # (G, epoch): base

    def key(self, name):
        if name not in self.long_term:
            raise self.shut(f"no long-term key of {name}")
        return self.long_term[name]

    def read(self, frame):
        """What the frame is, and what it says to the group: None, or port and payload."""
        return getattr(self, "read_" + frame.id[3:].lower())(frame, frame.suite, frame.fields)

    def check_tag(self, frame, key):
        if not same(frame.tag, mac(key, frame.clear)):
            raise Forged("a tag")

    def read_j1(self, frame, _suite, fields):
        self.check_tag(frame, ra.member_tag_key(self.key(fields["member"]), fields["member"]))
        how = "with an ephemeral share" if fields["share"] else "without an ephemeral share"
        return f"{fields['member']} asks {fields['leader']} to join {fields['app']}, {how}", None

    def read_t1(self, frame, _suite, fields):
        join = layout.Frame(fields["join"]).fields
        leader = join["leader"]
        self.check_tag(frame, ra.leader_request_key(self.key(leader), leader))
        self.questions[fields["i1"]] = (leader, join["member"], sha256(frame.clear))
        return f"{leader} asks about {join['member']}", None

    def read_t1m(self, frame, _suite, fields):
        self.check_tag(frame, ra.leader_request_key(self.key(fields["leader"]), fields["leader"]))
        member = layout.Frame(fields["join"]).fields["member"]
        self.questions[fields["i1"]] = (fields["leader"], member, sha256(frame.clear))
        return f"{fields['leader']} asks about {member}, who joins as published", None

    def question(self, fields):
        if fields["i1"] not in self.questions:
            raise self.shut("no question with this I1")
        return self.questions[fields["i1"]]

    def read_t2(self, frame, suite, fields):
        leader, member, h = self.question(fields)
        key = ra.answer_box(suite, self.key(leader), leader, fields["status"], h)
        Aead(suite, key).open(ra.nonce(0, 0), frame.clear, frame.sealed, frame.tag)
        return f"{fields['status']}: {member}", None

    def read_j2(self, frame, suite, fields):
        leader, member, h = self.question(fields)
        if fields["share"]:
            self.shut_joins.add(fields["i1"])
            raise self.shut(f"{leader} and {member} made the keys of this session by an ephemeral exchange")
        k = ra.session_key(self.key(member), member, h)
        k_la, k_al = ra.channel_keys(suite, k, b"", h, frame.clear)
        offer = decode(layout.OFFER, Aead(suite, k_la).open(ra.nonce(0, 0), frame.clear, frame.sealed, frame.tag))
        if offer[0] == "Refuse":
            return f"{member} is refused: {offer[1]}", None
        accept = offer[1]["accept"] if offer[0] == "AcceptMixed" else offer[1]
        place = accept["group"], accept["cid"]
        decode(layout.POLICY_FORM, accept["policy"])
        self.channels[place], self.names[place] = (k_la, k_al), member
        self.names[accept["group"], 0], self.origin[accept["group"], 0] = leader, accept["leader_key"]
        return f"{member} may join as number {accept['cid']}", None

    def channel(self, fields):
        place = fields["group"], fields["cid"]
        if place not in self.channels:
            if self.shut_joins:
                raise self.shut("a channel whose keys come from an ephemeral exchange")
            raise self.shut("no RA-J2 for this member")
        return self.channels[place]

    def channel_text(self, frame, suite, key):
        text = Aead(suite, key).open(ra.nonce(0, frame.fields["n"]), frame.clear, frame.sealed, frame.tag)
        return decode(frame.message.body, text)

    def read_cl(self, frame, suite, fields):
        text = self.channel_text(frame, suite, self.channel(fields)[0])
        return f"the leader to {self.name(fields)}, epoch {text['status']['epoch']}: {self.body(text['body'])}", None

    def read_cm(self, frame, suite, fields):
        text = self.channel_text(frame, suite, self.channel(fields)[1])
        match text["body"]:
            case ("Record", ("Hello", hello)):
                self.origin[fields["group"], fields["cid"]] = hello["origin_key"]
        return f"{self.name(fields)}, epoch {text['status']['epoch']}: {self.body(text['body'])}", None

    def name(self, fields):
        return self.names.get((fields["group"], fields["cid"]), f"number {fields['cid']}")

    def body(self, body):
        match body:
            case ("Record", (kind, _)):
                return f"record {kind}"
            case ("End", end):
                return f"end, {end['reason']}"
        return "nothing more"

    def read_r(self, frame, suite, fields):
        common = layout.COMMON.put(fields["common"])
        epoch, group = fields["common"]["epoch"], fields["group"]
        opened = []
        for block in fields["blocks"]:
            keys = self.channels.get((group, block["cid"]))
            if keys:
                ad = ra.block_ad(suite, group, common, block["cid"], epoch)
                group_key = Aead(suite, keys[0]).open(ra.nonce(1, epoch), ad, block["key"], block["tag"])
                base = ra.data_base(group, common, group_key)
                if self.bases.setdefault((group, epoch), base) != base:
                    raise Forged("two group keys of one epoch")
                opened.append(self.name({"group": group, "cid": block["cid"]}))
        if len(opened) < len(fields["blocks"]):
            raise self.shut("a box under a channel key that is not known")
        return f"the key of epoch {epoch} for {', '.join(opened) or 'nobody'}", None

    def leader_key(self, group):
        if (group, 0) not in self.origin:
            raise self.shut("no RA-J2 told the leader's signature key")
        return self.origin[group, 0]

    def read_h(self, frame, _suite, fields):
        ed25519_verify(self.leader_key(fields["group"]), ra.LABEL + b"heartbeat" + frame.clear, frame.tag)
        return f"heartbeat {fields['beat']}, epoch {fields['epoch']}", None

    def read_d(self, frame, suite, fields):
        group, epoch, kind = fields["group"], fields["epoch"], fields["kind"]
        key = None
        if kind != "Clear":
            if (group, epoch) not in self.bases:
                raise self.shut("a group key that is not known")
            key = ra.data_key(suite, self.bases[group, epoch], kind, fields["cid"])
        content = decode(layout.CONTENT, ra.open_data(suite, key, frame))
        spoken = U8.put(content["port"]) + content["payload"]
        if content["origin"]:
            if not self.origin.get((group, fields["cid"])):
                raise self.shut("no origin key of the sender")
            text = ra.LABEL + b"origin" + frame.clear + spoken
            ed25519_verify(self.origin[group, fields["cid"]], text, content["origin"])
        return fields["label"] or self.name(fields), spoken

    def read_dm(self, _frame, _suite, _fields):
        raise self.shut("keys are distributed as published here: read with the keys of that part")
