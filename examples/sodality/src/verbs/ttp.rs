//! `sodality ttp`: the third party, for many leaders and groups at once.

use std::path::PathBuf;
use std::sync::Arc;

use sodality::crypto::Key;
use sodality::event::{Event, Ticket};
use sodality::explain::Explained;
use sodality::identity::Name;
use sodality::ttp::{LeaderRecord, MemberRecord, Records, ThirdParty};
use sodality_transports::driver::{self, Handle};
use tokio::sync::Semaphore;

use super::registry::Registry;
use super::{refusal_text, style};
use crate::carrier;
use crate::exit::Failed;
use crate::past::{self, Past, PastArgs};
use crate::timeline::Teller;

/// Look-ups that read the registry at the same time.
const AT_ONCE: usize = 4;

/// Runs a third party: it knows everybody's key, and vouches for members towards leaders.
///
/// It serves any number of leaders and groups at once. It opens the registry for each look-up and closes it again, so that
/// register may change it meanwhile; what is changed holds for the next join. It knows nothing of what is said in groups,
/// and groups go on without it: only joins wait.
#[derive(Debug, clap::Args)]
pub(crate) struct TtpArgs {
    /// The file of the registry; what is changed in it holds for the next join
    #[arg(long, value_name = "FILE")]
    registry: PathBuf,
    /// Where to listen for leaders
    #[arg(long, value_name = "HOST:PORT")]
    listen: String,
    /// Serve leaders with parts as published in 1999 too, which protects nothing
    #[arg(long)]
    as_published: bool,
    #[command(flatten)]
    past: PastArgs,
    /// Print JSON, a line for each thing that happens
    #[arg(long)]
    json: bool,
}

/// Runs it until Ctrl-C.
///
/// # Errors
/// [`Failed`].
pub(crate) fn main(args: TtpArgs) -> Result<(), Failed> {
    let past = args.past.consented(args.as_published)?;
    let registry = Registry::open(&args.registry)?;
    super::run(style(args.json), "ttp", |tell| serve(registry, args.listen, past, tell))
}

async fn serve(registry: Registry, listen: String, past: Option<Past>, tell: Teller) -> Result<(), Failed> {
    let machine = past::third_party(super::suite(), past.as_ref());
    super::warn(&tell, past.as_ref()).await;
    let (handle, mut events) = driver::spawn(machine, driver::Config::default());
    let at = super::address(&listen).await?;
    let address =
        carrier::listen_for_leaders(handle.uplink(), at).await.map_err(|why| super::cannot_listen(&listen, &why))?;
    let fields = vec![("address", address.to_string().into())];
    tell.tell("listening", format!("listens on {address}"), fields).await;
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let stop = super::stopped();
    tokio::pin!(stop);
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = &mut stop => break,
        };
        match event {
            None => return Err(Failed::Group("the third party's driver ended; please report it".into())),
            Some(Event::LookupWanted { ticket, leader, member }) => {
                let look =
                    look_up(registry.clone(), handle.clone(), tell.clone(), slots.clone(), ticket, leader, member);
                // As many as the machine has look-ups open.
                tokio::spawn(look);
            }
            Some(Event::Vouched { leader, member }) => {
                let fields = vec![("leader", leader.as_str().into()), ("member", member.as_str().into())];
                tell.tell("vouched", format!("vouches for {member} towards {leader}"), fields).await;
            }
            Some(Event::NotVouched { name, why }) => {
                let (why, code) = (refusal_text(why), why.code());
                let fields = vec![("name", name.as_str().into()), ("why", why.into()), ("code", code.into())];
                tell.tell("not-vouched", format!("does not vouch for {name}: {why} [{code}]"), fields).await;
            }
            Some(_) => {}
        }
    }
    // It has ended if this fails.
    let _ = handle.shutdown().await;
    Err(Failed::Interrupted)
}

/// Answers one question from the registry, read where it may block.
async fn look_up(
    registry: Registry,
    handle: Handle<ThirdParty>,
    tell: Teller,
    slots: Arc<Semaphore>,
    ticket: Ticket,
    leader: Name,
    member: Name,
) {
    let Ok(_slot) = slots.acquire_owned().await else { return };
    let found = tokio::task::spawn_blocking(move || registry.find([&leader, &member])).await;
    let [leader, member] = match found {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            // The leader asks again; perhaps it is mended by then.
            let error = error.to_string();
            return tell.tell("registry-error", error.clone(), vec![("why", error.into())]).await;
        }
        Err(_) => return,
    };
    let records = Records {
        leader: leader
            .filter(|leader| leader.leads && !leader.disabled)
            .map(|leader| LeaderRecord { key: Key::new(leader.key) }),
        member: member.map(|member| MemberRecord { key: Key::new(member.key), disabled: member.disabled }),
    };
    // Expired or no room: the leader asks again.
    let _ = handle.call(move |machine, cx| machine.answer(cx, ticket, &records)).await;
}
