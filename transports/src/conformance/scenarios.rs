//! The scenarios. Each begins with a stage, and gives what it measured or what did not hold.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use sodality::endpoint::{Endpoint, Link};
use sodality::error::{CommandError, Misuse};
use sodality::event::{Cause, EndReason, Ending, Event, Port};
use sodality::group::{Convener, Participant};
use sodality::identity::{MemberId, Name};
use tokio::time::{Instant, sleep, timeout};

use super::babbler::Babbler;
pub(super) use super::objects::objects_of_any_size;
use super::room::{Room, Seat, Speaker, Stage, ensure, soon, text};
use super::{Failure, Network, System, Verdict};
use crate::driver::{Config, Handle};
use crate::transport::LinkLimits;

fn ended(event: &Event) -> Option<Ending> {
    match event {
        Event::Ended(ending) => Some(*ending),
        _ => None,
    }
}

fn removed(whom: MemberId) -> impl FnMut(&Event) -> Option<Cause> {
    move |event| match event {
        Event::MemberRemoved { cid, cause, .. } if *cid == whom => Some(*cause),
        _ => None,
    }
}

fn longest(times: &[Duration]) -> Duration {
    times.iter().copied().max().unwrap_or_default()
}

pub(super) async fn a_whole_session<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    let mut room = stage.room(stage.patient()).await?;
    room.join(&["m0", "m1", "m2"]).await?;
    let most = room.leader.handle.call(|leader, _| leader.max_message()).await.map_err(Failure::of)?;
    ensure!(most > 0, "the longest message has no byte");
    ensure!(most < room.terms.max_frame, "a message of {most} bytes does not fit into a frame");
    let lengths = [1, 2, 17, 1000, most / 2, most - 1, most];
    for (number, length) in lengths.into_iter().enumerate() {
        let number = number as u64;
        room.tell(Speaker::Leader, text(length.min(most), 2 * number)).await?;
        room.tell(Speaker::Member(0), text(length.min(most), 2 * number + 1)).await?;
    }
    let long = vec![0; most + 1];
    let refused = room.member(0)?.handle.call(move |member, cx| member.send(cx, Port::Application, &long)).await;
    ensure!(refused == Ok(Err(CommandError::Misuse(Misuse::TooLong))), "a longer message: {refused:?}");

    let before = room.leader.epoch().await?;
    room.leader.command("rekey", |leader, cx| leader.rekey(cx)).await?;
    room.leader.is("at another key", move |leader| leader.epoch() > before).await?;
    room.agree().await?;
    room.tell(Speaker::Member(1), text(100, 101)).await?;

    let (left, out) = (room.member(1)?.cid().await?, room.member(2)?.cid().await?);
    let mark = room.leader.log.mark();
    let leaver = room.members.remove(1);
    leaver.command("leave", |member, cx| S::leave(member, cx)).await?;
    let ending = leaver.sees(0, "its own end", ended).await?;
    ensure!(ending == Ending::Left, "a leave ended as {ending:?}");
    let cause = room.leader.sees(mark, "a leave", removed(left)).await?;
    ensure!(cause == Cause::Leave, "a leave looks like {cause:?}");
    room.agree().await?;
    room.tell(Speaker::Member(0), text(100, 102)).await?;

    let ejected = room.members.remove(1);
    room.leader.command("eject", move |leader, cx| leader.eject(cx, out)).await?;
    let ending = ejected.sees(0, "its ejection", ended).await?;
    ensure!(ending == Ending::ByLeader(EndReason::Ejected), "an ejection ended as {ending:?}");
    room.agree().await?;
    room.tell(Speaker::Leader, text(100, 103)).await?;
    let overheard =
        leaver.log.count(0, |event| matches!(event, Event::Data(message) if message.payload == text(100, 103)));
    ensure!(overheard == 0, "whoever left heard what was said later");

    room.leader.command("close", |leader, cx| leader.close(cx)).await?;
    let ending = room.member(0)?.sees(0, "the end of the group", ended).await?;
    ensure!(ending == Ending::ByLeader(EndReason::Closing), "a close ended as {ending:?}");
    room.leader.sees(0, "its own end", ended).await?;
    for other in [leaver, ejected] {
        other.handle.shutdown().await.map_err(Failure::of)?;
    }
    room.end().await?;
    Ok(format!("messages of 1 to {most} bytes"))
}

