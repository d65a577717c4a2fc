//! Frames over any pair of byte streams: a length of four bytes, big-endian, then so many bytes.
//!
//! **Reading.** A length above the link's `max_frame` closes the link before anything is allocated for it (R3), and
//! the buffer grows no faster than bytes arrive: a peer that announces a long frame and sends nothing costs one block
//! of 64 KiB. Frames are split off the buffer without a copy and without an allocation each. A peer that does not
//! finish a frame in time loses its link and nothing else; one that the endpoint does not know has less time and may send
//! less ([`Patience`]).
//!
//! **Writing.** Whatever is queued goes out together, up to 64 KiB a write. Short frames are copied next to one another;
//! a long one follows from where it lies.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use sodality::endpoint::LinkInfo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::transport::{CloseReason, Guard, Incoming, Outgoing, Refused, Uplink, Wire};

/// Bytes in front of each frame.
pub const PREFIX_BYTES: usize = 4;

/// Most bytes gathered for one write, and the size of a read buffer.
const BLOCK: usize = 64 << 10;

/// A new block is begun when less than this is left of the old one.
const LEAST_READ: usize = 4 << 10;

/// Frames of at least so many bytes are written from where they lie.
const LONG: usize = 16 << 10;

/// After the last frame is written in a shutdown, how long the peer may take to close its side.
const LINGER: Duration = Duration::from_millis(500);

/// How patient a link over a stream is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Most time from when the driver waits for the rest of a frame to its last byte.
    pub frame: Duration,
    /// Most time until the first whole frame, however its bytes come: who connects and says nothing, or next to nothing, must
    /// not hold a place for good (R2).
    pub first: Duration,
    /// Most time until the endpoint knows who the peer is (`Endpoint::knows`); `None` lets strangers stay.
    pub known: Option<Duration>,
    /// Most bytes that a peer may send before the endpoint knows who it is.
    pub unknown_bytes: usize,
    /// Most time without any byte between two frames; `None` waits for ever, and leaves it to the endpoint's own
    /// failure detection.
    pub idle: Option<Duration>,
    /// Most time in which the peer takes no byte of what is written.
    pub write: Duration,
}

impl Default for Patience {
    /// 30 seconds for a frame, 10 for the first one to come, 60 to be known, with at most 2 MiB until then; any time between
    /// frames, 60 seconds for a write.
    fn default() -> Self {
        let half = Duration::from_secs(30);
        Self {
            frame: half,
            first: Duration::from_secs(10),
            known: Some(half * 2),
            unknown_bytes: 2 << 20,
            idle: None,
            write: half * 2,
        }
    }
}

/// Announces a link over `reader` and `writer` and starts its two tasks. Returns once the endpoint knows of it.
///
/// # Errors
/// [`Refused`]: reader and writer are dropped.
pub async fn attach<R, W>(
    uplink: &Uplink,
    reader: R,
    writer: W,
    info: LinkInfo,
    origin: &str,
    patience: Patience,
) -> Result<(), Refused>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    attach_with(uplink, reader, writer, info, origin, patience, Held { link: (), stranger: () }).await
}

/// What goes when a link does, and what goes when its peer is known or the link is gone.
pub(crate) struct Held<H, P> {
    pub(crate) link: H,
    pub(crate) stranger: P,
}

/// As [`attach`], and drops what is `held` in its time.
pub(crate) async fn attach_with<R, W, H, P>(
    uplink: &Uplink,
    reader: R,
    writer: W,
    info: LinkInfo,
    origin: &str,
    patience: Patience,
    held: Held<H, P>,
) -> Result<(), Refused>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
    H: Send + Sync + 'static,
    P: Send + 'static,
{
    // The prefix has four bytes.
    let info = LinkInfo { max_frame: info.max_frame.min(u32::MAX as usize), ..info };
    let guard = uplink.guard().ok_or(Refused::Gone)?;
    let (incoming, outgoing) = uplink.open(info, origin).await?;
    let Held { link: held, stranger } = held;
    let held = Arc::new(held);
    let (reader_guard, reader_held) = (guard.clone(), held.clone());
    tokio::spawn(async move {
        read(reader, incoming, info.max_frame, patience, stranger).await;
        end(reader_held, reader_guard);
    });
    tokio::spawn(async move {
        write(writer, outgoing, patience).await;
        end(held, guard);
    });
    Ok(())
}

/// The guard goes last: a shutdown returns when nothing is held any more.
fn end<H>(held: H, guard: Guard) {
    drop(held);
    drop(guard);
}

