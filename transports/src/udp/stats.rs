//! What happened at the sockets of one listener, connector or channel.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one listener, connector or channel, at one moment.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        #[non_exhaustive]
        pub struct UdpStats {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> UdpStats {
                UdpStats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Datagrams that came from the network.
    datagrams_in,
    /// Their bytes, without the headers of IP and UDP.
    bytes_in,
    /// Datagrams given to the network.
    datagrams_out,
    /// Their bytes.
    bytes_out,
    /// Calls that took datagrams from the system: one may take many.
    calls_in,
    /// Calls that gave the system datagrams: one may give many.
    calls_out,
    /// Datagrams that the system did not take: too long for the way, no room, no route.
    send_errors,
    /// Errors of receiving. They pass.
    receive_errors,
    /// Datagrams refused since they were longer than what the link takes, or cut off.
    oversize,
    /// Datagrams that are none of this adapter.
    malformed,
    /// Datagrams for no link that is open here, or for a link but from another address.
    strayed,
    /// Frames dropped since the endpoint had not taken those before.
    frames_dropped,
    /// Cookies issued.
    cookies_issued,
    /// Cookies refused since their time was over.
    cookies_expired,
    /// Cookies refused since they were not issued here, to that address.
    cookies_forged,
    /// Openings with a good cookie that found no room: too many links, or too many of one host.
    crowded,
    /// Links made.
    /// Links made.
    links,
    /// Times at which the random source failed.
    entropy_failures,
    /// (Channel) own datagrams that came back and were left aside.
    echoes,
}

impl Counters {
    pub(crate) fn count(&self, counter: impl FnOnce(&Self) -> &AtomicU64) {
        self.add(counter, 1);
    }

    pub(crate) fn add(&self, counter: impl FnOnce(&Self) -> &AtomicU64, by: usize) {
        counter(self).fetch_add(by as u64, Ordering::Relaxed);
    }
}
