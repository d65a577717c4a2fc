"""The published edition, read with the long-term keys alone."""

import layout
import published as an
import repaired as ra
from codec import Malformed
from suites import Forged, published_suite, same, xor


def group_key_of(group):
    return layout.GROUP_ID.put(group)


class PublishedSession:
    """What an eavesdropper with everybody's K_X has learnt so far."""

    def __init__(self, long_term, shut):
        self.long_term, self.shut = long_term, shut
        self.questions = {}  # I1: (leader, member)
        self.leaders = {}  # member: leader, as AN-J2 names them
        self.signing = {}  # leader: Pu_G
        self.keys = {}  # g, encoded: K_g
        self.asked = {}  # I1: AN-T1
        self.wishes = {}  # (member, I0): AN-J1
        self.replies = {}  # (member, I2): AN-J2, and (G, cid)
        self.shut_joins = ()  # none has an ephemeral exchange
        self.sigmas = {}  # member: σ of the present session, behind a repaired join
        self.beside = None  # what is known of repaired parts

    def key(self, suite, name):
        """K_X of this edition."""
        if name not in self.long_term:
            raise self.shut(f"no long-term key of {name}")
        return an.long_term(suite, self.long_term[name], name)

    def sigma(self, suite, member):
        """σ: of this session behind a repaired join, of all sessions behind one as published."""
        if member in self.sigmas:
            return self.sigmas[member]
        if member not in self.leaders:
            raise self.shut(f"no AN-J2 named the leader of {member}")
        return an.sigma(suite, self.key(suite, member), self.leaders[member], member)

    def group_key(self, group):
        if group_key_of(group) not in self.keys:
            raise self.shut("no message gave this group key to anybody known")
        return self.keys[group_key_of(group)]

    def read(self, frame):
        """What the frame is, and what it says to the group: None, or port and payload."""
        suite, fields = published_suite(frame.suite), frame.fields
        handler = getattr(self, "read_" + frame.id[3:].lower())
        return handler(suite, fields, frame)

    def read_t1(self, _suite, fields, frame):
        self.asked[fields["i1"]] = frame.data
        self.questions[fields["i1"]] = (fields["leader"], fields["member"])
        return f"{fields['leader']} asks for the key with {fields['member']}", None

    def answer(self, suite, fields, encoding):
        """The text of AN-T2 or AN-T2s, and whom it is about. The frame names nobody: the key that opens it does."""
        for leader in sorted({leader for leader, _ in self.questions.values()} & set(self.long_term)):
            try:
                text = an.open_text(suite, self.key(suite, leader), fields["sealed"], encoding)
            except Forged:
                continue
            if text["i1"] in self.questions:
                return text, *self.questions[text["i1"]]
        raise self.shut("no key of a leader opens it")

    def read_t2(self, suite, fields, _frame):
        text, leader, member = self.answer(suite, fields, layout.PAIR_TEXT)
        sigma = xor(text["pair"], suite.name_under(self.key(suite, leader), member, leader))
        if not same(sigma, an.sigma(suite, self.key(suite, member), leader, member)):
            raise Forged("π is about another pair (A4)")
        return f"π of {leader} and {member}", None

    def read_t2s(self, suite, fields, _frame):
        text, leader, member = self.answer(suite, fields, layout.STRONG_TEXT)
        expected = an.sigma(suite, self.key(suite, member), leader, member)
        if text["member"] != member or not same(text["key"], expected):
            raise Forged("σ of another pair")
        return f"σ of {leader} and {member}", None

    def read_j1(self, _suite, fields, frame):
        self.wishes[fields["member"], fields["i0"]] = frame.data
        return f"{fields['member']} wishes to join", None

    def read_j2(self, suite, fields, frame):
        leader, member = fields["leader"], fields["member"]
        key = an.sigma(suite, self.key(suite, member), leader, member)
        text = an.open_text(suite, key, fields["sealed"], layout.REPLY_TEXT)
        if text["member"] != member:
            raise Forged("a reply to another")
        self.leaders[member] = leader
        self.sigmas.pop(member, None)
        self.signing[leader] = text["key"]
        more = text["more"]
        wish = self.wishes.get((member, text["i0"]))
        self.replies[member, text["i2"]] = key, wish, frame.data, (more["instance"], more["cid"])
        self.beside.welcome(more, text["group"], (more["instance"], more["cid"]), member, leader)
        return f"{member} may join {text['group']['app']} as number {text['more']['cid']}", None

    def read_j3(self, suite, fields, frame):
        member = fields["member"]
        text = an.open_text(suite, self.sigma(suite, member), fields["sealed"], layout.CONFIRM_TEXT)
        if text["member"] != member:
            raise Forged("a confirmation of another")
        if (member, text["i2"]) not in self.replies:
            raise self.shut("no AN-J2 with this I2")
        sigma, wish, reply, place = self.replies[member, text["i2"]]
        if wish is None:
            raise self.shut("no AN-J1 with the I0 of this AN-J2")
        self.beside.roots[place] = ra.mixed_root(sigma, wish, reply, frame.data)
        return f"{member} confirms", None

    def read_je(self, _suite, fields, _frame):
        return f"{fields['member']} may not join: {fields['reason']}", None

    def learn(self, suite, text, frame):
        an.check_digest(suite, text["key"], frame)
        self.keys[group_key_of(text["group"])] = text["key"]

    def read_k(self, suite, fields, frame):
        text = an.open_text(suite, self.sigma(suite, fields["member"]), fields["sealed"], layout.KEY_TEXT)
        self.learn(suite, text, frame)
        return f"the group key {text['key'].hex()} for {fields['member']}", None

    def read_r(self, suite, fields, frame):
        for block in fields["blocks"]:
            if block["member"] in self.leaders:
                text = an.open_text(suite, self.sigma(suite, block["member"]), block["sealed"], layout.KEY_TEXT)
                self.learn(suite, text, frame)
        if not fields["blocks"]:
            return "a new group key for nobody", None
        self.group_key(fields["group"])
        return f"a new group key for {', '.join(block['member'] for block in fields['blocks'])}", None

    def read_l(self, suite, fields, _frame):
        member = fields["member"]
        text = an.open_text(suite, self.sigma(suite, member), fields["sealed"], layout.REMOVAL_TEXT)
        inner = an.open_text(suite, self.group_key(text["group"]), text["inner"], layout.TARGET_TEXT)
        if text["member"] != member:
            raise Forged("a removal by another")
        target = inner["target"]
        return f"{member} leaves" if target == member else f"{member} asks that {target} go", None

    def read_hl(self, suite, fields, _frame):
        leader = fields["leader"]
        if leader not in self.signing:
            raise self.shut("no AN-J2 gave Pu_G")
        suite.verify(self.signing[leader], an.beat_text(fields["group"], fields["sequence"]), fields["signature"])
        return f"{leader} lives, S = {fields['sequence']}", None

    def read_hm(self, suite, fields, _frame):
        expected = suite.mac(self.sigma(suite, fields["member"]), an.beat_text(fields["group"], fields["sequence"]))
        if not same(expected, fields["mac"]):
            raise Forged("a heartbeat")
        return f"{fields['member']} lives, S = {fields['sequence']}", None

    def read_q(self, _suite, fields, _frame):
        return f"{fields['member']} asks for the key", None

    def spoken(self, sender, text):
        if not text or text[0] > 1:
            raise Malformed("no port")
        return sender, text

    def read_di(self, suite, fields, frame):
        an.check_digest(suite, self.group_key(fields["group"]), frame)
        return self.spoken(fields["sender"], fields["text"])

    def read_dc(self, suite, fields, _frame):
        text = an.open_text(suite, self.group_key(fields["group"]), fields["sealed"], layout.DATA_TEXT)
        return self.spoken(text["sender"], text["text"])

    def read_db(self, suite, fields, frame):
        an.check_digest(suite, self.group_key(fields["group"]), frame)
        return self.read_dc(suite, fields, frame)

    def read_dn(self, _suite, fields, _frame):
        return self.spoken(fields["sender"], fields["text"])