pub(super) async fn sixty_four_members<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    let mut room = stage.room(stage.patient()).await?;
    let names: Vec<String> = (0..64).map(|number| format!("m{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let begun = Instant::now();
    room.join(&names).await?;
    let joined = begun.elapsed();
    let heard = [
        room.tell(Speaker::Leader, text(1000, 1)).await?,
        room.tell(Speaker::Member(0), text(1000, 2)).await?,
        room.tell(Speaker::Member(63), text(1, 3)).await?,
    ];
    // Half of them leave, at once.
    let leaving: Vec<Seat<S::Member>> = room.members.drain(32..).collect();
    for seat in &leaving {
        seat.command("leave", |member, cx| S::leave(member, cx)).await?;
    }
    for seat in &leaving {
        let ending = seat.sees(0, "its own end", ended).await?;
        ensure!(ending == Ending::Left, "a leave ended as {ending:?}");
    }
    room.agree().await?;
    room.tell(Speaker::Member(31), text(100, 4)).await?;
    room.leader.command("close", |leader, cx| leader.close(cx)).await?;
    for seat in &room.members {
        seat.sees(0, "the end of the group", ended).await?;
    }
    for seat in leaving {
        seat.handle.shutdown().await.map_err(Failure::of)?;
    }
    room.end().await?;
    Ok(format!("joined in {} ms, heard by all within {} ms", joined.as_millis(), longest(&heard).as_millis()))
}

pub(super) async fn a_leader_that_crashes<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    let mut room = stage.room(stage.quick()).await?;
    room.join(&["m0", "m1", "m2"]).await?;
    room.tell(Speaker::Leader, text(100, 1)).await?;
    let Room { leader, members, .. } = room;
    let begun = Instant::now();
    leader.crash().await;
    for seat in &members {
        let ending = seat.sees(0, "that the leader is gone", ended).await?;
        ensure!(ending == Ending::LeaderLost, "the crash of a leader looks like {ending:?}");
    }
    let noticed = begun.elapsed();
    for seat in members {
        let finished = seat.handle.shutdown().await.map_err(Failure::of)?;
        ensure!(finished.complete, "adapters of {} have not ended", seat.name);
    }
    // Another leader of that name: the same people meet again.
    let mut room = stage.room(stage.quick()).await?;
    room.join(&["m0", "m1", "m2"]).await?;
    room.tell(Speaker::Member(2), text(100, 2)).await?;
    room.end().await?;
    Ok(format!("noticed after {} ms", noticed.as_millis()))
}

pub(super) async fn a_member_that_crashes<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    let mut room = stage.room(stage.quick()).await?;
    room.join(&["m0", "m1"]).await?;
    room.join_apart("m2", |config| config).await?;
    let (cid, mark) = (room.member(2)?.cid().await?, room.leader.log.mark());
    let others = room.member(0)?.log.mark();
    let begun = Instant::now();
    room.members.remove(2).crash().await;
    let cause = room.leader.sees(mark, "that a member is gone", removed(cid)).await?;
    ensure!(cause == Cause::Failure, "a crash looks like {cause:?}");
    let noticed = begun.elapsed();
    let cause = room.member(0)?.sees(others, "that another is gone", removed(cid)).await?;
    ensure!(cause == Cause::Failure, "a crash looks like {cause:?} to members");
    room.agree().await?;
    room.tell(Speaker::Member(1), text(100, 1)).await?;
    // It comes back under its name. Then it crashes and is back before anybody noticed.
    room.join_apart("m2", |config| config).await?;
    room.tell(Speaker::Member(2), text(100, 2)).await?;
    let (cid, mark) = (room.member(2)?.cid().await?, room.leader.log.mark());
    room.members.remove(2).crash().await;
    room.join_apart("m2", |config| config).await?;
    let cause = room.leader.sees(mark, "that the old one is gone", removed(cid)).await?;
    ensure!(matches!(cause, Cause::Takeover | Cause::Failure), "a return looks like {cause:?}");
    room.tell(Speaker::Member(2), text(100, 3)).await?;
    room.end().await?;
    Ok(format!("noticed after {} ms", noticed.as_millis()))
}

