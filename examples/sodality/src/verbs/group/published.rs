//! `lead` and `join` with Enclaves 1.0 and 2.0 as published. Links are TCP connections, as they were.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use sodality::endpoint::Cx;
use sodality::error::CommandError;
use sodality::event::Peer;
use sodality::group::Limits;
use sodality_transports::clock::Clock;
use sodality_transports::tcp::{TcpConfig, TcpConnector};
use tokio::net::TcpListener;

use super::arguments::{JoinArgs, LeadArgs, Ready, access, policy, ready, user_key, users};
use super::{LeadersWay, MembersWay, enter, joining, leading};
use crate::carrier::{Carrier, io_text};
use crate::exit::Failed;
use crate::past::{Enclaves, Joining, Leading};
use crate::verbs::room::Setup;
use crate::verbs::system::{Shown, Version};
use crate::verbs::{address, cannot_listen, name, run, style, warn_of_enclaves};

impl Enclaves {
    /// Leads a group until `/quit`.
    ///
    /// # Errors
    /// [`Failed`].
    pub(super) fn lead(&self, args: LeadArgs) -> Result<(), Failed> {
        let given = policy(&args)?;
        if given.mix.is_some() {
            return Err(Failed::Usage("the table [editions] is of Antigone; choose another policy".into()));
        }
        if !given.objects.is_empty() {
            return Err(Failed::Usage("shared objects are of repaired Enclaves; choose another policy".into()));
        }
        let own = args.policy.is_none() && args.preset.is_none();
        let policy = if own { self.usual() } else { self.fit(&given) };
        let (access, name) = (access(&args)?, name(&args.common.name)?);
        let users = users(&args, &name)?.keys.into_iter();
        let accounts = users.map(|(user, key)| Ok((user.clone(), self.user_key(&key, &user)?)));
        let accounts = accounts.collect::<Result<_, Failed>>()?;
        let Ready { name, folder, .. } = ready(&args.common)?;
        let who = name.as_str().to_owned();
        let (max_file, shown) = (args.common.max_file(), Shown::Published(self.version()));
        let setup = Setup { folder, max_file, rejoin: false, leader: name.clone(), mix: None, shown };
        let led = Leading { name, accounts, access, policy, limits: Limits::default() };
        run(style(args.common.json), &who, async |tell| {
            warn_of_enclaves(&tell, self).await;
            let (clock, mut rng) = (Clock::new(), getrandom::SysRng);
            let mut cx = Cx::new(clock.now(), &mut rng);
            cx.wall = clock.wall();
            let cannot = |error: CommandError| Failed::Group(format!("the group cannot be opened: {error}"));
            match self.version() {
                Version::First => {
                    leading(
                        args,
                        self.first_leader(led, &mut cx).map_err(cannot)?,
                        clock,
                        LeadersWay::tcp(),
                        setup,
                        tell,
                    )
                    .await
                }
                Version::Second => {
                    leading(
                        args,
                        self.second_leader(led, &mut cx).map_err(cannot)?,
                        clock,
                        LeadersWay::tcp(),
                        setup,
                        tell,
                    )
                    .await
                }
            }
        })
    }

    /// Joins a group and stays until `/leave`.
    ///
    /// # Errors
    /// [`Failed`].
    pub(super) fn join(&self, args: JoinArgs) -> Result<(), Failed> {
        if args.direct_listen.is_some() && self.version() != Version::First {
            let text = "--direct-listen is of Enclaves 1.0, which has direct links; leave it away";
            return Err(Failed::Usage(text.into()));
        }
        let (own, leader) = (name(&args.common.name)?, name(&args.leader)?);
        let (_, key) = user_key(&args, &own, &leader)?;
        let key = self.user_key(key.secret(), &own)?;
        let Ready { name, folder, .. } = ready(&args.common)?;
        let who = name.as_str().to_owned();
        let (max_file, shown) = (args.common.max_file(), Shown::Published(self.version()));
        let setup = Setup { folder, max_file, rejoin: args.rejoin, leader: leader.clone(), mix: None, shown };
        let limits = Limits { join_time: Duration::from_secs(args.wait), ..Limits::default() };
        let joined = Joining { leader, name, key, limits };
        run(style(args.common.json), &who, async |tell| {
            warn_of_enclaves(&tell, self).await;
            let cannot = |error: CommandError| Failed::Group(error.to_string());
            if self.version() == Version::Second {
                let way = MembersWay { carrier: Carrier::tcp(), trust: None };
                return joining(args, self.second_member(joined).map_err(cannot)?, way, setup, tell).await;
            }
            let at = address(&args.at).await?;
            let (door, hint) = door(args.direct_listen.as_deref(), at).await?;
            let text = format!("listens on {hint} for members with a direct link");
            tell.tell("listening", text, vec![("address", hint.to_string().into())]).await;
            let machine = self.first_member(joined, hint_of(hint)).map_err(cannot)?;
            enter(machine, setup, at, Carrier::tcp(), Box::new(reaching(args.leader, at)), Some(door), tell).await
        })
    }
}

/// Where other members come in, and the address by which they reach it.
///
/// # Errors
/// [`Failed::Input`], [`Failed::Usage`], [`Failed::Unreachable`].
pub(crate) async fn door(wanted: Option<&str>, leader: SocketAddr) -> Result<(TcpListener, SocketAddr), Failed> {
    let wanted_at = match wanted {
        Some(wanted) => Some(address(wanted).await?),
        None => None,
    };
    let own = SocketAddr::new(towards(leader).map_err(|error| no_way(leader, &error))?, 0);
    let at = wanted_at.unwrap_or(own);
    let bound = TcpListener::bind(at).await;
    let shown = wanted.map_or_else(|| at.to_string(), str::to_owned);
    let bound = bound.map_err(|error| cannot_listen(&shown, &io_text(&error)))?;
    let mut hint = bound.local_addr().map_err(|error| cannot_listen(&shown, &io_text(&error)))?;
    if hint.ip().is_unspecified() {
        hint.set_ip(own.ip());
    }
    Ok((bound, hint))
}

fn no_way(leader: SocketAddr, error: &std::io::Error) -> Failed {
    Failed::Unreachable(format!("there is no way to {leader} ({error}); check --at"))
}

/// The own address on the way to another. Nothing is sent.
fn towards(other: SocketAddr) -> std::io::Result<std::net::IpAddr> {
    let any: SocketAddr = if other.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(other)?;
    Ok(socket.local_addr()?.ip())
}

/// A hint how to reach a member, as other members of this program understand it.
pub(crate) fn hint_of(at: SocketAddr) -> Bytes {
    Bytes::from(at.to_string().into_bytes())
}

/// Reaches the leader at its address, and members where their hints say: whoever gave such a hint chose whom this one dials.
pub(crate) fn reaching(leader: String, at: SocketAddr) -> TcpConnector {
    TcpConnector::new(TcpConfig::default(), move |peer, hint| match peer {
        Peer::Leader(name) => (name.as_str() == leader).then_some(at),
        Peer::Member(_) => std::str::from_utf8(hint).ok()?.parse().ok(),
        _ => None,
    })
}