/// The next whole frame at the front of `buffer`.
fn split(buffer: &mut BytesMut, max_frame: usize) -> Result<Option<BytesMut>, CloseReason> {
    let Some(prefix) = buffer.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    let announced = u32::from_be_bytes(*prefix);
    let length = usize::try_from(announced).unwrap_or(usize::MAX);
    if length > max_frame {
        return Err(CloseReason::Oversize { announced: announced.into() });
    }
    if buffer.len() - PREFIX_BYTES < length {
        return Ok(None);
    }
    buffer.advance(PREFIX_BYTES);
    Ok(Some(buffer.split_to(length)))
}

/// Makes room to read into. The buffer at most doubles, so it is never more than twice what has arrived, or a block.
fn make_room(buffer: &mut BytesMut) {
    if buffer.capacity() - buffer.len() < LEAST_READ {
        buffer.reserve(buffer.len().max(BLOCK));
    }
}

pub(crate) async fn read<R: AsyncRead + Unpin, P>(
    mut reader: R,
    mut incoming: Incoming,
    max_frame: usize,
    patience: Patience,
    stranger: P,
) {
    match read_frames(&mut reader, &mut incoming, max_frame, patience, stranger).await {
        Some(why) => incoming.close(why),
        None => linger(reader, incoming).await,
    }
}

/// How long a reader waits, and what it is when nothing has come by then.
fn limit(patience: &Patience, opened: Instant, waiting_since: Instant, at: At) -> Option<(Instant, Late)> {
    let after = |from: Instant, most: Option<Duration>, late| Some((from.checked_add(most?)?, late));
    let silent = if at.between { Late::Idle } else { Late::Stalled };
    [
        if at.between {
            after(waiting_since, patience.idle, silent)
        } else {
            after(waiting_since, Some(patience.frame), silent)
        },
        if at.spoken { None } else { after(opened, Some(patience.first), silent) },
        if at.known { None } else { after(opened, patience.known, Late::Stranger) },
    ]
    .into_iter()
    .flatten()
    .min_by_key(|(deadline, _)| *deadline)
}

/// Where a reader is.
#[derive(Clone, Copy)]
struct At {
    /// No frame is begun.
    between: bool,
    /// A whole frame has come.
    spoken: bool,
    /// The endpoint knows the peer.
    known: bool,
}

#[derive(Clone, Copy)]
enum Late {
    Idle,
    Stalled,
    Stranger,
}

/// Reads until the link is over (`None`) or there is a reason to close it. `stranger` is held until the endpoint knows the
/// peer.
async fn read_frames<R: AsyncRead + Unpin, P>(
    reader: &mut R,
    incoming: &mut Incoming,
    max_frame: usize,
    patience: Patience,
    stranger: P,
) -> Option<CloseReason> {
    let mut buffer = BytesMut::with_capacity(BLOCK);
    let opened = Instant::now();
    let (mut waiting_since, mut spoken, mut unknown_bytes) = (opened, false, 0_usize);
    let mut stranger = Some(stranger);
    loop {
        let mut whole = false;
        loop {
            spoken |= whole;
            match split(&mut buffer, max_frame) {
                Ok(Some(frame)) => {
                    incoming.received(Wire { frames: 1, packets: 0, bytes: (PREFIX_BYTES + frame.len()) as u64 });
                    incoming.feed(frame).await.ok()?;
                }
                Ok(None) => break,
                Err(why) => return Some(why),
            }
            whole = true;
        }
        let between = buffer.is_empty();
        if whole || between {
            // Not while frames were waiting to be taken in: that is not the peer's fault.
            waiting_since = Instant::now();
        }
        if incoming.is_known() {
            drop(stranger.take());
        }
        let known = stranger.is_none();
        if !known && unknown_bytes > patience.unknown_bytes {
            if !incoming.ask_known().await {
                return Some(CloseReason::Stranger);
            }
            continue;
        }
        make_room(&mut buffer);
        let limit = limit(&patience, opened, waiting_since, At { between, spoken, known });
        let read = async {
            match limit {
                Some((deadline, late)) => timeout_at(deadline, reader.read_buf(&mut buffer)).await.map_err(|_| late),
                None => Ok(reader.read_buf(&mut buffer).await),
            }
        };
        let read = tokio::select! {
            biased;
            () = incoming.over() => return None,
            // A place among the strangers is given back at once.
            () = incoming.known(), if !known => continue,
            read = read => read,
        };
        match read {
            Err(Late::Idle) => return Some(CloseReason::Idle),
            Err(Late::Stalled) => return Some(CloseReason::Stalled),
            Err(Late::Stranger) => {
                if !incoming.ask_known().await {
                    return Some(CloseReason::Stranger);
                }
            }
            Ok(Ok(0)) => return Some(CloseReason::Peer),
            Ok(Ok(bytes)) => {
                incoming.received(Wire { packets: 1, ..Wire::default() });
                if !known {
                    unknown_bytes = unknown_bytes.saturating_add(bytes);
                }
                if between {
                    waiting_since = Instant::now();
                }
            }
            Ok(Err(error)) => return Some(CloseReason::from(&error)),
        }
    }
}

