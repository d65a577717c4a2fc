//! The word that must be said before anything runs as published.

/// Whoever holds this has said that it knows what running a protocol as published means: that it does not protect.
///
/// Parts of Antigone as published have the flaws that the report states, and attacks on each are part of this library's
/// examples. They are here to be studied. No default, no feature and no policy alone leads to them: it takes this value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Historic(());

impl Historic {
    /// "I know that the published protocols are broken, and that what I run under them is not protected."
    pub const fn i_know_that_this_protects_nothing() -> Self {
        Self(())
    }
}
