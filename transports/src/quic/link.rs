//! The four things a link does at once: control in, control out, data in, data out.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::{Connection, ReadToEndError, RecvStream, SendDatagramError, SendStream, VarInt};
use sodality::endpoint::LinkInfo;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::QuicConfig;
use crate::stream;
use crate::transport::{CloseReason, Feeder, Outgoing, Refused, Uplink, Wire};

/// Bytes of datagrams that are handed to the connection before all of them have left: so many at first, after a pause, and on a
/// way that is slow. A connection puts datagrams in front of streams, so this is how much data control waits for.
const BURST: usize = 64 << 10;
/// … and on a way that goes on taking them at once.
pub(super) const LONGEST_BURST: usize = 8 * BURST;
/// What the connection counts for a datagram besides its bytes, rounded up. Without room it would drop the oldest.
const COUNTED: usize = 64;
/// How often it is looked whether a burst has left.
const LOOK: Duration = Duration::from_millis(1);
/// A burst that takes more looks than this was too long; one that is handed over and leaves in as much time was not.
const LOOKS: u32 = 4;
/// Since a burst that began so long ago the way may have changed.
const PAUSE: Duration = Duration::from_millis(100);
/// The code with which connections are closed in order.
pub(super) const DONE: VarInt = VarInt::from_u32(0);
/// Control goes before data that have streams of their own.
const CONTROL_FIRST: i32 = 1;

/// A connection with its stream for control.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) send: SendStream,
    pub(super) recv: RecvStream,
}

/// Announces the link and starts its task, which drops the first that is held when it ends, and the second once the endpoint
/// knows the peer.
pub(super) async fn attach<H: Send + Sync + 'static, P: Send + 'static>(
    opened: Opened,
    uplink: &Uplink,
    info: LinkInfo,
    origin: &str,
    config: QuicConfig,
    (held, stranger): (H, P),
) -> Result<(), Refused> {
    let Opened { connection, send, recv } = opened;
    let guard = uplink.guard().ok_or(Refused::Gone)?;
    let (incoming, outgoing) = uplink.open(info, origin).await?;
    let feeder = incoming.feeder();
    let (control, data) = outgoing.split();
    let _ = send.set_priority(CONTROL_FIRST);
    tokio::spawn(async move {
        tokio::join!(
            stream::read(recv, incoming, info.max_frame, config.patience, stranger),
            stream::write(send, control, config.patience),
            write_data(&connection, data, config.patience.write),
            read_data(&connection, feeder, info.max_frame, config),
        );
        connection.close(DONE, b"");
        drop(held);
        drop(guard);
    });
    Ok(())
}

async fn write_data(connection: &Connection, mut data: Outgoing, patience: Duration) {
    let empty = connection.datagram_send_buffer_space();
    let mut burst = Burst { longest: BURST, given: 0, began: Instant::now(), empty };
    let mut batch = Vec::new();
    while data.batch(&mut batch, BURST).await {
        for frame in batch.drain(..) {
            let bytes = frame.len() as u64;
            let sent = tokio::select! {
                biased;
                () = data.over() => return,
                sent = timeout(patience, send(connection, frame, &mut burst)) => sent,
            };
            match sent {
                Ok(Ok(())) => data.sent(Wire { frames: 1, packets: 1, bytes }),
                Ok(Err(())) => return data.close(reason(connection)),
                Err(_) => return data.close(CloseReason::Stalled),
            }
        }
    }
}

/// As a datagram if it fits now, and else on a stream of its own.
async fn send(connection: &Connection, frame: Bytes, burst: &mut Burst) -> Result<(), ()> {
    // A stream without a byte says nothing; a datagram without one does.
    let fits = connection.max_datagram_size().is_some_and(|most| frame.len() <= most.min(burst.empty));
    if fits {
        burst.room(connection, frame.len()).await?;
        match connection.send_datagram(frame.clone()) {
            Ok(()) => return Ok(()),
            // The way has become narrower since it was asked.
            Err(SendDatagramError::TooLarge | SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled) => {}
            Err(SendDatagramError::ConnectionLost(_)) => return Err(()),
        }
    }
    let mut stream = connection.open_uni().await.map_err(drop)?;
    stream.write_chunk(frame).await.map_err(drop)?;
    stream.finish().map_err(drop)
}

/// How much data is on its way out as datagrams. Their length follows the way: where they do not leave within milliseconds, control
/// waits for 64 KiB at most, after one burst that was too long.
struct Burst {
    /// Bytes that the next may have.
    longest: usize,
    /// Bytes of this one.
    given: usize,
    /// When this one began.
    began: Instant,
    /// The space of the connection when nothing waits in it.
    empty: usize,
}

