"""Repaired Enclaves, read with long-term keys, and with the private halves of ephemeral shares as far as they are told.

Of sessions by shared key without an exchange P_a opens everything. Of all others it opens the requests, and nothing after
them, unless one side's ephemeral secret is known (forward secrecy).
"""

import enclaves as en
import layout
import repaired as ra
from codec import U8, decode
from read_repaired import RepairedSession
from suites import Forged, ed25519_verify, sha256, x25519


class EnclaveSession:
    """What an eavesdropper with these keys has learnt so far."""

    def __init__(self, first, shut):
        self.long_term = {name: bytes.fromhex(key) for name, key in first["long_term"].items()}
        self.public = {name: bytes.fromhex(key) for name, key in first.get("public", {}).items()}
        secrets = map(bytes.fromhex, first.get("ephemeral", []))
        self.ephemeral = {en.share_of(secret): secret for secret in secrets}
        self.shut = shut
        self.requests = {}  # N1: EN-R1
        self.sessions = {}  # N2: K_a, and (G, cid) if it was an offer
        self.shut_joins = set()  # N2 of joins with an exchange of which no secret is known
        self.keys = {}  # (G, cid): K_a
        self.made = {}  # (G, cid, i): the number that the member brought with its ith Ack; 0 is EN-R3
        self.told = {}  # (G, cid, i): the number that the leader brought with its ith AdminMsg
        self.policies = {}  # (G, version): digest
        self.names = {}  # (G, cid): name
        self.origin = {}  # (G, cid): public origin key; 0 is the leader
        self.bases = {}  # (G, epoch): base
        self.private = {}  # (G, cid, number): K'
        self.sealed = {}  # (G, cid, number): digest of EN-R10

    def read(self, frame):
        """What the frame is, and what it says: None, or port and payload."""
        return getattr(self, "read_" + frame.id[3:].lower())(frame, frame.suite, frame.fields)

    def learn(self, table, key, value, what):
        """Everything is what it is only once, however often it is said."""
        if table.setdefault(key, value) != value:
            raise Forged(f"another {what}")

    def signed(self, name, part):
        """The key that `name` signs with, by the evidence of `part`."""
        match part["evidence"]:
            case ("Certified", certificate):
                fields = {field: value for field, value in certificate.items() if field != "signature"}
                ed25519_verify(self.public["issuer"], en.vouched(**fields), certificate["signature"])
                if certificate["name"] != name:
                    raise Forged("a certificate of another")
                return certificate["key"]
        return self.public[name]

    def by_shared_key(self, where, fields):
        way = en.SharedKey(where.suite, where.bytes, self.long_term[fields["member"]])
        part = decode(layout.SEALED_PART, fields["request"])
        text = way.unbox(way.part_key(b"request", fields["n1"]), where.bytes, part)
        return way, decode(layout.SHARED_ASK, text)["share"]

    def by_public_keys(self, where, fields):
        way, part = en.PublicKeys(where.bytes), decode(layout.SIGNED, fields["request"])
        way.check(self.signed(fields["member"], part), b"request ", (fields["n1"],), part)
        return way, part["share"]

    def way(self, where, fields):
        """How this EN-R1 shows who asks, and the share in it."""
        if fields["member"] in self.long_term:
            return self.by_shared_key(where, fields)
        if fields["member"] in self.public or "issuer" in self.public:
            return self.by_public_keys(where, fields)
        raise self.shut(f"no key of {fields['member']}")

    def read_r1(self, frame, suite, fields):
        where = Where(suite, fields)
        way, share = self.way(where, fields)
        self.requests[fields["n1"]] = where, way, share, fields
        how = "with an ephemeral share" if share else "without an ephemeral share"
        kind = "by shared key" if isinstance(way, en.SharedKey) else "by public keys"
        return f"{fields['member']} asks {fields['leader']} to join {fields['app']}, {kind}, {how}", None

    def agreed(self, n2, parties, shares):
        """What an exchange of these shares gave."""
        for one, other in (shares, shares[::-1]):
            if one in self.ephemeral:
                self.shut_joins.discard(n2)
                return x25519(self.ephemeral[one], other)
        self.shut_joins.add(n2)
        leader, member = parties
        raise self.shut(f"{leader} and {member} made K_a by an ephemeral exchange")

    def read_r2(self, frame, suite, fields):
        if fields["n1"] not in self.requests:
            raise self.shut("no request with this N1")
        where, way, share, asked = self.requests[fields["n1"]]
        n1, n2, request, answer = fields["n1"], fields["n2"], asked["request"], fields["answer"]
        parties = asked["leader"], asked["member"]
        if isinstance(way, en.SharedKey):
            part = decode(layout.SEALED_PART, answer)
            text = way.unbox(way.part_key(b"answer", n1, n2), way.answer_ad(request), part)
            text = decode(layout.SHARED_ANSWER, text)
            if bool(text["share"]) != bool(share):
                raise Forged("a share on one side only")
            agreed = text["fresh"] + (self.agreed(n2, parties, (share, text["share"])) if share else b"")
        else:
            part = decode(layout.SIGNED, answer)
            way.check(self.signed(asked["leader"], part), b"answer ", (n1, n2), part, request)
            agreed = self.agreed(n2, parties, (share, part["share"]))
        session = en.session_key(where.bytes, n1, n2, request, answer, agreed)
        offer = decode(layout.ENCLAVE_OFFER, en.open_boxed(suite, session, frame))
        if offer[0] == "Refuse":
            return f"{asked['member']} is refused: {offer[1]}", None
        accept = offer[1]
        group, cid = accept["group"], accept["cid"]
        self.learn(self.sessions, n2, (session, (group, cid)), "K_a")
        self.learn(self.keys, (group, cid), session, "K_a")
        self.names[group, cid], self.names[group, 0] = asked["member"], asked["leader"]
        self.learn(self.origin, (group, 0), accept["leader_key"], "key of the leader")
        self.policy(group, accept["policy_version"], accept["policy"])
        return f"{asked['member']} may join as number {cid}", None

    def policy(self, group, version, policy):
        decode(layout.POLICY_FORM, policy)
        self.learn(self.policies, (group, version), ra.policy_digest(policy), "policy of that version")

    def read_r3(self, frame, suite, fields):
        if fields["n2"] not in self.sessions:
            raise self.shut("no EN-R2 with this N2 that opened")
        session, place = self.sessions[fields["n2"]]
        text = decode(layout.CONFIRM, en.open_boxed(suite, session, frame))
        if text["proof"]:
            raise Forged("a proof where there is none")
        self.learn(self.made, (*place, 0), text["n3"], "N3")
        self.learn(self.origin, place, text["origin_key"], "origin key")
        return f"{self.names[place]} is in", None

    def open(self, frame, suite, fields):
        """The text of a frame under K_a, and whose it is."""
        place = fields["group"], fields["cid"]
        if place not in self.keys:
            raise self.shut("a K_a that is not known")
        text = en.open_boxed(suite, self.keys[place], frame)
        return place, self.name(fields), decode(frame.message.body, text)

    def name(self, fields):
        return self.names.get((fields["group"], fields["cid"]), f"number {fields['cid']}")

    def chained(self, before, place, last):
        """Each side names what the other brought last."""
        if before.get(place, last) != last:
            raise Forged("a number out of the chain")

    def read_r4(self, frame, suite, fields):
        place, name, text = self.open(frame, suite, fields)
        self.chained(self.made, (*place, fields["seq"] - 1), text["last"])
        self.learn(self.told, (*place, fields["seq"]), text["next"], "number of the leader")
        said = self.admin(fields["group"], text["payload"])
        return f"the leader to {name}, {fields['seq']}, epoch {text['epoch']}: {said}", None

    def admin(self, group, payload):
        match payload:
            case ("Key", new):
                facts = new["common"]
                digest = self.policies.get((group, facts["policy"]))
                if digest not in (None, facts["policy_digest"]):
                    raise Forged("another policy than the one that was told")
                base = ra.data_base(group, layout.COMMON.put(facts), new["key"])
                self.learn(self.bases, (group, facts["epoch"]), base, "group key of one epoch")
                return f"the key of epoch {facts['epoch']}"
            case ("View", page):
                for change in page["changes"]:
                    match change:
                        case ("Add", entry):
                            self.names[group, entry["cid"]] = entry["name"]
                            self.learn(self.origin, (group, entry["cid"]), entry["origin_key"], "origin key")
                return f"the view up to {page['to']}"
            case ("Policy", change):
                self.policy(group, change["version"], change["policy"])
                return f"policy {change['version']}"
            case ("GossipKey", one):
                word = group, one["from"], one["number"]
                self.learn(self.private, word, one["key"], "K'")
                self.learn(self.sealed, word, one["digest"], "digest of a private message")
                return f"K' of message {one['number']} from {self.name({'group': group, 'cid': one['from']})}"
            case ("Ejection", answer):
                return f"about request {answer['rseq']}: {answer['verdict']}"
            case ("GossipGrant", one):
                return f"a K' for message {one['number']}"
            case ("Object", ("Rights", one)):
                return "rights: " + ", ".join(f"{right['object']} {right['right']}" for right in one["rights"])
            case ("Object", ("Piece", one)):
                return f"a piece of {one['object']}, version {one['version']}: {len(one['bytes'])} of {one['size']} bytes"
            case ("Object", ("Answer", one)):
                return f"change {one['number']}: {one['verdict'][0]}"
            case ("Gossiped", one):
                return f"message {one['number']} has been passed on"
        return "it lives"

    def read_r5(self, frame, suite, fields):
        place, name, text = self.open(frame, suite, fields)
        self.chained(self.told, (*place, fields["seq"]), text["last"])
        self.learn(self.made, (*place, fields["seq"]), text["next"], "number of the member")
        return f"{name} has {fields['seq']}", None

    def read_r6(self, frame, suite, fields):
        place, name, text = self.open(frame, suite, fields)
        if (text["member"], text["leader"]) != (name, self.names[place[0], 0]):
            raise Forged("a wish of another to close")
        return f"{name} closes", None

    def read_r7(self, frame, suite, fields):
        _, name, text = self.open(frame, suite, fields)
        return f"the end for {name}: {text['reason']}", None

    def read_r8(self, frame, suite, fields):
        place, name, text = self.open(frame, suite, fields)
        match text:
            case ("Eject", wish):
                return f"{name} asks that {wish['name']} go", None
            case ("Gossip", wish):
                said = wish["text"]
                return f"{name}, through the leader,", U8.put(said["port"]) + said["payload"]
            case ("GossipWrap", wish):
                self.learn(self.private, (*place, fields["number"]), wish["key"], "K'")
                return f"{name} hands over a K'", None
            case ("GossipKey", _):
                return f"{name} asks for a K'", None
            case ("Put", piece):
                return f"{name} puts {len(piece['bytes'])} of {piece['size']} bytes into {piece['object']}", None
        return f"{name} is here", None

    read_r9 = RepairedSession.read_d

    def read_r10(self, frame, suite, fields):
        place = fields["group"], fields["cid"], fields["number"]
        if place not in self.private:
            raise self.shut("no recipient's K' of this message is known")
        if place in self.sealed and self.sealed[place] != sha256(frame.data):
            raise Forged("another text than the one that the leader has named")
        text = decode(layout.PRIVATE, en.open_r10(suite, self.private[place], frame))
        return f"{self.name(fields)}, in private,", U8.put(text["port"]) + text["payload"]


class Where:
    """The scene of a join."""

    def __init__(self, suite, fields):
        self.suite = suite
        self.bytes = en.scene(suite, fields["app"], fields["leader"], fields["member"])