/// Who cuts its links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cut {
    Both,
    Leader,
    Members,
}

async fn links<M: Endpoint + 'static>(handle: &Handle<M>) -> Result<Vec<Link>, Failure> {
    let links = handle.links().await.map_err(Failure::of)?;
    // One that all share is nobody's to cut.
    Ok(links.into_iter().filter(|(_, info)| !info.shared).map(|(link, _)| link).collect())
}

async fn close<M: Endpoint + 'static>(handle: &Handle<M>, links: &[Link]) -> Result<(), Failure> {
    for link in links {
        handle.close_link(*link).await.map_err(Failure::of)?;
    }
    Ok(())
}

pub(super) async fn links_that_are_cut<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    let mut room = stage.room(stage.patient()).await?;
    room.join(&["m0", "m1"]).await?;
    let epoch = room.leader.epoch().await?;
    let mark = room.leader.log.mark();
    let mut times = Vec::new();
    let ends_seen = stage.network.capabilities().ends_seen;
    for (round, cut) in [Cut::Both, Cut::Leader, Cut::Members, Cut::Both].into_iter().enumerate() {
        if cut != Cut::Both && !ends_seen {
            continue;
        }
        let mut before = Vec::new();
        for seat in &room.members {
            before.push(links(&seat.handle).await?);
        }
        let of_leader = links(&room.leader.handle).await?;
        let begun = Instant::now();
        if cut != Cut::Members {
            close(&room.leader.handle, &of_leader).await?;
        }
        if cut != Cut::Leader {
            for (seat, links) in room.members.iter().zip(&before) {
                close(&seat.handle, links).await?;
            }
        }
        // All links are others now, as many as before.
        for (seat, before) in room.members.iter().zip(&before) {
            let until = begun + soon();
            loop {
                let now = links(&seat.handle).await?;
                if now.len() == before.len() && now.iter().all(|link| !before.contains(link)) {
                    break;
                }
                ensure!(Instant::now() < until, "{cut:?} was cut: {} had {before:?} and has {now:?}", seat.name);
                sleep(Duration::from_millis(2)).await;
            }
        }
        back(&room, round as u64).await?;
        times.push(begun.elapsed());
        // And the leader keeps no old ones; the one to its helper comes when it is needed.
        let until = begun + soon();
        loop {
            let now = links(&room.leader.handle).await?;
            let old = now.iter().filter(|link| cut != Cut::Members && of_leader.contains(link)).count();
            if !ends_seen || (old == 0 && now.len() <= of_leader.len()) {
                break;
            }
            ensure!(Instant::now() < until, "{cut:?} was cut: the leader had {of_leader:?} and has {now:?}");
            sleep(Duration::from_millis(2)).await;
        }
    }
    room.agree().await?;
    ensure!(room.leader.epoch().await? == epoch, "the key changed since links were cut");
    let gone =
        room.leader.log.count(mark, |event| matches!(event, Event::MemberRemoved { .. } | Event::Suspected { .. }));
    ensure!(gone == 0, "{gone} members were missed since links were cut");
    room.end().await?;
    Ok(format!("heard again within {} ms", longest(&times).as_millis()))
}

