"""Enclaves 2.0 as published, read with P_a of its users alone: nothing in it is safe from who learns them later."""

import enclaves_published as ep
import layout
from codec import U8
from suites import Forged, published_suite, same

WORDS = {"+": "_added", "-": "_removed"}


class VersionTwoSession:
    """What an eavesdropper with everybody's P_a has learnt so far."""

    def __init__(self, first, shut):
        self.users = {name: bytes.fromhex(key) for name, key in first["long_term"].items()}
        self.shut = shut
        self.shut_joins = ()
        self.sessions = {}  # member: each (N2, K_a) that it was given
        self.groups = []  # each K_g, with its vector

    def read(self, frame):
        """What the frame is, and what it says: None, or port and payload."""
        handler = "read_" + "".join(WORDS.get(letter, letter) for letter in frame.id[3:].lower())
        return getattr(self, handler)(published_suite(frame.suite), frame.fields)

    def first_that_opens(self, candidates, open_one, what):
        """Nothing names its key: what parses and says what it must is it. Newer ones are tried first."""
        for candidate in reversed(candidates):
            try:
                return candidate, open_one(candidate)
            except Forged:
                continue
        raise self.shut(f"no {what} opens it")

    def under_session(self, suite, members, sealed, encoding, right):
        """A text under some K_a of one of `members` that is `right` for that member and session."""
        candidates = [(member, *session) for member in members for session in self.sessions.get(member, [])]

        def open_one(candidate):
            text = ep.open_text(suite, candidate[2], sealed, encoding)
            if not right(candidate, text):
                raise Forged("a text for another")
            return text

        return self.first_that_opens(candidates, open_one, "K_a")

    def under_group(self, suite, sealed, encoding, right=lambda key, text: True):
        def open_one(key):
            text = ep.open_text(suite, key, sealed, encoding)
            if not right(key, text):
                raise Forged("a text for another")
            return text

        return self.first_that_opens(self.groups, open_one, "K_g")[1]

    def learn(self, group):
        if group not in self.groups:
            self.groups.append(group)

    def read_p1(self, _suite, fields):
        return f"{fields['member']} wishes to join", None

    def read_p2(self, _suite, fields):
        return f"{fields['leader']}: {fields['answer']}", None

    def read_a1(self, suite, fields):
        member = fields["member"]
        if member not in self.users:
            raise self.shut(f"no P_a of {member}")
        text = ep.open_with_iv(suite, self.users[member], fields["sealed"], layout.AUTH_REQUEST_TEXT)
        if text["member"] != member:
            raise Forged("a request of another")
        return f"{member} asks {text['leader']}", None

    def read_a2(self, suite, fields):
        def open_one(member):
            text = ep.open_with_iv(suite, self.users[member], fields["sealed"], layout.AUTH_REPLY_TEXT)
            if (text["member"], text["leader"]) != (member, fields["leader"]):
                raise Forged("a reply to another")
            return text

        member, text = self.first_that_opens(list(self.users), open_one, "P_a")
        session = text["n2"], ep.Vector(text["session"], text["iv"])
        if session not in self.sessions.setdefault(member, []):
            self.sessions[member].append(session)
        self.learn(ep.Vector(text["group"], text["iv"]))
        return f"K_a and K_g for {member}", None

    def read_a3(self, suite, fields):
        right = lambda candidate, text: text["n2"] == candidate[1]
        self.under_session(suite, [fields["member"]], fields["sealed"], layout.AUTH_CONFIRM_TEXT, right)
        return f"{fields['member']} is in", None

    def read_m_added(self, suite, fields):
        return f"{self.under_group(suite, fields['sealed'], layout.MEMBER_TEXT_2)['name']} is a member", None

    def read_m_removed(self, suite, fields):
        return f"{self.under_group(suite, fields['sealed'], layout.MEMBER_TEXT_2)['name']} is no member any more", None

    def read_nk(self, suite, fields):
        right = lambda _, text: len(text["group"]) == suite.key_length and len(text["iv"]) == suite.vector_length
        found, text = self.under_session(suite, list(self.sessions), fields["sealed"], layout.NEW_KEY_TEXT, right)
        self.learn(ep.Vector(text["group"], text["iv"]))
        return f"a new K_g for {found[0]}", None

    def read_nka(self, suite, fields):
        right = lambda key, text: same(text["group"], key.key)
        self.under_group(suite, fields["sealed"], layout.NEW_KEY_ACK_TEXT, right)
        return f"{fields['member']} has the new K_g", None

    def read_c1(self, _suite, fields):
        return f"{fields['member']} leaves", None

    def read_c2(self, _suite, fields):
        return f"{fields['leader']} closes", None

    def data(self, suite, fields):
        text = self.under_group(suite, fields["sealed"], layout.SAID, lambda _, text: text["port"] < 2)
        return fields["sender"], U8.put(text["port"]) + text["text"]

    read_d1 = read_d2 = data

    def read_g1(self, suite, fields):
        right = lambda _, text: text["port"] < 2
        _, text = self.under_session(suite, [fields["sender"]], fields["sealed"], layout.GOSSIP_TEXT, right)
        found = f"{fields['sender']}, to {', '.join(text['recipients'])} only,"
        return found, U8.put(text["port"]) + text["text"]

    def read_g2(self, suite, fields):
        right = lambda candidate, text: text["recipient"] == candidate[0]
        found, text = self.under_session(suite, list(self.sessions), fields["key"], layout.GOSSIP_KEY_TEXT, right)
        said = ep.open_with_iv(suite, text["key"], fields["sealed"], layout.SAID)
        return f"{fields['sender']}, to {found[0]} only,", U8.put(said["port"]) + said["text"]
