//! Shared objects (report §1.2): changing one, fetching its state, and what may be done with each.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sodality::event::{Event, ObjectRefusal};
use sodality::identity::Name;
use sodality::objects::ObjectView;
use sodality::policy::{MAX_OBJECT_BYTES, Right};
use sodality_transports::objects::Store as _;

use super::{MOST, Room};
use crate::exit::Failed;
use crate::files::Folder;
use crate::timeline::bytes;
use crate::verbs::role::Role;
use crate::verbs::shared::Object;

/// What the user of a participant without shared objects is told.
pub(super) const NONE: &str =
    "only repaired Enclaves has shared objects (--system enclaves, and a policy with a table [objects])";

fn right_text(right: Right) -> &'static str {
    match right {
        Right::None => "none",
        Right::Read => "read",
        Right::Change => "change",
    }
}

/// The file, if no object could be longer. May block.
fn contents(path: &Path) -> Result<Bytes, String> {
    let shown = path.display();
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(u64::from(MAX_OBJECT_BYTES) + 1).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    let bytes = read().map_err(|error| format!("{shown}: cannot be read ({error})"))?;
    if bytes.len() > MAX_OBJECT_BYTES as usize {
        return Err(format!(
            "{shown}: is longer than {} MiB, the most that an object may hold",
            MAX_OBJECT_BYTES >> 20
        ));
    }
    Ok(bytes.into())
}

/// Stores contents under that name. May block.
fn store(folder: &Folder, name: &str, contents: &Bytes) -> Result<PathBuf, String> {
    let place = folder.place(name).map_err(|_| format!("{name} is no plain name of a file"))?;
    folder.check(name).map_err(|error| error.to_string())?;
    let written = folder.begin(name).and_then(|mut file| {
        file.write_at(0, contents)?;
        Box::new(file).finish()
    });
    written.map_err(|error| format!("{}: cannot be written ({error})", place.display()))?;
    Ok(place)
}

