//! Frames that differ a little from true ones.

use sodality::sim::{Draft, Tables};
use sodality::wire::Value;
use sodality::wire::mutate::{self, change_leaf, leaves, mix};
use sodality::wire::shape::Content;

use crate::keyring::Opened;
use crate::machine::Sample;

pub(crate) fn mutants(sample: &Sample, other: &[u8], tables: &Tables, rng: &mut u64) -> Vec<Vec<u8>> {
    let mut random = || mix(rng);
    let mut all = Vec::new();
    let frame = &sample.frame;
    for _ in 0..24 {
        all.push(mutate::mutate(frame, other, &mut random));
    }
    let Some(opened) = sample.ring.open(tables, frame) else { return all };
    let info = opened.draft.info;
    for leaf in leaves(&opened.draft.clear) {
        for _ in 0..4 {
            let Some(clear) = change_leaf(&opened.draft.clear, &leaf.path, info.clear, &mut random) else { continue };
            let changed = Opened { draft: Draft { clear, ..opened.draft.clone() }, ..opened.clone() };
            all.push(changed.draft.frame().to_vec());
            all.extend(close(sample, &changed));
        }
    }
    if let (Some(shape), Ok(body)) = (info.body, opened.draft.body()) {
        for leaf in leaves(&body) {
            for _ in 0..3 {
                let Some(body) = change_leaf(&body, &leaf.path, shape, &mut random) else { continue };
                let mut changed = opened.clone();
                changed.draft.set_body(&body);
                all.extend(close(sample, &changed));
            }
        }
    }
    // A question wraps a request: change that one too, under the member's key and the leader's.
    if let Some(join) = opened.draft.clear.find("join").filter(|_| info.id == "RA-T1") {
        let inner = &join.to_bytes()[2..];
        let inner = sample.ring.open(tables, inner).expect("the request was made here");
        for leaf in leaves(&inner.draft.clear) {
            let changed = change_leaf(&inner.draft.clear, &leaf.path, inner.draft.info.clear, &mut random);
            let Some(clear) = changed else { continue };
            let asked = Opened { draft: Draft { clear, ..inner.draft.clone() }, ..inner.clone() };
            let kept = asked.draft.frame().to_vec();
            for request in sample.ring.close(&asked).into_iter().chain([kept]) {
                let mut changed = opened.clone();
                let length = (request.len() as u16).to_be_bytes();
                let bytes = [&length[..], &request].concat();
                changed.draft.clear.find_mut("join").unwrap().content = Content::Leaf(bytes);
                all.extend(close(sample, &changed));
            }
        }
    }
    all
}

/// The changed message made authentic; data is signed anew as well.
fn close(sample: &Sample, changed: &Opened) -> Vec<Vec<u8>> {
    let mut all = vec![changed.clone()];
    if changed.draft.info.id == "RA-D"
        && let Ok(mut body) = changed.draft.body()
    {
        let of = |body: &Value, name: &str| body.find(name).map(Value::to_bytes).unwrap_or_default();
        let (origin, port, payload) = (of(&body, "origin"), of(&body, "port"), of(&body, "payload"));
        let covered = changed.draft.covered();
        let parts: [&[u8]; 4] = [b"sodality ra 1 origin", &covered, &port, &payload];
        if let Some(signature) = sample.ring.sign_again(origin.get(2..).unwrap_or_default(), &parts) {
            let bytes = signature.as_bytes();
            let content = [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
            body.find_mut("origin").unwrap().content = Content::Leaf(content);
            let mut signed = changed.clone();
            signed.draft.set_body(&body);
            all.push(signed);
        }
    }
    all.iter().filter_map(|changed| sample.ring.close(changed)).collect()
}
