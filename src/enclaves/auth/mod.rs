//! How a user and the leader show each other who they are (report §3.2): a small contract, and a file for each way.
//!
//! **Goal.** After three messages both hold one fresh secret, which nobody else has; the leader knows that the user of that
//! name asked for it just now, the user that the leader gave it. Later loss of long-term keys does not open what was said
//! (forward secrecy, where the exchange of shares is on).
//!
//! **Assumes.** Each knows beforehand what the way needs of the other: a key from a password, public keys, or (OPAQUE) the
//! leader a record that is no password.
//!
//! **Messages.** The bodies of EN-R1 `AuthInitReq`, EN-R2 `AuthKeyDist` and EN-R3 `AuthAckKey` (enclaves §4). This module makes
//! and reads those bodies; the machines send, repeat and bound them.
//!
//! | step | who | function | gives |
//! |---|---|---|---|
//! | 1 | member | `Credential::ask` | the body of EN-R1, and `Asked` |
//! | 2 | leader | `Account::answer` | the body of EN-R2, and `Answered`, with K_a |
//! | 3 | member | `Asked::finish` | `Shown`: K_a, and the proof that goes into EN-R3 |
//! | 4 | leader | `Answered::confirm` | nothing; after it the user is accepted |
//!
//! N1, N2, N3 and the names are the machines' own and come in as `Scene`, which every way binds into all it makes.
