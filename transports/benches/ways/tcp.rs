//! Bare TCP as most would write it, and receivers of either kind.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;

use super::ACK_EVERY;
use crate::FRAME;

/// One write for each frame and receiver.
pub(crate) struct Bare {
    listener: TcpListener,
    streams: Vec<TcpStream>,
}

impl Bare {
    pub(crate) fn new() -> Option<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").ok()?;
        listener.set_nonblocking(true).ok()?;
        Some(Self { listener: TcpListener::from_std(listener).ok()?, streams: Vec::new() })
    }

    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    pub(crate) async fn ready(&mut self, count: usize) {
        while self.streams.len() < count {
            let (stream, _) = self.listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            self.streams.push(stream);
        }
    }

    pub(crate) async fn send(&mut self, frames: usize) {
        let mut framed = (FRAME as u32).to_be_bytes().to_vec();
        framed.resize(4 + FRAME, 0xA5);
        for _ in 0..frames {
            for stream in &mut self.streams {
                stream.write_all(&framed).await.unwrap();
            }
        }
    }
}

/// Connects `count` receivers, which say now and then what they have, if the sender waits for that.
pub(crate) async fn receive(at: &str, count: usize, says: bool, counted: &UnboundedSender<u64>) {
    for _ in 0..count {
        let mut stream = loop {
            match TcpStream::connect(at).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        };
        stream.set_nodelay(true).unwrap();
        let counted = counted.clone();
        tokio::spawn(async move {
            let mut block = vec![0; 64 << 10];
            let (mut bytes, mut said) = (0, 0);
            while let Ok(some @ 1..) = stream.read(&mut block).await {
                let before = bytes / (FRAME + 4);
                bytes += some;
                let frames = bytes / (FRAME + 4);
                let _ = counted.send(((frames - before) * FRAME) as u64);
                while says && frames >= said + ACK_EVERY {
                    said += ACK_EVERY;
                    stream.write_all(&[0, 0, 0, 1, 1]).await.unwrap();
                }
            }
        });
    }
}
