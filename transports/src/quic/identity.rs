//! Who a server is: certificates, and what a client takes for one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use thiserror::Error;

use super::ALPN;

/// The certificate, its key or an authority is of no use.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The bytes are no certificate.
    #[error("not a certificate: it has to be X.509 in DER")]
    Certificate,
    /// The key is none, or is that of another certificate.
    #[error("not the private key of this certificate: it has to be PKCS #8 in DER")]
    Key,
    /// No key pair could be made.
    #[error("no certificate could be made")]
    Generate,
    /// A pin is 64 hexadecimal digits.
    #[error("a pin is 64 hexadecimal digits")]
    Pin,
    /// A name that no server can have.
    #[error("not the name of a server: it has to be a DNS name or an address")]
    Name,
}

/// The certificate of a server, with its private key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("pin", &self.pin().ok()).finish_non_exhaustive()
    }
}

impl Identity {
    /// A fresh key, and a certificate that it signs itself, for clients that pin it ([`Self::pin`]).
    ///
    /// # Errors
    /// [`IdentityError::Generate`].
    pub fn generate() -> Result<Self, IdentityError> {
        let made = rcgen::generate_simple_self_signed([SELF_SIGNED.to_owned()]).map_err(|_| IdentityError::Generate)?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        Ok(Self { chain: vec![made.cert.der().clone()], key: key.into() })
    }

    /// A certificate in DER, with those of its issuers after it, and its private key as PKCS #8 in DER.
    ///
    /// # Errors
    /// [`IdentityError`]; whether the key is that of the certificate shows when a server begins to listen.
    pub fn from_der(chain: Vec<Vec<u8>>, key: Vec<u8>) -> Result<Self, IdentityError> {
        let chain: Vec<_> = chain.into_iter().map(CertificateDer::from).collect();
        let identity = Self { chain, key: PrivatePkcs8KeyDer::from(key).into() };
        identity.pin()?;
        Ok(identity)
    }

    /// A certificate, with those of its issuers after it, and its private key, as text (PEM).
    ///
    /// # Errors
    /// [`IdentityError`]; whether the key is that of the certificate shows when a server begins to listen.
    pub fn from_pem(text: &[u8]) -> Result<Self, IdentityError> {
        let chain = certificates(text)?;
        let key = PrivateKeyDer::from_pem_slice(text).map_err(|_| IdentityError::Key)?;
        let identity = Self { chain, key };
        identity.pin()?;
        Ok(identity)
    }

    /// The certificate in DER, and the private key as PKCS #8 in DER: to keep both in a file that nobody else can read.
    pub fn to_der(&self) -> (Vec<Vec<u8>>, Vec<u8>) {
        (self.chain.iter().map(|one| one.as_ref().to_vec()).collect(), self.key.secret_der().to_vec())
    }

    /// What clients pin: the digest of the public key, which stays when the certificate is renewed.
    ///
    /// # Errors
    /// [`IdentityError::Certificate`].
    pub fn pin(&self) -> Result<Pin, IdentityError> {
        Pin::of(self.chain.first().ok_or(IdentityError::Certificate)?)
    }

    pub(super) fn server(self) -> Result<rustls::ServerConfig, IdentityError> {
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|_| IdentityError::Certificate)?
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key)
            .map_err(|_| IdentityError::Key)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }
}

/// The certificates in a text.
fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|_| IdentityError::Certificate)
}

/// The name in certificates that sign themselves. Nobody looks at it.
const SELF_SIGNED: &str = "sodality.invalid";

/// SHA-256 of the public key of a certificate (its SubjectPublicKeyInfo), shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin([u8; 32]);

impl Pin {
    fn of(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let parsed = ParsedCertificate::try_from(certificate).map_err(|_| IdentityError::Certificate)?;
        let digest = ring_digest(parsed.subject_public_key_info().as_ref());
        digest.map(Self).ok_or(IdentityError::Certificate)
    }

