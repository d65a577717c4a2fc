//! Those who send too much, and those who take too little.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sodality::endpoint::Endpoint;
use sodality::event::Event;
use sodality::group::Participant;
use sodality::identity::Name;
use tokio::time::{Instant, sleep, timeout};

use super::longest;
use crate::conformance::babbler::{Babbler, FLOOD, TRICKLE};
use crate::conformance::room::{Room, Speaker, Stage};
use crate::conformance::seat::{Seat, ensure, soon, text};
use crate::conformance::{Failure, Network, System, Verdict};
use crate::transport::LinkLimits;

/// Tells one message after the other for so long; says how long each took.
async fn talk<N: Network, S: System>(
    room: &Room<N, S>,
    span: Duration,
    length: usize,
    whom: &[usize],
) -> Result<Vec<Duration>, Failure> {
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < span {
        let number = times.len() as u64;
        let from = if number.is_multiple_of(2) { Speaker::Leader } else { Speaker::Member(0) };
        times.push(room.tell_to(from, text(length, number), whom).await?);
        sleep(Duration::from_millis(1)).await;
    }
    Ok(times)
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// How late a message may be at worst while somebody misbehaves: generous, since machines that test are busy.
const LATE: Duration = Duration::from_secs(2);

pub(in super::super) async fn a_flood_of_nonsense<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    let mut room = stage.room(stage.patient()).await?;
    room.join(&["m0", "m1"]).await?;
    let (epoch, mark) = (room.leader.epoch().await?, room.leader.log.mark());
    let quiet = talk(&room, Duration::from_millis(500), 200, &[0, 1]).await?;
    let leader = Name::new("leader").map_err(Failure::of)?;
    let slowed = stage.network.capabilities().holds.is_some();
    let burst = if slowed { FLOOD } else { TRICKLE };
    let mut babblers = Vec::new();
    for seed in 1..=3 {
        let (babbler, config) = (Babbler::new(seed, leader.clone(), burst), stage.towards(Some(&room.place)));
        // Also where all hear it.
        let (stage, place) = (stage.clone(), room.place.clone());
        let share = move |handle| async move { stage.share(&handle, &place).await };
        let (stranger, shared) = Seat::apart("stranger", babbler, config, share).await?;
        shared?;
        babblers.push(stranger);
    }
    let (network, place) = (stage.network.clone(), room.place.clone());
    let assault = tokio::spawn(async move { network.assault(place).await });
    let times = talk(&room, Duration::from_secs(2), 200, &[0, 1]).await;
    if !slowed {
        // More than anybody can take: nobody needs to be heard, and nobody is missed.
        for babbler in &babblers {
            babbler.handle.call(|babbler, _| babbler.burst = FLOOD).await.map_err(Failure::of)?;
        }
        sleep(Duration::from_secs(1)).await;
    }
    assault.abort();
    let times = times?;
    let sent: u64 = babblers.iter().map(|seat| seat.handle.stats().frames_out).sum();
    ensure!(sent > 100, "the strangers sent only {sent} frames");
    let rejected = room.leader.handle.call(|leader, _| leader.stats().rejections()).await.map_err(Failure::of)?;
    ensure!(rejected > 10, "the leader saw only {rejected} of {sent} frames");
    ensure!(longest(&times) < LATE, "a message took {:?} during the flood", longest(&times));
    ensure!(room.leader.epoch().await? == epoch, "the key changed during a flood");
    let gone =
        room.leader.log.count(mark, |event| matches!(event, Event::MemberRemoved { .. } | Event::MemberAdded { .. }));
    ensure!(gone == 0, "the view changed during a flood");
    for babbler in babblers {
        babbler.crash().await;
    }
    room.join(&["m2"]).await?;
    room.tell(Speaker::Member(2), text(100, 1)).await?;
    room.end().await?;
    let (before, median, worst) = (median(&quiet), median(&times), longest(&times));
    Ok(format!(
        "{rejected} frames of strangers refused; a message took {before:?}, then {median:?}, at worst {worst:?}"
    ))
}

