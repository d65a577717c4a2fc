//! A23: parts were put together without a look at what they do to each other.

use sodality::wire::Message as _;
use sodality::wire::field::Field as _;
use sodality::wire::published::{
    ConfirmText, JoinConfirm, JoinReply, KeyDelivery, KeyText, Removal, RemovalText, ReplyText,
};

use crate::craft::published::Kit;
use crate::row::{Class, Outcome, Ran, Row, Setup, System, Who};
use crate::scene::{ANN, NAMES, Plan, SECOND, SOON, Scene};

/// The row.
pub static ROW: Row = Row {
    id: "A23",
    system: System::Antigone,
    section: "2.3",
    who: Who::Nobody,
    class: Class::Weakness,
    title: "parts were put together without a look at what they do to each other",
    holds: "recorded frames, or what a key of two holds",
    steps: &[
        "what was sealed as one message is taken for another",
    ],
    reaches: "texts of one part that another part reads",
    defence: "the type of a message is in what its guard covers, and each direction and edition has keys of its own \
        (RA §2; I-8)",
    beyond_repair: false,
    published,
    repaired,
};

fn published(setup: &Setup) -> Ran {
    let kit = Kit::new(setup)?;
    let mut scene = Scene::joined(setup, &Plan::of(2).keeps_its_key())?;
    scene.leave(ANN)?;
    scene.run(SECOND)?;
    let (ann, leader, sigma) = (scene.node(ANN), scene.leader(), kit.sigma(NAMES[ANN])?);
    // All texts under σ, each with what it is.
    let mut texts = Vec::new();
    for (kind, frame) in [
        (0, scene.last_from("AN-J2", leader)?),
        (1, scene.last_from("AN-J3", ann)?),
        (2, scene.last("AN-K", ann)?),
        (3, scene.last_from("AN-L", ann)?),
    ] {
        let sealed = match kind {
            0 => JoinReply::parse(&frame.bytes)?.message.sealed.bytes,
            1 => JoinConfirm::parse(&frame.bytes)?.message.sealed.bytes,
            2 => KeyDelivery::parse(&frame.bytes)?.message.sealed.bytes,
            _ => Removal::parse(&frame.bytes)?.message.sealed.bytes,
        };
        texts.extend(kit.suite().decrypt(&sigma, sealed).ok().map(|text| (kind, text)));
    }
    let (mut tried, mut opens, mut reads) = (0, 0, 0);
    for (kind, text) in &texts {
        for other in 0..4 {
            if other != *kind {
                // Whoever expects the other one decrypts it without complaint: the key is the same.
                (tried, opens) = (tried + 1, opens + 1);
                reads += usize::from(match other {
                    0 => ReplyText::decode(text).is_ok(),
                    1 => ConfirmText::decode(text).is_ok(),
                    2 => KeyText::decode(text).is_ok(),
                    _ => RemovalText::decode(text).is_ok(),
                });
            }
        }
    }
    Ok(Outcome::Measured {
        text: format!(
            "of {tried} texts under σ taken for another message's, {opens} decrypt, and {reads} parse as well: the \
                           lengths of D1 are all that tells them apart"
        ),
    })
}

fn repaired(setup: &Setup) -> Ran {
    let mut scene = Scene::joined(setup, &Plan::of(2).shared())?;
    scene.tries_to_say(ANN, b"something")?;
    scene.run(SOON)?;
    let ann = scene.node(ANN);
    let (mut tried, mut accepted) = (0, 0);
    for id in ["RA-J2", "RA-CL", "RA-R", "RA-H", "RA-D"] {
        for frame in scene.frames(id, ann).into_iter().rev().take(1) {
            for code in 1..=11 {
                let mut bytes = frame.bytes.to_vec();
                // The type of the message is the last byte of the header.
                let Some(kind) = bytes.get_mut(4).filter(|kind| **kind != code) else { continue };
                *kind = code;
                tried += 1;
                accepted += usize::from(scene.inject(frame.to_link, bytes)?.is_none());
            }
        }
    }
    Ok(Outcome::Measured { text: format!("of {tried} frames that came again as another message, {accepted} were \
        accepted") })
}