/// Everybody is heard by everybody again: what is said until then may be lost.
async fn back<N: Network, S: System>(room: &Room<N, S>, round: u64) -> Result<(), Failure> {
    let speakers = [Speaker::Leader, Speaker::Member(0), Speaker::Member(1)];
    for (number, from) in speakers.into_iter().enumerate() {
        let until = Instant::now() + soon();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let payload = text(50, 10_000 * round + 1000 * number as u64 + attempt);
            match timeout(Duration::from_millis(300), room.tell(from, payload)).await {
                Ok(told) => break told.map(drop)?,
                Err(_) => ensure!(Instant::now() < until, "{from:?} is not heard again"),
            }
        }
    }
    Ok(())
}

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

pub(super) async fn a_flood_of_nonsense<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    let mut room = stage.room(stage.patient()).await?;
    room.join(&["m0", "m1"]).await?;
    let (epoch, mark) = (room.leader.epoch().await?, room.leader.log.mark());
    let quiet = talk(&room, Duration::from_millis(500), 200, &[0, 1]).await?;
    let leader = Name::new("leader").map_err(Failure::of)?;
    let mut babblers = Vec::new();
    for seed in 1..=3 {
        let connector = stage.network.connector(room.place.clone());
        let config = Config::default().connector(connector);
        let babbler = Babbler::new(seed, leader.clone());
        babblers.push(Seat::apart("stranger", babbler, config, |_| async {}).await?.0);
    }
    let (network, place) = (stage.network.clone(), room.place.clone());
    let assault = tokio::spawn(async move { network.assault(place).await });
    let times = talk(&room, Duration::from_secs(2), 200, &[0, 1]).await;
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

pub(super) async fn a_peer_that_stops_reading<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    const STOPPED: Duration = Duration::from_secs(5);
    let mut room = stage.room(stage.patient()).await?;
    room.join(&["m0", "m1"]).await?;
    room.join_apart("m2", |config| config).await?;
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

pub(super) async fn farewells_arrive<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    let mut room = stage.room(stage.patient()).await?;
    let reliable = stage.network.capabilities().reliable;
    let mut times = Vec::new();
    for round in 0..5_u64 {
        room.join(&["m0", "m1"]).await?;
        let (cid, mark) = (room.member(0)?.cid().await?, room.leader.log.mark());
        let leaver = room.members.remove(0);
        let begun = Instant::now();
        // The command, and the end at once: nobody waits for an answer.
        leaver.command("leave", |member, cx| S::leave(member, cx)).await?;
        let finished = leaver.handle.shutdown().await.map_err(Failure::of)?;
        ensure!(
            finished.complete && finished.unflushed == 0,
            "round {round}: the farewell was not taken: {finished:?}"
        );
        let limit = if reliable { Duration::from_secs(5) } else { soon() };
        let cause = room.leader.log.wait(mark, limit, removed(cid)).await;
        ensure!(cause == Some(Cause::Leave), "round {round}: a leave looks like {cause:?}");
        times.push(begun.elapsed());
        let other = room.members.remove(0);
        other.command("leave", |member, cx| S::leave(member, cx)).await?;
        other.sees(0, "its own end", ended).await?;
        other.handle.shutdown().await.map_err(Failure::of)?;
        room.agree().await?;
    }
    // And the leader's.
    room.join(&["m0", "m1"]).await?;
    room.leader.command("close", |leader, cx| leader.close(cx)).await?;
    let finished = room.leader.handle.shutdown().await.map_err(Failure::of)?;
    ensure!(finished.unflushed == 0, "{} farewells of the leader were not taken", finished.unflushed);
    for seat in &room.members {
        let ending = seat.sees(0, "the end of the group", ended).await?;
        ensure!(ending == Ending::ByLeader(EndReason::Closing), "a close looks like {ending:?}");
    }
    Ok(format!("known within {} ms", longest(&times).as_millis()))
}

