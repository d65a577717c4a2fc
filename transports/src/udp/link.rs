//! What both ends of a link do alike.

use bytes::BytesMut;
use sodality::endpoint::{LinkInfo, LinkTicket};
use tokio::sync::Notify;

use super::packet::{Connection, FRAME_HEADER, Packet, SHARED_HEADER};
use super::socket::{Socket, Train, Way};
use crate::transport::{Outgoing, Wire};

/// Most bytes taken from the driver at once.
const BATCH: usize = 60 << 10;

/// Frames that came in share blocks of this size, so that not each costs an allocation.
const BLOCK: usize = 64 << 10;

pub(crate) fn info(max_frame: usize, answers: Option<LinkTicket>) -> LinkInfo {
    LinkInfo { max_frame, reliable: false, proven: true, shared: false, answers }
}

/// Copies frames out of the buffers of a socket.
#[derive(Debug, Default)]
pub(crate) struct Block(BytesMut);

impl Block {
    pub(crate) fn frame(&mut self, bytes: &[u8]) -> BytesMut {
        if self.0.capacity() < bytes.len() {
            self.0 = BytesMut::with_capacity(BLOCK.max(bytes.len()));
        }
        self.0.extend_from_slice(bytes);
        self.0.split()
    }
}

/// What frames are wrapped in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wrap {
    Link(Connection),
    Shared,
}

impl Wrap {
    fn header(self) -> usize {
        match self {
            Self::Link(_) => FRAME_HEADER,
            Self::Shared => SHARED_HEADER,
        }
    }

    fn packet(self, frame: &[u8]) -> Packet<'_> {
        match self {
            Self::Link(connection) => Packet::Frame(connection, frame),
            Self::Shared => Packet::Shared(frame),
        }
    }
}

/// What a datagram with a frame counts as ([`Incoming::received`](crate::transport::Incoming::received)).
pub(crate) fn one(bytes: usize) -> Wire {
    Wire { frames: 1, packets: 1, bytes: bytes as u64 }
}

/// Sends what the driver gives until there will be no more. `sent` hears of each round.
pub(crate) async fn write(outgoing: &mut Outgoing, socket: &Socket, way: Way, wrap: Wrap, sent: Option<&Notify>) {
    let (mut batch, mut train) = (Vec::new(), Train::default());
    while outgoing.batch(&mut batch, BATCH).await {
        let counted = &*outgoing;
        let rest = async {
            for frame in batch.drain(..) {
                if !train.takes(wrap.header() + frame.len(), socket.train_length()) {
                    counted.sent(train.send(socket, way).await);
                }
                train.add(|bytes| wrap.packet(&frame).write(bytes));
            }
            if !train.is_empty() {
                counted.sent(train.send(socket, way).await);
            }
        };
        tokio::select! {
            biased;
            () = outgoing.over() => return,
            () = rest => {}
        }
        if let Some(sent) = sent {
            sent.notify_one();
        }
    }
}
