//! A relay for datagrams between one client and one server, with a will of its own.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Which way a datagram goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

/// Whether a datagram goes on.
pub(crate) type Rule = Box<dyn FnMut(Way, &[u8]) -> bool + Send>;

pub(crate) struct Relay {
    /// Where the client sends to.
    pub(crate) address: SocketAddr,
    rule: Arc<Mutex<Rule>>,
    passed: Arc<[AtomicU64; 2]>,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// A relay to `server` in which everything takes `delay`, each way.
    pub(crate) async fn to(server: SocketAddr, delay: Duration) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = front.local_addr().unwrap();
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(|_, _| true)));
        let passed: Arc<[AtomicU64; 2]> = Arc::default();
        let (judge, counted) = (rule.clone(), passed.clone());
        let task = tokio::spawn(async move {
            let mut client = None;
            let (mut there, mut here) = (vec![0; 65_536], vec![0; 65_536]);
            loop {
                let (way, bytes, socket, to) = tokio::select! {
                    got = front.recv_from(&mut there) => {
                        let Ok((length, from)) = got else { continue };
                        client = Some(from);
                        (Way::ToServer, there[..length].to_vec(), back.clone(), Some(server))
                    }
                    got = back.recv_from(&mut here) => {
                        let Ok((length, _)) = got else { continue };
                        (Way::ToClient, here[..length].to_vec(), front.clone(), client)
                    }
                };
                let Some(to) = to else { continue };
                if !judge.lock().unwrap()(way, &bytes) {
                    continue;
                }
                counted[way as usize].fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    let _ = socket.send_to(&bytes, to).await;
                });
            }
        });
        Self { address, rule, passed, task }
    }

    /// From now on this decides.
    pub(crate) fn rule(&self, rule: impl FnMut(Way, &[u8]) -> bool + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// How many went on.
    pub(crate) fn passed(&self, way: Way) -> u64 {
        self.passed[way as usize].load(Ordering::Relaxed)
    }
}
