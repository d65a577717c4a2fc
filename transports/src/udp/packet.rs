//! The datagrams of this adapter: one byte that says what it is, then fixed fields, then, in two kinds, a frame.
//!
//! Numbers are big-endian. Each kind has one length, or carries one frame up to the end; anything else is no datagram of
//! this adapter. The high half of the first byte is the version of this layout.

use super::cookie::{COOKIE_BYTES, Cookie};

/// Bytes in front of a frame on a link.
pub const FRAME_HEADER: usize = 1 + 8;
/// Bytes in front of a frame on a multicast channel.
pub const SHARED_HEADER: usize = 1;
/// A hello is padded to this, so that its answer is never longer (R4).
pub(crate) const HELLO_BYTES: usize = 40;
/// The longest datagram without a frame.
pub(crate) const LONGEST_BARE: usize = HELLO_BYTES;

/// What tells the answers to one attempt from those to another, and from what somebody sends who has not seen the attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Nonce(pub(crate) u64);

/// Names a link on the wire. The listener draws it at random: who has not seen it hits no link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Connection(pub(crate) u64);

const HELLO: u8 = 0xd1;
const COOKIE: u8 = 0xd2;
const OPEN: u8 = 0xd3;
const ACCEPTED: u8 = 0xd4;
const FRAME: u8 = 0xd5;
const GOODBYE: u8 = 0xd6;
const ASK: u8 = 0xd7;
const HERE: u8 = 0xd8;
const SHARED: u8 = 0xd9;
const PROBE: u8 = 0xda;

/// One datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Packet<'a> {
    /// A stranger asks for a cookie.
    Hello(Nonce),
    /// The cookie.
    Cookie(Nonce, Cookie),
    /// The cookie comes back, with the longest frame that the sender takes: now the address is shown.
    Open(Nonce, Cookie, u32),
    /// There is a link, of this name; with the longest frame that the sender takes.
    Accepted(Nonce, Connection, u32),
    /// A frame on a link.
    Frame(Connection, &'a [u8]),
    /// The link is over. Never answered.
    Goodbye(Connection),
    /// Is the link still there? Only who connected asks, so two cannot ask each other for ever.
    Ask(Connection),
    /// It is. Never answered.
    Here(Connection),
    /// A frame on a multicast channel.
    Shared(&'a [u8]),
    /// Sent to a multicast channel to see whether it comes back. Never answered.
    Probe(Nonce),
}

/// Takes fixed fields off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

impl<'a> Packet<'a> {
    /// What these bytes are; `None` if nothing of this adapter's.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let [kind] = reader.take::<1>()?;
        let packet = match kind {
            HELLO => {
                let nonce = Nonce(reader.number()?);
                let padding = reader.take::<{ HELLO_BYTES - 9 }>()?;
                (padding == [0; HELLO_BYTES - 9]).then_some(Self::Hello(nonce))?
            }
            COOKIE => Self::Cookie(Nonce(reader.number()?), Cookie(reader.take()?)),
            OPEN => {
                let (nonce, cookie) = (Nonce(reader.number()?), Cookie(reader.take()?));
                Self::Open(nonce, cookie, u32::from_be_bytes(reader.take()?))
            }
            ACCEPTED => {
                let (nonce, connection) = (Nonce(reader.number()?), Connection(reader.number()?));
                Self::Accepted(nonce, connection, u32::from_be_bytes(reader.take()?))
            }
            FRAME => Self::Frame(Connection(reader.number()?), reader.rest()),
            GOODBYE => Self::Goodbye(Connection(reader.number()?)),
            ASK => Self::Ask(Connection(reader.number()?)),
            HERE => Self::Here(Connection(reader.number()?)),
            SHARED => Self::Shared(reader.rest()),
            PROBE => Self::Probe(Nonce(reader.number()?)),
            _ => return None,
        };
        reader.0.is_empty().then_some(packet)
    }

    /// Appends the datagram to `out`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        match *self {
            Self::Hello(nonce) => {
                put(out, HELLO, nonce.0);
                out.resize(start + HELLO_BYTES, 0);
            }
            Self::Cookie(nonce, cookie) => {
                put(out, COOKIE, nonce.0);
                out.extend_from_slice(&cookie.0);
            }
            Self::Open(nonce, cookie, max_frame) => {
                put(out, OPEN, nonce.0);
                out.extend_from_slice(&cookie.0);
                out.extend_from_slice(&max_frame.to_be_bytes());
            }
            Self::Accepted(nonce, connection, max_frame) => {
                put(out, ACCEPTED, nonce.0);
                out.extend_from_slice(&connection.0.to_be_bytes());
                out.extend_from_slice(&max_frame.to_be_bytes());
            }
            Self::Frame(connection, frame) => {
                put(out, FRAME, connection.0);
                out.extend_from_slice(frame);
            }
            Self::Goodbye(connection) => put(out, GOODBYE, connection.0),
            Self::Ask(connection) => put(out, ASK, connection.0),
            Self::Here(connection) => put(out, HERE, connection.0),
            Self::Shared(frame) => {
                out.push(SHARED);
                out.extend_from_slice(frame);
            }
            Self::Probe(nonce) => put(out, PROBE, nonce.0),
        }
    }

    /// The datagram by itself.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LONGEST_BARE);
        self.write(&mut out);
        out
    }
}

