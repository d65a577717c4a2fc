//! How links are made: over which transport, and with which options. The rest of the program knows none of it.
//!
//! The third party is reached over TCP whatever carries the group: it is asked once a join.

mod options;
mod server;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;

use sodality::crypto::Suite;
use sodality::event::Peer;
use sodality::identity::Name;
use sodality::policy::{Communication, Policy};
use sodality_transports::tcp::{self, ListenError, TcpConfig, TcpConnector};
use sodality_transports::transport::LinkLimits;
use sodality_transports::udp::multicast::{self, Channel, Interface, MulticastConfig};
use sodality_transports::udp::{self, SAFE_FRAME, UdpConfig, UdpConnector, UdpError};
use sodality_transports::{Connector, Uplink, objects, quic};

use crate::exit::Failed;
use crate::verbs::system::System;

pub(crate) use options::{CarrierArgs, ServerArgs, Transport, TrustArgs};
pub(crate) use server::Server;

/// What each queue of a link holds, and what of it one sender may fill: a quarter is left for others.
const QUEUE: usize = 4 << 20;
const WINDOW: u64 = 3 << 20;
/// The same of objects where nothing but their window slows a sender down: less than the buffer of a socket.
const DATAGRAM_WINDOW: u64 = 256 << 10;

/// Over what a group goes.
#[derive(Debug, Clone)]
pub(crate) struct Carrier {
    transport: Transport,
    group: SocketAddr,
    interface: Option<Interface>,
    ttl: u8,
}

/// Whom a member takes for its leader's host.
pub(crate) type Trust = Option<quic::Trust>;

impl Carrier {
    /// TCP, without any options.
    #[cfg(any(test, feature = "study"))]
    pub(crate) fn tcp() -> Self {
        Self { transport: Transport::Tcp, group: options::GROUP, interface: None, ttl: 1 }
    }

    /// Which transport.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether it carries a group of Enclaves as published.
    ///
    /// # Errors
    /// [`Failed::Usage`]: it does not.
    pub(crate) fn carries(&self, enclaves_as_published: bool) -> Result<(), Failed> {
        if enclaves_as_published && self.transport != Transport::Tcp {
            let text =
                "Enclaves 1.0 and 2.0 go over TCP, as they did; leave --transport away, or say --edition repaired";
            return Err(Failed::Usage(text.into()));
        }
        Ok(())
    }

    /// The group that all share, if it is one of IPv4.
    pub(crate) fn shared_by_all(&self) -> Option<SocketAddrV4> {
        match (self.transport.communication(), self.group) {
            (Some(_), SocketAddr::V4(group)) => Some(group),
            _ => None,
        }
    }

    /// Makes `policy` one that fits: how data go, and how long frames are. Gives what was changed, in words.
    ///
    /// # Errors
    /// [`Failed::Usage`]: the policy says something else on purpose.
    pub(crate) fn fit(&self, system: System, policy: &mut Policy) -> Result<Vec<String>, Failed> {
        let mut told = Vec::new();
        if let Some(communication) = self.transport.communication() {
            let word = self.transport.word();
            if system == System::Enclaves {
                told.push(format!(
                    "Enclaves is a star (report §3.1): its leader sends to each member by itself, and nothing to the group {}",
                    self.group
                ));
            } else if policy.detection.is_none() {
                return Err(Failed::Usage(format!(
                    "--transport {word} needs a policy with detection: otherwise nobody would notice that multicast does not arrive"
                )));
            } else if policy.communication == Communication::Relay {
                policy.communication = communication;
                told.push(format!("data go by multicast, as --transport {word} says (communication = \"{word}\")"));
            } else if policy.communication != communication {
                return Err(Failed::Usage(format!(
                    "the policy has another communication than --transport {word}; make them agree"
                )));
            }
        }
        if self.transport.is_datagrams() && policy.frame_limit as usize > SAFE_FRAME {
            if policy.frame_limit != Policy::default().frame_limit {
                return Err(Failed::Usage(format!(
                    "the policy has frames of {} bytes, and datagrams carry {SAFE_FRAME}; set frame_limit = {SAFE_FRAME} in it",
                    policy.frame_limit
                )));
            }
            policy.frame_limit = u32::try_from(SAFE_FRAME).unwrap_or(u32::MAX);
            told.push(format!("frames have {SAFE_FRAME} bytes at most, so that each is one datagram"));
        }
        Ok(told)
    }

