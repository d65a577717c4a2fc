//! Keys that follow from a long-term key (RA §2). Each use has a key of its own, so that no use is an oracle for
//! another (X1, I-8).

use crate::crypto::keys::role;
use crate::crypto::{Key, Purpose, Secret, Suite, SuiteError};
use crate::identity::NameRef;
use crate::wire::field::Digest;

/// What every label of the repaired Antigone begins with.
pub const LABEL: &[u8] = b"sodality ra 1 ";

/// The length byte in front of a name in labels (D1).
fn prefix(name: NameRef<'_>) -> [u8; 1] {
    [name.as_str().len() as u8]
}

fn of_principal(
    suite: &dyn Suite,
    root: &Secret,
    label: &[u8],
    name: NameRef<'_>,
    purpose: Purpose,
) -> Result<Secret, SuiteError> {
    suite.expand(root, &[LABEL, label, &prefix(name), name.as_str().as_bytes()], purpose)
}

fn root(suite: &dyn Suite, key: &Key<role::LongTerm>) -> Result<Secret, SuiteError> {
    suite.extract(b"sodality ra 1 long-term", &[key.secret()])
}

/// What a principal needs of its long-term key to join as a member; the third party derives the same.
#[derive(Debug, Clone)]
pub struct MemberKeys {
    /// `tag_X`: tags RA-J1.
    pub tag: Key<role::MemberTag>,
    /// `ses_X`: session keys.
    pub session: Key<role::MemberSession>,
}

impl MemberKeys {
    /// Derives them.
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn derive(suite: &dyn Suite, key: &Key<role::LongTerm>, name: NameRef<'_>) -> Result<Self, SuiteError> {
        let root = root(suite, key)?;
        Ok(Self {
            tag: Key::new(of_principal(suite, &root, b"member tag", name, Purpose::Mac)?),
            session: Key::new(of_principal(suite, &root, b"member session", name, Purpose::Derive)?),
        })
    }

    /// `k`: the key of one join, bound to the whole question (RA §2).
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn session_key(&self, suite: &dyn Suite, question: &Digest) -> Result<Key<role::Session>, SuiteError> {
        let info = [LABEL, b"session", question.as_bytes()];
        suite.expand(self.session.secret(), &info, Purpose::Derive).map(Key::new)
    }
}

/// What a principal needs of its long-term key to lead groups; the third party derives the same.
#[derive(Debug, Clone)]
pub struct LeaderKeys {
    /// `req_X`: tags RA-T1.
    pub request: Key<role::LeaderRequest>,
    /// `rep_X`: boxes of RA-T2.
    pub reply: Key<role::LeaderReply>,
}

impl LeaderKeys {
    /// Derives them.
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn derive(suite: &dyn Suite, key: &Key<role::LongTerm>, name: NameRef<'_>) -> Result<Self, SuiteError> {
        let root = root(suite, key)?;
        Ok(Self {
            request: Key::new(of_principal(suite, &root, b"leader request", name, Purpose::Mac)?),
            reply: Key::new(of_principal(suite, &root, b"leader reply", name, Purpose::Derive)?),
        })
    }

    /// `box2`: the key of one RA-T2. It depends on the status: one question answered first yes and then no must not
    /// share a key (I-3).
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn answer_box(
        &self,
        suite: &dyn Suite,
        status: u8,
        question: &Digest,
    ) -> Result<Key<role::AnswerBox>, SuiteError> {
        let info = [LABEL, b"t2", &[status], question.as_bytes()];
        suite.expand(self.reply.secret(), &info, Purpose::Aead).map(Key::new)
    }
}

/// `h`: the digest of RA-T1 without its tag. It covers the header, I1 and the whole RA-J1 with its tag, so that both
/// names, both nonces and the ephemeral share are bound into the session key (A4).
///
/// # Errors
/// [`SuiteError`].
pub fn question_digest(suite: &dyn Suite, covered: &[u8]) -> Result<Digest, SuiteError> {
    suite.hash(&[covered])
}
