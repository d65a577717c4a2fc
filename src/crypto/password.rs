//! P_a from a password, by Argon2id (D26, RFC 9106).
//!
//! The core takes keys; whoever has passwords turns them into keys here. Argon2id makes each guess costly and rules none out:
//! who has the key, or one recorded request by shared key, can try a dictionary against it (X3).

use alloc::vec::Vec;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use bytes::BytesMut;
use thiserror::Error;
use zeroize::Zeroize;

use super::keys::role;
use super::{Key, Secret, Suite, SuiteError};
use crate::identity::NameRef;
use crate::wire::Field;

/// The longest password, in bytes.
pub const MAX_PASSWORD: usize = 1_024;

/// What one guess costs. Both sides must agree on it beforehand, or they have different keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// 64 MiB, 3 passes, 4 lanes: what RFC 9106 §4 recommends where 2 GiB are too much.
    pub const RECOMMENDED: Self = Self { memory_kib: 64 * 1_024, passes: 3, lanes: 4 };
    /// As little as there is, for tests: it protects nothing.
    pub const CHEAP: Self = Self { memory_kib: 8, passes: 1, lanes: 1 };
    /// The most of each that is taken: 1 GiB, 64 passes, 16 lanes.
    pub const MAX: Self = Self { memory_kib: 1_024 * 1_024, passes: 64, lanes: 16 };

    /// Memory in KiB, passes over it, and lanes. `None` where one is 0 or above [`Self::MAX`], or where a lane has less than
    /// 8 KiB.
    pub const fn new(memory_kib: u32, passes: u32, lanes: u32) -> Option<Self> {
        let most = Self::MAX;
        let few =
            passes == 0 || lanes == 0 || memory_kib > most.memory_kib || passes > most.passes || lanes > most.lanes;
        if few || memory_kib < 8 * lanes { None } else { Some(Self { memory_kib, passes, lanes }) }
    }
}

/// Why there is no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// No bytes, or more than [`MAX_PASSWORD`].
    #[error("a password has 1 to 1024 bytes")]
    Length,
    /// The memory is not to be had.
    #[error("there is not enough memory for this cost")]
    Memory,
    /// The function failed.
    #[error(transparent)]
    Suite(#[from] SuiteError),
}

/// P_a of `member` at `leader`. The salt is a hash of ("enclaves", leader, member), so that one password gives different keys to
/// different users, and at different leaders (D26).
///
/// It takes the time and memory of `cost`: call it where nothing waits, never inside a machine.
///
/// # Errors
/// [`PasswordError`].
pub fn user_key(
    suite: &dyn Suite,
    cost: Cost,
    password: &[u8],
    leader: NameRef<'_>,
    member: NameRef<'_>,
) -> Result<Key<role::User>, PasswordError> {
    if password.is_empty() || password.len() > MAX_PASSWORD {
        return Err(PasswordError::Length);
    }
    let mut names = BytesMut::new();
    leader.put(&mut names);
    member.put(&mut names);
    let salt = suite.hash(&[b"enclaves", &names])?;
    let length = suite.sizes().long_term;
    let key = Secret::filled(length, |out| stretch(cost, password, salt.as_bytes(), out));
    key.map(Key::new)
}

/// Argon2id of `password` under `salt`, into `out`.
pub(super) fn stretch(cost: Cost, password: &[u8], salt: &[u8], out: &mut [u8]) -> Result<(), PasswordError> {
    let failed = |_| PasswordError::Suite(SuiteError);
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(out.len())).map_err(failed)?;
    let mut memory = Vec::new();
    memory.try_reserve_exact(params.block_count()).map_err(|_| PasswordError::Memory)?;
    memory.resize(params.block_count(), Block::default());
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let done = argon.hash_password_into_with_memory(password, salt, out, &mut memory).map_err(failed);
    memory.zeroize();
    done
}
