//! Vectors of what stands between unlike neighbours in a mix (RA §2, mixed editions).

use sodality::antigone::keys::published::Group;
use sodality::antigone::mixed::bridges;
use sodality::crypto::{SuiteId, aes_128_gcm};
use sodality::identity::Epoch;
use sodality::wire::field::to_vec;
use sodality::wire::published::GroupId;

use super::json::{Fields, Made, no};
use super::modern;
use super::published::suite;

/// The bytes of the vector `id`, made from its inputs.
pub(crate) fn make(id: &str, number: u8, inputs: Fields<'_>) -> Made {
    let published = &*suite(number);
    let modern = if SuiteId(number) == SuiteId::DES_MD5_RSA { aes_128_gcm() } else { modern(number) };
    let secret = match id {
        "k" => {
            let (question, join) = (inputs.bytes("question")?, inputs.bytes("join")?);
            let made = bridges::session(&*modern, &inputs.key("sigma")?, &question, &join);
            made.map_err(no)?.1.secret().clone()
        }
        "Z" => {
            let messages = (inputs.bytes("wish")?, inputs.bytes("reply")?, inputs.bytes("confirm")?);
            let messages: [&[u8]; 3] = [&messages.0, &messages.1, &messages.2];
            bridges::channel_root(&*modern, &inputs.key("sigma")?, messages).map_err(no)?.secret().clone()
        }
        "sigma" => bridges::session_sigma(&*modern, published, &inputs.key("z")?).map_err(no)?.secret().clone(),
        "K_g" => bridges::data_key(&*modern, published, &inputs.key("base")?).map_err(no)?.secret().clone(),
        "g" => {
            let (app, epoch) = (inputs.name("app")?.to_name(), Epoch(inputs.number("epoch")?));
            let group = Group::of_epoch(&app, inputs.instance("instance")?, epoch).ok_or("g")?;
            return Ok(to_vec(&group.wire()));
        }
        "epoch of g" => {
            let mut number = inputs.bytes("front")?;
            number.resize(16, 0);
            let nonce = sodality::wire::field::Nonce::new(&number).ok_or("number")?;
            let app = sodality::identity::NameRef::new("chess").map_err(no)?;
            return Ok(Group::of(&GroupId { app, nonce }).number().0.to_be_bytes().to_vec());
        }
        _ => return Err(format!("no vector {id} here")),
    };
    Ok(secret.expose().to_vec())
}
