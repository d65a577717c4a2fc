//! Whole groups over UDP, also over a network that loses, repeats and delays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![cfg(feature = "udp")]

mod datagrams;
mod group;

use std::time::Duration;

use datagrams::{Faults, Relay, config, converge, policy, say, standing, until};
use sodality::event::Event;
use tokio::time::sleep;

async fn talk(leader: &datagrams::Led, members: &[datagrams::Joined], round: &str) {
    say(&leader.handle, &format!("{round}: leader")).await;
    for (number, member) in members.iter().enumerate() {
        say(&member.handle, &format!("{round}: {number}")).await;
    }
}

fn heard(log: &datagrams::Log, round: &str, speakers: usize) -> usize {
    let others = (0..speakers).map(|number| format!("{round}: {number}"));
    others.chain([format!("{round}: leader")]).map(|text| log.times(text.as_bytes())).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_lives_over_datagrams() {
    let leader = datagrams::leader(datagrams::third_party().await, policy(), config()).await;
    let address = leader.listening.address();
    let mut members = Vec::new();
    for who in ["m1", "m2", "m3"] {
        members.push(datagrams::member(who, address, config()).await);
    }
    converge(&leader, &members).await;
    talk(&leader, &members, "all").await;
    until("all is heard", async || {
        members.iter().all(|member| heard(&member.log, "all", 3) == 3) && heard(&leader.log, "all", 3) == 3
    })
    .await;
    let epoch = standing(&leader.handle).await.1;
    leader.handle.call(|leader, cx| leader.rekey(cx).map(drop)).await.unwrap().unwrap();
    until("a new key", async || standing(&leader.handle).await.1 > epoch).await;
    converge(&leader, &members).await;
    // One leaves, and the others have another key.
    let epoch = standing(&leader.handle).await.1;
    let gone = members.pop().unwrap();
    gone.handle.call(|member, cx| member.leave(cx)).await.unwrap().unwrap();
    converge(&leader, &members).await;
    assert!(standing(&leader.handle).await.1 > epoch);
    talk(&leader, &members, "two").await;
    until("all is heard", async || members.iter().all(|member| heard(&member.log, "two", 2) == 2)).await;
    assert_eq!(heard(&gone.log, "two", 2), 0);
    assert_eq!(members[0].reader.stats().oversize + leader.listening.stats().oversize, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_lives_over_a_network_that_loses_repeats_and_delays() {
    let faults = Faults { lose: 80, repeat: 80, delay: 150 };
    let leader = datagrams::leader(datagrams::third_party().await, policy(), config()).await;
    let mut members = Vec::new();
    let mut relays = Vec::new();
    for (number, who) in ["m1", "m2", "m3"].into_iter().enumerate() {
        let relay = Relay::start(leader.listening.address(), 40 + number as u64, faults).await;
        members.push(datagrams::member(who, relay.address, config()).await);
        relays.push(relay);
    }
    converge(&leader, &members).await;
    for round in 0..30 {
        for (number, member) in members.iter().enumerate() {
            let text = format!("early {round} {number}").into_bytes();
            let _ = member.handle.call(move |member, cx| sent(member, cx, &text)).await;
        }
        sleep(Duration::from_millis(10)).await;
    }
    let (mut lost, mut repeated, mut delayed) = (0, 0, 0);
    for relay in &relays {
        let did = relay.did();
        (lost, repeated, delayed) = (lost + did.0, repeated + did.1, delayed + did.2);
        relay.faults(Faults::default());
    }
    assert!(lost > 9 && repeated > 9 && delayed > 9, "{lost} {repeated} {delayed}");
    converge(&leader, &members).await;
    talk(&leader, &members, "late").await;
    until("all is heard", async || members.iter().all(|member| heard(&member.log, "late", 3) == 3)).await;
    // Nothing came twice, whatever the network repeated.
    for member in &members {
        for round in 0..30 {
            for number in 0..3 {
                assert!(member.log.times(format!("early {round} {number}").as_bytes()) <= 1);
            }
        }
    }
}

fn sent(member: &mut sodality::antigone::Member, cx: &mut sodality::endpoint::Cx<'_>, text: &[u8]) -> bool {
    member.send(cx, sodality::event::Port::Application, text).is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_address_changes_stays_a_member() {
    // Patient with members, so that only the link changes.
    let detection = sodality::policy::Detection { period: Duration::from_millis(500), misses: 6 };
    let policy = sodality::policy::Policy { detection: Some(detection), ..policy() };
    let leader = datagrams::leader(datagrams::third_party().await, policy, config()).await;
    let relay = Relay::start(leader.listening.address(), 1, Faults::default()).await;
    let members = [
        datagrams::member("m1", relay.address, config()).await,
        datagrams::member("m2", leader.listening.address(), config()).await,
    ];
    converge(&leader, &members).await;
    let before = standing(&leader.handle).await;
    let opened = leader.handle.stats().links_opened;
    relay.forget();
    until("there is another link", async || leader.handle.stats().links_opened > opened).await;
    // It is the same member, in the same view and epoch, at another address.
    // What the leader still sent to the old address is lost: messages are best effort, so it is said until it is heard.
    let mut round = 0;
    until("all is heard", async || {
        round += 1;
        let words = format!("moved {round}");
        talk(&leader, &members, &words).await;
        sleep(Duration::from_millis(200)).await;
        members.iter().all(|member| heard(&member.log, &words, 2) == 2)
    })
    .await;
    assert_eq!(standing(&leader.handle).await, before);
    assert!(leader.listening.stats().strayed > 0, "what came from the new address to the old link was no frame");
    assert!(!members[0].log.any(|event| matches!(event, Event::Ended(_))), "{}", members[0].log.shown());
}
