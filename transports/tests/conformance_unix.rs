//! The conformance suite over the transport of `examples/unix_socket.rs`: what a user writes passes it too.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../examples/unix_socket.rs"]
#[allow(dead_code, reason = "its session is not run here")]
mod unix_socket;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sodality::crypto::chacha20_poly1305;
use sodality::policy::Communication;
use sodality_transports::conformance::{Antigone, Capabilities, Enclaves, Network};
use sodality_transports::{Connector, Uplink};
use tokio::io::AsyncWriteExt;
use unix_socket::adapter;

/// Sockets in a folder of its own, which goes when the last part of the scenario does.
#[derive(Clone)]
struct Unix(Arc<Folder>);

struct Folder(PathBuf, AtomicU32);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Unix {
    fn new() -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("sodality-unix-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(Arc::new(Folder(folder, AtomicU32::new(0))))
    }
}

impl Network for Unix {
    type Place = PathBuf;

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            reliable: true,
            ends_seen: true,
            holds: Some(2 << 20),
            max_frame: adapter::MAX_FRAME,
            communication: Communication::Relay,
        }
    }

    async fn listen(&self, uplink: Uplink) -> io::Result<PathBuf> {
        let path = self.0.0.join(self.0.1.fetch_add(1, Ordering::Relaxed).to_string());
        adapter::listen(uplink, &path).map(|()| path)
    }

    fn connector(&self, place: PathBuf) -> Box<dyn Connector> {
        Box::new(adapter::connector(place))
    }

    async fn assault(&self, place: PathBuf) {
        for round in 0_u32.. {
            let Ok(mut stream) = tokio::net::UnixStream::connect(&place).await else { return };
            let _ = stream.write_all(&vec![round as u8; 1 << (round % 17)]).await;
            tokio::task::yield_now().await;
        }
    }
}

sodality_transports::conformance_suite!(over_unix_sockets, Unix::new(), Antigone::new(chacha20_poly1305()));
sodality_transports::conformance_suite!(enclaves_over_unix_sockets, Unix::new(), Enclaves::new(chacha20_poly1305()));
