//! OPAQUE (RFC 9807) in bytes: ristretto255, SHA-512, 3DH, Argon2id. A leader keeps a record of each user that is neither the
//! password nor enough to try passwords against, without the leader's own keys; and what goes by on the network is no use to that
//! end at all.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use opaque_ke::errors::{InternalError, ProtocolError};
use opaque_ke::generic_array::{ArrayLength, GenericArray};
use opaque_ke::key_exchange::tripledh::TripleDh;
use opaque_ke::ksf::Ksf;
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialFinalization, CredentialRequest, CredentialResponse, Identifiers, RegistrationRequest,
    RegistrationResponse, RegistrationUpload, Ristretto255, ServerLogin, ServerLoginParameters, ServerRegistration,
    ServerSetup,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zeroize::{Zeroize, Zeroizing};

use super::password::{Cost, MAX_PASSWORD, PasswordError, stretch};
use super::{FreshError, Secret, SuiteError, VerifyError};
use crate::endpoint::Entropy;
use crate::identity::NameRef;

/// Bytes of the session key, which a login's state begins with.
const SESSION_KEY: usize = 64;
/// What stretching is salted with: OPAQUE salts by itself.
const SALT: [u8; 16] = [0; 16];

/// The parts of which OPAQUE is made here.
struct Parts;

impl CipherSuite for Parts {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2_10::Sha512>;
    type Ksf = Stretch;
}

/// Argon2id.
#[derive(Clone, Copy)]
struct Stretch(Cost);

impl Default for Stretch {
    fn default() -> Self {
        Self(Cost::RECOMMENDED)
    }
}

impl Ksf for Stretch {
    fn hash<L: ArrayLength<u8>>(&self, input: GenericArray<u8, L>) -> Result<GenericArray<u8, L>, InternalError> {
        let mut out = GenericArray::default();
        stretch(self.0, &input, &SALT, &mut out).map_err(|_| InternalError::KsfError)?;
        Ok(out)
    }
}

/// One draw, expanded: the crate's generator cannot fail, and ours may.
fn generator(rng: &mut dyn Entropy) -> Result<ChaCha20Rng, FreshError> {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill(&mut *seed)?;
    Ok(ChaCha20Rng::from_seed(*seed))
}

fn failed(error: ProtocolError) -> VerifyError {
    match error {
        ProtocolError::LibraryError(_) => SuiteError.into(),
        _ => VerifyError::Forged,
    }
}

fn names<'n>(leader: NameRef<'n>, member: NameRef<'n>) -> Identifiers<'n> {
    Identifiers { client: Some(member.as_str().as_bytes()), server: Some(leader.as_str().as_bytes()) }
}

/// The leader's keys for all its users. With them and the records passwords can be guessed; with either alone, they cannot.
#[derive(Clone)]
pub struct OpaqueServer(Arc<ServerSetup<Parts>>);

impl fmt::Debug for OpaqueServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueServer(..)")
    }
}

/// What a leader keeps of a user.
#[derive(Clone)]
pub struct OpaqueRecord(Arc<Zeroizing<Vec<u8>>>);

impl fmt::Debug for OpaqueRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueRecord(..)")
    }
}

