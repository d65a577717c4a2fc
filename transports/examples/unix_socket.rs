//! A transport of one's own: links over Unix sockets, in about a hundred lines.
//!
//! ```sh
//! cargo run -p sodality-transports --example unix_socket
//! ```
//!
//! An adapter knows frames and links, and nothing of groups, keys or members. It does four things, marked (1) to (4) below:
//! it announces each link, feeds what arrives, sends what is queued, and ends when it is told to. That it does them well is
//! tested by `tests/conformance_unix.rs`: whole sessions, crashes, floods and peers that stop, over this very file.
//!
//! Frames are written as a length of four bytes and the bytes. (`stream::attach` does (1) to (4) for any pair of byte
//! streams, with time limits and fewer writes. It is not used here, to show what there is to do where bytes are no stream.)

#[cfg(unix)]
pub(crate) mod adapter {
    use std::io;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use bytes::BytesMut;
    use sodality::endpoint::{LinkInfo, LinkTicket};
    use sodality_transports::redial::{Backoff, Dial, Redial};
    use sodality_transports::transport::{CloseReason, Incoming, Outgoing, Refused, Uplink, Wire, Wish};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
    use tokio::net::{UnixListener, UnixStream};

    /// The longest frame, in bytes. Nothing longer is read, whatever the peer announces.
    pub(crate) const MAX_FRAME: usize = 1 << 20;

    /// (1) Announces a link over `stream` and starts its two tasks.
    async fn carry(uplink: &Uplink, stream: UnixStream, answers: Option<LinkTicket>) -> Result<(), Refused> {
        // A stream: frames arrive in order, and whoever connects was there when it did.
        let info = LinkInfo { answers, ..LinkInfo::stream(MAX_FRAME) };
        let (incoming, outgoing) = uplink.open(info, "unix socket").await?;
        let (reader, writer) = stream.into_split();
        tokio::spawn(read(reader, incoming));
        tokio::spawn(write(writer, outgoing));
        Ok(())
    }

    /// (2) Feeds what arrives. Where `feed` waits, nothing more is read: the peer feels it, memory does not.
    async fn read(mut reader: OwnedReadHalf, mut incoming: Incoming) {
        let why = loop {
            let frame = tokio::select! {
                biased;
                // (4) Nothing more is taken in. While our last frames go out the peer may still write: read on until then, or
                // closing the socket would be a reset.
                () = incoming.over() => {
                    tokio::select! {
                        () = incoming.flushed() => {}
                        () = async { while frame(&mut reader).await.is_ok() {} } => {}
                    }
                    return;
                }
                frame = frame(&mut reader) => frame,
            };
            match frame {
                Ok(frame) => {
                    incoming.received(Wire { frames: 1, packets: 1, bytes: 4 + frame.len() as u64 });
                    if incoming.feed(frame).await.is_err() {
                        return;
                    }
                }
                Err(why) => break why,
            }
        };
        incoming.close(why);
    }

    /// The next frame.
    async fn frame(reader: &mut OwnedReadHalf) -> Result<BytesMut, CloseReason> {
        let announced = match reader.read_u32().await {
            Ok(announced) => announced,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(CloseReason::Peer),
            Err(error) => return Err(CloseReason::from(&error)),
        };
        let length = announced as usize;
        if length > MAX_FRAME {
            return Err(CloseReason::Oversize { announced: announced.into() });
        }
        // It grows as bytes come: an announced length alone costs nothing.
        let mut frame = BytesMut::new();
        let mut rest = reader.take(length as u64);
        while frame.len() < length {
            match rest.read_buf(&mut frame).await {
                Ok(0) => return Err(CloseReason::Peer),
                Ok(_) => {}
                Err(error) => return Err(CloseReason::from(&error)),
            }
        }
        Ok(frame)
    }

    /// (3) Sends what is queued, in order. The driver bounds the queue: there is none here.
    async fn write(mut writer: OwnedWriteHalf, mut outgoing: Outgoing) {
        while let Some(frame) = outgoing.next().await {
            let framed = [&(frame.len() as u32).to_be_bytes()[..], &frame].concat();
            let written = tokio::select! {
                biased;
                // (4) It is over at once.
                () = outgoing.over() => return,
                written = writer.write_all(&framed) => written,
            };
            match written {
                Ok(()) => outgoing.sent(Wire { frames: 1, packets: 1, bytes: framed.len() as u64 }),
                Err(error) => return outgoing.close(CloseReason::from(&error)),
            }
        }
        // The writer goes first, then the half: by then the peer has been told that nothing follows.
        drop(writer);
    }

