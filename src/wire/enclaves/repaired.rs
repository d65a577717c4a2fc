//! The messages of repaired Enclaves (enclaves §4), declared once each.

messages! {
    /// All messages of this edition.
    pub const MESSAGES: Enclaves Repaired;
}
