//! The same for datagrams: a proxy between a member and its leader, and an ear at the group that all share.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use sodality_transports::udp::{FRAME_HEADER, SHARED_HEADER};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};

use super::wire::Copied;
use crate::carrier::ANYWHERE;

/// The first bytes of datagrams with frames, on a link and to the group (docs/transports.md).
const FRAME: u8 = 0xd5;
const SHARED: u8 = 0xd9;
/// No datagram is longer.
const LONGEST: usize = 65_536;

/// What is recorded of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shown {
    /// The frame in it, if it has one.
    Frames,
    /// All of it.
    Datagrams,
}

impl Shown {
    /// What goes into the record: behind its length, as frames on TCP.
    fn of(self, datagram: &[u8]) -> Option<Vec<u8>> {
        let shown = match (self, datagram.first()?) {
            (Self::Datagrams, _) => datagram,
            (Self::Frames, &FRAME) => datagram.get(FRAME_HEADER..)?,
            (Self::Frames, &SHARED) => datagram.get(SHARED_HEADER..)?,
            (Self::Frames, _) => return None,
        };
        let length = u32::try_from(shown.len()).ok()?;
        Some([&length.to_be_bytes()[..], shown].concat())
    }
}

/// Copies datagrams between whoever sends to the address that it gives, the last one of them, and `leader`.
pub(super) async fn relay(
    leader: SocketAddr,
    shown: Shown,
    copies: mpsc::Sender<Copied>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<SocketAddr> {
    let near = UdpSocket::bind(ANYWHERE).await?;
    let far = UdpSocket::bind(ANYWHERE).await?;
    far.connect(leader).await?;
    let address = near.local_addr()?;
    tokio::spawn(async move {
        let copying = async {
            let (mut up, mut down) = (vec![0; LONGEST], vec![0; LONGEST]);
            let mut member = None;
            loop {
                // An error is of a datagram that nobody took: the next one may be taken.
                tokio::select! {
                    taken = near.recv_from(&mut up) => {
                        let Ok((length, from)) = taken else { continue };
                        member = Some(from);
                        let datagram = up.get(..length).unwrap_or_default();
                        record(&copies, shown, true, datagram).await;
                        let _ = far.send(datagram).await;
                    }
                    taken = far.recv(&mut down) => {
                        let (Ok(length), Some(member)) = (taken, member) else { continue };
                        let datagram = down.get(..length).unwrap_or_default();
                        record(&copies, shown, false, datagram).await;
                        let _ = near.send_to(datagram, member).await;
                    }
                }
            }
        };
        tokio::select! {
            () = copying => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    });
    Ok(address)
}

/// Records what is sent to `group` on this host, as anybody may who is on the same network.
pub(super) fn overhear(
    group: SocketAddrV4,
    copies: mpsc::Sender<Copied>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    if cfg!(windows) {
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, group.port()).into())?;
    } else {
        socket.bind(&group.into())?;
    }
    socket.join_multicast_v4(group.ip(), &Ipv4Addr::LOCALHOST)?;
    socket.set_nonblocking(true)?;
    let socket = Arc::new(UdpSocket::from_std(socket.into())?);
    tokio::spawn(async move {
        let listening = async {
            let mut block = vec![0; LONGEST];
            loop {
                let Ok(length) = socket.recv(&mut block).await else { continue };
                record(&copies, Shown::Frames, false, block.get(..length).unwrap_or_default()).await;
            }
        };
        tokio::select! {
            () = listening => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    });
    Ok(())
}

async fn record(copies: &mpsc::Sender<Copied>, shown: Shown, up: bool, datagram: &[u8]) {
    if let Some(entry) = shown.of(datagram) {
        // The record is closed only when all has ended.
        let _ = copies.send((up, entry)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_out_of_their_datagrams() {
        let frame = [&[FRAME][..], &[1; 8], b"text"].concat();
        assert_eq!(Shown::Frames.of(&frame).unwrap(), b"\x00\x00\x00\x04text");
        assert_eq!(Shown::Frames.of(&[SHARED, b'x']).unwrap(), b"\x00\x00\x00\x01x");
        for other in [&[0xd1, 2, 3][..], &[FRAME, 1], &[]] {
            assert_eq!(Shown::Frames.of(other), None, "{other:?}");
        }
        assert_eq!(Shown::Datagrams.of(&[7]).unwrap(), [0, 0, 0, 1, 7]);
    }
}