pub(super) async fn an_application_that_reads_no_events<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    let terms = stage.patient();
    let mut room = stage.room(terms.clone()).await?;
    room.join(&["m0", "m1"]).await?;
    // Its application takes what comes until it has joined, and then nothing.
    let (machine, config) = room.newcomer("m2")?;
    let (deaf, mut events) = crate::driver::spawn(machine, config.events(8));
    deaf.call(|member, cx| S::join(member, cx)).await.map_err(Failure::of)?.map_err(Failure::of)?;
    let joined = async { while !matches!(events.recv().await, Some(Event::Joined { .. }) | None) {} };
    timeout(soon(), joined).await.map_err(Failure::of)?;
    room.leader.is("with three members", |leader| leader.known().len() == 4).await?;
    sleep(Duration::from_millis(300)).await;
    let length = room.leader.handle.call(|leader, _| leader.max_message()).await.map_err(Failure::of)?.min(20_000);
    let times = talk(&room, Duration::from_secs(2), length, &[0, 1]).await?;
    ensure!(longest(&times) < LATE, "a message took {:?} while an application took nothing", longest(&times));
    let stats = deaf.stats();
    ensure!(stats.pauses > 0, "the driver of the deaf did not stop reading: {stats:?}");
    ensure!(room.leader.handle.stats().pauses == 0, "the leader's driver stopped reading");
    // The leader's driver feels it: what is on the way is bounded, and what is more is dropped.
    let can = stage.network.capabilities();
    let limits = LinkLimits::default();
    let most = can.holds + limits.in_bytes + limits.data_bytes + 20 * length;
    let mut sent = times.len() * length / 2;
    while can.reliable && room.leader.handle.stats().data_dropped == 0 {
        ensure!(sent <= most, "{sent} bytes are on the way to an application that takes nothing, more than {most}");
        room.leader.say(text(length, sent as u64)).await?;
        sent += length;
        sleep(Duration::from_millis(1)).await;
    }
    // What it holds for its application is bounded by what it was told.
    let frames = stats.frames_in;
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