    /// A pin from its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// SHA-256 by the provider of TLS, so that no further crate is needed.
fn ring_digest(bytes: &[u8]) -> Option<[u8; 32]> {
    let suite = provider().cipher_suites.iter().find_map(|suite| match suite.tls13() {
        Some(suite) if suite.common.hash_provider.output_len() == 32 => Some(suite.common.hash_provider),
        _ => None,
    })?;
    suite.hash(bytes).as_ref().try_into().ok()
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Pin {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(IdentityError::Pin);
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            let digits = text.get(at..at + 2).ok_or(IdentityError::Pin)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| IdentityError::Pin)?;
        }
        Ok(Self(bytes))
    }
}

/// Which servers a client takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trust {
    /// The one that has this key. Its name and the dates of its certificate do not matter.
    Pinned(Pin),
    /// Those of this name whose certificate one of these authorities has issued; theirs in DER.
    Authority {
        /// Certificates of authorities, in DER.
        roots: Vec<Vec<u8>>,
        /// The name in the server's certificate: a DNS name or an address.
        name: String,
    },
}

impl Trust {
    /// The authorities of a text (PEM), for the server of this name.
    ///
    /// # Errors
    /// [`IdentityError::Certificate`]: there is none in the text.
    pub fn authority(text: &[u8], name: impl Into<String>) -> Result<Self, IdentityError> {
        let roots: Vec<_> = certificates(text)?.iter().map(|one| one.as_ref().to_vec()).collect();
        if roots.is_empty() {
            return Err(IdentityError::Certificate);
        }
        Ok(Self::Authority { roots, name: name.into() })
    }

    /// The name to ask for.
    pub(super) fn server_name(&self) -> &str {
        match self {
            Self::Pinned(_) => SELF_SIGNED,
            Self::Authority { name, .. } => name,
        }
    }

    pub(super) fn client(&self) -> Result<rustls::ClientConfig, IdentityError> {
        let builder = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|_| IdentityError::Certificate)?;
        let mut config = match self {
            Self::Pinned(pin) => {
                let verifier = Pinned { pin: *pin, algorithms: provider().signature_verification_algorithms };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
            }
            Self::Authority { roots, name } => {
                ServerName::try_from(name.as_str()).map_err(|_| IdentityError::Name)?;
                let mut store = RootCertStore::empty();
                for root in roots {
                    store.add(CertificateDer::from(root.clone())).map_err(|_| IdentityError::Certificate)?;
                }
                builder.with_root_certificates(store).with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Takes the certificate that has the pinned key. That the server holds the key, its signature in the handshake shows.
#[derive(Debug)]
struct Pinned {
    pin: Pin,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match Pin::of(certificate) {
            Ok(pin) if pin == self.pin => Ok(ServerCertVerified::assertion()),
            Ok(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            Err(_) => Err(CertificateError::BadEncoding.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_reads_as_it_is_shown() {
        let identity = Identity::generate().unwrap();
        let pin = identity.pin().unwrap();
        assert_eq!(pin.to_string().parse(), Ok(pin));
        let (chain, key) = identity.to_der();
        assert_eq!(Identity::from_der(chain, key).unwrap().pin(), Ok(pin));
        assert_ne!(Identity::generate().unwrap().pin(), Ok(pin));
        for text in ["", "00", &"0".repeat(63), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(text.parse::<Pin>(), Err(IdentityError::Pin), "{text}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert_eq!(Identity::from_der(vec![b"nothing".to_vec()], Vec::new()).unwrap_err(), IdentityError::Certificate);
        assert_eq!(Identity::from_der(Vec::new(), Vec::new()).unwrap_err(), IdentityError::Certificate);
        let (chain, _) = Identity::generate().unwrap().to_der();
        let (_, key) = Identity::generate().unwrap().to_der();
        assert_eq!(Identity::from_der(chain, key).unwrap().server().unwrap_err(), IdentityError::Key);
        let root = Trust::Authority { roots: vec![b"nothing".to_vec()], name: "lea.example".to_owned() };
        assert_eq!(root.client().unwrap_err(), IdentityError::Certificate);
        let name = Trust::Authority { roots: Vec::new(), name: "no name".to_owned() };
        assert_eq!(name.client().unwrap_err(), IdentityError::Name);
    }

    #[test]
    fn a_private_key_is_not_printed() {
        let identity = Identity::generate().unwrap();
        assert_eq!(format!("{identity:?}"), format!("Identity {{ pin: Some({}), .. }}", identity.pin().unwrap()));
    }
}