/// Reads and throws away until the own last frames are out and the peer has closed too, or has had time to.
async fn linger<R: AsyncRead + Unpin>(mut reader: R, incoming: Incoming) {
    let drained = async {
        let mut scrap = BytesMut::with_capacity(LEAST_READ);
        while matches!(reader.read_buf(&mut scrap).await, Ok(1..)) {
            scrap.clear();
        }
    };
    let enough = async {
        incoming.flushed().await;
        sleep(LINGER).await;
    };
    tokio::select! {
        () = drained => {}
        () = enough => {}
        () = incoming.dead() => {}
    }
}

pub(crate) async fn write<W: AsyncWrite + Unpin>(mut writer: W, mut outgoing: Outgoing, patience: Patience) {
    if let Err(why) = write_frames(&mut writer, &mut outgoing, patience).await {
        outgoing.close(why);
    }
}

async fn write_frames<W: AsyncWrite + Unpin>(
    writer: &mut W,
    outgoing: &mut Outgoing,
    patience: Patience,
) -> Result<(), CloseReason> {
    let mut batch = Vec::new();
    let mut joined = BytesMut::with_capacity(BLOCK);
    let mut joined_frames = 0_u64;
    while outgoing.batch(&mut batch, BLOCK).await {
        let mut frames = batch.drain(..).peekable();
        while let Some(frame) = frames.next() {
            // Queued frames are not longer than `max_frame`, so the length fits.
            joined.put_u32(u32::try_from(frame.len()).unwrap_or(u32::MAX));
            joined_frames += 1;
            let long = frame.len() >= LONG;
            if !long {
                joined.put_slice(&frame);
            }
            let full = frames.peek().is_none_or(|next| joined.len() + PREFIX_BYTES + next.len() > BLOCK);
            if long || full {
                let body = if long { frame } else { Bytes::new() };
                let bytes = (joined.len() + body.len()) as u64;
                let put = put(writer, &joined, &body, patience.write);
                let packets = tokio::select! {
                    biased;
                    () = outgoing.over() => return Ok(()),
                    put = put => put?,
                };
                outgoing.sent(Wire { frames: std::mem::take(&mut joined_frames), packets, bytes });
                joined.clear();
            }
        }
    }
    // Tells the peer that nothing follows. If it is gone by now there is nothing to say.
    let _ = timeout(patience.write, async {
        tokio::select! {
            () = outgoing.over() => {}
            _ = writer.shutdown() => {}
        }
    })
    .await;
    Ok(())
}

/// Writes both wholly, in one write if the stream takes it. Says how many writes it took.
async fn put<W: AsyncWrite + Unpin>(
    writer: &mut W,
    head: &[u8],
    body: &[u8],
    patience: Duration,
) -> Result<u64, CloseReason> {
    let mut both = Buf::chain(head, body);
    let mut writes = 0;
    while both.has_remaining() {
        writes += 1;
        let mut slices = [IoSlice::new(&[]), IoSlice::new(&[])];
        let count = both.chunks_vectored(&mut slices);
        let slices = slices.get(..count).unwrap_or_default();
        match timeout(patience, writer.write_vectored(slices)).await {
            Err(_) => return Err(CloseReason::Stalled),
            Ok(Ok(0)) => return Err(CloseReason::Peer),
            Ok(Ok(written)) => both.advance(written),
            Ok(Err(error)) => return Err(CloseReason::from(&error)),
        }
    }
    match timeout(patience, writer.flush()).await {
        Err(_) => Err(CloseReason::Stalled),
        Ok(flushed) => flushed.map(|()| writes).map_err(|error| CloseReason::from(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announced_length_allocates_nothing() {
        let mut buffer = BytesMut::with_capacity(BLOCK);
        buffer.put_u32(1 << 20);
        assert_eq!(split(&mut buffer, 1 << 20), Ok(None));
        make_room(&mut buffer);
        assert!(buffer.capacity() <= BLOCK, "{}", buffer.capacity());
        assert_eq!(split(&mut buffer, (1 << 20) - 1), Err(CloseReason::Oversize { announced: 1 << 20 }));
    }

    #[test]
    fn frames_share_a_block() {
        let mut buffer = BytesMut::with_capacity(BLOCK);
        for _ in 0..100 {
            buffer.put_u32(8);
            buffer.put_slice(b"contents");
        }
        let start = buffer.as_ptr() as usize;
        for index in 0..100 {
            let frame = split(&mut buffer, 8).unwrap().unwrap();
            assert_eq!(frame.as_ref(), b"contents");
            assert_eq!(frame.as_ptr() as usize, start + index * 12 + 4);
        }
        assert_eq!(split(&mut buffer, 8), Ok(None));
    }
}
