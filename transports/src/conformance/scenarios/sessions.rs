//! Whole sessions: who joins, speaks and leaves in order.

use std::time::Duration;

use sodality::error::{CommandError, Misuse};
use sodality::event::Cause;
use sodality::event::{EndReason, Ending, Event, Port};
use sodality::group::{Convener, Participant};
use tokio::time::Instant;

use super::{ended, longest, removed};
use crate::conformance::room::{Speaker, Stage};
use crate::conformance::seat::{Seat, ensure, soon, text};
use crate::conformance::{Failure, Network, System, Verdict};

pub(in super::super) async fn a_whole_session<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
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

pub(in super::super) async fn sixty_four_members<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
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

pub(in super::super) async fn farewells_arrive<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
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
