//! The parties of the demonstration with Enclaves as published.

use sodality::enclaves::auth::Account;
use sodality::endpoint::Cx;
use sodality::group::Limits;
use sodality::group::access::Access;
use sodality_transports::clock::Clock;
use tokio::sync::{oneshot, watch};

use super::party::{Door, Ended, Knows, LeaderParty, MemberParty, Place, Secret, joins_by, leads, text};
use crate::carrier::Bound;
use crate::past::{Enclaves, Joining, Leading, Users};
use crate::timeline::Teller;
use crate::verbs::group::published::{door, hint_of, reaching};
use crate::verbs::system::Version;

impl Enclaves {
    /// Runs the leader until it is killed.
    pub(crate) async fn leads(
        &self,
        party: LeaderParty,
        tell: Teller,
        bound: oneshot::Sender<Bound>,
        stop: watch::Receiver<bool>,
    ) -> Ended {
        let LeaderParty { common, knows, policy, folder } = party;
        let Knows::Users(users) = knows else { return Err("the leader knows no users".into()) };
        let (clock, mut rng) = (Clock::new(), getrandom::SysRng);
        let mut accounts = Users::new();
        for (user, account) in users {
            let Account::SharedKey(shared) = account else { return Err(format!("{user} has no password")) };
            accounts.insert(user.clone(), self.user_key(shared.key().secret(), &user).map_err(text)?);
        }
        let (name, access, limits) = (common.leader.clone(), Access::Registered, Limits::default());
        let led = Leading { name, accounts, access, policy, limits };
        let place = Place { common, tell, folder, stop };
        match self.version() {
            Version::First => {
                let machine = self.first_leader(led, &mut at(clock, &mut rng)).map_err(text)?;
                leads(machine, clock, place, None, bound).await
            }
            Version::Second => {
                let machine = self.second_leader(led, &mut at(clock, &mut rng)).map_err(text)?;
                leads(machine, clock, place, None, bound).await
            }
        }
    }

    /// Runs a member until it has left, is put out, or the leader was killed and all is said.
    pub(crate) async fn joins(&self, party: MemberParty, tell: Teller, stop: watch::Receiver<bool>) -> Ended {
        let MemberParty { common, name, secret, leader: Bound { address: at, .. }, folder, part } = party;
        let Secret::User(shared) = secret else { return Err(format!("{name} has no password")) };
        let key = self.user_key(shared.key().secret(), &name).map_err(text)?;
        let (leader, limits) = (common.leader.clone(), Limits::default());
        let reach = Box::new(reaching(leader.as_str().to_owned(), at));
        let joining = Joining { leader, name: name.clone(), key, limits };
        let place = Place { common, tell, folder, stop };
        match self.version() {
            Version::First => {
                let (listener, hint) = door(None, at).await.map_err(text)?;
                let said = format!("listens on {hint} for members with a direct link");
                place.tell.tell("listening", said, vec![("address", hint.to_string().into())]).await;
                let machine = self.first_member(joining, hint_of(hint)).map_err(text)?;
                joins_by(machine, name, place, at, Door { reach, listener: Some(listener) }, part).await
            }
            Version::Second => {
                let machine = self.second_member(joining).map_err(text)?;
                joins_by(machine, name, place, at, Door { reach, listener: None }, part).await
            }
        }
    }
}

/// What a machine is made with now: in 1.0 messages have the time.
fn at(clock: Clock, rng: &mut getrandom::SysRng) -> Cx<'_> {
    let mut cx = Cx::new(clock.now(), rng);
    cx.wall = clock.wall();
    cx
}