fn put(out: &mut Vec<u8>, kind: u8, number: u64) {
    out.push(kind);
    out.extend_from_slice(&number.to_be_bytes());
}

// No answer is longer than what it answers (R4).
const _: () = {
    assert!(1 + 8 + COOKIE_BYTES <= HELLO_BYTES, "a cookie answers a hello");
    assert!(1 + 8 + 8 + 4 <= 1 + 8 + COOKIE_BYTES + 4, "an acceptance answers an opening");
};

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use super::*;

    fn all() -> Vec<Packet<'static>> {
        let (nonce, connection, cookie) =
            (Nonce(0x0102_0304_0506_0708), Connection(u64::MAX - 1), Cookie([7; COOKIE_BYTES]));
        vec![
            Packet::Hello(nonce),
            Packet::Cookie(nonce, cookie),
            Packet::Open(nonce, cookie, 1_200),
            Packet::Accepted(nonce, connection, 65_000),
            Packet::Frame(connection, b"frame"),
            Packet::Frame(connection, b""),
            Packet::Goodbye(connection),
            Packet::Ask(connection),
            Packet::Here(connection),
            Packet::Shared(b"frame"),
            Packet::Shared(b""),
            Packet::Probe(nonce),
        ]
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for packet in all() {
            let bytes = packet.bytes();
            assert_eq!(Packet::parse(&bytes), Some(packet));
            let carries = matches!(packet, Packet::Frame(..) | Packet::Shared(_));
            if !carries {
                assert!(bytes.len() <= LONGEST_BARE);
                let longer = [&bytes[..], &[0]].concat();
                assert_eq!(Packet::parse(&longer), None, "{packet:?}");
                for length in 0..bytes.len() {
                    assert_eq!(Packet::parse(&bytes[..length]), None, "{packet:?} cut to {length}");
                }
            }
        }
        for kind in (0..=255).filter(|kind| !(HELLO..=PROBE).contains(kind)) {
            assert_eq!(Packet::parse(&[&[kind][..], &[0; 60]].concat()), None);
        }
        assert_eq!(Packet::parse(&[]), None);
        let mut padded = Packet::Hello(Nonce(1)).bytes();
        padded[HELLO_BYTES - 1] = 1;
        assert_eq!(Packet::parse(&padded), None, "padding is zero: one encoding");
    }

    #[test]
    fn headers_have_the_lengths_that_are_announced() {
        assert_eq!(Packet::Frame(Connection(1), b"").bytes().len(), FRAME_HEADER);
        assert_eq!(Packet::Shared(b"").bytes().len(), SHARED_HEADER);
        assert_eq!(Packet::Hello(Nonce(1)).bytes().len(), HELLO_BYTES);
    }
}
