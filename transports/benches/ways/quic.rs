//! Bare quinn with datagrams, and receivers of either kind.

use std::sync::Arc;

use bytes::Bytes;
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig};
use sodality_transports::quic::{ALPN, Identity};
use tokio::sync::mpsc::UnboundedSender;

use super::ACK_EVERY;
use crate::FRAME;

pub(crate) struct Bare {
    endpoint: Endpoint,
    connections: Vec<Connection>,
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.datagram_receive_buffer_size(Some(2 << 20)).datagram_send_buffer_size(64 << 10);
    // With a thousand of them each waits long for its turn.
    transport.max_idle_timeout(None);
    Arc::new(transport)
}

impl Bare {
    pub(crate) fn new(_count: usize) -> Option<Self> {
        let (chain, key) = Identity::generate().ok()?.to_der();
        let chain = chain.into_iter().map(Into::into).collect();
        let key = rustls::pki_types::PrivateKeyDer::try_from(key).ok()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .ok()?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .ok()?;
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls).ok()?;
        let mut config = ServerConfig::with_crypto(Arc::new(tls));
        config.transport_config(transport());
        let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().ok()?).ok()?;
        Some(Self { endpoint, connections: Vec::new() })
    }

    pub(crate) fn address(&self) -> String {
        self.endpoint.local_addr().unwrap().to_string()
    }

    pub(crate) async fn ready(&mut self, count: usize) {
        while self.connections.len() < count {
            self.connections.push(self.endpoint.accept().await.unwrap().await.unwrap());
        }
    }

    pub(crate) async fn send(&mut self, frames: usize) {
        let frame = Bytes::from(vec![0xA5; FRAME]);
        for _ in 0..frames {
            for connection in &self.connections {
                connection.send_datagram_wait(frame.clone()).await.unwrap();
            }
        }
        // All have left when the buffers are empty.
        for connection in &self.connections {
            while connection.datagram_send_buffer_space() < (64 << 10) - 1024 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        }
    }
}

/// Takes any certificate: a measurement on one machine.
#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Connects `count` receivers, which say now and then what they have, if the sender waits for that.
pub(crate) async fn receive(at: &str, count: usize, says: bool, counted: &UnboundedSender<u64>) {
    let address = at.split('/').next().unwrap().parse().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(transport());
    for _ in 0..count {
        // A socket each, as receivers on machines of their own have.
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let connection = endpoint.connect_with(config.clone(), address, "bench.invalid").unwrap().await.unwrap();
        let control = if says {
            let (mut send, recv) = connection.open_bi().await.unwrap();
            send.write_all(&[1]).await.unwrap();
            Some((send, recv))
        } else {
            None
        };
        let counted = counted.clone();
        tokio::spawn(async move {
            let (mut control, mut frames) = (control, 0);
            let _endpoint = endpoint;
            while let Ok(datagram) = connection.read_datagram().await {
                frames += 1;
                let _ = counted.send(datagram.len() as u64);
                if let Some((send, _)) = &mut control
                    && frames % ACK_EVERY == 0
                {
                    let _ = send.write_all(&[0, 0, 0, 1, 1]).await;
                }
            }
        });
    }
}