impl<M: Role + 'static> Room<M> {
    /// What may be read here.
    async fn shared(&self) -> Result<Vec<Object>, Failed> {
        self.call(|machine, _| machine.shared()).await
    }

    /// Shows all objects that may be read here.
    pub(super) async fn objects(&mut self) -> Result<(), Failed> {
        let all = self.shared().await?;
        if all.is_empty() {
            self.say("no-objects", "there are no shared objects that may be read here", Vec::new()).await;
        }
        for Object { name, right, size, view } in all {
            let right = right_text(right);
            let mut fields =
                vec![("object", name.as_str().into()), ("right", right.into()), ("longest", u64::from(size).into())];
            let holds = match view {
                None => "holds nothing yet".to_owned(),
                Some(ObjectView { version, by, contents }) => {
                    let (by, size) = (self.name_of(by), contents.len() as u64);
                    let text = format!("version {version} of {by}, {}", bytes(size));
                    fields.extend([("version", version.0.into()), ("by", by.into()), ("size", size.into())]);
                    text
                }
            };
            let text = format!("object {name}: {holds}; right here: {right}; at most {}", bytes(size.into()));
            self.say("object", text, fields).await;
        }
        Ok(())
    }

    /// Asks for a change of an object.
    pub(super) async fn put(&mut self, object: String, path: PathBuf) -> Result<(), Failed> {
        let Ok(name) = Name::new(&object) else {
            self.wrong(format!("{object:?} is no name of an object; /objects shows them")).await;
            return Ok(());
        };
        let read = tokio::task::spawn_blocking(move || contents(&path)).await;
        let contents = match read {
            Ok(Ok(contents)) => contents,
            Ok(Err(why)) => {
                self.wrong(why).await;
                return Ok(());
            }
            Err(_) => return Ok(()),
        };
        let (wanted, size) = (name.clone(), contents.len() as u64);
        let number = match self.call(move |machine, cx| machine.change(cx, &wanted, contents)).await? {
            Ok(number) => number,
            Err(error) => {
                self.wrong_by(&format!("{name} is not changed"), &error).await;
                return Ok(());
            }
        };
        while self.puts.len() >= MOST {
            // Its answer is told without its length.
            self.puts.pop_first();
        }
        self.puts.insert(number, size);
        let fields = vec![("object", name.as_str().into()), ("size", size.into())];
        self.say("puts", format!("asks for {} in the object {name}", bytes(size)), fields).await;
        Ok(())
    }

    /// Stores the state of an object.
    pub(super) async fn get(&mut self, object: String) -> Result<(), Failed> {
        let known = self.shared().await?.into_iter().find(|known| known.name.as_str() == object);
        let Some(known) = known else {
            let text = if M::LEADS {
                format!("{object}: the policy names no such object; /objects shows all")
            } else {
                format!(
                    "{object}: there is no such object, or the right read of it is missing here; /objects shows all that may be read"
                )
            };
            self.wrong(text).await;
            return Ok(());
        };
        let Some(ObjectView { version, by, contents }) = known.view else {
            self.wrong(format!("{object}: holds nothing yet; /put {object} FILE changes that, with the right change"))
                .await;
            return Ok(());
        };
        let (folder, size, by) = (self.setup.folder.clone(), contents.len() as u64, self.name_of(by));
        let name = object.clone();
        let stored = tokio::task::spawn_blocking(move || store(&folder, &name, &contents)).await;
        match stored {
            Ok(Ok(place)) => {
                let place = place.display().to_string();
                let text = format!("has version {version} of {object} ({}), of {by}, in {place}", bytes(size));
                let fields = vec![
                    ("object", object.into()),
                    ("version", version.0.into()),
                    ("by", by.into()),
                    ("size", size.into()),
                    ("place", place.into()),
                ];
                self.say("got", text, fields).await;
            }
            Ok(Err(why)) => self.wrong(why).await,
            Err(_) => {}
        }
        Ok(())
    }

    /// What happens to objects.
    pub(super) async fn object_event(&mut self, event: Event) -> Result<(), Failed> {
        match event {
            Event::ObjectChanged { object, version, by } => {
                let by = self.name_of(by);
                let text = format!("{by} has changed the object {object}: version {version}; /get {object} stores it");
                let fields = vec![("object", object.as_str().into()), ("version", version.0.into()), ("by", by.into())];
                self.say("object-changed", text, fields).await;
            }
            Event::ObjectTaken { number, object, version } => {
                self.puts.remove(&number);
                let fields = vec![("object", object.as_str().into()), ("version", version.0.into())];
                self.say("put-taken", format!("the change of {object} is made: version {version}"), fields).await;
            }
            Event::ObjectRefused { number, object, why, version } => {
                self.put_refused(number, object, why, version.0).await?
            }
            Event::ObjectRight { object, right } => {
                let right = right_text(right);
                let fields = vec![("object", object.as_str().into()), ("right", right.into())];
                self.say("object-right", format!("right to the object {object}: {right}"), fields).await;
            }
            _ => {}
        }
        Ok(())
    }

    async fn put_refused(&mut self, number: u64, object: Name, why: ObjectRefusal, at: u64) -> Result<(), Failed> {
        let size = self.puts.remove(&number);
        let known = self.shared().await?.into_iter().find(|known| known.name == object);
        let told = match why {
            ObjectRefusal::NotAllowed => {
                let right = known.map_or(Right::None, |known| known.right);
                format!("the right change is missing; the right here is {}", right_text(right))
            }
            ObjectRefusal::NoSuchObject => {
                "the policy names no such object; /objects shows those that may be read".to_owned()
            }
            ObjectRefusal::TooLong => {
                let (size, most) = (size.map(bytes), known.map(|known| bytes(known.size.into())));
                format!("{} are more than the policy allows ({})", size.unwrap_or_default(), most.unwrap_or_default())
            }
            ObjectRefusal::Conflict => format!("it is at version {at}"),
            ObjectRefusal::Busy => "the leader has no room for the change now; try again".to_owned(),
            _ => "the leader refuses it".to_owned(),
        };
        let fields = vec![("object", object.as_str().into()), ("why", (&*told).into())];
        self.say("put-refused", format!("{object} is not changed: {told}"), fields).await;
        Ok(())
    }
}
