//! The tables `[objects.NAME]`: shared objects, and who may read or change them.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use core::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::quoted;
use crate::error::NameError;
use crate::identity::Name;
use crate::policy::{Contradiction, ObjectRule, Objects, Right};

/// What stands under `[objects]`: a table for each, by its name.
pub(super) type Table = BTreeMap<Spanned<String>, Spanned<Object>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Object {
    everybody: Option<RightWord>,
    size: Option<Spanned<u32>>,
    #[serde(default)]
    members: BTreeMap<Spanned<String>, RightWord>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum RightWord {
    None,
    Read,
    Change,
}

impl RightWord {
    fn right(self) -> Right {
        match self {
            Self::None => Right::None,
            Self::Read => Right::Read,
            Self::Change => Right::Change,
        }
    }
}

fn word(right: Right) -> &'static str {
    match right {
        Right::None => "none",
        Right::Read => "read",
        Right::Change => "change",
    }
}

/// The objects of a file, or what is no name, with its place.
pub(super) fn read(table: &Table) -> Result<Objects, (Range<usize>, NameError)> {
    let name = |text: &Spanned<String>| Name::new(text.get_ref()).map_err(|error| (text.span(), error));
    let rule = |object: &Object| {
        let usual = ObjectRule::default();
        let members = object.members.iter().map(|(member, word)| Ok((name(member)?, word.right())));
        Ok(ObjectRule {
            everybody: object.everybody.map_or(usual.everybody, RightWord::right),
            members: members.collect::<Result<_, _>>()?,
            size: object.size.as_ref().map_or(usual.size, |size| *size.get_ref()),
        })
    };
    table.iter().map(|(object, table)| Ok((name(object)?, rule(table.get_ref())?))).collect()
}

/// Where a contradiction of objects is best mended.
pub(super) fn place(table: &Table, found: Contradiction) -> Option<Range<usize>> {
    let wrong = |object: &Object, found: Contradiction| {
        let rule = ObjectRule { size: object.size.as_ref().map_or(1, |size| *size.get_ref()), ..ObjectRule::default() };
        match found {
            Contradiction::ObjectSize => {
                let one: Objects = [(Name::new("x").ok()?, rule)].into_iter().collect();
                object.size.as_ref().map(Spanned::span).filter(|_| one.check().is_err())
            }
            Contradiction::TooManyRights => {
                object.members.keys().nth(crate::policy::MAX_NAMED_RIGHTS).map(Spanned::span)
            }
            _ => None,
        }
    };
    match found {
        Contradiction::TooManyObjects => table.keys().nth(crate::policy::MAX_OBJECTS).map(Spanned::span),
        found => table.values().find_map(|object| wrong(object.get_ref(), found)),
    }
}

/// The tables of `objects`.
pub(super) fn write(objects: &Objects, out: &mut String) {
    for (object, rule) in objects.iter() {
        let (name, everybody, size) = (quoted(object.as_str()), word(rule.everybody), rule.size.to_string());
        out.push_str(&alloc::format!("\n[objects.{name}]\neverybody = \"{everybody}\"\nsize = {size}\n"));
        if !rule.members.is_empty() {
            out.push_str(&alloc::format!("\n[objects.{name}.members]\n"));
        }
        for (member, right) in &rule.members {
            out.push_str(&alloc::format!("{} = \"{}\"\n", quoted(member.as_str()), word(*right)));
        }
    }
}
