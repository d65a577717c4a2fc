"""Field encodings, as docs/wire-layout.md lists them under "Encodings".

Each encoding is an object with `put(value) -> bytes` and `take(reader) -> value`. Values are plain Python: numbers, str for
names (None for no name), bytes, dicts for structures, lists, and for a choice its name or the pair (name, value).
Everything that is not the one canonical encoding of a value is a Malformed.
"""


class Malformed(Exception):
    """The bytes are not an encoding of that kind, or the value has none."""


class Reader:
    """A position in bytes, with every read checked."""

    def __init__(self, data):
        self.data, self.at = bytes(data), 0

    def bytes(self, length):
        taken = self.data[self.at : self.at + length]
        if len(taken) != length:
            raise Malformed("cut off")
        self.at += length
        return taken

    def number(self, length):
        return int.from_bytes(self.bytes(length), "big")

    def left(self):
        return len(self.data) - self.at

    def finish(self):
        if self.left():
            raise Malformed("bytes after the end")


def decode(encoding, data):
    """The value whose encoding is all of `data`."""
    reader = Reader(data)
    value = encoding.take(reader)
    reader.finish()
    return value


def number(value, length, most=None):
    most = (1 << (8 * length)) - 1 if most is None else most
    if not 0 <= value <= most:
        raise Malformed(f"{value} is above {most}")
    return value.to_bytes(length, "big")


def control(character):
    code = ord(character)
    return code < 0x20 or 0x7F <= code <= 0x9F


class Number:
    def __init__(self, length, most=None):
        self.length, self.most = length, most

    def put(self, value):
        return number(value, self.length, self.most)

    def take(self, reader):
        value = reader.number(self.length)
        if self.most is not None and value > self.most:
            raise Malformed(f"{value} is above {self.most}")
        return value


class Flag:
    def put(self, value):
        return bytes([1 if value else 0])

    def take(self, reader):
        value = reader.number(1)
        if value > 1:
            raise Malformed("neither yes nor no")
        return value == 1


class Set16:
    """A set of names, each of which has a bit."""

    def __init__(self, *names):
        self.names = names

    def put(self, value):
        return number(sum(1 << self.names.index(name) for name in value), 2)

    def take(self, reader):
        bits = reader.number(2)
        if bits >> len(self.names):
            raise Malformed("a bit that stands for nothing")
        return [name for place, name in enumerate(self.names) if bits >> place & 1]


class Fixed:
    def __init__(self, length):
        self.length = length

    def put(self, value):
        if len(value) != self.length:
            raise Malformed("of another length")
        return value

    def take(self, reader):
        return reader.bytes(self.length)


class Name:
    def __init__(self, optional=False):
        self.optional = optional

    def put(self, value):
        data = (value or "").encode()
        self.check(data)
        return number(len(data), 1) + data

    def take(self, reader):
        data = reader.bytes(reader.number(1))
        self.check(data)
        return data.decode() or None

    def check(self, data):
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise Malformed("a name that is no UTF-8") from None
        if not data and not self.optional:
            raise Malformed("an empty name")
        if any(map(control, text)):
            raise Malformed("a control character in a name")


class Bytes:
    """Bytes behind a length: `opaque[least..most]` with two bytes, `payload[..most]` with four."""

    def __init__(self, least, most, length=2):
        self.least, self.most, self.length = least, most, length

    def check(self, length):
        if not self.least <= length <= self.most:
            raise Malformed(f"{length} bytes, not {self.least} to {self.most}")

    def put(self, value):
        self.check(len(value))
        return number(len(value), self.length) + value

    def take(self, reader):
        length = reader.number(self.length)
        self.check(length)
        return reader.bytes(length)


class Rest:
    def __init__(self, most):
        self.most = most

    def put(self, value):
        if len(value) > self.most:
            raise Malformed("too long")
        return value

    def take(self, reader):
        return self.put(reader.bytes(reader.left()))


class Struct:
    def __init__(self, **fields):
        self.fields = fields

    def put(self, value):
        if set(value) != set(self.fields):
            raise Malformed(f"fields {sorted(set(value) ^ set(self.fields))}")
        return b"".join(encoding.put(value[name]) for name, encoding in self.fields.items())

    def take(self, reader):
        return {name: encoding.take(reader) for name, encoding in self.fields.items()}


class Choice:
    """One byte, then what it stands for: `alternatives` maps codes to names or to (name, encoding)."""

    def __init__(self, alternatives):
        pairs = {code: kind if isinstance(kind, tuple) else (kind, None) for code, kind in alternatives.items()}
        self.by_code = pairs
        self.by_name = {name: (code, encoding) for code, (name, encoding) in pairs.items()}

    def put(self, value):
        name, inner = value if isinstance(value, tuple) else (value, None)
        code, encoding = self.by_name[name]
        return bytes([code]) + (encoding.put(inner) if encoding else b"")

    def take(self, reader):
        code = reader.number(1)
        if code not in self.by_code:
            raise Malformed(f"no alternative {code}")
        name, encoding = self.by_code[code]
        return (name, encoding.take(reader)) if encoding else name


class Nested:
    def __init__(self, inner, most):
        self.inner, self.outer = inner, Bytes(0, most)

    def put(self, value):
        return self.outer.put(self.inner.put(value))

    def take(self, reader):
        return decode(self.inner, self.outer.take(reader))


class List:
    def __init__(self, item, most, rising=False):
        self.item, self.most, self.rising = item, most, rising

    def put(self, value):
        items = [self.item.put(item) for item in value]
        self.check(items)
        return number(len(items), 4, self.most) + b"".join(items)

    def take(self, reader):
        count = reader.number(4)
        if count > self.most:
            raise Malformed("too many items")
        items = [self.item.take(reader) for _ in range(count)]
        self.check([self.item.put(item) for item in items])
        return items

    def check(self, items):
        keys = [item[:8] for item in items]
        if self.rising and any(one >= other for one, other in zip(keys, keys[1:])):
            raise Malformed("out of order")


U8, U32, U64, YES_NO = Number(1), Number(4), Number(8), Flag()
NAME, NAME_OR_NONE = Name(), Name(optional=True)
