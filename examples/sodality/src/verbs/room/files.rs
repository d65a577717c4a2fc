//! Files that come and go.

use std::path::PathBuf;

use sodality::explain::Explained as _;
use sodality::identity::MemberId;
use sodality::transfer::{Manifest, ObjectId, Outcome};
use sodality_transports::objects::Report;

use super::{Go, MOST, Room};
use crate::demo::party::hex;
use crate::exit::Failed;
use crate::timeline::bytes;
use crate::verbs::role::Role;

/// A file on its way in.
pub(super) struct Awaited {
    name: String,
    place: PathBuf,
    manifest: Manifest,
    /// Its sender is gone or silent.
    stalled: bool,
}

impl<M: Role + 'static> Room<M> {
    fn awaited_name(&self, object: ObjectId) -> &str {
        self.awaited.get(&object).map_or("a file", |awaited| &awaited.name)
    }

    pub(super) async fn object(&mut self, report: Report) -> Result<Go, Failed> {
        match report {
            Report::Offered { from, manifest } => self.offered_by(from, manifest).await,
            Report::Progress { object, have, size } => {
                if let Some(awaited) = self.awaited.get(&object) {
                    self.tell.progress(&awaited.name, have, size).await;
                }
            }
            Report::Stored { manifest } => {
                let Some(Awaited { name, place, .. }) = self.awaited.remove(&manifest.object) else {
                    return Ok(Go::On);
                };
                let (digest, place) = (hex(manifest.digest.as_bytes()), place.display().to_string());
                let text = format!("has {name} whole ({}), in {place}, sha-256 {digest}", bytes(manifest.size));
                let fields = vec![
                    ("file", name.into()),
                    ("size", manifest.size.into()),
                    ("sha256", digest.into()),
                    ("place", place.into()),
                ];
                self.say("stored", text, fields).await;
            }
            Report::Failed { object, why } => {
                let name = self.awaited.remove(&object).map_or_else(|| "a file".to_owned(), |awaited| awaited.name);
                let fields = vec![("file", (&*name).into()), ("why", why.to_string().into())];
                self.say("not-stored", format!("did not get {name}: {why}"), fields).await;
            }
            Report::Withdrawn { object, .. } => {
                if let Some(Awaited { name, .. }) = self.awaited.get(&object) {
                    self.say("withdrawn", format!("{name} is no longer on offer"), vec![("file", (&**name).into())])
                        .await;
                }
            }
            Report::Corrupt { object } => {
                let name = self.awaited_name(object);
                self.say("corrupt", format!("finds {name} damaged, and fetches it anew"), vec![("file", name.into())])
                    .await;
            }
            Report::Stalled { object } => {
                if let Some(awaited) = self.awaited.get_mut(&object) {
                    awaited.stalled = true;
                }
                let name = self.awaited_name(object);
                self.say("stalled", format!("hears nothing more of {name}"), vec![("file", name.into())]).await;
            }
            Report::Resumed { object, from } => {
                if let Some(awaited) = self.awaited.get_mut(&object) {
                    awaited.stalled = false;
                }
                let name = self.awaited_name(object);
                let text = format!("gets {name} again, from {}", self.name_of(from));
                self.say("resumed", text, vec![("file", name.into())]).await;
            }
            Report::Received { object, member, outcome } => {
                let (who, name) = (self.name_of(member), self.offered.get(&object).cloned().unwrap_or_default());
                let (kind, verb) = match outcome {
                    Outcome::Verified => ("confirmed", "has"),
                    Outcome::Declined => ("declined", "does not want"),
                    Outcome::Corrupt => ("declined", "could not get"),
                };
                let fields = vec![("member", (&*who).into()), ("file", (&*name).into())];
                self.say(kind, format!("{who} {verb} {name}"), fields).await;
            }
            Report::AllReceived { object } => {
                let name = self.offered.get(&object).cloned().unwrap_or_default();
                self.say("delivered", format!("everybody has answered for {name}"), vec![("file", name.into())]).await;
            }
            Report::OfferEnded { object, why } => {
                let name = self.offered.remove(&object).unwrap_or_default();
                let text = format!("{name} is no longer on offer ({why:?}) [{}]", why.code());
                self.say("offer-ended", text, vec![("file", name.into()), ("code", why.code().into())]).await;
            }
            _ => {}
        }
        Ok(Go::On)
    }

    /// Where a file that is offered goes, or why it is not wanted.
    fn wanted(&self, manifest: &Manifest) -> Result<PathBuf, String> {
        let name = manifest.name.as_str();
        let place = self.setup.folder.place(name).map_err(|error| error.to_string())?;
        if manifest.size > self.setup.max_file {
            return Err("longer than --max-file allows".to_owned());
        }
        if self.awaited.len() >= MOST {
            return Err("too many files at once".to_owned());
        }
        if self.awaited.values().any(|other| other.name == name) {
            return Err("a file of that name is on its way already".to_owned());
        }
        self.setup.folder.check(name).map_err(|error| error.to_string())?;
        Ok(place)
    }

    /// Lets go of the same file from a sender that is gone: what is there of it is gone on with.
    async fn relieve(&mut self, manifest: &Manifest) {
        let same = |other: &Awaited| {
            let other_is = (&other.manifest.name, other.manifest.size, &other.manifest.digest);
            other.stalled && other_is == (&manifest.name, manifest.size, &manifest.digest)
        };
        let Some(object) = self.awaited.iter().find_map(|(object, other)| same(other).then_some(*object)) else {
            return;
        };
        self.awaited.remove(&object);
        // It may have ended meanwhile.
        let _ = self.objects.release(object).await;
    }

    async fn offered_by(&mut self, from: MemberId, manifest: Manifest) {
        let (who, name, object) = (self.name_of(from), manifest.name.as_str().to_owned(), manifest.object);
        self.relieve(&manifest).await;
        let refused = match self.wanted(&manifest) {
            Err(why) => why,
            Ok(place) => {
                let awaited = Awaited { name: name.clone(), place, manifest: manifest.clone(), stalled: false };
                self.awaited.insert(object, awaited);
                let fields = vec![("file", (&*name).into()), ("from", (&*who).into()), ("size", manifest.size.into())];
                self.say("accepts", format!("accepts {name} ({}) from {who}", bytes(manifest.size)), fields).await;
                let (folder, suite, size) = (self.setup.folder.clone(), crate::verbs::suite(), manifest.size);
                match self.objects.resume(move || folder.resume(&suite, &manifest)).await {
                    Ok(0) => return,
                    Ok(have) => {
                        let text = format!("has {} of {name} from before, and fetches the rest", bytes(have));
                        let fields = vec![("file", name.into()), ("have", have.into()), ("size", size.into())];
                        return self.say("continues", text, fields).await;
                    }
                    Err(error) => {
                        self.awaited.remove(&object);
                        error.to_string()
                    }
                }
            }
        };
        let fields = vec![("file", (&*name).into()), ("from", (&*who).into()), ("why", (&*refused).into())];
        self.say("declines", format!("declines {name} from {who}: {refused}"), fields).await;
        // Then it is not asked for, which comes to the same.
        let _ = self.objects.decline(object, from).await;
    }
}
