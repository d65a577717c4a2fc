//! What an attacker can deduce, by the algebra of terms.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::crypto::symbolic::Symbolic;
use crate::sim::craft::Tables;
use crate::wire::Guard;

/// What an attacker knows under the symbolic suite: frames, secrets, and all that follows from them.
///
/// It derives keys from keys, agrees with an exponent and a share, and opens boxes; nothing else opens anything.
#[derive(Clone, Debug)]
pub struct Attacker {
    terms: Symbolic,
    known: BTreeSet<Vec<u8>>,
    texts: Vec<Vec<u8>>,
    boxes: Vec<Vec<u8>>,
    seen: BTreeSet<Vec<u8>>,
    /// How many of the texts have been searched for secrets.
    searched: usize,
}

impl Attacker {
    /// An attacker who knows nothing yet, in this world of terms.
    pub fn new(terms: &Symbolic) -> Self {
        let (known, texts) = (BTreeSet::new(), Vec::new());
        Self { terms: terms.clone(), known, texts, boxes: Vec::new(), seen: BTreeSet::new(), searched: 0 }
    }

    /// Reads a frame: every tag in it may be that of a box. False if it was read before.
    pub fn reads_frame(&mut self, tables: &Tables, frame: &[u8]) -> bool {
        if !self.seen.insert(frame.to_vec()) {
            return false;
        }
        self.texts.push(frame.to_vec());
        let Some((info, parts)) = tables.dissect(frame) else { return true };
        let mut tags = Vec::new();
        if info.guard == Guard::Open {
            parts.clear.walk(0, &mut |_, value| {
                if value.name == "tag" {
                    // Behind its length.
                    tags.push(value.to_bytes().get(2..).unwrap_or_default().to_vec());
                }
            });
        } else {
            tags.push(frame.get(parts.tag).unwrap_or_default().to_vec());
        }
        for tag in tags {
            if self.terms.term(&tag).is_some_and(|term| term.kind == "box") && !self.boxes.contains(&tag) {
                self.boxes.push(tag);
            }
        }
        true
    }

    /// Is given a secret.
    pub fn learns(&mut self, secret: impl Into<Vec<u8>>) {
        self.known.insert(secret.into());
    }

    /// Whether it knows this secret.
    pub fn knows(&self, secret: &[u8]) -> bool {
        self.known.contains(secret)
    }

    /// All secrets that it knows.
    pub fn known(&self) -> impl Iterator<Item = &[u8]> {
        self.known.iter().map(Vec::as_slice)
    }

    /// How many boxes it has seen and not opened.
    pub fn closed(&self) -> usize {
        self.boxes.len()
    }

    /// Whether these bytes stand in something that it could read.
    pub fn reads(&self, bytes: &[u8]) -> bool {
        self.texts.iter().any(|text| text.windows(bytes.len()).any(|window| window == bytes))
    }

    /// All that follows: reading, deriving, agreeing, opening, until nothing new comes. `secrets` are those that came up,
    /// whose terms may be within reach.
    pub fn deduce(&mut self, secrets: &[Vec<u8>]) {
        loop {
            let before = (self.known.len(), self.texts.len());
            self.search(secrets);
            for secret in secrets {
                if !self.knows(secret) && self.makes(secret) {
                    self.known.insert(secret.clone());
                }
            }
            let (terms, known, texts) = (&self.terms, &self.known, &mut self.texts);
            self.boxes.retain(|tag| {
                let opened = terms.term(tag).and_then(|term| {
                    let opens = term.fields.first().is_some_and(|key| known.contains(key));
                    term.fields.into_iter().nth(4).filter(|_| opens)
                });
                match opened {
                    Some(text) => {
                        texts.push(text);
                        false
                    }
                    None => true,
                }
            });
            if before == (self.known.len(), self.texts.len()) {
                return;
            }
        }
    }

    /// Looks for secrets in the texts that it has not searched yet. A secret comes up before it is said.
    fn search(&mut self, secrets: &[Vec<u8>]) {
        let all: BTreeSet<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
        let lengths: BTreeSet<usize> = all.iter().map(|secret| secret.len()).filter(|length| *length > 0).collect();
        for text in self.texts.get(self.searched..).unwrap_or_default() {
            for length in &lengths {
                let found = text.windows(*length).filter(|window| all.contains(window));
                self.known.extend(found.map(<[u8]>::to_vec));
            }
        }
        self.searched = self.texts.len();
    }

    fn makes(&self, secret: &[u8]) -> bool {
        let Some(term) = self.terms.term(secret) else { return false };
        let field = |n: usize| term.fields.get(n).map(Vec::as_slice).unwrap_or_default();
        match term.kind {
            "expand" => self.knows(field(0)),
            // The salt is public; the material is one secret after the other.
            "extract" => field(1).chunks(32).all(|material| self.knows(material)),
            // Who has either exponent, and reads the other share.
            "agree" => {
                term.fields.iter().any(|share| self.exponent(share).is_some_and(|exponent| self.knows(&exponent)))
            }
            _ => false,
        }
    }

    /// The exponent behind a share.
    pub fn exponent(&self, share: &[u8]) -> Option<Vec<u8>> {
        self.terms.term(share).filter(|term| term.kind == "share").and_then(|term| term.fields.into_iter().next())
    }

    /// The key of the box behind this tag.
    pub fn key_of(&self, tag: &[u8]) -> Option<Vec<u8>> {
        self.terms.term(tag).filter(|term| term.kind == "box").and_then(|term| term.fields.into_iter().next())
    }
}
