//! The stateless cookie: proof that a stranger receives what is sent to its address (RA §4.1, R4, R5).
//!
//! A cookie is a code under a secret of the listener over the address, the port, the stranger's nonce and a slot of time.
//! The listener keeps two secrets and nothing of any stranger. A secret is drawn at the start of each slot and issues cookies
//! for that slot only; a cookie is good until the end of the slot after it.
//!
//! The code is HMAC-SHA-256, cut to 16 bytes: the crates are part of the core anyway, it costs less than a system call,
//! and it depends on no suite of a group.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::packet::Nonce;

const SLOT_BYTES: usize = 4;
const CODE_BYTES: usize = 16;
pub(crate) const COOKIE_BYTES: usize = SLOT_BYTES + CODE_BYTES;

/// A slot number, and the code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cookie(pub(crate) [u8; COOKIE_BYTES]);

/// Fills bytes at random, or fails.
pub(crate) type Draw = fn(&mut [u8]) -> Result<(), getrandom::Error>;

#[derive(Clone)]
struct Secret {
    slot: u32,
    key: Zeroizing<[u8; 32]>,
}

impl Secret {
    fn draw(slot: u32, draw: Draw) -> Result<Self, getrandom::Error> {
        let mut key = Zeroizing::new([0; 32]);
        draw(&mut *key)?;
        Ok(Self { slot, key })
    }

    fn code(&self, slot: u32, from: SocketAddr, nonce: Nonce) -> Option<Hmac<Sha256>> {
        let mut code = Hmac::<Sha256>::new_from_slice(&*self.key).ok()?;
        code.update(b"sodality udp cookie 1");
        code.update(&slot.to_be_bytes());
        match from.ip() {
            IpAddr::V4(ip) => {
                code.update(&[4]);
                code.update(&ip.octets());
            }
            IpAddr::V6(ip) => {
                code.update(&[6]);
                code.update(&ip.octets());
            }
        }
        code.update(&from.port().to_be_bytes());
        code.update(&nonce.0.to_be_bytes());
        Some(code)
    }
}

/// Why a cookie is not good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadCookie {
    /// Of a slot that is over, or has not begun.
    Expired,
    /// Not issued here, to this address, for this nonce.
    Forged,
}

/// Issues cookies and checks them. Time is an argument, since any origin.
pub(crate) struct Jar {
    draw: Draw,
    slot: Duration,
    now: Secret,
    before: Option<Secret>,
}

impl Jar {
    /// A jar whose slots last so long (at least a millisecond).
    ///
    /// # Errors
    /// The random source failed: there is no secret, hence no jar.
    pub(crate) fn new(slot: Duration, now: Duration, draw: Draw) -> Result<Self, getrandom::Error> {
        let slot = slot.max(Duration::from_millis(1));
        Ok(Self { draw, slot, now: Secret::draw(number(slot, now), draw)?, before: None })
    }

    /// Moves on to the slot of `now`. Time that goes back moves nothing.
    ///
    /// # Errors
    /// The random source failed. Old secrets are gone as they should be, and no cookie is issued until a call succeeds:
    /// links that are there go on.
    pub(crate) fn turn(&mut self, now: Duration) -> Result<(), getrandom::Error> {
        let slot = number(self.slot, now);
        if self.before.as_ref().is_some_and(|before| slot.saturating_sub(before.slot) > 1) {
            self.before = None;
        }
        if slot <= self.now.slot {
            return Ok(());
        }
        let next = Secret::draw(slot, self.draw)?;
        let last = std::mem::replace(&mut self.now, next);
        self.before = (slot - last.slot == 1).then_some(last);
        Ok(())
    }

    /// A cookie for this address and nonce, or `None` without a secret for this slot.
    pub(crate) fn issue(&self, now: Duration, from: SocketAddr, nonce: Nonce) -> Option<Cookie> {
        if number(self.slot, now) > self.now.slot {
            return None;
        }
        let code = self.now.code(self.now.slot, from, nonce)?.finalize().into_bytes();
        let mut cookie = [0; COOKIE_BYTES];
        let (slot, tail) = cookie.split_first_chunk_mut::<SLOT_BYTES>()?;
        *slot = self.now.slot.to_be_bytes();
        tail.iter_mut().zip(code).for_each(|(to, byte)| *to = byte);
        Some(Cookie(cookie))
    }

    /// Checks a cookie that came from this address with this nonce, in constant time.
    ///
    /// # Errors
    /// [`BadCookie`].
    pub(crate) fn check(
        &self,
        now: Duration,
        from: SocketAddr,
        nonce: Nonce,
        cookie: &Cookie,
    ) -> Result<(), BadCookie> {
        let Some((slot, code)) = cookie.0.split_first_chunk::<SLOT_BYTES>() else { return Err(BadCookie::Forged) };
        let slot = u32::from_be_bytes(*slot);
        let current = number(self.slot, now).max(self.now.slot);
        if slot > current || current - slot > 1 {
            return Err(BadCookie::Expired);
        }
        let secret = [Some(&self.now), self.before.as_ref()].into_iter().flatten().find(|secret| secret.slot == slot);
        let checked = secret.and_then(|secret| secret.code(slot, from, nonce));
        match checked.map(|checked| checked.verify_truncated_left(code)) {
            Some(Ok(())) => Ok(()),
            _ => Err(BadCookie::Forged),
        }
    }
}