/// Polls `future` at most so many times, others in between, and then drops it.
async fn give_up_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| match (future.as_mut().poll(cx), left) {
        (Poll::Ready(output), _) => Poll::Ready(Some(output)),
        (Poll::Pending, 0) => Poll::Ready(None),
        (Poll::Pending, _) => {
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

pub(super) async fn operations_that_are_cancelled<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    let mut room = stage.room(stage.patient()).await?;
    room.join(&["m0"]).await?;
    // Calls that are given up before, while or after they run: each runs once or not at all, and those that were waited
    // for ran once.
    let ran = Arc::new(Mutex::new(vec![0_u32; 600]));
    let mut waited = 0;
    for number in 0..600_usize {
        let ran = ran.clone();
        let call = room.leader.handle.call(move |_, _| {
            if let Some(count) = ran.lock().unwrap_or_else(PoisonError::into_inner).get_mut(number) {
                *count += 1;
            }
        });
        if give_up_after((1 << (number % 14)) - 1, call).await.is_some_and(|answer| answer.is_ok()) {
            waited += 1;
        }
    }
    room.leader.handle.call(|_, _| ()).await.map_err(Failure::of)?;
    let counts = ran.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (once, twice) = (counts.iter().filter(|count| **count == 1).count(), counts.iter().any(|count| *count > 1));
    ensure!(!twice, "a cancelled call ran twice");
    ensure!(once >= waited, "{waited} calls were answered and {once} ran");
    ensure!(waited > 0 && waited < 600, "{waited} of 600 calls were waited for");
    // A message by a call that was given up is heard once or not at all.
    let mark = room.member(0)?.log.mark();
    for number in 0..100_u64 {
        let payload = text(64, number);
        let call = room.leader.handle.call(move |leader, cx| leader.send(cx, Port::Application, &payload));
        let _ = give_up_after((1 << (number % 14)) - 1, call).await;
    }
    room.tell(Speaker::Leader, text(64, 1000)).await?;
    for number in 0..100 {
        let payload = text(64, number);
        let heard = room
            .member(0)?
            .log
            .count(mark, |event| matches!(event, Event::Data(message) if message.payload == payload));
        ensure!(heard <= 1, "a message was heard {heard} times");
    }
    // Endpoints that are ended while they connect, join and speak: everything of their adapters ends, once.
    for step in 0..12_u64 {
        let (machine, config) = room.newcomer("m1")?;
        let seat = Seat::here("m1", machine, config);
        seat.command("join", |member, cx| S::join(member, cx)).await?;
        sleep(Duration::from_millis(step * step / 2)).await;
        // The first to ask gives up; the end comes all the same.
        let _ = give_up_after((1 << step) - 1, seat.handle.shutdown()).await;
        let _ = seat.handle.shutdown().await;
        let ended = timeout(soon(), seat.handle.ended()).await.map_err(Failure::of)?;
        ensure!(ended == crate::driver::End::Shutdown, "a shutdown ended as {ended:?}");
        let stats = seat.handle.stats();
        ensure!(stats.links_closed <= stats.links_opened, "more links closed than opened: {stats:?}");
    }
    room.tell(Speaker::Member(0), text(64, 1001)).await?;
    room.end().await?;
    Ok(format!("of 600 calls {waited} were waited for, and {once} ran"))
}

pub(super) async fn what_crosses_the_network<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    let can = stage.network.capabilities();
    let mut room = stage.room(stage.patient()).await?;
    room.join(&["m0", "m1", "m2", "m3"]).await?;
    sleep(Duration::from_millis(300)).await;
    let sums = |room: &Room<N, S>| {
        let leader = room.leader.handle.stats();
        let members: Vec<_> = room.members.iter().map(|seat| seat.handle.stats()).collect();
        let taken: u64 = members.iter().map(|stats| stats.wire_in_frames).sum();
        (leader, taken)
    };
    let (before, taken_before) = sums(&room);
    let mark = room.member(0)?.log.mark();
    const MESSAGES: u64 = 100;
    for number in 0..MESSAGES {
        room.leader.say(text(500, number)).await?;
    }
    let last = text(500, MESSAGES);
    room.tell(Speaker::Leader, last).await?;
    if can.reliable {
        let heard = room.member(0)?.log.texts(mark);
        ensure!(
            heard == (0..=MESSAGES).map(|number| text(500, number)).collect::<Vec<_>>(),
            "messages came in another order"
        );
    }
    sleep(Duration::from_millis(200)).await;
    let (after, taken_after) = sums(&room);
    room.end().await?;
    let frames = after.wire_out_frames - before.wire_out_frames;
    if after.wire_out_frames == 0 {
        return Ok("the adapter does not count".to_owned());
    }
    let (packets, bytes) =
        (after.wire_out_packets - before.wire_out_packets, after.wire_out_bytes - before.wire_out_bytes);
    let copies = if can.multicast { 1 } else { 4 };
    let least = copies * (MESSAGES + 1);
    ensure!(frames >= least, "{frames} frames carried {least} copies");
    // Beside them heartbeats and acknowledgements, and no more.
    ensure!(frames <= least + least / 4 + 40, "{frames} frames for {least} copies of messages");
    ensure!(bytes <= frames * 900, "{bytes} bytes for {least} copies of 500 bytes");
    let queued = after.frames_out - before.frames_out;
    ensure!(frames == queued, "{queued} frames were queued and {frames} sent");
    if can.reliable {
        let arrived = taken_after - taken_before;
        ensure!(arrived == frames, "{frames} frames were sent and {arrived} arrived");
        ensure!(after.data_dropped == 0, "{} frames were dropped", after.data_dropped);
    }
    Ok(format!("{} messages to 4 members: {frames} frames, {packets} packets, {bytes} bytes", MESSAGES + 1))
}
