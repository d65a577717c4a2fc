//! The messages of Enclaves 2.0 as published (enclaves §3), field for field, declared once each.

messages! {
    /// All messages of this edition.
    pub const MESSAGES: Enclaves AsPublished;
}
