//! The codes of reasons, in what the program tells.

use sodality::event::{Causes, Event};
use sodality::explain::Explained;

use crate::timeline::Fields;

/// The codes of the reasons that an event tells, most often one.
pub(crate) fn of_event(event: &Event) -> Option<String> {
    let code = match event {
        Event::NotVouched { why, .. } | Event::JoinRefused(why) => why.code(),
        Event::JoinFailed(why) => why.code(),
        Event::MemberRemoved { cause, .. } => cause.code(),
        Event::Installed { causes, .. } => return Some(of_causes(*causes)),
        Event::Behind { lacks, .. } => lacks.code(),
        Event::Suspected { why, .. } => why.code(),
        Event::EjectionAnswered { verdict, .. } => verdict.code(),
        Event::ObjectRefused { why, .. } => why.code(),
        Event::Ended(ending) => ending.code(),
        Event::Rejected { why, .. } => why.code(),
        Event::Hindered(failure) => failure.code(),
        _ => return None,
    };
    Some(code.to_owned())
}

/// The codes of a set of causes, with blanks between them.
pub(crate) fn of_causes(causes: Causes) -> String {
    causes.iter().map(|cause| cause.code()).collect::<Vec<_>>().join(" ")
}

/// What is said, with the code that belongs to it.
pub(crate) fn with_code(code: Option<&str>, text: String, mut fields: Fields) -> (String, Fields) {
    let Some(code) = code.filter(|code| !code.is_empty()) else { return (text, fields) };
    fields.push(("code", code.into()));
    let shown = format!("[{code}]");
    (if text.contains(&shown) { text } else { format!("{text} {shown}") }, fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sodality::event::Cause;

    #[test]
    fn a_code_stands_once_in_a_line() {
        let (text, fields) = with_code(Some("end.busy"), "no room [end.busy]".into(), Vec::new());
        assert_eq!((text.as_str(), fields.len()), ("no room [end.busy]", 1));
        let (text, _) = with_code(Some("end.busy"), "no room".into(), Vec::new());
        assert_eq!(text, "no room [end.busy]");
        assert_eq!(with_code(Some(""), "no cause".into(), Vec::new()).1.len(), 0);
        assert_eq!(of_causes(Causes::of(Cause::Join).with(Cause::Leave)), "cause.join cause.leave");
    }
}
