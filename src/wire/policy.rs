//! The canonical form of a policy: what travels in a join, and what `common` holds the digest of.

structure! {
    /// A policy on the wire. Durations are milliseconds.
    pub struct PolicyForm<'a> {
        /// Version of this form: 1.
        form: u8,
        /// Whether joins carry an ephemeral exchange.
        ephemeral: bool,
        /// Which causes change the key.
        rekey_on: crate::event::Causes,
        /// How long an old key opens after a plain rekey.
        grace: u32,
        /// How long sending stays with the old key after a plain rekey.
        settle: u32,
        /// How old a key gets; 0: that does not change it.
        key_lifetime: u32,
        /// How many messages are sealed under a key; 0: that does not change it.
        key_messages: u64,
        /// How many bytes of messages are sealed under a key; 0: that does not change it.
        key_bytes: u64,
        /// What protects data.
        protection: super::antigone::Kind,
        /// Whether data carry their sender's signature.
        origin: bool,
        /// How members learn who is in the group.
        views: ViewForm,
        /// Whether failures are detected.
        detection: bool,
        /// Period of the polls.
        period: u32,
        /// How many polls may be lost.
        misses: u8,
        /// Whether a leader removes who is silent for too long, or only reports it.
        remove_silent: bool,
        /// Who decides about a member's request to eject another.
        eject_requests: EjectForm,
        /// Whether a second join of a live name takes over.
        takeover: bool,
        /// Longest frame, in bytes.
        frame_limit: u32,
        /// A communication hint for the driver.
        hint: super::field::Blob<'a, 0, 64>,
        /// How data reach the group.
        communication: CommunicationForm,
        /// Which parts are as published, if any are.
        mix: MaybeMix,
    }
}

choice! {
    /// How data reach the group (report §2.1).
    pub enum CommunicationForm {
        /// Members send to the leader, which relays to each.
        0 = Relay,
        /// Members send to the leader, which relays over the shared link.
        1 = Mixed,
        /// Everybody sends over the shared link.
        2 = Symmetric,
    }
}

choice! {
    /// Which parts are as published.
    pub enum MaybeMix {
        /// None.
        0 = AllRepaired,
        /// These.
        1 = Mix(MixForm),
    }
}

structure! {
    /// A group with parts as published.
    pub struct MixForm {
        /// A bit for each part that is as published, 0 the lowest: third-party exchange, join, key distribution, leave and
        /// eject, leader heartbeat, member heartbeat, key request, data.
        published: u8,
        /// The suite of the parts that are as published.
        suite: u8,
        /// Whether the third party answers with AN-T2s.
        strong_reply: bool,
        /// Whether each heartbeat of the leader has a sequence number of its own (D12).
        per_heartbeat: bool,
    }
}

choice! {
    /// How members learn who is in the group.
    pub enum ViewForm {
        /// Not at all.
        0 = Hidden,
        /// With each key.
        1 = WithEachKey,
        /// With each key and with each heartbeat.
        2 = BestEffort,
        /// With each key, and no key without it.
        3 = Exact,
    }
}

choice! {
    /// Who decides about a member's request to eject another.
    pub enum EjectForm {
        /// Nobody: it is refused.
        0 = Refused,
        /// The leader's application.
        1 = Asked,
        /// The policy: it is granted.
        2 = Granted,
    }
}
