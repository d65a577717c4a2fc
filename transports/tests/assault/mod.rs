//! Rubbish below the level of frames, for adapters that speak datagrams.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::sleep;

/// Datagrams of all lengths and kinds to each of these addresses, until it is dropped: hellos without end, cookies and links
/// that nobody gave, frames of nobody, first packets of QUIC, noise. Answers are not read.
pub(crate) async fn by_datagrams(targets: &[SocketAddr]) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket2::SockRef::from(&socket).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    let mut state = 1_u64;
    for round in (0_u8..=255).cycle() {
        for target in targets {
            for kind in [0, 0x0c, 0x40, 0xc3, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xff] {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                // Of those with a length of their own, some have it.
                let length = match (kind, round % 2) {
                    (0xd1, 0) => 40,
                    (0xd3, 0) => 33,
                    (0xd6..=0xd8 | 0xda, 0) => 9,
                    (0xc3, 0) => 1_200,
                    _ => usize::try_from(state >> 40).unwrap() % 1_400 + 1,
                };
                let mut datagram = vec![(state >> 32) as u8; length];
                datagram[0] = kind;
                if kind == 0xd1 && length == 40 {
                    datagram[9..].fill(0);
                }
                // A network that is full loses it.
                let _ = socket.send_to(&datagram, target).await;
            }
        }
        sleep(Duration::from_millis(1)).await;
    }
}