impl OpaqueRecord {
    /// The record of these bytes, `None` if they are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        ServerRegistration::<Parts>::deserialize(bytes).ok()?;
        Some(Self(Arc::new(Zeroizing::new(bytes.to_vec()))))
    }

    /// Its bytes, for keeping.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl OpaqueServer {
    /// Fresh keys.
    ///
    /// # Errors
    /// [`FreshError`].
    pub fn generate(rng: &mut dyn Entropy) -> Result<Self, FreshError> {
        Ok(Self(Arc::new(ServerSetup::new(&mut generator(rng)?))))
    }

    /// The keys of these bytes, `None` if they are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Arc::new(ServerSetup::deserialize(bytes).ok()?)))
    }

    /// The bytes, for keeping: secret.
    pub fn to_secret(&self) -> Secret {
        Secret::take(&mut self.0.serialize())
    }

    /// Answers a user that enrols, by [`Enrolment::start`].
    ///
    /// # Errors
    /// [`VerifyError::Forged`] if the request is none.
    pub fn answer_enrolment(&self, member: NameRef<'_>, request: &[u8]) -> Result<Bytes, VerifyError> {
        let request = RegistrationRequest::<Parts>::deserialize(request).map_err(failed)?;
        let answer = ServerRegistration::start(&self.0, request, member.as_str().as_bytes()).map_err(failed)?;
        Ok(Bytes::copy_from_slice(&answer.message.serialize()))
    }

    /// What is kept of a user that has enrolled, from what [`Enrolment::finish`] gave.
    ///
    /// # Errors
    /// [`VerifyError::Forged`] if it is none.
    pub fn record(upload: &[u8]) -> Result<OpaqueRecord, VerifyError> {
        let upload = RegistrationUpload::<Parts>::deserialize(upload).map_err(failed)?;
        let record = ServerRegistration::<Parts>::finish(upload).serialize();
        Ok(OpaqueRecord(Arc::new(Zeroizing::new(record.to_vec()))))
    }

    /// The second message of a login, and what is kept until the third. Without a record it is as for a user who has one:
    /// nobody can tell the two apart.
    ///
    /// # Errors
    /// [`VerifyError::Forged`] if the first message is none; [`SuiteError`] also where the random source failed.
    pub fn answer(
        &self,
        record: Option<&OpaqueRecord>,
        leader: NameRef<'_>,
        member: NameRef<'_>,
        context: &[u8],
        first: &[u8],
        rng: &mut dyn Entropy,
    ) -> Result<(Bytes, OpaqueAnswered), VerifyError> {
        let first = CredentialRequest::<Parts>::deserialize(first).map_err(failed)?;
        let record = record.map(|record| ServerRegistration::deserialize(record.as_bytes()).map_err(failed));
        let parameters = ServerLoginParameters { context: Some(context), identifiers: names(leader, member) };
        let mut generator = generator(rng).map_err(|_| SuiteError)?;
        let user = member.as_str().as_bytes();
        let login = ServerLogin::start(&mut generator, &self.0, record.transpose()?, first, user, parameters);
        let login = login.map_err(failed)?;
        let state = Secret::take(&mut login.state.serialize());
        let answered = OpaqueAnswered { state, context: context.into() };
        Ok((Bytes::copy_from_slice(&login.message.serialize()), answered))
    }
}

/// A leader that has answered a login.
#[derive(Clone)]
pub struct OpaqueAnswered {
    state: Secret,
    context: Vec<u8>,
}

impl fmt::Debug for OpaqueAnswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueAnswered(..)")
    }
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for OpaqueAnswered {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        self.state.fingerprint(now, sink);
    }
}

impl OpaqueAnswered {
    /// The session key: only who has the password gets the same.
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn session_key(&self) -> Result<Secret, SuiteError> {
        self.state.expose().get(..SESSION_KEY).map(Secret::new).ok_or(SuiteError)
    }

    /// Checks the third message.
    ///
    /// # Errors
    /// [`VerifyError::Forged`].
    pub fn confirm(&self, leader: NameRef<'_>, member: NameRef<'_>, third: &[u8]) -> Result<(), VerifyError> {
        let third = CredentialFinalization::<Parts>::deserialize(third).map_err(failed)?;
        let login = ServerLogin::<Parts>::deserialize(self.state.expose()).map_err(failed)?;
        let parameters = ServerLoginParameters { context: Some(&self.context), identifiers: names(leader, member) };
        let mut key = login.finish(third, parameters).map_err(failed)?.session_key;
        // The layout of the state is the crate's own: where it changed, this would not hold.
        let same = self.session_key()?.same(&Secret::new(&key));
        key.zeroize();
        if same { Ok(()) } else { Err(SuiteError.into()) }
    }
}

