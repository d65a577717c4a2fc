//! The verbs for real use: each party is a process of its own, on a machine of its own.

#[cfg(feature = "study")]
mod attack;
mod explain;
pub(crate) mod group;
mod input;
pub(crate) mod key;
pub(crate) mod links;
mod over;
mod register;
mod registry;
pub(crate) mod role;
mod room;
pub(crate) mod shared;
pub(crate) mod system;
mod ttp;
mod user;
mod users;

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sodality::crypto::{Suite, aes_256_gcm};
use sodality::event::Refusal;
use sodality::identity::Name;
use tokio::sync::mpsc;

#[cfg(feature = "study")]
pub(crate) use attack::{AttackArgs, main as attack};
pub(crate) use explain::{ExplainArgs, main as explain};
pub(crate) use group::{JoinArgs, LeadArgs, join, lead};
pub(crate) use register::{RegisterArgs, main as register};
pub(crate) use ttp::{TtpArgs, main as ttp};
pub(crate) use user::{UserArgs, main as user, stretch};

use crate::exit::Failed;
use crate::past::{self, Past};
use crate::timeline::{Printer, Style, Teller};

/// The one suite of repaired parts: AES-256-GCM, SHA-256, Ed25519, X25519.
pub(crate) fn suite() -> Arc<dyn Suite> {
    aes_256_gcm()
}

/// Says what an edition of Enclaves as published means.
#[cfg(feature = "study")]
async fn warn_of_enclaves(tell: &Teller, enclaves: &past::Enclaves) {
    let (text, fields) = enclaves.warning();
    tell.tell("historic", text, fields).await;
}

/// Says what parts as published mean, if there are any.
async fn warn(tell: &Teller, past: Option<&Past>) {
    if let Some(past) = past {
        let (text, fields) = past::warning(&past.mix());
        tell.tell("historic", text, fields).await;
    }
}

fn style(json: bool) -> Style {
    if json { Style::Json } else { Style::Human }
}

fn name(text: &str) -> Result<Name, Failed> {
    Name::new(text).map_err(|error| Failed::Usage(format!("{text:?} is no name: {error}")))
}

/// The address that `text` means now.
async fn address(text: &str) -> Result<SocketAddr, Failed> {
    let found = tokio::net::lookup_host(text).await;
    found
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => Failed::Usage(format!("{text:?} is no address; write HOST:PORT")),
            _ => Failed::Unreachable(format!("{text:?}: no such host is known ({error}); check the name")),
        })?
        .next()
        .ok_or_else(|| Failed::Unreachable(format!("{text:?}: has no address; check the name")))
}

fn cannot_listen(text: &str, why: &str) -> Failed {
    Failed::Input(format!("{text}: cannot listen there ({why}); choose another address with --listen"))
}

fn refusal_text(why: Refusal) -> &'static str {
    match why {
        Refusal::Unknown => "that name is not registered",
        Refusal::BadTag => "its key is not the registered one",
        Refusal::Disabled => "it is disabled",
        Refusal::Busy => "no room now",
        Refusal::Denied => "the leader does not admit it",
        _ => "for another reason",
    }
}

/// Returns when the user wants it to end: Ctrl-C, or the system's request to end.
async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = term.recv() => {}
            }
            return;
        }
    }
    // Without signals there is no such wish.
    let _ = tokio::signal::ctrl_c().await;
}

/// Runs `work` in a runtime, and prints what it tells under the name `who`.
fn run<F: Future<Output = Result<(), Failed>>>(
    style: Style,
    who: &str,
    work: impl FnOnce(Teller) -> F,
) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failed::Group(format!("the runtime does not start: {error}")))?;
    let (lines, mut told) = mpsc::channel(256);
    let mut printer = Printer::new(style);
    let result = runtime.block_on(async {
        let work = work(Teller::new(who, lines));
        tokio::pin!(work);
        let result = loop {
            tokio::select! {
                biased;
                Some(line) = told.recv() => printer.line(&line),
                result = &mut work => break result,
            }
        };
        while let Ok(line) = told.try_recv() {
            printer.line(&line);
        }
        result
    });
    printer.clear();
    runtime.shutdown_timeout(Duration::from_secs(2));
    result
}