fn number(slot: Duration, now: Duration) -> u32 {
    let number = now.as_millis().checked_div(slot.as_millis()).unwrap_or(0);
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn jar() -> Jar {
        Jar::new(SLOT, at(0), getrandom::fill).unwrap()
    }

    #[test]
    fn a_cookie_is_good_for_its_address_port_and_nonce_only() {
        let jar = jar();
        let (here, nonce) = (address("192.0.2.1:7000"), Nonce(9));
        let cookie = jar.issue(at(1), here, nonce).unwrap();
        assert_eq!(jar.check(at(1), here, nonce, &cookie), Ok(()));
        for other in ["192.0.2.2:7000", "192.0.2.1:7001", "[2001:db8::1]:7000", "[::ffff:192.0.2.1]:7000"] {
            assert_eq!(jar.check(at(1), address(other), nonce, &cookie), Err(BadCookie::Forged), "{other}");
        }
        assert_eq!(jar.check(at(1), here, Nonce(10), &cookie), Err(BadCookie::Forged));
    }

    #[test]
    fn each_bit_of_a_cookie_matters() {
        let jar = jar();
        let (here, nonce) = (address("192.0.2.1:7000"), Nonce(9));
        let cookie = jar.issue(at(1), here, nonce).unwrap();
        for byte in 0..COOKIE_BYTES {
            for bit in 0..8 {
                let mut forged = cookie;
                forged.0.iter_mut().skip(byte).take(1).for_each(|byte| *byte ^= 1 << bit);
                assert!(jar.check(at(1), here, nonce, &forged).is_err(), "byte {byte}, bit {bit}");
            }
        }
        let other = Jar::new(SLOT, at(0), getrandom::fill).unwrap();
        assert_eq!(other.check(at(1), here, nonce, &cookie), Err(BadCookie::Forged), "another listener's");
    }

    #[test]
    fn a_cookie_ends_with_the_slot_after_its_own() {
        let mut jar = jar();
        let (here, nonce) = (address("192.0.2.1:7000"), Nonce(9));
        let cookie = jar.issue(at(9), here, nonce).unwrap();
        for (now, good) in [(9, true), (10, true), (19, true), (20, false), (30, false)] {
            jar.turn(at(now)).unwrap();
            assert_eq!(jar.check(at(now), here, nonce, &cookie).is_ok(), good, "at {now} s");
        }
        // Nor does it live on where nobody turned the jar for long.
        let mut idle = Jar::new(SLOT, at(0), getrandom::fill).unwrap();
        let cookie = idle.issue(at(0), here, nonce).unwrap();
        assert_eq!(idle.check(at(50), here, nonce, &cookie), Err(BadCookie::Expired));
        idle.turn(at(50)).unwrap();
        assert_eq!(idle.check(at(50), here, nonce, &cookie), Err(BadCookie::Expired));
    }

    #[test]
    fn secrets_change_with_the_slot() {
        let mut jar = jar();
        let (here, nonce) = (address("192.0.2.1:7000"), Nonce(9));
        let first = jar.now.key.clone();
        jar.turn(at(10)).unwrap();
        assert_ne!(first, jar.now.key);
        // The code of one slot under the number of another is nothing.
        let mut cookie = jar.issue(at(10), here, nonce).unwrap();
        cookie.0.iter_mut().zip(0_u32.to_be_bytes()).for_each(|(to, byte)| *to = byte);
        assert_eq!(jar.check(at(10), here, nonce, &cookie), Err(BadCookie::Forged));
    }

    #[test]
    fn a_random_source_that_fails_is_told_and_mends() {
        fn fails(_: &mut [u8]) -> Result<(), getrandom::Error> {
            Err(getrandom::Error::UNSUPPORTED)
        }
        assert!(Jar::new(SLOT, at(0), fails).is_err());
        let mut jar = jar();
        let (here, nonce) = (address("192.0.2.1:7000"), Nonce(9));
        let old = jar.issue(at(0), here, nonce).unwrap();
        jar.draw = fails;
        assert!(jar.turn(at(10)).is_err());
        assert_eq!(jar.issue(at(10), here, nonce), None, "none is issued under an old secret");
        assert_eq!(jar.check(at(10), here, nonce, &old), Ok(()));
        assert_eq!(jar.check(at(20), here, nonce, &old), Err(BadCookie::Expired), "nor does an old one live longer");
        jar.draw = getrandom::fill;
        jar.turn(at(20)).unwrap();
        assert!(jar.issue(at(20), here, nonce).is_some());
        assert!(jar.check(at(20), here, nonce, &old).is_err());
    }
}
