"""Vectors as they are made and stored: fixed inputs, and a book for each edition and suite."""

import layout
from suites import AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, expand, sha256

MODERN = (AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305)
APP, LEADER, MEMBER, OTHER = "chess", "lena", "ada", "bob"
HELLO = "hello, all".encode()


def filler(label, length):
    """Bytes that look random, the same in each run."""
    return expand(sha256(b"sodality vectors"), label.encode(), length)


def is_prime(number):
    """Miller and Rabin, with fixed bases: enough for numbers that nobody chose."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        value = pow(base, odd, number)
        if value in (1, number - 1):
            continue
        if not any((value := value * value % number) == number - 1 for _ in range(twos - 1)):
            return False
    return True


def prime(label):
    number = int.from_bytes(filler(label, 64), "big") | (3 << 510) | 1
    while (number - 1) % 65537 == 0 or not is_prime(number):
        number += 2
    return number.to_bytes(64, "big")


RSA_SECRET = prime("p") + prime("q")
ORIGIN_SECRET = filler("origin secret", 32)
INSTANCE = filler("group instance", 16)
# Port and payload of what is said.
PAYLOADS = ((0, HELLO), (1, filler("payload", 40)))
POLICY = layout.POLICY_FORM.put({
    "form": 1, "ephemeral": True, "rekey_on": ["Join", "Leave", "Eject", "Failure", "Takeover", "Policy", "Command"],
    "grace": 5000, "settle": 1000, "key_lifetime": 0, "key_messages": 0, "key_bytes": 0, "protection": "Both",
    "origin": True, "views": "WithEachKey", "detection": True, "period": 5000, "misses": 3, "remove_silent": True,
    "eject_requests": "Refused", "takeover": True, "frame_limit": 65536, "hint": b"", "communication": "Relay",
    "mix": "AllRepaired",
})


class Book:
    """Vectors of one edition and suite."""

    def __init__(self, vectors, edition, suite):
        self.vectors, self.edition, self.suite = vectors, edition, suite

    def add(self, id, frame, inputs, derived=None, opening=None, note=None):
        vector = {"id": id, "edition": self.edition, "suite": self.suite, "note": note, "inputs": inputs}
        vector |= {"derived": derived or {}, "opening": opening or {}, "bytes": frame}
        self.vectors.append({name: plain(value) for name, value in vector.items() if value})
        return frame


def plain(value):
    """As JSON has it."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return {value[0]: plain(value[1])}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
