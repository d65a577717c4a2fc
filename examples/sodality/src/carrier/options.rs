//! What the command line says of transports.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::ValueEnum;
use sodality::policy::Communication;
use sodality_transports::quic;

use super::{Carrier, Server, Trust, interface};
use crate::exit::Failed;

/// The group of multicast, if none is named: of those that are for use within a site.
pub(super) const GROUP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 255, 77, 19)), 7719);

/// A transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Transport {
    /// Streams
    #[default]
    Tcp,
    /// Datagrams, each to one peer
    Udp,
    /// Datagrams to all, from everybody
    Multicast,
    /// Datagrams, from the leader to all, from members to the leader
    Mixed,
    /// Streams and datagrams under TLS
    Quic,
}

impl Transport {
    /// As it is typed.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Multicast => "multicast",
            Self::Mixed => "mixed",
            Self::Quic => "quic",
        }
    }

    /// As it is shown.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Multicast => "UDP, and multicast by everybody",
            Self::Mixed => "UDP, and multicast by the leader",
            Self::Quic => "QUIC",
        }
    }

    /// Whether each frame is a datagram of its own.
    pub(crate) fn is_datagrams(self) -> bool {
        matches!(self, Self::Udp | Self::Multicast | Self::Mixed)
    }

    /// What the policy says where there is a channel that all share.
    pub(crate) fn communication(self) -> Option<Communication> {
        match self {
            Self::Multicast => Some(Communication::Symmetric),
            Self::Mixed => Some(Communication::Mixed),
            Self::Tcp | Self::Udp | Self::Quic => None,
        }
    }
}

/// Over what a group goes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CarrierArgs {
    /// What carries the group: all in it say the same. The third party is always reached over TCP
    #[arg(long, value_enum, value_name = "TRANSPORT", default_value_t)]
    transport: Transport,
    /// (multicast, mixed) The address of the multicast group: all say the same; 239.255.77.19:7719 if none is named
    #[arg(long, value_name = "ADDRESS:PORT")]
    group: Option<SocketAddr>,
    /// (multicast, mixed) The interface: for IPv4 its address, for IPv6 its name or number; if none is named, the one that
    /// faces the leader
    #[arg(long, value_name = "INTERFACE")]
    interface: Option<String>,
    /// (multicast, mixed) How many networks a datagram crosses; 1 stays in the own one
    #[arg(long, value_name = "N")]
    ttl: Option<u8>,
}

impl CarrierArgs {
    /// What they mean.
    ///
    /// # Errors
    /// [`Failed::Usage`]: they contradict each other.
    pub(crate) fn carrier(&self) -> Result<Carrier, Failed> {
        let usage = |text: String| Err(Failed::Usage(text));
        let shares = self.transport.communication().is_some();
        if !shares && (self.group.is_some() || self.interface.is_some() || self.ttl.is_some()) {
            let word = self.transport.word();
            return usage(format!("--group, --interface and --ttl are of multicast; {word} has none: see --transport"));
        }
        let group = self.group.unwrap_or(GROUP);
        if !group.ip().is_multicast() {
            return usage(format!("{group}: not the address of a multicast group"));
        }
        if group.port() == 0 {
            return usage(format!("{group}: a group that all can find needs a port"));
        }
        let named = self.interface.as_deref().map(|text| interface(group, text));
        let interface = named.transpose().map_err(Failed::Usage)?;
        Ok(Carrier { transport: self.transport, group, interface, ttl: self.ttl.unwrap_or(1) })
    }
}

/// Who a leader is to those who come over QUIC.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServerArgs {
    /// (quic) The certificate of this host, those of its issuers, and its private key (PEM), in a file for its owner alone; a fresh
    /// one is made for each run if none is named
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

impl ServerArgs {
    /// What they mean.
    ///
    /// # Errors
    /// [`Failed`].
    pub(crate) fn server(&self, carrier: &Carrier) -> Result<Option<Server>, Failed> {
        let Some(path) = &self.certificate else { return Ok(None) };
        if carrier.transport != Transport::Quic {
            return Err(Failed::Usage(
                "a certificate is for QUIC; add --transport quic, or leave --certificate away".into(),
            ));
        }
        Server::read(path).map(Some)
    }
}

/// Whom a member takes for the host of its leader.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TrustArgs {
    /// (quic) The leader's host is the one with this key: 64 digits, which the leader prints
    #[arg(long, value_name = "DIGITS", conflicts_with = "authority")]
    pin: Option<String>,
    /// (quic) The leader's host is the one for which this authority vouches: a file of certificates (PEM)
    #[arg(long, value_name = "FILE", requires = "host")]
    authority: Option<PathBuf>,
    /// (quic) The name in the certificate of the leader's host, for --authority
    #[arg(long, value_name = "NAME", requires = "authority")]
    host: Option<String>,
}

impl TrustArgs {
    /// What they mean.
    ///
    /// # Errors
    /// [`Failed`].
    pub(crate) fn trust(&self, carrier: &Carrier) -> Result<Trust, Failed> {
        if carrier.transport != Transport::Quic {
            if self.pin.is_some() || self.authority.is_some() {
                let text = "--pin and --authority are for QUIC; add --transport quic, or leave them away";
                return Err(Failed::Usage(text.into()));
            }
            return Ok(None);
        }
        if let (Some(path), Some(host)) = (&self.authority, &self.host) {
            let text = super::server::text(path)?;
            let trust = quic::Trust::authority(&text, host.clone());
            let shown = path.display();
            return trust.map(Some).map_err(|_| {
                Failed::Input(format!("{shown}: has no certificates; name a file in PEM with --authority"))
            });
        }
        let Some(pin) = &self.pin else {
            let text = "whom to trust? Name the leader's key with --pin (the leader prints it), or an --authority and a --host";
            return Err(Failed::Usage(text.into()));
        };
        pin.parse().map(|pin| Some(quic::Trust::Pinned(pin))).map_err(|error| Failed::Usage(format!("--pin: {error}")))
    }
}
