//! A proxy on the way to the leader, and the record of what passes: for each direction a file of frames, each behind its length.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::datagrams::{self, Shown};
use crate::carrier::{ANYWHERE, Carrier, Transport};
use crate::files::Folder;

/// Bytes copied at once.
pub(super) const BLOCK: usize = 64 << 10;
/// Blocks that wait to be written to the record. The link waits for a full record: nothing is missing from it.
const WAITING: usize = 64;

/// What was copied: the direction (towards the leader or from it), and the bytes.
pub(super) type Copied = (bool, Vec<u8>);

/// A tap at work.
pub(crate) struct Tap {
    /// Where the member connects to.
    pub(crate) address: SocketAddr,
    recorder: JoinHandle<io::Result<()>>,
    record: Record,
}

/// The record: a temporary folder with a file for each direction, removed with this.
pub(crate) struct Record {
    folder: PathBuf,
    /// Under TLS.
    pub(super) opaque: bool,
}

impl Record {
    pub(super) fn path(&self, up: bool) -> PathBuf {
        self.folder.join(if up { "to-the-leader" } else { "from-the-leader" })
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // There is nobody to tell.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Tap {
    /// Begins to listen, for one link after the other, on the way to `leader`; and to the group, if all share one.
    pub(crate) async fn start(carrier: &Carrier, leader: SocketAddr, stop: watch::Receiver<bool>) -> io::Result<Self> {
        let folder = Folder::temporary().map_err(|failed| io::Error::other(failed.to_string()))?;
        let record = Record { folder, opaque: carrier.transport() == Transport::Quic };
        let mut files = [
            BufWriter::new(File::create_new(record.path(false))?),
            BufWriter::new(File::create_new(record.path(true))?),
        ];
        let (copies, mut copied) = mpsc::channel::<Copied>(WAITING);
        let recorder = tokio::task::spawn_blocking(move || {
            while let Some((up, bytes)) = copied.blocking_recv() {
                if let Some(file) = files.get_mut(usize::from(up)) {
                    file.write_all(&bytes)?;
                }
            }
            files.iter_mut().try_for_each(Write::flush)
        });
        let address = if carrier.transport() == Transport::Tcp {
            let listener = TcpListener::bind(ANYWHERE).await?;
            let address = listener.local_addr()?;
            tokio::spawn(relay(listener, leader, copies, stop));
            address
        } else {
            let shown = if record.opaque { Shown::Datagrams } else { Shown::Frames };
            if let Some(group) = carrier.shared_by_all() {
                datagrams::overhear(group, copies.clone(), stop.clone())?;
            }
            datagrams::relay(leader, shown, copies, stop).await?
        };
        Ok(Self { address, recorder, record })
    }

    /// Waits until all is recorded.
    pub(crate) async fn finish(self) -> io::Result<Record> {
        self.recorder.await.map_err(io::Error::other)??;
        Ok(self.record)
    }
}

async fn relay(
    listener: TcpListener,
    leader: SocketAddr,
    copies: mpsc::Sender<Copied>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let member = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Ok((member, _)) = member else { continue };
        let Ok(leader) = TcpStream::connect(leader).await else { continue };
        // Without it the link is slower, and works.
        let _ = (member.set_nodelay(true), leader.set_nodelay(true));
        let ((from_member, to_member), (from_leader, to_leader)) = (member.into_split(), leader.into_split());
        let link = async {
            tokio::join!(
                copy(true, from_member, to_leader, copies.clone()),
                copy(false, from_leader, to_member, copies.clone())
            )
        };
        tokio::select! {
            _ = link => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn copy(up: bool, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, copies: mpsc::Sender<Copied>) {
    let mut block = vec![0; BLOCK];
    while let Ok(length @ 1..) = from.read(&mut block).await {
        let piece = block.get(..length).unwrap_or_default();
        if copies.send((up, piece.to_vec())).await.is_err() || to.write_all(piece).await.is_err() {
            break;
        }
    }
    // The other side hears that nothing follows.
    let _ = to.shutdown().await;
}