/// A user that enrols. Its password never leaves it.
pub struct Enrolment {
    state: ClientRegistration<Parts>,
    password: Secret,
    generator: ChaCha20Rng,
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Enrolment(..)")
    }
}

impl Enrolment {
    /// The request to the leader.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub fn start(password: &[u8], rng: &mut dyn Entropy) -> Result<(Bytes, Self), PasswordError> {
        if password.is_empty() || password.len() > MAX_PASSWORD {
            return Err(PasswordError::Length);
        }
        let failed = |_| PasswordError::Suite(SuiteError);
        let mut generator = generator(rng).map_err(failed)?;
        let started = ClientRegistration::<Parts>::start(&mut generator, password);
        let started = started.map_err(|_| PasswordError::Suite(SuiteError))?;
        let request = Bytes::copy_from_slice(&started.message.serialize());
        Ok((request, Self { state: started.state, password: Secret::new(password), generator }))
    }

    /// What the leader makes its record of. It takes the time and memory of `cost`.
    ///
    /// # Errors
    /// [`VerifyError::Forged`] if the answer is none.
    pub fn finish(
        mut self,
        cost: Cost,
        leader: NameRef<'_>,
        member: NameRef<'_>,
        answer: &[u8],
    ) -> Result<Bytes, VerifyError> {
        let answer = RegistrationResponse::deserialize(answer).map_err(failed)?;
        let stretch = Stretch(cost);
        let parameters = ClientRegistrationFinishParameters::new(names(leader, member), Some(&stretch));
        let done = self.state.finish(&mut self.generator, self.password.expose(), answer, parameters);
        Ok(Bytes::copy_from_slice(&done.map_err(failed)?.message.serialize()))
    }
}

/// A user that logs in.
#[derive(Clone)]
pub struct OpaqueLogin {
    state: Secret,
    password: Secret,
    cost: Cost,
}

impl fmt::Debug for OpaqueLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueLogin(..)")
    }
}

#[cfg(any(test, feature = "sim"))]
impl crate::fingerprint::Fingerprint for OpaqueLogin {
    fn fingerprint(&self, now: crate::endpoint::Instant, sink: &mut dyn crate::fingerprint::Sink) {
        self.state.fingerprint(now, sink);
    }
}

impl OpaqueLogin {
    /// The first message.
    ///
    /// # Errors
    /// [`FreshError`].
    pub fn start(password: &Secret, cost: Cost, rng: &mut dyn Entropy) -> Result<(Bytes, Self), FreshError> {
        let mut generator = generator(rng)?;
        let started = ClientLogin::<Parts>::start(&mut generator, password.expose()).map_err(|_| SuiteError)?;
        let state = Secret::take(&mut started.state.serialize());
        let first = Bytes::copy_from_slice(&started.message.serialize());
        Ok((first, Self { state, password: password.clone(), cost }))
    }

    /// Reads the second message: the third, and the session key. It takes the time and memory of the cost.
    ///
    /// # Errors
    /// [`VerifyError::Forged`]: not this leader, another password, or no such user.
    pub fn finish(
        &self,
        leader: NameRef<'_>,
        member: NameRef<'_>,
        context: &[u8],
        second: &[u8],
    ) -> Result<(Bytes, Secret), VerifyError> {
        let second = CredentialResponse::deserialize(second).map_err(failed)?;
        let login = ClientLogin::<Parts>::deserialize(self.state.expose()).map_err(failed)?;
        let stretch = Stretch(self.cost);
        let parameters = ClientLoginFinishParameters::new(Some(context), names(leader, member), Some(&stretch));
        // The generator is asked for nothing in 3DH.
        let mut none = ChaCha20Rng::from_seed([0; 32]);
        let mut done = login.finish(&mut none, self.password.expose(), second, parameters).map_err(failed)?;
        let third = Bytes::copy_from_slice(&done.message.serialize());
        Ok((third, Secret::take(&mut done.session_key)))
    }
}
