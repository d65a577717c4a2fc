"""Cryptography: the suites of docs/wire-layout.md, as antigone-published.md §9, D2 to D10 and RA §2 use them.

The one package beside the standard library is `cryptography` (pyca): it has all that the modern suites need, wheels for
every usual system, and DES as the TripleDES of three equal keys. MD5 comes from hashlib. RSA signatures are computed with
pow(), because OpenSSL may refuse MD5 in a signature; that is ten lines, and shows what PKCS #1 v1.5 is.
"""

import hashlib
import hmac as hmac_
import warnings

from codec import NAME, Malformed
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    try:
        from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    except ImportError:
        from cryptography.hazmat.primitives.ciphers.algorithms import TripleDES

AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, DES_MD5_RSA = 1, 2, 3, 0x10
SUITES = {
    AES_128_GCM: "AES-128-GCM", AES_256_GCM: "AES-256-GCM", CHACHA20_POLY1305: "ChaCha20-Poly1305",
    DES_MD5_RSA: "DES-MD5-RSA",
}
AEADS = {AES_128_GCM: (AESGCM, 16), AES_256_GCM: (AESGCM, 32), CHACHA20_POLY1305: (ChaCha20Poly1305, 32)}


class Forged(Exception):
    """A tag, a box, a padding or a signature is wrong."""


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def hmac(key, *parts):
    return hmac_.new(key, b"".join(parts), "sha256").digest()


def extract(salt, secret):
    """HKDF-Extract of RFC 5869."""
    return hmac(salt, secret)