impl Burst {
    /// Waits until so many bytes more may be handed over.
    async fn room(&mut self, connection: &Connection, bytes: usize) -> Result<(), ()> {
        let room = connection.datagram_send_buffer_space();
        if self.given + bytes > self.longest.min(self.empty) || room < bytes + COUNTED {
            let mut looks = 0;
            tokio::task::yield_now().await;
            // All of the burst has to leave, or what follows would stand before control again.
            while connection.datagram_send_buffer_space() < self.empty {
                if connection.close_reason().is_some() {
                    return Err(());
                }
                sleep(LOOK).await;
                looks += 1;
            }
            self.over(looks);
        }
        if self.given == 0 {
            if self.began.elapsed() > PAUSE {
                self.longest = BURST;
            }
            self.began = Instant::now();
        }
        self.given += bytes;
        Ok(())
    }

    /// It has left, after so many looks.
    fn over(&mut self, looks: u32) {
        self.given = 0;
        if looks > LOOKS {
            self.longest = BURST;
        } else if self.began.elapsed() <= LOOK * LOOKS {
            self.longest = LONGEST_BURST.min(2 * self.longest);
        }
    }
}

/// Data in, until the link takes nothing more. Frames come in any order.
async fn read_data(connection: &Connection, feeder: Feeder, max_frame: usize, config: QuicConfig) {
    let mut streams = JoinSet::new();
    let most = usize::try_from(config.data_streams).unwrap_or(usize::MAX);
    loop {
        tokio::select! {
            () = feeder.over() => return,
            Some(_) = streams.join_next() => {}
            datagram = connection.read_datagram() => {
                let Ok(datagram) = datagram else { break };
                if datagram.len() > max_frame {
                    return feeder.close(CloseReason::Oversize { announced: datagram.len() as u64 });
                }
                feeder.received(Wire { frames: 1, packets: 1, bytes: datagram.len() as u64 });
                if feeder.feed(BytesMut::from(datagram)).await.is_err() {
                    return;
                }
            }
            // A peer may open another stream once one is read, also while its frame still waits to be taken in.
            stream = connection.accept_uni(), if streams.len() < most => {
                let Ok(stream) = stream else { break };
                streams.spawn(read_one(stream, feeder.clone(), max_frame, config.patience.frame));
            }
        }
    }
    // What has arrived whole is taken in all the same.
    while streams.join_next().await.is_some() {}
    feeder.close(reason(connection));
}

/// One data frame on a stream of its own. If it does not come whole in time it is lost, as a datagram would be.
async fn read_one(mut stream: RecvStream, feeder: Feeder, max_frame: usize, patience: Duration) {
    match timeout(patience, stream.read_to_end(max_frame)).await {
        Ok(Ok(frame)) => {
            feeder.received(Wire { frames: 1, packets: 1, bytes: frame.len() as u64 });
            let _ = feeder.feed(BytesMut::from(Bytes::from(frame))).await;
        }
        Ok(Err(ReadToEndError::TooLong)) => feeder.close(CloseReason::Oversize { announced: max_frame as u64 + 1 }),
        Ok(Err(ReadToEndError::Read(_))) | Err(_) => {}
    }
}

/// Why the connection is over.
fn reason(connection: &Connection) -> CloseReason {
    match connection.close_reason() {
        Some(error) => closed(&error),
        None => CloseReason::Peer,
    }
}

pub(super) fn closed(error: &quinn::ConnectionError) -> CloseReason {
    use quinn::ConnectionError as E;
    match error {
        E::ApplicationClosed(_) | E::ConnectionClosed(_) | E::LocallyClosed => CloseReason::Peer,
        E::TimedOut => CloseReason::Idle,
        E::Reset => CloseReason::Io(std::io::ErrorKind::ConnectionReset),
        _ => CloseReason::Io(std::io::ErrorKind::InvalidData),
    }
}

/// Both ends of the stream for control. The client opens it and says so with one byte, or the server would not know of it.
pub(super) const HELLO: u8 = 1;

pub(super) async fn open(connection: Connection) -> Result<Opened, String> {
    let (mut send, recv) = connection.open_bi().await.map_err(|error| error.to_string())?;
    send.write_all(&[HELLO]).await.map_err(|error| error.to_string())?;
    Ok(Opened { connection, send, recv })
}

/// What the server waits for after the handshake.
pub(super) async fn accepted(connection: Connection) -> Option<Opened> {
    let (send, mut recv) = connection.accept_bi().await.ok()?;
    let mut hello = [0];
    recv.read_exact(&mut hello).await.ok()?;
    (hello == [HELLO]).then_some(Opened { connection, send, recv })
}

/// Held for as long as a link is there.
pub(super) type Slot = Arc<tokio::sync::OwnedSemaphorePermit>;
