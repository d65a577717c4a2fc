//! The scenario of objects, and those who carry them.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sodality::crypto::Suite;
use sodality::event::Event;
use sodality::group::{Convener, Participant};
use sodality::identity::Name;
use sodality::transfer::Manifest;
use tokio::time::{Instant, sleep, timeout};

use crate::conformance::room::{Stage, once_for_all};
use crate::conformance::seat::{ensure, soon, text};
use crate::conformance::{Failure, Network, System, Verdict};
use crate::driver::Handle;
use crate::objects::{self, Objects, ReadAt, Report, Reports, Store};

/// An object in memory, as it comes in and as it goes out.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl ReadAt for Memory {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let piece = bytes.get(from..from.saturating_add(out.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(piece);
        Ok(())
    }
}

impl Store for Memory {
    fn write_at(&mut self, offset: u64, piece: &[u8]) -> io::Result<()> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = from.saturating_add(piece.len());
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes.get_mut(from..end).ok_or(io::ErrorKind::StorageFull)?.copy_from_slice(piece);
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

/// A participant with objects; what it stores is told here.
struct Carrier<M> {
    handle: Handle<M>,
    objects: Objects,
    reports: Reports,
}

impl<M: Participant + 'static> Carrier<M> {
    async fn next(&mut self, what: &str, mut wanted: impl FnMut(&Report) -> bool) -> Result<Report, Failure> {
        // An object goes on for as long as there is progress.
        while let Ok(Some(report)) = timeout(soon(), self.reports.recv()).await {
            if wanted(&report) {
                return Ok(report);
            }
        }
        Err(Failure(format!("{what} does not come")))
    }

    /// Accepts the next offer, and gives what is stored in the end.
    async fn take(&mut self) -> Result<(Manifest, Vec<u8>), Failure> {
        let offered = self.next("an offer", |report| matches!(report, Report::Offered { .. })).await?;
        let Report::Offered { from, manifest } = offered else { return Err(Failure::of("no offer")) };
        let memory = Memory::default();
        let store = memory.clone();
        self.objects.accept(manifest.object, from, move || Ok(store)).await.map_err(Failure::of)?;
        let ending =
            |report: &Report| matches!(report, Report::Stored { .. } | Report::Failed { .. } | Report::Corrupt { .. });
        let stored = self.next("an object", ending).await?;
        let Report::Stored { manifest } = stored else { return Err(Failure(format!("an object ends as {stored:?}"))) };
        let bytes = std::mem::take(&mut *memory.0.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((manifest, bytes))
    }

    async fn offer(&self, bytes: &[u8]) -> Result<Manifest, Failure> {
        let name = Name::new("object").map_err(Failure::of)?;
        let source = Memory(Arc::new(Mutex::new(bytes.to_vec())));
        self.objects.offer(name, bytes.len() as u64, source).await.map_err(Failure::of)
    }
}

pub(in super::super) async fn objects_of_any_size<N: Network, S: System>(stage: Stage<N, S>) -> Verdict {
    let suite: Arc<dyn Suite> = sodality::crypto::chacha20_poly1305();
    let (leader, place, _helper) = stage.bare_leader(stage.patient()).await?;
    let mut leader = Carrier::of(leader, suite.clone());
    let mut members = Vec::new();
    for name in ["m0", "m1"] {
        let member = stage.bare_member(&stage.patient(), name, &place).await?;
        let mut carrier = Carrier::of(member, suite.clone());
        carrier.handle.call(|member, cx| S::join(member, cx)).await.map_err(Failure::of)?.map_err(Failure::of)?;
        carrier.next("a join", |report| matches!(report, Report::Group(Event::Joined { .. }))).await?;
        members.push(carrier);
    }
    for carrier in &members {
        let until = Instant::now() + soon();
        while !carrier
            .handle
            .call(|member, _| member.is_current() && member.known().len() == 3)
            .await
            .map_err(Failure::of)?
        {
            ensure!(Instant::now() < until, "the members do not see one another");
            sleep(Duration::from_millis(5)).await;
        }
    }
    once_for_all(&leader.handle, &stage.patient()).await?;
    let mut measured = String::new();
    for (number, size) in [0, 1, 70_000, 16 << 20].into_iter().enumerate() {
        let bytes = text(size, number as u64);
        let begun = Instant::now();
        let manifest = leader.offer(&bytes).await?;
        let handle = leader.handle.clone();
        // In the middle of the long one the key changes.
        let rekey = async move {
            sleep(Duration::from_millis(150)).await;
            handle.call(|leader, cx| leader.rekey(cx)).await
        };
        let [one, two] = members.as_mut_slice() else { return Err(Failure::of("two members")) };
        let (one, two, rekey) = tokio::join!(one.take(), two.take(), rekey);
        rekey.map_err(Failure::of)?.map_err(Failure::of)?;
        for (stored, there) in [one?, two?] {
            ensure!(stored.digest == manifest.digest, "an object of {size} bytes has another digest");
            ensure!(there == bytes, "an object of {size} bytes has other bytes");
        }
        leader.next("that all have it", |report| matches!(report, Report::AllReceived { .. })).await?;
        measured = format!("{size} bytes to two members in {} ms", begun.elapsed().as_millis());
    }
    // And from a member to all.
    let bytes = text(300_000, 99);
    let [one, two] = members.as_mut_slice() else { return Err(Failure::of("two members")) };
    let manifest = one.offer(&bytes).await?;
    let (theirs, its) = tokio::join!(leader.take(), two.take());
    for (stored, there) in [theirs?, its?] {
        ensure!(stored.digest == manifest.digest && there == bytes, "an object of a member has changed");
    }
    for member in members {
        member.handle.shutdown().await.map_err(Failure::of)?;
    }
    leader.handle.shutdown().await.map_err(Failure::of)?;
    Ok(measured)
}

impl<M: Participant + 'static> Carrier<M> {
    fn of((handle, events): (Handle<M>, crate::driver::Events), suite: Arc<dyn Suite>) -> Self {
        let (objects, reports) = objects::spawn(handle.clone(), events, objects::Config::new(suite));
        Self { handle, objects, reports }
    }
}