def expand(key, info, length=32):
    """HKDF-Expand of RFC 5869."""
    out, block = b"", b""
    while len(out) < length:
        block = hmac(key, block, info, bytes([len(out) // 32 + 1]))
        out += block
    return out[:length]


def mac(key, *parts):
    """A tag of HMAC is the first 16 of its 32 bytes."""
    return hmac(key, *parts)[:16]


def same(one, other):
    return hmac_.compare_digest(one, other)


class Aead:
    """An AEAD with 12 bytes of nonce and 16 of tag. Ciphertext and tag are kept apart."""

    def __init__(self, suite, key):
        kind, length = AEADS[suite]
        if len(key) != length:
            raise ValueError("a key of another length")
        self.cipher = kind(key)

    def seal(self, nonce, ad, text):
        sealed = self.cipher.encrypt(nonce, text, ad)
        return sealed[:-16], sealed[-16:]

    def open(self, nonce, ad, sealed, tag):
        try:
            return self.cipher.decrypt(nonce, sealed + tag, ad)
        except (InvalidTag, ValueError):
            raise Forged("a box") from None


def aead_key_length(suite):
    return AEADS[suite][1]


def raw(key):
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def ed25519_public(secret):
    return raw(Ed25519PrivateKey.from_private_bytes(secret).public_key())


def ed25519_sign(secret, text):
    return Ed25519PrivateKey.from_private_bytes(secret).sign(text)


def ed25519_verify(public, text, signature):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
    except (InvalidSignature, ValueError):
        raise Forged("a signature") from None


def x25519_public(secret):
    return raw(X25519PrivateKey.from_private_bytes(secret).public_key())


def x25519(secret, share):
    """The exchange; pyca refuses the all-zero result, as RA §2 wants."""
    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(share))


class Modern:
    """A modern suite under the report's notation (antigone-published.md §9)."""

    # iv: what stands in front of a ciphertext; vector: what travels with a key (D5).
    key_length, nonce_length, iv_length, vector_length = 32, 16, 12, 16

    def __init__(self, suite):
        self.id = suite

    def split(self, key, label, length=32):
        return expand(extract(b"sodality published key", key), label, length)

    def name_under(self, key, named, owner):
        return self.split(key, b"pair" + NAME.put(named) + NAME.put(owner))

    def aead(self, key):
        return Aead(self.id, self.split(key, b"published seal", aead_key_length(self.id)))

    def encrypt(self, key, iv, text):
        sealed, tag = self.aead(key).seal(iv, b"", text)
        return iv + sealed + tag

    def decrypt(self, key, sealed):
        if len(sealed) < 28:
            raise Forged("too short")
        return self.aead(key).open(sealed[:12], b"", sealed[12:-16], sealed[-16:])

    def fixed(self, key):
        return Aead(self.id, self.split(key, b"published fixed seal", aead_key_length(self.id)))

    def encrypt_fixed(self, key, iv, text):
        """Under the vector that belongs to the key: the number follows from vector and text (enclaves.md §3)."""
        number = mac(self.split(key, b"published fixed number"), iv, text)[:12]
        sealed, tag = self.fixed(key).seal(number, iv, text)
        return number + sealed + tag

    def decrypt_fixed(self, key, iv, sealed):
        if len(sealed) < 28:
            raise Forged("too short")
        return self.fixed(key).open(sealed[:12], iv, sealed[12:-16], sealed[-16:])

    def mac(self, key, text):
        return mac(self.split(key, b"published mac"), text)

    def public(self, secret):
        return ed25519_public(secret)

    def sign(self, secret, text):
        return ed25519_sign(secret, text)

    def verify(self, public, text, signature):
        ed25519_verify(public, text, signature)


class DesMd5Rsa:
    """DES, MD5 and RSA, as in 1999 (D2 to D10)."""

    id = DES_MD5_RSA
    key_length, nonce_length, iv_length, vector_length = 8, 8, 8, 8
    # ASN.1 of DigestInfo for MD5, from PKCS #1.
    DIGEST_INFO = bytes.fromhex("3020300c06082a864886f70d020505000410")
    EXPONENT = 65537

    def cbc(self, key, iv):
        if len(key) != 8:
            raise ValueError("a DES key has 8 bytes")
        return Cipher(TripleDES(key * 3), modes.CBC(iv))

    def blocks(self, key, iv, text):
        encryptor = self.cbc(key, iv).encryptor()
        return encryptor.update(text) + encryptor.finalize()

    def name_under(self, key, named, _owner):
        name = named.encode()
        if not 1 <= len(name) <= 8:
            raise Malformed("a name that is no block")
        return self.blocks(key, bytes(8), name.ljust(8, b"\0"))

    def encrypt(self, key, iv, text):
        padding = 8 - len(text) % 8
        return iv + self.blocks(key, iv, text + bytes([padding]) * padding)

    def decrypt(self, key, sealed):
        if len(sealed) < 16 or len(sealed) % 8:
            raise Forged("no whole blocks")
        decryptor = self.cbc(key, sealed[:8]).decryptor()
        text = decryptor.update(sealed[8:]) + decryptor.finalize()
        padding = text[-1]
        if not 1 <= padding <= 8 or text[-padding:] != bytes([padding]) * padding:
            raise Forged("padding")
        return text[:-padding]

    def encrypt_fixed(self, key, iv, text):
        """Under the vector that belongs to the key, which is not sent again (enclaves.md §3)."""
        return self.encrypt(key, iv, text)[8:]

    def decrypt_fixed(self, key, iv, sealed):
        return self.decrypt(key, iv + sealed)

    def mac(self, key, text):
        return self.blocks(key, bytes(8), hashlib.md5(text).digest())

    def public(self, secret):
        """`secret` is p ‖ q; the public key is the modulus."""
        p, q = (int.from_bytes(half, "big") for half in (secret[:64], secret[64:]))
        return (p * q).to_bytes(128, "big")

    def padded(self, text):
        digest = self.DIGEST_INFO + hashlib.md5(text).digest()
        return b"\0\1".ljust(127 - len(digest), b"\xff") + b"\0" + digest

    def sign(self, secret, text):
        p, q = (int.from_bytes(half, "big") for half in (secret[:64], secret[64:]))
        private = pow(self.EXPONENT, -1, (p - 1) * (q - 1))
        return pow(int.from_bytes(self.padded(text), "big"), private, p * q).to_bytes(128, "big")

    def verify(self, public, text, signature):
        found = pow(int.from_bytes(signature, "big"), self.EXPONENT, int.from_bytes(public, "big"))
        if len(signature) != 128 or found != int.from_bytes(self.padded(text), "big"):
            raise Forged("a signature")


def published_suite(suite):
    return DesMd5Rsa() if suite == DES_MD5_RSA else Modern(suite)


def xor(one, other):
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