    /// Listens for members. With QUIC, `server` says who this host is.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) async fn listen(&self, uplink: Uplink, at: SocketAddr, server: Option<Server>) -> Result<Bound, String> {
        match self.transport {
            Transport::Tcp => Ok(Bound { address: listen_for_leaders(uplink, at).await?, pin: None }),
            Transport::Udp | Transport::Multicast | Transport::Mixed => {
                let listening =
                    udp::listen(uplink, at, UdpConfig::default()).await.map_err(|error| udp_text(&error))?;
                Ok(Bound { address: listening.address(), pin: None })
            }
            Transport::Quic => {
                let identity = server.map_or_else(quic::Identity::generate, |server| Ok(server.identity));
                let identity = identity.map_err(|error| error.to_string())?;
                let pin = identity.pin().map_err(|error| error.to_string())?;
                let socket = quic::Socket::bind(at, quic::QuicConfig::default()).map_err(|error| quic_text(&error))?;
                let address = socket.listen(uplink, identity).map_err(|error| quic_text(&error))?;
                Ok(Bound { address, pin: Some(pin) })
            }
        }
    }

    /// Reaches the leader `name` at `at`. With QUIC, `trust` says whom to take for it.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) fn connector(&self, name: &Name, at: SocketAddr, trust: &Trust) -> Result<Box<dyn Connector>, String> {
        let wanted = Peer::Leader(name.clone());
        let resolver = move |peer: &Peer, _: &[u8]| (*peer == wanted).then_some(at);
        Ok(match self.transport {
            Transport::Tcp => Box::new(TcpConnector::new(TcpConfig::default(), resolver)),
            Transport::Udp | Transport::Multicast | Transport::Mixed => {
                Box::new(UdpConnector::new(UdpConfig::default(), resolver))
            }
            Transport::Quic => {
                let trust = trust.as_ref().ok_or("nothing says whom to trust")?;
                let socket =
                    quic::Socket::towards(at, quic::QuicConfig::default()).map_err(|error| quic_text(&error))?;
                Box::new(socket.connector(trust, resolver).map_err(|error| quic_text(&error))?)
            }
        })
    }

    /// Opens the channel that all share, if there is one, on the interface that faces `near`: for a leader where it listens,
    /// for a member where the leader is.
    ///
    /// # Errors
    /// Why it cannot. The group can go on without.
    pub(crate) async fn channel(
        &self,
        uplink: Uplink,
        system: System,
        near: SocketAddr,
        leads: bool,
    ) -> Result<Option<Channel>, String> {
        if self.transport.communication().is_none() || system == System::Enclaves {
            return Ok(None);
        }
        let config = MulticastConfig {
            interface: self.interface.unwrap_or_else(|| facing(self.group, near)),
            ttl: self.ttl,
            // In the mode mixed nobody but the leader speaks there.
            listen: !(leads && self.transport == Transport::Mixed),
            ..MulticastConfig::new(self.group)
        };
        multicast::join(uplink, config).await.map(Some).map_err(|error| {
            let interface = config.interface;
            format!("no multicast to {}, interface {interface}: {}", config.group, udp_text(&error))
        })
    }

    /// What the queues of a link hold.
    pub(crate) fn link_limits(&self) -> LinkLimits {
        LinkLimits { in_bytes: 1 << 20, data_bytes: QUEUE, ..LinkLimits::default() }
    }

    /// How objects are run over such links.
    pub(crate) fn object_config(&self, suite: Arc<dyn Suite>) -> objects::Config {
        let mut config = objects::Config::new(suite);
        config.transfer.window = if self.transport.is_datagrams() { DATAGRAM_WINDOW } else { WINDOW };
        config
    }
}

/// Listens over TCP, as a third party does.
///
/// # Errors
/// Why it cannot.
pub(crate) async fn listen_for_leaders(uplink: Uplink, at: SocketAddr) -> Result<SocketAddr, String> {
    tcp::listen(uplink, at, TcpConfig::default()).await.map_err(|error| match error {
        ListenError::Io(error) => io_text(&error),
        other => other.to_string(),
    })
}

/// Reaches the third party, if there is one.
pub(crate) fn to_third_party(at: Option<SocketAddr>) -> TcpConnector {
    TcpConnector::new(TcpConfig::default(), move |peer, _| at.filter(|_| *peer == Peer::ThirdParty))
}

/// Where a leader listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) address: SocketAddr,
    /// (QUIC) What its members may pin.
    pub(crate) pin: Option<quic::Pin>,
}

