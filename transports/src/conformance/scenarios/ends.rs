//! Ends that nobody asked for: of leaders, of members and of links.

use std::time::Duration;

use sodality::endpoint::{Endpoint, Link};
use sodality::event::{Cause, Ending, Event};
use tokio::time::{Instant, sleep, timeout};

use super::{ended, longest, removed};
use crate::conformance::room::{Room, Speaker, Stage};
use crate::conformance::seat::{ensure, soon, text};
use crate::conformance::{Failure, Network, System, Verdict};
use crate::driver::Handle;

pub(in super::super) async fn a_leader_that_crashes<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
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

pub(in super::super) async fn a_member_that_crashes<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    let mut room = stage.room(stage.quick()).await?;
    room.join(&["m0", "m1"]).await?;
    room.join_apart("m2").await?;
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
    room.join_apart("m2").await?;
    room.tell(Speaker::Member(2), text(100, 2)).await?;
    let (cid, mark) = (room.member(2)?.cid().await?, room.leader.log.mark());
    room.members.remove(2).crash().await;
    room.join_apart("m2").await?;
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

pub(in super::super) async fn links_that_are_cut<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
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
