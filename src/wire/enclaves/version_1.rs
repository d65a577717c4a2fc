//! The messages of Enclaves 1.0 (enclaves §2, D30), declared once each.

messages! {
    /// All messages of this edition.
    pub const MESSAGES: FirstEnclaves AsPublished;
}
