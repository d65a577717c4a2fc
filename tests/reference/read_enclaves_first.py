"""Enclaves 1.0, read with P_a of its users alone: K_a, all group keys and the keys of direct links follow."""

import enclaves_first as first
from codec import U8
from suites import Forged, published_suite

DIRECT = ("EN-1XH", "EN-1XW", "EN-1XP", "EN-1XA", "EN-1XE")


class FirstSession:
    """What an eavesdropper with everybody's P_a has learnt so far."""

    def __init__(self, told, shut):
        self.users = {name: bytes.fromhex(key) for name, key in told["long_term"].items()}
        self.shut = shut
        self.shut_joins = ()
        self.sessions, self.groups, self.direct = [], [], []  # each K_a, K_g and K_ab

    def keys(self, frame):
        """The keys that may open a frame, newer ones first. Nothing names them."""
        if frame.id == "EN-1J":
            return [self.users[frame.fields["member"]]] if frame.fields["member"] in self.users else []
        if frame.id in ("EN-1K", "EN-1E"):
            return list(self.users.values())
        if frame.id in DIRECT:
            return self.direct[::-1]
        return self.groups[::-1] if frame.id == "EN-1D" else self.sessions[::-1]

    def read(self, frame):
        """What the frame is, and what it says: None, or port and payload."""
        suite = published_suite(frame.suite)
        for key in self.keys(frame):
            try:
                text = first.open_message(suite, key, frame)
                break
            except Forged:
                continue
        else:
            raise self.shut("no key that is known opens it")
        head = text["head"]
        way = f"{head['sender']} to {head['recipient'] or 'the group'}"
        if "text" in text:
            other = f" ({text['other']} at the far end)" if "other" in text else ""
            return f"{head['sender']}" if not head["recipient"] else f"{way}{other}", U8.put(text["port"]) + text["text"]
        return f"{way}, number {head['sequence']}: {self.learn(frame.id, text)}", None

    def learn(self, name, text):
        """What a message says, and the keys in it."""
        for field, known in (("session", self.sessions), ("group", self.groups), ("direct", self.direct)):
            if field in text and text[field] not in known:
                known.append(text[field])
        match name:
            case "EN-1J":
                return "a wish to join"
            case "EN-1K":
                return f"K_a, and K_g of epoch {text['epoch']}"
            case "EN-1E":
                return f"refused: {text['why']}"
            case "EN-1N":
                return f"K_g of epoch {text['epoch']}"
            case "EN-1M":
                return ", ".join(f"{change['name']} is {change['presence'].lower()}" for change in text["changes"])
            case "EN-1C":
                return f"the end: {text['why']}"
            case "EN-1XR" | "EN-1XD" | "EN-1XK":
                return f"about a direct link to {text['peer']}"
        return f"about number {text['answers']}" if "answers" in text else "nothing more"