pub(in super::super) async fn a_peer_that_stops_reading<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    const STOPPED: Duration = Duration::from_secs(5);
    let mut room = stage.room(stage.patient()).await?;
    room.join(&["m0", "m1"]).await?;
    room.join_apart("m2").await?;
    // Many of them in the time, also on a slow machine.
    let length = room.leader.handle.call(|leader, _| leader.max_message()).await.map_err(Failure::of)?.min(32 << 10);
    let quiet = talk(&room, Duration::from_millis(500), length, &[0, 1, 2]).await?;
    let stopped = room.member(2)?.freeze(STOPPED);
    let times = talk(&room, STOPPED - Duration::from_millis(300), length, &[0, 1]).await?;
    ensure!(longest(&times) < LATE, "a message took {:?} while a peer read nothing", longest(&times));
    stopped.await.map_err(Failure::of)?;
    let sent = times.len() * length;
    // It is a member still, and keeps up again.
    ensure!(room.leader.handle.call(|leader, _| leader.known().len()).await == Ok(4), "the peer was removed");
    let until = Instant::now() + soon();
    let mut number = 1_000_000;
    loop {
        number += 1;
        if let Ok(Ok(_)) = timeout(Duration::from_secs(1), room.tell(Speaker::Leader, text(100, number))).await {
            break;
        }
        ensure!(Instant::now() < until, "the peer that stopped does not hear again");
    }
    room.tell(Speaker::Member(2), text(100, 1)).await?;
    let dropped = room.leader.handle.stats().data_dropped;
    room.end().await?;
    let (before, median, worst) = (median(&quiet), median(&times), longest(&times));
    let sent = sent >> 10;
    Ok(format!("{sent} KiB; a message took {before:?}, then {median:?}, at worst {worst:?}; {dropped} frames dropped"))
}

pub(in super::super) async fn an_application_that_reads_no_events<N: Network, S: System>(
    stage: Stage<N, S>,
) -> Verdict {
    let terms = stage.patient();
    let mut room = stage.room(terms.clone()).await?;
    room.join(&["m0", "m1"]).await?;
    // Its application takes what comes until it has joined, and then nothing.
    let config = stage.towards(Some(&room.place))().events(8);
    let (deaf, mut events) = crate::driver::spawn(room.machine("m2")?, config);
    stage.share(&deaf, &room.place).await?;
    deaf.call(|member, cx| S::join(member, cx)).await.map_err(Failure::of)?.map_err(Failure::of)?;
    let joined = async { while !matches!(events.recv().await, Some(Event::Joined { .. }) | None) {} };
    timeout(soon(), joined).await.map_err(Failure::of)?;
    room.leader.is("with three members", |leader| leader.known().len() == 4).await?;
    sleep(Duration::from_millis(300)).await;
    let length = room.leader.handle.call(|leader, _| leader.max_message()).await.map_err(Failure::of)?.min(20_000);
    let mut times = talk(&room, Duration::from_secs(2), length, &[0, 1]).await?;
    // On a machine that has much else to do, that may have been little.
    let until = Instant::now() + soon();
    while deaf.stats().pauses == 0 {
        ensure!(Instant::now() < until, "the driver of the deaf does not stop reading: {:?}", deaf.stats());
        times.extend(talk(&room, Duration::from_millis(100), length, &[0, 1]).await?);
    }
    let frames = deaf.stats().frames_in;
    ensure!(longest(&times) < LATE, "a message took {:?} while an application took nothing", longest(&times));
    ensure!(room.leader.handle.stats().pauses == 0, "the leader's driver stopped reading");
    // The leader's driver feels it: what is on the way is bounded, and what is more is dropped.
    if let Some(holds) = stage.network.capabilities().holds {
        let limits = LinkLimits::default();
        let most = holds + limits.in_bytes + limits.data_bytes + 20 * length;
        let mut sent = times.len() * length / 2;
        while room.leader.handle.stats().data_dropped == 0 {
            ensure!(sent <= most, "{sent} bytes are on the way to an application that takes nothing, more than {most}");
            room.leader.say(text(length, sent as u64)).await?;
            sent += length;
            sleep(Duration::from_millis(1)).await;
        }
    }
    // What it holds for its application is bounded by what it was told.
    sleep(Duration::from_millis(200)).await;
    ensure!(deaf.stats().frames_in == frames, "the deaf one went on reading");
    // It wakes up, and hears again.
    let (heard, hearing) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (counted, latest) = (heard.clone(), hearing.clone());
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let Event::Data(message) = event {
                counted.fetch_add(1, Ordering::Relaxed);
                latest.store(message.payload.len() as u64, Ordering::Relaxed);
            }
        }
    });
    let until = Instant::now() + soon();
    while hearing.load(Ordering::Relaxed) != 77 {
        ensure!(Instant::now() < until, "it does not hear again");
        room.tell_to(Speaker::Leader, text(77, heard.load(Ordering::Relaxed)), &[0, 1]).await?;
        sleep(Duration::from_millis(20)).await;
    }
    deaf.shutdown().await.map_err(Failure::of)?;
    room.end().await?;
    let (median, worst) = (median(&times), longest(&times));
    Ok(format!("a message took {median:?}, at worst {worst:?}; the deaf one took {frames} frames"))
}
