"""The repaired edition, read with the long-term keys alone: as far as no ephemeral exchange stands in between."""

import layout
import published as an
import repaired as ra
from codec import U8, decode
from suites import Aead, Forged, ed25519_verify, mac, published_suite, same, sha256

# Bits of `flags`, RA §3.
ASKS = 1


class RepairedSession:
    """What an eavesdropper with everybody's K_X has learnt so far."""

    def __init__(self, long_term, shut):
        self.long_term, self.shut = long_term, shut
        self.questions = {}  # I1: (leader, member, h, what RA-T2 holds)
        self.joins = {}  # (member, I0): RA-J1
        self.shut_joins = set()  # I1 of joins with an ephemeral exchange; their (G, cid) cannot be known
        self.roots = {}  # (G, cid): Z
        self.policies = {}  # (G, version): digest
        self.mixes = {}  # G: published suite, application
        self.beside = None  # what is known of published parts
        self.names = {}  # (G, cid): name
        self.origin = {}  # (G, cid): public origin key; 0 is the leader
        self.bases = {}  # (G, epoch): base
        self.words = {}  # (G, cid, number) of a private word: K' and the digest of its RA-P

    def key(self, name):
        if name not in self.long_term:
            raise self.shut(f"no long-term key of {name}")
        return self.long_term[name]

    def read(self, frame):
        """What the frame is, and what it says to the group: None, or port and payload."""
        return getattr(self, "read_" + frame.id[3:].lower())(frame, frame.suite, frame.fields)

    def welcome(self, offer, group, place, member, leader):
        """What an accepted offer tells beside its keys, whatever its edition."""
        policy = decode(layout.POLICY_FORM, offer["policy"])
        self.policies[place[0], offer["policy_version"]] = ra.policy_digest(offer["policy"])
        self.names[place], self.names[place[0], 0] = member, leader
        match policy["mix"]:
            case ("Mix", mix):
                self.mixes[place[0]] = published_suite(mix["suite"]), group["app"]

    def check_tag(self, frame, key):
        if not same(frame.tag, mac(key, frame.clear)):
            raise Forged("a tag")

    def read_j1(self, frame, _suite, fields):
        self.check_tag(frame, ra.member_tag_key(self.key(fields["member"]), fields["member"]))
        self.joins[fields["member"], fields["i0"]] = frame.data
        how = "with an ephemeral share" if fields["share"] else "without an ephemeral share"
        return f"{fields['member']} asks {fields['leader']} to join {fields['app']}, {how}", None

    def read_t1(self, frame, _suite, fields):
        join = layout.Frame(fields["join"]).fields
        leader = join["leader"]
        self.check_tag(frame, ra.leader_request_key(self.key(leader), leader))
        member, h = join["member"], sha256(frame.clear)
        self.questions[fields["i1"]] = leader, member, h, ra.session_key(self.key(member), member, h)
        return f"{leader} asks about {join['member']}", None

    def read_t1m(self, frame, _suite, fields):
        self.check_tag(frame, ra.leader_request_key(self.key(fields["leader"]), fields["leader"]))
        wish = layout.Frame(fields["join"])
        suite, member = published_suite(wish.suite), wish.fields["member"]
        sigma = an.sigma(suite, self.beside.key(suite, member), fields["leader"], member)
        self.questions[fields["i1"]] = fields["leader"], member, sha256(frame.clear), sigma
        return f"{fields['leader']} asks about {member}, who joins as published", None

    def question(self, fields):
        if fields["i1"] not in self.questions:
            raise self.shut("no question with this I1")
        return self.questions[fields["i1"]]

    def read_t2(self, frame, suite, fields):
        leader, member, h, secret = self.question(fields)
        key = ra.answer_box(suite, self.key(leader), leader, fields["status"], h)
        text = Aead(suite, key).open(ra.nonce(0, 0), frame.clear, frame.sealed, frame.tag)
        if not same(text, secret if fields["status"] == "Vouched" else b""):
            raise Forged("the key of another join")
        return f"{fields['status']}: {member}", None

    def session(self, fields):
        """Leader, member, h and k of the join that this RA-J2 answers."""
        if fields["i1"] not in self.beside.asked:
            return self.question(fields)
        asked = layout.Frame(self.beside.asked[fields["i1"]])
        suite, leader, member = published_suite(asked.suite), asked.fields["leader"], asked.fields["member"]
        if (member, fields["i0"]) not in self.joins:
            raise self.shut("no RA-J1 with this I0")
        sigma = an.sigma(suite, self.beside.key(suite, member), leader, member)
        return leader, member, *ra.mixed_session(sigma, asked.data, self.joins[member, fields["i0"]])

    def read_j2(self, frame, suite, fields):
        leader, member, h, k = self.session(fields)
        if fields["share"]:
            self.shut_joins.add(fields["i1"])
            raise self.shut(f"{leader} and {member} made the keys of this session by an ephemeral exchange")
        z = ra.channel_root(k, b"", h, frame.clear)
        k_la, _ = ra.keys_of_root(suite, z)
        offer = decode(layout.OFFER, Aead(suite, k_la).open(ra.nonce(0, 0), frame.clear, frame.sealed, frame.tag))
        if offer[0] == "Refuse":
            return f"{member} is refused: {offer[1]}", None
        accept = offer[1]["accept"] if offer[0] == "AcceptMixed" else offer[1]
        place = accept["group"], accept["cid"]
        self.roots[place], self.origin[accept["group"], 0] = z, accept["leader_key"]
        self.welcome(accept, offer[1].get("group"), place, member, leader)
        if offer[0] == "AcceptMixed":
            self.beside.leaders[member], self.beside.signing[leader] = leader, offer[1]["published_key"]
            self.beside.sigmas[member] = an.mixed_sigma(self.mixes[accept["group"]][0], z)
        return f"{member} may join as number {accept['cid']}", None

    def channel(self, suite, fields):
        place = fields["group"], fields["cid"]
        if place not in self.roots:
            if self.shut_joins:
                raise self.shut("a channel whose keys come from an ephemeral exchange")
            raise self.shut("no join of this member")
        return ra.keys_of_root(suite, self.roots[place])

    def channel_text(self, frame, suite, key):
        text = Aead(suite, key).open(ra.nonce(0, frame.fields["n"]), frame.clear, frame.sealed, frame.tag)
        return decode(frame.message.body, text)

    def read_cl(self, frame, suite, fields):
        text = self.channel_text(frame, suite, self.channel(suite, fields)[0])
        match text["body"]:
            case ("Record", ("Wrapped", wrapped)):
                place = fields["group"], wrapped["from"], wrapped["number"]
                self.word_key(place, wrapped)
        said = self.body(text) or self.witness(fields, text, "the member's heartbeat: challenge", "the leader's heartbeat")
        return f"the leader to {self.name(fields)}, epoch {text['status']['epoch']}: {said}", None

    def read_cm(self, frame, suite, fields):
        text = self.channel_text(frame, suite, self.channel(suite, fields)[1])
        match text["body"]:
            case ("Record", ("Hello", hello)):
                self.origin[fields["group"], fields["cid"]] = hello["origin_key"]
            case ("Record", ("Wrap", wrap)):
                self.word_key((fields["group"], fields["cid"], text["status"]["rseq"]), wrap)
        answer = "the member's heartbeat" if text["status"]["epoch"] else "key request"
        said = self.body(text) or self.witness(fields, text, "the leader's heartbeat: challenge", answer)
        return f"{self.name(fields)}, epoch {text['status']['epoch']}: {said}", None

    def word_key(self, place, record):
        """K' and the digest of a word: the leader hands on what the sender has given it."""
        told = record["key"], record["digest"]
        if self.words.setdefault(place, told) != told:
            raise Forged("another key or digest than the one of the sender")

    def read_p(self, frame, suite, fields):
        place = fields["group"], fields["cid"], fields["number"]
        if place not in self.words:
            raise self.shut("a private word whose key is not known")
        key, digest = self.words[place]
        if not same(digest, sha256(frame.data)):
            raise Forged("another text than the one that its sender has named")
        content = decode(layout.PRIVATE, ra.open_private_word(suite, key, frame))
        return f"{self.name(fields)}, to some alone,", U8.put(content["port"]) + content["payload"]

    def name(self, fields):
        return self.names.get((fields["group"], fields["cid"]), f"number {fields['cid']}")

    def witness(self, fields, text, challenge, answer):
        """Of which part a frame without a body is, in a mix (RA §3)."""
        if fields["group"] not in self.mixes:
            return "nothing more"
        return challenge if text["status"]["flags"] & ASKS else answer

    def body(self, text):
        match text["body"]:
            case ("Record", (kind, _)):
                return f"record {kind}"
            case ("End", end):
                return f"end, {end['reason']}"
        return None

    def read_r(self, frame, suite, fields):
        common = layout.COMMON.put(fields["common"])
        epoch, group = fields["common"]["epoch"], fields["group"]
        version, digest = fields["common"]["policy"], fields["common"]["policy_digest"]
        if self.policies.get((group, version), digest) != digest:
            raise Forged("another policy than the one of the offer")
        opened = []
        for block in fields["blocks"]:
            if (group, block["cid"]) in self.roots:
                keys = self.channel(suite, {"group": group, "cid": block["cid"]})
                ad = ra.block_ad(suite, group, common, block["cid"], epoch)
                group_key = Aead(suite, keys[0]).open(ra.nonce(1, epoch), ad, block["key"], block["tag"])
                base = ra.data_base(group, common, group_key)
                if self.bases.setdefault((group, epoch), base) != base:
                    raise Forged("two group keys of one epoch")
                if group in self.mixes:
                    # Parts as published get a g and a K_g of their own.
                    published, app = self.mixes[group]
                    other = layout.GROUP_ID.put(ra.mixed_group(app, group, epoch))
                    self.beside.keys[other] = an.mixed_group_key(published, base)
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

    def read_dm(self, frame, suite, fields):
        group, kind, key = fields["group"], fields["kind"], None
        if kind != "Clear":
            group_key = self.beside.group_key(group)
            key = ra.bridged_data_key(suite, group, group_key, kind, fields["sender"], fields["salt"])
        content = decode(layout.CONTENT, ra.open_data(suite, key, frame))
        if content["origin"]:
            raise Forged("a signature where there is none")
        return fields["sender"], U8.put(content["port"]) + content["payload"]