/// The interface by which `near` is reached, where the system tells and the group is of that family. IPv6 leaves the choice to
/// the system: an interface has a number there, and no call of the standard library tells it.
fn facing(group: SocketAddr, near: SocketAddr) -> Interface {
    let (SocketAddr::V4(_), SocketAddr::V4(near)) = (group, near) else { return Interface::Any };
    if near.ip().is_unspecified() {
        return Interface::Any;
    }
    let own = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        // Sends nothing: the system only looks the way up.
        socket.connect(near)?;
        socket.local_addr()
    };
    match own() {
        Ok(SocketAddr::V4(own)) => Interface::Address(*own.ip()),
        _ => Interface::Any,
    }
}

/// An address where anybody on this host can be reached, for the demonstration.
pub(crate) const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) fn io_text(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        _ => error.to_string(),
    }
}

fn udp_text(error: &UdpError) -> String {
    match error {
        UdpError::Io(error) => io_text(error),
        other => other.to_string(),
    }
}

fn quic_text(error: &quic::QuicError) -> String {
    match error {
        quic::QuicError::Io(error) => io_text(error),
        other => other.to_string(),
    }
}

/// The number of an interface by its name, where the system has a file for it.
fn index_of(name: &str) -> Option<u32> {
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let file = plain.then(|| std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")))?;
    file.ok()?.trim().parse().ok()
}

/// An interface as the user names it, for a group of this family.
fn interface(group: SocketAddr, text: &str) -> Result<Interface, String> {
    if group.is_ipv4() {
        let address = text.parse::<Ipv4Addr>();
        return address
            .map(Interface::Address)
            .map_err(|_| format!("{text:?}: an interface for IPv4 is named by its address"));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("{text:?}: an interface for IPv6 is named by its name or number"));
    }
    let index = text.parse().ok().or_else(|| index_of(text)).filter(|index| *index != 0);
    index.map(Interface::Index).ok_or_else(|| format!("{text:?}: there is no such interface"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier(transport: Transport) -> Carrier {
        Carrier { transport, ..Carrier::tcp() }
    }

    #[test]
    fn policies_fit_or_are_refused() {
        let mut policy = Policy::default();
        assert_eq!(carrier(Transport::Tcp).fit(System::Antigone, &mut policy).unwrap(), Vec::<String>::new());
        assert_eq!(policy, Policy::default());
        let told = carrier(Transport::Mixed).fit(System::Antigone, &mut policy).unwrap();
        assert_eq!((told.len(), policy.communication, policy.frame_limit), (2, Communication::Mixed, 1_200));
        assert_eq!(
            carrier(Transport::Mixed).fit(System::Antigone, &mut policy).unwrap(),
            Vec::<String>::new(),
            "it fits already"
        );
        assert!(carrier(Transport::Multicast).fit(System::Antigone, &mut policy).is_err(), "symmetric is not mixed");
        let mut policy = Policy { frame_limit: 9_000, ..Policy::default() };
        assert!(carrier(Transport::Udp).fit(System::Antigone, &mut policy).is_err());
        assert_eq!(carrier(Transport::Quic).fit(System::Antigone, &mut policy).unwrap(), Vec::<String>::new());
        let mut policy = Policy { detection: None, ..Policy::default() };
        assert!(carrier(Transport::Mixed).fit(System::Antigone, &mut policy).is_err());
        let mut policy = Policy::default();
        carrier(Transport::Multicast).fit(System::Enclaves, &mut policy).unwrap();
        assert_eq!((policy.communication, policy.frame_limit), (Communication::Relay, 1_200));
    }

    #[test]
    fn interfaces_are_named_as_their_family_names_them() {
        let four: SocketAddr = "239.0.0.1:9".parse().unwrap();
        let six: SocketAddr = "[ff15::1]:9".parse().unwrap();
        assert_eq!(interface(four, "127.0.0.1"), Ok(Interface::Address(Ipv4Addr::LOCALHOST)));
        assert!(interface(four, "lo").is_err());
        assert_eq!(interface(six, "7"), Ok(Interface::Index(7)));
        assert!(interface(six, "::1").is_err());
        assert!(interface(six, "0").is_err());
        assert!(interface(six, "../../etc").is_err());
        assert_eq!(facing(four, ANYWHERE), Interface::Address(Ipv4Addr::LOCALHOST));
        assert_eq!(facing(six, ANYWHERE), Interface::Any);
    }
}