    /// Accepts links at `path` until the driver ends.
    pub(crate) fn listen(uplink: Uplink, path: &Path) -> io::Result<()> {
        // (4) A task that is not about one link holds a guard: a shutdown waits for it.
        let guard = uplink.guard().ok_or(io::ErrorKind::NotConnected)?;
        let listener = UnixListener::bind(path)?;
        let path = path.to_owned();
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = uplink.over() => break,
                    accepted = listener.accept() => accepted,
                };
                match accepted {
                    Ok((stream, _)) => drop(carry(&uplink, stream, None).await),
                    // No descriptors left, for instance.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
            drop(listener);
            // Whoever comes later finds nothing there, as it should be.
            let _ = std::fs::remove_file(path);
            drop(guard);
        });
        Ok(())
    }

    /// How to connect once; `Redial` makes a connector of it.
    pub(crate) struct UnixDial(PathBuf);

    impl Dial for UnixDial {
        type Connection = UnixStream;

        fn knows(&self, _wish: &Wish) -> bool {
            true
        }

        async fn dial(&self, _wish: &Wish) -> Result<UnixStream, String> {
            UnixStream::connect(&self.0).await.map_err(|error| error.to_string())
        }

        async fn begin(&self, stream: UnixStream, ticket: LinkTicket, uplink: &Uplink) -> Result<(), Refused> {
            carry(uplink, stream, Some(ticket)).await
        }
    }

    /// Reaches whoever listens at `path`.
    pub(crate) fn connector(path: PathBuf) -> Redial<UnixDial> {
        let backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(100), attempts: 1000 };
        Redial::new(UnixDial(path), backoff)
    }
}

// That was the transport. What follows uses it.

#[cfg(unix)]
mod session {
    use std::sync::Arc;

    use sodality::antigone::{Access, Leader, LeaderConfig, Member, MemberConfig};
    use sodality::crypto::keys::role;
    use sodality::crypto::{Key, Secret, Suite, chacha20_poly1305};
    use sodality::endpoint::Cx;
    use sodality::event::{Event, Port};
    use sodality::group::Limits;
    use sodality::identity::Name;
    use sodality::policy::{Floor, Policy};
    use sodality::ttp::{LeaderRecord, MemberRecord, Records, ThirdParty};
    use sodality_transports::clock::Clock;
    use sodality_transports::driver::{self, Config};

    type Failed = Box<dyn std::error::Error + Send + Sync>;

    /// A real one is drawn at random and kept by both sides.
    fn key(suite: &dyn Suite, name: &str) -> Key<role::LongTerm> {
        let mut bytes: Vec<u8> = name.bytes().cycle().take(suite.sizes().long_term).collect();
        Key::new(Secret::take(&mut bytes))
    }

    pub(super) async fn run() -> Result<(), Failed> {
        let suite: Arc<dyn Suite> = chacha20_poly1305();
        let (app, lea, bob) = (Name::new("example")?, Name::new("lea")?, Name::new("bob")?);
        let folder = std::env::temp_dir().join(format!("sodality-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;

        // The third party, which knows both.
        let (ttp, mut questions) = driver::spawn(ThirdParty::new(suite.clone(), Limits::default()), Config::default());
        super::adapter::listen(ttp.uplink(), &folder.join("third-party"))?;
        let registry = (ttp.clone(), suite.clone());
        tokio::spawn(async move {
            while let Some(event) = questions.recv().await {
                let Event::LookupWanted { ticket, .. } = event else { continue };
                let records = Records {
                    leader: Some(LeaderRecord { key: key(&*registry.1, "lea") }),
                    member: Some(MemberRecord { key: key(&*registry.1, "bob"), disabled: false }),
                };
                // What is refused here is asked again.
                let _ = registry.0.call(move |machine, cx| machine.answer(cx, ticket, &records)).await;
            }
        });

        // The leader listens, and reaches the third party.
        let clock = Clock::new();
        let config = LeaderConfig {
            suite: suite.clone(),
            app: app.clone(),
            key: key(&*suite, "lea"),
            name: lea.clone(),
            policy: Policy::default(),
            access: Access::Registered,
            limits: Limits::default(),
        };
        let machine = Leader::open(config, &mut Cx::new(clock.now(), &mut getrandom::SysRng))?;
        let config = Config::default().clock(clock).connector(super::adapter::connector(folder.join("third-party")));
        let (leader, mut heard) = driver::spawn(machine, config);
        super::adapter::listen(leader.uplink(), &folder.join("leader"))?;

        // A member reaches the leader, joins and speaks.
        let key = key(&*suite, "bob");
        let machine = Member::new(MemberConfig {
            suite,
            app,
            leader: lea,
            key,
            name: bob,
            floor: Floor::default(),
            limits: Limits::default(),
        })?;
        let config = Config::default().connector(super::adapter::connector(folder.join("leader")));
        let (member, mut events) = driver::spawn(machine, config);
        member.call(|member, cx| member.join(cx)).await??;
        while let Some(event) = events.recv().await {
            println!("bob sees {event:?}");
            if matches!(event, Event::Joined { .. }) {
                break;
            }
        }
        member.call(|member, cx| member.send(cx, Port::Application, b"over a Unix socket")).await??;
        while let Some(event) = heard.recv().await {
            if let Event::Data(message) = event {
                println!("lea hears {:?}", String::from_utf8_lossy(&message.payload));
                break;
            }
        }

        // Everything ends in order, and says so.
        member.call(|member, cx| member.leave(cx)).await??;
        let finished =
            [member.shutdown().await?.complete, leader.shutdown().await?.complete, ttp.shutdown().await?.complete];
        println!("all tasks have ended: {}", finished.iter().all(|complete| *complete));
        std::fs::remove_dir_all(&folder)?;
        Ok(())
    }
}

#[cfg(not(unix))]
fn main() {
    println!("there are no Unix sockets here");
}

#[cfg(unix)]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    session::run().await
}
